"""What the small trainings (lifter, light network, NeurIK) share: the running mean of the weights, which is what they
judge and ship, and going on from a saved state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from biopose_live.errors import UserError

KEEP = 0.998  # of the mean, a step


def running_mean(network: nn.Module, buffers: bool = False) -> AveragedModel:
    """-> the exponential mean of a network's weights over the steps; `buffers`: of its buffers, too."""
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(KEEP), use_buffers=buffers)


def take_over(
    state: Mapping[str, Any],
    network: nn.Module,
    averaged: nn.Module,
    optimiser: torch.optim.Optimizer,
    refusal: UserError,
) -> None:
    """Goes on from weights, their mean and the optimiser.  Raises `refusal` where they are of other sizes."""
    try:
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
        optimiser.load_state_dict(state["optimiser"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise refusal from error
