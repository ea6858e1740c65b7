"""Cameras: modes, errors and the kernel's structures, without a camera."""

from __future__ import annotations

import errno
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import pytest

from biopose_live.capture import device
from biopose_live.capture.cameras import Camera, cameras_sentence, input_format, list_cameras
from biopose_live.errors import EXIT_SOURCE, UserError


class Driver:
    """Grants each asked mode the rate in `rates` (None: refuses it), and remembers what it was asked."""

    def __init__(self, *rates: float | None, refusal: int = errno.EINVAL) -> None:
        self.rates = list(rates)
        self.refusal = refusal
        self.asked: list[dict[str, str]] = []
        self.open = 0

    def __call__(self, address: str, *, format: str, options: dict[str, str], timeout: Any) -> Any:
        self.asked.append(options)
        rate = self.rates.pop(0)
        if rate is None:
            raise OSError(self.refusal, "refused")
        self.open += 1
        fraction = Fraction(rate) if rate else None
        stream = SimpleNamespace(
            disposition=av.stream.Disposition(0),
            time_base=Fraction(1, 1_000_000),
            average_rate=fraction,
            guessed_rate=fraction,
            codec_context=SimpleNamespace(width=1280, height=720, name="mjpeg"),
        )
        return SimpleNamespace(streams=SimpleNamespace(video=[stream]), close=self._close)

    def _close(self) -> None:
        self.open -= 1


def connect(driver: Driver) -> Any:
    return device.connect("0", "/dev/video0", "v4l2", opener=driver)


def test_compressed_720p_is_asked_for_first(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver(30.0)
    with caplog.at_level("INFO"):
        connection = connect(driver)
    assert driver.asked == [{"input_format": "mjpeg", "video_size": "1280x720", "framerate": "30"}]
    assert connection.rate == 30.0
    assert "asked for 1280x720 at 30 frames/s, granted 1280x720 mjpeg at 30 frames/s" in caplog.text


def test_slow_and_refused_modes_are_passed_over() -> None:
    driver = Driver(None, 10.0, 30.0)
    assert connect(driver).rate == 30.0
    assert driver.asked[-1] == {"video_size": "640x480", "framerate": "30"}
    assert driver.open == 1


def test_the_fastest_of_slow_modes_is_opened_again() -> None:
    driver = Driver(5.0, 15.0, 10.0, 5.0, 15.0)
    assert connect(driver).rate == 15.0
    assert driver.asked[-1] == driver.asked[1]
    assert driver.open == 1


def test_a_driver_that_tells_no_rate_is_taken_as_it_is() -> None:
    driver = Driver(0.0)
    assert connect(driver).rate is None


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EACCES, errno.ENOENT, errno.ENODEV])
def test_no_other_mode_is_tried_when_none_can_help(number: int) -> None:
    driver = Driver(None, 30.0, refusal=number)
    with pytest.raises(OSError, match="refused"):
        connect(driver)
    assert len(driver.asked) == 1


def test_all_modes_refused() -> None:
    with pytest.raises(OSError, match="refused"):
        connect(Driver(None, None, None, None))


FOUND = [Camera("/dev/video2", "Desk camera"), Camera("/dev/video4", "")]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), "There is no camera 0 (/dev/video0); use --camera with one of /dev/vid"),
        (OSError(errno.ENODEV, "x"), "There is no camera 0"),
        (OSError(errno.EBUSY, "x"), "in use by another program"),
        (PermissionError(errno.EACCES, "x"), "group video"),
        (OSError(errno.EIO, "Input/output error"), "could not be opened (Input/output error)"),
        (None, "gave no picture within 15 s"),
    ],
)
def test_each_failure_has_its_sentence(error: BaseException | None, words: str) -> None:
    got = device.explain("0", "/dev/video0", error, FOUND)
    assert words in str(got)
    assert str(got).endswith(".")
    assert got.exit_code == EXIT_SOURCE


def test_the_cameras_that_exist_are_named() -> None:
    assert cameras_sentence(FOUND) == "use --camera with one of /dev/video2 (Desk camera), /dev/video4"
    assert "no camera was found" in cameras_sentence([])


def test_a_camera_that_is_not_there_ends_in_its_sentence(read_for: Any) -> None:
    input_format("linux")
    source = device.open_camera("/dev/video-none", platform="linux")
    with pytest.raises(UserError, match="There is no camera /dev/video-none"):
        read_for(source)
    source.close()


def test_numbers_and_paths() -> None:
    assert device.camera_address("2", "v4l2") == "/dev/video2"
    assert device.camera_address("/dev/v4l/by-id/usb-x", "v4l2") == "/dev/v4l/by-id/usb-x"
    assert device.camera_address("1", "avfoundation") == "1:none"
    assert device.camera_address("Desk camera", "dshow") == "video=Desk camera"


def test_unsupported_platform() -> None:
    for call in (lambda: list_cameras("sunos5"), lambda: device.open_camera("0", platform="sunos5")):
        with pytest.raises(UserError, match="this is sunos5"):
            call()
