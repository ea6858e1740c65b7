"""Reads the coordinate couplers of a model file, chains of them in the order in which they are to be applied."""

from __future__ import annotations

from .model import Coordinate, Coupler
from .osim_functions import function_in
from .osim_values import Source
from .xml_tree import Element

MAX_COUPLERS = 6000


def read_couplers(source: Source, elements: list[Element], coordinates: list[Coordinate]) -> list[Coupler]:
    """The enforced couplers among the constraint ``elements``. Raises UserError, also for any other constraint."""
    couplers: list[Coupler] = []
    names = {coordinate.name: number for number, coordinate in enumerate(coordinates)}
    for element in source.bounded(elements, MAX_COUPLERS, "/constraintset"):
        where = source.path(element, f"/constraintset/{element.get('name') or element.tag}")
        if not source.flag(element, "isEnforced", where, True):
            continue
        if element.tag != "CoordinateCouplerConstraint":
            found = f"is a {element.tag[:40]}, which is not supported"
            raise source.fail(where, found, "turn it off or use couplers")
        independent = source.text(element, "independent_coordinate_names").split()
        dependent = source.text(element, "dependent_coordinate_name")
        if len(independent) != 1:
            raise source.fail(where, f"couples to {len(independent)} coordinates, only one is supported")
        for name in (independent[0], dependent):
            if name not in names:
                raise source.fail(where, f"names the coordinate {name[:80]!r}, which the model does not have")
        holder = element.find("coupled_coordinates_function")
        function = None if holder is None else function_in(source, holder, where)
        if function is None:
            raise source.fail(where, "has no coupled_coordinates_function")
        function = function.scaled(source.number(element, "scale_factor", where, "1"))
        couplers.append(Coupler(element.get("name") or "coupler", names[dependent], names[independent[0]], function))
    return _in_order(source, couplers)


def _in_order(source: Source, couplers: list[Coupler]) -> list[Coupler]:
    """Sorted so that a coordinate is set before it is used; otherwise in the file's order."""
    setter: dict[int, Coupler] = {}
    for coupler in couplers:
        if coupler.dependent in setter:
            raise source.fail(f"/constraintset/{coupler.name}", "couples one coordinate twice")
        setter[coupler.dependent] = coupler
    ordered: list[Coupler] = []
    done: set[int] = set()
    for coupler in couplers:
        chain: list[Coupler] = []
        links: set[int] = set()
        link: Coupler | None = coupler
        while link is not None and link.dependent not in done:
            if link.dependent in links:
                raise source.fail(f"/constraintset/{link.name}", "is part of a circle of couplers")
            links.add(link.dependent)
            chain.append(link)
            link = setter.get(link.independent)
        done |= links
        ordered += reversed(chain)
    return ordered
