"""Backbones that others trained, into our `ViT`: the layouts of ViTPose, HMR2.0 (4D-Humans) and TokenHMR.

    ViTPose      {"state_dict": {"backbone.patch_embed.proj.weight", ..., "keypoint_head. ..."}}
    its backbone {"state_dict": {"patch_embed.proj.weight", ...}}, as 4D-Humans starts from
    HMR2.0       of Lightning: {"state_dict": {"backbone. ...", "smpl_head. ...", ...}, "hyper_parameters": ...}
    TokenHMR     as HMR2.0, its smpl_head with a tokenizer

All of them are one network: `patch_embed.proj`, `pos_embed` (1, 1 + N, C), `blocks.i.{norm1, attn.qkv, attn.proj,
norm2, mlp.fc1, mlp.fc2}`, `last_norm`.  Entry 0 of `pos_embed` is that of a class token which none of them has; they
add it to all the others.  Files without that entry are read too, and other grids are resized (bicubic).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.mqhmr.network.checkpoint_file import read_tensors
from biopose_live.mqhmr.network.vit import PATCH, ViT

# What tells other vision transformers apart, and what they are.
OTHERS = {
    "cls_token": "a classifier with a class token",
    "mask_token": "a masked autoencoder",
    "decoder_embed.weight": "a masked autoencoder",
    "blocks.0.attn.rel_pos_h": "a transformer with relative positions",
    "blocks.0.attn.relative_position_bias_table": "a transformer with relative positions",
    "blocks.0.ls1.gamma": "DINOv2",
    "blocks.0.mlp.experts.0.weight": "ViTPose+, whose layers differ from dataset to dataset",
    "embeddings.patch_embeddings.projection.weight": "a Hugging Face conversion",
    "layer1.0.conv1.weight": "a ResNet",
    "stage2.0.branches.0.0.conv1.weight": "an HRNet",
}


@dataclass(frozen=True)
class Loaded:
    """layout: whose file it is; grid: (height, width) of the patch grid it was made for."""

    layout: str
    grid: tuple[int, int]


def load_backbone(vit: ViT, path: Path) -> Loaded:
    """Copies a checkpoint's backbone into `vit`.  Raises UserError where it is none, or of other sizes."""
    tensors = read_tensors(path)
    layout, backbone = _backbone(tensors, path)
    wanted = vit.state_dict()
    position = backbone.pop("pos_embed", None)
    if position is None or position.dim() != 3 or position.shape[0] != 1:
        raise UserError(f"{path} has no position embedding (1, N, C); give a ViTPose-type backbone.", EXIT_MODEL)
    missing = sorted(set(wanted) - set(backbone) - {"pos_embed"})
    depth = 1 + max((int(k.split(".")[1]) for k in backbone if k.startswith("blocks.") and _number(k)), default=-1)
    if missing or depth != len(vit.blocks):
        detail = f"it has {depth} layers, the network {len(vit.blocks)}"
        if depth == len(vit.blocks):
            detail = f"it lacks {missing[0]}"
        raise UserError(f"{path} ({layout}) does not fit: {detail}; give a checkpoint of the same size.", EXIT_MODEL)
    for name in set(backbone) & set(wanted):
        found, expected = tuple(backbone[name].shape), tuple(wanted[name].shape)
        if found != expected:
            raise UserError(
                f"{path} ({layout}) does not fit: {name} is {found}, the network's {expected}; give a checkpoint of "
                "the same size.",
                EXIT_MODEL,
            )
    left_over = sorted(set(backbone) - set(wanted))
    if left_over:
        raise UserError(
            f"{path} ({layout}) has {left_over[0]}, which this backbone has not; give a ViTPose, HMR2.0 or TokenHMR "
            "checkpoint.",
            EXIT_MODEL,
        )
    position, grid = _positions(position.float(), vit.grid, path)
    if position.shape[2] != wanted["pos_embed"].shape[2]:
        raise UserError(f"{path} ({layout}) has {position.shape[2]} channels, the network others.", EXIT_MODEL)
    vit.load_state_dict({**backbone, "pos_embed": position})
    return Loaded(layout, grid)


def _number(key: str) -> bool:
    return key.split(".")[1].isdigit()


def _backbone(tensors: dict[str, Tensor], path: Path) -> tuple[str, dict[str, Tensor]]:
    """-> whose layout it is, and the backbone's tensors under its own names."""
    tensors = {name.removeprefix("module."): value for name, value in tensors.items()}
    prefixed = {k.removeprefix("backbone."): v for k, v in tensors.items() if k.startswith("backbone.")}
    bare = prefixed or tensors
    other = next((what for key, what in OTHERS.items() if key in bare), None)
    if other is None and "patch_embed.proj.weight" not in bare:
        other = "no vision transformer known here"
    if other is None and bare["patch_embed.proj.weight"].shape[1:] != (3, PATCH, PATCH):
        other = f"a transformer with patches {tuple(bare['patch_embed.proj.weight'].shape[1:])}"
    if other is None and "last_norm.weight" not in bare:
        other = "a vision transformer without ViTPose's last_norm"
    if other is not None:
        names = ", ".join(sorted(tensors)[:2])
        raise UserError(
            f"{path} is {other} (found {names}, ... in {len(tensors)} tensors); give a ViTPose, HMR2.0 or TokenHMR "
            "checkpoint.",
            EXIT_MODEL,
        )
    if not prefixed:
        return "backbone alone", dict(bare)
    rest = {name for name in tensors if not name.startswith("backbone.")}
    if any(name.startswith("keypoint_head.") for name in rest):
        return "ViTPose", prefixed
    if any(name.startswith("smpl_head.") for name in rest):
        # Its body pose comes from tokens, so that the root's rotation has a layer of its own.
        return "TokenHMR" if "smpl_head.decpose_grot.weight" in rest else "HMR2.0", prefixed
    return "backbone alone", prefixed


def _positions(position: Tensor, grid: tuple[int, int], path: Path) -> tuple[Tensor, tuple[int, int]]:
    """(1, N or 1 + N, C) -> (1, N', C) on the grid (H, W), and the grid it came from."""
    count = position.shape[1]
    source = grid if count == grid[0] * grid[1] else None
    with_class = source is None
    if source is None:
        source = grid if count - 1 == grid[0] * grid[1] else _grid(count - 1)
    if source is None:
        source, with_class = _grid(count), False
    if source is None:
        raise UserError(
            f"{path} has {count} positions, which is no grid of 4 to 3 or of equal sides, with or without a class "
            "token; give a backbone trained at 256 x 192 or the like.",
            EXIT_MODEL,
        )
    if with_class:
        position = position[:, 1:] + position[:, :1]
    if source == grid:
        return position, source
    image = position.transpose(1, 2).unflatten(2, source)
    return F.interpolate(image, size=grid, mode="bicubic", align_corners=False).flatten(2).transpose(1, 2), source


def _grid(count: int) -> tuple[int, int] | None:
    """A grid of so many patches: 4 to 3 upright, as people are cropped, else of equal sides."""
    if count < 1:
        return None
    unit = math.isqrt(count // 12)
    if unit and 12 * unit * unit == count:
        return 4 * unit, 3 * unit
    side = math.isqrt(count)
    return (side, side) if side * side == count else None
