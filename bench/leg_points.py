"""The 2D leg points of the image network beside MediaPipe's, on real clips with measured truth.

    python bench/leg_points.py --pose2sim DIR --opencap DIR DIR --json bench/results/leg_points.json

Three systems on the same frames: MediaPipe's own keypoints (Tasks, VIDEO mode), the detection stage's (the same
landmark network, each person seen twice, not smoothed) and the image network's dense points, as the live chain asks it.
`evaluation/leg_points.py` says how errors are measured, bench/README.md what the truths' points are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import result_file
from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.evaluation.angle_errors import FRAME_RATE
from biopose_live.evaluation.leg_points import (
    KINDS,
    LEG_POINTS,
    LegErrors,
    dense_rows,
    fit_camera,
    heights,
    landmark_names,
    leg_errors,
)
from biopose_live.evaluation.opencap_clip import read_places
from biopose_live.mqhmr.lite import evidence
from biopose_live.mqhmr.lite.evidence import Evidence
from biopose_live.pipeline.ring import LocalFrames
from biopose_live.settings import Settings
from biopose_live.sinks.session_meta import KEYPOINT_NAMES
from biopose_live.stages import EndOfStream
from biopose_live.stages.capture import CaptureStage
from biopose_live.stages.detection import DetectionStage
from biopose_live.stages.mqhmr import MqhmrStage
from machine import Machine, describe, table_console
from scored_clips import mediapipe_people

Floats = NDArray[np.float64]

MEDIAPIPE, KEYPOINTS, NETWORK = SYSTEMS = ("MediaPipe", "detection stage", "image network")
OPENCAP_BODIES = {"hip": "femur", "knee": "tibia", "ankle": "talus", "heel": "calcn", "toe": "toes"}


@dataclass(frozen=True)
class Seen:
    """One video's points by system, (F, P, 2) px, NaN where nobody was found; size (width, height) px."""

    points: dict[str, Floats]
    size: tuple[int, int]


class Figures(msgspec.Struct):
    """Over frames and both sides, px and % of the person's height: means, and the offset-free median, which legs taken
    for each other hardly touch."""

    raw_px: float
    offset_free_px: float
    raw_percent: float
    offset_free_percent: float
    median_px: float


class Fit(msgspec.Struct):
    """The camera that one system's points gave: focal length px, lag frames, median residual of that fit px."""

    focal: float
    lag: int
    residual: float


class Row(msgspec.Struct):
    """One system on one clip, over the frames in which all systems found the person: figures by kind of point and of
    "all"; fit: None where the camera was measured."""

    clip: str
    system: str
    frames: int
    figures: dict[str, Figures]
    fit: Fit | None


class Report(msgspec.Struct):
    """What `--json` writes."""

    bench: str
    machine: Machine
    rows: list[Row]


def look(video: Path, toe: str, frames: int | None) -> Seen:
    """-> what each system says of a video's first frames; toe as in `dense_rows`.  Raises UserError."""
    marks = [KEYPOINT_NAMES.index(name) for name in landmark_names()]
    rows = dense_rows(tuple(BodyModel.load().marker_names), toe)
    nothing = np.full((len(LEG_POINTS), 2), np.nan)
    ours: dict[str, list[Floats]] = {KEYPOINTS: [], NETWORK: []}
    size = (0, 0)
    for width, height, keypoints, said in followed(video):
        size = (width, height)
        ours[KEYPOINTS].append(nothing if keypoints is None else keypoints[marks, :2].astype(np.float64))
        ours[NETWORK].append(nothing if said is None else said.places[rows])
        if len(ours[NETWORK]) == frames:
            break
    points = {name: np.array(found) for name, found in ours.items()}
    theirs = []
    for person in mediapipe_people(video, "full"):
        theirs.append(nothing if person is None else person.keypoints[marks, :2].astype(np.float64))
        if len(theirs) == len(points[NETWORK]):
            break
    return in_common(Seen({MEDIAPIPE: np.array(theirs), **points}, size))


def in_common(seen: Seen) -> Seen:
    """The same with NaN in all frames in which one system has nothing: it would be spared the hard ones."""
    lost = np.any([np.isnan(points).any((1, 2)) for points in seen.points.values()], axis=0)
    return Seen(
        {name: np.where(lost[:, None, None], np.nan, points) for name, points in seen.points.items()}, seen.size
    )


def followed(video: Path) -> Iterator[tuple[int, int, NDArray[np.float32] | None, Evidence | None]]:
    """Frame by frame through the live stages: width, height, the person's keypoints and what the image network said."""
    settings = Settings(video=video, every_frame=True, publish="off")
    store = LocalFrames()
    said: list[Evidence] = []
    answer = evidence.in_frame

    def heard(*arguments: object) -> Evidence:
        said.append(answer(*arguments))  # type: ignore[arg-type]
        return said[-1]

    capture = CaptureStage(settings, store)
    stages = (DetectionStage(settings, store), MqhmrStage(settings, store))
    try:
        with patch.object(evidence, "in_frame", heard):
            while True:
                frame = capture.process(None)
                if frame is None:
                    continue
                said.clear()
                people = stages[0].process(frame)
                stages[1].process(people)
                keypoints = people.people[0].keypoints if people.people else None
                yield frame.width, frame.height, keypoints, said[-1] if said else None
    except EndOfStream:
        return
    finally:
        for stage in (*stages, capture):
            stage.close()


def pose2sim(folder: Path, frames: int | None, say: Callable[[str], None]) -> list[Row]:
    """-> rows of the four cameras together: triangulated from the other cameras' keypoints, reprojected.  Raises
    UserError."""
    path = folder / "truth.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            index = [list(arrays["landmarks"]).index(name) for name in landmark_names()]
            truth = arrays["points_camera_leave_one_out"][:, :, index].astype(np.float64)
            cameras, distortion = arrays["K"].astype(np.float64), arrays["distortion"].astype(np.float64)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise UserError(
            f"{path} cannot be read as Pose2Sim truth with its cameras ({error}): see bench/README.md.", EXIT_SOURCE
        ) from error
    errors: dict[str, list[LegErrors]] = {name: [] for name in SYSTEMS}
    for i, video in enumerate(sorted(folder.glob("cam*.mp4"))):
        say(f"pose2sim: {video.name} …")
        seen = look(video, "tip", frames)
        some = truth[i][: len(seen.points[NETWORK])]
        places = cv2.projectPoints(some.reshape(-1, 3), np.zeros(3), np.zeros(3), cameras[i], distortion[i])[0]
        height = heights(some, float(cameras[i, 0, 0]))
        for name, points in seen.points.items():
            errors[name].append(leg_errors(points[: len(some)], places.reshape(*some.shape[:2], 2), height))
    return [row("pose2sim", name, found, None) for name, found in errors.items()]


def opencap(folder: Path, frames: int | None, say: Callable[[str], None]) -> list[Row]:
    """-> rows of one clip: the OpenSim model's joint centres, through the camera that suits each system best.  Raises
    UserError."""
    bodies = [f"{OPENCAP_BODIES[point[:-2]]}_{point[-1]}" for point in LEG_POINTS]
    time, places = read_places(folder / "sample_mocap.json", bodies)
    name = folder.resolve().name
    say(f"{name}: {folder / 'video.mp4'} …")
    seen = look(folder / "video.mp4", "ball", frames)
    rows = []
    for system, points in seen.points.items():
        try:
            fitted = fit_camera(points, time, places, FRAME_RATE, seen.size)
        except ValueError as error:
            raise UserError(f"{folder}: {error}; give a video that shows somebody.", EXIT_SOURCE) from error
        errors = leg_errors(points, fitted.places, heights(fitted.points, fitted.focal))
        rows.append(row(name, system, [errors], Fit(fitted.focal, fitted.lag, fitted.residual)))
    return rows


def row(clip: str, system: str, videos: Sequence[LegErrors], fit: Fit | None) -> Row:
    """-> means over the frames of all videos in which the person was found."""
    every = [
        np.concatenate([getattr(v, name) for v in videos])
        for name in ("raw_px", "offset_free_px", "raw_percent", "offset_free_percent")
    ]
    chosen = {kind: [i for i, point in enumerate(LEG_POINTS) if point[:-2] == kind] for kind in KINDS}
    chosen["all"] = list(range(len(LEG_POINTS)))
    figures = {
        kind: Figures(*(float(np.nanmean(e[:, of])) for e in every), float(np.nanmedian(every[1][:, of])))
        for kind, of in chosen.items()
    }
    return Row(clip, system, int((~np.isnan(every[0]).all(1)).sum()), figures, fit)


def table(rows: Sequence[Row]) -> Table:
    """-> one row per clip and kind of point, one column per system."""
    title = (
        "2D error of leg points, px (% of the person's height): mean raw / mean and median without each point's offset"
    )
    made = Table(title=title, title_justify="left", title_style="bold")
    made.add_column("clip")
    made.add_column("point")
    for system in SYSTEMS:
        made.add_column(system, justify="right", style="bold" * (system == NETWORK))
    for clip in dict.fromkeys(r.clip for r in rows):
        of_clip = {r.system: r for r in rows if r.clip == clip}
        for kind in (*KINDS, "all"):
            cells = [told(of_clip[system].figures[kind]) for system in SYSTEMS]
            made.add_row(clip if kind == KINDS[0] else "", kind, *cells)
        fits = {system: of_clip[system].fit for system in SYSTEMS}
        cells = [f"{f.focal:.0f} px, {f.lag:+d}" if f is not None else "measured" for f in fits.values()]
        made.add_row("", "camera, lag", *cells, end_section=True)
    return made


def told(f: Figures) -> str:
    without = f"{f.offset_free_px:.1f} ({f.offset_free_percent:.2f})  {f.median_px:.1f}"
    return f"{f.raw_px:.1f} ({f.raw_percent:.2f}) / {without}"


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pose2sim", type=Path, metavar="DIR", help="folder with cam01.mp4 ... and truth.npz")
    parser.add_argument(
        "--opencap", type=Path, nargs="+", default=[], metavar="DIR", help="folders with video.mp4, sample_mocap.json"
    )
    parser.add_argument("--frames", type=int, metavar="N", help="of each video at most")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows into this file")
    given = parser.parse_args(arguments)
    if given.pose2sim is None and not given.opencap:
        parser.error("nothing to measure on; give --pose2sim or --opencap")
    if given.frames is not None and given.frames < 1:
        parser.error(f"--frames {given.frames} is too few; give 1 or more")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    given = parse(arguments)
    machine = describe()
    say = Console(stderr=True, highlight=False).print
    rows: list[Row] = []
    try:
        if given.pose2sim is not None:
            rows += pose2sim(given.pose2sim, given.frames, say)
        for folder in given.opencap:
            rows += opencap(folder, given.frames, say)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    console = table_console()
    console.print(table(rows))
    if given.json is not None:
        result_file.write(given.json, Report("leg points", machine, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
