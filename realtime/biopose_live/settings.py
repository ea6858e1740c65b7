"""Every setting of a run in one place; the command line and `--config FILE.toml` use the same names.

A field's metadata carries its help text, so that the parser, the README's table and the config reader are made from
this one list.  Dashes on the command line stand for underscores here: `--max-people` is `max_people`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from biopose_live.errors import EXIT_USAGE, UserError

Device = Literal["auto", "cpu", "cuda"]
DetectorModel = Literal["lite", "full", "heavy"]
Kinematics = Literal["auto", "neurik", "ik"]
Switch = Literal["on", "off"]
Engine = Literal["auto", "eager", "cuda-graph", "tensorrt"]

DEFAULT_FOV_DEG = 64.0  # along the longer image side: the middle of webcams (60-78) and phone video modes (58-70)
HEIGHTS = (1.2, 2.3)  # m; the body is an adult's
MASSES_KG = (25.0, 300.0)


def option(default: Any, text: str, group: str = "run") -> Any:
    return field(default=default, metadata={"help": text, "group": group})


@dataclass(slots=True)
class Settings:
    """One run. Exactly one source is set (`camera`, `video`, `url`, `demo` or `replay`)."""

    camera: str | None = option(None, "camera number or device path, e.g. 0 or /dev/video2", "source")
    video: Path | None = option(None, "video file", "source")
    url: str | None = option(None, "network stream: rtsp://… or http://…", "source")
    demo: bool = option(False, "the embedded demo clip", "source")
    replay: Path | None = option(None, "a recorded folder, shown in the browser", "source")
    loop: bool = option(False, "files: play again and again until Ctrl-C", "source")
    every_frame: bool = option(False, "files: process every frame, as fast as possible, nothing dropped", "source")
    duration: float | None = option(None, "stop after this many seconds of video", "source")

    height: float | None = option(None, "subject's height, m: sets the scale of all lengths", "subject")
    mass: float | None = option(None, "subject's mass, kg: the masses of the recorded skeleton add up to it", "subject")
    calibration: Path | None = option(None, "file of `biopose-live calibrate`: the subject's bones, held", "subject")
    max_people: int = option(1, "how many people to track", "subject")

    fov: float | None = option(None, f"field of view along the longer side, degrees ({DEFAULT_FOV_DEG:g})", "view")
    intrinsics: Path | None = option(None, "TOML file with focal and centre (px) of the full frame", "view")
    camera_pitch: float | None = option(
        None, "camera's downward tilt, degrees (estimated when not given; 0 = level)", "view"
    )

    detector: DetectorModel = option("full", "MediaPipe pose model", "models")
    refine_iterations: int = option(2, "2D-informed refinement steps per frame, exactly this many; 0 = off", "models")
    image: Switch = option("on", "look at the picture beside the keypoints (the image network)", "models")
    kinematics: Kinematics = option(
        "auto",
        "how joint angles come from virtual markers: the NeurIK network or inverse kinematics "
        "(auto: neurik, and ik with --skeleton)",
        "models",
    )
    body: Path | None = option(None, "your own SMPL file (.npz or .pkl) instead of the embedded body", "models")
    skeleton: Path | None = option(None, "your own OpenSim model (.osim) instead of the embedded skeleton", "models")
    network: Path | None = option(
        None, "your own paper-size image network (biopose-train mqhmr) instead of the light one", "models"
    )
    device: Device = option("auto", "where the network of --network runs", "models")
    engine: Engine = option("auto", "what runs the network of --network; all but eager need a GPU", "models")

    publish: str = option("tcp://127.0.0.1:5556", "ZeroMQ PUB address, or off", "output")
    record: Path | None = option(None, "folder to record into", "output")
    record_video: bool = option(False, "recordings hold the video too, also those made in the viewer", "output")
    view: str = option(
        "127.0.0.1:8765",
        "where browsers may watch a live run (the next free port from there), https:// before it for TLS, or off",
        "output",
    )
    headless: bool = option(False, "do not open the viewer in a browser", "output")
    config: Path | None = option(None, "TOML file with any of these names", "output")

    def validate(self) -> Settings:
        """-> self; raises UserError with the offending value and what is allowed."""
        sources = [name for name in ("camera", "video", "url", "replay") if getattr(self, name) is not None]
        sources += ["demo"] if self.demo else []
        if len(sources) != 1:
            found = "none was given" if not sources else " and ".join(f"--{s}" for s in sources) + " were given"
            raise UserError(
                f"One source is needed, {found}: use one of --camera, --video, --url, --demo or --replay.", EXIT_USAGE
            )
        if self.every_frame and not (self.video or self.demo):
            raise UserError(
                f"--every-frame works on files, the source is --{sources[0]}: drop one of the two.", EXIT_USAGE
            )
        if self.loop and (self.every_frame or not (self.video or self.demo)):
            raise UserError(
                "--loop plays a file again and again in real time: use it with --video or --demo, without "
                "--every-frame.",
                EXIT_USAGE,
            )
        if self.replay is not None and (self.record is not None or self.view == "off"):
            found = "--record" if self.record is not None else "--view off"
            raise UserError(f"--replay shows a recording in the browser, {found} does not go with it.", EXIT_USAGE)
        if self.record_video and self.record is None and (self.every_frame or self.view == "off"):
            raise UserError("--record-video says what a recording holds: give a folder with --record, too.", EXIT_USAGE)
        if self.height is not None and 100.0 <= self.height <= 250.0:
            raise UserError(f"--height is in metres: for {self.height:g} cm give {self.height / 100.0:g}.", EXIT_USAGE)
        for name, low, high, unit in (
            ("duration", 0.0, None, "s"),
            ("height", *HEIGHTS, "m"),
            ("mass", *MASSES_KG, "kg"),
            ("fov", 10.0, 170.0, "degrees"),
            ("camera_pitch", -90.0, 90.0, "degrees"),
            ("max_people", 1, 16, ""),
            ("refine_iterations", 0, 100, ""),
        ):
            value = getattr(self, name)
            if value is None:
                continue
            if not (value >= low and (high is None or value <= high)):
                bounds = f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
                raise UserError(
                    f"--{name.replace('_', '-')} must be {bounds} {unit}".rstrip() + f", not {value:g}.", EXIT_USAGE
                )
        if self.fov is not None and self.intrinsics is not None:
            raise UserError("--fov and --intrinsics both set the focal length: give one of them.", EXIT_USAGE)
        if self.network is not None and self.image == "off":
            raise UserError("--network looks at the picture and --image is off: drop one of the two.", EXIT_USAGE)
        if self.network is None and (self.device == "cuda" or self.engine != "auto"):
            found = "--device cuda" if self.device == "cuda" else f"--engine {self.engine}"
            raise UserError(
                f"{found} is for the network of --network, and none was given: drop it, all else runs on the CPU.",
                EXIT_USAGE,
            )
        if self.network is not None and self.device == "cpu" and self.engine in ("cuda-graph", "tensorrt"):
            raise UserError(f"--engine {self.engine} needs a GPU and --device is cpu: drop one of the two.", EXIT_USAGE)
        if self.kinematics == "neurik" and self.skeleton is not None:
            raise UserError(
                f"NeurIK was trained for the embedded skeleton and the run's is {self.skeleton}: use --kinematics ik.",
                EXIT_USAGE,
            )
        if self.calibration is not None and self.height is not None:
            raise UserError("--height and --calibration both set the subject's size: give one of them.", EXIT_USAGE)
        if self.calibration is not None and self.max_people > 1:
            raise UserError(
                f"--calibration is one person's and --max-people is {self.max_people}: drop one of the two.", EXIT_USAGE
            )
        return self

    @property
    def angles_by(self) -> Literal["neurik", "ik"]:
        """What `kinematics` comes to in this run."""
        if self.kinematics == "auto":
            return "neurik" if self.skeleton is None else "ik"
        return self.kinematics


OPTION_NAMES = tuple(f.name for f in fields(Settings))
