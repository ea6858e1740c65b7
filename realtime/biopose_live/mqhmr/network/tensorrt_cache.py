"""Where TensorRT's engines are kept, and what makes one fit: an engine is code for one GPU, one version, one network.

An engine is a file `encoder-<network>-<people>.engine` in the user's cache folder: a line that names the format, the
length of a JSON header, the header (the whole key, the engine's size and SHA-256), the engine.  Nothing of a file is
given to TensorRT before its header fits and its bytes are those that were written.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

import msgspec

MAGIC = b"biopose-live TensorRT engine 1\n"
LARGEST_HEADER = 65_536


class EngineError(Exception):
    """An engine cannot be used; `str(error)` is a clause that says why ("it was built for ...")."""


class Missing(EngineError):
    """There is none yet."""


class Key(msgspec.Struct, frozen=True):
    """What an engine is for; `network`: the start of the SHA-256 of the network's file; shape: the pictures'
    (people, 3, height, width); precision: of its numbers."""

    gpu: str
    capability: tuple[int, int]
    torch: str
    torch_tensorrt: str
    tensorrt: str
    network: str
    shape: tuple[int, int, int, int]
    precision: str


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: Key
    bytes: int
    sha256: str


def cache_folder() -> Path:
    """Of this user; it need not exist."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "biopose-live" / "tensorrt"


def fingerprint(network: Path) -> str:
    """Of a network's file: 1 to 3 seconds for a large one."""
    with network.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def engine_path(key: Key, folder: Path | None = None) -> Path:
    """One file for each network and number of people: an engine that is stale is replaced, not kept beside."""
    return (folder or cache_folder()) / f"encoder-{key.network}-{key.shape[0]}.engine"


def write(key: Key, engine: bytes, folder: Path | None = None) -> Path:
    """-> the file, complete when it appears under its name.  Raises OSError."""
    path = engine_path(key, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    header = msgspec.json.encode(Header(key, len(engine), hashlib.sha256(engine).hexdigest()))
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(MAGIC + len(header).to_bytes(4, "big") + header + engine)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def read(key: Key, folder: Path | None = None) -> bytes:
    """-> the engine.  Raises Missing, and EngineError where it is stale, damaged or cannot be read."""
    path = engine_path(key, folder)
    try:
        with path.open("rb") as file:
            header = _header(file)
            _same(header.key, key)
            engine = file.read()
    except FileNotFoundError:
        raise Missing("none has been built yet") from None
    except OSError as error:
        raise EngineError(f"{path} cannot be read ({error.strerror})") from error
    if len(engine) != header.bytes or hashlib.sha256(engine).hexdigest() != header.sha256:
        raise EngineError(f"the one that is kept, {path}, is damaged")
    return engine


def fits(key: Key, folder: Path | None = None) -> bool:
    """Whether there is an engine whose header fits; its bytes are not looked at."""
    try:
        with engine_path(key, folder).open("rb") as file:
            _same(_header(file).key, key)
    except (OSError, EngineError):
        return False
    return True


def kept(folder: Path | None = None) -> list[tuple[Path, Key]]:
    """All engines that can be read, whether they fit this machine or not."""
    found = []
    for path in sorted((folder or cache_folder()).glob("encoder-*.engine")):
        try:
            with path.open("rb") as file:
                found.append((path, _header(file).key))
        except (OSError, EngineError):
            continue
    return found


def _header(file: BinaryIO) -> Header:
    """From an engine's file, at its start; what follows is the engine."""
    start = file.read(len(MAGIC) + 4)
    length = int.from_bytes(start[len(MAGIC) :], "big")
    if not start.startswith(MAGIC) or len(start) < len(MAGIC) + 4 or length > LARGEST_HEADER:
        raise EngineError("the one that is kept is damaged, or of another version of biopose-live")
    try:
        return msgspec.json.decode(file.read(length), type=Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineError(f"the header of the one that is kept is damaged ({error})") from error


def _same(found: Key, wanted: Key) -> None:
    for name in Key.__struct_fields__:
        if (was := getattr(found, name)) != (now := getattr(wanted, name)):
            raise EngineError(f"the one that is kept was built for {name} {was}, here it is {now}")
