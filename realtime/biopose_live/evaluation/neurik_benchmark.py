"""`biopose-eval neurik`: NeurIK beside inverse kinematics on the same markers (paper section 4.2).

Both follow held-out sequences frame by frame, causally, by the code that runs live (`NeuralTrack`, `KinematicTrack`),
from the markers and the shape that the live system's simulated chain gave, which was still settling.  The truth is the
motion behind them.  Conditions: `live` markers as they were seen, `better` with 0.4 of their error, `exact` with none.

Where a method puts a bony landmark: inverse kinematics on its own calibration's place on the scaled bone, NeurIK on the
mean person's place on the bone of its own scales.

Times are processor time, so that other programs on the machine count against neither.

Letters: N sequences, T frames, M markers, L bony landmarks, Q coordinates, B bodies.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from biopose_live.body.marker_table import MARKER_INDEX, MARKERS
from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.evaluation.neurik_samples import HELD_OUT, HeldOut
from biopose_live.evaluation.neurik_scores import GroupScore, Judge, Movement, Scores
from biopose_live.evaluation.tables import table_console, titled, write
from biopose_live.neurik.calibration import Calibration, Calibrator
from biopose_live.neurik.kinematic_track import KinematicTrack, Solved
from biopose_live.neurik.mean_person import marker_places
from biopose_live.neurik.neural_track import NeuralSolver, NeuralTrack
from biopose_live.neurik.stream import WEIGHTS, StreamedNetwork
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.skeleton.kinematics import Kinematics

Floats = NDArray[np.float64]

NEURIK, IK = "neurik", "ik"
TITLES = {NEURIK: "NeurIK", IK: "IK"}
SHARES = {"live": 1.0, "better": 0.4, "exact": 0.0}  # of the markers' error
DEFAULT_CONDITIONS = ("live", "better")
SEQUENCES, QUICK_SEQUENCES = 16, 3
FIGURES = (
    ("MAE_angle", "mae_angle_deg", "°"),
    ("  offset-free", "mae_angle_offset_free_deg", "°"),
    ("  shoulders, geodesic", "shoulder_geodesic_deg", "°"),
    ("  pelvis, geodesic", "pelvis_geodesic_deg", "°"),
    ("MPBLPE", "mpblpe_mm", "mm"),
    ("MAE_body", "mae_body_mm", "mm"),
    ("jitter", "jitter_m_s2", "m/s²"),
    ("  of the truth", "true_jitter_m_s2", "m/s²"),
    ("acceleration error", "acceleration_error_m_s2", "m/s²"),
    ("bone length variation", "bone_length_variation_percent", "%"),
    ("time a frame", "ms_per_frame", "ms"),
)


class Report(msgspec.Struct):
    """What `--json` writes: the scores on the first condition, of each method, and on every one."""

    bench: str
    samples: str
    sequences: int
    frames: int
    weights: str
    settings: dict[str, object]
    condition: str
    neurik: Scores
    ik: Scores
    conditions: dict[str, dict[str, Scores]]


class RememberingCalibrator(Calibrator):
    """A calibrator whose last result can be asked for: where a track's markers sit."""

    last: Calibration

    def __call__(self, betas: Floats) -> Calibration:
        self.last = super().__call__(betas)
        return self.last


class Benchmark:
    """Runs both methods over held-out sequences."""

    def __init__(self, network: StreamedNetwork) -> None:
        body, self._model = BodyModel.load(), load_bsk24()
        self._calibrator = RememberingCalibrator(body, self._model)
        self._solver = NeuralSolver(self._model, body.marker_names, network)
        self._kinematics, self._judge = Kinematics(self._model), Judge(self._model)
        self._bodies, self._places = marker_places(body, self._model)
        self._bony = np.array([i for i, name in enumerate(body.marker_names) if MARKERS[MARKER_INDEX[name]].bony])
        self._root = self._calibrator.root
        self._place = self._solver.layout.place

    def __call__(self, samples: HeldOut, share: float, advance: Callable[[], None]) -> dict[str, Scores]:
        """-> the scores of both methods on markers with `share` of their error; `advance` is told of each sequence and
        method."""
        markers, truth = samples.markers(share), self._truth(samples)
        return {
            NEURIK: self._follow(
                samples, markers, truth, lambda: NeuralTrack(self._solver, self._calibrator), self._mean_places, advance
            ),
            IK: self._follow(
                samples,
                markers,
                truth,
                lambda: KinematicTrack(self._model, self._calibrator),
                lambda solved: self._calibrator.last.marker_locations,
                advance,
            ),
        }

    def _mean_places(self, solved: Solved) -> Floats:
        result: Floats = self._places * solved.scales[self._bodies]
        return result

    def _truth(self, samples: HeldOut) -> Movement:
        joints = [
            [self._kinematics.forward(row, scales)[1] for row in q]
            for q, scales in zip(samples.q, samples.scales, strict=True)
        ]
        landmarks = samples.true[:, :, self._bony] - samples.q[:, :, None, self._place]
        frames = samples.times.shape[1]
        return Movement(samples.q, np.repeat(samples.scales[:, None], frames, 1), np.array(joints), landmarks)

    def _follow(
        self,
        samples: HeldOut,
        markers: Floats,
        truth: Movement,
        person: Callable[[], NeuralTrack | KinematicTrack],
        places: Callable[[Solved], Floats],
        advance: Callable[[], None],
    ) -> Scores:
        """One new person for each sequence; `places` says where markers sit on the scaled bodies (M, 3) m."""
        found = Movement(*(np.empty_like(part) for part in (truth.q, truth.scales, truth.joints, truth.landmarks)))
        sigma, ms = np.empty_like(truth.q), np.empty(samples.times.shape)
        bodies = self._bodies[self._bony]
        for n, (times, betas) in enumerate(zip(samples.times, samples.betas_seen, strict=True)):
            track = person()
            for k, t in enumerate(times):
                start = time.thread_time()
                solved = track.update(float(t), markers[n, k], betas[k], False)
                ms[n, k] = 1e3 * (time.thread_time() - start)
                found.q[n, k], sigma[n, k] = solved.q, solved.sigma
                found.scales[n, k], found.joints[n, k] = solved.scales, solved.origins
                at = places(solved)[self._bony]
                points = (solved.rotations[bodies] @ at[..., None])[..., 0] + solved.origins[bodies]
                found.landmarks[n, k] = points - solved.origins[self._root]
            advance()
        return self._judge(found, truth, sigma, samples.times, samples.good, ms)


def main_table(conditions: Mapping[str, Mapping[str, Scores]]) -> Table:
    """-> each figure, NeurIK beside IK, for each condition."""
    table = titled("NeurIK beside inverse kinematics on the same markers")
    table.add_column("", no_wrap=True)
    for condition in conditions:
        for method in (NEURIK, IK):
            table.add_column(f"{TITLES[method]}, {condition}", justify="right", style="bold" * (method == NEURIK))
    for title, name, unit in FIGURES:
        cells = [getattr(scores[method], name) for scores in conditions.values() for method in (NEURIK, IK)]
        table.add_row(title, *(f"{value:.2f} {unit}" for value in cells))
    return table


def group_table(condition: str, scores: Mapping[str, Scores]) -> Table:
    """-> where which method is ahead: each group's mean absolute error, raw and offset-free."""
    table = titled(f"Mean absolute angle error by joint, {condition} markers")
    table.add_column("joint")
    for heading in ("NeurIK", "IK", "NeurIK, offset-free", "IK, offset-free"):
        table.add_column(heading, justify="right")
    table.add_column("ahead")
    for name, (neurik, ik) in _rows(scores).items():
        cells = (neurik.mae_deg, ik.mae_deg, neurik.offset_free_deg, ik.offset_free_deg)
        table.add_row(name, *(f"{value:.2f}°" for value in cells), _ahead(neurik, ik))
    return table


def sigma_table(condition: str, scores: Mapping[str, Scores]) -> Table:
    """-> how far each one-sigma can be believed."""
    table = titled(f"One-sigma: 68 % of errors should be smaller, and 1 the root mean square, {condition} markers")
    table.add_column("joint")
    for method in (NEURIK, IK):
        table.add_column(f"{TITLES[method]}, within", justify="right")
        table.add_column("error / sigma", justify="right")
    places = scores[NEURIK].place, scores[IK].place
    for name, both in {**_rows(scores), "place": places}.items():
        cells = [(row.within_sigma, row.error_over_sigma) for row in both]
        table.add_row(name, *(text for share, ratio in cells for text in (f"{100 * share:.0f} %", f"{ratio:.2f}")))
    return table


def _rows(scores: Mapping[str, Scores]) -> dict[str, tuple[GroupScore, GroupScore]]:
    """-> NeurIK's and IK's score of each group and of all angles together."""
    rows = {name: (neurik, scores[IK].groups[name]) for name, neurik in scores[NEURIK].groups.items()}
    return {**rows, "all angles": (scores[NEURIK].angles, scores[IK].angles)}


def _ahead(neurik: GroupScore, ik: GroupScore) -> str:
    """Who errs less, where it makes a twentieth."""
    if neurik.mae_deg < 0.95 * ik.mae_deg:
        return TITLES[NEURIK]
    return TITLES[IK] if ik.mae_deg < 0.95 * neurik.mae_deg else "equal"


def run(
    samples: HeldOut,
    name: str,
    weights: Path,
    conditions: Sequence[str],
    console: Console,
    progress: Console,
) -> Report:
    """Scores both methods and prints the tables.  Raises UserError when the weights cannot be used."""
    from rich.progress import Progress

    benchmark = Benchmark(StreamedNetwork.load(weights))
    scores: dict[str, dict[str, Scores]] = {}
    with Progress(console=progress, transient=True) as bar:
        task = bar.add_task("sequences", total=2 * len(samples) * len(conditions))
        for condition in conditions:
            scores[condition] = benchmark(samples, SHARES[condition], lambda: bar.advance(task))
    console.print(main_table(scores))
    console.print(group_table(conditions[0], scores[conditions[0]]))
    console.print(sigma_table(conditions[0], scores[conditions[0]]))
    frames = int(samples.times.size)
    console.print(f"{len(samples)} sequences, {frames} frames of {name}; weights {weights}.", markup=False)
    first = scores[conditions[0]]
    settings: dict[str, object] = {"settled": False, "shares_of_marker_error": {name: SHARES[name] for name in scores}}
    return Report(
        "neurik",
        name,
        len(samples),
        frames,
        weights.name,
        settings,
        conditions[0],
        first[NEURIK],
        first[IK],
        scores,
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the command line."""
    parser = argparse.ArgumentParser(prog="biopose-eval neurik", description=__doc__.split(": ", 1)[1].splitlines()[0])
    parser.add_argument("--samples", type=Path, metavar="FILE.npz", help="held-out samples (those that ship)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, metavar="FILE", help="NeurIK's weights (the shipped)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures into this file")
    parser.add_argument("--markers", choices=tuple(SHARES), help="one condition only (live and better)")
    parser.add_argument("--sequences", type=int, metavar="N", help=f"how many sequences at most ({SEQUENCES})")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_SEQUENCES} sequences: a few seconds")
    given = parser.parse_args(arguments)
    if given.sequences is None:
        given.sequences = QUICK_SEQUENCES if given.quick else SEQUENCES
    if given.sequences < 1:
        parser.error(f"--sequences {given.sequences} is too few; give 1 or more")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    given = parse(arguments)
    console = table_console()
    try:
        path = given.samples or HELD_OUT
        samples = HeldOut.load([path]).spread(given.sequences)
        conditions = (given.markers,) if given.markers else DEFAULT_CONDITIONS
        report = run(samples, path.name, given.weights, conditions, console, Console(stderr=True))
        if given.json is not None:
            write(report, given.json)
            console.print(f"Written to {given.json}.", soft_wrap=True, markup=False)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0
