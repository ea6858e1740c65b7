"""The build step, on small networks made with MediaPipe's own schema modules; nothing is fetched."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import struct
import sys
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import flatbuffers
import numpy as np
import pytest
from mediapipe.tasks.metadata import metadata_schema_py_generated as described
from mediapipe.tasks.metadata import schema_py_generated as tflite

SCRIPT = Path(__file__).resolve().parents[2] / "realtime" / "build_models.py"


@pytest.fixture
def build_models() -> ModuleType:
    """The script, loaded as hatchling loads a hook: by path, not entered among the imported modules."""
    spec = importlib.util.spec_from_file_location("build_models", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def network(outputs: int = 2, weights: bytes = b"\x01\x02\x03\x04" * 5, with_metadata: bool = False) -> bytes:
    model = tflite.ModelT()
    model.version = 3
    model.description = "a small network"
    operator = tflite.OperatorCodeT()
    operator.builtinCode = 9
    model.operatorCodes = [operator]
    tensor = tflite.TensorT()
    tensor.shape, tensor.name, tensor.buffer = [1, 4], b"weights", 1
    graph = tflite.SubGraphT()
    graph.tensors = [tensor] * (outputs + 1)
    graph.inputs, graph.outputs = [0], list(range(1, outputs + 1))
    model.subgraphs = [graph]
    empty, full = tflite.BufferT(), tflite.BufferT()
    full.data = list(weights)
    model.buffers = [empty, full]
    if with_metadata:
        entry = tflite.MetadataT()
        entry.name, entry.buffer = "min_runtime_version", 1
        model.metadata = [entry]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def read(data: bytes) -> tflite.ModelT:
    return tflite.ModelT.InitFromObj(tflite.Model.GetRootAsModel(bytearray(data), 0))


@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("tail", range(4))
def test_metadata_reads_back_and_the_network_is_unchanged(build_models, outputs: int, tail: int) -> None:
    original = network(outputs, b"\x07" * (20 + tail))
    data = build_models.with_metadata(original, 127.5, 64.0)
    before, after = read(original), read(data)
    assert after.version == 3
    assert after.description == before.description
    assert after.operatorCodes[0].builtinCode == 9
    assert len(after.buffers) == len(before.buffers) + 1
    np.testing.assert_array_equal(after.buffers[1].data, before.buffers[1].data)
    assert list(after.subgraphs[0].outputs) == list(before.subgraphs[0].outputs)
    assert [t.name for t in after.subgraphs[0].tensors] == [t.name for t in before.subgraphs[0].tensors]
    (entry,) = after.metadata
    assert entry.name == b"TFLITE_METADATA"
    blob = bytes(bytearray(after.buffers[entry.buffer].data))
    assert described.ModelMetadata.ModelMetadataBufferHasIdentifier(blob, 0)
    (graph,) = described.ModelMetadataT.InitFromObj(
        described.ModelMetadata.GetRootAsModelMetadata(blob, 0)
    ).subgraphMetadata
    (image,) = graph.inputTensorMetadata
    (process,) = image.processUnits
    assert list(process.options.mean) == [127.5]
    assert list(process.options.std) == [64.0]
    assert image.content.contentProperties.colorSpace == described.ColorSpaceType.RGB
    assert len(graph.outputTensorMetadata) == outputs


def test_metadata_that_was_there_stays(build_models) -> None:
    after = read(build_models.with_metadata(network(with_metadata=True), 0.0, 255.0))
    assert [entry.name for entry in after.metadata] == [b"min_runtime_version", b"TFLITE_METADATA"]
    assert [entry.buffer for entry in after.metadata] == [1, 2]


def test_what_is_no_network_is_refused(build_models) -> None:
    with pytest.raises(ValueError, match="not a TensorFlow Lite file"):
        build_models.with_metadata(b"PK\x03\x04" * 10, 0.0, 1.0)


def test_a_bundle_is_stored_aligned_and_always_the_same(build_models) -> None:
    one, two = network(1), network(3, b"\x09" * 77)
    data = build_models.bundle(one, two)
    assert data == build_models.bundle(one, two)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["pose_detector.tflite", "pose_landmarks_detector.tflite"]
        assert archive.read("pose_detector.tflite") == one
        assert archive.read("pose_landmarks_detector.tflite") == two
        for entry in archive.infolist():
            assert entry.compress_type == zipfile.ZIP_STORED
            name, extra = struct.unpack_from("<HH", data, entry.header_offset + 26)
            assert (entry.header_offset + 30 + name + extra) % 16 == 0


class Registry:
    """Stands in for pip and npm: hands out a wheel and a tarball with small networks."""

    def __init__(self, build_models: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fetched: list[str] = []
        files = {name: network(2, name.encode() * 9) for name in ("detector", "lite", "full", "heavy")}
        self.wheel = {build_models.DETECTOR.member: files["detector"]}
        self.tarball = {n.member: files[v] for v, n in build_models.LANDMARKS.items()}

        def digest(data: bytes) -> str:
            return hashlib.sha256(data).hexdigest()

        monkeypatch.setattr(build_models, "DETECTOR", build_models.DETECTOR._replace(sha256=digest(files["detector"])))
        marks = {v: n._replace(sha256=digest(files[v])) for v, n in build_models.LANDMARKS.items()}
        monkeypatch.setattr(build_models, "LANDMARKS", marks)
        monkeypatch.setattr(
            build_models, "FETCHERS", {build_models.PIP_PACKAGE: self.pip, build_models.NPM_PACKAGE: self.npm}
        )

    def pip(self, package: str, folder: Path) -> None:
        self.fetched.append(package)
        with zipfile.ZipFile(folder / "some.whl", "w") as wheel:
            for name, data in self.wheel.items():
                wheel.writestr(name, data)

    def npm(self, package: str, folder: Path) -> None:
        self.fetched.append(package)
        with tarfile.open(folder / "some.tgz", "w:gz") as tarball:
            for name, data in self.tarball.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tarball.addfile(entry, io.BytesIO(data))


@pytest.fixture
def registry(build_models, monkeypatch) -> Registry:
    return Registry(build_models, monkeypatch)


def test_three_bundles_are_built_once_and_the_cache_serves_the_next_tree(build_models, registry, tmp_path) -> None:
    paths = build_models.build(tmp_path / "a", tmp_path / "cache")
    assert [path.name for path in paths] == ["pose_lite.task", "pose_full.task", "pose_heavy.task"]
    assert registry.fetched == [build_models.PIP_PACKAGE, build_models.NPM_PACKAGE]
    first = [path.read_bytes() for path in paths]
    assert len(set(first)) == 3
    again = build_models.build(tmp_path / "b", tmp_path / "cache")
    assert [path.read_bytes() for path in again] == first
    build_models.build(tmp_path / "a", tmp_path / "no cache")
    assert len(registry.fetched) == 2
    assert sorted(path.suffix for path in (tmp_path / "a").iterdir()) == [".task", ".task", ".task", ".txt"]


def test_a_removed_or_stale_bundle_is_made_again(build_models, registry, tmp_path, monkeypatch) -> None:
    paths = build_models.build(tmp_path / "a", tmp_path / "cache")
    expected = paths[1].read_bytes()
    paths[1].unlink()
    build_models.build(tmp_path / "a", tmp_path / "cache")
    assert paths[1].read_bytes() == expected
    paths[1].write_bytes(b"old")
    monkeypatch.setattr(build_models, "LAYOUT", "another")
    build_models.build(tmp_path / "a", tmp_path / "cache")
    assert paths[1].read_bytes() == expected


def test_a_damaged_cache_is_fetched_again(build_models, registry, tmp_path) -> None:
    build_models.build(tmp_path / "a", tmp_path / "cache")
    (tmp_path / "cache" / build_models.DETECTOR.cached).write_bytes(b"half a")
    build_models.build(tmp_path / "b", tmp_path / "cache")
    assert registry.fetched == [build_models.PIP_PACKAGE, build_models.NPM_PACKAGE, build_models.PIP_PACKAGE]


def test_another_file_than_pinned_builds_nothing(build_models, registry, tmp_path) -> None:
    registry.tarball[build_models.LANDMARKS["full"].member] = network(2, b"other")
    with pytest.raises(
        build_models.BuildError, match=r"pose_landmark_full\.tflite .* has SHA-256 .* nothing was built"
    ):
        build_models.build(tmp_path / "a", tmp_path / "cache")
    assert not (tmp_path / "a").exists()


def test_a_package_without_the_network_builds_nothing(build_models, registry, tmp_path) -> None:
    registry.wheel = {"readme.txt": b""}
    with pytest.raises(build_models.BuildError, match=r"holds no .*pose_detection\.tflite"):
        build_models.build(tmp_path / "a", tmp_path / "cache")


def test_a_failed_download_is_one_sentence(build_models, tmp_path) -> None:
    fail = [sys.executable, "-c", "import sys; print('working'); sys.exit('ERROR: no such host\\nERROR: gave up')"]
    with pytest.raises(build_models.BuildError) as caught:
        build_models._run("the npm package x@1", fail, tmp_path)
    assert str(caught.value) == (
        "The pose models come with the npm package x@1, which could not be fetched "
        "(ERROR: no such host; ERROR: gave up): check the network and the package index that pip and npm use, "
        "then build again."
    )


def test_without_any_npm_the_remedy_is_named(build_models, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(build_models, "npm_command", lambda: None)
    with pytest.raises(build_models.BuildError, match="no npm was found: install Node"):
        build_models._fetch_npm(build_models.NPM_PACKAGE, tmp_path)


def test_a_build_asks_for_an_npm_only_where_there_is_none(build_models, monkeypatch) -> None:
    monkeypatch.setattr(build_models.shutil, "which", lambda name: "/usr/bin/npm")
    assert build_models.NPM_WHEEL not in build_models.build_requirements()
    monkeypatch.setattr(build_models.shutil, "which", lambda name: None)
    assert build_models.NPM_WHEEL in build_models.build_requirements()
