"""A given mass is the exported model's, in OpenSim's own reckoning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import opensim
import pytest

from biopose_live.errors import UserError
from biopose_live.skeleton.mass import total_mass, with_mass
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.skeleton.osim_writer import write_scaled_osim


def test_opensim_finds_the_given_mass_shared_out_as_before(bsk24: SkeletonModel, tmp_path: Path) -> None:
    scales = np.random.default_rng(0).uniform(0.9, 1.1, (len(bsk24.bodies), 3))
    write_scaled_osim(with_mass(bsk24, 61.3), scales, None, tmp_path / "person.osim")
    model = opensim.Model(str(tmp_path / "person.osim"))
    assert model.getTotalMass(model.initSystem()) == pytest.approx(61.3, rel=1e-9)
    bodies = model.getBodySet()
    for body in bsk24.bodies:
        assert bodies.get(body.name).getMass() / 61.3 == pytest.approx(body.mass / total_mass(bsk24), rel=1e-9)


def test_radii_of_gyration_stay(bsk24: SkeletonModel) -> None:
    heavier = with_mass(bsk24, 150.0)
    for before, after in zip(bsk24.bodies, heavier.bodies, strict=True):
        np.testing.assert_allclose(after.inertia / after.mass, before.inertia / before.mass, rtol=1e-12)


def test_a_model_without_mass_is_refused(bsk24: SkeletonModel) -> None:
    weightless = replace(bsk24, bodies=tuple(replace(body, mass=0.0) for body in bsk24.bodies))
    with pytest.raises(UserError, match="has no mass"):
        with_mass(weightless, 70.0)
