"""Read a body from an SMPL-layout file: the embedded .npz, a user's .npz, or SMPL's own .pkl.

Keys are SMPL's: `v_template` [V, 3], `shapedirs` [V, 3, K], `weights` [V, 24], `J_regressor` [24, V], `kintree_table`
[2, 24], `f` [F, 3], and `posedirs` [V, 3, 207], whose absence means no pose-dependent shape. The embedded file adds
`marker_names` and `marker_vertices` [M], and `anny_vertex_ids` [V], ascending ids in Anny's full mesh. A pickle can run
code when it is opened, so .pkl files go through `safe_pickle`, which admits arrays and nothing else.

Dimension letters: V vertices, J = 24 joints, K shape coefficients (at most 10 are kept), F faces, M markers.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from biopose_live.body.joints import JOINT_NAMES, N_JOINTS, PARENTS
from biopose_live.body.safe_pickle import UnsafePickle, load_arrays
from biopose_live.errors import EXIT_MODEL, UserError

MAX_SHAPE = 10
REQUIRED = ("v_template", "shapedirs", "weights", "J_regressor", "kintree_table", "f")


@dataclass(frozen=True)
class BodyArrays:
    """Checked content of a body file, float64 and int64. Shapes and axes as in the module's docstring."""

    v_template: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray | None
    weights: np.ndarray
    joint_regressor: np.ndarray
    parents: np.ndarray
    faces: np.ndarray
    joint_names: tuple[str, ...]
    marker_names: tuple[str, ...] | None
    marker_vertices: np.ndarray | None
    anny_vertex_ids: np.ndarray | None


def read_body_file(path: Path) -> BodyArrays:
    """Read and check a body file. Raises UserError, one sentence, for anything that cannot be used."""
    if not path.is_file():
        raise UserError(
            f"The body file {path} does not exist; give the path of an SMPL-layout .npz or .pkl.", EXIT_MODEL
        )
    suffix = path.suffix.lower()
    if suffix == ".npz":
        content = _read_npz(path)
    elif suffix == ".pkl":
        try:
            content = load_arrays(path)
        except UnsafePickle as refusal:
            raise UserError(
                f"The body file {path} was refused: {refusal}; use an unmodified SMPL file or an .npz.", EXIT_MODEL
            ) from refusal
    else:
        raise UserError(f"The body file {path} ends in {suffix!r}; give an SMPL-layout .npz or .pkl.", EXIT_MODEL)
    return _checked(path, content)


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"The body file {path} is not a readable .npz ({error}); copy it again.", EXIT_MODEL) from error


def _checked(path: Path, content: Mapping[str, object]) -> BodyArrays:
    missing = [key for key in REQUIRED if key not in content]
    if missing:
        raise UserError(
            f"The body file {path} lacks {', '.join(missing)}; give a file with SMPL's own keys.", EXIT_MODEL
        )

    def numbers(key: str, *shape: int | None) -> np.ndarray:
        try:
            array = np.asarray(content[key], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError(f"In the body file {path}, {key} is not an array of numbers.", EXIT_MODEL) from error
        fits = array.ndim == len(shape) and all(s is None or s == a for s, a in zip(shape, array.shape, strict=True))
        if not fits or array.size == 0:
            wanted = "x".join("any" if s is None else str(s) for s in shape)
            found = "x".join(map(str, array.shape))
            raise UserError(f"In the body file {path}, {key} has shape {found} but {wanted} is needed.", EXIT_MODEL)
        if not np.isfinite(array).all():
            raise UserError(f"In the body file {path}, {key} contains values that are not finite.", EXIT_MODEL)
        return array

    template = numbers("v_template", None, 3)
    v = len(template)
    shapedirs = numbers("shapedirs", v, 3, None)[:, :, :MAX_SHAPE]
    weights = numbers("weights", v, N_JOINTS)
    sums = weights.sum(axis=1, keepdims=True)
    if weights.min() < 0 or abs(sums - 1.0).max() > 0.01:
        raise UserError(
            f"In the body file {path}, weights must be positive and sum to 1 at every vertex, but do not.", EXIT_MODEL
        )
    posedirs = numbers("posedirs", v, 3, 9 * (N_JOINTS - 1)) if "posedirs" in content else None
    kintree = numbers("kintree_table", 2, N_JOINTS)
    if tuple(kintree[0, 1:].astype(int)) != PARENTS[1:]:
        raise UserError(f"In the body file {path}, kintree_table is not SMPL's tree of 24 joints.", EXIT_MODEL)
    faces = numbers("f", None, 3).astype(np.int64)
    if faces.min() < 0 or faces.max() >= v:
        raise UserError(f"In the body file {path}, f names vertices outside the {v} there are.", EXIT_MODEL)
    marker_names, marker_vertices = None, None
    if "marker_names" in content and "marker_vertices" in content:
        marker_names = tuple(str(name) for name in np.asarray(content["marker_names"]).ravel())
        marker_vertices = numbers("marker_vertices", len(marker_names)).astype(np.int64)
        if marker_vertices.min() < 0 or marker_vertices.max() >= v:
            raise UserError(
                f"In the body file {path}, marker_vertices names vertices that do not exist (there are {v}).",
                EXIT_MODEL,
            )
    anny_vertex_ids = numbers("anny_vertex_ids", v).astype(np.int64) if "anny_vertex_ids" in content else None
    return BodyArrays(
        v_template=template,
        shapedirs=np.ascontiguousarray(shapedirs),
        posedirs=posedirs if posedirs is not None and posedirs.any() else None,
        weights=weights / sums,
        joint_regressor=numbers("J_regressor", N_JOINTS, v),
        parents=np.array(PARENTS),
        faces=faces,
        joint_names=JOINT_NAMES,
        marker_names=marker_names,
        marker_vertices=marker_vertices,
        anny_vertex_ids=anny_vertex_ids,
    )
