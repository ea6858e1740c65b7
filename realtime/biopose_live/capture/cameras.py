"""The cameras of this machine, for error messages and for the doctor."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import av

from biopose_live.errors import EXIT_SOURCE, UserError

INPUT_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera; `path` is what `--camera` takes."""

    path: str
    name: str
    modes: tuple[str, ...] = ()  # e.g. "MJPG 1280x720 @ 30/15"; empty where the system does not tell


def input_format(platform: str = sys.platform) -> str:
    """-> FFmpeg's name of the camera interface of `platform`; raises UserError where there is none."""
    name = INPUT_FORMATS.get(platform)
    if name is None:
        raise UserError(
            f"Cameras are supported on Linux, macOS and Windows, this is {platform}: use --video or --url.", EXIT_SOURCE
        )
    if not any(name in known.split(",") for known in av.formats_available):
        raise UserError(
            f"The installed PyAV {av.__version__} was built without {name}, so it reads no cameras: "
            "install PyAV from its official wheel, or use --url.",
            EXIT_SOURCE,
        )
    return name


def list_cameras(platform: str = sys.platform) -> list[Camera]:
    """-> the cameras found, in the order of their numbers; raises UserError on an unsupported platform."""
    interface = input_format(platform)
    if interface == "v4l2":
        from biopose_live.capture import v4l2  # its ioctls exist on Linux only

        found = []
        for path, name in v4l2.video_nodes():
            answer = v4l2.query(path)
            if answer is None:
                found.append(Camera(path, name))  # there, but busy or not allowed
            elif answer[0]:
                found.append(Camera(path, name, tuple(str(mode) for mode in answer[1])))
        return found
    from av.device import enumerate_input_devices

    devices = [d for d in enumerate_input_devices(interface) if "video" in d.media_types]
    if interface == "avfoundation":
        return [Camera(d.name, d.description) for d in devices]
    return [Camera(str(number), d.description or d.name) for number, d in enumerate(devices)]


def cameras_sentence(cameras: list[Camera]) -> str:
    """-> what to do now, in words, for the end of an error message."""
    if not cameras:
        return "no camera was found on this machine: connect one, or use --video or --demo"
    return "use --camera with one of " + ", ".join(f"{c.path} ({c.name})" if c.name else c.path for c in cameras)
