"""The pinhole camera; the oracle for fields of view is OpenCV's calibrationMatrixValues."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from biopose_live.capture.intrinsics import intrinsics_for
from biopose_live.errors import UserError
from biopose_live.settings import DEFAULT_FOV_DEG, Settings


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (720, 1280)])
@pytest.mark.parametrize("fov", [None, 45.0, 90.0])
def test_field_of_view_is_along_the_longer_side(width: int, height: int, fov: float | None) -> None:
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    got = intrinsics_for(Settings(fov=fov), width, height)
    matrix = np.array([[got.focal, 0, got.centre[0]], [0, got.focal, got.centre[1]], [0, 0, 1]])
    across, down, *_ = cv2.calibrationMatrixValues(matrix, (width, height), 1.0, 1.0)
    assert max(across, down) == pytest.approx(DEFAULT_FOV_DEG if fov is None else fov)
    assert got.centre == (width / 2, height / 2)


def from_text(tmp_path: Path, text: str, width: int = 1280, height: int = 720) -> tuple[float, float, float]:
    path = tmp_path / "camera.toml"
    path.write_text(text)
    got = intrinsics_for(Settings(intrinsics=path), width, height)
    return (got.focal, *got.centre)


def test_focal_and_centre(tmp_path: Path) -> None:
    assert from_text(tmp_path, "focal = 900\ncentre = [640.5, 350]") == (900, 640.5, 350)


def test_rescaled_to_the_actual_frame(tmp_path: Path) -> None:
    text = "focal = 2700.0\ncentre = [1900, 1100]\nwidth = 3840\nheight = 2160"
    assert from_text(tmp_path, text, 1280, 720) == pytest.approx((900, 1900 / 3, 1100 / 3))


def test_opencv_matrix(tmp_path: Path) -> None:
    text = "matrix = [[901, 0, 630], [0, 899, 365.5], [0, 0, 1]]"
    assert from_text(tmp_path, text) == (900, 630, 365.5)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("focal = ", "is not TOML"),
        ("focal = 900", "has no centre"),
        ("centre = [1, 2]", "has no focal"),
        ("focal = -1\ncentre = [1, 2]", "focal = -1"),
        ("focal = nan\ncentre = [1, 2]", "focal = nan"),
        ("focal = true\ncentre = [1, 2]", "focal = True"),
        ("focal = '900'\ncentre = [1, 2]", "focal = '900'"),
        ("focal = 900\ncentre = [1, 2, 3]", "centre = [1, 2, 3]"),
        ("focal = 900\ncentre = 5", "centre = 5"),
        ("focal = 900\ncentre = [1, 2]\nskew = 0", "unknown key skew"),
        ("focal = 900\ncentre = [1, 2]\nwidth = 1280", "has no height"),
        ("focal = 900\ncentre = [1, 2]\nwidth = 0\nheight = 720", "width = 0"),
        ("focal = 900\ncentre = [1, 2]\nwidth = 640\nheight = 480", "640x480"),
        ("focal = 900\ncentre = [1, 2]\nwidth = 720\nheight = 1280", "another shape"),
        ("matrix = [[900, 0, 640], [0, 900, 360]]", "3 rows of 3"),
        ("matrix = [[900, 0, 640], [0, 900, 360], [0, 0, 2]]", "no camera matrix"),
        ("matrix = [[900, 0, 640], [0, 700, 360], [0, 0, 1]]", "fx = 900"),
        ("matrix = 3\nfocal = 900", "both matrix and focal"),
    ],
)
def test_bad_files_get_a_sentence(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(UserError) as caught:
        from_text(tmp_path, text)
    assert found in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_missing_file_folder_and_binary(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        intrinsics_for(Settings(intrinsics=tmp_path / "gone.toml"), 640, 480)
    with pytest.raises(UserError, match="cannot be read"):
        intrinsics_for(Settings(intrinsics=tmp_path), 640, 480)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UserError, match="is not TOML"):
        intrinsics_for(Settings(intrinsics=tmp_path / "binary"), 640, 480)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    key=st.sampled_from(["focal", "centre", "matrix", "width", "height"]),
    value=st.sampled_from(["1e400", "inf", "[]", "[[]]", "'x'", "{}", "1979-05-27", "[[1,0,0],[0,1,0],[0,0,1]]", "7"]),
)
def test_anything_else_is_a_sentence_or_a_camera(tmp_path: Path, key: str, value: str) -> None:
    try:
        outcome: object = from_text(tmp_path, f"{key} = {value}")[0] > 0
    except UserError as error:
        outcome = str(error).endswith(".")
    assert outcome is True
