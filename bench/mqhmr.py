"""Tables like the paper's 3, 4 and 5 for the light image network, on rendered people that training had not seen.

    python bench/mqhmr.py --work FOLDER [--quick] [--json bench/results/mqhmr_tables.json]
    python bench/mqhmr.py --work FOLDER --train                          trains what tables 4 and 5 compare, first

FOLDER is that of `biopose-train lite --work FOLDER`, with the people of its test (and, to train, of its training).
Table 3 runs the shipped weights with K refinement steps; 4 and 5 run networks with fewer query tokens and with fewer of
the encoder's feature maps at the live setting of K, all trained equally: by the same steps over the same people in the
same order, far shorter than the shipped weights were.  The networks' weights are kept in FOLDER/variants.

The figures are those of `biopose-eval mqhmr --samples` (`evaluation/mqhmr_scores.py` defines them).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from biopose_live.pipeline.child import limit_threads

limit_threads(os.environ)  # as live, and before NumPy is imported

import msgspec  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.progress import Progress  # noqa: E402
from rich.table import Table  # noqa: E402
from safetensors import safe_open  # noqa: E402

import result_file  # noqa: E402
from biopose_live.errors import EXIT_SOURCE, UserError  # noqa: E402
from biopose_live.evaluation.mqhmr_options import ITERATIONS, OFF, ON  # noqa: E402
from biopose_live.evaluation.mqhmr_samples import Scores, StoredChain, read_samples, score  # noqa: E402
from biopose_live.evaluation.mqhmr_scores import Summary  # noqa: E402
from biopose_live.mqhmr.encoder_graph import STRIDES  # noqa: E402
from biopose_live.mqhmr.lite.network import WEIGHTS, LiteNetwork  # noqa: E402
from biopose_live.mqhmr.lite.points import POINTS  # noqa: E402
from biopose_live.mqhmr.person_crop import SIDE  # noqa: E402
from biopose_live.settings import Settings  # noqa: E402
from machine import Machine, describe, table_console  # noqa: E402

STEPS, RATE, SEED = 750, 1.5e-3, 1
LIVE = Settings().refine_iterations
QUICK_PEOPLE, QUICK_ITERATIONS = 48, (0, LIVE)
RENDER = "biopose-train lite --assets DIR --poses poses.npz --work {} --out lite.safetensors"


@dataclass(frozen=True)
class Design:
    """A network to compare: how many query tokens, and the strides of the feature maps that it reads."""

    queries: int = POINTS
    scales: tuple[int, ...] = STRIDES

    @property
    def scales_told(self) -> str:
        return ",".join(map(str, self.scales)) or "none"

    @property
    def file(self) -> str:
        return f"q{self.queries}_s{self.scales_told.replace(',', '-')}.safetensors"


QUERY_COUNTS = [Design(24), Design(65), Design()]
SCALES = [
    Design(scales=()),
    Design(scales=(16,)),
    Design(scales=(8, 16)),
    Design(scales=(4, 8, 16)),
    Design(),
]


class Variant(msgspec.Struct):
    """A trained design and what it scored at K steps; `training`: its weight file's settings; parameters: numbers in
    the file."""

    queries: int
    scales: list[int]
    parameters: int
    training: dict[str, object]
    scores: Scores


class Report(msgspec.Struct):
    """What `--json` writes: iterations, by "off" (keypoints only) and "on" and by K; the variants at `live_iterations`
    steps, beside keypoints only."""

    bench: str
    machine: Machine
    samples: str
    people: int
    of_people: int
    weights: str
    live_iterations: int
    iterations: dict[str, dict[str, Scores]]
    keypoints_only: Scores
    query_counts: list[Variant]
    feature_scales: list[Variant]


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """-> the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="of biopose-train lite")
    parser.add_argument("--train", action="store_true", help="train the networks of tables 4 and 5 that are missing")
    parser.add_argument("--steps", type=int, default=STEPS, metavar="N", help="of each training (%(default)s)")
    parser.add_argument("--count", type=int, metavar="N", help="people at most (all; 48 if --quick)")
    parser.add_argument("--quick", action="store_true", help="fewer people and iterations: a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures there")
    given = parser.parse_args(arguments)
    for name in ("steps", "count"):
        if getattr(given, name) is not None and getattr(given, name) < 1:
            parser.error(f"--{name} {getattr(given, name)} is too few; give 1 or more")
    if given.quick and given.count is None:
        given.count = QUICK_PEOPLE
    return given


def train(work: Path, design: Design, steps: int) -> None:
    """Trains one network as a user would, into work/variants.  Raises UserError with the command's own sentence."""
    command = [sys.executable, "-m", "biopose_live.training.main", "lite", "--count", "0", "--test", "0"]
    command += ["--work", str(work), "--out", str(work / "variants" / design.file), "--steps", str(steps)]
    command += ["--rate", str(RATE), "--seed", str(SEED), "--queries", str(design.queries)]
    command += ["--scales", design.scales_told, "--resume"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"{design.file}: {done.stderr.strip() or 'the training said nothing'}", done.returncode)


def settings_of(path: Path) -> dict[str, object]:
    """-> what a weight file says of its training."""
    with safe_open(path, framework="numpy") as file:
        settings: dict[str, object] = json.loads((file.metadata() or {}).get("settings", "{}"))
    return settings


def finished(path: Path) -> bool:
    """Whether the weights are there and their training was not stopped halfway."""
    if not path.is_file():
        return False
    settings = settings_of(path)
    return settings.get("samples_seen") == int(str(settings["steps"])) * int(str(settings["batch"]))


class Judge:
    """Scores networks on the same people."""

    def __init__(self, folder: Path, count: int | None, progress: Console) -> None:
        """Raises UserError where there are none, with how to make some."""
        if not folder.is_dir() or not any(folder.glob("*.fields.npz")):
            raise UserError(
                f"{folder} holds no rendered people to test on; make them with `{RENDER.format(folder.parent)} "
                "--count 0 --minutes 0` (bench/README.md says with what).",
                EXIT_SOURCE,
            )
        self.shards = read_samples(folder)
        self.people = min(count or len(self.shards), len(self.shards))
        self._chosen = np.linspace(0, len(self.shards) - 1, self.people).round().astype(int).tolist()
        self._progress = progress

    def __call__(
        self, network: LiteNetwork | None, iterations: Sequence[int], eyes: Sequence[str], what: str
    ) -> dict[str, dict[str, Scores]]:
        chain = StoredChain(self.shards, network)
        with Progress(console=self._progress, transient=True) as bar:
            task = bar.add_task(what, total=self.people)
            return score(chain, self._chosen, iterations, eyes, lambda: bar.advance(task))

    def variant(self, path: Path) -> Variant:
        """The network at `path` at the live number of steps.  Raises UserError where it cannot be used."""
        network = LiteNetwork.load(path)
        a = network.architecture
        (scores,) = self(network, [LIVE], [ON], path.stem)[ON].values()
        size = sum(int(np.prod(shape)) for shape in a.tensors().values())
        return Variant(len(a.queries), [SIDE // level[0] for level in a.levels], size, settings_of(path), scores)


def told(figure: Summary | None) -> str:
    """-> "mean  median"."""
    return "" if figure is None else f"{figure.mean:.1f}  {figure.median:.1f}"


def table(title: str, first: Sequence[str], rows: Sequence[tuple[Sequence[str], Scores]]) -> Table:
    """-> `first` headings and the scores."""
    made = Table(title=title, title_justify="left", title_style="bold")
    for heading in first:
        made.add_column(heading, no_wrap=True)
    for heading in ("MPJPE", "PA-MPJPE", "MVE", "network alone: MPJPE", "its joints, px", "its points, px", "AITI, ms"):
        made.add_column(heading, justify="right")
    for names, s in rows:
        poses = (s.pose.mpjpe_mm, s.pose.pa_mpjpe_mm, s.pose.mve_mm)
        own = s.network_pose.mpjpe_mm if s.network_pose else None
        px = (s.network.joints, s.network.seen) if s.network else (None, None)
        made.add_row(*names, *map(told, (*poses, own, *px)), f"{s.aiti_ms:.1f}")
    return made


def tables(report: Report) -> list[Table]:
    """-> the report as tables."""
    titles = {OFF: "keypoints only", ON: "with the picture"}
    rows = [([titles[eyes], k], s) for eyes, of in report.iterations.items() for k, s in of.items()]
    made = [table("3: refinement steps; mm, mean and median", ["", "K"], rows)]
    none: tuple[Sequence[str], Scores] = (["keypoints only", ""], report.keypoints_only)

    def variants(number: int, what: str, found: Sequence[Variant], name: str) -> None:
        if found:
            named = [
                ([str(v.queries) if name == "query tokens" else scales_of(v), f"{v.parameters / 1e6:.2f}"], v.scores)
                for v in found
            ]
            title = f"{number}: {what}, K = {report.live_iterations}; mm, mean and median"
            made.append(table(title, [name, "M parameters"], [none, *named]))

    variants(4, "query tokens", report.query_counts, "query tokens")
    variants(5, "feature maps", report.feature_scales, "strides")
    return made


def scales_of(variant: Variant) -> str:
    return ", ".join(map(str, variant.scales)) or "none"


def run(given: argparse.Namespace, console: Console, progress: Console) -> Report:
    """Raises UserError where people or weights are missing or damaged."""
    machine = describe()
    judge = Judge(given.work / "test", given.count, progress)
    designs = list(dict.fromkeys([*QUERY_COUNTS, *SCALES]))
    folder: Path = given.work / "variants"
    if given.train:
        for design in designs:
            if not finished(folder / design.file):
                console.print(f"{design.file}: {given.steps} steps", markup=False)
                train(given.work, design, given.steps)
    iterations = QUICK_ITERATIONS if given.quick else ITERATIONS
    by_steps = judge(LiteNetwork.load(), iterations, (OFF, ON), WEIGHTS.name)
    (keypoints,) = judge(None, [LIVE], [OFF], "keypoints")[OFF].values()
    found = {d: judge.variant(folder / d.file) for d in designs if finished(folder / d.file)}
    return Report(
        "mqhmr tables", machine, given.work.name, judge.people, len(judge.shards), WEIGHTS.name, LIVE, by_steps,
        keypoints, [found[d] for d in QUERY_COUNTS if d in found], [found[d] for d in SCALES if d in found],
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    given = parse(arguments)
    console, progress = table_console(), Console(stderr=True)
    try:
        report = run(given, console, progress)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for one in tables(report):
        console.print(one)
    console.print(f"{report.people} of {report.of_people} people in {given.work}.", soft_wrap=True, markup=False)
    console.print("AITI: median processor time of one person's frame, without detector and encoder.")
    trained = [*report.query_counts, *report.feature_scales]
    for steps, seed in sorted({(str(v.training.get("steps")), str(v.training.get("seed"))) for v in trained}):
        console.print(f"Tables 4 and 5: networks trained by {steps} steps from seed {seed}.")
    compared = dict.fromkeys([*QUERY_COUNTS, *SCALES])
    missing = [d.file for d in compared if not finished(given.work / "variants" / d.file)]
    if missing:
        console.print(f"Not there: {', '.join(missing)}; --train makes them.", soft_wrap=True, markup=False)
    if given.json is not None:
        result_file.write(given.json, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
