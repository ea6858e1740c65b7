"""The sizes of an MQ-HMR network, as they stand in a weight file's metadata."""

from __future__ import annotations

import msgspec

from biopose_live.errors import EXIT_MODEL, UserError

VERSION = 1
SCALES = (1, 2, 4, 8, 16, 32)


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """encoder: "vit" (patches of a picture) or "maps" (ready-made feature maps).

    Picture: `height` x `width` px.  vit: `depth` layers of `embed` channels and `vit_heads` heads, 16 px patches;
    `scales`: how much finer than the patch grid each level of the pyramid is (the paper's table 5).  maps:
    `map_channels`, one entry a map.  Decoder: `queries` tokens of `width_model` channels, `layers`, `heads`, `points`
    sampled a level and head, `feed` channels inside; `shape` coefficients and `markers` of the body.
    """

    encoder: str = "vit"
    height: int = 256
    width: int = 192
    depth: int = 32
    embed: int = 1280
    vit_heads: int = 16
    scales: tuple[int, ...] = (1, 4, 8, 16)
    map_channels: tuple[int, ...] = ()
    queries: int = 96
    width_model: int = 256
    layers: int = 6
    heads: int = 8
    points: int = 4
    feed: int = 1024
    shape: int = 10
    markers: int = 89
    version: int = VERSION

    @property
    def levels(self) -> int:
        return len(self.scales) if self.encoder == "vit" else len(self.map_channels)

    def check(self) -> None:
        """Raises UserError, one sentence, where the sizes do not make a network."""
        wrong = ""
        if self.version != VERSION:
            wrong = f"its version is {self.version}, this program's is {VERSION}"
        elif self.encoder not in ("vit", "maps"):
            wrong = f"its encoder is {self.encoder!r}, not vit or maps"
        elif self.height < 1 or self.width < 1 or self.queries < 1 or self.layers < 1 or self.points < 1:
            wrong = "a size is below 1"
        elif self.width_model % self.heads or (self.encoder == "vit" and self.embed % self.vit_heads):
            wrong = "its channels cannot be shared out among its heads"
        elif self.encoder == "vit" and (self.height % 16 or self.width % 16):
            wrong = f"its picture of {self.height} x {self.width} px cannot be cut into patches of 16 px"
        elif self.encoder == "vit" and (
            not self.scales or list(self.scales) != sorted(set(self.scales)) or not set(self.scales) <= set(SCALES)
        ):
            wrong = f"its scales are {self.scales}, not rising ones of {SCALES}"
        elif self.encoder == "maps" and not self.map_channels:
            wrong = "it names no feature map"
        if wrong:
            raise UserError(f"This is no architecture of the image network: {wrong}; give its own file.", EXIT_MODEL)


def vit_h() -> Architecture:
    """The paper's: ViT-H/16 at 256 x 192, 96 query tokens, levels at 1, 4, 8 and 16 times the patch grid."""
    return Architecture()
