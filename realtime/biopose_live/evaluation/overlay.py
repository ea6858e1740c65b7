"""Draws a recording over its video: skeleton, keypoints, main joint angles and their course over the last seconds.

    python -m biopose_live.evaluation.overlay --recording DIR --video FILE --frame N [N ...] --out PICTURE.png

One tile per frame, side by side.  The skeleton is the recording's own 3D joint centres, put into the picture with the
camera that the recording states for the person (pinhole: focal length and principal point), so it shows the 3D result
and not the 2D detection; the keypoints of the detection are the small dots.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from biopose_client.schema import Meta, Person, Pose
from biopose_live.capture.file import open_video_file
from biopose_live.capture.upright import UprightRGB
from biopose_live.errors import EXIT_SINK, EXIT_SOURCE, EXIT_USAGE, UserError
from biopose_live.evaluation.angle_panel import PANEL_HEIGHT, draw_panel
from biopose_live.evaluation.palette import BACKGROUND, CENTRE, LEFT, RIGHT, WHITE, Colour
from biopose_live.sinks.recording import Recording
from biopose_live.stages import EndOfStream

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]

TILE_WIDTH, TILE_HEIGHT = 420, 560  # px of the picture in one tile
GAP = 10  # px between tiles
SUPERSAMPLING = 2  # drawn larger and shrunk: OpenCV's own smoothing alone leaves thick lines rough
PLOT_SECONDS = 3.0
MARGIN = 1.12  # of a tile around the person's box
SURELY_SEEN = 0.5  # keypoint score

_SIDE_COLOURS = {"_l": LEFT, "_r": RIGHT}


def bones(meta: Meta) -> list[tuple[int, int, Colour]]:
    """-> (joint, joint, colour): the joint centre of each body and of its parent, as indices into `joint_names`."""
    index = {name: i for i, name in enumerate(meta.joint_names)}
    return [
        (index[meta.body_names[parent]], index[body], _SIDE_COLOURS.get(body[-2:], CENTRE))
        for body, parent in zip(meta.body_names, meta.body_parents, strict=True)
        if parent >= 0
    ]


def projected(person: Person) -> Floats:
    """-> (J, 2) px of the joints in the full frame; NaN for a joint that is not in front of the camera."""
    joints = np.asarray(person.joints, np.float64)
    depth = np.where(joints[:, 2:] > 0.05, joints[:, 2:], np.nan)
    return person.camera.focal * joints[:, :2] / depth + np.asarray(person.camera.centre)


def draw_person(
    picture: Picture, person: Person, meta: Meta, zoom: float = 1.0, origin: Sequence[float] = (0, 0)
) -> None:
    """Draws into `picture`, a cut-out that begins at `origin` (px of the full frame) and is enlarged by `zoom`.

    Limbs that are nearer to the camera cover those behind; a thin dark rim keeps lines apart from what is under them.
    """
    size = max(2.0, min(picture.shape[:2]) / 130)
    at = (projected(person) - np.asarray(origin)) * zoom
    depth = [joint[2] for joint in person.joints]
    lines = bones(meta)
    for a, b, colour in sorted(lines, key=lambda bone: -(depth[bone[0]] + depth[bone[1]])):
        if np.isnan(at[[a, b]]).any():
            continue
        _line(picture, at[a], at[b], BACKGROUND, size * 1.5)
        _line(picture, at[a], at[b], colour, size)
    for a in sorted({end for bone in lines for end in bone[:2]}, key=lambda joint: -depth[joint]):
        if not np.isnan(at[a]).any():
            _dot(picture, at[a], BACKGROUND, size * 1.05)
            _dot(picture, at[a], WHITE, size * 0.75)
    for x, y, score in person.keypoints:
        if score >= SURELY_SEEN:
            where = (np.array([x, y]) - np.asarray(origin)) * zoom
            _dot(picture, where, BACKGROUND, size * 0.62)
            _dot(picture, where, (120, 255, 190), size * 0.42)


_SHIFT = 4  # OpenCV takes fixed-point positions


def _fixed(point: Floats) -> tuple[int, int]:
    x, y = np.clip(np.round(point * (1 << _SHIFT)), -(2**24), 2**24)
    return int(x), int(y)


def _line(picture: Picture, a: Floats, b: Floats, colour: Colour, width: float) -> None:
    cv2.line(picture, _fixed(a), _fixed(b), colour, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def _dot(picture: Picture, centre: Floats, colour: Colour, radius: float) -> None:
    cv2.circle(picture, _fixed(centre), max(1, round(radius * (1 << _SHIFT))), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def cut_out_height(width: int, height: int, boxes: Sequence[Sequence[float]]) -> float:
    """-> px of the frame's height that a tile shows: room for the largest of the boxes, within the frame."""
    shape = TILE_WIDTH / TILE_HEIGHT
    largest = min(float(height), width / shape)
    needed = [max(box[3], box[2] / shape) * MARGIN for box in boxes]
    return min(max(needed, default=largest), largest)


def cut_out(width: int, height: int, box: Sequence[float], shown: float) -> tuple[float, float, float]:
    """-> x, y, width px of the part, `shown` px high and of a tile's shape, that is nearest to the box's middle."""
    w = shown * TILE_WIDTH / TILE_HEIGHT
    x = min(max(box[0] + box[2] / 2 - w / 2, 0.0), width - w)
    y = min(max(box[1] + box[3] / 2 - shown / 2, 0.0), height - shown)
    return x, y, w


def tile(pixels: Picture, history: Sequence[Pose], meta: Meta, shown: float) -> Picture:
    """-> one tile: `shown` px of the height of the frame `pixels` (RGB), which belongs to the last of `history`, over
    its angle panel.
    """
    person = _main_person(history[-1])
    height, width = pixels.shape[:2]
    x, y, w = cut_out(width, height, person.box if person is not None else (0, 0, width, height), shown)
    zoom = TILE_WIDTH * SUPERSAMPLING / w
    shift = np.array([[zoom, 0, -x * zoom], [0, zoom, -y * zoom]])
    large = (TILE_WIDTH * SUPERSAMPLING, TILE_HEIGHT * SUPERSAMPLING)
    enlarged = cv2.warpAffine(pixels, shift, large, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    picture: Picture = enlarged.astype(np.uint8, copy=False)
    if person is not None:
        draw_person(picture, person, meta, zoom, (x, y))
    panel = np.full((PANEL_HEIGHT * SUPERSAMPLING, large[0], 3), BACKGROUND, np.uint8)
    draw_panel(panel, history, meta, person, PLOT_SECONDS, SUPERSAMPLING)
    whole = np.concatenate([picture, panel])
    size = (TILE_WIDTH, TILE_HEIGHT + PANEL_HEIGHT)
    return cv2.resize(whole, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _main_person(pose: Pose) -> Person | None:
    return max(pose.people, key=lambda person: person.confidence) if pose.people else None


def render(recording: Recording, video: Path, frames: Sequence[int]) -> Picture:
    """-> RGB picture of the given captured frames side by side, in the given order.

    Raises UserError when the recording or the video cannot be read or does not hold a frame.
    """
    poses = {pose.seq: pose for pose in recording}
    missing = [frame for frame in frames if frame not in poses]
    if missing:
        span = f"it has frames {min(poses)} to {max(poses)}" if poses else "it is empty"
        raise UserError(f"{recording.folder} holds no frame {missing[0]}: {span}.", EXIT_SOURCE)
    pictures = _pictures(video, set(frames))
    boxes = [person.box for frame in frames if (person := _main_person(poses[frame])) is not None]
    tiles = []
    for frame in frames:
        since = poses[frame].t_capture - round(PLOT_SECONDS * 1e9)
        history = [pose for seq, pose in poses.items() if seq <= frame and pose.t_capture >= since]
        height, width = pictures[frame].shape[:2]
        if [width, height] != poses[frame].image:
            w, h = poses[frame].image
            raise UserError(
                f"{video} is {width}x{height}, the recording was made of {w}x{h}: give the video that was recorded.",
                EXIT_SOURCE,
            )
        tiles.append(tile(pictures[frame], history, recording.meta, cut_out_height(width, height, boxes)))
    gap = np.full((tiles[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for one in tiles for part in (gap, one)][1:], axis=1)


def _pictures(video: Path, frames: set[int]) -> dict[int, Picture]:
    source = open_video_file(video, every_frame=True)
    convert = UprightRGB()
    found: dict[int, Picture] = {}
    try:
        while len(found) < len(frames):
            captured = source.read(math.inf)
            if captured is not None and captured.index in frames:
                found[captured.index] = convert.pixels(captured.picture).copy()
    except EndOfStream:
        missing = min(frames - set(found))
        raise UserError(
            f"{video} ends before frame {missing}: give the video that was recorded.", EXIT_SOURCE
        ) from None
    finally:
        source.close()
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m biopose_live.evaluation.overlay", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--recording", type=Path, required=True, metavar="DIR")
    parser.add_argument("--video", type=Path, required=True, metavar="FILE", help="what was recorded")
    parser.add_argument("--frame", type=int, nargs="+", required=True, metavar="N", help="captured frames, from 0")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="picture to write, .png or .jpg")
    given = parser.parse_args(arguments)
    try:
        _write(given.out, render(Recording(given.recording), given.video, given.frame))
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _write(path: Path, picture: Picture) -> None:
    try:
        done, data = cv2.imencode(path.suffix or ".", picture[..., ::-1])  # OpenCV writes BGR
    except cv2.error:
        done = False
    if not done:
        raise UserError(f"{path} does not end like a picture: use .png or .jpg with --out.", EXIT_USAGE)
    try:
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another --out.", EXIT_SINK) from error


if __name__ == "__main__":
    sys.exit(main())
