"""The document on angles: up to date, and everything that it says of directions and singular poses is so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biopose_live.skeleton.bsk24 import main
from biopose_live.skeleton.bsk24_angles import DIRECTIONS, RELATIONS, SINGULAR, TOWARDS, angles_document
from biopose_live.skeleton.bsk24_table import JOINTS, SOURCES, JointRow, Rotation
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import FloatArray, SkeletonModel

DOCUMENT = Path(__file__).parents[2] / "docs" / "angles.md"
ROTATIONS = [(joint, rotation) for joint in JOINTS for rotation in joint.rotations]
SIDED = [(joint, rotation, side) for joint, rotation in ROTATIONS for side in (("_r", "_l") if joint.paired else ("",))]


def test_the_document_is_up_to_date(tmp_path: Path) -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == angles_document()
    target = tmp_path / "angles.md"
    assert main(["--angles", str(target)]) == 0
    assert target.read_text(encoding="utf-8") == angles_document()


def test_it_has_a_row_for_every_coordinate(bsk24: SkeletonModel) -> None:
    rows = [line for line in angles_document().splitlines() if line.startswith("| `")]
    named = "".join(row.split("|")[1] for row in rows)
    for coordinate in bsk24.coordinates:
        assert f"`{coordinate.name.removesuffix('_l')}`" in named or coordinate.name.endswith("_l")
    assert len({row.count("|") for row in rows}) == 1
    for _, rotation in ROTATIONS:
        limits = f"{rotation.limits[0]:g} … {rotation.limits[1]:g}" if rotation.clamped else "free"
        assert any(f"`{rotation.coordinate}" in row and f"| {limits} |" in row for row in rows)


def test_the_tables_speak_of_the_same_joints() -> None:
    assert set(DIRECTIONS) == {rotation.coordinate for _, rotation in ROTATIONS}
    assert set(RELATIONS) == {joint.name for joint in JOINTS}
    assert set(SINGULAR) == {joint.name for joint in JOINTS if len(joint.rotations) == 3}
    cited = {word.strip("`(),.'s") for relation in RELATIONS.values() for word in relation.words.split()}
    assert {word for word in cited if word[-4:].isdigit() and word[:-4].isalpha()} <= set(SOURCES)


@pytest.mark.parametrize(("joint", "rotation", "side"), SIDED, ids=lambda value: getattr(value, "coordinate", None))
def test_positive_angles_mean_what_the_words_say(
    bsk24: SkeletonModel, joint: JointRow, rotation: Rotation, side: str
) -> None:
    direction = DIRECTIONS[rotation.coordinate]
    axis, sign = TOWARDS[direction.towards]
    marker = direction.marker
    if side == "_l":
        marker = "L" + marker[1:]
        sign = -sign if axis == 2 else sign
    kinematics = Kinematics(bsk24)
    q = bsk24.default_pose()
    before = kinematics.markers(q)
    q[bsk24.coordinate_index(rotation.coordinate + side)] += np.radians(10.0)
    movement = (kinematics.markers(q) - before)[bsk24.marker_names.index(marker)]
    assert sign * movement[axis] > 2e-3


def _jacobian(model: SkeletonModel, joint: JointRow, side: str, q: FloatArray) -> FloatArray:
    """Columns (3, n): the child's angular velocity for each of the joint's rotations, by central differences."""
    kinematics = Kinematics(model)
    body = model.body_index(joint.child + side)
    step = 1e-5
    columns = []
    for rotation in joint.rotations:
        up, down = q.copy(), q.copy()
        number = model.coordinate_index(rotation.coordinate + side)
        up[number] += step
        down[number] -= step
        turn = kinematics.forward(up)[0][body] @ kinematics.forward(down)[0][body].T
        columns.append(np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]))
    return np.array(columns).T / (4.0 * step)


def _smallest(model: SkeletonModel, joint: JointRow, side: str, q: FloatArray) -> float:
    return float(np.linalg.svd(_jacobian(model, joint, side, q), compute_uv=False)[-1])


@pytest.mark.parametrize("joint", [joint for joint in JOINTS if joint.name in SINGULAR], ids=lambda joint: joint.name)
def test_singular_poses_are_singular(bsk24: SkeletonModel, joint: JointRow) -> None:
    coordinate, degrees, words = SINGULAR[joint.name]
    rng = np.random.default_rng(3)
    rotation = next(rotation for rotation in joint.rotations if rotation.coordinate == coordinate)
    assert ("out of range" in words) == (not rotation.limits[0] <= degrees <= rotation.limits[1])
    for side in ("_r", "_l") if joint.paired else ("",):
        for _ in range(3):  # whatever the outer two angles are
            q = bsk24.default_pose()
            for other in joint.rotations:
                q[bsk24.coordinate_index(other.coordinate + side)] = rng.uniform(-1.0, 1.0)
            number = bsk24.coordinate_index(coordinate + side)
            q[number] = np.radians(degrees)
            assert _smallest(bsk24, joint, side, q) < 1e-6
            q[number] = np.radians(degrees * 8.0 / 9.0)  # ten degrees short of it: regular
            assert _smallest(bsk24, joint, side, q) > 0.1


@pytest.mark.parametrize("joint", [joint for joint in JOINTS if joint.name != "shoulder"], ids=lambda joint: joint.name)
def test_other_joints_are_regular_throughout_their_range(bsk24: SkeletonModel, joint: JointRow) -> None:
    rng = np.random.default_rng(4)
    side = "_r" if joint.paired else ""
    for _ in range(20):
        q = bsk24.default_pose()
        for rotation in joint.rotations:
            low, high = np.radians(rotation.limits)
            if joint.name == "ground_pelvis" and rotation.coordinate == "pelvis_list":
                low, high = 0.9 * low, 0.9 * high  # its singular pose is the end of its range
            q[bsk24.coordinate_index(rotation.coordinate + side)] = rng.uniform(low, high)
        assert _smallest(bsk24, joint, side, q) > 0.1


def test_the_t_pose_is_the_shoulders_singular_pose(bsk24: SkeletonModel) -> None:
    q = bsk24.default_pose()
    for side in ("_r", "_l"):
        q[bsk24.coordinate_index("arm_add" + side)] = np.radians(SINGULAR["shoulder"][1])
    markers = dict(zip(bsk24.marker_names, Kinematics(bsk24).markers(q), strict=True))
    origins = Kinematics(bsk24).forward(q)[1]
    for side, letter, sign in (("_r", "R", 1.0), ("_l", "L", -1.0)):
        shoulder = origins[bsk24.body_index("humerus" + side)]
        hand = markers[letter + "H2"] - shoulder
        assert sign * hand[2] > 0.5  # straight out to the side
        assert abs(hand[1]) < 0.06


def test_nothing_to_write_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 2
    assert "nothing to write" in capsys.readouterr().err


def test_an_unwritable_document_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--angles", str(tmp_path / "missing" / "angles.md")]) == 5
    assert "choose another file" in capsys.readouterr().err
