"""The body's surface for the page, packed: what it takes to pose it from `theta` and `betas` (linear blend skinning).

Layout, little-endian: length of the header (4 bytes), the header (JSON, padded with spaces so that what follows is
aligned), then the arrays that it lists, each with its type and shape.  Letters: V vertices, F faces, J = 24 joints,
K shape coefficients.  Frames and units are the body file's (`body.model`): x left, y up, z forward, metres.

`shape` is rounded to 16 bits of each coefficient's largest shift (`shape_scale`), skin weights to 8 bits of the four
largest per vertex; correctives by pose, where a file has them, are left out.  That is for the eye: numbers come from
the messages.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.body.body_file import read_body_file
from biopose_live.body.model import EMBEDDED_BODY, BodyModel

ALIGNED = 8
CARRIERS = 4  # joints that a vertex hangs on
FULL = 255


@lru_cache(maxsize=2)
def packed_mesh(body: Path | None) -> bytes:
    """-> the mesh of a body file, None: the embedded one.  Raises UserError when it cannot be read."""
    arrays = read_body_file(body or EMBEDDED_BODY)
    skeleton = BodyModel(arrays, (), np.zeros(0, np.int64))
    shift = np.moveaxis(arrays.shapedirs, 2, 0)  # (K, V, 3)
    scale = np.maximum(np.abs(shift).max(axis=(1, 2)), 1e-9) / 32767
    carriers, weights = four_largest(arrays.weights)
    parts: dict[str, NDArray[np.generic]] = {
        "template": arrays.v_template.astype("<f4"),
        "joints": skeleton.joint_template.astype("<f4"),
        "joint_shape": np.moveaxis(skeleton.joint_dirs, 2, 0).astype("<f4"),
        "shape_scale": scale.astype("<f4"),
        "faces": arrays.faces.astype("<u4"),
        "shape": np.round(shift / scale[:, None, None]).astype("<i2"),
        "carriers": carriers,
        "weights": weights,
    }
    listed = {name: {"type": part.dtype.str[1:], "shape": part.shape} for name, part in parts.items()}
    header = json.dumps({"parents": arrays.parents.tolist(), "joint_names": arrays.joint_names, "arrays": listed})
    text = header.encode()
    text += b" " * (-(4 + len(text)) % ALIGNED)
    body_bytes = [part.tobytes() for part in parts.values()]
    padded = [part + bytes(-len(part) % ALIGNED) for part in body_bytes]
    return len(text).to_bytes(4, "little") + text + b"".join(padded)


def four_largest(weights: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(V, J) -> joints (V, 4) and their weights (V, 4) in 255ths, which add up to 255."""
    carriers = np.argsort(-weights, axis=1, kind="stable")[:, :CARRIERS]
    share = np.take_along_axis(weights, carriers, axis=1)
    share = share / share.sum(axis=1, keepdims=True)
    rounded = np.floor(share * FULL).astype(np.int64)
    rounded[:, 0] += FULL - rounded.sum(axis=1)
    return carriers.astype(np.uint8), rounded.astype(np.uint8)
