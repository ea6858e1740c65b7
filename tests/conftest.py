"""What several folders' tests share: the embedded body, the skeleton, and made-up people who move before a camera."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lifter import Lifter
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.skeleton.osim_writer import write_osim

sys.path.insert(0, str(Path(__file__).parent))
from other_skeleton import build as build_other

# Real runs in tests must open no browser on a desktop.
for display in ("DISPLAY", "WAYLAND_DISPLAY"):
    os.environ.pop(display, None)


@pytest.fixture(scope="session")
def body() -> BodyModel:
    return BodyModel.load()


@pytest.fixture(scope="session")
def skeleton() -> SkeletonModel:
    return load_bsk24()


@pytest.fixture(scope="session")
def other_skeleton(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OpenSim file unlike `bsk24`: see `other_skeleton.build`."""
    path = tmp_path_factory.mktemp("skeleton") / "other.osim"
    write_osim(build_other(), path)
    # What a musculoskeletal model holds besides and the program passes over.
    muscle = '<ForceSet name="forceset"><objects><Thelen2003Muscle name="soleus_r"/></objects></ForceSet>'
    path.write_text(path.read_text().replace("</Model>", f"{muscle}</Model>"))
    return path


@pytest.fixture(scope="session")
def landmarks(body: BodyModel) -> Landmarks:
    return Landmarks(body)


@pytest.fixture(scope="session")
def lifter() -> Lifter:
    return Lifter.load()


@dataclass
class Clip:
    """N frames of one moving person and what a detector would have said about them; camera frame, m, px, s."""

    t: np.ndarray  # (N,)
    rotations: np.ndarray  # (N, 24, 3, 3), row 0 from the rest frame to the camera's
    translation: np.ndarray  # (N, 3)
    betas: np.ndarray
    joints: np.ndarray  # (N, 24, 3)
    points: np.ndarray  # (N, 33, 3) landmarks
    keypoints: np.ndarray  # (N, 33, 2) px, with noise
    scores: np.ndarray  # (N, 33)
    camera: Intrinsics
    up: np.ndarray  # (3,) against gravity


def smooth_poses(t: np.ndarray, seed: int) -> np.ndarray:
    """(N, 24, 3) rotation vectors: knee bends on flat feet, arms that swing, a trunk that leans and turns."""
    rng = np.random.default_rng(seed)

    def wave(low: float, high: float) -> np.ndarray:
        phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(1.6, 3.5)
        return np.radians(low + (high - low) * (0.5 - 0.5 * np.cos(2 * np.pi * t / period + phase)))

    theta = np.zeros((len(t), 24, 3))
    knee, lean = wave(5, rng.uniform(40, 85)), wave(0, 12)
    shank = 0.3 * knee
    theta[:, 0, 0] = lean
    for hip, joint, ankle, side in ((1, 4, 7, 1.0), (2, 5, 8, -1.0)):
        theta[:, hip, 0], theta[:, joint, 0], theta[:, ankle, 0] = shank - knee - lean, knee, -shank
        theta[:, hip, 1] = side * np.radians(8)
    for spine in (3, 6, 9):
        theta[:, spine, 0], theta[:, spine, 1] = wave(-2, 5), wave(-4, 4)
    theta[:, 15, 1] = wave(-20, 20)
    for shoulder, elbow, side in ((16, 18, 1.0), (17, 19, -1.0)):
        theta[:, shoulder, 2], theta[:, shoulder, 1] = -side * wave(10, 60), -side * wave(0, 50)
        theta[:, elbow, 1] = -side * wave(10, 80)
    return theta


@pytest.fixture(scope="session")
def make_clip(body: BodyModel, landmarks: Landmarks) -> Callable[..., Clip]:
    """-> make(seconds, fps=30, seed=0, noise=2.0 px, heading=0.3 rad, pitch=0 rad downward, distance=3.5 m, betas)."""

    def make(
        seconds: float,
        fps: float = 30.0,
        seed: int = 0,
        noise: float = 2.0,
        heading: float = 0.3,
        pitch: float = 0.0,
        distance: float = 3.5,
        betas: np.ndarray | None = None,
        camera: Intrinsics | None = None,
        standing: bool = False,
    ) -> Clip:
        t = np.arange(round(seconds * fps)) / fps
        camera = camera or Intrinsics(1000.0, (640.0, 360.0))
        rng = np.random.default_rng(seed + 1000)
        betas = np.zeros(body.n_shape) if betas is None else betas
        theta = smooth_poses(t, seed) * (0.0 if standing else 1.0)
        rotations = Rotation.from_rotvec(theta.reshape(-1, 3)).as_matrix().reshape(len(t), 24, 3, 3)
        tilt = Rotation.from_rotvec([pitch, 0, 0]).as_matrix()
        facing = tilt @ np.diag([1.0, -1.0, -1.0]) @ Rotation.from_rotvec([0, heading, 0]).as_matrix()
        rotations[:, 0] = facing @ rotations[:, 0]
        sway = 0.05 * np.stack([np.sin(2 * t), 0 * t, np.cos(1.3 * t)], -1)
        sole = np.array([0.0, 0.9, distance])
        translation, joints, points = [], [], []
        for n in range(len(t)):
            at, _, _ = body.pose_markers(rotations[n], betas, np.zeros(3))
            # The lower ankle stands: it keeps its height under the camera.
            down = max(at[7] @ tilt[:, 1], at[8] @ tilt[:, 1])
            move = tilt @ (sole + sway[n]) - tilt[:, 1] * down
            translation.append(move)
            joints.append(at + move)
            points.append(landmarks.place(rotations[n], betas) + move)
        points = np.array(points)
        keypoints = camera.focal * points[..., :2] / points[..., 2:] + np.array(camera.centre)
        keypoints = keypoints + noise * rng.normal(size=keypoints.shape)
        scores = np.full(keypoints.shape[:2], 0.95)
        up = -tilt[:, 1]
        return Clip(t, rotations, np.array(translation), betas, np.array(joints), points, keypoints, scores, camera, up)

    return make
