"""C3D files, read by the package c3d, which shares no code with the library that writes them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import c3d
import numpy as np
import pytest

from biopose_live.errors import UserError
from biopose_live.export import c3d_file, exporting
from biopose_live.export.c3d_file import angle_points, write_c3d
from biopose_live.export.exporting import export_recording
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel

from .conftest import Made


@dataclass
class Found:
    """Positions (N, P, 3) in the file's unit, residuals (N, P), and what the header says."""

    labels: list[str]
    points: np.ndarray
    residuals: np.ndarray
    rate: float
    first: int
    text: dict[str, str]
    angles: list[str]
    about: list[str]


def by_c3d(path: Path) -> Found:
    with path.open("rb") as stream, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "No analog data")
        reader = c3d.Reader(stream)
        frames = [points for _, points, _ in reader.read_frames(copy=True)]
        data = np.array(frames)
        names = ("UNITS", "X_SCREEN", "Y_SCREEN", "ANGLE_UNITS")
        return Found(
            [label.strip() for label in reader.point_labels],
            data[:, :, :3],
            data[:, :, 3],
            reader.point_rate,
            reader.first_frame,
            {name: reader.get(f"POINT:{name}").string_value.strip() for name in names},
            [text.strip() for text in reader.get("POINT:ANGLES").string_array],
            [text.strip() for text in reader.get("POINT:DESCRIPTIONS").string_array],
        )


def test_another_reader_finds_markers_joint_centres_and_angles(whole: Made, tmp_path: Path) -> None:
    export_recording(whole.folder, ["c3d"], tmp_path)
    model, kinematics = whole.model, Kinematics(whole.model)
    for person, first in ((1, 0), (2, 5)):
        found = by_c3d(tmp_path / f"person_{person}.c3d")
        assert found.text == {"UNITS": "mm", "X_SCREEN": "+X", "Y_SCREEN": "+Y", "ANGLE_UNITS": "deg"}
        assert found.rate == pytest.approx(30.0)
        assert found.first == first + 1  # C3D counts from one; everybody shares the recording's frame numbers
        assert len(found.points) == 40 - first
        assert found.labels[: len(model.markers)] == model.marker_names
        assert len(set(found.labels)) == len(found.labels)
        assert (found.residuals >= 0.0).all()
        centres = [found.labels.index(f"{name}_centre") for name in model.body_names]
        for row, q, scales in zip(found.points, whole.q[person][first:], whole.scales[first:], strict=True):
            np.testing.assert_allclose(row[: len(model.markers)], kinematics.markers(q, scales) * 1e3, atol=1e-3)
            np.testing.assert_allclose(row[centres], kinematics.joint_centres(q, scales) * 1e3, atol=1e-3)
        hip = found.labels.index("hip_r_angles")
        at = [model.coordinate_index(name) for name in ("hip_flexion_r", "hip_adduction_r", "hip_rotation_r")]
        np.testing.assert_allclose(found.points[:, hip], np.degrees(whole.q[person][first:, at]), atol=1e-4)
        assert "hip_r_angles" in found.angles
        assert found.about[hip] == "hip_flexion_r, hip_adduction_r, hip_rotation_r"


def test_every_rotational_coordinate_is_in_one_angle_point(model: SkeletonModel) -> None:
    found = sorted(at for _, coordinates in angle_points(model) for at in coordinates)
    assert found == [at for at, c in enumerate(model.coordinates) if c.rotational]


def test_what_was_not_seen_has_residual_minus_one(whole: Made, tmp_path: Path) -> None:
    kinematics = Kinematics(whole.model)
    markers = np.array([kinematics.markers(q) for q in whole.q[1][:6]])
    centres = np.array([kinematics.joint_centres(q) for q in whole.q[1][:6]])
    q = whole.q[1][:6].copy()
    markers[2, 3] = np.nan
    markers[4], centres[4], q[4] = np.nan, np.nan, np.nan
    write_c3d(tmp_path / "a.c3d", 1, whole.model, 29.97, 0, (markers, centres, q))
    found = by_c3d(tmp_path / "a.c3d")
    missing = found.residuals < 0.0
    assert missing[2, 3]
    assert missing[4].all()
    assert missing.sum() == 1 + missing.shape[1]
    assert found.rate == pytest.approx(29.97)


def test_more_frames_than_a_file_holds_go_on_in_another(
    whole: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MAX_FRAMES", 25)
    exported = export_recording(whole.folder, ["c3d"], tmp_path, person=1)
    assert [path.name for path in exported.files] == ["person_1.c3d", "person_1_part2.c3d"]
    assert exported.notes == ["person_1_part2.c3d begins at 0.833 s: a C3D file is full there."]
    parts = [by_c3d(path) for path in exported.files]
    assert [(part.first, len(part.points)) for part in parts] == [(1, 25), (26, 15)]
    monkeypatch.setattr(c3d_file, "MAX_FRAMES", 5)
    with pytest.raises(ValueError, match="at most"):
        write_c3d(tmp_path / "b.c3d", 1, whole.model, 30.0, 0, (np.empty(0), np.empty(0), np.empty((6, 49))))


def test_the_longest_file_is_whole(model: SkeletonModel, tmp_path: Path) -> None:
    """65,535 frames (36 minutes at 30 Hz), of a skeleton with little in it."""
    from dataclasses import replace

    small = replace(model, bodies=model.bodies[:1], joints=model.joints[:1], markers=(), couplers=())
    small = replace(small, coordinates=model.coordinates[:6])
    centres = np.arange(c3d_file.MAX_FRAMES * 3, dtype=float).reshape(-1, 1, 3) / 1e3
    empty = np.empty((len(centres), 0, 3))
    write_c3d(tmp_path / "a.c3d", 1, small, 30.0, 0, (empty, centres, np.zeros((len(centres), 6))))
    import ezc3d

    found = ezc3d.c3d(str(tmp_path / "a.c3d"))["data"]["points"]
    assert found.shape[2] == c3d_file.MAX_FRAMES
    np.testing.assert_allclose(found[:3, 0, -1], centres[-1, 0] * 1e3, rtol=1e-6)


def test_without_the_library_the_other_formats_are_written(
    whole: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    exported = export_recording(whole.folder, None, tmp_path / "a", person=1)
    assert [path.suffix for path in exported.files] == [".mot", ".trc", ".osim", ".bvh"]
    assert exported.notes == ["C3D needs the package ezc3d, which is not installed: pip install ezc3d."]
    with pytest.raises(UserError, match="pip install ezc3d"):
        export_recording(whole.folder, ["c3d"], tmp_path / "b")


def test_a_place_that_cannot_be_written_is_one_sentence(whole: Made, tmp_path: Path) -> None:
    points = np.zeros((1, 54, 3)), np.zeros((1, 24, 3)), np.zeros((1, 49))
    with pytest.raises(UserError, match=r"Cannot write .*No such file"):
        write_c3d(tmp_path / "none" / "a.c3d", 1, whole.model, 30.0, 0, points)
