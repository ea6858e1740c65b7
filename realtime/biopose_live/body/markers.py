"""Find the virtual markers' vertices on another body's mesh, e.g. a user's SMPL file.

Both meshes come with the same 24 joints and skin weights, which give a first alignment that survives a different rest
pose (A against T) and different proportions: our mesh is carried into the other's rest pose by linear blend skinning
under one similarity per joint, which turns each bone onto its counterpart and scales it by the ratio of lengths. Each
body part is then fitted to the other surface by a few rounds of iterative closest points (Besl and McKay 1992) with a
similarity transform (Umeyama 1991), and each marker takes the vertex nearest to it whose normal agrees.

Dimension letters: V vertices of a mesh, J = 24 joints, M markers, N pairs of points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from biopose_live.body.joints import N_JOINTS

if TYPE_CHECKING:
    from biopose_live.body.model import BodyModel

ROUNDS = 6
SAMPLES_PER_PART = 250
NORMAL_WEIGHT_M = 0.03  # a surface turned by 60 degrees counts as 15 mm farther away


@dataclass(frozen=True)
class _Surface:
    """A rest mesh. points and unit normals [V, 3], part [V] the joint with the largest skin weight."""

    points: np.ndarray
    normals: np.ndarray
    part: np.ndarray


def markers_by_registration(ours: BodyModel, other: BodyModel) -> np.ndarray:
    """[M] vertex of `other` for each of our markers. Both rest meshes must face +z (SMPL's convention)."""
    return vertices_by_registration(ours, other, ours.marker_vertices)


def vertices_by_registration(ours: BodyModel, other: BodyModel, vertices: np.ndarray) -> np.ndarray:
    """[N] vertex of `other` that corresponds to each of our vertices [N], both at their mean shape in rest pose."""
    target = _Surface(other.arrays.v_template, vertex_normals(other.arrays.v_template, other.faces), _parts(other))
    source = _carried(ours, other.joint_template)
    neighbours = _neighbours(ours.parents)
    # A part is matched against itself and the parts next to it, so an arm never matches the flank it hangs beside.
    candidates = [np.where(np.isin(target.part, neighbours[j]))[0] for j in range(N_JOINTS)]
    found = np.zeros(len(vertices), dtype=np.int64)
    for j in np.unique(source.part[vertices]):
        near = candidates[j] if len(candidates[j]) else np.arange(len(target.points))
        wanted = np.where(source.part[vertices] == j)[0]
        points, normals = _fitted_part(source, target, int(j), near, vertices[wanted])
        for k, point, normal in zip(wanted, points, normals, strict=True):
            found[k] = near[_cost(point[None], normal[None], target, near)[0].argmin()]
    return found


def vertex_normals(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit vertex normals [V, 3], area weighted; a vertex without faces gets zero."""
    corners = points[faces]
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, faces[:, k], area)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(length > 0, length, 1.0)


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation [3, 3] and shift [3] that best map source [N, 3] onto target [N, 3] (Umeyama 1991, eq. 40-43)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    a, b = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / max((a * a).sum(), 1e-12))
    return scale, rotation, target_mean - scale * rotation @ source_mean


def _parts(body: BodyModel) -> np.ndarray:
    return body.arrays.weights.argmax(axis=1)


def _neighbours(parents: np.ndarray) -> list[list[int]]:
    return [[k for k in range(N_JOINTS) if k == j or parents[k] == j or (k == parents[j])] for j in range(N_JOINTS)]


def _carried(ours: BodyModel, joints: np.ndarray) -> _Surface:
    """Our rest mesh, bent and scaled so that its skeleton has the given rest joints [24, 3]."""
    rest, parents = ours.joint_template, ours.parents
    bones = np.linalg.norm(rest[1:] - rest[parents[1:]], axis=1)
    other_bones = np.linalg.norm(joints[1:] - joints[parents[1:]], axis=1)
    overall = float(np.median(other_bones / np.maximum(bones, 1e-6)))
    rotations, scales = np.tile(np.eye(3), (N_JOINTS, 1, 1)), np.full(N_JOINTS, overall)
    for j in range(N_JOINTS):
        above = rotations[parents[j]] if j else np.eye(3)
        children = np.where(parents == j)[0]
        if len(children) == 0:
            rotations[j] = above
            if j and ours.joint_names[j] != "head":
                scales[j] = scales[parents[j]]
            continue
        from_bones = (rest[children] - rest[j]) @ above.T
        to_bones = joints[children] - joints[j]
        rotations[j] = _turn(from_bones, to_bones) @ above
        ratio = np.linalg.norm(to_bones, axis=1).sum() / max(np.linalg.norm(from_bones, axis=1).sum(), 1e-6)
        scales[j] = np.clip(ratio, 0.5 * overall, 2.0 * overall)
    linear = scales[:, None, None] * rotations
    shifts = joints - (linear @ rest[..., None])[..., 0]
    blended = ours.arrays.weights @ np.concatenate([linear.reshape(-1, 9), shifts], axis=1)
    points = (blended[:, :9].reshape(-1, 3, 3) @ ours.arrays.v_template[..., None])[..., 0] + blended[:, 9:]
    return _Surface(points, vertex_normals(points, ours.faces), _parts(ours))


def _turn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rotation that turns bones a [n, 3] onto b [n, 3]: the shortest one for a single bone, least squares else."""
    a, b = a / np.linalg.norm(a, axis=1, keepdims=True), b / np.linalg.norm(b, axis=1, keepdims=True)
    if len(a) == 1:
        axis, cosine = np.cross(a[0], b[0]), float(a[0] @ b[0])
        if cosine < -0.999:
            return np.eye(3)  # opposite bones have no shortest turn; the rest poses are not both upright
        k = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
        return np.eye(3) + k + k @ k / (1.0 + cosine)
    u, _, vt = np.linalg.svd(b.T @ a)
    return (u * np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])) @ vt


def _cost(points: np.ndarray, normals: np.ndarray, target: _Surface, near: np.ndarray) -> np.ndarray:
    """[N, n] squared distances (m2) to the near vertices, with disagreement of normals counted as distance."""
    candidates = target.points[near]
    squared = (points**2).sum(1)[:, None] - 2.0 * points @ candidates.T + (candidates**2).sum(1)
    return squared + NORMAL_WEIGHT_M**2 * (1.0 - normals @ target.normals[near].T)


def _fitted_part(
    source: _Surface, target: _Surface, joint: int, near: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The wanted vertices of one part, and their normals, after the part has been fitted to the other surface."""
    members = np.where(source.part == joint)[0]
    members = members[np.linspace(0, len(members) - 1, min(SAMPLES_PER_PART, len(members))).astype(int)]
    points, normals = source.points[members], source.normals[members]
    moved, moved_normals = source.points[wanted], source.normals[wanted]
    for _ in range(ROUNDS):
        cost = _cost(points, normals, target, near)
        match = cost.argmin(axis=1)
        value = cost[np.arange(len(cost)), match]
        kept = value <= np.quantile(value, 0.8)  # the rim of a part has no counterpart when the weights differ
        if kept.sum() < 10:
            break
        scale, rotation, shift = similarity(points[kept], target.points[near][match[kept]])
        points, normals = scale * points @ rotation.T + shift, normals @ rotation.T
        moved, moved_normals = scale * moved @ rotation.T + shift, moved_normals @ rotation.T
    return moved, moved_normals
