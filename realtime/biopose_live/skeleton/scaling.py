"""Bone scales and marker offsets of one person, from named points of that person standing.

Like OpenSim's ScaleTool: each scale factor is the ratio of distances, measured over modelled, of pairs of named points
(`RULES`); the model's side is posed like the person and stretched with the factors found so far, and the ratios are
taken again until they settle, so pairs oblique to an axis or across several bodies come out right too. Then the
markers are fixed to the stretched bodies where they lie in the known standing pose (ScaleTool's MarkerPlacer), which
ties the zero of every angle to that pose.

Point names: the joint centres of `JOINT_POINTS` and the markers of the model, all in one frame that is aligned with
ground (x forward, y up, z right; m). ``A+B`` is the midpoint. Dimensions: B bodies, Q coordinates, M markers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .anatomy import JOINT_POINTS, Anatomy, plain_anatomy
from .inverse_kinematics import InverseKinematics
from .kinematics import Kinematics
from .model import FloatArray, SkeletonModel
from .tree import check_bodies, check_scales

FACTOR_LIMITS = (0.6, 1.6)
SWEEPS = 40
CONVERGED = 1e-7


@dataclass(frozen=True)
class ScaleRule:
    """The factors of ``bodies`` along ``axes`` ("x", "yz", ...) grow by the mean ratio of the distances ``pairs``.

    Bodies are segments and axes the ground's in the anatomical position, whatever a model calls and turns its own.

    Without a pair that was measured the factors copy the mean of ``follows``, a list of (body, axis); without those
    either, the person's overall size.
    """

    bodies: tuple[str, ...]
    axes: str
    pairs: tuple[tuple[str, str], ...] = ()
    follows: tuple[tuple[str, str], ...] = ()


_MIDDLE = (
    ScaleRule(("pelvis",), "z", (("hip_r", "hip_l"), ("RASI", "LASI"))),
    ScaleRule(("pelvis",), "x", (("RASI+LASI", "RPSI+LPSI"),), (("pelvis", "z"),)),
    ScaleRule(("pelvis",), "y", (), (("pelvis", "x"), ("pelvis", "z"))),
    ScaleRule(("lumbar", "thorax"), "y", (("RASI+LASI", "C7"), ("RPSI+LPSI", "C7"), ("hip_r+hip_l", "neck"))),
    ScaleRule(("thorax",), "x", (("CLAV", "C7"), ("STRN", "T10")), (("thorax", "y"),)),
    ScaleRule(("thorax",), "z", (), (("scapula_r", "z"), ("scapula_l", "z"))),
    ScaleRule(("lumbar",), "x", (), (("thorax", "x"), ("pelvis", "x"))),
    ScaleRule(("lumbar",), "z", (), (("thorax", "z"), ("pelvis", "z"))),
    ScaleRule(("head",), "x", (("RFHD+LFHD", "RBHD+LBHD"),), (("head", "z"),)),
    ScaleRule(("head",), "y", (("REAR+LEAR", "THD"),), (("head", "x"), ("head", "z"))),
    ScaleRule(("head",), "z", (("REAR", "LEAR"),)),
)
_RIGHT = (
    ScaleRule(("femur_r",), "y", (("hip_r", "knee_r"),)),
    ScaleRule(("femur_r",), "xz", (("RLFC", "RMFC"),), (("femur_r", "y"),)),
    ScaleRule(("tibia_r",), "y", (("knee_r", "ankle_r"),)),
    ScaleRule(("tibia_r",), "xz", (("RLMAL", "RMMAL"),), (("tibia_r", "y"),)),
    ScaleRule(("talus_r", "calcn_r", "toes_r"), "x", (("RCAL", "RMT1+RMT5"), ("RCAL", "RTOE"), ("ankle_r", "mtp_r"))),
    ScaleRule(("talus_r", "calcn_r", "toes_r"), "y", (), (("calcn_r", "x"),)),
    ScaleRule(("talus_r", "calcn_r", "toes_r"), "z", (("RMT1", "RMT5"),), (("calcn_r", "x"),)),
    ScaleRule(("scapula_r",), "z", (("shoulder_r", "shoulder_l"),)),
    ScaleRule(("scapula_r",), "x", (), (("thorax", "x"),)),
    ScaleRule(("scapula_r",), "y", (), (("thorax", "y"),)),
    ScaleRule(("humerus_r",), "y", (("shoulder_r", "elbow_r"),)),
    ScaleRule(("humerus_r",), "xz", (("RLEL", "RMEL"),), (("humerus_r", "y"),)),
    ScaleRule(("ulna_r", "radius_r"), "y", (("elbow_r", "wrist_r"),)),
    ScaleRule(("ulna_r", "radius_r"), "xz", (("RRAD", "RULN"),), (("radius_r", "y"),)),
    ScaleRule(("hand_r",), "y", (("wrist_r", "RH2+RH5"),), (("radius_r", "y"),)),
    ScaleRule(("hand_r",), "xz", (("RH2", "RH5"),), (("hand_r", "y"),)),
)
LENGTHS = ("femur", "tibia", "humerus", "radius")  # whose y factors stand for the person's overall size


def _mirrored_name(name: str) -> str:
    if "+" in name:
        return "+".join(_mirrored_name(part) for part in name.split("+"))
    if name.endswith(("_r", "_l")):
        return name[:-1] + ("l" if name.endswith("_r") else "r")
    return "L" + name[1:] if name.startswith("R") else name


def _mirrored(rule: ScaleRule) -> ScaleRule:
    return ScaleRule(
        tuple(_mirrored_name(body) for body in rule.bodies),
        rule.axes,
        tuple((_mirrored_name(a), _mirrored_name(b)) for a, b in rule.pairs),
        tuple((_mirrored_name(body), axis) for body, axis in rule.follows),
    )


RULES: tuple[ScaleRule, ...] = _RIGHT + tuple(_mirrored(rule) for rule in _RIGHT) + _MIDDLE

# For models without the landmarks that `RULES` measures between: joint centres only, which every model has.
_GENERAL_RIGHT = (
    ScaleRule(("femur_r",), "y", (("hip_r", "knee_r"),)),
    ScaleRule(("femur_r",), "xz", (), (("femur_r", "y"),)),
    ScaleRule(("tibia_r",), "y", (("knee_r", "ankle_r"),)),
    ScaleRule(("tibia_r",), "xz", (), (("tibia_r", "y"),)),
    ScaleRule(("talus_r", "calcn_r", "toes_r"), "x", (("ankle_r", "mtp_r"),), (("tibia_r", "y"),)),
    ScaleRule(("talus_r", "calcn_r", "toes_r"), "yz", (), (("calcn_r", "x"), ("toes_r", "x"))),
    ScaleRule(("humerus_r",), "y", (("shoulder_r", "elbow_r"),)),
    ScaleRule(("humerus_r",), "xz", (), (("humerus_r", "y"),)),
    ScaleRule(("ulna_r", "radius_r"), "y", (("elbow_r", "wrist_r"),), (("humerus_r", "y"),)),
    ScaleRule(("ulna_r", "radius_r"), "xz", (), (("radius_r", "y"),)),
    ScaleRule(("hand_r",), "xyz", (), (("radius_r", "y"),)),
)
GENERAL_RULES: tuple[ScaleRule, ...] = (
    *_GENERAL_RIGHT,
    *(_mirrored(rule) for rule in _GENERAL_RIGHT),
    ScaleRule(("pelvis",), "z", (("hip_r", "hip_l"),)),
    # Not by the width: hips lie wider or narrower without the pelvis being taller or shorter for it.
    ScaleRule(("pelvis",), "xy", (), (("femur_r", "y"), ("tibia_r", "y"))),
    ScaleRule(("lumbar", "thorax"), "y", (("hip_r+hip_l", "shoulder_r+shoulder_l"),)),
    ScaleRule(("thorax", "scapula_r", "scapula_l"), "z", (("shoulder_r", "shoulder_l"),), (("thorax", "y"),)),
    ScaleRule(("thorax", "lumbar"), "x", (), (("thorax", "y"),)),
    ScaleRule(("lumbar",), "z", (), (("thorax", "z"), ("pelvis", "z"))),
    ScaleRule(("scapula_r", "scapula_l"), "xy", (), (("thorax", "y"),)),
    ScaleRule(("head",), "xyz", (), (("thorax", "y"),)),
)


@dataclass(frozen=True, eq=False)
class PersonFit:
    """A person's skeleton.

    ``scales`` (B, 3); ``q`` (Q,) the standing pose in the frame of the points; ``marker_locations`` (M, 3) m in the
    *scaled* body frames; ``clipped`` the (body, axis) whose factor ran into `FACTOR_LIMITS`; ``guessed`` those that no
    measured distance decided.
    """

    scales: FloatArray
    q: FloatArray
    marker_locations: FloatArray
    clipped: tuple[tuple[str, str], ...]
    guessed: tuple[tuple[str, str], ...]


def fit_person(
    model: SkeletonModel,
    points: Mapping[str, FloatArray],
    marker_bodies: object,
    marker_points: FloatArray,
    q_standing: FloatArray | None = None,
    rules: tuple[ScaleRule, ...] = RULES,
    limits: tuple[float, float] = FACTOR_LIMITS,
    symmetric: bool = True,
    anatomy: Anatomy | None = None,
) -> PersonFit:
    """Scales from ``points``, then ``marker_points`` (M, 3) m fixed to ``marker_bodies`` (M,) of the scaled skeleton.

    ``q_standing`` (Q,) is the pose that the person stands in, zero when None; the root's translation is found from the
    points. All points share one frame aligned with ground. ``anatomy`` says which body is which segment; None when they
    carry the segments' own names. Raises ValueError for wrong shapes, names that the model does not know, or no
    measured length at all.
    """
    q = np.zeros(len(model.coordinates)) if q_standing is None else np.array(q_standing, float)
    scales, clipped, guessed = measure_scales(model, points, q, rules, limits, symmetric, anatomy)
    q = place_root(model, scales, q, points, anatomy)
    locations = place_markers(model, scales, q, marker_bodies, marker_points)
    return PersonFit(scales, q, locations, clipped, guessed)


def measure_scales(
    model: SkeletonModel,
    points: Mapping[str, FloatArray],
    q_standing: FloatArray,
    rules: tuple[ScaleRule, ...] = RULES,
    limits: tuple[float, float] = FACTOR_LIMITS,
    symmetric: bool = True,
    anatomy: Anatomy | None = None,
) -> tuple[FloatArray, tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Scale factors (B, 3) from measured ``points``, and which were clipped or guessed: see `PersonFit`.

    ``symmetric`` gives both sides the mean of their factors. Raises ValueError as `fit_person`.
    """
    anatomy = plain_anatomy(model) if anatomy is None else anatomy
    measured = {name: np.asarray(value, float) for name, value in points.items()}
    _check_points(model, anatomy, measured)
    kinematics = Kinematics(model)
    scales = np.ones((len(model.bodies), 3))
    plan = [_planned(anatomy, rule, measured) for rule in rules]
    following = _Following(anatomy, plan)
    if not any(part.pairs for part in plan):
        raise ValueError("no rule has both of its points among those given")
    for _ in range(SWEEPS):
        before = scales.copy()
        modelled = _model_points(model, anatomy, kinematics, q_standing, scales)
        for part in plan:
            if part.pairs:
                ratio = np.mean([length / _distance(modelled, a, b) for a, b, length in part.pairs])
                for factor in part.factors:
                    scales[factor] *= ratio
        scales = np.clip(scales, *limits)
        if symmetric:
            scales = _symmetric(anatomy, scales)
        following.fill(scales)
        if float(np.max(np.abs(scales - before))) < CONVERGED:
            break
    names = model.body_names
    clipped = tuple(
        (names[b], "xyz"[a]) for b in range(len(names)) for a in range(3) if not limits[0] < scales[b, a] < limits[1]
    )
    guessed = tuple((names[body], "xyz"[axis]) for body, axis in following.undecided)
    return scales, clipped, guessed


def place_root(
    model: SkeletonModel,
    scales: FloatArray,
    q_standing: FloatArray,
    points: Mapping[str, FloatArray],
    anatomy: Anatomy | None = None,
) -> FloatArray:
    """``q_standing`` (Q,) with the root moved so that the hips (or else all known points) lie where they were measured.

    Raises ValueError when the model's root does not translate or no point is known.
    """
    q = np.array(q_standing, float)
    moving = [i for i, c in enumerate(model.coordinates) if c.joint == 0 and not c.rotational]
    if len(moving) != 3:
        raise ValueError("the model's root has no three translations")
    anatomy = plain_anatomy(model) if anatomy is None else anatomy
    modelled = _model_points(model, anatomy, Kinematics(model), q, check_scales(model, scales))
    shared = [name for name in points if name in modelled]
    hips = [name for name in ("hip_r", "hip_l") if name in shared]
    if not shared:
        raise ValueError("none of the points is known to the model")
    away = [np.asarray(points[name], float) - modelled[name] for name in hips or shared]
    # The root's translations are along the ground's axes only if its joint frame is; solve for them in general.
    q[moving] += np.linalg.solve(_root_axes(model, moving), np.mean(away, axis=0))
    return q


def place_markers(
    model: SkeletonModel, scales: FloatArray, q: FloatArray, marker_bodies: object, marker_points: FloatArray
) -> FloatArray:
    """Locations (M, 3) m in the scaled body frames of points (M, 3) m in ground, seen with the skeleton at ``q``."""
    bodies = check_bodies(model, marker_bodies)
    rotation, position = Kinematics(model).forward(q, scales)
    points = np.asarray(marker_points, float)
    if points.shape != (len(bodies), 3):
        raise ValueError(f"marker points have shape {points.shape}, expected ({len(bodies)}, 3)")
    locations: FloatArray = np.einsum("mji,mj->mi", rotation[bodies], points - position[bodies])
    return locations


def settle_pose(
    model: SkeletonModel,
    scales: FloatArray,
    points: Mapping[str, FloatArray],
    q_expected: FloatArray,
    q_sigma: FloatArray,
    point_sigma: float = 0.01,
) -> FloatArray:
    """The standing pose (Q,) when it is known roughly: the points pull, ``q_expected`` +- ``q_sigma`` (Q,) holds.

    Use a small sigma (about 0.02 rad) where the zero of an angle must stay where its definition puts it, such as
    pelvis tilt and spine, and a large one where the pose is unknown, such as the arms. Sigma 0 is infinitely strong.
    """
    scales = check_scales(model, scales)
    bodies: list[int] = []
    locations: list[FloatArray] = []
    targets: list[FloatArray] = []
    for name, value in points.items():
        if name in JOINT_POINTS:
            bodies.append(model.body_index(JOINT_POINTS[name]))
            locations.append(model.joint_of_body(bodies[-1]).child_frame.position * scales[bodies[-1]])
        elif name in model.marker_names:
            marker = model.markers[model.marker_names.index(name)]
            bodies.append(marker.body)
            locations.append(marker.location * scales[marker.body])
        else:
            raise ValueError(f"the point {name!r} is neither a joint centre nor a marker of the model")
        targets.append(np.asarray(value, float))
    solver = InverseKinematics(model, bodies, np.array(locations), scales=scales)
    start = place_root(model, scales, q_expected, points)
    sigma = np.broadcast_to(np.asarray(q_sigma, float), start.shape)
    weight = (point_sigma / np.maximum(sigma, 1e-6)) ** 2
    weight[[i for i, c in enumerate(model.coordinates) if c.joint == 0 and not c.rotational]] = 0.0
    return solver.solve(np.array(targets), start, 60, start, weight).q


# --- the model's side -------------------------------------------------------------------------------------------------


def _model_points(
    model: SkeletonModel, anatomy: Anatomy, kinematics: Kinematics, q: FloatArray, scales: FloatArray
) -> dict[str, FloatArray]:
    centres = kinematics.joint_centres(q, scales)
    markers = kinematics.markers(q, scales)
    named = {marker.name: markers[number] for number, marker in enumerate(model.markers)}
    named.update({name: centres[body] for name, body in anatomy.centres.items()})
    return named


def _check_points(model: SkeletonModel, anatomy: Anatomy, measured: Mapping[str, FloatArray]) -> None:
    known = set(anatomy.centres) | set(model.marker_names)
    for name, value in measured.items():
        if name not in known:
            raise ValueError(f"the point {name!r} is neither a joint centre nor a marker of the model")
        if value.shape != (3,) or not np.all(np.isfinite(value)):
            raise ValueError(f"the point {name!r} must be three finite numbers, got {value!r}")


def _point(points: Mapping[str, FloatArray], name: str) -> FloatArray:
    first, _, second = name.partition("+")
    return (points[first] + points[second]) / 2.0 if second else points[first]


def _distance(points: Mapping[str, FloatArray], a: str, b: str) -> float:
    line = _point(points, a) - _point(points, b)
    return math.sqrt(line @ line)


def _measured_pairs(rule: ScaleRule, measured: Mapping[str, FloatArray]) -> list[tuple[str, str, float]]:
    pairs = []
    for a, b in rule.pairs:
        if all(part in measured for part in f"{a}+{b}".split("+")):
            pairs.append((a, b, _distance(measured, a, b)))
    return pairs


@dataclass(frozen=True)
class _Planned:
    """A rule on one model: the measured pairs (with their lengths, m), and the factors as (body, own axis)."""

    pairs: list[tuple[str, str, float]]
    factors: list[tuple[int, int]]
    follows: list[tuple[int, int]]


def _planned(anatomy: Anatomy, rule: ScaleRule, measured: Mapping[str, FloatArray]) -> _Planned:
    bodies = dict.fromkeys(anatomy.bodies[segment] for segment in rule.bodies if segment in anatomy.bodies)
    present = [(anatomy.bodies[segment], axis) for segment, axis in rule.follows if segment in anatomy.bodies]
    return _Planned(
        _measured_pairs(rule, measured),
        [(body, int(anatomy.axes[body, "xyz".index(axis)])) for body in bodies for axis in rule.axes],
        [(body, int(anatomy.axes[body, "xyz".index(axis)])) for body, axis in present],
    )


def _symmetric(anatomy: Anatomy, scales: FloatArray) -> FloatArray:
    result = scales.copy()
    for right, left in anatomy.pairs:
        for axis in range(3):
            both = (right, anatomy.axes[right, axis]), (left, anatomy.axes[left, axis])
            result[both[0]] = result[both[1]] = (scales[both[0]] + scales[both[1]]) / 2.0
    return result


class _Following:
    """The factors that nothing measured decides, `undecided`, and where each of them comes from."""

    def __init__(self, anatomy: Anatomy, plan: list[_Planned]) -> None:
        decided = {factor for part in plan if part.pairs for factor in part.factors}
        along = [
            (body, int(anatomy.axes[body, 1])) for segment, body in anatomy.bodies.items() if segment[:-2] in LENGTHS
        ]
        self._lengths = [factor for factor in dict.fromkeys(along) if factor in decided]
        everything = [(body, axis) for body in range(len(anatomy.model.bodies)) for axis in range(3)]
        self.undecided = [factor for factor in everything if factor not in decided]
        self._steps: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]] = []
        settled = set(decided)
        for _ in range(3):  # a factor may follow one that follows another
            for part in plan:
                sources = [factor for factor in part.follows if factor in settled]
                targets = [factor for factor in part.factors if factor not in decided]
                if not part.pairs and sources:
                    self._steps.append((targets, sources))
                    settled.update(targets)
        for body, leader in anatomy.leaders.items():
            for axis in range(3):
                source = leader, int(anatomy.axes[leader, axis])
                self._steps.append(([(body, int(anatomy.axes[body, axis]))], [source]))

    def fill(self, scales: FloatArray) -> None:
        """Fills these factors of (B, 3) ``scales``, in place."""
        overall = float(np.median([scales[factor] for factor in self._lengths])) if self._lengths else 1.0
        for factor in self.undecided:
            scales[factor] = overall
        for targets, sources in self._steps:
            value = sum(scales[factor] for factor in sources) / len(sources)
            for factor in targets:
                scales[factor] = value


def _root_axes(model: SkeletonModel, moving: list[int]) -> FloatArray:
    joint = model.joints[0]
    columns = []
    for number in moving:
        axis = next(axis for axis in joint.axes[3:] if axis.coordinate == number)
        columns.append(joint.parent_frame.rotation @ axis.direction)
    return np.stack(columns, axis=1)
