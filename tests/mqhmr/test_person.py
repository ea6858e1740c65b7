"""One made-up person over time: accuracy, constant bones, gaps, frame rates, and input that is no person at all.

The bounds are generous on purpose: they hold for any weights and constants that make sense.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.gravity import Gravity
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lifter import Lifter
from biopose_live.mqhmr.person import PersonTrack, Pose
from biopose_live.mqhmr.shape import SETTLE_S, ShapeEstimate

CAMERA = Intrinsics(1000.0, (640.0, 360.0))
LIMBS = [1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21]
MEAN_ERROR_M = 0.11
FIT_PX = 12.0

MakeTrack = Callable[[], PersonTrack]


@pytest.fixture
def new_track(body: BodyModel, lifter: Lifter, landmarks: Landmarks) -> MakeTrack:
    mean, gradient = body.stature_near_mean()
    return lambda: PersonTrack(lifter, landmarks, ShapeEstimate(body.n_shape, mean, gradient, None))


def follow(track: PersonTrack, clip: Any, frames: range | None = None, iterations: int = 2) -> list[Pose]:
    gravity = Gravity(0.0)
    frames = range(len(clip.t)) if frames is None else frames
    return [
        track.update(float(clip.t[n]), clip.keypoints[n], clip.scores[n], clip.camera, gravity, iterations)
        for n in frames
    ]


def test_without_warm_start_no_pose_is_carried_on(
    body: BodyModel, lifter: Lifter, landmarks: Landmarks, make_clip: Callable[..., Any]
) -> None:
    """However earlier frames were refined, a frame's pose is the same; with a warm start it is not."""
    clip, shape = make_clip(0.4), ShapeEstimate(body.n_shape, *body.stature_near_mean(), None, np.zeros(body.n_shape))

    def last_pose(warm_start: bool, iterations: int) -> Pose:
        track, gravity = PersonTrack(lifter, landmarks, shape, warm_start=warm_start), Gravity(0.0)
        for n in range(len(clip.t)):
            steps = iterations if n < len(clip.t) - 1 else 2
            pose = track.update(float(clip.t[n]), clip.keypoints[n], clip.scores[n], clip.camera, gravity, steps)
        return pose

    for warm_start in (True, False):
        first, second = (last_pose(warm_start, iterations) for iterations in (0, 6))
        off = np.abs(first.rotations - second.rotations).max()
        assert (off > 1e-4) == warm_start
        assert finite(first)


def errors(body: BodyModel, poses: list[Pose], clip: Any, frames: range | None = None) -> np.ndarray:
    """(N,) mean distance (m) of the limbs' joints, both bodies moved to the same pelvis."""
    frames = range(len(clip.t)) if frames is None else frames
    found = np.array([body.pose_markers(p.rotations, p.betas, p.translation)[0] for p in poses])
    true = clip.joints[list(frames)]
    off = (found - found[:, :1]) - (true - true[:, :1])
    return np.linalg.norm(off[:, LIMBS], axis=-1).mean(1)


def finite(pose: Pose) -> bool:
    arrays = (pose.rotations, pose.sigma, pose.translation, pose.betas)
    return all(np.isfinite(a).all() for a in arrays) and np.isfinite(pose.fit)


@pytest.mark.parametrize(("seed", "heading"), [(0, 0.3), (1, -0.8), (2, 2.8)])
def test_a_moving_person_is_followed(
    body: BodyModel,
    landmarks: Landmarks,
    new_track: MakeTrack,
    make_clip: Callable[..., Any],
    seed: int,
    heading: float,
) -> None:
    clip = make_clip(3.0, seed=seed, heading=heading)
    poses = follow(new_track(), clip)
    assert all(map(finite, poses))
    assert errors(body, poses, clip)[15:].mean() < MEAN_ERROR_M
    for n in (20, 60, 89):
        points = landmarks.place(poses[n].rotations, poses[n].betas) + poses[n].translation
        image = clip.camera.focal * points[:, :2] / points[:, 2:] + np.array(clip.camera.centre)
        assert np.median(np.linalg.norm(image - clip.keypoints[n], axis=1)[11:]) < FIT_PX
        square = poses[n].rotations @ np.swapaxes(poses[n].rotations, 1, 2)
        np.testing.assert_allclose(square, np.tile(np.eye(3), (24, 1, 1)), atol=1e-6)
        assert (poses[n].sigma > 0).all()


@pytest.mark.parametrize("fps", [15, 60])
def test_other_frame_rates(body: BodyModel, new_track: MakeTrack, make_clip: Callable[..., Any], fps: int) -> None:
    clip = make_clip(2.0, fps=fps)
    assert errors(body, follow(new_track(), clip), clip)[fps // 2 :].mean() < MEAN_ERROR_M


def test_refinement_brings_the_body_nearer_to_the_picture(new_track: MakeTrack, make_clip: Callable[..., Any]) -> None:
    clip = make_clip(1.0)
    fits = [np.mean([p.fit for p in follow(new_track(), clip, iterations=k)]) for k in (0, 2)]
    assert fits[1] < fits[0]


def test_the_same_frames_give_the_same_numbers(new_track: MakeTrack, make_clip: Callable[..., Any]) -> None:
    clip = make_clip(0.7)
    first, second = follow(new_track(), clip), follow(new_track(), clip)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.rotations, b.rotations)
        np.testing.assert_array_equal(a.translation, b.translation)


def test_bones_keep_their_length_once_settled(
    body: BodyModel, new_track: MakeTrack, make_clip: Callable[..., Any]
) -> None:
    rng = np.random.default_rng(3)
    clip = make_clip(2 * SETTLE_S + 2.0, fps=12, betas=rng.normal(0, 0.7, 10))
    track = new_track()
    poses, settled = [], []
    for n in range(len(clip.t)):
        poses += follow(track, clip, range(n, n + 1))
        settled.append(track.shape.settled)
    assert settled[-1]
    first = settled.index(True)
    assert clip.t[first] >= SETTLE_S
    joints = np.array([body.pose_markers(p.rotations, p.betas, p.translation)[0] for p in poses[first:]])
    lengths = np.linalg.norm(joints[:, 1:] - joints[:, body.parents[1:]], axis=-1)
    np.testing.assert_allclose(lengths, lengths[:1].repeat(len(lengths), 0), atol=1e-9)


@pytest.mark.parametrize("gap_s", [0.3, 3.0])
def test_a_person_found_again_is_followed_as_before(
    body: BodyModel, new_track: MakeTrack, make_clip: Callable[..., Any], gap_s: float
) -> None:
    clip = make_clip(2.0 + gap_s + 1.5)
    before, after = range(60), range(60 + round(30 * gap_s), len(clip.t))
    track = new_track()
    follow(track, clip, before)
    poses = follow(track, clip, after)
    assert all(map(finite, poses))
    assert errors(body, poses, clip, after).mean() < 1.3 * MEAN_ERROR_M
    assert errors(body, poses, clip, after)[15:].mean() < MEAN_ERROR_M


def test_exchanged_sides_for_some_frames_leave_the_body_where_it_is(
    body: BodyModel, new_track: MakeTrack, make_clip: Callable[..., Any]
) -> None:
    from biopose_live.mqhmr.side_swaps import EXCHANGED

    clip = make_clip(2.5)
    clean = errors(body, follow(new_track(), clip), clip)
    clip.keypoints[45:57] = clip.keypoints[45:57][:, EXCHANGED]
    mixed = errors(body, follow(new_track(), clip), clip)
    assert mixed.max() < max(2 * clean.max(), 0.2)
    assert mixed[60:].mean() < MEAN_ERROR_M


def noise_frame(rng: np.random.Generator, _: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.uniform(0, 1280, (33, 2)), rng.uniform(0, 1, 33)


STRANGE: dict[str, Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]] = {
    "no scores": lambda rng, n: (rng.uniform(0, 700, (33, 2)), np.zeros(33)),
    "one point": lambda rng, n: (np.full((33, 2), 300.0), np.ones(33)),
    "origin": lambda rng, n: (np.zeros((33, 2)), np.zeros(33)),
    "far outside": lambda rng, n: (rng.uniform(-1e6, 1e6, (33, 2)), np.ones(33)),
    "noise": noise_frame,
    "a line": lambda rng, n: (np.outer(np.arange(33), [10.0, 0.0]), np.ones(33)),
    "jumps": lambda rng, n: (rng.normal([(0, 1e4)[n % 2], 300], 30, (33, 2)), np.ones(33)),
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("iterations", [0, 2])
def test_what_is_no_person_gives_finite_numbers(new_track: MakeTrack, kind: str, iterations: int) -> None:
    rng, track, gravity = np.random.default_rng(4), new_track(), Gravity()
    for n in range(25):
        keypoints, scores = STRANGE[kind](rng, n)
        pose = track.update(n / 30, keypoints, scores, CAMERA, gravity, iterations)
        assert finite(pose), n
        assert np.isfinite(gravity.up).all()


def test_nonsense_in_between_is_recovered_from(
    body: BodyModel, new_track: MakeTrack, make_clip: Callable[..., Any]
) -> None:
    clip = make_clip(4.0)
    rng = np.random.default_rng(5)
    for n in range(30, 40):
        clip.keypoints[n], clip.scores[n] = noise_frame(rng, n)
    poses = follow(new_track(), clip)
    assert all(map(finite, poses))
    assert errors(body, poses, clip)[-30:].mean() < MEAN_ERROR_M


def test_the_same_instant_twice_is_survived(new_track: MakeTrack, make_clip: Callable[..., Any]) -> None:
    clip = make_clip(0.5)
    clip.t[:] = np.repeat(clip.t[::3], 3)[: len(clip.t)]
    assert all(map(finite, follow(new_track(), clip)))


def test_the_prediction_goes_on_the_way_the_body_was_going(new_track: MakeTrack) -> None:
    rng, track = np.random.default_rng(6), new_track()
    turn, move = rng.normal(0, 0.05, (24, 3)), np.array([0.02, -0.01, 0.03])
    first = Rotation.random(24, rng=rng)
    second = first * Rotation.from_rotvec(turn)
    for t, rotations, at in ((1.0, first, np.zeros(3)), (1.0 + 1 / 30, second, move)):
        track._before, track._t_before = track._pose, track._t
        track._pose, track._t = Pose(rotations.as_matrix(), np.ones((24, 3)), at, np.zeros(10), 1.0), t
    predicted, stray, at, stray_m = track._predict(1.0 + 2 / 30, np.tile(np.eye(3), (24, 1, 1)))
    onward = (second.inv() * Rotation.from_matrix(predicted)).as_rotvec()
    share = onward[0, 0] / turn[0, 0]
    assert 0.3 < share <= 1.0 + 1e-9
    np.testing.assert_allclose(onward, share * turn, atol=1e-9)
    np.testing.assert_allclose(at - move, share * move, atol=1e-12)
    assert stray > 0
    assert stray_m > 0
