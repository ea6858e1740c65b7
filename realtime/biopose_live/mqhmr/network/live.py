"""The paper-size network in a live run: what it sees in a frame, as evidence for the pose that is followed over time.

All people of a frame are looked at at once, and the GPU computes while the CPU still makes its estimate from the
keypoints alone.  The network refines its query tokens with the keypoints (paper section 3.4; exactly K steps, warm
started), then its dense points and rotations take the place that the light network's have (`mqhmr.person`): the
Gauss-Newton refinement, and with it continuity in time, shape and one-sigmas, stay as they are.  The network's own
shape and distance are not used.

PLACE_TRUST and ROTATION_SIGMA have not been chosen on trained weights: there are none.

Letters: K = 33 keypoints, P dense points, J = 24 joints, Q query tokens, C channels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from biopose_live.body.model import BodyModel
from biopose_live.messages import Detected, Intrinsics
from biopose_live.mqhmr.lite.evidence import Evidence, Look
from biopose_live.mqhmr.lite.observation import Estimate
from biopose_live.mqhmr.network import engines, tensorrt_cache, tensorrt_encoder
from biopose_live.mqhmr.network.device import Gpu, find_gpu, half_kind, place
from biopose_live.mqhmr.network.engine_choice import TOLD, Runner, Runs, choose
from biopose_live.mqhmr.network.engines import Given
from biopose_live.mqhmr.network.frame import Answer, Frame, camera_rows
from biopose_live.mqhmr.network.half import halve
from biopose_live.mqhmr.network.model import load_network
from biopose_live.mqhmr.network.network_file import Header, check_live
from biopose_live.mqhmr.network.person_box import PersonBox, person_box
from biopose_live.mqhmr.network.token_refinement import Refiner
from biopose_live.settings import Settings

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Eyes = Callable[[Floats, Floats, Floats | None], Look]

PLACE_TRUST = 0.3  # 113 places from one pair of eyes err together: what is best for the light network's
ROTATION_SIGMA = 0.2  # rad, of every joint: the network does not say how sure it is of its rotations
SMALLEST_SIGMA = 0.7 / 256  # crop heights
MARGIN = 0.1  # crops; a point that is placed farther outside is not believed
LOST_S = 0.5  # after which the tokens of somebody's last frame are forgotten
SLOW_WEIGHTS = 1e8  # from which on a frame takes seconds on a CPU


class LargeNetwork:
    """One for all people of a run."""

    def __init__(self, settings: Settings, body: BodyModel) -> None:
        """Raises UserError where the file of `settings.network` cannot be used."""
        assert settings.network is not None
        cv2.setNumThreads(1)
        header = check_live(settings.network)
        self._aspect = header.architecture.width / header.architecture.height
        self._size = (header.architecture.height, header.architecture.width)
        self._most = settings.max_people
        gpu = find_gpu()
        where = place(settings.device, gpu)
        self._makers = _Makers(settings, body, header, gpu)
        choice = choose(settings.engine, where.device, *self._makers.tensorrt(where.device))
        for complaint in (where.complaint, *choice.complaints):
            if complaint:
                log.warning("%s", complaint)
        self._runner = Runner([(way, partial(self._makers.make, way)) for way in choice.ways])
        self._frame = self._makers.frame
        # A warning, because those reach the user's terminal; everybody should know what a run runs on.
        log.warning("%s", statement(settings, header, gpu, self._runner))
        self._shift: dict[int, tuple[float, Tensor]] = {}
        self._pending: _Glance | None = None
        self._faulty = False

    def looking_at(
        self, image: NDArray[np.uint8], camera: Intrinsics, up: Floats, t: float, people: Sequence[Detected]
    ) -> dict[int, Eyes]:
        """-> of each person in this RGB frame (H, W, 3) at time t (s), what looks; by the person's id."""
        if self._pending is not None:  # nobody asked for all of what the frame before showed
            self._pending.answer()
        people = people[: self._most]
        if not people:
            return {}
        boxes = [person_box(p.keypoints[:, :2].astype(np.float64), camera, up, self._aspect) for p in people]
        given = Given(
            np.stack([box.cut(image, camera, *self._size) for box in boxes]),
            np.stack([p.keypoints.astype(np.float32) for p in people]),
            camera_rows(camera.focal, camera.centre, [(box.roll, box.centre, box.size) for box in boxes]),
            [self._recent(p.id, t) for p in people],
        )
        self._runner.begin(given)
        glance = self._pending = _Glance(self, given, boxes, camera, t, [p.id for p in people])
        return {p.id: partial(glance.eyes, row) for row, p in enumerate(people)}

    def _recent(self, person: int, t: float) -> Tensor | None:
        for gone in [key for key, (seen, _) in self._shift.items() if t - seen > LOST_S]:
            del self._shift[gone]
        return self._shift[person][1] if person in self._shift else None

    def finish(self, glance: _Glance) -> Answer:
        """What the frame that was begun last shows; remembers its people's tokens."""
        packed, shift = self._runner.finish()
        self._pending = None
        for row, person in enumerate(glance.ids):
            self._shift[person] = (glance.t, shift[row])
        return self._frame().unpack(packed)

    def again(self, glance: _Glance, row: int, keypoints: Floats, scores: Floats) -> Answer:
        """One person of a frame anew, with other keypoints."""
        corrected = np.concatenate([keypoints, scores[:, None]], 1).astype(np.float32)[None]
        one, given = slice(row, row + 1), glance.given
        self._runner.begin(Given(given.pictures[one], corrected, given.camera[one], [given.shift[row]]))
        packed, shift = self._runner.finish()
        self._shift[glance.ids[row]] = (glance.t, shift[0])
        return self._frame().unpack(packed)

    def complain_of_numbers(self) -> None:
        """Says once that the weights give no numbers."""
        if not self._faulty:
            self._faulty = True
            log.warning("The network of --network gave numbers that are not finite; such answers are passed over.")


class _Glance:
    """One frame's people while they are looked at."""

    def __init__(
        self, network: LargeNetwork, given: Given, boxes: list[PersonBox], camera: Intrinsics, t: float, ids: list[int]
    ) -> None:
        self.given, self.t, self.ids = given, t, ids
        self._network, self._boxes, self._camera = network, boxes, camera
        self._answer: Answer | None = None

    def answer(self) -> Answer:
        """Waits for it the first time."""
        if self._answer is None:
            self._answer = self._network.finish(self)
        return self._answer

    def eyes(self, row: int, keypoints: Floats, scores: Floats, world: Floats | None) -> Look:
        """Of the person in that row; the keypoints as they stand after exchanged sides were undone."""

        def look(estimate: Estimate) -> Evidence:
            answer, at = self.answer(), row
            told = self.given.keypoints[row]
            if not np.array_equal(told[:, :2], keypoints.astype(np.float32)):
                # Rare: the network was told of left and right the wrong way round.
                answer, at = self._network.again(self, row, keypoints, scores), 0
            evidence = evidence_of(answer, at, self._boxes[row], self._camera)
            if evidence is None:
                self._network.complain_of_numbers()
                return nothing(estimate, len(answer.visible[at]))
            return evidence

        return look


def evidence_of(answer: Answer, row: int, box: PersonBox, camera: Intrinsics) -> Evidence | None:
    """One person's answer in the frame that the crop was cut from; None where it holds no numbers."""
    rotations, place_in_crop, lower, visible = (
        part[row].astype(np.float64) for part in (answer.rotations, answer.place, answer.cholesky, answer.visible)
    )
    if not all(np.isfinite(part).all() for part in (rotations, place_in_crop, lower, visible)):
        return None
    back = box.turn.T
    centre = np.array(camera.centre)
    places = ((place_in_crop - 0.5) * box.size + box.centre - centre) @ back.T + centre
    factor = np.zeros((len(lower), 2, 2))
    factor[:, 0, 0], factor[:, 1, 0], factor[:, 1, 1] = lower.T
    covariance = factor @ factor.transpose(0, 2, 1) + SMALLEST_SIGMA**2 * np.eye(2)
    inverse = PLACE_TRUST * np.linalg.inv(box.size[1] ** 2 * (back @ covariance @ back.T))
    believed = np.all((place_in_crop > -MARGIN) & (place_in_crop < 1 + MARGIN), axis=1)
    precision = np.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], 1) * believed[:, None]
    return Evidence(places, precision, visible, rotations, np.full((len(rotations), 3), ROTATION_SIGMA))


def nothing(estimate: Estimate, points: int) -> Evidence:
    """Evidence that adds nothing to an estimate."""
    return Evidence(np.zeros((points, 2)), np.zeros((points, 3)), np.zeros(points), estimate.rotations, estimate.sigma)


def statement(settings: Settings, header: Header, gpu: Gpu, runner: Runner) -> str:
    """Which network runs where and by what, in one sentence."""
    assert settings.network is not None
    name = f"The image network {settings.network.name} ({header.described}) runs by {TOLD[runner.way]}"
    if runner.way == "cpu":
        weights = sum(float(np.prod(shape)) for shape in header.shapes.values())
        return f"{name}{', where a frame takes seconds' if weights > SLOW_WEIGHTS else ''}."
    memory = f"{runner.memory_gb:.1f} of {gpu.memory_gb:.0f} GB" if runner.memory_gb else f"{gpu.memory_gb:.0f} GB"
    return f"{name}: {gpu.name}, {memory}, up to {settings.max_people} people at a time."


class _Makers:
    """Makes engines, each with weights of its own, so that nothing is left of one that could not be used."""

    def __init__(self, settings: Settings, body: BodyModel, header: Header, gpu: Gpu) -> None:
        assert settings.network is not None
        self._path, self._body, self._header, self._gpu = settings.network, body, header, gpu
        self._most, self._iterations = settings.max_people, settings.refine_iterations
        self._wanted = settings.engine
        self._fingerprint = ""
        self._frame: Frame | None = None

    def frame(self) -> Frame:
        """Of the engine that was made last."""
        assert self._frame is not None
        return self._frame

    def tensorrt(self, device: str) -> tuple[str, bool]:
        """-> why TensorRT cannot be used, and whether its engines are there; looked into only where it matters."""
        if device == "cpu" or self._wanted not in ("auto", "tensorrt"):
            return "", False
        if reason := tensorrt_encoder.installed():
            return reason, False
        self._fingerprint = tensorrt_cache.fingerprint(self._path)
        return "", all(tensorrt_cache.fits(self._key(people)) for people in tensorrt_encoder.sizes(self._most))

    def make(self, way: str) -> Runs:
        """Raises EngineError and RuntimeError where this way cannot be gone."""
        self._frame = None
        network = load_network(self._path, self._body)
        device = "cpu" if way == "cpu" else "cuda"
        if device == "cuda":
            halve(network, half_kind(self._gpu))
        frame = self._frame = Frame(network, Refiner(iterations=self._iterations)).to(device).eval()
        if way == "cuda-graph":
            engine = engines.cuda_graph(frame, self._most)
        elif way == "tensorrt":
            encoders = {
                people: tensorrt_encoder.load(tensorrt_cache.read(self._key(people)))
                for people in tensorrt_encoder.sizes(self._most)
            }
            assert network.vit is not None
            for replaced in (network.vit, network.pyramid):  # by the engines, which have weights of their own
                replaced.cpu()
            engine = engines.tensorrt(frame, encoders, self._most)
        else:
            engine = engines.eager(frame, device, self._most)
        engine.warm()
        return engine

    def _key(self, people: int) -> tensorrt_cache.Key:
        return tensorrt_encoder.key_for(self._fingerprint, self._header, people, self._gpu)
