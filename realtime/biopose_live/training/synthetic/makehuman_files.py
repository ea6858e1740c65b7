"""Readers for MakeHuman's asset files: Wavefront .obj meshes, .mhclo fittings, .mhmat materials and textures.

A .mhclo file hangs each vertex of a garment on three vertices of the 19,158-vertex base mesh: three barycentric weights
and an offset along the base mesh's axes, in decimetres, scaled by how much the wearer's body differs from the base mesh
along each axis (MakeHuman's "proxy" file format). Every reader raises `UserError` with a sentence when a file does not
hold what the format promises.

Dimension letters: V vertices, F triangles, G garment vertices.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from biopose_live.errors import EXIT_MODEL, UserError

TEXTURE_SIZE = 512


@dataclass(frozen=True)
class ObjMesh:
    """A triangulated mesh. Quadrilaterals are split along their first diagonal."""

    vertices: np.ndarray  # [V, 3] float64, the file's units
    faces: np.ndarray  # [F, 3] int32
    uv: np.ndarray  # [F, 3, 2] float32, origin at the texture's bottom left; zeros where the file has none
    groups: dict[str, np.ndarray]  # group name -> ids of its triangles


@dataclass(frozen=True)
class Fitting:
    """A parsed .mhclo file: how a garment of G vertices hangs on the base mesh."""

    name: str
    obj_file: Path
    material_file: Path | None
    references: np.ndarray  # [G, 3] int32 base-mesh vertices
    barycentric: np.ndarray  # [G, 3] float64, rows sum to about one
    offsets: np.ndarray  # [G, 3] float64, base-mesh axes and units, before scaling
    scales: dict[int, tuple[int, int, float]]  # axis (0 x, 1 y, 2 z) -> two base vertices, their distance on the base
    hidden: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # base vertices under the garment


@dataclass(frozen=True)
class Material:
    """What is used of a .mhmat file: the diffuse texture, whether alpha cuts it out, whether both sides are seen."""

    texture_file: Path
    transparent: bool
    two_sided: bool


def _lines(path: Path, what: str) -> Iterator[tuple[int, list[str]]]:
    """Numbered, split lines without comments and blank lines."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as problem:
        raise UserError(
            f"The {what} {path} cannot be read ({problem.strerror}); check the assets folder.", EXIT_MODEL
        ) from problem
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if words:
            yield number, words


def _bad(path: Path, number: int, expected: str, words: list[str]) -> UserError:
    found = " ".join(words)[:60]
    return UserError(f'{path}, line {number}: expected {expected}, found "{found}"; repair the file.', EXIT_MODEL)


def read_obj(path: Path) -> ObjMesh:
    """Read the v, vt, g and f records of a Wavefront file. Raises UserError for malformed or dangling records."""
    vertices: list[list[float]] = []
    coordinates: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    corners: list[tuple[int, int, int]] = []
    members: dict[str, list[int]] = {}
    group = "default"
    for number, words in _lines(path, "mesh"):
        kind, rest = words[0], words[1:]
        try:
            if kind == "v":
                vertices.append([float(x) for x in rest[:3]])
            elif kind == "vt":
                coordinates.append([float(x) for x in rest[:2]])
            elif kind == "g" and rest:
                group = rest[0]
            elif kind == "f":
                pairs = [[*w.split("/"), ""][:2] for w in rest]
                v = [int(p[0]) - 1 for p in pairs]
                t = [int(p[1]) - 1 if p[1] else -1 for p in pairs]
                if len(v) < 3 or min(v) < 0:
                    raise ValueError
                for i in range(1, len(v) - 1):
                    members.setdefault(group, []).append(len(faces))
                    faces.append((v[0], v[i], v[i + 1]))
                    corners.append((t[0], t[i], t[i + 1]))
        except ValueError:
            raise _bad(path, number, f"numbers after '{kind}'", words) from None
    if not vertices or not faces or any(len(v) != 3 for v in vertices):
        raise UserError(f"The mesh {path} has no faces or incomplete vertices; give a whole .obj file.", EXIT_MODEL)
    f, c = np.array(faces, np.int64), np.array(corners, np.int64)
    if not np.isfinite(vertices).all():
        raise UserError(f"The mesh {path} has a vertex that is not finite; repair the file.", EXIT_MODEL)
    if f.max() >= len(vertices) or c.max() >= len(coordinates):
        raise UserError(
            f"The mesh {path} has {len(vertices)} vertices and {len(coordinates)} texture coordinates, but a face "
            f"names number {max(f.max(), c.max()) + 1}; repair the file.",
            EXIT_MODEL,
        )
    table = np.array([*coordinates, [0.0, 0.0]], np.float32)
    return ObjMesh(np.array(vertices), f, table[c], {name: np.array(ids, np.int32) for name, ids in members.items()})


def read_mhclo(path: Path) -> Fitting:
    """Read a garment's fitting. Raises UserError when a record is malformed or no mesh or vertices are named."""
    rows: list[list[float]] = []
    scales: dict[int, tuple[int, int, float]] = {}
    hidden: list[np.ndarray] = []
    names: dict[str, str] = {}
    section = ""
    for number, words in _lines(path, "garment"):
        key = words[0]
        try:
            if key in ("x_scale", "y_scale", "z_scale"):
                scales["xyz".index(key[0])] = (int(words[1]), int(words[2]), float(words[3]))
            elif key in ("name", "obj_file", "material"):
                names[key] = words[1]
            elif key in ("verts", "delete_verts"):
                section = key
            elif section == "verts" and len(words) in (1, 9):
                rows.append([float(w) for w in words])
            elif section == "delete_verts":
                hidden.append(_vertex_ranges(words))
            elif section == "verts" and key.lstrip("-").replace(".", "", 1).isdigit():
                raise ValueError
        except (ValueError, IndexError):
            raise _bad(path, number, "1 or 9 numbers per vertex, or numbers after a key", words) from None
    if "obj_file" not in names or not rows:
        raise UserError(f"The garment {path} names no obj_file or lists no vertices; give a .mhclo file.", EXIT_MODEL)
    full = np.array([r if len(r) == 9 else [r[0], r[0], r[0], 1.0, 0.0, 0.0, 0.0, 0.0, 0.0] for r in rows])
    ids = [full[:, :3].ravel(), *hidden, np.array([v for pair in scales.values() for v in pair[:2]])]
    numbers = np.concatenate([full.ravel(), *(np.array([length]) for _, _, length in scales.values())])
    if (
        not np.isfinite(numbers).all()
        or min(i.min() for i in ids if i.size) < 0
        or any(length <= 0 for _, _, length in scales.values())
    ):
        raise UserError(
            f"The garment {path} holds a negative vertex number, a scale that is not positive, or a number that is not "
            "finite; repair the file.",
            EXIT_MODEL,
        )
    material = names.get("material")
    return Fitting(
        name=names.get("name", path.stem),
        obj_file=path.parent / names["obj_file"],
        material_file=path.parent / material if material else None,
        references=full[:, :3].astype(np.int32),
        barycentric=full[:, 3:6],
        offsets=full[:, 6:],
        scales=scales,
        hidden=np.unique(np.concatenate(hidden)) if hidden else np.zeros(0, np.int32),
    )


def _vertex_ranges(words: list[str]) -> np.ndarray:
    """`4793 - 4846 4899` -> 4793, 4794, ..., 4846, 4899."""
    ids: list[int] = []
    i = 0
    while i < len(words):
        first = last = int(words[i])
        if i + 2 < len(words) and words[i + 1] == "-":
            last = int(words[i + 2])
            i += 2
        ids.extend(range(first, last + 1))
        i += 1
    return np.array(ids, np.int32)


def read_mhmat(path: Path) -> Material:
    """Read a material. Raises UserError when it names no diffuse texture."""
    found = {words[0]: words[-1] for _, words in _lines(path, "material")}
    if "diffuseTexture" not in found:
        raise UserError(f"The material {path} names no diffuseTexture; give a .mhmat file that does.", EXIT_MODEL)
    return Material(
        texture_file=path.parent / found["diffuseTexture"],
        transparent=found.get("transparent", "False") == "True",
        two_sided=found.get("backfaceCull", "True") == "False",
    )


def read_texture(path: Path) -> np.ndarray:
    """[TEXTURE_SIZE, TEXTURE_SIZE, 4] float32 linear RGB and alpha in 0..1, top row first. Raises UserError."""
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None or image.dtype not in (np.uint8, np.uint16):
        raise UserError(f"The texture {path} is missing or is no picture; check the assets folder.", EXIT_MODEL)
    white = 255 if image.dtype == np.uint8 else 65535
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.shape[2] == 3:
        image = np.dstack([image, np.full(image.shape[:2], white, image.dtype)])
    scaled: np.ndarray = image.astype(np.float32) / white
    if scaled.shape[:2] != (TEXTURE_SIZE, TEXTURE_SIZE):
        scaled = cv2.resize(scaled, (TEXTURE_SIZE, TEXTURE_SIZE), interpolation=cv2.INTER_AREA)
    out = np.ascontiguousarray(scaled[:, :, [2, 1, 0, 3]])
    out[:, :, :3] **= 2.2
    return out
