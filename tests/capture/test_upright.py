"""Upright RGB: the oracles are PyAV's plain conversion and NumPy's quarter turns of the picture that was encoded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from biopose_live.capture.upright import UprightRGB, display_matrix, fitted


def test_colours_are_those_of_a_plain_conversion() -> None:
    with av.open("testsrc2=size=320x240:rate=30", format="lavfi") as container:
        frame = next(container.decode(video=0))
    got = UprightRGB().pixels(frame)
    assert got.shape == (240, 320, 3)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, frame.to_ndarray(format="rgb24"))


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_and_mirrored_pictures_come_out_upright(
    video: Callable[..., Path], degrees: int, mirrored: bool
) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (12, 20, 3), np.uint8)
    path = video(
        "turned.mov",
        count=1,
        size=(20, 12),
        codec="png",
        pix_fmt="rgb24",
        picture=picture,
        rotation=(degrees, mirrored),
    )
    with av.open(str(path)) as container:
        got = UprightRGB().pixels(next(container.decode(video=0)))
    expected = np.rot90(picture, degrees // 90)  # counter-clockwise, as PyAV's set_display_rotation counts
    np.testing.assert_array_equal(got, expected[:, ::-1] if mirrored else expected)


def test_no_matrix_no_turn(video: Callable[..., Path]) -> None:
    with av.open(str(video())) as container:
        assert display_matrix(next(container.decode(video=0))) is None


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1920, 1080), (1920, 1080)), ((3840, 2160), (1920, 1080)), ((1080, 1921), (1079, 1920)), ((5000, 1), (1920, 1))],
)
def test_long_side_is_limited(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fitted(*size, 1920) == expected


@pytest.mark.parametrize("pix_fmt", ["gray", "yuv420p10le", "yuvj422p", "rgba", "nv12", "yuyv422"])
def test_every_pixel_format_becomes_rgb(pix_fmt: str) -> None:
    grey = av.VideoFrame.from_ndarray(np.full((8, 16, 3), 128, np.uint8), format="rgb24").reformat(format=pix_fmt)
    got = UprightRGB().pixels(grey)
    assert got.shape == (8, 16, 3)
    assert np.abs(got.astype(int) - 128).max() <= 3
