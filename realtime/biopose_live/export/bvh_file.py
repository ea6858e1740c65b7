"""Writes BVH (Biovision hierarchical data; Meredith and Maddock, "Motion Capture File Formats Explained", 2001).

One joint per body, at the centre of the OpenSim joint that carries it.  The rest pose, which the offsets describe, is
the skeleton with every coordinate at zero: upright, arms hanging, palms forward.  Axes are OpenSim's (x forward, y up,
z right), lengths centimetres, as most programs expect.  The root has three position and three rotation channels, every
other joint three rotation channels.

BVH's Euler angles are rotations about the axes as turned so far, in the order of the channels; the middle one cannot
pass 90 degrees, where the outer two become one.  Z, X, Y is the order unless a joint comes near that (an arm raised
sideways does): then it gets the order that stays furthest away.  Angles are continuous in time and may pass 180
degrees.

Dimensions: T recorded frames, N frames of the file, B bodies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np

from biopose_live.errors import EXIT_SINK, UserError
from biopose_live.export.resampling import Grid
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import GROUND, FloatArray, SkeletonModel

CM = 100.0
USUAL_ORDER = "ZXY"
NEAR_SINGULAR = np.radians(75.0)
ORDERS = (USUAL_ORDER, *("".join(order) for order in permutations("XYZ") if "".join(order) != USUAL_ORDER))
END_SITE_M = 0.05  # length of a last bone whose body has no mass centre of its own


@dataclass(frozen=True, eq=False)
class Bones:
    """A rigid hierarchy in file order: bodies (B,), parents (B,) by place in that order (-1: root), offsets (B, 3) m,
    and the end of each body (B, 3) m from its joint, which matters where nothing follows."""

    bodies: tuple[int, ...]
    parents: tuple[int, ...]
    offsets: FloatArray
    ends: FloatArray


def bones(model: SkeletonModel, scales: FloatArray) -> Bones:
    """The bones of ``model`` stretched by ``scales`` (B, 3).

    Raises ValueError when not exactly one body stands on the ground: BVH knows one root.
    """
    parents = model.body_parents
    roots = [body for body, parent in enumerate(parents) if parent == GROUND]
    if len(roots) != 1:
        raise ValueError(f"{len(roots)} bodies stand on the ground")
    order: list[int] = []
    waiting = roots
    while waiting:
        body = waiting.pop()
        order.append(body)
        waiting += [child for child in reversed(range(len(parents))) if parents[child] == body]
    kinematics = Kinematics(model)
    zero = np.zeros(len(model.coordinates))
    rotations, origins = kinematics.forward(zero, scales)
    centres = kinematics.joint_centres(zero, scales)
    offsets, ends = np.zeros((len(order), 3)), np.zeros((len(order), 3))
    for place, body in enumerate(order):
        if parents[body] != GROUND:
            offsets[place] = centres[body] - centres[parents[body]]
        mass_centre = origins[body] + rotations[body] @ (model.bodies[body].mass_centre * scales[body])
        ends[place] = 2.0 * (mass_centre - centres[body])  # a last segment reaches about twice as far as its middle
        if np.linalg.norm(ends[place]) < 1e-3:
            ends[place] = (0.0, END_SITE_M, 0.0)
    places = tuple(order.index(parents[body]) if parents[body] != GROUND else -1 for body in order)
    return Bones(tuple(order), places, offsets, ends)


@dataclass(frozen=True, eq=False)
class Poses:
    """Rotations (T, B, 3, 3) of each joint against its parent's, relative to the rest pose; root positions (T, 3) m;
    ``slack``, the furthest (m) that a joint centre of the skeleton lies from that of the rigid bones."""

    local: FloatArray
    root: FloatArray
    slack: float


def poses(model: SkeletonModel, bone: Bones, scales: FloatArray, q: FloatArray) -> Poses:
    """The bones posed by coordinates ``q`` (T, Q)."""
    kinematics = Kinematics(model)
    rest = kinematics.forward(np.zeros(len(model.coordinates)), scales)[0][list(bone.bodies)]
    local = np.empty((len(q), len(bone.bodies), 3, 3))
    root = np.empty((len(q), 3))
    slack = 0.0
    for frame, row in enumerate(q):
        rotations = kinematics.forward(row, scales)[0][list(bone.bodies)] @ np.swapaxes(rest, -1, -2)
        centres = kinematics.joint_centres(row, scales)[list(bone.bodies)]
        root[frame] = centres[0]
        reached = centres.copy()
        for place, parent in enumerate(bone.parents):
            if parent < 0:
                local[frame, place] = rotations[place]
            else:
                local[frame, place] = rotations[parent].T @ rotations[place]
                reached[place] = reached[parent] + rotations[parent] @ bone.offsets[place]
        slack = max(slack, float(np.linalg.norm(reached - centres, axis=1).max()))
    return Poses(local, root, slack)


def euler(rotations: FloatArray, order: str) -> FloatArray:
    """Angles (..., 3) rad of ``rotations`` (..., 3, 3) about the axes ``order`` as turned so far.

    The middle one lies within 90 degrees; there the last is zero.
    """
    i, j, k = ("XYZ".index(axis) for axis in order)
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    cosine = np.hypot(rotations[..., i, i], rotations[..., i, j])
    middle = np.arctan2(sign * rotations[..., i, k], cosine)
    first = np.arctan2(-sign * rotations[..., j, k], rotations[..., k, k])
    last = np.arctan2(-sign * rotations[..., i, j], rotations[..., i, i])
    locked = cosine < 1e-9
    first = np.where(locked, np.arctan2(sign * rotations[..., k, j], rotations[..., j, j]), first)
    return np.stack([first, middle, np.where(locked, 0.0, last)], -1)


def best_order(rotations: FloatArray) -> str:
    """The order of channels for one joint's ``rotations`` (T, 3, 3), see the top of this file."""
    reach = {order: float(np.abs(euler(rotations, order)[..., 1]).max()) for order in ORDERS}
    return USUAL_ORDER if reach[USUAL_ORDER] <= NEAR_SINGULAR else min(ORDERS, key=lambda order: reach[order])


def continuous(angles: FloatArray) -> FloatArray:
    """Euler angles (N, B, 3) rad of the same rotations, each frame as near as can be to the one before."""
    result = angles.copy()
    half = np.array([np.pi, np.pi, np.pi])  # (a, b, c) and (a + 180, 180 - b, c + 180) degrees turn alike
    for frame in range(1, len(result)):
        before, plain = result[frame - 1], angles[frame]
        other = half + plain * (1.0, -1.0, 1.0)
        near = [value + 2.0 * np.pi * np.round((before - value) / (2.0 * np.pi)) for value in (plain, other)]
        far = [np.abs(value - before).sum(axis=1) for value in near]
        result[frame] = np.where((far[0] <= far[1])[:, None], near[0], near[1])
    return result


def write_bvh(
    path: Path, names: Sequence[str], bone: Bones, orders: Sequence[str], grid: Grid, posed: Poses, part: slice
) -> None:
    """Writes the frames ``part`` of ``grid`` to ``path``; ``names`` of the bodies and ``orders`` in file order.

    None of these frames may be missing in the grid.  Raises UserError (sink).
    """
    local, root = grid.rotations(posed.local)[part], grid.linear(posed.root)[part]
    angles = np.stack([euler(local[:, place], order) for place, order in enumerate(orders)], 1)
    angles = np.degrees(continuous(angles)).reshape(len(local), -1)
    lines = ["HIERARCHY"]
    _joint(lines, 0, 0, names, bone, orders)
    lines += ["MOTION", f"Frames: {len(local)}", f"Frame Time: {1.0 / grid.rate:.9f}"]
    rows = np.concatenate([root * CM, angles], axis=1)
    try:
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.write("\n".join(lines) + "\n")
            for row in rows:
                file.write(" ".join(f"{value:.6f}" for value in row) + "\n")
    except OSError as error:
        raise UserError(
            f"Cannot write {path} ({error.strerror}): choose another folder with --out.", EXIT_SINK
        ) from error


def _joint(lines: list[str], place: int, depth: int, names: Sequence[str], bone: Bones, orders: Sequence[str]) -> None:
    tab = "\t" * depth
    positions = "" if depth else "Xposition Yposition Zposition "
    rotations = " ".join(f"{axis}rotation" for axis in orders[place])
    lines += [
        f"{tab}{'JOINT' if depth else 'ROOT'} {names[place]}",
        f"{tab}{{",
        f"{tab}\t{_offset(bone.offsets[place])}",
    ]
    lines.append(f"{tab}\tCHANNELS {3 if depth else 6} {positions}{rotations}")
    children = [child for child, parent in enumerate(bone.parents) if parent == place]
    for child in children:
        _joint(lines, child, depth + 1, names, bone, orders)
    if not children:
        lines += [f"{tab}\tEnd Site", f"{tab}\t{{", f"{tab}\t\t{_offset(bone.ends[place])}", f"{tab}\t}}"]
    lines.append(f"{tab}}}")


def _offset(metres: FloatArray) -> str:
    return "OFFSET " + " ".join(f"{value:.6f}" for value in metres * CM)
