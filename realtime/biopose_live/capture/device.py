"""Cameras: Video4Linux, AVFoundation and DirectShow, through FFmpeg.

1280x720 at 30 frames/s is asked for, compressed (MJPEG) first: over USB 2 raw 720p reaches 5 to 10 frames/s.  A driver
may grant something else without an error, so what was granted is read back, and the next mode is tried when it is slow.
"""

from __future__ import annotations

import errno
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import av

from biopose_live.capture.cameras import Camera, cameras_sentence, input_format, list_cameras
from biopose_live.capture.decoding import video_stream
from biopose_live.capture.live import FIRST_FRAME_S, Connection, LiveSource
from biopose_live.capture.reason import reason
from biopose_live.capture.source import Clock
from biopose_live.capture.timeline import ArrivalClock
from biopose_live.errors import EXIT_SOURCE, UserError

log = logging.getLogger(__name__)

STALL_S = 3.0
SLOW_RATE = 24.0  # frames/s; below this the next mode is tried
OPEN_S = 10.0
# What no other mode can help against.
FINAL = {errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EBUSY, errno.EACCES, errno.EPERM}


def open_camera(
    camera: str, *, resumed: bool = False, platform: str = sys.platform, clock: Clock = time.monotonic_ns
) -> LiveSource:
    """-> source of the frames of `camera` (number or device path); raises UserError on an unsupported platform."""
    interface = input_format(platform)
    address = camera_address(camera, interface)
    return LiveSource(
        f"camera {camera}",
        lambda: connect(camera, address, interface),
        lambda error: explain(camera, address, error, list_cameras(platform)),
        stall_s=STALL_S,
        resumed=resumed,
        clock=clock,
    )


def camera_address(camera: str, interface: str) -> str:
    """-> what FFmpeg's `interface` calls this camera; raises UserError for a number that Windows does not have."""
    if interface == "v4l2":
        return f"/dev/video{int(camera)}" if camera.isdigit() else camera
    if interface == "avfoundation":
        return f"{camera}:none"
    if camera.isdigit():
        cameras = list_cameras("win32")
        if int(camera) >= len(cameras):
            raise UserError(f"There is no camera {camera}; {cameras_sentence(cameras)}.", EXIT_SOURCE)
        camera = cameras[int(camera)].name
    return f"video={camera}"


def modes(interface: str) -> list[dict[str, str]]:
    """-> FFmpeg options to try, best first; the last asks for nothing."""
    compressed = {"v4l2": {"input_format": "mjpeg"}, "dshow": {"vcodec": "mjpeg"}}.get(interface)
    hd = {"video_size": "1280x720", "framerate": "30"}
    vga = {"video_size": "640x480", "framerate": "30"}
    return ([compressed | hd] if compressed else []) + [hd, vga, {}]


def connect(camera: str, address: str, interface: str, opener: Callable[..., Any] = av.open) -> Connection:
    """-> the camera, open in the first mode that is fast enough, else in the fastest that it has.

    Raises the error of the last attempt when none opened.
    """
    last_error: OSError | av.error.FFmpegError | None = None
    slow: list[tuple[float, dict[str, str]]] = []
    for options in modes(interface):
        try:
            connection = _open(address, interface, options, opener)
        except (OSError, av.error.FFmpegError) as error:
            if error.errno in FINAL:
                raise
            last_error = error
            continue
        rate = connection.rate or 0.0
        if rate == 0.0 or rate >= SLOW_RATE:
            _say(camera, connection, options)
            return connection
        slow.append((rate, options))
        connection.container.close()
    if not slow:
        assert last_error is not None
        raise last_error
    options = max(slow, key=lambda entry: entry[0])[1]
    connection = _open(address, interface, options, opener)
    _say(camera, connection, options)
    return connection


def _open(address: str, interface: str, options: dict[str, str], opener: Callable[..., Any]) -> Connection:
    container = opener(address, format=interface, options=dict(options), timeout=(OPEN_S, STALL_S))
    stream = video_stream(container)
    if stream is None:
        container.close()
        raise OSError(errno.ENODEV, "the device gives no pictures")
    rate = stream.average_rate or stream.guessed_rate
    return Connection(
        container, stream, ArrivalClock(stream.time_base, driver_clock=True), rate=float(rate) if rate else None
    )


def _say(camera: str, connection: Connection, options: dict[str, str]) -> None:
    context = connection.stream.codec_context
    asked = options.get("video_size", "whatever it gives") + (" at 30 frames/s" if "framerate" in options else "")
    rate = f"{connection.rate:g} frames/s" if connection.rate else "an unknown rate"
    granted = f"{context.width}x{context.height} {context.name} at {rate}"
    log.info("camera %s: asked for %s, granted %s", camera, asked, granted)


def explain(camera: str, address: str, error: BaseException | None, cameras: list[Camera]) -> UserError:
    """-> the sentence for a camera that did not open (`error`) or gave no frame in time (None)."""
    number = getattr(error, "errno", None)
    where = camera if camera == address else f"{camera} ({address})"
    if error is None:
        text = f"Camera {where} gave no picture within {FIRST_FRAME_S:g} s: unplug it and plug it in again"
    elif number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        text = f"There is no camera {where}; {cameras_sentence(cameras)}"
    elif number == errno.EBUSY:
        text = f"Camera {where} is in use by another program: close that program"
    elif number in (errno.EACCES, errno.EPERM):
        text = (
            f"Camera {where} may not be opened by this user: add the user to the group video "
            "(sudo usermod -aG video $USER) and log in again"
            if address.startswith("/dev/")
            else f"Camera {where} may not be opened: allow camera access in the system's privacy settings"
        )
    else:
        text = f"Camera {where} could not be opened ({reason(error)}); {cameras_sentence(cameras)}"
    return UserError(text + ".", EXIT_SOURCE)
