"""Forward kinematics of many poses at once in torch, differentiable by the coordinates and by the body scales.

The same mathematics as `kinematics` (OpenSim's CustomJoint and Model::scale), arranged for training. A rotation by an
angle about a fixed axis is ``A + cos B + sin C`` with constant matrices (Rodrigues), into which the fixed rotations on
either side are folded; so all single rotations come out of one matrix product, joints of several axes multiply theirs,
and the tree is walked one level of depth at a time. Origins need no walk: they are sums of joint offsets along the
path to the ground. Functions other than straight lines cost only where a model has them. Inside, the poses are the
last dimension: products of small matrices then run along long rows, several times faster than matrix by matrix.

Dimensions: B bodies = J joints, Q coordinates, N poses (all leading dimensions together), K driven rotations,
T driven translations, M markers. Ground is body -1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from .model import GROUND, Axis, FloatArray, Joint, SkeletonModel, coupler_stretch, rotation_about
from .torch_functions import TorchFunctions
from .torch_markers import attached_points
from .torch_products import identity, product, turn

_EYE = np.eye(3)


class TorchKinematics(nn.Module):
    """Poses ``model`` in batches. Holds only constants (not saved in a state dict); move it with ``.to``.

    ``dtype`` and ``device`` must be those of the coordinates. Built in float64 and rounded once, so for float64 give
    ``dtype=torch.float64`` here instead of calling ``.double()`` afterwards.
    """

    factor_constant: Tensor  # (K, 9, 1)
    factor_wave: Tensor  # (K, 9, 2): the matrices that cosine and sine multiply
    by_level: Tensor  # (J,): place among joints sorted by their number of rotations, of each joint sorted by level
    by_body: Tensor  # (B,): place among joints sorted by level, of each body's joint
    offset_still: Tensor  # (J, 3, 1): fixed part of the joint's place in its parent, m
    offset_scaled: Tensor  # (J, 3, 3): part that the parent's scales multiply, m
    offset_parent: Tensor  # (J,): the parent body, 0 for the ground
    shift_joint: Tensor  # (T,): place, by level, of the joint of each driven translation
    shift_axis: Tensor  # (T, 3, 1) in the parent body's frame
    shift_still: Tensor  # (T, 1): stretch that no scale changes
    shift_scaled: Tensor  # (T, 3, 1): stretch by the parent's scales
    shift_parent: Tensor  # (T,)
    child_spread: Tensor  # (J, 3, 3): what the child's scales multiply to give the joint's place in the child, m
    child_body: Tensor  # (J,)
    path: Tensor  # (B, J): which joints lie between a body and the ground
    marker_location: Tensor  # (M, 3)
    marker_spread: Tensor  # (M, 3, 3)
    marker_bodies: Tensor  # (M,)

    def __init__(
        self, model: SkeletonModel, dtype: torch.dtype = torch.float32, device: torch.device | str | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.bodies = len(model.bodies)
        self.coordinates = len(model.coordinates)
        levels = _levels(model)
        by_level = [number for level in levels for number in level]
        joints = [model.joints[number] for number in by_level]
        self._plan_walk(levels, joints)
        self._keep_rotations(model, by_level)
        self._keep_offsets(joints)
        self._keep_couplers(model)
        self._keep("marker_location", [marker.location for marker in model.markers], (len(model.markers), 3))
        self._keep("marker_spread", [marker.spread_matrix() for marker in model.markers], (len(model.markers), 3, 3))
        self.turned_markers = any(marker.spread is not None for marker in model.markers)
        self._keep_index("marker_bodies", [marker.body for marker in model.markers])
        self.to(device=device, dtype=dtype)

    # --- constants ------------------------------------------------------------------------------------------------

    def _keep(self, name: str, values: object, shape: tuple[int, ...]) -> None:
        array = np.asarray(values, float).reshape(shape)
        self.register_buffer(name, torch.from_numpy(array.copy()), persistent=False)

    def _keep_index(self, name: str, values: Sequence[int] | FloatArray) -> None:
        self.register_buffer(name, torch.tensor(list(values), dtype=torch.int64), persistent=False)

    def _plan_walk(self, levels: list[list[int]], joints: list[Joint]) -> None:
        place = {joint.child: number for number, joint in enumerate(joints)}
        self.level_sizes = [len(level) for level in levels]
        first = 0
        for depth, size in enumerate(self.level_sizes):
            if depth:
                start = first - self.level_sizes[depth - 1]
                self._keep_index(f"up{depth}", [place[j.parent] - start for j in joints[first : first + size]])
            first += size
        self._keep_index("by_body", [place[body] for body in range(self.bodies)])
        path = np.zeros((self.bodies, len(joints)))
        for body in range(self.bodies):
            at = body
            while at != GROUND:
                path[body, place[at]] = 1.0
                at = joints[place[at]].parent
        self._keep("path", path, path.shape)

    def _keep_rotations(self, model: SkeletonModel, by_level: list[int]) -> None:
        factors = [_factors(model.joints[number]) for number in by_level]
        by_count = sorted(range(len(factors)), key=lambda number: -len(factors[number]))
        self.rotation_counts = [sum(len(row) > rank for row in factors) for rank in range(3)]
        # Every joint has a first matrix, also one that nothing turns.
        self.rotation_counts[0] = len(factors)
        flat = [
            (factors[number][rank] if factors[number] else (None, _still_matrices(model.joints[by_level[number]])))
            for rank in range(3)
            for number in by_count[: self.rotation_counts[rank]]
        ]
        matrices = np.array([three for _, three in flat]).reshape(len(flat), 3, 9)
        self._keep("factor_constant", matrices[:, 0], (len(flat), 9, 1))
        self._keep("factor_wave", matrices[:, 1:].transpose(0, 2, 1), (len(flat), 9, 2))
        turning = [axis for axis, _ in flat if axis is not None]
        self.still_joints = len(flat) > len(turning)
        # Joints that nothing turns come last among the first matrices; their angle is a row of zeros.
        rows = np.cumsum([axis is not None for axis, _ in flat]) - 1
        self._keep_index(
            "angle_row", [int(r) if axis else len(turning) for r, (axis, _) in zip(rows, flat, strict=True)]
        )
        self.angles = TorchFunctions([axis.function for axis in turning], [_driver(axis) for axis in turning])
        self._keep_index("by_level", [by_count.index(number) for number in range(len(by_count))])

    def _keep_offsets(self, joints: list[Joint]) -> None:
        count = len(joints)
        still, scaled = np.zeros((count, 3)), np.zeros((count, 3, 3))
        driven: list[tuple[int, Axis]] = []
        for number, joint in enumerate(joints):
            own = joint.parent_frame.spread_matrix()
            for axis in joint.axes[3:]:
                if axis.coordinate is not None:
                    driven.append((number, axis))
                else:
                    along = joint.parent_frame.rotation @ axis.direction * axis.function.value(0.0)
                    own = own + np.outer(along, axis.direction**2)
            if joint.parent == GROUND:
                still[number] = own.sum(axis=1)
            else:
                scaled[number] = own
        parents = [max(joint.parent, 0) for joint in joints]
        self._keep("offset_still", still, (count, 3, 1))
        self._keep("offset_scaled", scaled, (count, 3, 3))
        self._keep_index("offset_parent", parents)
        stretches = [joints[n].parent != GROUND and not axis.function.is_identity for n, axis in driven]
        self.shifts = TorchFunctions([axis.function for _, axis in driven], [_driver(axis) for _, axis in driven])
        self.shift_count = len(driven)
        self.shifts_stretch = any(stretches)
        directions = [joints[n].parent_frame.rotation @ axis.direction for n, axis in driven]
        self._keep_index("shift_joint", [n for n, _ in driven])
        self._keep("shift_axis", directions, (len(driven), 3, 1))
        self._keep("shift_still", [[float(not stretch)] for stretch in stretches], (len(driven), 1))
        squares = [axis.direction**2 * stretch for (_, axis), stretch in zip(driven, stretches, strict=True)]
        self._keep("shift_scaled", squares, (len(driven), 3, 1))
        self._keep_index("shift_parent", [parents[n] for n, _ in driven])
        spreads = np.array([joint.child_frame.spread_matrix() for joint in joints])
        self.child_offsets = bool(np.any(spreads != 0.0))
        self._keep("child_spread", spreads, (count, 3, 3))
        self._keep_index("child_body", [joint.child for joint in joints])

    def _keep_couplers(self, model: SkeletonModel) -> None:
        waiting = list(model.couplers)
        self.couplings = nn.ModuleList()
        self.couplings_stretch = False
        while waiting:
            unset = {coupler.dependent for coupler in waiting}
            ready = [coupler for coupler in waiting if coupler.independent not in unset]
            if not ready:
                raise ValueError("the couplers of the model go round in a circle")
            number = len(self.couplings)
            self._keep_index(f"coupled{number}", [coupler.dependent for coupler in ready])
            stretches = [coupler_stretch(model, coupler) for coupler in ready]
            still = [[float(body == GROUND)] for body, _ in stretches]
            self._keep(f"coupled_still{number}", still, (len(ready), 1))
            self._keep(f"coupled_scaled{number}", [weights for _, weights in stretches], (len(ready), 3, 1))
            self._keep_index(f"coupled_parent{number}", [max(body, 0) for body, _ in stretches])
            self.couplings_stretch = self.couplings_stretch or any(body != GROUND for body, _ in stretches)
            self.couplings.append(TorchFunctions([c.function for c in ready], [c.independent for c in ready]))
            waiting = [coupler for coupler in waiting if coupler not in ready]

    # --- poses ----------------------------------------------------------------------------------------------------

    def forward(self, q: Tensor, scales: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Rotations (..., B, 3, 3) and origins (..., B, 3) m of the bodies in ground.

        ``q`` (..., Q) rad or m: coupled coordinates follow those they are coupled to, whatever ``q`` says; locked ones
        are taken from ``q``. ``scales`` broadcast to (..., B, 3), one when None. Raises ValueError for a wrong shape,
        dtype or device.
        """
        batch, rows, stretch = self._flatten(q, scales)
        # Half precision, which autocast would choose for the products, puts a hand centimetres off.
        with torch.autocast(rows.device.type, enabled=False):
            rotation, origin = self._pose(rows, stretch)
        return (
            rotation.permute(3, 0, 1, 2).reshape(*batch, self.bodies, 3, 3),
            origin.permute(2, 0, 1).reshape(*batch, self.bodies, 3),
        )

    def markers(
        self,
        q: Tensor,
        scales: Tensor | None = None,
        marker_bodies: Sequence[int] | FloatArray | Tensor | None = None,
        locations: Tensor | None = None,
    ) -> Tensor:
        """Markers (..., M, 3) m in ground at ``q`` (..., Q) under ``scales``, as `forward` takes them.

        The model's own markers when ``marker_bodies`` is None. Else points fixed to ``marker_bodies`` (M,):
        ``locations`` (M, 3) m in the *unscaled* body frames, stretched with their bodies, or one set per sample,
        (..., M, 3) m in the *scaled* body frames. Differentiable by all three. Raises ValueError for a wrong shape.
        """
        rotations, origins = self(q, scales)
        return self.place_markers(rotations, origins, scales, marker_bodies, locations)

    def joint_centres(self, q: Tensor, scales: Tensor | None = None) -> Tensor:
        """Centre (..., B, 3) m in ground of the joint that carries each body, by body. Raises as `forward`."""
        batch, rows, stretch = self._flatten(q, scales)
        with torch.autocast(rows.device.type, enabled=False):
            rotation, origin = self._pose(rows, stretch)
            if self.child_offsets:
                local = self._child_offset(stretch).expand(-1, -1, rows.shape[1]).index_select(0, self.by_body)
                origin = origin + turn(rotation, local)
        return origin.permute(2, 0, 1).reshape(*batch, self.bodies, 3)

    def place_markers(
        self,
        rotations: Tensor,
        origins: Tensor,
        scales: Tensor | None = None,
        marker_bodies: Sequence[int] | FloatArray | Tensor | None = None,
        locations: Tensor | None = None,
    ) -> Tensor:
        """Markers (..., M, 3) m in ground of bodies posed by `forward` under ``scales``; see `markers`."""
        batch = origins.shape[:-2]
        if tuple(origins.shape[-2:]) != (self.bodies, 3) or rotations.shape != (*origins.shape, 3):
            raise ValueError(
                f"rotations and origins have shapes {tuple(rotations.shape)} and {tuple(origins.shape)}, expected "
                f"(..., {self.bodies}, 3, 3) and (..., {self.bodies}, 3)"
            )
        rotation = rotations.reshape(math.prod(batch), self.bodies, 3, 3).permute(1, 2, 3, 0)
        origin = origins.reshape(math.prod(batch), self.bodies, 3).permute(1, 2, 0)
        stretch = None if scales is None else self._stretch(scales, batch)
        if marker_bodies is None:
            marker_bodies, locations = [marker.body for marker in self.model.markers], self.marker_location
            if self.turned_markers and stretch is not None:
                known = torch.cat([stretch, torch.ones_like(stretch[:1])])  # the ground, -1, comes last
                local = torch.bmm(self.marker_spread, known[self.marker_bodies])
                locations = local.permute(2, 0, 1).reshape(*batch, len(marker_bodies), 3)
        if locations is None:
            raise ValueError("marker bodies were given without marker locations")
        numbers = torch.as_tensor(marker_bodies).detach().cpu().numpy().astype(np.int64)
        if numbers.ndim != 1 or np.any(numbers < GROUND) or np.any(numbers >= self.bodies):
            raise ValueError(f"marker bodies must be a list of numbers from {GROUND} to {self.bodies - 1}")
        if np.any(numbers == GROUND):
            poses = rotation.shape[-1]
            rotation = torch.cat([rotation, identity(rotation, 1, poses)])
            origin = torch.cat([origin, origin.new_zeros((1, 3, poses))])
            if stretch is not None:
                stretch = torch.cat([stretch, stretch.new_ones((1, 3, poses))])
            numbers = np.where(numbers == GROUND, self.bodies, numbers)
        with torch.autocast(rotation.device.type, enabled=False):
            points = attached_points(rotation, origin, stretch, numbers, locations, batch)
        return points.permute(2, 0, 1).reshape(*batch, len(numbers), 3)

    def _flatten(self, q: Tensor, scales: Tensor | None) -> tuple[Sequence[int], Tensor, Tensor | None]:
        """The leading shape, ``q`` as (Q, N), scales as (B, 3, N)."""
        if q.ndim < 1 or q.shape[-1] != self.coordinates:
            raise ValueError(f"q has shape {tuple(q.shape)}, expected (..., {self.coordinates})")
        self._check_kind("q", q)
        batch = q.shape[:-1]
        rows = q.reshape(math.prod(batch), self.coordinates).t()
        return batch, rows, None if scales is None else self._stretch(scales, batch)

    def _stretch(self, scales: Tensor, batch: Sequence[int]) -> Tensor:
        """Scales as (B, 3, N)."""
        self._check_kind("scales", scales)
        shape = (*batch, self.bodies, 3)
        try:
            full = scales.expand(shape)
        except RuntimeError:
            raise ValueError(
                f"scales have shape {tuple(scales.shape)}, expected {shape} or fewer leading ones"
            ) from None
        return full.reshape(math.prod(batch), self.bodies, 3).permute(1, 2, 0)

    def _check_kind(self, name: str, tensor: Tensor) -> None:
        if tensor.dtype != self.path.dtype or tensor.device != self.path.device:
            raise ValueError(
                f"{name} is {tensor.dtype} on {tensor.device}, these kinematics are {self.path.dtype} on "
                f"{self.path.device}"
            )

    def _pose(self, q: Tensor, stretch: Tensor | None) -> tuple[Tensor, Tensor]:
        """Rotations (B, 3, 3, N) and origins (B, 3, N) at ``q`` (Q, N) under ``stretch`` (B, 3, N)."""
        poses = q.shape[1]
        for number, functions in enumerate(self.couplings):
            value = functions(q)
            if stretch is not None and self.couplings_stretch:
                along = stretch.index_select(0, self.get_buffer(f"coupled_parent{number}"))
                along = (along * self.get_buffer(f"coupled_scaled{number}")).sum(dim=1)
                value = value * (along + self.get_buffer(f"coupled_still{number}"))
            q = q.index_copy(0, self.get_buffer(f"coupled{number}"), value)
        local = self._local_rotations(q)
        above: list[Tensor] = [identity(local, self.level_sizes[0], poses)]
        levels: list[Tensor] = []
        for depth, own in enumerate(local.split(self.level_sizes)):
            if depth == 0:
                levels.append(own)
                continue
            above.append(levels[-1].index_select(0, self.get_buffer(f"up{depth}")))
            levels.append(product(above[-1], own))
        rotation = torch.cat(levels)
        offset = turn(torch.cat(above), self._offsets(q, stretch))
        if self.child_offsets:
            offset = offset - turn(rotation, self._child_offset(stretch))
        origin = torch.matmul(self.path, offset.reshape(self.bodies, 3 * poses)).reshape(self.bodies, 3, poses)
        return rotation.index_select(0, self.by_body), origin

    def _local_rotations(self, q: Tensor) -> Tensor:
        """Rotation (J, 3, 3, N) of each joint's child in its parent, joints sorted by level."""
        poses = q.shape[1]
        angle = self.angles(q)
        if self.still_joints:
            angle = torch.cat([angle, angle.new_zeros((1, poses))]).index_select(0, self.get_buffer("angle_row"))
        wave = torch.stack([angle.cos(), angle.sin()], dim=1)
        factor = torch.baddbmm(self.factor_constant, self.factor_wave, wave).reshape(len(wave), 3, 3, poses)
        all_joints, two_axes, three_axes = self.rotation_counts
        first, second, third = factor.split([all_joints, two_axes, three_axes])
        parts = [first]
        if two_axes:
            start, rest = first.split([two_axes, all_joints - two_axes])
            both = product(start, second)
            parts = [both, rest]
            if three_axes:
                start, middle = both.split([three_axes, two_axes - three_axes])
                parts = [product(start, third), middle, rest]
        return torch.cat(parts).index_select(0, self.by_level)

    def _offsets(self, q: Tensor, stretch: Tensor | None) -> Tensor:
        """Place (J, 3, N) m of each joint in its parent body's frame, joints sorted by level."""
        poses = q.shape[1]
        if stretch is None:
            offset = self.offset_still + self.offset_scaled.sum(dim=2, keepdim=True)
            offset = offset.expand(-1, -1, poses)
        else:
            offset = torch.baddbmm(self.offset_still, self.offset_scaled, stretch.index_select(0, self.offset_parent))
        if not self.shift_count:
            return offset
        amount = self.shifts(q)
        if stretch is not None and self.shifts_stretch:
            along = (stretch.index_select(0, self.shift_parent) * self.shift_scaled).sum(dim=1)
            amount = amount * (along + self.shift_still)
        return offset.index_add(0, self.shift_joint, amount[:, None] * self.shift_axis)

    def _child_offset(self, stretch: Tensor | None) -> Tensor:
        """Place (J, 3, N or 1) m of each joint in its child body's frame, joints sorted by level."""
        if stretch is None:
            return self.child_spread.sum(dim=2, keepdim=True)
        return torch.bmm(self.child_spread, stretch.index_select(0, self.child_body))


def _levels(model: SkeletonModel) -> list[list[int]]:
    """Joint numbers by their depth in the tree; children of the ground first."""
    depth: dict[int, int] = {GROUND: -1}
    levels: list[list[int]] = []
    for number, joint in enumerate(model.joints):
        depth[joint.child] = depth[joint.parent] + 1
        if depth[joint.child] == len(levels):
            levels.append([])
        levels[depth[joint.child]].append(number)
    return levels


def _driver(axis: Axis) -> int:
    assert axis.coordinate is not None
    return axis.coordinate


def _factors(joint: Joint) -> list[tuple[Axis, FloatArray]]:
    """The joint's rotation as a product of one matrix per driven rotation: ``m[0] + cos m[1] + sin m[2]``.

    Fixed rotations are taken into the factor that follows them, the last ones into the last factor.
    """
    before = joint.parent_frame.rotation
    factors: list[tuple[Axis, FloatArray]] = []
    for axis in joint.axes[:3]:
        if axis.coordinate is None:
            before = before @ rotation_about(axis.direction, axis.function.value(0.0))
            continue
        along = np.outer(axis.direction, axis.direction)
        cross = np.cross(_EYE, axis.direction)
        factors.append((axis, before @ np.stack([along, _EYE - along, cross])))
        before = _EYE
    if factors:
        axis, matrices = factors[-1]
        factors[-1] = axis, matrices @ before @ joint.child_frame.rotation.T
    return factors


def _still_matrices(joint: Joint) -> FloatArray:
    """The three matrices of a joint that nothing turns."""
    rotation = joint.parent_frame.rotation
    for axis in joint.axes[:3]:
        rotation = rotation @ rotation_about(axis.direction, axis.function.value(0.0))
    return np.stack([rotation @ joint.child_frame.rotation.T, np.zeros((3, 3)), np.zeros((3, 3))])
