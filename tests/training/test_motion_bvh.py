"""BVH reader: a hand-made T-pose rig, with SciPy's Euler angles as the oracle, and fuzzed texts."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from biopose_live.errors import UserError
from biopose_live.training.motion import bvh

# name, parent, offset in cm; y up, facing +z, left +x: a T-pose at zero angles
RIG = (
    ("Hips", None, (0, 90, 0)),
    ("LeftUpLeg", "Hips", (9, -5, 0)),
    ("LeftLeg", "LeftUpLeg", (0, -41, 0)),
    ("LeftFoot", "LeftLeg", (0, -40, 0)),
    ("LeftToeBase", "LeftFoot", (0, -4, 13)),
    ("RightUpLeg", "Hips", (-9, -5, 0)),
    ("RightLeg", "RightUpLeg", (0, -41, 0)),
    ("RightFoot", "RightLeg", (0, -40, 0)),
    ("RightToeBase", "RightFoot", (0, -4, 13)),
    ("Spine1", "Hips", (0, 25, 0)),
    ("Head", "Spine1", (0, 30, 0)),
    ("LeftShoulder", "Spine1", (3, 20, 0)),
    ("LeftArm", "LeftShoulder", (14, 0, 0)),
    ("LeftForeArm", "LeftArm", (28, 0, 0)),
    ("LeftHand", "LeftForeArm", (25, 0, 0)),
    ("RightShoulder", "Spine1", (-3, 20, 0)),
    ("RightArm", "RightShoulder", (-14, 0, 0)),
    ("RightForeArm", "RightArm", (-28, 0, 0)),
    ("RightHand", "RightForeArm", (-25, 0, 0)),
)
NAMES = [name for name, _, _ in RIG]
WIDTH = 6 + 3 * (len(RIG) - 1)


def text(frames: np.ndarray, interval: float = 1 / 30) -> str:
    def joint(name: str, depth: int) -> str:
        offset = next(o for n, _, o in RIG if n == name)
        root = depth == 0
        channels = "6 Xposition Yposition Zposition" if root else "3"
        inner = "".join(joint(n, depth + 1) for n, parent, _ in RIG if parent == name)
        end = inner or "End Site\n{\nOFFSET 0 1 0\n}\n"
        return (
            f"{'ROOT' if root else 'JOINT'} {name}\n{{\nOFFSET {offset[0]} {offset[1]} {offset[2]}\n"
            f"CHANNELS {channels} Zrotation Xrotation Yrotation\n{end}}}\n"
        )

    rows = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in frames)
    return f"HIERARCHY\n{joint('Hips', 0)}MOTION\nFrames: {len(frames)}\nFrame Time: {interval:.6f}\n{rows}\n"


def random_frames(count: int = 4) -> np.ndarray:
    frames = np.random.default_rng(1).uniform(-60, 60, (count, WIDTH))
    frames[0] = 0.0
    frames[:, :3] = np.arange(3 * count).reshape(count, 3)
    return frames


def order() -> list[str]:
    """Joints in the order in which the hierarchy lists them: depth first."""
    return bvh.parse(text(np.zeros((1, WIDTH))), "x")[0].names  # type: ignore[return-value]


def test_global_rotations_and_positions_match_scipys_chain() -> None:
    frames = random_frames()
    motion = bvh.read(text(frames), "clip", "someone")
    assert motion.frames == len(frames) - 1  # the T-pose is the reference, not part of the motion
    assert motion.fps == pytest.approx(30, rel=1e-4)
    listed = list(order())
    rotations: dict[str, Rotation] = {}
    positions: dict[str, np.ndarray] = {}
    for name in listed:
        _, parent, offset = RIG[NAMES.index(name)]
        column = 3 + 3 * listed.index(name)
        local = Rotation.from_euler("ZXY", frames[1:, column : column + 3], degrees=True)
        if parent is None:
            rotations[name], positions[name] = local, frames[1:, :3] / 100
        else:
            rotations[name] = rotations[parent] * local
            positions[name] = positions[parent] + rotations[parent].apply(np.array(offset) / 100)
    for name in motion.joint_names:
        j = motion.joint_names.index(name)
        np.testing.assert_allclose(motion.rotations[:, j], rotations[name].as_matrix(), atol=1e-6)
        np.testing.assert_allclose(motion.positions[:, j], positions[name], atol=1e-6)


def test_offsets_times_rotations_give_the_bones() -> None:
    motion = bvh.read(text(random_frames()), "clip", "someone")
    for joint, parent in enumerate(motion.parents):
        if parent >= 0:
            bone = motion.rotations[:, parent] @ motion.offsets[joint]
            np.testing.assert_allclose(bone, motion.positions[:, joint] - motion.positions[:, parent], atol=1e-9)


def test_a_clip_that_faces_elsewhere_has_the_same_reference() -> None:
    frames = random_frames()
    frames[0, 5] = 90.0  # the T-pose faces +x
    motion = bvh.read(text(frames), "clip", "someone")
    hips = motion.reference_positions()
    left = hips[motion.index("left_hip")] - hips[motion.index("right_hip")]
    np.testing.assert_allclose(left, [0.18, 0, 0], atol=1e-6)
    toe = hips[motion.index("left_foot")] - hips[motion.index("left_ankle")]
    assert toe[2] > 0.12


def test_a_clip_without_a_t_pose_takes_that_of_its_rig() -> None:
    bent = random_frames()[1:]
    lender = bvh.load(text(random_frames()), "lender")
    clip = bvh.load(text(bent), "clip")
    assert clip.t_pose is None
    assert lender.t_pose is not None
    assert lender.t_pose.key == clip.key
    borrowed = bvh.to_motion(clip, "someone", lender.t_pose)
    np.testing.assert_allclose(borrowed.rotations, bvh.to_motion(lender, "someone").rotations, atol=1e-9)


@pytest.mark.parametrize(
    ("spoil", "word"),
    [
        (lambda t: t.replace("HIERARCHY", "HIERARKY"), "HIERARCHY"),
        (lambda t: t.replace("Frames: 4", "Frames: 5"), "5 frames"),
        (lambda t: t.replace("Frame Time: 0.033333", "Frame Time: 0"), "frame time"),
        (lambda t: t.replace("OFFSET 9 -5 0", "OFFSET 9 nan 0"), "OFFSET"),
        (lambda t: t.replace("LeftLeg", "LeftThing"), "left_knee"),
        (lambda t: t[: t.index("End Site")], "end of the file"),
        (lambda t: "", "end of the file"),
        (lambda t: t.replace("OFFSET 0 -41 0", "OFFSET 0 41 0"), "pose"),
        (
            lambda t: t.replace("LeftFoot", "LeftLeg"),
            'a joint name that was not there before at word .* found "LeftLeg"',
        ),
        (lambda t: t.replace("OFFSET 9 -5 0", "OFFSET 9 1e300 0"), 'ten million .*found "1e300"'),
        (lambda t: t.replace("OFFSET 9 -5 0", "OFFSET 9 1_0 0"), 'ten million .*found "1_0"'),
        (lambda t: t.replace("OFFSET 9 -5 0", "OFFSET 9 \u0663 0"), "ten million"),
        (lambda t: t.replace("Frames: 4", "Frames: 999999999"), "999999999 frames"),
        (lambda t: t.replace("Frames: 4", "Frames: 9999999999"), "a whole number"),
        (lambda t: t.replace("Frames: 4", "Frames: -4"), "a whole number"),
        (lambda t: t.replace("CHANNELS 3", "CHANNELS 999999999", 1), "six position and rotation channels"),
        (lambda t: t.replace("CHANNELS 3 Zrotation", "CHANNELS 3 Wrotation", 1), "channels"),
        (lambda t: t.replace("JOINT", "ROOT", 1), "ROOT, JOINT, CHANNELS"),
        (lambda t: t.rstrip() + " x\n", 'a number up to ten million .motion. at word .* found "x"'),
        (lambda t: t.replace("End Site", "End \x07", 1).replace("MOTION", "\x07", 1), 'found "\\?"'),
    ],
)
def test_a_damaged_file_is_refused_in_one_sentence(spoil, word) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match=word) as caught:
        bvh.read(spoil(text(random_frames())), "clip.bvh", "someone")
    assert str(caught.value).startswith("clip.bvh: ")
    assert "\n" not in str(caught.value)


WORDS = st.sampled_from(
    [
        "HIERARCHY",
        "ROOT",
        "JOINT",
        "a",
        "{",
        "}",
        "OFFSET",
        "0",
        "1e400",
        "nan",
        "CHANNELS",
        "3",
        "6",
        "Xrotation",
        "End",
        "Site",
        "MOTION",
        "Frames:",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(WORDS, max_size=60))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        bvh.read(" ".join(words), "fuzz", "someone")
    except UserError:
        return
    raise AssertionError("no full-body skeleton can come of these words")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1500), st.integers(0, 30), st.text(max_size=12))
def test_a_patched_file_is_read_or_refused(at: int, cut: int, patch: str) -> None:
    whole = text(random_frames(2))
    try:
        motion = bvh.read(whole[:at] + patch + whole[at + cut :], "fuzz", "someone")
    except UserError:
        return
    assert np.isfinite(motion.rotations).all()


def test_the_word_that_is_no_number_is_the_one_that_is_named() -> None:
    whole = text(random_frames())
    words = whole.split()
    place = len(words) - 17
    words[place] = "oops"
    with pytest.raises(UserError, match=f'at word {place + 1}, found "oops"'):
        bvh.parse(" ".join(words), "clip.bvh")


def test_a_long_motion_is_read_in_pieces_as_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = text(random_frames())
    expected = bvh.parse(whole, "clip")[1]
    for piece in (1, 7, 100):
        monkeypatch.setattr(bvh, "_PIECE", piece)
        np.testing.assert_array_equal(bvh.parse(whole, "clip")[1], expected)


def nested(depth: int, inner: str = "") -> str:
    joints = "".join(f"{'JOINT' if n else 'ROOT'} j{n} {{ OFFSET 0 1 0 " for n in range(depth))
    return f"HIERARCHY {joints} {inner} {'}' * 1}{' }' * (depth - 1)} MOTION"


def test_deep_nesting_is_refused_and_no_crash() -> None:
    with pytest.raises(UserError, match="at most 1024 joints"):
        bvh.read(nested(100_000), "deep", "someone")


def test_few_channels_of_many_joints_and_frames_do_not_fill_the_memory() -> None:
    """1,000 joints, one of which turns, for 50,000 frames: 150 kB of text, 3.6 GB of rotation matrices."""
    whole = f"{nested(1000, 'CHANNELS 1 Xrotation')} Frames: 50000 Frame Time: 0.01 {'0 ' * 50_000}"
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match="50000 frames of 1000 joints are more than fit into memory"):
            bvh.read(whole, "wide", "someone")
        assert tracemalloc.get_traced_memory()[1] < 100 * len(whole)
    finally:
        tracemalloc.stop()


PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["{", "}", "nan", "inf", "1e999", "999999999", "-1", "JOINT a {", "End Site {", "\x00", "MOTION"]),
)
SMALL = text(random_frames(2))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(SMALL)), st.integers(0, 200), PIECES), min_size=1, max_size=5))
def test_a_mutated_file_is_read_or_refused_in_one_sentence(changes: list[tuple[int, int, str]]) -> None:
    whole = SMALL
    for at, cut, piece in changes:
        whole = whole[:at] + piece + whole[at + cut :]
    try:
        motion = bvh.read(whole, "fuzz", "someone")
    except UserError as error:
        sentence = str(error)
    else:
        sentence = ""
        assert np.isfinite(motion.rotations).all()
        assert np.isfinite(motion.positions).all()
    assert "\n" not in sentence
    assert len(sentence) < 300
