"""What Video4Linux devices say about themselves: names, capabilities and modes, by the kernel's own ioctls.

Numbers and layouts are those of the kernel's userspace interface, include/uapi/linux/videodev2.h.
"""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys/class/video4linux")

VIDIOC_QUERYCAP = 0x80685600
VIDIOC_ENUM_FMT = 0xC0405602
VIDIOC_ENUM_FRAMESIZES = 0xC02C564A
VIDIOC_ENUM_FRAMEINTERVALS = 0xC034564B
CAPABILITY_SIZE = 104  # driver[16] card[32] bus[32] version capabilities device_caps reserved[3]
FORMAT_SIZE = 64  # index type flags description[32] pixelformat mbus_code reserved[3]
FRAME_SIZE_SIZE = 44  # index pixel_format type union(24) reserved[2]
FRAME_INTERVAL_SIZE = 52  # index pixel_format width height type union(24) reserved[2]
CAP_VIDEO_CAPTURE = 0x1
CAP_DEVICE_CAPS = 0x80000000
BUF_TYPE_VIDEO_CAPTURE = 1
DISCRETE = 1
MOST_ENTRIES = 64  # a driver that never ends its list must not hold us


@dataclass(frozen=True, slots=True)
class Mode:
    """One way a camera can deliver; `rates` in frames/s, empty when the driver gives a range."""

    fourcc: str
    width: int
    height: int
    rates: tuple[float, ...]

    def __str__(self) -> str:
        rates = "/".join(f"{rate:g}" for rate in self.rates)
        return f"{self.fourcc} {self.width}x{self.height}" + (f" @ {rates}" if rates else "")


def video_nodes(sysfs: Path = SYSFS) -> list[tuple[str, str]]:
    """-> [(device path, name)] of all Video4Linux nodes, by number."""
    found = []
    for entry in sysfs.glob("video*") if sysfs.is_dir() else []:
        number = entry.name.removeprefix("video")
        if number.isdigit():
            name = entry / "name"
            found.append((int(number), name.read_text(errors="replace").strip() if name.is_file() else ""))
    return [(f"/dev/video{number}", name) for number, name in sorted(found)]


def query(path: str) -> tuple[bool, tuple[Mode, ...]] | None:
    """-> (gives pictures, its modes); None when the device cannot be asked (busy, not allowed, gone)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        answer = _ask(descriptor, VIDIOC_QUERYCAP, bytes(CAPABILITY_SIZE))
        if answer is None:
            return None
        captures = captures_video(answer)
        return captures, tuple(_modes(descriptor)) if captures else ()
    finally:
        os.close(descriptor)


def captures_video(capability: bytes) -> bool:
    """-> whether a struct v4l2_capability describes a node that delivers pictures (not metadata, output or codecs)."""
    capabilities, device_caps = struct.unpack_from("=2I", capability, 84)
    return bool((device_caps if capabilities & CAP_DEVICE_CAPS else capabilities) & CAP_VIDEO_CAPTURE)


def _ask(descriptor: int, request: int, question: bytes) -> bytes | None:
    try:
        return fcntl.ioctl(descriptor, request, question)
    except OSError:
        return None  # the end of every list is an error (EINVAL)


def _modes(descriptor: int) -> list[Mode]:
    modes = []
    for index in range(MOST_ENTRIES):
        question = struct.pack("=2I", index, BUF_TYPE_VIDEO_CAPTURE).ljust(FORMAT_SIZE, b"\0")
        answer = _ask(descriptor, VIDIOC_ENUM_FMT, question)
        if answer is None:
            break
        (pixel_format,) = struct.unpack_from("=I", answer, 44)
        for width, height in _sizes(descriptor, pixel_format):
            modes.append(
                Mode(fourcc(pixel_format), width, height, tuple(_rates(descriptor, pixel_format, width, height)))
            )
    return modes


def fourcc(code: int) -> str:
    """-> the four characters of a pixel format, e.g. MJPG."""
    return struct.pack("=I", code & 0x7FFFFFFF).decode("ascii", "replace").strip()


def _sizes(descriptor: int, pixel_format: int) -> list[tuple[int, int]]:
    sizes = []
    for index in range(MOST_ENTRIES):
        question = struct.pack("=2I", index, pixel_format).ljust(FRAME_SIZE_SIZE, b"\0")
        answer = _ask(descriptor, VIDIOC_ENUM_FRAMESIZES, question)
        if answer is None:
            break
        (kind,) = struct.unpack_from("=I", answer, 8)
        if kind != DISCRETE:
            _, widest, _, _, highest, _ = struct.unpack_from("=6I", answer, 12)
            return [(widest, highest)]
        sizes.append(struct.unpack_from("=2I", answer, 12))
    return sizes


def _rates(descriptor: int, pixel_format: int, width: int, height: int) -> list[float]:
    rates = []
    for index in range(MOST_ENTRIES):
        question = struct.pack("=4I", index, pixel_format, width, height).ljust(FRAME_INTERVAL_SIZE, b"\0")
        answer = _ask(descriptor, VIDIOC_ENUM_FRAMEINTERVALS, question)
        if answer is None:
            break
        kind, numerator, denominator = struct.unpack_from("=3I", answer, 16)
        if kind != DISCRETE:
            return []
        rates.append(round(denominator / numerator, 2) if numerator else 0.0)
    return rates
