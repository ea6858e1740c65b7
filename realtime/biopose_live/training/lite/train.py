"""Trains the light image network on rendered samples.

The learning rate falls with the time or the steps that are left, weights are averaged (EMA), the state is kept so that
an interrupted training goes on, and the averaged weights are written each time they have been judged.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.lite.architecture import Architecture
from biopose_live.mqhmr.lite.network import LiteNetwork as NumpyNetwork
from biopose_live.mqhmr.lite.points import JOINTS, POINTS, spread_markers
from biopose_live.mqhmr.network.body_points import BodyPoints
from biopose_live.training.event_log import EventLog
from biopose_live.training.going_on import running_mean, take_over
from biopose_live.training.lite.batches import Batch, Examples
from biopose_live.training.lite.losses import figures, loss
from biopose_live.training.lite.network import LiteNetwork
from biopose_live.training.lite.shards import Shards

WARM_STEPS = 200
FALL_TO = 0.02  # of the learning rate
CLIP = 1.0
NORMAL_FROM = 128  # samples that give the maps' means and deviations
JUDGED = 768  # samples
JUDGE_EVERY = 300
REOPEN_EVERY = 1500  # steps between looks for shards that were rendered meanwhile
NAMED = ("samples", "test", "out", "tensorboard", "start")  # of the plan: paths, of which a weight file keeps the names


@dataclass(frozen=True)
class Plan:
    """A training: where the samples are, how long (`steps` instead of `minutes` where they are given), how fast;
    `queries`: tokens, of the joint centres and of markers spread over the body; `scales`: strides of the maps that are
    read, None for all; `start`: weights to begin from; `badly_seen`: see `Examples.weights`; `half`: products in
    bfloat16, twice as fast on a CPU that has them; `tensorboard`: a folder."""

    samples: str
    test: str
    out: str
    minutes: float
    steps: int | None = None
    batch: int = 48
    rate: float = 1e-3
    weight_decay: float = 0.02
    seed: int = 1
    threads: int = 1
    points: int = 4
    layers: int = 2
    width: int = 128
    encoder: str = "full"
    queries: int = POINTS
    scales: tuple[int, ...] | None = None
    half: bool = True
    start: str | None = None
    badly_seen: float = 1.0
    resume: bool = False
    tensorboard: str | None = None


def judge(
    network: nn.Module, test: Examples, body: BodyPoints, count: int = JUDGED, batch: int = 48
) -> dict[str, float]:
    """-> the figures of `losses.figures` over the first `count` test samples."""
    sums: dict[str, float] = {}
    network.eval()
    with torch.no_grad():
        for start in range(0, min(count, len(test.shards)), batch):
            chosen = np.arange(start, min(start + batch, count, len(test.shards)))
            data = test.batch(chosen)
            outputs, shape = network(data.maps, data.whole, data.own, data.places)
            for name, value in figures(outputs, data, body).items():
                sums[name] = sums.get(name, 0.0) + float(value)
            total, _ = loss(outputs, shape, data, body)
            sums["loss"] = sums.get("loss", 0.0) + float(total) * len(chosen)
            sums["loss#"] = sums.get("loss#", 0.0) + len(chosen)
    network.train()
    return {name: value / max(sums[f"{name}#"], 1.0) for name, value in sums.items() if not name.endswith("#")}


def save(
    network: nn.Module,
    architecture: Architecture,
    path: Path,
    plan: Plan,
    report: dict[str, float],
    samples: int,
    seconds: float,
) -> None:
    """Writes the weights, for which `samples` were seen in so many seconds, in half precision; the file is complete
    when it appears under its name."""
    names = {key: Path(value).name for key in NAMED if (value := getattr(plan, key)) is not None}
    metadata = {
        "architecture": msgspec.json.encode(architecture).decode(),
        "settings": json.dumps(
            {**asdict(plan), **names, "samples_seen": samples, "minutes_taken": round(seconds / 60, 1)}
        ),
        "test": json.dumps({k: round(v, 4) for k, v in report.items()}),
    }
    partial = path.with_name(path.name + ".partial")
    save_file({k: v.detach().half().contiguous() for k, v in network.state_dict().items()}, partial, metadata)
    partial.replace(path)


def train(plan: Plan) -> dict[str, float]:
    """-> the figures of the averaged weights, which are at `plan.out`.

    Raises UserError for folders without samples, and where tensorboard is asked for and missing."""
    with EventLog(Path(plan.tensorboard) if plan.tensorboard else None) as log:
        return _train(plan, log)


def design(plan: Plan, levels: tuple[tuple[int, int, int], ...], body: BodyModel) -> Architecture:
    """-> the network's sizes; `levels` are the maps that it is to read."""
    markers = None if plan.queries == POINTS else spread_markers(body, plan.queries - JOINTS)
    return Architecture(plan.encoder, levels, layers=plan.layers, width=plan.width, points=plan.points, markers=markers)


def begin(network: LiteNetwork, architecture: Architecture, path: Path) -> None:
    """Takes over trained weights.  Raises UserError for a file that is missing, damaged or of other sizes."""
    trained = NumpyNetwork.load(path)
    if trained.architecture != architecture:
        raise UserError(
            f"{path} is a network of other sizes or feature maps ({trained.architecture}); this training makes "
            f"{architecture}.  Give the options it was trained with, or other weights to start from.",
            EXIT_MODEL,
        )
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})


def draw(examples: Examples, plan: Plan, rng: np.random.Generator) -> Iterator[Batch]:
    """-> batches without end."""
    return examples.shuffled(np.arange(len(examples.shards)), plan.batch, rng, examples.weights(plan.badly_seen))


def _train(plan: Plan, log: EventLog) -> dict[str, float]:
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    rng = np.random.default_rng(plan.seed)
    model = BodyModel.load()
    body = BodyPoints(model)
    shards, held = Shards(Path(plan.samples), plan.scales), Shards(Path(plan.test), plan.scales)
    architecture = design(plan, shards.levels, model)
    examples, test = (Examples(some, model, architecture.queries) for some in (shards, held))
    network = LiteNetwork(architecture)
    some = np.linspace(0, len(examples.shards) - 1, min(NORMAL_FROM, len(examples.shards))).astype(np.int64)
    network.set_normal(examples.batch(some).maps)
    if plan.start:
        begin(network, architecture, Path(plan.start))
    averaged = running_mean(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=plan.weight_decay)
    out, state_path = Path(plan.out), Path(plan.out).with_suffix(".state.pt")
    step, before, elapsed = 0, 0, 0.0
    if plan.resume and state_path.is_file():
        state = torch.load(state_path, weights_only=True)
        refusal = UserError(
            f"{state_path} is the state of a training of other sizes or feature maps; resume with the options it was "
            "begun with, or delete it.",
            EXIT_MODEL,
        )
        take_over(state, network, averaged, optimiser, refusal)
        before = step = state["step"]
        elapsed = state["elapsed"]
        rng = np.random.default_rng((plan.seed, step))
    begun = time.monotonic() - elapsed
    stream = draw(examples, plan, rng)
    recent: dict[str, float] = {}
    report: dict[str, float] = {}
    while True:
        done = step / plan.steps if plan.steps else (time.monotonic() - begun) / 60 / plan.minutes
        if done >= 1:
            break
        warm = min(1.0, (step - before + 1) / WARM_STEPS)
        fall = FALL_TO + (1 - FALL_TO) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * warm * fall
        data = next(stream)
        with torch.autocast("cpu", torch.bfloat16, enabled=plan.half):
            outputs, shape = network(data.maps, data.whole, data.own, data.places)
        total, parts = loss(outputs, shape, data, body)
        optimiser.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        averaged.update_parameters(network)
        step += 1
        for name, value in parts.items():
            recent[name] = 0.98 * recent.get(name, value.item()) + 0.02 * value.item()
        if step % 50 == 0:
            told = "  ".join(f"{k} {v:.3f}" for k, v in recent.items())
            seconds = time.monotonic() - begun
            print(f"step {step}  {seconds:.0f} s  {step * plan.batch / seconds:.0f} samples/s  {told}", flush=True)
            pace = {"rate": optimiser.param_groups[0]["lr"], "samples_per_s": step * plan.batch / seconds}
            log.scalars(step, {**recent, **pace}, "train")
        if step % REOPEN_EVERY == 0:
            grown = Shards(Path(plan.samples), plan.scales)
            if len(grown) > len(examples.shards):
                examples = Examples(grown, model, architecture.queries)
                stream = draw(examples, plan, rng)
        if step % JUDGE_EVERY == 0:
            report = judge(averaged.module, test, body)
            log.scalars(step, report, "test")
            print(f"  test  {'  '.join(f'{k} {v:.2f}' for k, v in report.items())}", flush=True)
            save(averaged.module, architecture, out, plan, report, step * plan.batch, time.monotonic() - begun)
            torch.save(
                {
                    "network": network.state_dict(),
                    "averaged": averaged.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "step": step,
                    "elapsed": time.monotonic() - begun,
                },
                state_path,
            )
    seconds = time.monotonic() - begun
    report = judge(averaged.module, test, body, len(test.shards))
    log.scalars(step, report, "test")
    save(averaged.module, architecture, out, plan, report, step * plan.batch, seconds)
    print(f"  test  {'  '.join(f'{k} {v:.2f}' for k, v in report.items())}", flush=True)
    return report
