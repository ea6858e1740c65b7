"""The live body carried over to MakeHuman's whole base mesh, so that garments made for that mesh fit it.

Garments hang on the base mesh's 19,158 vertices, which include invisible helper geometry (tights, skirt, hair cap) that
the live body's file lacks. This module gives every base vertex a template position, shape directions and skin weights
in the live body's terms: the body's own vertices keep theirs exactly; helpers move with the body surface near them, by
the rigid motion of each segment first and a smooth interpolation of what remains. Body and garments are then posed by
the same linear blend skinning as the live body (Loper et al. 2015, equation 2 without pose correctives).

Dimension letters: B = 19,158 base vertices, V live body vertices, J = 24 joints, K shape coefficients, F triangles.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from biopose_live.body.joints import PARENTS
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.training.synthetic.makehuman_files import ObjMesh, read_obj

# The groups of base.obj that the live body's source mesh is cut from, in the order of vertex ids.
VISIBLE_GROUPS = ("body", "helper-l-eye", "helper-r-eye", "helper-tongue")
# Vertices of those groups that the source mesh leaves out: it closes the breast tips (16 vertices on each side).
LEFT_OUT = (*range(1778, 1794), *range(8450, 8466))
DECIMETRE = 0.1
N_NEAR = 6


@dataclass(frozen=True)
class BodyArrays:
    """The arrays of an SMPL-layout file that skinning needs. x left, y up, z forward; metres; pelvis at the origin."""

    template: np.ndarray  # [V, 3]
    directions: np.ndarray  # [V, 3, K]
    weights: np.ndarray  # [V, 24]
    regressor: np.ndarray  # [24, V]
    source_vertices: np.ndarray  # [V] id of each vertex on the visible part of the base mesh


def read_body(path: Path) -> BodyArrays:
    """Read the embedded body file. Raises UserError when it is missing or was not extracted from the base mesh."""
    try:
        with np.load(path, allow_pickle=False) as data:
            return BodyArrays(
                template=data["v_template"].astype(np.float64),
                directions=data["shapedirs"].astype(np.float64),
                weights=data["weights"].astype(np.float64),
                regressor=data["J_regressor"].astype(np.float64),
                source_vertices=data["anny_vertex_ids"].astype(np.int64),
            )
    except (OSError, KeyError, ValueError) as problem:
        raise UserError(
            f"The body file {path} cannot dress people ({problem}); use the embedded body of this program.", EXIT_MODEL
        ) from problem


def fingerprint(body: BodyArrays) -> str:
    """Ten hex digits that change with the body's shape space and joints: betas and joints belong to one body only."""
    digest = hashlib.sha256()
    for part in (body.template, body.directions, body.regressor):
        digest.update(np.ascontiguousarray(part, dtype=np.float64).tobytes())
    return digest.hexdigest()[:10]


@dataclass(frozen=True)
class BaseMesh:
    """Every base vertex in the live body's terms. `to_rest` carries base.obj (metres) to the template: [B, 3, 3]
    rotations, for offsets that the garment files give along base.obj's axes."""

    original: np.ndarray  # [B, 3] base.obj in metres
    template: np.ndarray  # [B, 3]
    directions: np.ndarray  # [B, 3, K]
    weights: np.ndarray  # [B, 24]
    to_rest: np.ndarray  # [B, 3, 3]
    regressor: np.ndarray  # [24, V] over `visible[source]`
    body_vertices: np.ndarray  # [V] base id of each live body vertex
    mesh: ObjMesh  # base.obj as read: faces, texture coordinates, groups

    def joints(self, betas: np.ndarray) -> np.ndarray:
        """[24, 3] m joints of a shape in the identity pose."""
        shaped = self.template[self.body_vertices] + self.directions[self.body_vertices] @ betas
        return self.regressor @ shaped


def segment_motions(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per segment the least-squares similarity (Umeyama 1991) from source to target [V, 3], weighted by skin weights
    [V, J]. Returns linear parts [J, 3, 3] (rotation times scale) and translations [J, 3]."""
    linear, shift = [], []
    for j in range(weights.shape[1]):
        w = weights[:, j] ** 2
        if w.sum() < 1e-6:  # a segment that moves no vertex keeps its place
            w = np.full(len(w), 1e-3)
        w = w / w.sum()
        a, b = w @ source, w @ target
        covariance = (target - b).T @ (w[:, None] * (source - a))
        u, s, vt = np.linalg.svd(covariance)
        sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
        scale = (s * sign).sum() / (w @ ((source - a) ** 2).sum(axis=1))
        m = scale * (u * sign) @ vt
        linear.append(m)
        shift.append(b - m @ a)
    return np.array(linear), np.array(shift)


def extend(body: BodyArrays, base_obj: Path) -> BaseMesh:
    """Carry the live body over to the mesh in `base_obj`. Raises UserError when that is not the mesh it came from."""
    mesh = read_obj(base_obj)
    missing = [g for g in VISIBLE_GROUPS if g not in mesh.groups]
    if missing:
        raise UserError(f"{base_obj} has no group {missing[0]}; give MakeHuman's base.obj (hm08).", EXIT_MODEL)
    visible = np.unique(mesh.faces[np.concatenate([mesh.groups[g] for g in VISIBLE_GROUPS])])
    visible = np.setdiff1d(visible, LEFT_OUT)
    if body.source_vertices.max() >= len(visible):
        raise UserError(
            f"{base_obj} has {len(visible)} visible vertices, fewer than the body file refers to; give MakeHuman's "
            "base.obj (hm08).",
            EXIT_MODEL,
        )
    ids = visible[body.source_vertices]
    original = mesh.vertices * DECIMETRE
    n = len(original)

    skin = np.unique(mesh.faces[mesh.groups["body"]])
    on_skin = np.isin(ids, skin)
    distance, near = cKDTree(original[ids[on_skin]]).query(original, k=N_NEAR)
    blend = 1.0 / (distance + 0.004) ** 2
    blend /= blend.sum(axis=1, keepdims=True)
    near = np.where(on_skin)[0][near]

    weights = np.einsum("bn,bnj->bj", blend, body.weights[near])
    weights[ids] = body.weights
    linear, shift = segment_motions(original[ids], body.template, body.weights)
    moved = np.einsum("bj,jcd,bd->bc", weights, linear, original, optimize=True) + weights @ shift
    residual = body.template - moved[ids]
    template = moved + np.einsum("bn,bnc->bc", blend, residual[near])
    template[ids] = body.template
    directions = np.empty((n, 3, body.directions.shape[2]))
    directions[:] = np.einsum("bn,bnck->bck", blend, body.directions[near], optimize=True)
    directions[ids] = body.directions
    u, _, vt = np.linalg.svd(np.einsum("bj,jcd->bcd", weights, linear))
    return BaseMesh(original, template, directions, weights, u @ vt, body.regressor, ids, mesh)


def rotation_matrices(rotvec: np.ndarray) -> np.ndarray:
    """Rodrigues' formula, [..., 3] axis-angle (rad) -> [..., 3, 3]."""
    angle = np.linalg.norm(rotvec, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(rotvec / np.maximum(angle[..., 0], 1e-12), -1, 0)
    zero = np.zeros_like(x)
    k = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(*rotvec.shape[:-1], 3, 3)
    return np.eye(3) + np.sin(angle) * k + (1.0 - np.cos(angle)) * (k @ k)


def joint_motions(joints: np.ndarray, theta: np.ndarray, transl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rigid motion of each segment from the identity pose.

    joints [24, 3] m in the identity pose, theta [24, 3] axis-angle rad (the first is the body's orientation), transl
    [3] m. Returns motions [24, 3, 4] (rest point -> posed point) and the posed joints [24, 3] m.
    """
    local = rotation_matrices(theta)
    rotation, position = np.empty((24, 3, 3)), np.empty((24, 3))
    rotation[0], position[0] = local[0], joints[0] + transl
    for j in range(1, 24):
        p = PARENTS[j]
        rotation[j] = rotation[p] @ local[j]
        position[j] = position[p] + rotation[p] @ (joints[j] - joints[p])
    moves = np.concatenate([rotation, (position - np.einsum("jcd,jd->jc", rotation, joints))[:, :, None]], axis=2)
    return moves, position


def skin(rest: np.ndarray, weights: np.ndarray, motions: np.ndarray) -> np.ndarray:
    """Linear blend skinning of rest points [P, 3] m with weights [P, 24]. Returns [P, 3] m."""
    blended = (weights @ motions.reshape(24, 12)).reshape(-1, 3, 4)
    return np.einsum("pcd,pd->pc", blended[:, :, :3], rest) + blended[:, :, 3]
