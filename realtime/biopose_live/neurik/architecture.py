"""The sizes of a NeurIK network, as they stand in a weight file's metadata."""

from __future__ import annotations

import msgspec

# Ages at which a position embedding is learnt, s: dense where a video's frames lie, sparse behind.
KNOTS_S = (0.0, 0.02, 0.04, 0.07, 0.11, 0.17, 0.25, 0.4, 0.6, 0.9, 1.4, 2.1, 3.0)
MEMORY_S = KNOTS_S[-1]
VERSION = 1


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """markers M, turns F and motion: what goes in; outputs: what comes out; the rest is the network's own."""

    markers: int
    turns: int
    motion: int
    outputs: int
    channels: int = 12
    convolutions: int = 2
    kernel: int = 5
    squeezed: int = 4
    width: int = 256
    heads: int = 8
    layers: int = 4
    feed: int = 512
    window: int = 64
    version: int = VERSION

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """-> the name and shape of every tensor in the weight file."""
        width = self.width
        shapes: dict[str, tuple[int, ...]] = {}

        def dense(name: str, rows: int, columns: int, bias: bool = True) -> None:
            shapes[f"{name}.weight"] = (rows, columns)
            if bias:
                shapes[f"{name}.bias"] = (rows,)

        def norm(name: str) -> None:
            shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)

        shapes["standing"] = (self.markers, 3)  # what `observation.Observer` wants to know
        dense("spatial.embed", self.channels, 3)
        for i in range(self.convolutions):
            shapes[f"spatial.convolutions.{i}.weight"] = (self.channels, self.channels, self.kernel)
            shapes[f"spatial.convolutions.{i}.bias"] = (self.channels,)
        dense("spatial.squeeze", self.squeezed, self.channels)
        dense("spatial.flatten", width, self.markers * self.squeezed)
        dense("spatial.turns", width, self.turns + self.motion)
        norm("spatial.norm")
        for i in range(self.layers):
            block = f"blocks.{i}"
            norm(f"{block}.attention_norm")
            norm(f"{block}.feed_norm")
            for name in ("query", "value", "out"):
                dense(f"{block}.{name}", width, width)
            dense(f"{block}.key", width, width, bias=False)
            shapes[f"{block}.age"] = (len(KNOTS_S), width)
            dense(f"{block}.up", self.feed, width)
            dense(f"{block}.down", width, self.feed)
        norm("norm")
        dense("head", self.outputs, width)
        dense("skip", self.outputs, self.turns, bias=False)
        return shapes
