"""Draws short windows of poses: motion capture, varied within what joints allow, and procedural squats and stances.

Body frame: x to the subject's left, y up, z forward, so a rotation about +x bends the trunk forward and the knee
backward, and about -x lifts the thigh.  A window holds the pose at each of the network's lags (newest first).

Letters: B windows, F = lags, J = 22 joints (SMPL order without hands).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biopose_live.mqhmr.lifter import JOINTS
from biopose_live.mqhmr.view import LAGS_S

Floats = NDArray[np.float32]
DEG = np.pi / 180.0
LEGS = [1, 2, 4, 5, 7, 8, 10, 11]
ARMS = [13, 14, 16, 17, 18, 19, 20, 21]
SPINE = [3, 6, 9]
HIPS, KNEES, ANKLES = (1, 2), (4, 5), (7, 8)

# Standard deviation of a window's constant change of pose, degrees, about each joint's own x, y, z: mostly along the
# directions in which the joint moves (knees hinge about x).
VARIATION_DEG = {
    0: (4, 0, 4),
    **dict.fromkeys(HIPS, (9, 6, 5)),
    **dict.fromkeys(KNEES, (8, 1.5, 1.5)),
    **dict.fromkeys(ANKLES, (7, 4, 4)),
    10: (6, 1, 1),
    11: (6, 1, 1),
    **dict.fromkeys(SPINE, (4, 3, 3)),
    12: (6, 6, 6),
    15: (6, 8, 6),
    13: (3, 4, 4),
    14: (3, 4, 4),
    16: (10, 10, 10),
    17: (10, 10, 10),
    18: (5, 6, 5),
    19: (5, 6, 5),
    20: (8, 8, 8),
    21: (8, 8, 8),
}

# How differently people share the trunk's lean between pelvis and spine (one-sigma); trunk and legs stay in place.
LUMBOPELVIC_DEG = 7.0


def exp(vectors: Tensor) -> Tensor:
    """(..., 3) rotation vectors -> (..., 3, 3), Rodrigues."""
    angle = vectors.norm(dim=-1, keepdim=True).clamp(min=1e-8)
    x, y, z = (vectors / angle).unbind(-1)
    zero = torch.zeros_like(x)
    k = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).view(*x.shape, 3, 3)
    a = angle[..., None]
    return torch.eye(3, dtype=vectors.dtype) + torch.sin(a) * k + (1 - torch.cos(a)) * (k @ k)


class PoseBank:
    """Motion capture retargeted to the body, from `python -m biopose_live.training.motion`.

    `subjects` limits it to the clips whose subject is (or, with `hold_out`, is not) in the list.
    """

    def __init__(self, path: Path, hold_out: frozenset[str] = frozenset(), only: frozenset[str] | None = None) -> None:
        data = np.load(path, allow_pickle=False)
        theta, trans, clip = data["theta"], data["trans"], data["clip_index"]
        subject = data["subject"]
        if len(subject) != len(theta):
            subject = subject[clip]
        keep = np.array([s not in hold_out if only is None else s in only for s in subject])
        self.theta = theta[keep][:, :JOINTS].astype(np.float32)
        self.trans = trans[keep].astype(np.float32)
        clip = clip[keep]
        self.fps = float(data["fps"])
        starts = np.flatnonzero(np.r_[True, clip[1:] != clip[:-1]])
        ends = np.r_[starts[1:], len(clip)]
        self.first = np.repeat(starts, ends - starts)  # (T,) first frame of each frame's clip
        # Long clips of one activity must not drown the rare ones: a clip weighs as the square root of its length.
        weight = np.repeat(1.0 / np.sqrt(ends - starts), ends - starts)
        self.cumulative = np.cumsum(weight / weight.sum())

    def windows(self, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """-> theta (B, F, J, 3) axis-angle, trans (B, F, 3) m relative to the newest frame."""
        now = np.minimum(np.searchsorted(self.cumulative, rng.random(count)), len(self.theta) - 1)
        speed = np.exp(rng.normal(0.0, 0.25, count)) * np.where(rng.random(count) < 0.15, 0.0, 1.0)
        back = np.rint(np.array(LAGS_S) * self.fps * speed[:, None]).astype(int)
        index = np.maximum(now[:, None] - back, self.first[now][:, None])
        return self.theta[index], self.trans[index] - self.trans[now][:, None]


def _rotation_x(angle: Floats) -> Floats:
    out = np.zeros((*angle.shape, 3), np.float32)
    out[..., 0] = angle
    return out


def balanced_trunk(
    shank: NDArray[np.floating], knee: NDArray[np.floating], support: NDArray[np.floating]
) -> NDArray[np.floating]:
    """The trunk's forward lean (degrees) that keeps the centre of mass over the feet.

    shank: forward lean of the shank; knee: flexion; degrees.  support: where under the foot the weight lies, m in front
    of the ankle.  Planar, with Winter's (2009) segment masses and lengths of a 1.70 m adult: thigh and shank 0.2 and
    0.093 of the body's mass, head, arms and trunk 0.678 with their centre 0.36 m above the hips.
    """
    knee_x = 0.42 * np.sin(shank * DEG)
    hip_x = knee_x - 0.41 * np.sin((knee - shank) * DEG)
    legs = 0.2 * (0.567 * hip_x + 0.433 * knee_x) + 0.093 * 0.567 * knee_x
    needed = (support * 0.971 - legs) / 0.678 - hip_x
    lean: NDArray[np.floating] = np.degrees(np.arcsin(np.clip(needed / 0.36, -0.3, 0.97)))
    return lean


def procedural_legs(
    count: int, rng: np.random.Generator, lags: NDArray[np.float64] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Squats, sitting down and getting up, lunges, landings and one-legged stances.

    lags (F,) s before now, the network's own when None.
    -> root tilt (B, F, 3, 3), legs (B, F, 8, 3, 3) in the order of LEGS, spine flexion (B, F) rad.
    The shank's lean s, the knee k and the pelvis' lean p give hip = s - k - p and ankle = -s for a flat foot.
    """
    n, u = rng.normal, rng.uniform
    lag = np.array(LAGS_S) if lags is None else lags
    period, phase = u(0.5, 3.5, count), u(0, 1, count)
    moving = rng.random(count) < 0.8
    time = phase[:, None] - np.where(moving, 1 / period, 0.0)[:, None] * lag
    hold = u(0.0, 0.3, (count, 1))
    wave = np.clip((np.abs((time % 1.0) * 2 - 1) - hold) / (1 - 2 * hold), 0, 1)
    w = wave * wave * (3 - 2 * wave)  # 0 upright .. 1 deepest
    deep = u(10, 135, (count, 1))
    sits = rng.random((count, 1)) < 0.3
    deep = np.where(sits, n(90, 12, (count, 1)), deep)
    shank_share = u(0.12, 0.42, (count, 1))
    knees = deep * w + np.abs(n(4, 4, (count, 1)))
    trunk = balanced_trunk(knees * shank_share, knees, n(0.05, 0.035, (count, 1)))
    trunk = np.where(sits, n(4, 8, (count, 1)) + np.abs(n(25, 15, (count, 1))) * 4 * w * (1 - w), trunk)
    # What part of the trunk's lean the spine takes over from the pelvis: in squats the lumbar spine flexes by 20 to 30
    # degrees where the trunk leans by 40 to 50 (McKean et al. 2010, List et al. 2013).
    bend = u(0.1, 0.7, (count, 1))
    pelvis = n(2, 6, (count, 1)) + (1 - bend) * trunk
    side = n(0, 4, (count, 1)) * np.ones_like(w)
    kind = rng.random((count, 1))
    split, single = (kind > 0.65) & (kind < 0.82), kind >= 0.82
    legs = np.zeros((count, len(lag), 8, 3), np.float32)
    width, toe_out = n(0, 7, (count, 1)), n(4, 9, (count, 1))  # on top of the rest pose's own stance
    lifted = rng.integers(0, 2, (count, 1))
    for i, sign in enumerate((1.0, -1.0)):
        knee = knees + n(0, 2, (count, 1))
        shank = knee * shank_share + n(0, 2, (count, 1))
        shank = np.where(sits, n(8, 8, (count, 1)) * np.sqrt(w), shank)
        back_leg = split & (lifted == i)
        knee = np.where(back_leg, np.abs(n(20, 20, (count, 1))) + 0.8 * deep * w, knee)
        shank = np.where(back_leg, knee * 0.6 + n(25, 12, (count, 1)) * (0.3 + w), shank)
        hip = shank - knee - pelvis
        free = single & (lifted == i)
        knee = np.where(free, np.abs(n(30, 35, (count, 1))) * (0.4 + 0.6 * w), knee)
        hip = np.where(free, -n(25, 35, (count, 1)) * (0.4 + 0.6 * w) - pelvis, hip)
        ankle = np.where(free, n(10, 15, (count, 1)), -shank + n(0, 3, (count, 1)))
        abduction = np.where(free, n(12, 16, (count, 1)), width + n(0, 2, (count, 1))) - sign * side
        turn = toe_out + n(0, 4, (count, 1))
        legs[:, :, i, 0], legs[:, :, i, 1], legs[:, :, i, 2] = hip * DEG, sign * turn * DEG, sign * abduction * DEG
        legs[:, :, 2 + i, 0] = np.clip(knee, 0, 150) * DEG
        legs[:, :, 4 + i, 0] = np.clip(ankle, -45, 50) * DEG
        legs[:, :, 4 + i, 2] = -sign * abduction * DEG * np.where(free, 0, 0.8)
    pitch, roll = torch.from_numpy(pelvis * DEG), torch.from_numpy(side * DEG)
    zero = torch.zeros_like(pitch)
    root = exp(torch.stack([zero, zero, roll], -1).float()) @ exp(torch.stack([pitch, zero, zero], -1).float())
    # Hip: abduction, then axial turn, then flexion, each about the pelvis' axes in turn.
    rotation = exp(torch.from_numpy(legs))
    hips = torch.from_numpy(legs[:, :, :2])
    z = torch.zeros_like(hips[..., 0])
    rotation[:, :, :2] = (
        exp(torch.stack([z, z, hips[..., 2]], -1))
        @ exp(torch.stack([z, hips[..., 1], z], -1))
        @ exp(torch.stack([hips[..., 0], z, z], -1))
    )
    spine = torch.from_numpy((bend * trunk + n(2, 8, (count, 1))) * DEG).float()
    return root, rotation, spine


def draw(
    bank: PoseBank, count: int, rng: np.random.Generator, mirror: NDArray[np.int64]
) -> tuple[Tensor, Tensor, Tensor]:
    """-> local rotations (B, F, J, 3, 3) (row 0: the root in a world with y up, any heading), trans (B, F, 3) m, and
    planted (B,): windows whose translation is still to be found from the foot that stands.

    mirror (J,): each joint's left-right partner.
    """
    theta, trans = bank.windows(count, rng)
    flip = rng.random(count) < 0.5
    theta[flip] = theta[flip][:, :, mirror] * np.array([1, -1, -1], np.float32)
    trans[flip] *= np.array([-1, 1, 1], np.float32)
    rotations = exp(torch.from_numpy(theta))
    # Arms of one clip on the legs of another: combinations that no clip holds.
    swap = np.flatnonzero(rng.random(count) < 0.35)
    other = rng.permutation(count)[: len(swap)]
    take, give, arms = torch.from_numpy(swap)[:, None], torch.from_numpy(other)[:, None], torch.tensor(ARMS)[None]
    rotations[take, :, arms] = rotations[give, :, arms]
    planted = rng.random(count) < 0.33
    made = torch.from_numpy(np.flatnonzero(planted))
    if len(made):
        root, legs, spine = procedural_legs(len(made), rng)
        rotations[made, :, 0] = root
        rotations[made[:, None], :, torch.tensor(LEGS)[None]] = legs.transpose(1, 2)
        third = exp(torch.stack([spine / 3, torch.zeros_like(spine), torch.zeros_like(spine)], -1))
        rotations[made[:, None], :, torch.tensor(SPINE)[None]] = third[:, None].expand(-1, 3, -1, -1, -1)
        trans[made.numpy()] = 0.0
    rotations = rotations.clone()
    roll_back = torch.from_numpy(rng.normal(0, LUMBOPELVIC_DEG, (count, 1)) * DEG).float().expand(-1, len(LAGS_S))
    zero = torch.zeros_like(roll_back)
    whole, part = exp(torch.stack([roll_back, zero, zero], -1)), exp(torch.stack([roll_back / 3, zero, zero], -1))
    rotations[:, :, 0] = rotations[:, :, 0] @ whole.transpose(-1, -2)
    for joint in HIPS:
        rotations[:, :, joint] = whole @ rotations[:, :, joint]
    for joint in SPINE:
        rotations[:, :, joint] = part @ rotations[:, :, joint]
    sigma = np.array([VARIATION_DEG.get(j, (3, 3, 3)) for j in range(JOINTS)], np.float32) * np.float32(DEG)
    strength = rng.choice([0.0, 1.0, 2.0], count, p=[0.25, 0.55, 0.2]).astype(np.float32)
    change = rng.normal(size=(count, 1, JOINTS, 3)).astype(np.float32) * sigma * strength[:, None, None, None]
    return rotations @ exp(torch.from_numpy(change)), torch.from_numpy(trans), torch.from_numpy(planted)
