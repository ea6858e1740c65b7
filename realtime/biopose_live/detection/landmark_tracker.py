"""Follows people with MediaPipe's landmark network alone: each frame's keypoints give the next frame's crop.

MediaPipe Tasks does the same in its VIDEO mode, and smooths the keypoints besides, which makes them late.  Running the
network itself shows the keypoints of now, and costs so much less that a second look at each person is to be had,
mirrored: what the network gets wrong one way round, it gets wrong the other way in the mirror, and the mean of both is
nearer to the truth.  Both looks go on at the same time, each with a network of its own (75 MB): on two free cores 11 ms
instead of 20, for the same work.  People are found by MediaPipe Tasks (IMAGE mode), while fewer than `people` are
followed.

Dimension letter: K = 33 keypoints, MediaPipe order.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from biopose_live.detection.pose_landmarker import SMALLEST_SIDE, PoseLandmarker, RawPerson
from biopose_live.messages import FeatureMaps
from biopose_live.mqhmr import handed_maps
from biopose_live.mqhmr.encoder import FINGERPRINTS, Encoded, LandmarkEncoder
from biopose_live.mqhmr.person_crop import SIDE, Crop, person_crop
from biopose_live.rotations import to_matrix

FINDER = "lite"  # whose keypoints only say where to look
MIRRORED = ("lite", "full")  # models cheap enough to look twice
PRESENT = 0.5  # MediaPipe's own threshold for going on with a person
LOOK_AGAIN = 0.15  # crop sizes that somebody has moved between two frames, from which on the crop is cut anew
SEARCH_EVERY_NS = 300_000_000  # while some but not all are followed
SAME_PERSON = 0.15  # crop sizes between two people's keypoints, on average, below which they are one

# Left and right of the face's, arms', hands', legs' and feet's keypoints change places in a mirror.
_PAIRS = ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((k, k + 1) for k in range(11, 33, 2)))
MIRROR = np.arange(33)
for _left, _right in _PAIRS:
    MIRROR[_left], MIRROR[_right] = _right, _left


@dataclass(frozen=True, slots=True)
class Look:
    """keypoints (K, 2) px of the frame, visibility (K,), world (K, 3) m as `RawPerson.world`, presence 0..1; maps: what
    the network saw in the crop, where they are wanted."""

    keypoints: NDArray[np.float64]
    visibility: NDArray[np.float64]
    world: NDArray[np.float64]
    presence: float
    crop: Crop
    maps: FeatureMaps | None = None


def unmirrored(seen: Encoded) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """-> keypoints (K, 2) px of the crop, visibility (K,), world (K, 3): what a mirrored crop says of the crop."""
    keypoints, world = seen.keypoints[MIRROR].astype(np.float64), seen.world[MIRROR].astype(np.float64)
    keypoints[:, 0] = SIDE - keypoints[:, 0]
    world[:, 0] = -world[:, 0]
    return keypoints, seen.visibility[MIRROR].astype(np.float64), world


class LandmarkTracker:
    """Follows up to `people` persons.  Frames must come in order; not for use by two threads at once.

    `maps`: whether the people come with the feature maps of their crops, the first `handed_maps.MOST_PEOPLE` of them.
    Raises UserError when a model file is missing, damaged or another one.
    """

    def __init__(self, model: str = "full", people: int = 1, threads: int = 1, *, maps: bool = False) -> None:
        if model not in FINGERPRINTS:
            raise ValueError(f"there is no model {model!r}, only {sorted(FINGERPRINTS)}")
        cv2.setNumThreads(1)  # cutting out 256 px gains nothing from threads that wait for it
        self._encoder = LandmarkEncoder(model, threads)
        self._mirror = LandmarkEncoder(model, threads) if model in MIRRORED else None
        self._beside = ThreadPoolExecutor(1, "mirrored look")
        self._maps = maps
        self._finder = PoseLandmarker(FINDER, people, follow=False)
        self._people = people
        self._followed: list[Look] = []
        self._searched: int | None = None

    def __call__(self, image: NDArray[np.uint8], t: int) -> list[RawPerson]:
        """-> the people in an RGB frame (height, width, 3) caught at t (ns, any origin).

        A frame under 16 px a side has nobody in it.

        Raises ValueError when the array is no RGB frame.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"a frame is (height, width, 3) uint8 RGB, not {image.shape} {image.dtype}")
        if min(image.shape[:2]) < SMALLEST_SIDE:
            self._followed = []
            return []
        seen = [self._follow(image, person) for person in self._followed]
        self._followed = _different([look for look in seen if look is not None])
        if len(self._followed) < self._people and self._search_is_due(t):
            self._searched = t
            for found in self._finder(image, t):
                if len(self._followed) == self._people:
                    break
                look = self._look(image, person_crop(found.keypoints[:, :2].astype(np.float64)))
                if look.presence >= PRESENT and len(_different([*self._followed, look])) > len(self._followed):
                    self._followed.append(look)
        return [
            RawPerson(
                np.concatenate([look.keypoints, look.visibility[:, None]], 1).astype(np.float32),
                look.world.astype(np.float32),
                look.maps if i < handed_maps.MOST_PEOPLE else None,
            )
            for i, look in enumerate(self._followed)
        ]

    def _search_is_due(self, t: int) -> bool:
        return not self._followed or self._searched is None or t - self._searched >= SEARCH_EVERY_NS

    def _follow(self, image: NDArray[np.uint8], person: Look) -> Look | None:
        """-> the person in the next frame, None when lost."""
        look = self._look(image, person_crop(person.keypoints))
        if look.presence >= PRESENT:
            better = person_crop(look.keypoints)
            moved = float(np.linalg.norm(better.centre - look.crop.centre)) / look.crop.size
            if moved > LOOK_AGAIN:
                look = self._look(image, better)
        return look if look.presence >= PRESENT else None

    def _look(self, image: NDArray[np.uint8], crop: Crop) -> Look:
        cut = crop.cut(image)
        beside = None if self._mirror is None else self._beside.submit(self._mirror, cut[:, ::-1], maps=False)
        seen = self._encoder(cut, maps=self._maps)
        mirrored = None if beside is None else beside.result()
        keypoints = seen.keypoints.astype(np.float64)
        visibility, world = seen.visibility.astype(np.float64), seen.world.astype(np.float64)
        presence, maps = seen.presence, None
        if self._maps and presence >= PRESENT:
            maps = handed_maps.pack(seen.maps, crop, self._encoder.fingerprint)
        if mirrored is not None and presence >= PRESENT:
            other = unmirrored(mirrored)
            keypoints, visibility, world = (
                0.5 * (a + b) for a, b in zip((keypoints, visibility, world), other, strict=True)
            )
            presence = 0.5 * (presence + mirrored.presence)
        # The network's axes are the crop's; the frame's are turned by the crop's angle.
        turn = to_matrix(np.array([0.0, 0.0, crop.angle]))
        return Look(crop.out_of(keypoints), visibility, world @ turn.T, presence, crop, maps)

    def close(self) -> None:
        """Ends MediaPipe's graph and the second thread; further calls are errors."""
        self._beside.shutdown()
        self._finder.close()

    def __enter__(self) -> LandmarkTracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _different(looks: list[Look]) -> list[Look]:
    """-> the looks without those at somebody whom an earlier one shows."""
    kept: list[Look] = []
    for look in looks:
        size = look.crop.size
        if all(np.linalg.norm(look.keypoints - k.keypoints, axis=1).mean() > SAME_PERSON * size for k in kept):
            kept.append(look)
    return kept
