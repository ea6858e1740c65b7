"""The mass of a skeleton: that of the generic subject, or of the person whom it stands for."""

from __future__ import annotations

from dataclasses import replace

from biopose_live.errors import EXIT_MODEL, UserError

from .model import SkeletonModel


def total_mass(model: SkeletonModel) -> float:
    """-> the mass of all bodies together, kg."""
    return sum(body.mass for body in model.bodies)


def with_mass(model: SkeletonModel, mass: float) -> SkeletonModel:
    """The model of a person of ``mass`` (kg): every body keeps its share, as the model's own table of masses has it.

    Inertias grow in proportion, as those of bodies of the same size and greater density. Raises UserError for a model
    without mass.
    """
    before = total_mass(model)
    if not before > 0.0:
        raise UserError(
            f"The skeleton {model.name!r} has no mass, so --mass cannot be shared out among its bodies: "
            f"leave --mass away.",
            EXIT_MODEL,
        )
    share = mass / before
    bodies = tuple(replace(body, mass=body.mass * share, inertia=body.inertia * share) for body in model.bodies)
    return replace(model, bodies=bodies)
