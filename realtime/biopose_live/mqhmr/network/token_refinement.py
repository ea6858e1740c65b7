"""2D-informed refinement of the query tokens at inference (paper section 3.4, equations 3 to 5).

    Q+ = argmin  L_2D(J'_3D) + lambda * L_theta'(theta'),     Q_t+1 = Q_t - eta grad F(Q_t, J_2D, theta')

Everything but the tokens is frozen.  Exactly K steps are made, K + 1 runs of the decoder (one more with a warm start),
and for each person the best tokens seen are kept.  L_2D is a mean over the observations of confidence times
Geman-McClure's robust cost rho(r^2) = s^2 r^2 / (s^2 + r^2) <= s^2 of the distance r in one-sigmas, and the tokens that
the network began with are among those compared, so that

    distance(theta, theta') <= (mean confidence) * s^2 / lambda

whatever the 2D says: a bound that is stated, `Refiner.bound`, and that goes to zero with the confidences.

Letters: B people, Q query tokens, C channels, O observations, J = 24 joints, S shape coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from biopose_live.body.joints import N_JOINTS
from biopose_live.mqhmr.network.crop_camera import CropCamera
from biopose_live.mqhmr.network.decoder import Memory, Start
from biopose_live.mqhmr.network.heads import DenseMarkers
from biopose_live.mqhmr.network.model import MQHMR, Prediction, with_tokens
from biopose_live.mqhmr.network.pyramid import Pyramid
from biopose_live.torch_rotations import squared_chord


@dataclass(frozen=True, eq=False)
class Observations:
    """index (O,) into `PosedPoints.all`; place (B, O, 2) in the crop; whiten (B, O, 2, 2): from crop heights to
    one-sigmas; confidence (B, O) in 0..1."""

    index: Tensor
    place: Tensor
    whiten: Tensor
    confidence: Tensor


@dataclass(frozen=True, eq=False)
class Refined:
    """The refined prediction; its tokens' `shift` (B, Q, C) from the start, the next frame's warm start; cost (B,) of
    the result and of the network's own answer, `first`; distance (B,) from theta'."""

    prediction: Prediction
    shift: Tensor
    cost: Tensor
    first: Tensor
    distance: Tensor


def from_keypoints(keypoints: Tensor, first: int, sigma: float = 0.02) -> Observations:
    """keypoints (B, K, 3): places in the crop and scores; `first`: the index of the first of them in
    `PosedPoints.all`; sigma in crop heights."""
    batch, count = keypoints.shape[:2]
    whiten = torch.eye(2, dtype=keypoints.dtype, device=keypoints.device).expand(batch, count, 2, 2) / sigma
    index = torch.arange(first, first + count, device=keypoints.device)
    return Observations(index, keypoints[..., :2], whiten, keypoints[..., 2].clamp(0, 1))


def from_dense(dense: DenseMarkers) -> Observations:
    """The network's own markers and joint centres, as sure as it says."""
    index = torch.arange(dense.place.shape[1], device=dense.place.device)
    lower = dense.cholesky.detach()
    first, below, second = lower[..., 0, 0], lower[..., 1, 0], lower[..., 1, 1]
    # The inverse of a lower triangle, written out: a library's solver is slower for 2 x 2.
    rows = [1 / first, torch.zeros_like(first), -below / (first * second), 1 / second]
    whiten = torch.stack(rows, -1).unflatten(-1, (2, 2))
    return Observations(index, dense.place.detach(), whiten, dense.visible.detach().sigmoid())


def joined(*parts: Observations) -> Observations:
    """Several kinds of observations as one."""
    return Observations(
        torch.cat([part.index for part in parts]),
        torch.cat([part.place for part in parts], 1),
        torch.cat([part.whiten for part in parts], 1),
        torch.cat([part.confidence for part in parts], 1),
    )


@dataclass(frozen=True)
class Refiner:
    """iterations K, exactly; step eta; momentum of the steps (0: the paper's plain step); weight lambda; robust s in
    one-sigmas (infinite: the paper's plain square, which has no bound); dense: the network's markers count as
    observations; shape and depth: what a unit of beta and of relative distance count in the distance, in rad^2."""

    iterations: int = 5
    step: float = 0.02
    momentum: float = 0.0
    weight: float = 50.0
    robust: float = 3.0
    dense: bool = True
    shape: float = 0.01
    depth: float = 1.0

    def bound(self, observations: Observations) -> Tensor:
        """(B,) which the distance of the result from theta' never exceeds, in rad^2."""
        return observations.confidence.mean(1) * self.robust**2 / self.weight

    def distance(self, found: Prediction, own: Prediction) -> Tensor:
        """(B,) rad^2: the joints' mean squared turn (chord) from theta', and the shape's and the place's change."""
        turn = squared_chord(found.rotations, own.rotations).mean(1)
        shape = (found.betas - own.betas).square().mean(1)
        place = (found.pelvis - own.pelvis).square().sum(1) / own.pelvis[:, 2].square()
        return turn + self.shape * shape + self.depth * place

    def reprojection(self, found: Prediction, camera: CropCamera, seen: Observations) -> Tensor:
        """(B,) equation 4, robust and weighted by confidence."""
        places = camera.into_crop(camera.project(found.points.all.index_select(1, seen.index)))
        offset = camera.in_heights(places - seen.place)
        square = (seen.whiten @ offset[..., None]).square().sum((-2, -1))
        cost = square if math.isinf(self.robust) else square * (self.robust**2 / (self.robust**2 + square))
        return (seen.confidence * cost).mean(1)

    def refine(
        self,
        network: MQHMR,
        pyramid: Pyramid,
        start: Start,
        camera: CropCamera,
        keypoints: Tensor | None = None,
        shift: Tensor | None = None,
    ) -> Refined:
        """keypoints (B, 33, 3): places in the crop and scores; shift (B, Q, C): the same people's `Refined.shift` of
        the frame before, zero rows for those who are new.

        Raises ValueError where there is nothing to align with.
        """
        with torch.enable_grad(), frozen(network):
            return self._refine(network, _detached(pyramid), _still(start), camera, keypoints, shift)

    def _refine(
        self,
        network: MQHMR,
        pyramid: Pyramid,
        start: Start,
        camera: CropCamera,
        keypoints: Tensor | None,
        shift: Tensor | None,
    ) -> Refined:
        memory = network.decoder.remember(pyramid) if self.iterations else Memory(pyramid)
        tokens = start.tokens.detach().requires_grad_(self.iterations > 0)
        found = network.decode(with_tokens(start, tokens), memory, camera, "frozen_values")
        own = _detached_prediction(found)
        seen = self._observations(network, own, keypoints)
        cost = self._cost(found, own, camera, seen)
        first = cost.detach()
        best, kept, lowest = own, tokens.detach(), first
        if self.iterations and shift is not None:
            tokens = (start.tokens + shift).detach().requires_grad_()
            found = network.decode(with_tokens(start, tokens), memory, camera, "frozen_values")
            cost = self._cost(found, own, camera, seen)
            best, kept, lowest = _better(cost, lowest, found, best, tokens, kept)
        velocity = torch.zeros_like(tokens)
        for i in range(self.iterations):
            (gradient,) = torch.autograd.grad(cost.sum(), tokens)
            velocity = self.momentum * velocity + gradient
            tokens = (tokens - self.step * velocity).detach()  # equation 5
            last = i + 1 == self.iterations
            tokens.requires_grad_(not last)
            found = network.decode(with_tokens(start, tokens), memory, camera, "frozen_values")
            cost = self._cost(found, own, camera, seen)
            best, kept, lowest = _better(cost, lowest, found, best, tokens, kept)
        return Refined(best, kept - start.tokens, lowest, first, self.distance(best, own))

    def _cost(self, found: Prediction, own: Prediction, camera: CropCamera, seen: Observations) -> Tensor:
        """(B,) F of equation 3."""
        return self.reprojection(found, camera, seen) + self.weight * self.distance(found, own)

    def _observations(self, network: MQHMR, own: Prediction, keypoints: Tensor | None) -> Observations:
        parts = [from_dense(own.dense)] if self.dense else []
        if keypoints is not None:
            parts.append(from_keypoints(keypoints.detach(), network.body.n_markers + N_JOINTS))
        if not parts:
            raise ValueError("The refinement needs keypoints, or dense=True.")
        return joined(*parts)


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """No parameter takes part in a gradient; what was trainable before is so again afterwards."""
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def _detached(pyramid: Pyramid) -> Pyramid:
    return Pyramid(pyramid.tokens.detach(), pyramid.shapes)


def _still(start: Start) -> Start:
    return Start(start.tokens.detach(), start.anchors.detach(), start.position.detach())


def _detached_prediction(p: Prediction) -> Prediction:
    points = type(p.points)(p.points.joints.detach(), p.points.markers.detach(), p.points.landmarks.detach())
    dense = DenseMarkers(p.dense.place.detach(), p.dense.cholesky.detach(), p.dense.visible.detach())
    return Prediction(p.rotations.detach(), p.betas.detach(), p.pelvis.detach(), points, dense)


def _better(
    cost: Tensor, lowest: Tensor, found: Prediction, best: Prediction, tokens: Tensor, kept: Tensor
) -> tuple[Prediction, Tensor, Tensor]:
    """Of each person the cheaper of two; a cost that is not a number is never cheaper."""
    cost, found = cost.detach(), _detached_prediction(found)
    wins = cost < lowest

    def choose(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(wins.view(-1, *[1] * (new.dim() - 1)), new, old)

    a, b, c, d = found.points, best.points, found.dense, best.dense
    chosen = Prediction(
        choose(found.rotations, best.rotations),
        choose(found.betas, best.betas),
        choose(found.pelvis, best.pelvis),
        type(a)(choose(a.joints, b.joints), choose(a.markers, b.markers), choose(a.landmarks, b.landmarks)),
        DenseMarkers(choose(c.place, d.place), choose(c.cholesky, d.cholesky), choose(c.visible, d.visible)),
    )
    return chosen, choose(tokens.detach(), kept), torch.where(wins, cost, lowest)
