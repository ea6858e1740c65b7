"""`biopose-train mqhmr`: trains the image network (paper section 3.2) on the datasets of a list.

Mixed precision, averaged weights (EMA), gradient accumulation, one process or several (torchrun's environment),
progress as lines, as JSON lines beside the weights and for TensorBoard, and a state from which `--resume` goes on.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import pickle
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from biopose_live.body.model import BodyModel
from biopose_live.errors import EXIT_MODEL, EXIT_OK, EXIT_SINK, EXIT_SOURCE, EXIT_USAGE, UserError
from biopose_live.mqhmr.network.architecture import Architecture, vit_h
from biopose_live.mqhmr.network.model import MQHMR, Prediction, save_network
from biopose_live.mqhmr.network.vit_checkpoint import load_backbone
from biopose_live.training.event_log import EventLog
from biopose_live.training.mqhmr.batches import Batch, Layout, Mixture
from biopose_live.training.mqhmr.crops import Augmentation
from biopose_live.training.mqhmr.keypoints44 import as_landmarks
from biopose_live.training.mqhmr.losses import Losses
from biopose_live.training.mqhmr.options import parse
from biopose_live.training.mqhmr.sources import read_sources

KEYPOINT_NOISE = 0.015  # crop heights, of the 2D that the query tokens start from
KEYPOINT_LOST = 0.15  # share of those keypoints that are not seen
KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Process:
    """This process among all: its number, how many there are, its device."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0


class Step(nn.Module):
    """One forward pass as one module, so that DistributedDataParallel sees every parameter used."""

    def __init__(self, network: MQHMR, frozen_encoder: bool) -> None:
        super().__init__()
        self.network, self.frozen_encoder = network, frozen_encoder

    def forward(self, batch: Batch, keypoints: Tensor) -> Prediction:
        network = self.network
        if not self.frozen_encoder or network.vit is None:
            found: Prediction = network(batch.pictures, batch.camera, keypoints)
            return found
        from biopose_live.mqhmr.network.decoder import Memory

        with torch.no_grad():
            feature_map = network.vit(batch.pictures)
        return network.decode(
            network.start(batch.camera, keypoints), Memory(network.pyramid(feature_map)), batch.camera
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """-> exit code."""
    given = parse(arguments)
    try:
        train(given)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return EXIT_OK


def train(given: argparse.Namespace) -> None:
    """Runs a training.  Raises UserError where something that it needs is missing or damaged."""
    here = begin_process(given.device)
    try:
        with EventLog(given.tensorboard if here.first else None) as log:
            _train(given, here, log)
    finally:
        if here.world > 1:
            torch.distributed.destroy_process_group()


def begin_process(device: str) -> Process:
    """This process' place, from torchrun's environment.  Raises UserError where there is no such device."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if device == "cuda" else device
    try:
        chosen = torch.device(name)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA raises an AssertionError
        found = str(error).splitlines()[0]
        raise UserError(f"--device {device} cannot be used here ({found}); give cpu or cuda.", EXIT_USAGE) from error
    if world > 1:
        if chosen.type == "cuda":
            torch.cuda.set_device(chosen)
        torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return Process(rank, world, chosen)


def _train(given: argparse.Namespace, here: Process, log: EventLog) -> None:
    torch.manual_seed(given.seed)
    body = BodyModel.load(given.body)
    network = MQHMR(read_architecture(given.architecture), body)
    a = network.architecture
    if network.vit is None:
        raise UserError(
            "Ready-made maps cannot be trained on here; give an architecture with the vit encoder.", EXIT_USAGE
        )
    if given.backbone is not None:
        loaded = load_backbone(network.vit, given.backbone)
        if here.first:
            print(f"backbone: {loaded.layout}, made for a grid of {loaded.grid[0]} x {loaded.grid[1]}", flush=True)
    network.vit.recompute = given.recompute
    network.vit.requires_grad_(not given.freeze_backbone)
    network.to(here.device)
    averaged = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(given.ema)) if here.first else None
    optimiser = torch.optim.AdamW(parameter_groups(network, given), weight_decay=0.01, betas=(0.9, 0.98))
    scaler = torch.amp.GradScaler(here.device.type, enabled=given.precision == "fp16")
    step = resume(given, network, averaged, optimiser, scaler, here) if given.resume else 0
    losses = Losses(body.marker_names).to(here.device)
    layout = Layout(a.height, a.width, body.marker_names, "embedded" if given.body is None else "smpl")
    sources = read_sources(given.data)
    mixture = Mixture(sources, layout, given.batch, Augmentation(), given.seed + step, here.rank, here.world)
    loader = DataLoader(
        mixture, batch_size=None, num_workers=given.workers, persistent_workers=given.workers > 0,
        multiprocessing_context="spawn" if given.workers else None,
    )  # fmt: skip
    forward: nn.Module = Step(network, given.freeze_backbone)
    if here.world > 1:
        forward = nn.parallel.DistributedDataParallel(
            forward, device_ids=[here.device.index] if here.device.type == "cuda" else None
        )
    if here.first:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        print(f"{sum(p.numel() for p in network.parameters()) / 1e6:.1f} M parameters, from step {step}", flush=True)
    network.train()
    batches = iter(loader)
    start, first = time.monotonic(), step
    while step < given.steps:
        for group in optimiser.param_groups:
            group["lr"] = group["share"] * rate_at(step, given)
        report = one_step(forward, losses, optimiser, scaler, batches, given, here)
        if averaged is not None:
            averaged.update_parameters(network)
        step += 1
        done = step == given.steps
        if here.first and (done or step % given.report_every == 0):
            seconds = (time.monotonic() - start) / (step - first)
            tell(given, step, report, seconds)
            pace = {"rate": optimiser.param_groups[0]["lr"], "seconds_a_step": seconds}
            log.scalars(step, {**report, **pace}, "train")
        if averaged is not None and (done or step % given.save_every == 0):
            save(given, network, averaged, optimiser, scaler, step)


def one_step(
    forward: nn.Module,
    losses: Losses,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    batches: Iterator[Batch | UserError],
    given: argparse.Namespace,
    here: Process,
) -> dict[str, float]:
    """One step of the optimiser over `accumulate` batches; -> the last batch's report."""
    optimiser.zero_grad(set_to_none=True)
    report: dict[str, float] = {}
    for i in range(given.accumulate):
        batch = good(next(batches)).to(here.device)
        last = i + 1 == given.accumulate
        # Gradients are exchanged with the other processes once, after the last batch.
        wait = isinstance(forward, nn.parallel.DistributedDataParallel) and not last
        with forward.no_sync() if wait else nullcontext():  # type: ignore[operator]
            kind = KINDS[given.precision]
            with torch.autocast(here.device.type, kind, enabled=kind != torch.float32):
                found = forward(batch, some_keypoints(batch, given.keypoints))
            loss, report = losses(found, batch)
            scaler.scale(loss / given.accumulate).backward()
    scaler.unscale_(optimiser)
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    norm = torch.nn.utils.clip_grad_norm_(trained, given.clip)
    # A gradient that is not a number would end the training; with fp16 the scaler passes over it by itself.
    if scaler.is_enabled() or bool(norm.isfinite()):
        scaler.step(optimiser)
    scaler.update()
    return {**report, "gradient": norm.item()}


def good(batch: Batch | UserError) -> Batch:
    """The batch.  Raises UserError where a loader's process found a dataset malformed."""
    if isinstance(batch, UserError):
        raise batch
    return batch


def some_keypoints(batch: Batch, share: float) -> Tensor:
    """(B, 33, 3) places and scores, as a detector might give them, of that share of the people; the others' scores
    are 0."""
    found = as_landmarks(batch.keypoints_2d)
    noise = KEYPOINT_NOISE * torch.randn_like(found[..., :2])
    person = torch.rand(len(found), 1, device=found.device) < share
    seen = torch.rand(found.shape[:2], device=found.device) > KEYPOINT_LOST
    return torch.cat([found[..., :2] + noise, (found[..., 2] * person * seen).clamp(0, 1)[..., None]], -1)


def parameter_groups(network: MQHMR, given: argparse.Namespace) -> list[dict[str, Any]]:
    """The encoder learns at a share of the rate: it was trained before."""
    encoder = [p for p in network.vit.parameters() if p.requires_grad] if network.vit is not None else []
    known = {id(p) for p in encoder}
    rest = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
    groups = [{"params": rest, "share": 1.0}]
    return [*groups, {"params": encoder, "share": given.backbone_rate}] if encoder else groups


def rate_at(step: int, given: argparse.Namespace) -> float:
    """Rises over `warmup` steps, then falls as a cosine to a fiftieth."""
    fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / given.steps))
    return float(given.rate * min(1.0, (step + 1) / max(given.warmup, 1)) * fall)


def read_architecture(path: Path | None) -> Architecture:
    """The sizes in a JSON file; the paper's without one.  Raises UserError where it is none."""
    if path is None:
        return vit_h()
    try:
        return msgspec.json.decode(path.read_bytes(), type=Architecture)
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"{path} is no architecture ({error}); see network/architecture.py.", EXIT_MODEL) from error


def tell(given: argparse.Namespace, step: int, report: dict[str, float], seconds: float) -> None:
    """A line on the screen and one in the progress file."""
    print(f"step {step}  {seconds:.2f} s/step  " + "  ".join(f"{k} {v:.4g}" for k, v in report.items()), flush=True)
    with given.out.with_suffix(".progress.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "seconds_a_step": seconds, **report}) + "\n")


def state_path(out: Path) -> Path:
    """Where the state of a training lies."""
    return out.with_suffix(".state.pt")


def save(
    given: argparse.Namespace,
    network: MQHMR,
    averaged: AveragedModel,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    step: int,
) -> None:
    """The averaged weights, and what `--resume` needs; each file is complete when it appears under its name."""
    best = averaged.module
    assert isinstance(best, MQHMR)
    settings = {key: value.name if isinstance(value, Path) else str(value) for key, value in vars(given).items()}
    path = state_path(given.out)
    partial = path.with_name(path.name + ".partial")
    state = {
        "architecture": msgspec.json.encode(network.architecture).decode(),
        "network": network.state_dict(),
        "averaged": averaged.state_dict(),
        "optimiser": optimiser.state_dict(),
        "scaler": scaler.state_dict(),
        "step": step,
    }
    try:
        save_network(best, given.out, {**settings, "steps_made": str(step)})
        torch.save(state, partial)
        partial.replace(path)
    except OSError as error:
        raise UserError(f"{given.out} cannot be written ({error}); free some space and --resume.", EXIT_SINK) from error


def resume(
    given: argparse.Namespace,
    network: MQHMR,
    averaged: AveragedModel | None,
    optimiser: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    here: Process,
) -> int:
    """-> the step that the state beside --out was saved at.  Raises UserError where it cannot be gone on from."""
    path = state_path(given.out)
    try:
        state: dict[str, Any] = torch.load(path, map_location=here.device, weights_only=True)
        network.load_state_dict(state["network"])
        if averaged is not None:
            averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        scaler.load_state_dict(state["scaler"])
        return int(state["step"])
    except (OSError, RuntimeError, EOFError, ValueError, TypeError, KeyError, pickle.UnpicklingError) as error:
        found = next(itertools.chain(str(error).splitlines(), [type(error).__name__]))
        raise UserError(
            f"{path} cannot be gone on from ({found}); give the options that it was begun with, or leave --resume out.",
            EXIT_SOURCE,
        ) from error


if __name__ == "__main__":
    raise SystemExit(main())
