"""Forward kinematics of one frame, compiled: the poses of bodies, markers and joint centres in ground.

Scaling is OpenSim's (Model::scale): offset frames, mass centres and markers stretch with their body; joint
translations with the parent body along the axis in the joint's frame; translations that are coordinates do not, unless
a coupler dictates them.

Dimensions: B bodies, J = B joints, Q coordinates, M markers. Ground is not among the bodies; it is body index -1.
"""

from __future__ import annotations

import numpy as np

from .kernels import couple_scaled, forward_tree
from .model import GROUND, FloatArray, SkeletonModel
from .tree import check_bodies, check_scales, compile_tree


class Kinematics:
    """Poses ``model``. Holds nothing that changes between calls, so one object may serve several threads."""

    def __init__(self, model: SkeletonModel) -> None:
        self.model = model
        self.tree = compile_tree(model)
        self._marker_bodies = check_bodies(model, [marker.body for marker in model.markers])
        self._marker_spreads = np.array([marker.spread_matrix() for marker in model.markers]).reshape(-1, 3, 3)

    def forward(self, q: FloatArray, scales: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """Rotations (B, 3, 3) and origins (B, 3) m of the bodies in ground for coordinates ``q`` (Q,) rad or m.

        Coupled coordinates follow those they are coupled to, whatever ``q`` says; locked ones are taken from ``q``.
        ``scales`` (B, 3) default to one. Raises ValueError for a wrong shape.
        """
        rotation, position, _ = self._pose(q, check_scales(self.model, scales))
        return rotation, position

    def markers(
        self,
        q: FloatArray,
        scales: FloatArray | None = None,
        bodies: object | None = None,
        locations: FloatArray | None = None,
    ) -> FloatArray:
        """Markers (M, 3) m in ground.

        The model's own markers, stretched with their bodies; or, when given, points fixed to ``bodies`` (M,) at
        ``locations`` (M, 3) m in the *scaled* body frames. Raises ValueError for a wrong shape.
        """
        scales = check_scales(self.model, scales)
        rotation, position, _ = self._pose(q, scales)
        if bodies is None or locations is None:
            numbers = self._marker_bodies
            factors = np.where((numbers != GROUND)[:, None], scales[numbers], 1.0) if len(numbers) else np.ones((0, 3))
            points = np.einsum("mij,mj->mi", self._marker_spreads, factors)
        else:
            numbers = check_bodies(self.model, bodies)
            points = np.asarray(locations, float)
            if points.shape != (len(numbers), 3):
                raise ValueError(f"locations have shape {points.shape}, expected ({len(numbers)}, 3)")
        moved = np.einsum("mij,mj->mi", rotation[numbers], points) + position[numbers]
        result: FloatArray = np.where((numbers == GROUND)[:, None], points, moved)
        return result

    def joint_centres(self, q: FloatArray, scales: FloatArray | None = None) -> FloatArray:
        """Centre (B, 3) m in ground of the joint that carries each body, indexed by *body*."""
        _, _, pivot = self._pose(q, check_scales(self.model, scales))
        centres = np.empty_like(pivot)
        centres[self.tree.child] = pivot
        return centres

    def _pose(self, q: FloatArray, scales: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        q = np.array(q, float)
        if q.shape != (len(self.model.coordinates),):
            raise ValueError(f"q has shape {q.shape}, expected ({len(self.model.coordinates)},)")
        couple_scaled(self.tree, q, scales)
        posed: tuple[FloatArray, FloatArray, FloatArray] = forward_tree(self.tree, q, scales)
        return posed
