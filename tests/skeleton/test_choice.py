"""The skeleton that a run uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.skeleton.bsk24 import bsk24_path
from biopose_live.skeleton.choice import load_skeleton, skeleton_path
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.osim_writer import write_osim


def test_the_embedded_one_unless_another_is_given(other_skeleton: Path) -> None:
    assert skeleton_path(None) == bsk24_path()
    assert load_skeleton(None).name == "bsk24"
    assert skeleton_path(other_skeleton) == other_skeleton
    model = load_skeleton(other_skeleton)
    assert model.name == "other"
    assert model.ignored == ("Thelen2003Muscle",)


def test_a_model_without_markers_gets_its_joint_centres(other_skeleton: Path) -> None:
    model = load_skeleton(other_skeleton)
    kinematics = Kinematics(model)
    q = model.default_pose() + 0.1
    scales = np.full((len(model.bodies), 3), 1.2)
    np.testing.assert_allclose(kinematics.markers(q, scales), kinematics.joint_centres(q, scales), atol=1e-12)
    assert model.marker_names[:2] == ["Pelvis_joint", "Torso_joint"]


def test_markers_of_one_name_are_told_apart(other_skeleton: Path, tmp_path: Path) -> None:
    model = load_skeleton(other_skeleton)
    twice = [replace(marker, name="spot") for marker in model.markers[:3]]
    write_osim(model.with_markers(twice), tmp_path / "twice.osim")
    assert load_skeleton(tmp_path / "twice.osim").marker_names == ["spot", "spot_2", "spot_3"]


def test_a_model_without_legs_is_refused_before_anything_runs(other_skeleton: Path, tmp_path: Path) -> None:
    text = other_skeleton.read_text().replace("thigh_l", "wing_l")
    (tmp_path / "bird.osim").write_text(text)
    with pytest.raises(UserError, match="has no body femur_l") as caught:
        load_skeleton(tmp_path / "bird.osim")
    assert caught.value.exit_code == EXIT_MODEL


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_skeleton(tmp_path / "none.osim")
    assert str(tmp_path / "none.osim") in str(caught.value)
