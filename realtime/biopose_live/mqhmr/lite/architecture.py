"""The sizes of the light network, as they stand in its weight file's metadata, and the shape of every tensor.

Letters: L levels of the pyramid, P dense points (one query token each), C width of a token, H heads, D channels of a
head, N points sampled on a level, S shape coefficients.
"""

from __future__ import annotations

import msgspec

from biopose_live.mqhmr.lite.observation import OWN, WHOLE
from biopose_live.mqhmr.lite.points import JOINTS, POINTS

VERSION = 1
SHAPE = 10
POINT_HEAD = 6  # step right and down, Cholesky factor's three numbers, logit of being seen
JOINT_HEAD = 6  # correction, its log sigma
PLACE_UNIT = 0.1  # of a crop: what one unit of a point's step is


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """encoder: the landmark network whose maps are read; levels: (height, width, channels) of each; `layers` of the
    decoder with `width` channels, `heads` of self-attention, and `value_heads` of deformable attention that sample
    all channels at `points` places a level; `feed` and `hidden` channels inside the dense layers."""

    encoder: str
    levels: tuple[tuple[int, int, int], ...]
    layers: int = 2
    width: int = 128
    heads: int = 4
    value_heads: int = 4
    points: int = 4
    feed: int = 256
    hidden: int = 256
    version: int = VERSION

    @property
    def samples(self) -> int:
        """Places sampled by one token: heads, levels and points together."""
        return self.value_heads * len(self.levels) * self.points

    def tensors(self) -> dict[str, tuple[int, ...]]:
        """-> the shape of every tensor in a weight file."""
        c = self.width
        dense = {
            "whole.0": (self.hidden, WHOLE),
            "whole.2": (c, self.hidden),
            "own": (c, OWN),
            "shape": (2 * SHAPE, c),
        }
        norms = ["start"]
        shapes: dict[str, tuple[int, ...]] = {"embedding": (POINTS, c)}
        for i, (_, _, channels) in enumerate(self.levels):
            shapes |= {f"mean{i}": (channels,), f"scale{i}": (channels,)}
        for i in range(self.layers):
            layer = f"layers.{i}"
            dense |= {
                f"{layer}.qkv": (3 * c, c),
                f"{layer}.attended": (c, c),
                f"{layer}.offsets": (2 * self.samples, c),
                f"{layer}.logits": (self.samples, c),
                f"{layer}.up": (self.feed, c),
                f"{layer}.down": (c, self.feed),
            }
            norms += [f"{layer}.norms.{k}" for k in range(3)]
            # Each point has a head of its own, because each looks for something else in the same features.
            shapes |= {
                f"{layer}.points.weight": (POINTS, POINT_HEAD, 2 * c),
                f"{layer}.points.bias": (POINTS, POINT_HEAD),
                f"{layer}.joints.weight": (JOINTS, JOINT_HEAD, 2 * c),
                f"{layer}.joints.bias": (JOINTS, JOINT_HEAD),
            }
            dense |= {
                f"{layer}.values.{k}": (c, self.value_heads * channels)
                for k, (_, _, channels) in enumerate(self.levels)
            }
        for name, shape in dense.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        for name in norms:
            shapes |= {f"{name}.weight": (c,), f"{name}.bias": (c,)}
        return shapes
