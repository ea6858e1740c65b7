"""Points fixed to bodies, placed in ground for many poses at once in torch.

Dimensions: B bodies, N poses (the last one, as in `torch_products`), M markers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .torch_products import turn


def attached_points(
    rotation: Tensor,
    origin: Tensor,
    stretch: Tensor | None,
    numbers: np.ndarray,
    locations: Tensor,
    batch: Sequence[int],
) -> Tensor:
    """Points (M, 3, N) fixed to bodies ``numbers`` (M,), poses last bodies first."""
    bodies, poses = rotation.shape[0], rotation.shape[-1]
    count = len(numbers)
    if tuple(locations.shape[-2:]) != (count, 3):
        raise ValueError(f"locations have shape {tuple(locations.shape)}, expected (..., {count}, 3)")
    body = torch.from_numpy(numbers).to(rotation.device)
    if locations.ndim > 2:
        local = locations.expand(*batch, count, 3).reshape(poses, count, 3).permute(1, 2, 0).contiguous()
        return turn(rotation.index_select(0, body), local) + origin.index_select(0, body)
    if count == 0:
        return rotation.new_zeros((0, 3, poses))
    # One matrix product per body over all poses: stretch the rotations' columns instead of every marker.
    seats, seat_of = _seats(numbers, bodies)
    width = seats.shape[1]
    columns = rotation.transpose(1, 2)
    if stretch is not None:
        columns = columns * stretch[:, :, None]
    local = locations.to(rotation).index_select(0, torch.from_numpy(seats.ravel()).to(rotation.device))
    placed = torch.bmm(local.reshape(bodies, width, 3), columns.reshape(bodies, 3, 3 * poses))
    chosen = placed.reshape(bodies * width, 3, poses).index_select(0, torch.from_numpy(seat_of).to(rotation.device))
    return chosen + origin.index_select(0, body)


def _seats(numbers: np.ndarray, bodies: int) -> tuple[np.ndarray, np.ndarray]:
    """Markers laid out by body: marker in each seat (bodies, widest), and the flat seat of each marker (M,).

    Empty seats repeat marker 0; nothing reads them.
    """
    counts = np.bincount(numbers, minlength=bodies)
    width = int(counts.max())
    seats = np.zeros((bodies, width), np.int64)
    seat_of = np.empty(len(numbers), np.int64)
    used = np.zeros(bodies, np.int64)
    for marker, body in enumerate(numbers):
        seats[body, used[body]] = marker
        seat_of[marker] = body * width + used[body]
        used[body] += 1
    return seats, seat_of
