"""Reads the functions of joints and couplers in model files: OpenSim's classes, made `Polynomial` or `Spline`."""

from __future__ import annotations

import numpy as np

from .functions import Function, Polynomial, Spline
from .osim_values import MAX_NUMBERS, Source
from .xml_tree import Element

FUNCTIONS = (
    "Constant",
    "LinearFunction",
    "PolynomialFunction",
    "SimmSpline",
    "PiecewiseLinearFunction",
    "MultiplierFunction",
)
# Names of earlier versions, which OpenSim reads as a SimmSpline.
_RENAMED = {"NaturalCubicSpline": "SimmSpline", "natCubicSpline": "SimmSpline"}
_WRAPPERS = ("function", "coupled_coordinates_function")
_NO_FUNCTIONS = ("coordinates", "axis", "scale")
_MAX_COEFFICIENTS = 16


def function_in(source: Source, element: Element, where: str) -> Function | None:
    """The function written directly in ``element`` or inside its <function>; None if there is none.

    Raises UserError for a function that is not supported.
    """
    for child in element:
        if child.tag in _WRAPPERS:
            return function_in(source, child, where)
        kind = _RENAMED.get(child.tag, child.tag)
        if kind in FUNCTIONS:
            return _function(source, kind, child, f"{where}/{child.tag}")
        if child.tag not in _NO_FUNCTIONS:
            advice = "use one of " + ", ".join(FUNCTIONS)
            raise source.fail(f"{where}/{child.tag}", "is a function that is not supported", advice)
    return None


def still_value(source: Source, element: Element, where: str) -> float:
    """The value of an axis' function that depends on no coordinate. Raises UserError unless it is one number.

    A line is then worth its first coefficient: so OpenSim evaluates it.
    """
    function = function_in(source, element, where)
    if function is None:
        return 0.0
    if not isinstance(function, Polynomial) or len(function.coefficients) > 2:
        raise source.fail(where, "has a function but no coordinate for it", "name the coordinate or use a Constant")
    return function.coefficients[0]


def _function(source: Source, kind: str, element: Element, where: str) -> Function:
    if kind == "Constant":
        return Polynomial((source.number(element, "value", where, "0"),))
    if kind == "LinearFunction":
        return Polynomial(tuple(map(float, source.numbers(element, "coefficients", 2, where, "1 0"))))
    if kind == "PolynomialFunction":
        coefficients = source.numbers(element, "coefficients", None, where, None)
        if len(coefficients) > _MAX_COEFFICIENTS:
            raise source.fail(where, f"has {len(coefficients)} coefficients, at most {_MAX_COEFFICIENTS} are supported")
        return stretching(Polynomial(tuple(map(float, coefficients))))
    if kind == "MultiplierFunction":
        inner = function_in(source, element, where)
        if inner is None:
            raise source.fail(where, "holds no function to multiply")
        return stretching(inner.scaled(source.number(element, "scale", where, "1")))
    knots = source.numbers(element, "x", None, where, None)
    values = source.numbers(element, "y", len(knots), where, None)
    if not 2 <= len(knots) <= MAX_NUMBERS or np.any(np.diff(knots) < 1e-9):
        raise source.fail(where, f"needs 2 to {MAX_NUMBERS} knots in rising order")
    return Spline(knots, values, kind)


def stretching(function: Function) -> Function:
    """``function`` in a form that is not taken for a pure degree of freedom.

    OpenSim's scaling leaves a translation alone only if it is a plain LinearFunction (1, 0), and takes a coordinate for
    a translation only if the function is a LinearFunction; not if a polynomial or a multiplied line says the same.
    """
    if isinstance(function, Polynomial) and len(function.coefficients) == 2:
        return Polynomial((0.0, *function.coefficients))
    return function
