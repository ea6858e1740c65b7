"""Joint functions against OpenSim's own."""

from __future__ import annotations

import numpy as np
import opensim
import pytest

from biopose_live.skeleton.functions import Polynomial, Spline

X = np.array([-1.2, -0.7, -0.1, 0.4, 0.9, 1.7])
Y = np.array([0.3, -0.2, 0.1, 0.6, 0.2, -0.4])
PROBES = np.linspace(-2.5, 3.0, 60)


def _opensim_spline(kind: str, count: int) -> opensim.Function:
    function = getattr(opensim, kind)()
    for x, y in zip(X[:count], Y[:count], strict=True):
        function.addPoint(float(x), float(y))
    return function


def _value(function: opensim.Function, x: float) -> float:
    return function.calcValue(opensim.Vector(1, float(x)))


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_spline_equals_opensim_inside_and_outside_its_knots(count: int) -> None:
    theirs = _opensim_spline("SimmSpline", count)
    ours = Spline(X[:count], Y[:count])
    for x in PROBES:
        assert ours.value(float(x)) == pytest.approx(_value(theirs, x), abs=1e-12)


def test_a_long_uneven_spline_equals_opensim() -> None:
    rng = np.random.default_rng(0)
    x, y = np.cumsum(rng.uniform(0.01, 0.2, 300)), rng.normal(size=300)
    theirs = opensim.SimmSpline()
    for pair in zip(x, y, strict=True):
        theirs.addPoint(float(pair[0]), float(pair[1]))
    ours = Spline(x, y)
    for probe in np.linspace(x[0] - 0.1, x[-1] + 0.1, 200):
        assert ours.value(float(probe)) == pytest.approx(_value(theirs, probe), abs=1e-9)


def test_piecewise_linear_equals_opensim() -> None:
    theirs = _opensim_spline("PiecewiseLinearFunction", 6)
    ours = Spline(X, Y, "PiecewiseLinearFunction")
    for x in PROBES:
        assert ours.value(float(x)) == pytest.approx(_value(theirs, x), abs=1e-12)


def test_polynomial_equals_numpy() -> None:
    coefficients = (0.3, -1.0, 0.25, 2.0)
    polynomial = Polynomial(coefficients)
    for x in PROBES:
        assert polynomial.value(float(x)) == pytest.approx(np.polyval(coefficients, x), abs=1e-12)
        assert polynomial.derivative(float(x)) == pytest.approx(np.polyval(np.polyder(coefficients), x), abs=1e-12)


@pytest.mark.parametrize("function", [Polynomial((0.2, 0.0, -1.0, 0.5)), Spline(X, Y)])
def test_derivative_and_scaling(function: Polynomial | Spline) -> None:
    step = 1e-6
    for x in PROBES:
        slope = (function.value(x + step) - function.value(x - step)) / (2.0 * step)
        assert function.derivative(float(x)) == pytest.approx(slope, abs=1e-6)
        assert function.scaled(-2.5).value(float(x)) == pytest.approx(-2.5 * function.value(float(x)), abs=1e-12)


def test_only_the_plain_line_counts_as_a_pure_degree_of_freedom() -> None:
    assert Polynomial((1.0, 0.0)).is_identity
    assert not Polynomial((-1.0, 0.0)).is_identity
    assert not Polynomial((1.0, 0.1)).is_identity
    assert not Spline(X, Y).is_identity
    # Doubling half a line does not make it one: OpenSim would see a multiplied function.
    assert not Polynomial((0.5, 0.0)).scaled(2.0).is_identity
    assert Polynomial((1.0, 0.0)).scaled(1.0).is_identity
