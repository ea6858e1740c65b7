"""Feature maps on their way from the detection stage to the mqhmr stage, so that nobody computes them twice.

The detector's landmark network is the light image network's encoder, and it has just looked at the person's crop: its
maps go along with the keypoints.  They travel in 16-bit fixed point, half as large as they are and a tenth of the time
that 16-bit floats take to make (0.05 and 0.7 ms a person); what is lost is 2e-4 at most, of values up to 24.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from biopose_live.messages import FeatureMaps
from biopose_live.mqhmr.person_crop import Crop
from biopose_live.settings import Settings

ENCODER = "full"  # the landmark network whose maps the light image network was trained on
LARGEST = 24.0  # sums of four outputs of ReLU6
MOST_PEOPLE = 6  # of a frame: more maps than theirs would not fit into one message between two stages
_STEPS = np.float32(65535 / LARGEST)


def are_wanted(settings: Settings) -> bool:
    """Whether a run looks at the very maps that its detector computes."""
    return settings.image == "on" and settings.network is None and settings.detector == ENCODER


def pack(maps: Sequence[NDArray[np.float32]], crop: Crop, fingerprint: str) -> FeatureMaps:
    """`LandmarkEncoder`'s maps of a crop, values 0 to LARGEST -> what travels."""
    levels = [(level * _STEPS + np.float32(0.5)).astype(np.uint16) for level in maps]
    return FeatureMaps(fingerprint, crop.centre, crop.size, crop.angle, levels)


def unpack(packed: FeatureMaps) -> tuple[list[NDArray[np.float32]], Crop]:
    """-> the maps and the crop that they show."""
    maps = [np.multiply(level, 1 / _STEPS, dtype=np.float32) for level in packed.levels]
    return maps, Crop(packed.centre, packed.size, packed.angle)
