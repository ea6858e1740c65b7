"""The page's pure modules: types that follow the Python schema, type check, and node's own test runner.

MessagePack is judged by what msgspec writes, messages by what the publisher's `pack` writes.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from fake_server import walk

from biopose_client.schema import Health, StageHealth, pack
from biopose_live.body.model import BodyModel
from biopose_live.sinks.viewer.body_mesh import packed_mesh

WEB = Path(__file__).parents[2] / "clients" / "web"
SOURCES = sorted((WEB / "src").glob("*.ts"))


@pytest.mark.parametrize("generator", ["schema_types.py", "coordinate_ranges.py"])
def test_generated_files_follow_their_source(generator: str) -> None:
    done = subprocess.run([sys.executable, str(WEB / generator), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_wire_struct_has_its_types() -> None:
    from biopose_client import schema

    text = (WEB / "src" / "schema.ts").read_text()
    structs = {
        name for name, kind in vars(schema).items() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    }
    structs -= {"_VersionOnly"}
    assert {name for name in structs if f"export interface {name} {{" in text} == structs


def test_type_check(node: str) -> None:
    done = subprocess.run(
        [node, "node_modules/typescript/bin/tsc", "--noEmit"], cwd=WEB, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_nothing_is_fetched_from_elsewhere(page_folder: Path) -> None:
    page = (page_folder / "index.html").read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [name for name in named if not name.startswith(("/assets/", "#"))] == []
    for name in named:
        if name.startswith("/"):
            assert (page_folder / name[1:]).is_file()
    for source in [*SOURCES, WEB / "src" / "index.html", WEB / "src" / "page.css"]:
        assert not re.search(r"https?://", source.read_text()), source.name


def test_unit_tests(node: str, tmp_path: Path) -> None:
    meta, poses = walk()
    (tmp_path / "cases.json").write_text(json.dumps([_case(value) for value in _values()]))
    (tmp_path / "meta.json").write_bytes(msgspec.json.encode(meta))
    (tmp_path / "poses.json").write_bytes(msgspec.json.encode(poses))
    pose = msgspec.to_builtins(poses[0])
    health = Health("s", 1, 30.0, 20.0, 30.0, 5, 5, 0, [StageHealth("capture", True, 0, 30.0, 1.0, 2.0)])
    messages = {
        "pose": pack(poses[0]),
        "meta": pack(meta),
        "health": pack(health),
        "newer": b"pose " + msgspec.msgpack.encode(pose | {"v": "1.9", "weather": "fine"}),
        "other": b"pose " + msgspec.msgpack.encode(pose | {"v": "2.0"}),
    }
    (tmp_path / "messages.json").write_text(json.dumps({name: raw.hex() for name, raw in messages.items()}))
    surface, expected = posed_surface()
    (tmp_path / "surface.bin").write_bytes(surface)
    (tmp_path / "surface.json").write_text(json.dumps(expected))
    given = {
        "SURFACE_BIN": "surface.bin",
        "SURFACE_JSON": "surface.json",
        "MSGPACK_CASES": "cases.json",
        "META_JSON": "meta.json",
        "POSES_JSON": "poses.json",
        "MESSAGES_HEX": "messages.json",
    }
    done = subprocess.run(
        [node, "unit_tests.mjs"],
        cwd=WEB,
        env=os.environ | {name: str(tmp_path / file) for name, file in given.items()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"pass (\d+)", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 35
    assert re.search(r"skipped 0\b", done.stdout)


def posed_surface() -> tuple[bytes, dict[str, Any]]:
    """-> the packed surface, a pose, and where the body model has some of its vertices then."""
    rng = np.random.default_rng(7)
    theta, betas, place = rng.normal(0, 0.4, (24, 3)), rng.normal(0, 1, 10), [0.4, -0.1, 3.0]
    theta[5] = 0.0
    vertices = BodyModel.load().forward(theta, betas, np.array(place)).vertices
    assert vertices is not None
    numbers = rng.choice(len(vertices), 400, replace=False)
    pose = {"theta": theta.tolist(), "betas": betas.tolist(), "translation": place}
    return packed_mesh(None), {**pose, "numbers": numbers.tolist(), "vertices": vertices[numbers].tolist()}


def _values() -> list[Any]:
    """Every kind and every width of length, then nested ones made at random."""
    edges = [1 << bits for bits in (0, 5, 7, 8, 15, 16, 31, 32, 52, 53, 62)]
    values: list[Any] = [None, True, False, "", "ä漢𝄞", b"", b"\x00\xff", 0.1, -1.5e-300, 2.5]
    values += [sign * (edge + step) for edge in edges for step in (-1, 0, 1) for sign in (1, -1)]
    values += [2**64 - 1, -(2**63)]
    for length in (1, 15, 16, 31, 32, 255, 256, 65535, 65536):
        values += ["x" * length, b"y" * length]
    for length in (0, 15, 16, 300, 65536):
        values += [[1] * length, {f"k{i}": i for i in range(length)}]
    rng = random.Random(5)
    values += [_nested(rng, 4) for _ in range(150)]
    return values


def _nested(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(8 if depth else 6)
    if kind == 0:
        return rng.randrange(-(2**63), 2**64)
    if kind == 1:
        return rng.uniform(-1e6, 1e6)
    if kind == 2:
        return "".join(
            chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x100, 0x800)])) for _ in range(rng.randrange(40))
        )
    if kind == 3:
        return rng.randbytes(rng.randrange(40))
    if kind in (4, 5):
        return rng.choice([None, True, False, rng.randrange(-200, 70000)])
    if kind == 6:
        return [_nested(rng, depth - 1) for _ in range(rng.randrange(20))]
    return {f"key {i}": _nested(rng, depth - 1) for i in range(rng.randrange(20))}


def _case(value: Any) -> dict[str, Any]:
    return {"packed": msgspec.msgpack.encode(value).hex(), "json": _plain(value)}


def _plain(value: Any) -> Any:
    """As the test in TypeScript writes it: integers as text, so that JSON cannot round them."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    if isinstance(value, float):
        return value
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {"map": [[key, _plain(item)] for key, item in value.items()]}
