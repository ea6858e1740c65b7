"""Render the demo clip: ten seconds of one dressed synthetic person in a generated room, with exact ground truth.

    python -m biopose_live.training.synthetic.demo_clip --assets DIR --motion poses.npz --out DIR

Writes demo.mp4 (H.264, 640 x 480, 30 frames per second) and demo_truth.npz. The truth is in the camera frame (OpenCV's:
x right, y down, z forward): theta [T, 24, 3] axis-angle with the body's orientation first, betas [K], transl [T, 3] m,
joints [T, 24, 3] m, focal px, centre [2] px, up [3] against gravity, fps, size [2] px.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from scipy.spatial.transform import Rotation

from biopose_live.errors import UserError
from biopose_live.training.synthetic.base_mesh import joint_motions, read_body, skin
from biopose_live.training.synthetic.camera import Camera, place_camera
from biopose_live.training.synthetic.choreography import Motion, PoseSet, facing, grounded, joined, read_pose_set
from biopose_live.training.synthetic.room import Room, furnish, look
from biopose_live.training.synthetic.scene import Lighting, Sensor, compose, develop
from biopose_live.training.synthetic.wardrobe import Outfit, Person, Wardrobe

EMBEDDED_BODY = Path(__file__).resolve().parents[2] / "assets" / "body" / "anny_body.npz"
FPS = 30
SIZE = (640, 480)
BETAS = np.array([0.35, -0.4, 0.3, 0.2, 0.0, -0.3, 0.2, 0.0, 0.0, 0.0])
OUTFIT = Outfit("young_lightskinned_male_diffuse2", ("male_casualsuit01", "shoes01"), "short02")
# Clip, first and last frame: a walk up to the camera, arms overhead, a squat, jumping jacks, a knee lift and turn.
PIECES = (
    ("test__walking__walking_1", 10, 84),
    ("cmu_asfamc/14_20.amc", 436, 490),
    ("cmu_asfamc/14_14.amc", 262, 334),
    ("cmu_asfamc/14_14.amc", 12, 88),
    ("cmu_asfamc/14_14.amc", 404, 468),
)
OVERLAP = 10
ARRIVAL_ANGLE = 0.55  # rad off the camera's direction, so that the walk crosses the picture
ROOM_SEED = 1
SUPERSAMPLING = 2


@dataclass(frozen=True)
class Take:
    """Everything that fixes the clip: person, motion in the world, camera and room."""

    person: Person
    motion: Motion
    camera: Camera
    room: Room


def lowest_point(person: Person, theta: np.ndarray, transl: np.ndarray) -> float:
    """Height (m) of the lowest vertex of a dressed person in a pose."""
    motions, _ = joint_motions(person.joints, theta, transl)
    return float(skin(person.rest, person.weights, motions)[:, 1].min())


def choreograph(poses: PoseSet, person: Person) -> Motion:
    """The clip's motion: the walk ends at the origin facing the camera's side, the exercises follow on the spot."""
    pieces = [poses.clip(*piece) for piece in PIECES]
    walk = facing(pieces[0], ARRIVAL_ANGLE, np.zeros(3), len(pieces[0]) - 1)
    # The exercises were captured on the spot: their first frame's heading continues the walk's and turns to the camera.
    whole = joined([walk, *pieces[1:]], OVERLAP)
    start, turn_frames = len(walk) - OVERLAP, 30
    share = np.clip((np.arange(len(whole)) - start) / turn_frames, 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    turn = Rotation.from_rotvec(np.outer(share * (0.12 - ARRIVAL_ANGLE), [0.0, 1.0, 0.0]))
    theta = whole.theta.copy()
    theta[:, 0] = (turn * Rotation.from_rotvec(whole.theta[:, 0])).as_rotvec()
    pivot = whole.transl[start] * [1.0, 0.0, 1.0]
    transl = turn.apply(whole.transl - pivot) + pivot
    return grounded(Motion(theta, transl), lambda t, x: lowest_point(person, t, x))


def stage(assets: Path, motion_file: Path, body_file: Path = EMBEDDED_BODY) -> Take:
    """Dress the person and set the scene. Raises UserError for missing or malformed files."""
    wardrobe = Wardrobe(assets, read_body(body_file))
    person = wardrobe.dress(OUTFIT, BETAS)
    motion = choreograph(read_pose_set(motion_file), person)
    camera = place_camera(
        np.array([0.15, 1.30, 3.35]), yaw=0.03, pitch=np.radians(6.0), roll=np.radians(1.5),
        fov=np.radians(56.0), size=SIZE,
    )  # fmt: skip
    return Take(person, motion, camera, furnish(np.random.default_rng(ROOM_SEED)))


def truth(take: Take, betas: np.ndarray = BETAS) -> dict[str, Any]:
    """The ground truth's arrays, camera frame (see the module's docstring)."""
    turn = take.camera.rotation
    theta = take.motion.theta.copy()
    theta[:, 0] = (Rotation.from_matrix(turn) * Rotation.from_rotvec(theta[:, 0])).as_rotvec()
    # transl moves the rest body, whose pelvis is at joints[0]: the pelvis must land where the camera sees it.
    pelvis = take.person.joints[0]
    transl = take.camera.to_camera(take.motion.transl + pelvis) - pelvis
    joints = np.stack([joint_motions(take.person.joints, t, x)[1] for t, x in zip(theta, transl, strict=True)])
    return {
        "theta": theta,
        "betas": betas,
        "transl": transl,
        "joints": joints,
        "focal": np.float64(take.camera.focal),
        "centre": np.array(take.camera.centre),
        "up": take.camera.up,
        "fps": np.float64(FPS),
        "size": np.array(take.camera.size),
    }


def frames(take: Take, seed: int = 0) -> list[np.ndarray]:
    """The clip's pictures, [H, W, 3] uint8 sRGB each."""
    rng = np.random.default_rng(seed)
    large = take.camera.enlarged(SUPERSAMPLING)
    view = look(take.room, large)
    lighting = Lighting(take.room.towards, take.room.lamp, take.room.ambient, 0.5 * take.room.ambient)
    sensor = Sensor(blur=0.45, noise=0.006, exposure=1.15)
    out = []
    for theta, transl in zip(take.motion.theta, take.motion.transl, strict=True):
        mesh, _ = take.person.posed(theta, transl)
        out.append(develop(compose(view, large, [mesh], lighting), sensor, rng, SUPERSAMPLING))
    return out


def write_video(path: Path, pictures: list[np.ndarray], crf: int) -> None:
    """Encode H.264, yuv420p, one thread so that the file is the same on every machine."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=Fraction(FPS), options={"crf": str(crf), "preset": "slow", "threads": "1"}
        )
        stream.width, stream.height, stream.pix_fmt = pictures[0].shape[1], pictures[0].shape[0], "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the demo clip and its ground truth.")
    parser.add_argument("--assets", type=Path, required=True, help="folder of MakeHuman files (base.obj, clothes, ...)")
    parser.add_argument("--motion", type=Path, required=True, help="pose set written by biopose_live.training.motion")
    parser.add_argument("--out", type=Path, required=True, help="folder for demo.mp4 and demo_truth.npz")
    parser.add_argument("--crf", type=int, default=17, help="H.264 quality, lower is better")
    options = parser.parse_args(arguments)
    try:
        take = stage(options.assets, options.motion)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    options.out.mkdir(parents=True, exist_ok=True)
    write_video(options.out / "demo.mp4", frames(take), options.crf)
    np.savez_compressed(options.out / "demo_truth.npz", **truth(take))
    size = (options.out / "demo.mp4").stat().st_size
    print(f"{options.out / 'demo.mp4'}: {len(take.motion)} frames, {size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
