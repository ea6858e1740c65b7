"""One frame of inverse kinematics, ours and OpenSim's, on the same skeleton and the same markers in one run.

    python bench/inverse_kinematics.py [--quick] [--frames N] [--json FILE]

The shipped 24-body skeleton, which has no muscles, walks, squats and reaches (`movements.py`); its own markers are the
targets, clean and with Gaussian noise on each coordinate.  Both solvers minimise the sum of squared marker errors, all
weights one, no prior, within the same limits, frame by frame from the frame before.  Ours takes a fixed number of
Levenberg-Marquardt steps a frame: its default, and what `--kinematics ik` spends live.  OpenSim's is the solver behind
its IK tool (InverseKinematicsSolver), at the tool's accuracy of 1e-5; it stops a little short of the minimum whatever
accuracy is asked for, which costs it a third of a degree on clean markers and smooths noisy ones.  Its first frame
starts from our answer, since a start from the default pose may end in a local minimum.

Times are processor time of one solved frame, so that other programs on the machine count against neither.  Each solver
follows a trial in one go, with its own data in the caches.  Ours includes Python's share; reading OpenSim's answer out
of its model is not counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import result_file
from biopose_live.errors import UserError
from biopose_live.neurik.kinematic_track import ITERATIONS as LIVE_STEPS
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.skeleton.inverse_kinematics import InverseKinematics
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.skeleton.osim_writer import write_osim
from machine import Machine, describe, table_console
from movements import MOVEMENTS, with_drift

Floats = NDArray[np.float64]

PEER = "OpenSim"
DEFAULT_STEPS = 2
OURS = {f"biopose-live, {steps} steps": steps for steps in (DEFAULT_STEPS, LIVE_STEPS)}
FPS = 30.0
NOISES_MM = (0.0, 5.0, 10.0)
TOOL_ACCURACY = 1e-5


class Row(msgspec.Struct):
    """One solver on one noise level, all movements together.  `marker_rms_mm` is the median frame's."""

    system: str
    noise_mm: float
    frames: int
    angle_mean_deg: float
    angle_p95_deg: float
    marker_rms_mm: float
    ms_median: float
    ms_p95: float


class Report(msgspec.Struct):
    """What `--json` writes; `times_faster` is the peer's median time over ours, for each system and noise level."""

    bench: str
    machine: Machine
    opensim: str
    markers: int
    movements: list[str]
    rows: list[Row]
    times_faster: dict[str, dict[str, float]]


class Peer:
    """OpenSim's solver on one model file and one trial of markers."""

    def __init__(self, path: Path, model: SkeletonModel, targets: Floats, q_start: Floats) -> None:
        """targets (T, M, 3) m; q_start (Q,) where the first frame starts from."""
        import opensim

        self.names = model.coordinate_names
        self.model = opensim.Model(str(path))
        self.state = self.model.initSystem()
        table = opensim.TimeSeriesTableVec3()
        table.setColumnLabels(model.marker_names)
        for number, frame in enumerate(targets):
            row = opensim.RowVectorVec3(len(frame))
            for place, point in enumerate(frame):
                row[place] = opensim.Vec3(*(float(x) for x in point))
            table.appendRow(number / FPS, row)
        weights = opensim.SetMarkerWeights()
        for name in model.marker_names:
            weights.cloneAndAppend(opensim.MarkerWeight(name, 1.0))
        self.solver = opensim.InverseKinematicsSolver(
            self.model, opensim.MarkersReference(table, weights), opensim.SimTKArrayCoordinateReference()
        )
        self.solver.setAccuracy(TOOL_ACCURACY)
        for name, value in zip(self.names, q_start, strict=True):
            self.model.getCoordinateSet().get(name).setValue(self.state, float(value), False)
        self.state.setTime(0.0)
        self.solver.assemble(self.state)

    def solve(self, number: int) -> None:
        """Frame `number` of the trial."""
        self.state.setTime(number / FPS)
        self.solver.track(self.state)

    def q(self) -> Floats:
        """(Q,) of the frame solved last."""
        coordinates = self.model.getCoordinateSet()
        return np.array([coordinates.get(name).getValue(self.state) for name in self.names])


class Tally:
    """Collects what one solver did over the frames of one noise level."""

    def __init__(self, system: str, noise_mm: float, turning: NDArray[np.bool_]) -> None:
        self.system, self.noise_mm, self.turning = system, noise_mm, turning
        self.errors: list[Floats] = []
        self.rms: list[float] = []
        self.ms: list[float] = []

    def add(self, q: Floats, truth: Floats, rms: float, seconds: float) -> None:
        """q and truth (Q,); rms (m) of the markers."""
        off = (q - truth)[self.turning]
        self.errors.append(np.degrees(np.abs((off + np.pi) % (2.0 * np.pi) - np.pi)))
        self.rms.append(1e3 * rms)
        self.ms.append(1e3 * seconds)

    def row(self) -> Row:
        """-> the figures of the table."""
        errors = np.concatenate(self.errors)
        return Row(
            system=self.system,
            noise_mm=self.noise_mm,
            frames=len(self.ms),
            angle_mean_deg=round(float(errors.mean()), 4),
            angle_p95_deg=round(float(np.percentile(errors, 95)), 4),
            marker_rms_mm=round(float(np.median(self.rms)), 4),
            ms_median=round(float(np.median(self.ms)), 4),
            ms_p95=round(float(np.percentile(self.ms, 95)), 4),
        )


def compare(
    model: SkeletonModel, names: Sequence[str], noises_mm: Sequence[float], frames: int, say: Callable[[str], None]
) -> list[Row]:
    """Solves `frames` frames of each movement at each noise level with all; -> rows, the peer's last in each level."""
    locations = np.array([marker.location for marker in model.markers])
    solver = InverseKinematics(model, [marker.body for marker in model.markers], locations)
    kinematics = Kinematics(model)
    turning = np.array([coordinate.rotational for coordinate in model.coordinates])
    times = np.arange(frames) / FPS
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bsk24.osim"
        write_osim(model, path)
        for noise in noises_mm:
            tallies = {system: Tally(system, noise, turning) for system in (*OURS, PEER)}
            for number, name in enumerate(names):
                say(f"{name}, {noise:g} mm of noise …")
                truth = with_drift(model, MOVEMENTS[name](model, times), times, seed=number)
                clean = np.array([kinematics.markers(q) for q in truth])
                rng = np.random.default_rng(number)
                targets = clean + 1e-3 * noise * rng.normal(size=clean.shape)
                follow(solver, path, targets, truth, tallies)
            rows += [tally.row() for tally in tallies.values()]
    return rows


def follow(solver: InverseKinematics, path: Path, targets: Floats, truth: Floats, tallies: Mapping[str, Tally]) -> None:
    """One trial, targets (T, M, 3) m and truth (T, Q): frame 0 starts all of them and is not counted."""
    first = solver.fit_from_any_pose(targets[0]).q
    for system, steps in OURS.items():
        q = first
        for number in range(1, len(targets)):
            start = time.process_time()
            result = solver.solve(targets[number], q, steps)
            seconds = time.process_time() - start
            q = result.q
            tallies[system].add(q, truth[number], fit(solver, q, targets[number]), seconds)
    peer = Peer(path, solver.model, targets, first)
    for number in range(1, len(targets)):
        start = time.process_time()
        peer.solve(number)
        seconds = time.process_time() - start
        q = peer.q()
        tallies[PEER].add(q, truth[number], fit(solver, q, targets[number]), seconds)


def fit(solver: InverseKinematics, q: Floats, targets: Floats) -> float:
    """-> rms distance (m) of the markers at q (Q,) from targets (M, 3) m."""
    points, _ = solver.residual_jacobian(q)
    return float(np.sqrt(np.mean(np.sum((points - targets) ** 2, axis=1))))


def times_faster(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """-> for each of our systems and noise levels: how many of its frames fit into one of the peer's, by medians."""
    peer = {row.noise_mm: row.ms_median for row in rows if row.system == PEER}
    return {
        system: {
            f"{row.noise_mm:g} mm": round(peer[row.noise_mm] / row.ms_median, 1) for row in rows if row.system == system
        }
        for system in OURS
    }


def table(rows: Sequence[Row]) -> Table:
    """-> ours above the peer's for each noise level."""
    made = Table(title="Inverse kinematics of one frame", title_justify="left", title_style="bold")
    made.add_column("noise")
    made.add_column("system")
    for heading in (
        "angle error, mean",
        "p95",
        "marker rms",
        "CPU ms a frame, median",
        "p95",
        "times faster",
        "frames",
    ):
        made.add_column(heading, justify="right")
    faster = times_faster(rows)
    for row in rows:
        noise = f"{row.noise_mm:g} mm"
        made.add_row(
            noise if row.system == next(iter(OURS)) else "",
            row.system,
            f"{row.angle_mean_deg:.3f}°",
            f"{row.angle_p95_deg:.3f}°",
            f"{row.marker_rms_mm:.3f} mm",
            f"{row.ms_median:.3f}",
            f"{row.ms_p95:.3f}",
            f"{faster[row.system][noise]:.0f}" if row.system in OURS else "",
            str(row.frames),
            style="bold" * (row.system in OURS),
            end_section=row.system == PEER,
        )
    return made


def opensim_version() -> str:
    """-> the peer's own version, its log made quiet; raises UserError when it is not installed."""
    try:
        import opensim
    except ImportError as error:
        raise UserError(f"OpenSim cannot be imported ({error}): install it with  pip install opensim.") from None
    opensim.Logger.setLevelString("Error")
    opensim.Logger.removeFileSink()  # or it leaves a log in the working folder
    return str(opensim.GetVersion())


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="walking only, 5 mm, 30 frames: a few seconds")
    parser.add_argument("--frames", type=int, metavar="N", help="frames of each movement (120; 30 if --quick)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows into this file")
    given = parser.parse_args(arguments)
    if given.frames is None:
        given.frames = 30 if given.quick else 120
    if given.frames < 5:
        parser.error(f"--frames {given.frames} is too few; give 5 or more")
    given.movements = ["walking"] if given.quick else list(MOVEMENTS)
    given.noises_mm = (5.0,) if given.quick else NOISES_MM
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    given = parse(arguments)
    console = table_console()
    progress = Console(stderr=True, highlight=False)
    machine = describe()
    try:
        version = opensim_version()
        model = load_bsk24()
        rows = compare(model, given.movements, given.noises_mm, given.frames, progress.print)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    console.print(table(rows))
    console.print(f"{machine.cpu}, {machine.cores} cores, load {machine.load}; OpenSim {version}.", markup=False)
    if given.json is not None:
        report = Report(
            "inverse_kinematics",
            machine,
            version,
            len(model.markers),
            given.movements,
            rows,
            times_faster(rows),
        )
        result_file.write(given.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
