"""SMPL's equations for one person in NumPy: shape and pose to joints, virtual markers and surface.

Follows Loper et al. 2015 ("SMPL"), equations 6 to 10, for the embedded body or any SMPL-layout file:
T(beta, theta) = template + shape blend (+ pose blend), J(beta) = regressor * (template + shape blend), then forward
kinematics over the joint tree and linear blend skinning. The batched differentiable twin is `torch_body.TorchBody`.

Frames: x to the subject's left, y up, z forward, metres; a body with zero pose faces +z. Rotations are local to the
parent joint and expressed in the rest pose's axes, which are parallel to the file's axes for every joint.

Virtual markers are pins in bones: by default each is carried rigidly by the joint of its segment
(`marker_table.SEGMENT_JOINT`), not by the skin, because linear blend skinning drags landmarks near a joint with the
wrong bone (on the embedded body the elbow's epicondyles are skinned to the forearm and the malleoli to the foot).
`BodyModel.load(..., markers="skin")` gives the skin's own motion.

Dimension letters: V vertices, J = 24 joints, M markers, K shape coefficients, B people.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from biopose_live.body.body_file import BodyArrays, read_body_file
from biopose_live.body.joints import N_JOINTS
from biopose_live.body.marker_table import MARKER_INDEX, MARKERS, SEGMENT_JOINT
from biopose_live.errors import EXIT_USAGE, UserError

if TYPE_CHECKING:
    import torch

    from biopose_live.body.torch_body import TorchBody

EMBEDDED_BODY = Path(__file__).resolve().parent.parent / "assets" / "body" / "anny_body.npz"

MarkerCarrier = Literal["bone", "skin"]


@dataclass(frozen=True)
class Posed:
    """A posed body. vertices [V, 3] or None, joints [24, 3], markers [M, 3] in metres; rotations [24, 3, 3] global."""

    vertices: np.ndarray | None
    joints: np.ndarray
    markers: np.ndarray
    rotations: np.ndarray


def rotation_matrices(theta: np.ndarray) -> np.ndarray:
    """Rotation matrices [..., 3, 3] of axis-angle vectors [..., 3] in radians (Rodrigues' formula)."""
    theta = np.asarray(theta, dtype=np.float64)
    squared = np.einsum("...i,...i->...", theta, theta)[..., None, None]
    angle = np.sqrt(squared)
    small = squared < 1e-8
    safe = np.where(small, 1.0, squared)
    # Taylor terms where the quotients lose their digits.
    a = np.where(small, 1.0 - squared / 6.0, np.sin(angle) / np.sqrt(safe))
    b = np.where(small, 0.5 - squared / 24.0, (1.0 - np.cos(angle)) / safe)
    k = np.zeros((*theta.shape, 3))
    k[..., 0, 1], k[..., 0, 2], k[..., 1, 2] = -theta[..., 2], theta[..., 1], -theta[..., 0]
    k[..., 1, 0], k[..., 2, 0], k[..., 2, 1] = theta[..., 2], -theta[..., 1], theta[..., 0]
    return np.eye(3) + a * k + b * (k @ k)


def depth_levels(parents: np.ndarray) -> list[np.ndarray]:
    """Joint indices by distance from the root, the root's own level left out; a level depends only on earlier ones."""
    depth = np.zeros(len(parents), dtype=int)
    for j in range(1, len(parents)):
        depth[j] = depth[parents[j]] + 1
    return [np.where(depth == d)[0] for d in range(1, int(depth.max()) + 1)]


class BodyModel:
    """A parametric body. Build with `BodyModel.load`.

    Attributes: `parents` [24] int, root -1; `joint_names`; `faces` [F, 3] int; `marker_names`, `marker_vertices` [M];
    `n_shape` K; `joint_template` [24, 3] and `joint_dirs` [24, 3, K], `marker_template` [M, 3] and `marker_dirs`
    [M, 3, K], rest positions linear in the betas; `marker_weights` [M, 24] what carries each marker; `arrays`, the
    file's own content.
    """

    def __init__(
        self,
        arrays: BodyArrays,
        marker_names: tuple[str, ...],
        marker_vertices: np.ndarray,
        markers: MarkerCarrier = "bone",
    ) -> None:
        """From checked arrays. Raises UserError if `markers` is neither "bone" nor "skin"."""
        if markers not in ("bone", "skin"):
            raise UserError(f"Markers ride on 'bone' or 'skin', but {markers!r} was asked for; choose one.", EXIT_USAGE)
        self.arrays = arrays
        self.parents = arrays.parents
        self.joint_names = arrays.joint_names
        self.faces = arrays.faces
        self.n_shape = arrays.shapedirs.shape[2]
        self.marker_names = marker_names
        self.marker_vertices = marker_vertices
        self.joint_template = arrays.joint_regressor @ arrays.v_template
        self.joint_dirs = np.einsum("jv,vck->jck", arrays.joint_regressor, arrays.shapedirs, optimize=True)
        self.marker_template = arrays.v_template[marker_vertices]
        self.marker_dirs = arrays.shapedirs[marker_vertices]
        self.marker_weights = arrays.weights[marker_vertices].copy()
        self.marker_pose_dirs: np.ndarray | None = None
        if markers == "skin" and arrays.posedirs is not None:
            self.marker_pose_dirs = arrays.posedirs[marker_vertices]
        if markers == "bone":
            for row, name in enumerate(marker_names):
                if name in MARKER_INDEX:
                    self.marker_weights[row] = 0.0
                    self.marker_weights[row, SEGMENT_JOINT[MARKERS[MARKER_INDEX[name]].segment]] = 1.0
        self.levels = depth_levels(self.parents)

    @staticmethod
    def load(path: Path | None = None, markers: MarkerCarrier = "bone") -> BodyModel:
        """The embedded body (None), or a user's SMPL-layout .npz or SMPL's own .pkl.

        A file without `marker_names` gets its marker vertices by registration against the embedded body. Raises
        UserError for a missing, unreadable, unsafe or incomplete file.
        """
        arrays = read_body_file(EMBEDDED_BODY if path is None else Path(path))
        if arrays.marker_names is not None and arrays.marker_vertices is not None:
            return BodyModel(arrays, arrays.marker_names, arrays.marker_vertices, markers)
        from biopose_live.body.markers import markers_by_registration

        embedded = BodyModel.load()
        bare = BodyModel(arrays, (), np.zeros(0, dtype=int))
        return BodyModel(arrays, embedded.marker_names, markers_by_registration(embedded, bare), markers)

    def rest_vertices(self, betas: np.ndarray) -> np.ndarray:
        """Rest surface [V, 3] in metres for betas [K]."""
        return self.arrays.v_template + self.arrays.shapedirs @ self._checked(betas)

    def rest_joints(self, betas: np.ndarray) -> np.ndarray:
        """Rest joint centres [24, 3] in metres for betas [K]."""
        return self.joint_template + self.joint_dirs @ self._checked(betas)

    def rest_markers(self, betas: np.ndarray) -> np.ndarray:
        """Rest marker positions [M, 3] in metres for betas [K]."""
        return self.marker_template + self.marker_dirs @ self._checked(betas)

    def forward(
        self, theta: np.ndarray, betas: np.ndarray, transl: np.ndarray, vertices: bool = True, markers: bool = True
    ) -> Posed:
        """Pose the body: theta [24, 3] axis-angle in radians, betas [K], transl [3] added to every point, in metres.

        `vertices=False` and `markers=False` leave that part out (markers then are empty [0, 3]). Rotations are about
        the rest joints, so the pelvis joint lies at its rest position plus transl.
        """
        local = rotation_matrices(np.asarray(theta, dtype=np.float64).reshape(N_JOINTS, 3))
        betas = self._checked(betas)
        rest = self.joint_template + self.joint_dirs @ betas
        rotations, joints = self._kinematics(local, rest, transl)
        pose_feature = (local[1:] - np.eye(3)).ravel()
        surface = None
        if vertices:
            shaped = self.arrays.v_template + self.arrays.shapedirs @ betas
            if self.arrays.posedirs is not None:
                shaped = shaped + self.arrays.posedirs @ pose_feature
            surface = _skin(self.arrays.weights, rotations, joints - _rotate(rotations, rest), shaped)
        posed_markers = np.zeros((0, 3))
        if markers:
            posed_markers = self._skin_markers(rotations, joints, rest, betas, pose_feature)
        return Posed(surface, joints, posed_markers, rotations)

    def pose_markers(
        self, rotmats: np.ndarray, betas: np.ndarray, transl: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The live path: local rotations [24, 3, 3] to joints [24, 3], markers [M, 3] (metres) and global rotations."""
        betas = self._checked(betas)
        rest = self.joint_template + self.joint_dirs @ betas
        rotations, joints = self._kinematics(rotmats, rest, transl)
        feature = None if self.marker_pose_dirs is None else (rotmats[1:] - np.eye(3)).ravel()
        return joints, self._skin_markers(rotations, joints, rest, betas, feature), rotations

    def stature(self, betas: np.ndarray) -> float:
        """Vertical extent (m) of the rest body, which stands upright on both feet."""
        return float(np.ptp(self.rest_vertices(betas)[:, 1]))

    def stature_near_mean(self) -> tuple[float, np.ndarray]:
        """Stature (m) of the mean body and its gradient [K] by the betas."""
        mean = self.stature(np.zeros(self.n_shape))
        step = 1e-3
        return mean, np.array([(self.stature(row) - mean) / step for row in step * np.eye(self.n_shape)])

    def betas_for_height(self, height_m: float) -> np.ndarray:
        """The most likely betas [K] of a person of this stature (m) under the unit Gaussian prior.

        Stature is linear in betas as long as crown and sole stay the same vertices, and then the answer is the step
        along its gradient, g (h - h0) / |g|^2; the loop follows a change of crown or sole. Raises UserError when no
        body within ten standard deviations has this stature.
        """
        betas = np.zeros(self.n_shape)
        for _ in range(10):
            y = self.rest_vertices(betas)[:, 1]
            top, bottom = int(y.argmax()), int(y.argmin())
            gradient = self.arrays.shapedirs[top, 1] - self.arrays.shapedirs[bottom, 1]
            at_mean = self.arrays.v_template[top, 1] - self.arrays.v_template[bottom, 1]
            betas = gradient * (height_m - at_mean) / (gradient @ gradient)
            if not np.linalg.norm(betas) < 10.0:
                raise UserError(
                    f"No adult body has the height {height_m} m; give the person's height in metres, e.g. 1.72.",
                    EXIT_USAGE,
                )
            if abs(self.stature(betas) - height_m) < 1e-5:
                break
        return betas

    def torch(self, dtype: torch.dtype | None = None, device: str | torch.device = "cpu") -> TorchBody:
        """The batched, differentiable twin of this body (float32 unless told otherwise)."""
        import torch

        from biopose_live.body.torch_body import TorchBody

        return TorchBody(self, torch.float32 if dtype is None else dtype).to(device)

    def _checked(self, betas: np.ndarray) -> np.ndarray:
        betas = np.asarray(betas, dtype=np.float64)
        if betas.shape != (self.n_shape,):
            raise ValueError(f"betas must have shape ({self.n_shape},), got {betas.shape}")
        return betas

    def _kinematics(self, local: np.ndarray, rest: np.ndarray, transl: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Global rotations [24, 3, 3] and joint centres [24, 3] (SMPL eq. 4), one product per depth of the tree."""
        rotations, joints = np.empty((N_JOINTS, 3, 3)), np.empty((N_JOINTS, 3))
        rotations[0], joints[0] = local[0], rest[0] + transl
        offsets = (rest - rest[self.parents])[..., None]
        for level in self.levels:
            parent = self.parents[level]
            above = rotations[parent]
            rotations[level] = above @ local[level]
            joints[level] = joints[parent] + (above @ offsets[level])[..., 0]
        return rotations, joints

    def _skin_markers(
        self,
        rotations: np.ndarray,
        joints: np.ndarray,
        rest: np.ndarray,
        betas: np.ndarray,
        pose_feature: np.ndarray | None,
    ) -> np.ndarray:
        points = self.marker_template + self.marker_dirs @ betas
        if self.marker_pose_dirs is not None:
            points = points + self.marker_pose_dirs @ pose_feature
        return _skin(self.marker_weights, rotations, joints - _rotate(rotations, rest), points)


def _rotate(rotations: np.ndarray, points: np.ndarray) -> np.ndarray:
    return (rotations @ points[..., None])[..., 0]


def _skin(weights: np.ndarray, rotations: np.ndarray, shifts: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Linear blend skinning (SMPL eq. 7) of points [P, 3] under joint transforms x -> R x + shift."""
    blended = weights @ np.concatenate([rotations.reshape(-1, 9), shifts], axis=1)
    return (blended[:, :9].reshape(-1, 3, 3) @ points[..., None])[..., 0] + blended[:, 9:]
