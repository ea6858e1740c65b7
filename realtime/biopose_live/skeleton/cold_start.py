"""Inverse kinematics without a previous frame: many starts, repaired limb by limb.

Levenberg-Marquardt falls into local minima when a limb starts on the wrong side (an arm behind the back, a heading half
a turn off). So: the root is found first, from the markers of the bodies around it and several headings; then all
coordinates are solved from the default pose; then, while some markers stay far off, the chain of joints that leads to
the worst body is thrown to another pose inside its ranges and solved again, and the result kept if it is better.
Starts come from a fixed low-discrepancy sequence: the same markers always give the same answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .functions import Polynomial
from .model import GROUND, BoolArray, FloatArray

if TYPE_CHECKING:
    from .inverse_kinematics import IKResult, InverseKinematics

ROOT_STEPS = 30
FREE_STEPS = 40
WHOLE_STEPS = 40
REPAIRS = 40
PATIENCE = 12
SPREAD_LIMIT = np.pi


def fit_from_any_pose(
    solver: InverseKinematics,
    targets: FloatArray,
    q_prior: FloatArray | None,
    prior_weight: FloatArray | None,
    weights: FloatArray | None,
    tolerance: float,
) -> IKResult:
    """The best `IKResult` found for ``targets`` (M, 3) m; see `InverseKinematics.fit_from_any_pose`."""
    search = _Search(solver, np.asarray(targets, float), q_prior, prior_weight, weights)
    best = search.whole(search.root_pose())
    search_left = PATIENCE
    for attempt in range(REPAIRS):
        if not best.rms > tolerance or search_left == 0:
            break
        candidate = search.whole(search.thrown(best.q, attempt))
        if search.cost(candidate) < search.cost(best) * (1.0 - 1e-6):
            if candidate.rms < 0.98 * best.rms:
                search_left = PATIENCE
            best = candidate
        else:
            search_left -= 1
    return search.unwound(best)


class _Search:
    """What the stages share: the frame, the tree's shape, the sequence of starts."""

    def __init__(
        self,
        solver: InverseKinematics,
        targets: FloatArray,
        q_prior: FloatArray | None,
        prior_weight: FloatArray | None,
        weights: FloatArray | None,
    ) -> None:
        self.solver = solver
        self.targets = targets
        self.prior = q_prior
        self.pull = prior_weight
        self.weights = solver.weights if weights is None else np.asarray(weights, float)
        model = solver.model
        self.parents = model.body_parents
        self.roots = {joint.child for joint in model.joints if joint.parent == GROUND}
        self.of_body: dict[int, list[int]] = {}
        free = set(solver.free.tolist())
        for number, coordinate in enumerate(model.coordinates):
            if number in free:
                self.of_body.setdefault(model.joints[coordinate.joint].child, []).append(number)
        self.turning = [_turning_coordinates(solver, number) for number in range(len(model.joints))]
        self.seen = np.isfinite(targets).all(axis=1) & (self.weights > 0.0)

    def cost(self, result: IKResult) -> float:
        """What the solver minimised: markers and prior."""
        total = result.rms**2 * float(self.weights[self.seen].sum()) if self.seen.any() else 0.0
        if self.prior is not None and self.pull is not None:
            total += float(np.sum(self.pull * (result.q - self.prior) ** 2))
        return total

    def whole(self, start: FloatArray) -> IKResult:
        """Solve for everything from ``start``: first without the limits of rotations, then folded into them."""
        solve = self.solver.solve
        loose = solve(self.targets, start, FREE_STEPS, self.prior, self.pull, self.weights, limited=False)
        return solve(self.targets, self.folded(loose.q), WHOLE_STEPS, self.prior, self.pull, self.weights)

    def folded(self, q: FloatArray) -> FloatArray:
        """The same pose in the angles that break the ranges least.

        A joint of three rotations about axes at right angles has two sets of angles for every pose, (a, b, c) and
        (a + pi, pi - b, c + pi), each up to whole turns.
        """
        q = q.copy()
        for turning, two_sets in self.turning:
            sets = [q[turning]]
            if two_sets:
                a, b, c = sets[0]
                sets.append(np.array([a + np.pi, np.pi - b, c + np.pi]))
            low, high = self.solver.limits[turning, 0], self.solver.limits[turning, 1]
            middle = np.where(high < 2.0 * np.pi, (low + high) / 2.0, 0.0)
            wrapped = [middle + (angles - middle + np.pi) % (2.0 * np.pi) - np.pi for angles in sets]
            outside = [float(np.sum(np.maximum(low - w, 0.0) + np.maximum(w - high, 0.0))) for w in wrapped]
            q[turning] = wrapped[int(np.argmin(outside))]
        return q

    # --- the root -------------------------------------------------------------------------------------------------

    def root_pose(self) -> FloatArray:
        """The default pose with the root turned and moved to its own markers."""
        start = self.solver.model.default_pose()
        chosen = self.root_markers()
        if chosen is None:
            return start
        weights = np.where(chosen, self.weights, 0.0)
        free = np.zeros(len(start), bool)
        for root in self.roots:
            free[self.of_body.get(root, [])] = True
        turning = [c for c in np.flatnonzero(free) if self.solver.model.coordinates[c].rotational]
        moving = [c for c in np.flatnonzero(free) if not self.solver.model.coordinates[c].rotational]
        best: IKResult | None = None
        for turn in self.headings(len(turning)):
            q = start.copy()
            q[turning] = turn
            if len(moving) == 3:
                points, _ = self.solver.residual_jacobian(q)
                q[moving] += np.mean((self.targets - points)[chosen], axis=0)
            result = self.solver.solve(self.targets, q, ROOT_STEPS, weights=weights, free=free)
            if best is None or result.rms < best.rms:
                best = result
        return start if best is None else best.q

    def root_markers(self) -> BoolArray | None:
        """Which markers to place the root by: its own body's when they span a plane, else those of bodies nearby."""
        bodies = set(self.roots)
        on = np.zeros(len(self.seen), bool)
        for _ in range(4):
            on = self.seen & np.isin(self.solver.marker_bodies, sorted(bodies))
            if on.sum() >= 3:
                centred = self.targets[on] - self.targets[on].mean(axis=0)
                if np.linalg.svd(centred, compute_uv=False)[1] > 0.02:
                    return on
            bodies |= {child for child, parent in enumerate(self.parents) if parent in bodies}
        return on if on.sum() >= 1 else None

    @staticmethod
    def headings(count: int) -> list[FloatArray]:
        """Starting angles for the root's rotations: upright in four directions, then lying and upside down."""
        if count != 3:
            return [np.full(count, angle) for angle in (0.0, 0.5 * np.pi, -0.5 * np.pi, np.pi)]
        turns = np.arange(4) * np.pi / 2.0
        return [np.array([turn, 0.0, tilt]) for tilt in (0.0, -np.pi / 2, np.pi / 2, np.pi) for turn in turns]

    # --- repairs --------------------------------------------------------------------------------------------------

    def thrown(self, q: FloatArray, attempt: int) -> FloatArray:
        """``q`` with the joints that lead to one of the worst bodies thrown to another pose inside their ranges."""
        order = self.worst_bodies(q)
        start = q.copy()
        if not order:
            return start
        body = order[attempt % min(3, len(order))]
        chain: list[int] = []
        walker = body
        # Every second throw leaves the joints near the root where they are: they are usually right.
        depth = 5 if attempt % 2 else 3
        while walker != GROUND and walker not in self.roots and len(chain) < depth:
            chain.append(walker)
            walker = self.parents[walker]
        numbers = [c for link in chain for c in self.of_body.get(link, [])]
        for place, c in enumerate(numbers):
            low, high = self.solver.model.coordinates[c].range
            middle = min(max(0.0, low), high)
            low, high = max(low, middle - SPREAD_LIMIT), min(high, middle + SPREAD_LIMIT)
            start[c] = low + (high - low) * _low_discrepancy(attempt + 1, place)
        return start

    def worst_bodies(self, q: FloatArray) -> list[int]:
        """Bodies with markers seen, the one with the largest mean error first."""
        points, _ = self.solver.residual_jacobian(q)
        error = np.where(self.seen, np.linalg.norm(np.nan_to_num(self.targets) - points, axis=1), 0.0)
        bodies = sorted(set(self.solver.marker_bodies[self.seen].tolist()))
        mean = {b: float(error[self.seen & (self.solver.marker_bodies == b)].mean()) for b in bodies}
        return sorted(bodies, key=lambda b: -mean[b])

    def unwound(self, result: IKResult) -> IKResult:
        """The same pose with unlimited rotations brought into (-pi, pi]."""
        for c in self.solver.free:
            coordinate = self.solver.model.coordinates[c]
            if coordinate.rotational and not coordinate.clamped:
                result.q[c] = -((np.pi - result.q[c]) % (2.0 * np.pi) - np.pi)
        return result


def _turning_coordinates(solver: InverseKinematics, number: int) -> tuple[list[int], bool]:
    """The free rotations of a joint in the order in which they turn, and whether every pose has two sets of them."""
    joint = solver.model.joints[number]
    turning: list[int] = []
    plain = True
    for axis in joint.axes[:3]:
        c = axis.coordinate
        if c is not None and c in solver.free and c not in turning:
            turning.append(c)
            plain &= isinstance(axis.function, Polynomial) and axis.function.coefficients in ((1.0, 0.0), (-1.0, 0.0))
    # A coordinate that also turns or moves something else may be neither flipped nor wrapped.
    uses = [axis.coordinate for axis in joint.axes if axis.coordinate is not None]
    if not plain or any(uses.count(c) > 1 for c in turning):
        return [], False
    gram = np.array([axis.direction for axis in joint.axes[:3]])
    return turning, len(turning) == 3 and bool(np.allclose(gram @ gram.T, np.eye(3), atol=1e-6))


def _low_discrepancy(index: int, dimension: int) -> float:
    """Element ``index`` of a Kronecker sequence in ``dimension``: the golden-ratio generalisation (Roberts 2018)."""
    root = 1.0
    for _ in range(40):
        root = (1.0 + root) ** (1.0 / 23.0)
    return float((0.5 + index * root ** -(dimension % 22 + 1.0)) % 1.0)
