"""ASF/AMC reader: a hand-made skeleton with tilted bone axes, SciPy's Euler angles as the oracle, and fuzzed texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from biopose_live.errors import UserError
from biopose_live.training.motion import amc

# name, parent, direction, length, axis (degrees, XYZ), degrees of freedom; the laboratory's unit
BONES = (
    ("lhipjoint", "root", (0.9, -0.4, 0.0), 2.0, (0, 0, 0), ""),
    ("lfemur", "lhipjoint", (0.34202, -0.93969, 0), 7.2, (0, 0, 20), "rx ry rz"),
    ("ltibia", "lfemur", (0.34202, -0.93969, 0), 7.4, (0, 0, 20), "rx"),
    ("lfoot", "ltibia", (0.07, -0.18, 0.98), 2.4, (-90, 0, 20), "rx rz"),
    ("ltoes", "lfoot", (0, 0, 1), 1.2, (-90, 0, 20), "rx"),
    ("rhipjoint", "root", (-0.9, -0.4, 0.0), 2.0, (0, 0, 0), ""),
    ("rfemur", "rhipjoint", (-0.34202, -0.93969, 0), 7.2, (0, 0, -20), "rx ry rz"),
    ("rtibia", "rfemur", (-0.34202, -0.93969, 0), 7.4, (0, 0, -20), "rx"),
    ("rfoot", "rtibia", (-0.07, -0.18, 0.98), 2.4, (-90, 0, -20), "rx rz"),
    ("lowerback", "root", (0, 1, 0), 4.0, (0, 0, 0), "rx ry rz"),
    ("thorax", "lowerback", (0, 1, 0), 4.0, (0, 0, 0), "rx ry rz"),
    ("head", "thorax", (0, 1, 0), 3.0, (0, 0, 0), "rx ry rz"),
    ("lclavicle", "thorax", (0.9, 0.3, 0), 3.4, (0, 0, 0), "ry rz"),
    ("lhumerus", "lclavicle", (1, 0, 0), 5.0, (180, -30, -90), "rx ry rz"),
    ("lradius", "lhumerus", (1, 0, 0), 3.4, (180, -30, -90), "rx"),
    ("lhand", "lradius", (1, 0, 0), 0.7, (0, 90, 90), "rx rz"),
    ("rclavicle", "thorax", (-0.9, 0.3, 0), 3.4, (0, 0, 0), "ry rz"),
    ("rhumerus", "rclavicle", (-1, 0, 0), 5.0, (180, 30, 90), "rx ry rz"),
    ("rradius", "rhumerus", (-1, 0, 0), 3.4, (180, 30, 90), "rx"),
    ("rhand", "rradius", (-1, 0, 0), 0.7, (0, -90, -90), "rx rz"),
)
FRAMES = 3
ROOT = np.array([[1, 17, 2, 10, 40, -5], [2, 17, 3, 0, 30, 5], [3, 18, 4, -10, 20, 8]], dtype=float)


def skeleton_text() -> str:
    data = "".join(
        f"begin\nid {i}\nname {name}\ndirection {d[0]} {d[1]} {d[2]}\nlength {length}\n"
        f"axis {a[0]} {a[1]} {a[2]} XYZ\n" + (f"dof {dof}\n" if dof else "") + "end\n"
        for i, (name, _, d, length, a, dof) in enumerate(BONES, start=1)
    )
    tree = "".join(f"{parent} {name}\n" for name, parent, *_ in BONES)
    return (
        "# made by hand\n:version 1.10\n:units\nmass 1.0\nlength 0.45\nangle deg\n:root\norder TX TY TZ RX RY RZ\n"
        f"axis XYZ\nposition 0 0 0\norientation 0 0 0\n:bonedata\n{data}:hierarchy\nbegin\n{tree}end\n"
    )


def angles() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    return {name: rng.uniform(-40, 40, (FRAMES, len(dof.split()))) for name, *_, dof in BONES if dof}


def motion_text() -> str:
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for t in range(FRAMES):
        lines += [str(t + 1), "root " + " ".join(f"{x:g}" for x in ROOT[t])]
        lines += [f"{name} " + " ".join(f"{x:.9f}" for x in values[t]) for name, values in angles().items()]
    return "\n".join(lines)


def chain() -> tuple[dict[str, Rotation], dict[str, np.ndarray]]:
    """Global rotations since the zero pose, and starts of the bones (file unit), by SciPy."""
    rotations = {"root": Rotation.from_euler("xyz", ROOT[:, 3:], degrees=True)}
    ends = {"root": ROOT[:, :3]}
    starts = {"root": ROOT[:, :3]}
    for name, parent, direction, length, axis, dof in BONES:
        c = Rotation.from_euler("xyz", axis, degrees=True)
        letters = dof.replace("r", "").replace(" ", "")
        m = (
            Rotation.from_euler(letters, angles()[name].reshape(FRAMES, -1), degrees=True)
            if dof
            else Rotation.identity()
        )
        rotations[name] = rotations[parent] * c * m * c.inv()
        starts[name] = ends[parent]
        unit = np.array(direction) / np.linalg.norm(direction)
        ends[name] = ends[parent] + rotations[name].apply(unit * length)
    return rotations, starts


def test_positions_and_rotations_match_scipys_chain() -> None:
    motion = amc.read(motion_text(), skeleton_text(), "01_01.amc", "someone", 60.0)
    rotations, starts = chain()
    assert (motion.fps, motion.frames) == (60.0, FRAMES)
    turned = {
        "lfemur": -20.0,
        "ltibia": -20.0,
        "lfoot": -20.0,
        "ltoes": -20.0,
        "rfemur": 20.0,
        "rtibia": 20.0,
        "rfoot": 20.0,
    }
    for j, name in enumerate(motion.joint_names):
        np.testing.assert_allclose(motion.positions[:, j], starts[name] * 0.0254 / 0.45, atol=1e-6)
        if name != "head":
            t_pose = Rotation.from_euler("z", turned.get(name, 0.0), degrees=True)
            np.testing.assert_allclose(motion.rotations[:, j], (rotations[name] * t_pose.inv()).as_matrix(), atol=1e-6)


def test_the_reference_is_a_t_pose_on_straight_legs_with_the_stated_hinges() -> None:
    motion = amc.read(motion_text(), skeleton_text(), "01_01.amc", "someone")
    at = motion.reference_positions()
    leg = at[motion.index("left_ankle")] - at[motion.index("left_hip")]
    np.testing.assert_allclose(leg / np.linalg.norm(leg), [0, -1, 0], atol=1e-4)
    np.testing.assert_allclose(motion.hinges["left_knee"], [1, 0, 0], atol=1e-9)
    # the elbow turns about an axis 30 degrees off the vertical, flexion forwards and up
    np.testing.assert_allclose(motion.hinges["left_elbow"], [0, -np.cos(np.pi / 6), 0.5], atol=1e-9)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda t: t.replace("ltibia", "lshin", 1), "lshin"),
        (lambda t: t.replace("root 1 17", "root x 17"), "numbers"),
        (lambda t: t.replace("root 1 17", "root inf 17"), "finite"),
        (lambda t: t.replace("\n1\n", "\n", 1), "frame number"),
        (lambda t: ":DEGREES", "no frames"),
    ],
)
def test_a_damaged_motion_is_refused_in_one_sentence(spoil, word) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=word):
        amc.read(spoil(motion_text()), skeleton_text(), "01_01.amc", "someone")


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda t: t.replace("lfemur ltibia", "lfoot ltibia"), "hierarchy"),
        (lambda t: t.replace("axis 0 0 20 XYZ", "axis 0 0 XYZ"), "axis"),
        (lambda t: t.replace("length 7.2", "length long"), "numbers"),
        (lambda t: "", "no bones"),
    ],
)
def test_a_damaged_skeleton_is_refused_in_one_sentence(spoil, word) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=word):
        amc.read(motion_text(), spoil(skeleton_text()), "01_01.amc", "someone")


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2600), st.integers(0, 40), st.text(max_size=12), st.booleans())
def test_a_patched_pair_is_read_or_refused(at: int, cut: int, patch: str, skeleton: bool) -> None:
    def spoil(whole: str) -> str:
        return whole[:at] + patch + whole[at + cut :]

    try:
        motion = amc.read(
            motion_text() if skeleton else spoil(motion_text()),
            spoil(skeleton_text()) if skeleton else skeleton_text(),
            "fuzz",
            "someone",
        )
    except UserError:
        return
    assert np.isfinite(motion.rotations).all()
