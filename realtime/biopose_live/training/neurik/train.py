"""`python -m biopose_live.training.neurik.train --samples FOLDER --held FOLDER --out neurik.safetensors`

Trains NeurIK on the samples of `training.neurik.samples`; progress and held-out errors are printed, and the state is
saved so that `--resume` goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import pickle
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_SOURCE, EXIT_USAGE, UserError
from biopose_live.neurik.architecture import Architecture
from biopose_live.neurik.mean_person import marker_places, standing_observer
from biopose_live.neurik.observation import MOTION, Observer
from biopose_live.neurik.outputs import ROOT_UNIT_M, SCALE_UNIT, OutputLayout
from biopose_live.neurik.torch_network import NeurIKNetwork
from biopose_live.neurik.trends import trend_features
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.training.event_log import HELP, EventLog
from biopose_live.training.going_on import running_mean, take_over
from biopose_live.training.neurik.batches import Batch, SampleSet
from biopose_live.training.neurik.losses import Losses

REPORT_EVERY = 200


def starting_network(
    layout: OutputLayout, architecture: Architecture, samples: SampleSet, losses: Losses, rng: np.random.Generator
) -> NeurIKNetwork:
    """A network that begins at the best linear answer (ridge regression) to how the segments are turned."""
    network = NeurIKNetwork(architecture)
    inputs, wanted = [], []
    for _ in range(12):
        batch = samples.draw(32, rng)
        kept = batch.good.flatten()
        rotations = losses.rotation(batch.q)
        answer = torch.zeros(*batch.good.shape, layout.size)
        answer[..., layout.ranged_part] = batch.q[..., losses.ranged]
        answer[..., layout.six_part] = rotations[..., :2].transpose(-1, -2).flatten(-3)
        answer[..., layout.place_part] = batch.place.clamp(-0.3, 0.3) / ROOT_UNIT_M
        scales = batch.scales.log()[:, None].expand(-1, batch.good.shape[1], -1, -1)
        answer[..., layout.scale_part] = scales.flatten(-2) / SCALE_UNIT
        answer[..., layout.sigma_part] = math.log(0.1)
        inputs.append(batch.turns.flatten(0, 1)[kept])
        wanted.append(answer.flatten(0, 1)[kept])
    x, y = torch.cat(inputs).double(), torch.cat(wanted).double()
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    weight = torch.linalg.solve(x.T @ x + 1e-3 * len(x) * torch.eye(x.shape[1]), x.T @ y).T
    with torch.no_grad():
        network.skip.weight.copy_(weight)
        network.head.bias.copy_(y_mean - weight @ x_mean)
        network.head.weight.mul_(0.1)
    return network


@torch.no_grad()
def held_out(network: torch.nn.Module, losses: Losses, held: SampleSet, device: torch.device) -> dict[str, float]:
    """-> the mean report over the held-out samples."""
    reports = []
    for start in range(0, len(held), 20):
        batch = held.whole(start, start + 20).to(device)
        reports.append(losses(run(network, batch), batch)[1])
    return {key: float(np.mean([report[key] for report in reports])) for key in reports[0]}


def told(report: dict[str, float]) -> str:
    """-> a report in one line."""
    return "  ".join(f"{key} {value:.3g}" for key, value in report.items())


def run(network: torch.nn.Module, batch: Batch) -> Tensor:
    """-> raw answers (N, T, O)."""
    raw: Tensor = network(batch.markers, batch.turns, batch.motion, batch.times)
    return raw


def chosen_device(name: str) -> torch.device:
    """Raises UserError when there is no such device here."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises an AssertionError
        found = str(error).splitlines()[0]
        raise UserError(f"--device {name} cannot be used here ({found}); give cpu or cuda.", EXIT_USAGE) from error
    return device


def read_state(path: Path, device: torch.device) -> dict[str, Any]:
    """-> what `train` saved to go on from.  Raises UserError when it cannot be read."""
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        missing = {"network", "averaged", "optimiser", "step", "seconds"} - set(state)
    except (OSError, RuntimeError, EOFError, ValueError, TypeError, pickle.UnpicklingError) as error:
        found = str(error).splitlines()[0]
        raise UserError(f"{path} cannot be gone on from ({found}); train anew.", EXIT_SOURCE) from error
    if missing:
        raise UserError(f"{path} cannot be gone on from (it lacks {min(missing)}); train anew.", EXIT_SOURCE)
    return state


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--held", type=Path, required=True, help="samples of the held-out subjects")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, help="end after this long; the rate falls with the time that is left")
    parser.add_argument("--batch", type=int, default=24, help="sequences in a step")
    parser.add_argument("--rate", type=float, default=1.2e-3)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bfloat16", action="store_true", help="matrix products in bfloat16")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--tensorboard", type=Path, metavar="DIR", help=HELP)
    parser.add_argument("--resume", type=Path, help="go on from the .state.pt of an earlier run")
    return parser


def main(arguments: list[str] | None = None) -> int:
    args = build_parser().parse_args(arguments)
    try:
        train(args)
    except UserError as error:
        print(error)
        return error.exit_code
    return 0


def train(args: argparse.Namespace) -> None:
    """Runs a training.  Raises UserError when samples are missing or damaged, or tensorboard is."""
    with EventLog(args.tensorboard) as log:
        _train(args, log)


def _train(args: argparse.Namespace, log: EventLog) -> None:
    torch.set_num_threads(args.threads)
    device = chosen_device(args.device)
    torch.manual_seed(args.seed)
    body, model = BodyModel.load(), load_bsk24()
    observer, layout = standing_observer(body, model), OutputLayout(model)
    samples, held = SampleSet(args.samples, model, observer), SampleSet(args.held, model, observer)
    architecture = Architecture(
        len(body.marker_names),
        Observer.features + trend_features(Observer.features),
        MOTION,
        layout.size,
        layers=args.layers,
        width=args.width,
    )
    losses = Losses(model, *marker_places(body, model))
    network = starting_network(layout, architecture, samples, losses, np.random.default_rng(args.seed)).to(device)
    losses.to(device)
    averaged = running_mean(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=args.rate, weight_decay=0.02, betas=(0.9, 0.98))
    step, spent = 0, 0.0
    if args.resume:
        state = read_state(args.resume, device)
        refusal = UserError(
            f"{args.resume} is of a network of other sizes; give the --layers and --width that it was begun with.",
            EXIT_SOURCE,
        )
        take_over(state, network, averaged, optimiser, refusal)
        step, spent = state["step"], state["seconds"]
    rng = np.random.default_rng((args.seed, step))
    start = time.monotonic() - spent
    print(f"{len(samples)} sequences, {sum(p.numel() for p in network.parameters())} parameters", flush=True)
    if not step:
        print("start  " + told(held_out(network, losses, held, device)), flush=True)
    while True:
        done = step / args.steps
        if args.minutes:
            done = max(done, (time.monotonic() - start) / 60 / args.minutes)
        if done >= 1:
            break
        rate = args.rate * min(1.0, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        batch = samples.draw(args.batch, rng).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.bfloat16):
            raw = run(network, batch)
        loss, parts = losses(raw.float(), batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        averaged.update_parameters(network)
        step += 1
        if step % REPORT_EVERY == 0:
            report = held_out(averaged.module, losses, held, device)
            seconds = time.monotonic() - start
            print(f"step {step}  {seconds:.0f} s  " + told(report), flush=True)
            log.scalars(step, {**parts, "loss": loss.item(), "rate": rate}, "train")
            log.scalars(step, report, "held_out")
            save(averaged.module, observer, args, report, step)
            save_state(args.out, network, averaged, optimiser, step, seconds)
    seconds = time.monotonic() - start
    report = held_out(averaged.module, losses, held, device)
    log.scalars(step, report, "held_out")
    save(averaged.module, observer, args, report, step)
    save_state(args.out, network, averaged, optimiser, step, seconds)
    print(json.dumps(report, indent=1))


def save_state(
    out: Path,
    network: torch.nn.Module,
    averaged: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    step: int,
    seconds: float,
) -> None:
    """Writes what `--resume` needs beside the weights; the file is complete when it appears under its name."""
    path = out.with_suffix(".state.pt")
    partial = path.with_name(path.name + ".partial")
    state = {"network": network.state_dict(), "averaged": averaged.state_dict(), "optimiser": optimiser.state_dict()}
    torch.save({**state, "step": step, "seconds": seconds}, partial)
    partial.replace(path)


def save(
    network: torch.nn.Module, observer: Observer, args: argparse.Namespace, report: dict[str, float], step: int
) -> None:
    """Writes the weights (half precision) with the architecture, the settings and what they scored."""
    assert isinstance(network, NeurIKNetwork)
    settings = {k: v.name if isinstance(v, Path) else str(v) for k, v in vars(args).items()}
    metadata = {
        "architecture": msgspec.json.encode(network.architecture).decode(),
        "settings": json.dumps({**settings, "steps_made": step}),
        "held_out": json.dumps(report),
    }
    tensors = {**network.state_dict(), "standing": torch.from_numpy(observer.standing)}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partial = args.out.with_name(args.out.name + ".partial")
    save_file({k: v.half().cpu().contiguous() for k, v in tensors.items()}, partial, metadata)
    partial.replace(args.out)


if __name__ == "__main__":
    raise SystemExit(main())
