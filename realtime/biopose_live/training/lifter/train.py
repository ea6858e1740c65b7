"""`python -m biopose_live.training.lifter.train --poses POSES.npz --out lifter.safetensors`

Trains the lifter on windows drawn without end from `poses.draw`; progress and held-out errors are printed, the state is
saved so that `--resume` goes on.  About half an hour on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from biopose_live.body.model import BodyModel
from biopose_live.mqhmr.landmarks import body_points, measured
from biopose_live.mqhmr.lifter import JOINTS
from biopose_live.mqhmr.view import FEATURES
from biopose_live.torch_rotations import six_to_matrix
from biopose_live.training.going_on import running_mean
from biopose_live.training.lifter.network import LifterNetwork
from biopose_live.training.lifter.observe import Batch, TorchPoints, observe
from biopose_live.training.lifter.poses import PoseBank, draw

MIRROR = np.array([0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20])
ROTATION_WEIGHT = (
    torch.ones(JOINTS).index_fill_(0, torch.tensor([0]), 4.0).index_fill_(0, torch.tensor([1, 2, 4, 5]), 2.0)
)


def rotation_error(predicted: Tensor, true: Tensor) -> Tensor:
    """(..., 3, 3) twice -> (..., 3): about sin(angle) * axis of predicted^T true, in the joint's own frame."""
    r = predicted.transpose(-1, -2) @ true
    return 0.5 * torch.stack(
        [r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]], -1
    )


def gaussian(error: Tensor, log_sigma: Tensor) -> Tensor:
    """Negative log likelihood without its constant, weighted so that a large sigma does not silence the mean's gradient
    (Seitzer et al. 2022, beta = 0.5)."""
    nll = 0.5 * error.square() * torch.exp(-2 * log_sigma) + log_sigma
    return nll * torch.exp(log_sigma).detach().sqrt()


def losses(network: nn.Module, points: TorchPoints, batch: Batch) -> tuple[Tensor, dict[str, float]]:
    six, log_sigma, betas, log_betas, tilt, log_tilt = network(batch.inputs)
    rotations = six_to_matrix(six)
    error = rotation_error(rotations, batch.rotations)
    keypoints, _ = points(rotations, betas)
    keypoints = keypoints - keypoints[:, [13, 14]].mean(1, keepdim=True)
    distance = (keypoints - batch.keypoints).norm(dim=-1)
    chordal = (rotations - batch.rotations).square().sum((-1, -2))
    loss = (
        0.5 * gaussian(error, log_sigma).mean()
        + (ROTATION_WEIGHT * chordal).mean()
        + 4.0 * distance.mean()
        + 0.05 * gaussian(betas - batch.betas, log_betas).mean()
        + 0.1 * gaussian(tilt - batch.tilt, log_tilt).mean()
    )
    with torch.no_grad():
        angle = torch.rad2deg(torch.asin((chordal / 8).sqrt().clamp(max=1)) * 2)
        z = (error / torch.exp(log_sigma)).square().mean().sqrt()
        report = {
            "loss": loss.item(),
            "keypoints_mm": 1e3 * distance.mean().item(),
            "root_deg": angle[:, 0].mean().item(),
            "hips_deg": angle[:, 1:3].mean().item(),
            "knees_deg": angle[:, 4:6].mean().item(),
            "ankles_deg": angle[:, 7:9].mean().item(),
            "joints_deg": angle.mean().item(),
            "error_over_sigma": z.item(),
            "elevation_deg": torch.rad2deg((tilt - batch.tilt)[:, 1].abs().mean()).item(),
        }
    return loss, report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--poses", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=9000)
    parser.add_argument("--batch", type=int, default=384)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="end after this long; the rate falls with the time that is left")
    parser.add_argument("--hold-out", nargs="*", default=[], help="subjects kept for the held-out figures")
    parser.add_argument("--world-errors", type=Path, help="errors of the detector's own 3D (`world_errors`)")
    parser.add_argument("--start", type=Path, help="weights to begin from; inputs that they do not know begin at zero")
    parser.add_argument("--resume", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    offsets, spread = measured()
    points = TorchPoints(body_points(BodyModel.load(), offsets), spread, JOINTS)
    hold_out = frozenset(args.hold_out)
    bank = PoseBank(args.poses, hold_out=hold_out)
    errors = None
    if args.world_errors:
        errors = torch.tensor(np.load(args.world_errors)["errors"], dtype=torch.float32)
    held = PoseBank(args.poses, only=hold_out) if hold_out else None
    with torch.no_grad():
        some, _, _ = draw(bank, 4000, rng, MIRROR)
        mean_six = some[:, 0].mean(0)[..., :2].transpose(-1, -2).reshape(JOINTS, 6)
        mean_six[0] = torch.tensor([1.0, 0, 0, 0, -1.0, 0])
        test = observe(
            points, *draw(held or bank, 2048, np.random.default_rng(999), MIRROR), np.random.default_rng(998), errors
        )
    network = LifterNetwork(mean_six)
    if args.start:
        begin(network, args.start)
    averaged = running_mean(network, buffers=True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=args.rate, weight_decay=0.01)
    first = 0
    if args.resume:
        state = torch.load(args.resume, weights_only=True)
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
        first = state["step"]
        rng = np.random.default_rng((args.seed, first))

    def save_state(steps: int) -> None:
        state = {"network": network.state_dict(), "averaged": averaged.state_dict()}
        torch.save({**state, "optimiser": optimiser.state_dict(), "step": steps}, args.out.with_suffix(".state.pt"))

    start = time.monotonic()
    begun = first
    for step in range(begun, args.steps):
        done = step / args.steps
        if args.minutes:
            done = max(done, (time.monotonic() - start) / 60 / args.minutes)
        if done >= 1:
            break
        warm = min(1.0, (step - begun + 1) / 200)
        for group in optimiser.param_groups:
            group["lr"] = args.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        with torch.no_grad():
            batch = observe(points, *draw(bank, args.batch, rng, MIRROR), rng, errors)
        loss, _ = losses(network, points, batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimiser.step()
        averaged.update_parameters(network)
        if step % 250 == 249:
            with torch.no_grad():
                _, report = losses(averaged.module, points, test)
            line = "  ".join(f"{k} {v:.2f}" for k, v in report.items())
            print(f"step {step + 1}  {time.monotonic() - start:.0f} s  {line}", flush=True)
            save_state(step + 1)
            save(averaged.module, args, report, args.out)
        first = step + 1
    with torch.no_grad():
        _, report = losses(averaged.module, points, test)
    save_state(first)
    save(averaged.module, args, report, args.out)
    print(json.dumps(report, indent=1))


def begin(network: LifterNetwork, path: Path) -> None:
    """Takes over the weights of an earlier network that read the first of today's inputs."""
    weights = {name: value.float() for name, value in load_file(path).items()}
    known = weights["input.weight"]
    weights["input.weight"] = torch.cat([known, torch.zeros(len(known), FEATURES - known.shape[1])], 1)
    network.load_state_dict(weights)


def save(network: nn.Module, args: argparse.Namespace, report: dict[str, float], path: Path) -> None:
    """Writes the weights (half precision is enough: it moves no joint by 0.1 degree) and what they scored."""
    settings = {k: v.name if isinstance(v, Path) else str(v) for k, v in vars(args).items()}
    metadata = {"settings": json.dumps(settings), "held_out": json.dumps(report)}
    tensors = {k: v.half().contiguous() for k, v in network.state_dict().items()}
    save_file(tensors, path, metadata)


if __name__ == "__main__":
    main()
