"""The recording folder of `--record`.

`meta.json` (the meta message and the settings), `frames.msgpack` (pose messages one after another), one set of OpenSim
files for each person, and at the end `session.json` (counts, rates, times).  A full or broken disk ends the recording,
not the run: what was recorded stays readable and `problem` says what happened.
"""

from __future__ import annotations

import json
import logging
import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from biopose_client.schema import Meta, Pose
from biopose_live.errors import EXIT_SINK, UserError
from biopose_live.neurik.person_file import read_person_file
from biopose_live.sinks.frames_file import FramesFile
from biopose_live.sinks.person_files import PersonFiles, PersonReport
from biopose_live.sinks.recording import FRAMES_FILE, META_FILE, SESSION_FILE, Recording
from biopose_live.skeleton.choice import load_skeleton
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.mass import with_mass

if TYPE_CHECKING:
    from biopose_live.pipeline.metrics import Summary

log = logging.getLogger(__name__)

OPEN_SETS = 16  # people whose files are open at once; the one not seen for longest makes room


class Recorder:
    """Writes one recording.

    Raises UserError (sink) when the folder is not empty, unless the same session began it (its process was restarted:
    it is continued), or when it cannot be made.  Later failures never raise: they end the recording and set `problem`.
    """

    def __init__(self, folder: Path, meta: Meta, settings: dict[str, Any]) -> None:
        self.folder = folder
        self.problem: str | None = None
        self._people: OrderedDict[int, PersonFiles] = OrderedDict()
        self._reports: list[PersonReport] = []
        self._first_capture: int | None = None
        self._first_person: int | None = None
        continued = _prepare(folder, meta.session)
        given = settings.get("skeleton")
        model = load_skeleton(None if given is None else Path(given))
        mass = settings.get("mass")
        if mass is None and settings.get("calibration") is not None:
            mass = read_person_file(Path(settings["calibration"])).mass
        if mass is not None:
            model = with_mass(model, mass)
        self._kinematics = Kinematics(model)
        self._kinematics.markers(model.default_pose(), np.ones((len(model.bodies), 3)))  # compiles before frames come
        try:
            if not continued:
                content = {**msgspec.to_builtins(meta), "settings": settings}
                (folder / META_FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
            self._frames = FramesFile(folder / FRAMES_FILE)
            if continued:  # one zero of time for the whole recording
                first = next(iter(Recording(folder)), None)
                self._first_capture = None if first is None else first.t_capture
        except OSError as error:
            raise UserError(
                f"Nothing can be recorded into {folder} ({error.strerror}): give another folder with --record.",
                EXIT_SINK,
            ) from error

    def write(self, pose: Pose, packed: bytes) -> None:
        """Records one frame; `packed` is the pose as MessagePack without topic."""
        if self.problem is not None:
            return
        if self._first_capture is None:
            self._first_capture = pose.t_capture
        time_s = (pose.t_capture - self._first_capture) / 1e9
        try:
            self._frames.append(packed)
            self._frames.flush_if_due(time.monotonic_ns())
            for person in pose.people:
                self._files_of(person.id).append(time_s, person)
        except (OSError, UserError) as error:
            self._give_up(error)

    def _files_of(self, person_id: int) -> PersonFiles:
        if person_id not in self._people:
            if len(self._people) >= OPEN_SETS:
                _, oldest = self._people.popitem(last=False)
                self._finish(oldest)
            if self._first_person is None:
                self._first_person = person_id
            plain = person_id == self._first_person
            self._people[person_id] = PersonFiles(self.folder, person_id, plain, self._kinematics)
        self._people.move_to_end(person_id)
        return self._people[person_id]

    def _finish(self, files: PersonFiles) -> None:
        try:
            files.complete()
        finally:
            self._reports.append(files.close())

    def idle(self) -> None:
        """Call several times a second: writes what waits when it is due."""
        if self.problem is None:
            try:
                self._frames.flush_if_due(time.monotonic_ns())
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError | UserError) -> None:
        self._frames.discard()
        reason = error.strerror if isinstance(error, OSError) else str(error).rstrip(".")
        self.problem = (
            f"Recording into {self.folder} stopped after {self._frames.messages} frames ({reason}): what was recorded "
            f"until then is kept and readable; free some space before the next run."
        )
        log.warning("%s", self.problem)

    def close(self, summary: Summary) -> None:
        """Completes every file and writes `session.json`; called once."""
        if self.problem is None:
            try:
                self._frames.flush()
                for files in self._people.values():
                    files.complete()
            except (OSError, UserError) as error:
                self._give_up(error)
        self._frames.close()
        self._reports += [files.close() for files in self._people.values()]
        content: dict[str, Any] = msgspec.to_builtins(summary)
        problems = [text for text in (*summary.problems, self.problem) if text is not None]
        content |= {"frames": self._frames.messages, "people": msgspec.to_builtins(self._reports)}
        content["problems"] = list(dict.fromkeys(problems))
        try:
            (self.folder / SESSION_FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            if self.problem is None:
                self._give_up(error)


def _prepare(folder: Path, session: str) -> bool:
    """Makes the folder; -> whether this session began a recording there before.  Raises UserError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = next(folder.iterdir(), None) is None
    except OSError as error:
        raise UserError(
            f"The recording folder {folder} cannot be made ({error.strerror}): give another one with --record.",
            EXIT_SINK,
        ) from error
    if empty:
        return False
    if _session_of(folder) == session:
        return True
    raise UserError(
        f"The recording folder {folder} is not empty and nothing is overwritten: give a new folder with --record.",
        EXIT_SINK,
    )


def _session_of(folder: Path) -> str | None:
    """-> the session whose recording lies in `folder`, None when there is none that can be told."""

    class SessionOnly(msgspec.Struct):
        session: str

    try:
        return msgspec.json.decode((folder / META_FILE).read_bytes(), type=SessionOnly).session
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
