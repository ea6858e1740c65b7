"""What a picture adds to the keypoints: the light network's answer, as the refinement wants it.

The network's 113 places come from one pair of eyes: they err together, so each one's precision is scaled down by what
was best on rendered people that training had not seen (`PLACE_TRUST`; 0.1 to 1 differ little).

Letters: P dense points, J = 24 joints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from biopose_live.messages import FeatureMaps, Intrinsics
from biopose_live.mqhmr import handed_maps
from biopose_live.mqhmr.encoder import FINGERPRINTS, LandmarkEncoder
from biopose_live.mqhmr.lite.network import Answer, LiteNetwork
from biopose_live.mqhmr.lite.observation import Estimate, corrected, observe
from biopose_live.mqhmr.person_crop import SIDE, Crop, person_crop
from biopose_live.mqhmr.refinement import BodyPoints, place

Floats = NDArray[np.float64]

PLACE_TRUST = 0.3
SMALLEST_SIGMA_PX = 0.7  # of the crop
MARGIN = 0.1  # crops; a point that is placed farther outside is not believed


@dataclass(frozen=True, slots=True)
class Evidence:
    """places (P, 2) px of the frame and their inverse covariances (P, 3), entries xx, xy, yy in 1 / px^2; visible (P,)
    0..1; rotations (J, 3, 3), row 0 into the camera frame, and their one-sigma (J, 3) rad."""

    places: Floats
    precision: Floats
    visible: Floats
    rotations: Floats
    sigma: Floats


Look = Callable[[Estimate], Evidence]


def in_frame(answer: Answer, crop: Crop, estimate: Estimate) -> Evidence:
    """The network's answer about a crop, in the frame it was cut from."""
    places = crop.out_of(answer.places.astype(np.float64) * SIDE)
    c, s = np.cos(crop.angle), np.sin(crop.angle)
    turn = np.array([[c, -s], [s, c]])
    floor = (SMALLEST_SIGMA_PX / SIDE) ** 2 * np.eye(2)
    covariance = crop.size**2 * (turn @ (answer.covariance.astype(np.float64) + floor) @ turn.T)
    inverse = PLACE_TRUST * np.linalg.inv(covariance)
    believed = np.all((answer.places > -MARGIN) & (answer.places < 1 + MARGIN), axis=1)
    precision = np.stack([inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 1]], 1) * believed[:, None]
    return Evidence(
        places,
        precision,
        answer.visible.astype(np.float64),
        corrected(estimate, answer.corrections),
        answer.sigma.astype(np.float64),
    )


class ImageNetwork:
    """Encoder and decoder together; one for all people of a run."""

    def __init__(self, points: BodyPoints, network: LiteNetwork | None = None, *, maps_come: bool = False) -> None:
        """points: `points.dense_points` of the body; `maps_come`: the detector hands its maps over, so an encoder of
        our own is only made when one is needed after all.  Raises UserError where weights or encoder are missing,
        damaged or do not belong together."""
        cv2.setNumThreads(1)  # cutting out 256 px gains nothing from threads that wait for it
        self._network = network or LiteNetwork.load()
        self._encoder = None if maps_come else self._own_encoder()
        self._points = points

    def _own_encoder(self) -> LandmarkEncoder:
        return LandmarkEncoder(self._network.architecture.encoder, landmarks=False)

    def reads(self, maps: FeatureMaps) -> bool:
        """Whether these are the maps that the network was trained on."""
        return maps.encoder == FINGERPRINTS[self._network.architecture.encoder][0]

    def looking(
        self,
        seen: FeatureMaps | NDArray[np.uint8],
        camera: Intrinsics,
        up: Floats,
        keypoints: Floats,
        scores: Floats,
        world: Floats | None,
    ) -> Look:
        """-> what answers for an estimate of the person whose keypoints (33, 2) px these are; `seen`: the maps of
        the person that were handed over, or the RGB frame (H, W, 3); other arguments as `observation.observe`."""
        if isinstance(seen, FeatureMaps):
            maps, crop = handed_maps.unpack(seen)
        else:
            crop = person_crop(keypoints)
            self._encoder = self._encoder or self._own_encoder()
            maps = self._encoder(crop.cut(seen)).maps
        return look_through(self._network, self._points, maps, crop, camera, up, keypoints, scores, world)


def look_through(
    network: LiteNetwork,
    points: BodyPoints,
    maps: Sequence[NDArray[np.float32]],
    crop: Crop,
    camera: Intrinsics,
    up: Floats,
    keypoints: Floats,
    scores: Floats,
    world: Floats | None,
) -> Look:
    """-> what answers for an estimate from the feature maps of a crop; `points` as `ImageNetwork`'s, other arguments as
    `observation.observe`."""

    def look(estimate: Estimate) -> Evidence:
        placed, _, _ = place(points, estimate.rotations, estimate.translation, estimate.betas)
        observation = observe(crop, camera, keypoints, scores, world, estimate, up, placed)
        return in_frame(network(maps, observation), crop, estimate)

    return look
