"""Scalar functions of one coordinate, as OpenSim's joints use them, in two canonical forms.

OpenSim's Constant, LinearFunction and PolynomialFunction become a `Polynomial`; SimmSpline, NaturalCubicSpline and
PiecewiseLinearFunction become a `Spline` (piecewise cubic, straight lines beyond the knots). A MultiplierFunction is
folded into whichever it multiplies. Values are in the joint's own units (rad or m).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Polynomial:
    """``sum coefficients[i] * x**(n-1-i)``: highest power first, as in OpenSim's PolynomialFunction."""

    coefficients: tuple[float, ...]

    def value(self, x: float) -> float:
        """The value at ``x``."""
        result = 0.0
        for coefficient in self.coefficients:
            result = result * x + coefficient
        return result

    def derivative(self, x: float) -> float:
        """The first derivative at ``x``."""
        result = slope = 0.0
        for coefficient in self.coefficients:
            slope = slope * x + result
            result = result * x + coefficient
        return slope

    def scaled(self, factor: float) -> Polynomial:
        """This function times ``factor``; never f(x) = x by accident, which `is_identity` would take for a choice."""
        product = tuple(factor * c for c in self.coefficients)
        return Polynomial((0.0, *product) if product == (1.0, 0.0) and factor != 1.0 else product)

    @property
    def is_identity(self) -> bool:
        """Whether this is f(x) = x written as a line: the translations that OpenSim's scaling leaves alone."""
        return self.coefficients == (1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Spline:
    """A piecewise cubic through ``(knots[i], values[i])``; ``kind`` keeps the OpenSim class that it came from."""

    knots: FloatArray
    values: FloatArray
    kind: str = "SimmSpline"

    def table(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The intervals as a table: breaks (n,), origins (n + 1,), cubic coefficients (n + 1, 4), lowest power first.

        Interval 0 lies below the first knot and interval n beyond the last one; both are straight lines.
        """
        x, y = self.knots, self.values
        n = len(x)
        slope, second, third = _spline_coefficients(x, y, self.kind)
        origins = np.concatenate([x[:1], x])
        cubic = np.zeros((n + 1, 4))
        cubic[0, :2] = y[0], slope[0]
        cubic[1:] = np.stack([y, slope, second, third], axis=1)
        cubic[n, 2:] = 0.0
        return x, origins, cubic

    def _at(self, x: float) -> tuple[float, FloatArray]:
        breaks, origins, cubic = self.table()
        interval = int(np.searchsorted(breaks, x, side="right"))
        return x - float(origins[interval]), cubic[interval]

    def value(self, x: float) -> float:
        """The value at ``x``."""
        dx, c = self._at(x)
        return float(c[0] + dx * (c[1] + dx * (c[2] + dx * c[3])))

    def derivative(self, x: float) -> float:
        """The first derivative at ``x``."""
        dx, c = self._at(x)
        return float(c[1] + dx * (2.0 * c[2] + 3.0 * dx * c[3]))

    def scaled(self, factor: float) -> Spline:
        """This function times ``factor``."""
        return Spline(self.knots, self.values * factor, self.kind)

    @property
    def is_identity(self) -> bool:
        """Never: only a line counts as a pure degree of freedom."""
        return False


Function = Polynomial | Spline
ZERO = Polynomial((0.0,))
IDENTITY = Polynomial((1.0, 0.0))


def _spline_coefficients(x: FloatArray, y: FloatArray, kind: str) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Slope, second- and third-power coefficients at each knot.

    SimmSpline: the end conditions of Forsythe, Malcolm and Moler (1977), *Computer Methods for Mathematical
    Computations*, section 4.4: the third derivative at each end is that of the cubic through the four nearest knots.
    """
    n = len(x)
    zero = np.zeros(n)
    if n < 2:
        return zero, zero, zero
    step = np.diff(x)
    rise = np.diff(y) / step
    if kind == "PiecewiseLinearFunction":
        return np.append(rise, rise[-1]), zero, zero
    if n == 2:
        return np.full(2, rise[0]), zero, zero
    # Unknowns: a sixth of the second derivative at each knot, from a tridiagonal system.
    diagonal = np.concatenate([-step[:1], 2.0 * (step[:-1] + step[1:]), -step[-1:]])
    right = np.concatenate([[0.0], np.diff(rise), [0.0]])
    if n > 3:
        second_difference = np.diff(rise) / (x[2:] - x[:-2])
        third_difference = np.diff(second_difference) / (x[3:] - x[:-3])
        right[0] = step[0] ** 2 * third_difference[0]
        right[-1] = -(step[-1] ** 2) * third_difference[-1]
    for i in range(1, n):
        ratio = step[i - 1] / diagonal[i - 1]
        diagonal[i] -= ratio * step[i - 1]
        right[i] -= ratio * right[i - 1]
    sixth = right / diagonal
    for i in range(n - 2, -1, -1):
        sixth[i] -= step[i] * sixth[i + 1] / diagonal[i]
    slope = np.empty(n)
    third = np.empty(n)
    slope[:-1] = rise - step * (sixth[1:] + 2.0 * sixth[:-1])
    slope[-1] = rise[-1] + step[-1] * (sixth[-2] + 2.0 * sixth[-1])
    third[:-1] = np.diff(sixth) / step
    third[-1] = third[-2]
    return slope, np.asarray(3.0 * sixth), third
