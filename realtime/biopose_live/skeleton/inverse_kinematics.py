"""Inverse kinematics of one frame: coordinates that put a skeleton's markers where they were seen.

Minimises ``sum_m w_m |y_m - x_m(q)|^2 + sum_c p_c (q_c - prior_c)^2`` within the coordinates' ranges by
Levenberg-Marquardt (Marquardt 1963) with an analytic Jacobian and an active set of limits: a coordinate that reaches a
limit stays there while the cost pulls it outwards, and the others are solved for again. This is the problem that
OpenSim's InverseKinematicsTool solves; markers are least-squares, limits are hard.

Dimensions: M markers, Q coordinates, F free coordinates (neither locked nor coupled), B bodies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .cold_start import fit_from_any_pose
from .kernels import IntArray, Problem, couple, residual_jacobian, solve_frame
from .model import GROUND, BoolArray, FloatArray, SkeletonModel, scale_model
from .tree import check_bodies, check_scales, compile_tree

UNBOUNDED = 1e9
DAMPING = 1e-3


@dataclass(frozen=True, eq=False)
class IKResult:
    """One frame's answer.

    ``q`` (Q,) rad or m; ``rms`` (m) over the markers seen, weighted, nan when there were none; ``iterations`` the
    Levenberg-Marquardt steps taken; ``information`` (Q, Q), the Gauss-Newton matrix ``J^T W J + P`` at ``q`` in units
    of ``weight m^2 / (rad or m)^2``, zero in the rows of coordinates that are locked or coupled.
    """

    q: FloatArray
    rms: float
    iterations: int
    information: FloatArray


class InverseKinematics:
    """Solves frames for one skeleton, one set of bone scales and one set of markers."""

    def __init__(
        self,
        model: SkeletonModel,
        marker_bodies: object,
        marker_locations: FloatArray,
        weights: FloatArray | None = None,
        scales: FloatArray | None = None,
    ) -> None:
        """Prepare for markers fixed to bodies ``marker_bodies`` (M,) at ``marker_locations`` (M, 3).

        Locations are metres in the *scaled* body frames (the true offsets on this person, never multiplied by
        ``scales``). ``weights`` (M,) default to one: the inverse variances of the markers relative to one another.
        ``scales`` (B, 3) stretch the bones. Raises ValueError for wrong shapes or negative weights.
        """
        self.model = model
        self.scales = check_scales(model, scales)
        bodies = check_bodies(model, marker_bodies)
        locations = np.array(marker_locations, float)
        weights = np.ones(len(bodies)) if weights is None else np.array(weights, float)
        if locations.shape != (len(bodies), 3) or weights.shape != (len(bodies),):
            raise ValueError(
                f"{len(bodies)} marker bodies, but locations {locations.shape} and weights {weights.shape}"
            )
        if not np.all(weights >= 0.0) or not np.all(np.isfinite(locations)) or np.any(bodies == GROUND):
            raise ValueError("weights must be >= 0, locations finite, and markers on bodies, not on the ground")
        self.marker_bodies = bodies
        self.marker_locations = locations
        self.weights = weights
        dependent = {coupler.dependent for coupler in model.couplers}
        self.free: IntArray = np.array(
            [i for i, c in enumerate(model.coordinates) if not c.locked and i not in dependent], np.int64
        )
        self.limits = np.array(
            [c.range if c.clamped else (-UNBOUNDED, UNBOUNDED) for c in model.coordinates], float
        ).reshape(-1, 2)
        self.problem = _problem(self)
        wide = np.array([model.coordinates[c].rotational for c in self.free], bool)
        self.unlimited = self.problem._replace(
            lower=np.where(wide, -UNBOUNDED, self.problem.lower), upper=np.where(wide, UNBOUNDED, self.problem.upper)
        )

    # --- solving --------------------------------------------------------------------------------------------------

    def solve(
        self,
        targets: FloatArray,
        q_start: FloatArray | None = None,
        iterations: int = 2,
        q_prior: FloatArray | None = None,
        prior_weight: FloatArray | None = None,
        weights: FloatArray | None = None,
        free: BoolArray | None = None,
        limited: bool = True,
    ) -> IKResult:
        """Coordinates that bring the markers to ``targets`` (M, 3) m in ground; a row with NaN is a missing marker.

        Starts from ``q_start`` (Q,) (default pose when None) and takes at most ``iterations`` steps. ``q_prior`` (Q,)
        with ``prior_weight`` (Q,) adds a quadratic pull; a weight of ``(marker sigma / coordinate sigma)^2`` makes it a
        Gaussian prior beside markers of weight one. ``weights`` (M,) replace the markers' weights for this frame, for
        example with their confidence. ``free`` (Q,) bool holds still the coordinates where it is False. Locked
        coordinates keep the value of ``q_start``. ``limited`` False lifts the limits of the rotations. Raises
        ValueError for a wrong shape.
        """
        q = self._vector(self.model.default_pose() if q_start is None else q_start, "q_start")
        prior = q.copy() if q_prior is None else self._vector(q_prior, "q_prior")
        pull = self._prior_weight(prior_weight if q_prior is not None else None)
        marker_targets, marker_weights = self._seen(targets, weights)
        held = self._held(free)
        steps, cost, matrix = solve_frame(
            self.problem if limited else self.unlimited,
            q,
            marker_targets,
            marker_weights,
            prior,
            pull,
            held,
            iterations,
            DAMPING,
        )
        total = float(marker_weights.sum())
        information = matrix
        if len(self.free) < len(q):
            information = np.zeros((len(q), len(q)))
            information[np.ix_(self.free, self.free)] = matrix
        return IKResult(q, float(np.sqrt(cost / total)) if total > 0.0 else float("nan"), int(steps), information)

    def fit_from_any_pose(
        self,
        targets: FloatArray,
        q_prior: FloatArray | None = None,
        prior_weight: FloatArray | None = None,
        weights: FloatArray | None = None,
        tolerance: float = 1e-3,
    ) -> IKResult:
        """Coordinates for ``targets`` (M, 3) without any idea of the pose: many starts, the best kept.

        Stops early when the rms falls below ``tolerance`` (m). Takes tens of milliseconds; see `cold_start`.
        """
        return fit_from_any_pose(self, targets, q_prior, prior_weight, weights, tolerance)

    # --- uncertainty ----------------------------------------------------------------------------------------------

    def sigma(
        self,
        q: FloatArray,
        marker_sigma: float,
        visible: object | None = None,
        prior_weight: FloatArray | None = None,
        weights: FloatArray | None = None,
    ) -> FloatArray:
        """One standard deviation (Q,) rad or m of each coordinate at ``q`` when markers err by ``marker_sigma`` (m).

        The Laplace approximation: ``marker_sigma^2 (J^T W J + P)^-1``, with a uniform prior over the range of each
        limited coordinate (variance ``range^2 / 12``), so that one that no marker sees is as uncertain as its range.
        Zero for locked coordinates; a coupled one follows its own. ``visible`` (M,) bool, all when None. Infinite where
        nothing limits the coordinate. Raises ValueError for a wrong shape.
        """
        q = self._vector(q, "q")
        targets = np.zeros((len(self.marker_bodies), 3))
        if visible is not None:
            targets[~np.asarray(visible, bool)] = np.nan
        marker_targets, marker_weights = self._seen(targets, weights)
        pull = self._prior_weight(prior_weight)
        held = self._held(None)
        _, _, matrix = solve_frame(self.problem, q, marker_targets, marker_weights, q.copy(), pull, held, 0, DAMPING)
        span = (self.limits[:, 1] - self.limits[:, 0])[self.free]
        limited = span < UNBOUNDED
        extra = np.where(limited, 12.0 * (marker_sigma / np.maximum(span, 1e-6)) ** 2, 0.0)
        values, vectors = np.linalg.eigh(matrix + np.diag(extra))
        spread = np.where(values > 1e-12 * max(values[-1], 1e-12), values, np.nan)
        share = vectors**2
        variance = np.where(np.isnan(spread), 0.0, share / np.where(np.isnan(spread), 1.0, spread)).sum(axis=1)
        lost = (share[:, np.isnan(spread)] > 1e-6).any(axis=1)
        result = np.zeros(len(q))
        result[self.free] = np.where(lost, np.inf, marker_sigma * np.sqrt(variance))
        gain = np.abs(_coupling(self, q))
        for coupler in self.model.couplers:
            result[coupler.dependent] = gain[coupler.dependent] * result[self._root(coupler.dependent)]
        return result

    def residual_jacobian(self, q: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Marker positions (M, 3) m in ground at ``q`` and their derivatives (M, 3, F) by the free coordinates."""
        q = self._vector(q, "q")
        couple(self.problem.tree, q)
        return residual_jacobian(self.problem, q)

    # --- checks ---------------------------------------------------------------------------------------------------

    def _held(self, free: BoolArray | None) -> BoolArray:
        held = np.zeros(len(self.free), np.bool_)
        if free is not None:
            held[:] = np.logical_not(np.asarray(free, bool)[self.free])
        return held

    def _root(self, coordinate: int) -> int:
        followed = {coupler.dependent: coupler.independent for coupler in self.model.couplers}
        while coordinate in followed:
            coordinate = followed[coordinate]
        return coordinate

    def _vector(self, values: FloatArray, name: str) -> FloatArray:
        vector = np.array(values, float)
        if vector.shape != (len(self.model.coordinates),) or not np.isfinite(vector).all():
            raise ValueError(f"{name} must be {len(self.model.coordinates)} finite numbers, got shape {vector.shape}")
        return vector

    def _prior_weight(self, prior_weight: FloatArray | None) -> FloatArray:
        if prior_weight is None:
            return np.zeros(len(self.model.coordinates))
        pull = np.broadcast_to(np.asarray(prior_weight, float), (len(self.model.coordinates),)).copy()
        if not np.all(pull >= 0.0):
            raise ValueError("prior weights must be >= 0")
        return pull

    def _seen(self, targets: FloatArray, weights: FloatArray | None) -> tuple[FloatArray, FloatArray]:
        targets = np.array(targets, float)
        if targets.shape != (len(self.marker_bodies), 3):
            raise ValueError(f"targets have shape {targets.shape}, expected ({len(self.marker_bodies)}, 3)")
        weights = self.weights if weights is None else np.asarray(weights, float)
        if weights.shape != (len(self.marker_bodies),) or not (weights >= 0.0).all():
            raise ValueError(f"weights must be {len(self.marker_bodies)} numbers >= 0, got shape {weights.shape}")
        finite = np.isfinite(targets)
        if finite.all():
            return targets, weights
        seen: BoolArray = np.all(finite, axis=1)
        return np.where(seen[:, None], targets, 0.0), np.where(seen, weights, 0.0)


def _problem(solver: InverseKinematics) -> Problem:
    """The arrays that the compiled solver walks: per body, which motions move it and which columns they fill."""
    model = solver.model
    tree = compile_tree(scale_model(model, solver.scales))
    column = np.full(len(model.coordinates), -1, np.int64)
    column[solver.free] = np.arange(len(solver.free))
    for coupler in model.couplers:
        column[coupler.dependent] = column[coupler.independent]
    joint_of = {joint.child: number for number, joint in enumerate(model.joints)}
    order = np.argsort(solver.marker_bodies, kind="stable")
    motions: list[tuple[int, int, int]] = []
    columns: list[int] = []
    motion_start, column_start = [0], [0]
    for body in range(len(model.bodies)):
        path: list[int] = []
        walker = body
        while walker != GROUND:
            path.append(joint_of[walker])
            walker = model.joints[joint_of[walker]].parent
        rows = [
            (j, k, int(column[tree.coordinate[j, k]]))
            for j in path
            for k in range(6)
            if tree.coordinate[j, k] >= 0 and column[tree.coordinate[j, k]] >= 0
        ]
        own = sorted({row[2] for row in rows})
        motions += [(j, k, own.index(c)) for j, k, c in rows]
        columns += own
        motion_start.append(len(motions))
        column_start.append(len(columns))
    return Problem(
        tree=tree,
        free=solver.free,
        lower=np.ascontiguousarray(solver.limits[solver.free, 0]),
        upper=np.ascontiguousarray(solver.limits[solver.free, 1]),
        marker_order=order.astype(np.int64),
        marker_body=solver.marker_bodies[order],
        marker_location=np.ascontiguousarray(solver.marker_locations[order]),
        motion=np.array(motions, np.int64).reshape(-1, 3),
        motion_start=np.array(motion_start, np.int64),
        column=np.array(columns, np.int64),
        column_start=np.array(column_start, np.int64),
        widest=int(np.max(np.diff(column_start), initial=1)),
    )


def _coupling(solver: InverseKinematics, q: FloatArray) -> FloatArray:
    """Derivative (Q,) of each coordinate by the free one that drives it (1 for the free ones)."""
    gain = np.ones(len(q))
    for coupler in solver.model.couplers:
        gain[coupler.dependent] = gain[coupler.independent] * coupler.function.derivative(q[coupler.independent])
    return gain
