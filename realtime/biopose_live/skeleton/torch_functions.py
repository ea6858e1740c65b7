"""The joints' functions in torch: many functions of many coordinates evaluated at once, differentiable.

Straight lines cost one multiplication (none where they are f(x) = x); polynomials and splines are evaluated only where
a model has them. The forms are those of `functions`.

Dimensions: Q coordinates, N poses, F functions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .functions import IDENTITY, Function, Polynomial


class TorchFunctions(nn.Module):
    """Function ``functions[i]`` of coordinate ``coordinates[i]``, for all i together."""

    line_source: Tensor
    line_slope: Tensor
    line_offset: Tensor
    power_source: Tensor
    powers: Tensor
    spline_source: Tensor
    spline_breaks: Tensor
    spline_origins: Tensor
    spline_cubics: Tensor
    order: Tensor

    def __init__(self, functions: Sequence[Function], coordinates: Sequence[int]) -> None:
        super().__init__()
        kinds = [_kind(function) for function in functions]
        grouped = sorted(range(len(functions)), key=lambda i: kinds[i])
        lines, powers, splines = ([i for i in grouped if kinds[i] == kind] for kind in range(3))
        self.counts = (len(lines), len(powers), len(splines))
        self.plain = all(functions[i] == IDENTITY for i in lines)
        self.sorted = grouped == list(range(len(functions)))

        def keep(name: str, values: object, dtype: torch.dtype = torch.float64) -> None:
            self.register_buffer(name, torch.as_tensor(np.asarray(values), dtype=dtype), persistent=False)

        for name, members in (("line", lines), ("power", powers), ("spline", splines)):
            keep(f"{name}_source", [coordinates[i] for i in members], torch.int64)
        straight = [_straight(functions[i]) for i in lines]
        keep("line_slope", [[slope] for slope, _ in straight])
        keep("line_offset", [[offset] for _, offset in straight])
        keep("powers", _padded_polynomials([functions[i] for i in powers]))
        breaks, origins, cubics = _padded_splines([functions[i] for i in splines])
        keep("spline_breaks", breaks)
        keep("spline_origins", origins)
        keep("spline_cubics", cubics)
        keep("order", np.argsort(grouped, kind="stable"), torch.int64)

    def forward(self, q: Tensor) -> Tensor:
        """Values (F, N) at coordinates ``q`` (Q, N), which must have the dtype and device of this module."""
        parts = []
        if self.counts[0]:
            x = q.index_select(0, self.line_source)
            parts.append(x if self.plain else torch.addcmul(self.line_offset, x, self.line_slope))
        if self.counts[1]:
            parts.append(self._polynomials(q.index_select(0, self.power_source)))
        if self.counts[2]:
            parts.append(self._splines(q.index_select(0, self.spline_source)))
        if not parts:
            return q.new_zeros((0, q.shape[1]))
        values = parts[0] if len(parts) == 1 else torch.cat(parts)
        return values if self.sorted else values.index_select(0, self.order)

    def _polynomials(self, x: Tensor) -> Tensor:
        value = self.powers[:, :1].expand_as(x)
        for i in range(1, self.powers.shape[1]):
            value = torch.addcmul(self.powers[:, i : i + 1], value, x)
        return value

    def _splines(self, x: Tensor) -> Tensor:
        interval = torch.searchsorted(self.spline_breaks, x.detach().contiguous(), right=True)
        step = x - self.spline_origins.gather(1, interval)
        value = self.spline_cubics[3].gather(1, interval)
        for i in (2, 1, 0):
            value = torch.addcmul(self.spline_cubics[i].gather(1, interval), value, step)
        return value


def _kind(function: Function) -> int:
    if not isinstance(function, Polynomial):
        return 2
    return 0 if len(function.coefficients) <= 2 else 1


def _straight(function: Function) -> tuple[float, float]:
    assert isinstance(function, Polynomial)
    slope, offset = (0.0, 0.0, *function.coefficients)[-2:]
    return slope, offset


def _padded_polynomials(functions: Sequence[Function]) -> np.ndarray:
    rows = [np.array(f.coefficients) for f in functions if isinstance(f, Polynomial)]
    width = max((len(row) for row in rows), default=1)
    return np.array([np.concatenate([np.zeros(width - len(row)), row]) for row in rows]).reshape(len(rows), width)


def _padded_splines(functions: Sequence[Function]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Breaks (S, n), padded with infinity; origins (S, n + 1); cubics (4, S, n + 1), lowest power first."""
    tables = [f.table() for f in functions if not isinstance(f, Polynomial)]
    width = max((len(table[0]) for table in tables), default=1)
    breaks = np.full((len(tables), width), np.inf)
    origins = np.zeros((len(tables), width + 1))
    cubics = np.zeros((4, len(tables), width + 1))
    for i, (knots, starts, coefficients) in enumerate(tables):
        breaks[i, : len(knots)] = knots
        origins[i, : len(starts)] = starts
        cubics[:, i, : len(coefficients)] = coefficients.T
    return breaks, origins, cubics
