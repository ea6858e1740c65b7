"""The sizes of the light network, as they stand in its weight file's metadata, and the shape of every tensor.

The paper's tables 4 and 5 ask what the number of query tokens and the pyramid's scales are worth: `markers` and
`levels` say which of them a network has.

Letters: L levels of the pyramid, P dense points, Q of them with a query token, C width of a token, H heads, D channels
of a head, N points sampled on a level, S shape coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from biopose_live.mqhmr.lite.observation import OWN, WHOLE
from biopose_live.mqhmr.lite.points import JOINTS, MARKERS

VERSION = 1
SHAPE = 10
POINT_HEAD = 6  # step right and down, Cholesky factor's three numbers, logit of being seen
JOINT_HEAD = 6  # correction, its log sigma
PLACE_UNIT = 0.1  # of a crop: what one unit of a point's step is


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """encoder: the landmark network whose maps are read; levels: (height, width, channels) of each that is, finest
    first; `layers` of the decoder with `width` channels, `heads` of self-attention, and `value_heads` of deformable
    attention that sample all channels at `points` places a level; `feed` and `hidden` channels inside the dense layers;
    markers: numbers, rising, of the virtual markers with a query token, None for all (joint centres always have one).
    """

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
    markers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for markers that the body has not, or in another order."""
        found = self.markers or ()
        if list(found) != sorted(set(found)) or not all(0 <= m < MARKERS for m in found):
            raise ValueError(f"markers are rising numbers from 0 to {MARKERS - 1}, found {found}")

    @property
    def queries(self) -> tuple[int, ...]:
        """(Q,) numbers of the dense points with a query token: markers, then all joint centres."""
        markers = range(MARKERS) if self.markers is None else self.markers
        return (*markers, *range(MARKERS, MARKERS + JOINTS))

    def read_of(self, levels: Sequence[tuple[int, ...]]) -> list[int]:
        """levels: (height, width, channels) of an encoder's maps -> which of them are read, in the network's order.

        Raises ValueError where one is not among them."""
        there = [tuple(level) for level in levels]
        try:
            return [there.index(tuple(level)) for level in self.levels]
        except ValueError:
            raise ValueError(f"feature maps of {self.levels} are needed; found {there}") from None

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
        queries = len(self.queries)
        shapes: dict[str, tuple[int, ...]] = {"embedding": (queries, c)}
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
                f"{layer}.points.weight": (queries, POINT_HEAD, 2 * c),
                f"{layer}.points.bias": (queries, POINT_HEAD),
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
