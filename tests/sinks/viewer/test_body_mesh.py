"""The packed mesh, unpacked as its layout says and posed here, against the body model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biopose_live.body.model import BodyModel, rotation_matrices
from biopose_live.errors import UserError
from biopose_live.sinks.viewer.body_mesh import ALIGNED, four_largest, packed_mesh


def unpacked(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    size = int.from_bytes(data[:4], "little")
    header, at = json.loads(data[4 : 4 + size]), 4 + size
    found = {}
    for name, listed in header["arrays"].items():
        kind = np.dtype("<" + listed["type"])
        assert at % ALIGNED == 0
        count = int(np.prod(listed["shape"]))
        found[name] = np.frombuffer(data, kind, count, at).reshape(listed["shape"])
        at += -(-count * kind.itemsize // ALIGNED) * ALIGNED
    assert at == len(data)
    return header, found


def test_the_mesh_poses_like_the_body() -> None:
    header, arrays = unpacked(packed_mesh(None))
    body = BodyModel.load()
    rng = np.random.default_rng(3)
    theta, betas, place = rng.normal(0, 0.3, (24, 3)), rng.normal(0, 1, body.n_shape), np.array([0.3, -0.2, 4.0])
    wanted = body.forward(theta, betas, place).vertices
    shaped = arrays["template"] + np.einsum("k,kvc->vc", betas * arrays["shape_scale"], arrays["shape"])
    rest = arrays["joints"] + np.einsum("k,kjc->jc", betas, arrays["joint_shape"])
    turns, at = rotation_matrices(theta), np.zeros((24, 3))
    at[0] = rest[0] + place
    for joint, parent in enumerate(header["parents"]):
        if parent >= 0:
            at[joint] = at[parent] + turns[parent] @ (rest[joint] - rest[parent])
            turns[joint] = turns[parent] @ turns[joint]
    posed = np.zeros_like(shaped)
    for slot in range(4):
        joint, weight = arrays["carriers"][:, slot], arrays["weights"][:, slot, None] / 255
        posed += weight * (np.einsum("vij,vj->vi", turns[joint], shaped - rest[joint]) + at[joint])
    assert wanted is not None
    error = np.linalg.norm(posed - wanted, axis=1)
    assert np.median(error) < 2e-4
    assert np.quantile(error, 0.99) < 6e-3
    assert (np.sort(arrays["faces"], axis=1) == np.sort(body.faces, axis=1)).all()
    assert len(packed_mesh(None)) < 2_000_000


def test_weights_add_up() -> None:
    weights = np.random.default_rng(1).dirichlet(np.full(24, 0.1), 500)
    carriers, rounded = four_largest(weights)
    assert (rounded.astype(int).sum(axis=1) == 255).all()
    largest = np.take_along_axis(weights, carriers.astype(int), axis=1)
    assert np.allclose(np.sort(largest, axis=1), np.sort(weights, axis=1)[:, -4:])


def test_a_missing_file_is_said() -> None:
    with pytest.raises(UserError, match="does not exist"):
        packed_mesh(Path("no_such_body.npz"))
