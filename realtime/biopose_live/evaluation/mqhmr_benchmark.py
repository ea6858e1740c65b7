"""`biopose-eval mqhmr`: MQ-HMR against known truth (paper section 4, tables 3 to 5).

`--samples` runs the live path (`mqhmr_samples`) for each number of iterations with the image network off and on;
`--data` the network of `biopose-train mqhmr` on datasets (`mqhmr_datasets`).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from biopose_live.errors import UserError
from biopose_live.evaluation.mqhmr_options import OFF, ON, POINTS, POSE, parse

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from biopose_live.evaluation.mqhmr_reports import DatasetsReport, SamplesReport
    from biopose_live.evaluation.mqhmr_scores import Summary

TITLES = {
    OFF: "keypoints only",
    ON: "keypoints and picture",
    POINTS: "picture's points only",
    POSE: "picture's pose only",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    given = parse(arguments)
    if given.samples is not None:
        from biopose_live.pipeline.child import limit_threads

        limit_threads(os.environ)  # as live, and before NumPy is imported
    from rich.console import Console

    from biopose_live.evaluation.tables import table_console, write

    console, progress = table_console(), Console(stderr=True)
    try:
        run = on_samples if given.samples is not None else on_datasets
        report = run(given, console, progress)
        if given.json is not None:
            write(report, given.json)
            console.print(f"Written to {given.json}.", soft_wrap=True, markup=False)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def on_samples(given: argparse.Namespace, console: Console, progress: Console) -> SamplesReport:
    """Scores the live path and prints its tables.  Raises UserError for samples or weights that cannot be used."""
    import msgspec
    import numpy as np
    from rich.progress import Progress

    from biopose_live.evaluation.mqhmr_reports import SamplesReport
    from biopose_live.evaluation.mqhmr_samples import StoredChain, read_samples, score
    from biopose_live.mqhmr.lite.network import WEIGHTS, LiteNetwork

    weights = given.weights or WEIGHTS
    network = LiteNetwork.load(weights) if set(given.image) != {OFF} else None
    shards = read_samples(given.samples)
    chain = StoredChain(shards, network)
    count = min(given.count or len(shards), len(shards))
    chosen = np.linspace(0, len(shards) - 1, count).round().astype(int).tolist()
    with Progress(console=progress, transient=True) as bar:
        task = bar.add_task("people", total=count)
        scores = score(chain, chosen, given.iterations, given.image, lambda: bar.advance(task))
    rows = [(TITLES[kind], k, s) for kind, of_kind in scores.items() for k, s in of_kind.items()]
    poses = _table("Posed body against the truth, mm: mean and median", ["picture", "K"])
    points = _table("Dense points against the truth, px of the 256-px crop: mean and median", ["picture", "K"])
    for heading in ("MPJPE", "PA-MPJPE", "MVE", "network's own: MPJPE", "PA-MPJPE"):
        poses.add_column(heading, justify="right")
    poses.add_column("AITI, ms", justify="right")
    for heading in ("all", "seen", "legs seen", "network's own: all", "seen", "legs seen"):
        points.add_column(heading, justify="right")
    for title, k, s in rows:
        pose = (s.pose.mpjpe_mm, s.pose.pa_mpjpe_mm, s.pose.mve_mm)
        own = (s.network_pose.mpjpe_mm, s.network_pose.pa_mpjpe_mm) if s.network_pose is not None else ()
        poses.add_row(title, k, *map(told, pose), *(list(map(told, own)) or ["", ""]), f"{s.aiti_ms:.1f}")
        both = [(p.all, p.seen, p.legs) if p is not None else () for p in (s.dense, s.network)]
        points.add_row(title, k, *(told(figure) for three in both for figure in three))
    console.print(poses)
    console.print(points)
    name = weights.name if network is not None else "none"
    console.print(f"{count} of {len(shards)} people in {given.samples}; weights {name}.", soft_wrap=True, markup=False)
    console.print("AITI: median processor time of one person's frame, without detector and encoder.")
    architecture = msgspec.to_builtins(network.architecture) if network is not None else {}
    return SamplesReport("mqhmr samples", given.samples.name, count, name, architecture, list(given.iterations), scores)


def on_datasets(given: argparse.Namespace, console: Console, progress: Console) -> DatasetsReport:
    """Scores the network on each dataset and prints the table.  Raises UserError where something that it needs is
    missing or damaged."""
    from biopose_live.evaluation.mqhmr_datasets import Judge, load, score
    from biopose_live.evaluation.mqhmr_reports import DatasetsReport
    from biopose_live.training.mqhmr.sources import read_sources

    network, layout, device = load(given.network, given.body, given.device)
    sources = read_sources(given.data)
    judge = Judge(network, layout, given.refine, given.label_keypoints, device)
    datasets = {}
    for source, _ in sources:
        with progress.status(f"{source.name} …"):
            datasets[source.name] = score(judge, source, given.batch, given.count)
    table = _table(f"The network after {given.refine} refinement steps: mean and median", ["dataset", "people"])
    for heading in ("MPJPE, mm", "PA-MPJPE, mm", "MVE, mm", "2D, % of the crop", "AITI, ms"):
        table.add_column(heading, justify="right")
    for name, s in datasets.items():
        figures = (s.mpjpe_mm, s.pa_mpjpe_mm, s.mve_mm)
        percent = told(s.points_2d_percent, 2)
        table.add_row(name, str(s.people), *map(told, figures), percent, f"{s.aiti_ms:.1f}")
    console.print(table)
    console.print("-: the dataset has no such labels for this body.  AITI: median time of a person in a full batch.")
    return DatasetsReport(
        "mqhmr datasets", given.network.name, given.refine, given.label_keypoints, given.batch, given.device, datasets
    )


def told(figure: Summary, digits: int = 1) -> str:
    """-> "mean  median", or a dash."""
    if figure.mean != figure.mean:
        return "-"
    return f"{figure.mean:.{digits}f}  {figure.median:.{digits}f}"


def _table(title: str, first: Sequence[str]) -> Table:
    from biopose_live.evaluation.tables import titled

    table = titled(title)
    for heading in first:
        table.add_column(heading, no_wrap=True)
    return table
