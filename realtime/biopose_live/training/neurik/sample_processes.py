"""Makes NeurIK's samples with several processes at once, each of which makes its share of the files (`samples`)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from biopose_live.errors import EXIT_FAILURE, UserError
from biopose_live.training.neurik import samples

LOOK_EVERY_S = 0.5
LAST_WORDS = 400  # characters of a failed process' log that its error shows


def make_samples(
    poses: Path,
    folder: Path,
    count: int,
    seed: int,
    hold_out: Sequence[str],
    held: bool,
    world_errors: Path | None,
    jobs: int,
    console: Console,
) -> None:
    """Makes the files of `count` sequences in `folder` that are not there yet.  Raises UserError when a process fails;
    its log is in the folder."""
    wanted = [folder / f"{number:05d}.npz" for number in range(-(-count // samples.PER_FILE))]
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--poses", str(poses), "--count", str(count), "--seed", str(seed), "--out", str(folder)]
    options += ["--hold-out", *hold_out, *(["--held"] if held else [])]
    options += ["--world-errors", str(world_errors)] if world_errors else []
    jobs = min(jobs, sum(not path.exists() for path in wanted))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    running: list[subprocess.Popen[bytes]] = []
    logs = [folder / f"process-{part}.log" for part in range(jobs)]
    try:
        for part, log in enumerate(logs):
            running.append(_started([*options, "--part", str(part), str(jobs)], log))
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(f"sequences, {folder.name}", total=len(wanted) * samples.PER_FILE)
            while True:
                ended = all(process.poll() is not None for process in running)
                bar.update(task, completed=samples.PER_FILE * sum(path.exists() for path in wanted))
                if ended or any(process.poll() for process in running):
                    break
                time.sleep(LOOK_EVERY_S)
    finally:
        for process in running:
            if process.poll() is None:
                process.terminate()
        for process in running:
            process.wait()
    if any(process.returncode for process in running) or not all(path.exists() for path in wanted):
        number = next((part for part, process in enumerate(running) if process.returncode), 0)
        said = " ".join(logs[number].read_text(errors="replace").split())[-LAST_WORDS:] if logs else ""
        raise UserError(
            f"The sequences in {folder} could not be made ({said or 'a process ended without a word'}); put that right "
            "and run the command again with --resume.",
            EXIT_FAILURE,
        )


def _started(options: list[str], log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "biopose_live.training.neurik.samples", *options]
    paths = [path for path in sys.path if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    with log.open("wb") as stream:
        return subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, env=environment)
