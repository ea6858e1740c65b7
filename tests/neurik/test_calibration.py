"""The skeleton's zero on the body: it really stands, it is symmetric, and known joint turns come back as angles."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.neurik.calibration import BODY_TO_GROUND, CENTRES, Calibration, Calibrator
from biopose_live.neurik.kinematic_track import KinematicTrack
from biopose_live.skeleton.inverse_kinematics import InverseKinematics
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel

SHAPES = [np.zeros(10), np.random.default_rng(1).normal(size=10), np.random.default_rng(2).normal(size=10)]
LEGS = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle")


@pytest.fixture(scope="module")
def calibrator(body: BodyModel, skeleton: SkeletonModel) -> Calibrator:
    return Calibrator(body, skeleton)


@pytest.fixture(scope="module")
def mean_person(calibrator: Calibrator) -> Calibration:
    return calibrator(np.zeros(10))


def solver(model: SkeletonModel, calibrator: Calibrator, person: Calibration) -> InverseKinematics:
    return InverseKinematics(
        model, person.marker_bodies, person.marker_locations, calibrator.marker_weights, person.scales
    )


def ground(points: np.ndarray) -> np.ndarray:
    return points @ BODY_TO_GROUND.T


@pytest.mark.parametrize("betas", SHAPES)
def test_the_standing_pose_stands_in_the_skeletons_zero(
    body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator, betas: np.ndarray
) -> None:
    pose = calibrator.standing_pose(betas)
    np.testing.assert_allclose(pose @ np.swapaxes(pose, 1, 2), np.tile(np.eye(3), (24, 1, 1)), atol=1e-9)
    joints, markers, _ = body.pose_markers(pose, betas, np.zeros(3))
    joints, markers = ground(joints), ground(markers)
    zero = np.zeros(len(skeleton.coordinates))
    kinematics = Kinematics(skeleton)
    _, origins = kinematics.forward(zero)
    segments = {"hip": ("femur", "tibia"), "knee": ("tibia", "talus"), "shoulder": ("humerus", "ulna")}
    ends = {"hip": "knee", "knee": "ankle", "shoulder": "elbow"}
    for side in ("left", "right"):
        for start, (upper, lower) in segments.items():
            own = joints[body.joint_names.index(f"{side}_{ends[start]}")]
            own = own - joints[body.joint_names.index(f"{side}_{start}")]
            wanted = origins[skeleton.body_index(f"{lower}_{side[0]}")]
            wanted = wanted - origins[skeleton.body_index(f"{upper}_{side[0]}")]
            cosine = own @ wanted / np.linalg.norm(own) / np.linalg.norm(wanted)
            assert np.degrees(np.arccos(min(cosine, 1.0))) < 0.1
            assert own[1] / np.linalg.norm(own) < -0.99  # and the skeleton's own zero is upright
    index = {name: n for n, name in enumerate(body.marker_names)}
    own_zero = {marker.name: place for marker, place in zip(skeleton.markers, kinematics.markers(zero), strict=True)}

    def inclination(places: dict[str, np.ndarray]) -> float:
        line = places["RASI"] + places["LASI"] - places["RPSI"] - places["LPSI"]
        return float(np.degrees(np.arctan2(line[1], line[0])))

    own = {name: markers[n] for name, n in index.items()}
    assert inclination(own) == pytest.approx(inclination(own_zero), abs=0.1)
    for side in "LR":  # feet flat in heading: towards x within a few degrees, as the skeleton's
        line = (own[f"{side}MT1"] + own[f"{side}MT5"]) / 2 - own[f"{side}CAL"]
        wanted = (own_zero[f"{side}MT1"] + own_zero[f"{side}MT5"]) / 2 - own_zero[f"{side}CAL"]
        assert np.degrees(abs(np.arctan2(line[2], line[0]) - np.arctan2(wanted[2], wanted[0]))) < 0.1


@pytest.mark.parametrize("betas", SHAPES)
def test_scales_are_plausible_and_symmetric(skeleton: SkeletonModel, calibrator: Calibrator, betas: np.ndarray) -> None:
    scales = calibrator(betas).scales
    assert scales.shape == (24, 3)
    assert scales.min() > 0.65
    assert scales.max() < 1.5
    for name in skeleton.body_names:
        if name.endswith("_r"):
            left = scales[skeleton.body_index(name[:-1] + "l")]
            np.testing.assert_allclose(scales[skeleton.body_index(name)], left, rtol=1e-6)


def test_the_mean_body_is_about_the_generic_skeletons_size(mean_person: Calibration, skeleton: SkeletonModel) -> None:
    lengths = [mean_person.scales[skeleton.body_index(name), 1] for name in ("femur_r", "tibia_r", "humerus_r")]
    assert np.abs(np.array(lengths) - 1.0).max() < 0.2


@pytest.mark.parametrize("betas", SHAPES)
def test_whoever_stands_in_the_zero_pose_has_zero_angles(
    body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator, betas: np.ndarray
) -> None:
    person = calibrator(betas)
    _, markers, _ = body.pose_markers(calibrator.standing_pose(betas), betas, np.array([0.3, 0.1, -0.2]))
    result = solver(skeleton, calibrator, person).fit_from_any_pose(ground(markers), tolerance=1e-4)
    assert result.rms < 0.005
    for name in LEGS:
        for side in "lr":
            assert abs(np.degrees(result.q[skeleton.coordinate_names.index(f"{name}_{side}")])) < 2.0, name
    for name in ("pelvis_tilt", "pelvis_list", "pelvis_rotation"):
        assert abs(np.degrees(result.q[skeleton.coordinate_names.index(name)])) < 2.0, name


def test_the_same_shape_gives_the_same_zero(calibrator: Calibrator, mean_person: Calibration) -> None:
    again = calibrator(np.zeros(10))
    np.testing.assert_array_equal(again.scales, mean_person.scales)
    np.testing.assert_array_equal(again.marker_locations, mean_person.marker_locations)


def turned(pose: np.ndarray, joint: int, parent_turn: np.ndarray, axis: np.ndarray, degrees: float) -> np.ndarray:
    """The pose with one joint turned about an axis (ground) on top of how it stands."""
    axis = parent_turn.T @ (BODY_TO_GROUND.T @ (axis / np.linalg.norm(axis)))
    out = pose.copy()
    out[joint] = Rotation.from_rotvec(np.radians(degrees) * axis).as_matrix() @ pose[joint]
    return out


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("joint", "coordinate", "axis", "degrees"),
    [
        ("hip", "hip_flexion", (0, 0, 1), 50.0),
        ("hip", "hip_flexion", (0, 0, 1), -15.0),
        ("ankle", "ankle_angle", (0, 0, 1), 15.0),
        ("elbow", "elbow_flex", (0, 0, 1), 70.0),
    ],
)
def test_a_turn_about_the_lateral_axis_is_read_as_flexion(
    body: BodyModel,
    skeleton: SkeletonModel,
    calibrator: Calibrator,
    mean_person: Calibration,
    side: str,
    joint: str,
    coordinate: str,
    axis: tuple[float, float, float],
    degrees: float,
) -> None:
    standing = calibrator.standing_pose(np.zeros(10))
    _, _, turns = body.pose_markers(standing, np.zeros(10), np.zeros(3))
    j = body.joint_names.index(f"{side}_{joint}")
    pose = turned(standing, j, turns[body.parents[j]], np.array(axis, float), degrees)
    _, markers, _ = body.pose_markers(pose, np.zeros(10), np.zeros(3))
    result = solver(skeleton, calibrator, mean_person).fit_from_any_pose(ground(markers), tolerance=1e-3)
    tolerance = 8.0 if joint in ("ankle", "elbow") else 4.0  # whose hinges are oblique by design
    found = np.degrees(result.q[skeleton.coordinate_names.index(f"{coordinate}_{side[0]}")])
    assert found == pytest.approx(degrees, abs=tolerance)
    other = "r" if side == "left" else "l"
    assert abs(np.degrees(result.q[skeleton.coordinate_names.index(f"{coordinate}_{other}")])) < 2.0


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_knee_bent_about_its_hinge_reads_what_it_is_bent_by(
    body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator, mean_person: Calibration, side: str
) -> None:
    standing = calibrator.standing_pose(np.zeros(10))
    _, markers, turns = body.pose_markers(standing, np.zeros(10), np.zeros(3))
    s = side[0].upper()
    index = {name: n for n, name in enumerate(body.marker_names)}
    medial, lateral = (ground(markers)[index[f"{s}{name}"]] for name in ("MFC", "LFC"))
    hinge = lateral - medial if side == "right" else medial - lateral  # to the right
    j = body.joint_names.index(f"{side}_knee")
    pose = turned(standing, j, turns[body.parents[j]], -hinge, 60.0)
    _, markers, _ = body.pose_markers(pose, np.zeros(10), np.zeros(3))
    result = solver(skeleton, calibrator, mean_person).fit_from_any_pose(ground(markers), tolerance=1e-3)
    found = np.degrees(result.q[skeleton.coordinate_names.index(f"knee_angle_{side[0]}")])
    assert found == pytest.approx(60.0, abs=3.0)


def test_every_centre_is_a_joint_of_the_body(body: BodyModel) -> None:
    assert set(CENTRES.values()) <= set(body.joint_names)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_forearm_turned_about_itself_is_pronation_not_flexion(
    body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator, mean_person: Calibration, side: str
) -> None:
    standing = calibrator.standing_pose(np.zeros(10))
    joints, markers, turns = body.pose_markers(standing, np.zeros(10), np.zeros(3))
    elbow, wrist = (body.joint_names.index(f"{side}_{name}") for name in ("elbow", "wrist"))
    axis = BODY_TO_GROUND @ (joints[wrist] - joints[elbow])
    pose = turned(standing, elbow, turns[body.parents[elbow]], axis, 40.0 if side == "right" else -40.0)
    _, turned_markers, _ = body.pose_markers(pose, np.zeros(10), np.zeros(3))
    ik = solver(skeleton, calibrator, mean_person)
    before, after = (ik.fit_from_any_pose(ground(m), tolerance=1e-3).q for m in (markers, turned_markers))
    change = np.degrees(after - before)
    assert abs(change[skeleton.coordinate_names.index(f"pro_sup_{side[0]}")]) == pytest.approx(40.0, abs=6.0)
    assert abs(change[skeleton.coordinate_names.index(f"elbow_flex_{side[0]}")]) < 6.0


# --- a small change of the shape is a small change of the skeleton ------------------------------------------------


@pytest.mark.parametrize("seed", [4, 6, 12])
def test_the_skeleton_follows_the_shape_without_jumps(calibrator: Calibrator, seed: int) -> None:
    """Along a line of shapes every step is about as large as its neighbours; a search on a grid would show as a jump
    of a millimetre in the forearm's markers."""
    rng = np.random.default_rng(seed)
    start, direction = rng.normal(size=10), rng.normal(size=10)
    direction /= np.linalg.norm(direction)
    line = [calibrator(start + t * direction) for t in np.linspace(-1.5, 1.5, 41)]
    for values, unit in (
        (np.array([person.scales for person in line]), 1.0),
        (np.array([person.marker_locations for person in line]), 1e3),
    ):
        step = np.abs(np.diff(values, axis=0)).max() * unit
        bend = np.abs(np.diff(values, 2, axis=0)).max() * unit
        assert step > 1e-4
        assert bend < 0.02 * step


def test_rounding_of_the_shape_stays_rounding(calibrator: Calibrator) -> None:
    rng = np.random.default_rng(4)
    for _ in range(10):
        betas = rng.normal(size=10)
        here, there = calibrator(betas), calibrator(betas + 1e-9 * rng.normal(size=10))
        assert np.abs(here.scales - there.scales).max() < 1e-8
        assert np.abs(here.marker_locations - there.marker_locations).max() < 1e-8


@pytest.mark.parametrize("side", ["l", "r"])
def test_the_forearms_turn_is_the_best_there_is(
    body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator, side: str
) -> None:
    """Against a search by SciPy for the angle that brings the styloids' directions together."""
    from scipy.optimize import minimize_scalar

    kinematics = Kinematics(skeleton)
    betas = np.random.default_rng(5).normal(size=10)
    _, markers, _ = body.pose_markers(calibrator.standing_pose(betas), betas, np.zeros(3))
    points = dict(zip(body.marker_names, ground(markers), strict=True))
    radial, ulnar = (skeleton.marker_names.index(f"{side.upper()}{name}") for name in ("RAD", "ULN"))
    wanted = points[f"{side.upper()}RAD"] - points[f"{side.upper()}ULN"]
    coordinate = skeleton.coordinate_index(f"pro_sup_{side}")

    def away(angle: float) -> float:
        q = np.zeros(len(skeleton.coordinates))
        q[coordinate] = angle
        places = kinematics.markers(q)
        line = places[radial] - places[ulnar]
        return -float(line @ wanted / np.linalg.norm(line) / np.linalg.norm(wanted))

    best = minimize_scalar(away, bounds=(-np.pi, np.pi), method="bounded", options={"xatol": 1e-9}).x
    assert calibrator._forearm_turn(points, side, coordinate) == pytest.approx(best, abs=1e-4)


# --- the zero of the angles is a definition: docs/zero_pose.md -----------------------------------------------------

ZERO_ANGLES = (
    "pelvis_tilt",
    "hip_flexion_r",
    "hip_flexion_l",
    "trunk",
    "knee_angle_r",
    "knee_angle_l",
    "ankle_angle_r",
)


def read(model: SkeletonModel, calibrator: Calibrator, body: BodyModel, pose: np.ndarray, betas: np.ndarray) -> dict:
    """-> degrees, by name; `trunk` is lumbar and thorax extension together, against the pelvis."""
    _, markers, _ = body.pose_markers(pose, betas, np.zeros(3))
    track = KinematicTrack(model, calibrator)
    for frame in range(8):
        solved = track.update(frame / 30, ground(markers), betas, True)
    angles = dict(zip(model.coordinate_names, np.degrees(solved.q), strict=True))
    return angles | {"trunk": angles["lumbar_extension"] + angles["thorax_extension"]}


@pytest.fixture(scope="module")
def crowd() -> list[np.ndarray]:
    return list(np.random.default_rng(11).normal(size=(25, 10)))


@pytest.mark.parametrize("number", range(0, 25, 5))
def test_the_anatomical_position_reads_zero_for_every_shape(
    body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator, crowd: list[np.ndarray], number: int
) -> None:
    betas = crowd[number]
    angles = read(skeleton, calibrator, body, calibrator.standing_pose(betas), betas)
    for name in ZERO_ANGLES:
        assert abs(angles[name]) < 0.5, name


def test_the_bodys_own_upright_pose_reads_nearly_zero(
    body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator, crowd: list[np.ndarray]
) -> None:
    """The rest pose of the body file is an upright person whom nobody here posed: a zero that were wrong by a
    convention (5 to 20 degrees) would show."""
    rest = np.tile(np.eye(3), (24, 1, 1))
    found = [read(skeleton, calibrator, body, rest, betas) for betas in crowd]
    for name, mean in (("pelvis_tilt", 3.0), ("trunk", 4.0), ("hip_flexion_r", 5.0), ("knee_angle_r", 2.0),
                       ("ankle_angle_r", 4.5)):  # fmt: skip
        assert abs(np.mean([angles[name] for angles in found])) < mean, name


def test_a_change_of_shape_alone_hardly_moves_the_zero(
    body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator, crowd: list[np.ndarray]
) -> None:
    """One body pose, 25 shapes: what the skin's landmarks and the bones' directions leave."""
    pose = calibrator.standing_pose(np.zeros(10))
    for joint, bend in ((1, -0.6), (2, -0.6), (4, 1.0), (5, 1.0)):
        pose[joint] = Rotation.from_rotvec([bend, 0, 0]).as_matrix() @ pose[joint]
    mean = read(skeleton, calibrator, body, pose, np.zeros(10))
    found = [read(skeleton, calibrator, body, pose, betas) for betas in crowd]
    for name in ZERO_ANGLES:
        off = np.array([angles[name] - mean[name] for angles in found])
        assert off.std() < 1.6, name
        assert np.abs(off).max() < 4.5, name
