"""Reads a recording folder back, also one whose last message a crash or a full disk cut short."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from biopose_client import schema
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.sinks.msgpack_stream import NotMessagePack, split

META_FILE = "meta.json"
FRAMES_FILE = "frames.msgpack"
SESSION_FILE = "session.json"

decoder = msgspec.msgpack.Decoder(schema.Pose)
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what it raises


class Recording:
    """A folder that `--record` wrote.  Iterating gives its `schema.Pose` messages in order, any number of times.

    `meta` is the session's meta message, `settings` the run's settings by name.  After an iteration `damage` says
    where the stream stopped making sense, or is None when it was whole; messages before the damage are all given.
    Raises UserError (source) when the folder is not a recording or was written by another major schema version.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.damage: str | None = None
        try:
            raw = (self.folder / META_FILE).read_bytes()
        except OSError as error:
            raise UserError(
                f"{self.folder} is no recording: its {META_FILE} cannot be read ({error.strerror}).", EXIT_SOURCE
            ) from error
        try:
            self.settings: dict[str, Any] = msgspec.json.decode(raw, type=_SettingsOnly).settings
            self.meta = msgspec.json.decode(raw, type=schema.Meta)
        except UNDECODABLE as error:
            raise UserError(
                f"{self.folder / META_FILE} does not describe a recording ({error}).", EXIT_SOURCE
            ) from error
        if self.meta.v.split(".")[0] != schema.VERSION.split(".")[0]:
            raise UserError(
                f"{self.folder} holds schema {self.meta.v}, this program reads {schema.VERSION}: use the version that "
                f"recorded it.",
                EXIT_SOURCE,
            )

    def __iter__(self) -> Iterator[schema.Pose]:
        self.damage = None
        path = self.folder / FRAMES_FILE
        read = 0
        count = 0
        try:
            with path.open("rb") as stream:
                for message in split(stream):
                    yield decoder.decode(message)
                    read += len(message)
                    count += 1
                size = stream.tell()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}).", EXIT_SOURCE) from error
        except (NotMessagePack, *UNDECODABLE) as error:
            self.damage = f"{path.name} makes no sense after {count} frames ({read} bytes): {error}"
            return
        if size > read:
            self.damage = f"{path.name} ends inside a message after {count} frames ({read} of {size} bytes)"


class _SettingsOnly(msgspec.Struct):
    settings: dict[str, Any]


def whole_messages(path: Path) -> tuple[int, int]:
    """-> how many whole messages `path` begins with, and how many bytes they take."""
    count = length = 0
    with path.open("rb") as stream, contextlib.suppress(NotMessagePack):
        for message in split(stream):
            count += 1
            length += len(message)
    return count, length
