"""Who is who: gives the people of each frame ids that stay with them.

A person is recognised by three things: keypoints near where constant velocity would have taken them (object keypoint
similarity as COCO defines it, with one wide tolerance for all points), the time since they were last seen, and the
colours of the torso.  One exact assignment per frame settles everybody at once, whatever order they were found in.

An id lives on for `MEMORY` seconds without its person being seen, and keeps its place among `max_people` for that
long.  While nobody is known the largest person found is reported at once; anybody else only when seen a third time
without a pause over `PATIENCE`, so that a passing wrong detection does not become a person.  The time between two
frames is no pause: at a few frames per second people keep their ids too.

Dimension letter: K = 33 keypoints, MediaPipe order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biopose_live.detection.assignment import assign
from biopose_live.detection.pose_landmarker import RawPerson
from biopose_live.messages import Detected

Vector = NDArray[np.floating[Any]]

SHOULDERS, HIPS = (11, 12), (23, 24)
LIMBS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # shoulders to wrists, hips to ankles

MEMORY = 1.0  # s
PATIENCE = 0.2  # s: how long somebody not yet reported may go unseen
FRAMES_TO_BELIEVE = 3
SAME_PERSON = 0.5  # keypoint similarity of two detections in one frame from which on they are one person
DUPLICATE_TOLERANCE = 0.05  # of the person's size
NEWCOMER_TOLERANCE = 0.1  # the same, for somebody unknown who shows up on top of somebody known
MOTION_TOLERANCE = 0.1  # of the person's size, just after being seen
SLACK, SLACK_SPEED = 0.3, 1.5  # how far off the predicted place may be: body sizes, body sizes/s unseen
COLOUR_WEIGHT = 0.5
ABSENCE_WEIGHT = 0.1  # per second: of two equal candidates the one seen last goes on
UNMATCHED = 1.2  # cost above which nobody is taken for anybody
VELOCITY_TIME = 0.15  # s, smoothing
COLOUR_RATE = 0.1  # per frame
COLOUR_LEVELS = 4  # per channel
BOX_MARGIN = 0.1  # of the box's longer side
BOX_SCORE = 0.3  # keypoints less visible than this do not stretch the box


def _size(keypoints: Vector) -> float:
    """-> a person's size in the image, px: the diagonal of all keypoints."""
    extent = keypoints[:, :2].max(axis=0) - keypoints[:, :2].min(axis=0)
    return max(float(np.hypot(*extent)), 1.0)


def _centre(keypoints: Vector) -> Vector:
    return keypoints[[*SHOULDERS, *HIPS], :2].mean(axis=0)


def similarity(a: Vector, b: Vector, tolerance: float) -> float:
    """-> object keypoint similarity 0..1 of keypoints (K, 3) px; tolerance in sizes of the larger of the two.

    Keypoints that either one does not see count less.
    """
    distance2 = ((a[:, :2] - b[:, :2]) ** 2).sum(axis=1)
    weight = np.minimum(a[:, 2], b[:, 2]) + 1e-3
    scale = max(_size(a), _size(b)) * tolerance
    return float((weight * np.exp(-distance2 / (2 * scale**2))).sum() / weight.sum())


def torso_colours(image: NDArray[np.uint8], keypoints: Vector) -> Vector | None:
    """-> histogram (COLOUR_LEVELS^3,), sum 1, of the RGB pixels between shoulders and hips; None off the image."""
    left, right = keypoints[[SHOULDERS[0], HIPS[0]], :2], keypoints[[SHOULDERS[1], HIPS[1]], :2]
    steps = np.linspace(0.1, 0.9, 12)
    down_left = left[0] + steps[:, None] * (left[1] - left[0])
    down_right = right[0] + steps[:, None] * (right[1] - right[0])
    grid = down_left[:, None] + steps[None, :, None] * (down_right - down_left)[:, None]
    x, y = np.floor(grid.reshape(-1, 2)).astype(int).T
    height, width = image.shape[:2]
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    if not inside.any():
        return None
    levels = image[y[inside], x[inside]].astype(int) * COLOUR_LEVELS // 256
    index = (levels[:, 0] * COLOUR_LEVELS + levels[:, 1]) * COLOUR_LEVELS + levels[:, 2]
    return np.bincount(index, minlength=COLOUR_LEVELS**3) / len(index)


def bounding_box(keypoints: Vector, width: int, height: int) -> NDArray[np.float32]:
    """-> (4,) x, y, width, height px of the visible keypoints with a margin, within the image; size 0 outside it."""
    seen = keypoints[:, 2] >= BOX_SCORE
    points = keypoints[seen if seen.sum() >= 4 else slice(None), :2]
    low, high = points.min(axis=0), points.max(axis=0)
    margin = BOX_MARGIN * float((high - low).max())
    limits = (width, height)
    low = np.clip(low - margin, 0, limits)
    high = np.clip(high + margin, 0, limits)
    return np.array([*low, *(high - low)], np.float32)


def confidence(keypoints: Vector) -> float:
    """-> 0..1: how well the limbs are seen on average."""
    return float(keypoints[list(LIMBS), 2].mean())


@dataclass(slots=True)
class _Candidate:
    """One detection with what is derived from it once per frame."""

    person: RawPerson
    confidence: float
    box: NDArray[np.float32]
    colours: Vector | None

    def resembles(self, other: _Candidate, tolerance: float) -> bool:
        return similarity(self.person.keypoints, other.person.keypoints, tolerance) >= SAME_PERSON


class _Track:
    """One person's past: where, how fast, what colours, how often."""

    def __init__(self, found: _Candidate, t: float) -> None:
        self.id: int | None = None  # given when the person is believed
        self.keypoints: Vector = found.person.keypoints.astype(np.float64)
        self.colours = found.colours
        self.velocity = np.zeros(2)  # px/s
        self.frames = 1
        self.t = t

    @property
    def settled(self) -> bool:
        return self.id is not None or self.frames >= FRAMES_TO_BELIEVE

    @property
    def memory(self) -> float:
        """-> s; somebody reported at once who was hardly seen since does not keep a place from others."""
        return MEMORY if self.id is not None and self.frames >= FRAMES_TO_BELIEVE else PATIENCE

    def expected(self, t: float) -> Vector:
        """-> (K, 3): the last keypoints moved on to time t."""
        moved = self.keypoints.copy()
        moved[:, :2] += self.velocity * (t - self.t)
        return moved

    def cost(self, found: _Candidate, t: float) -> float:
        absent = t - self.t
        keypoints = found.person.keypoints
        expected = self.expected(t)
        size = max(_size(expected), _size(keypoints))
        off = float(np.linalg.norm(_centre(keypoints) - _centre(expected)))
        if off > size * (SLACK + SLACK_SPEED * absent):
            return 2 * UNMATCHED
        cost = 1 - similarity(expected, keypoints, MOTION_TOLERANCE * (1 + absent)) + ABSENCE_WEIGHT * absent
        if self.colours is not None and found.colours is not None:
            cost += COLOUR_WEIGHT * (1 - float(np.sqrt(self.colours * found.colours).sum()))  # Bhattacharyya
        return cost

    def follow(self, found: _Candidate, t: float) -> None:
        keypoints = found.person.keypoints.astype(np.float64)
        elapsed = max(t - self.t, 1e-3)
        speed = (_centre(keypoints) - _centre(self.keypoints)) / elapsed
        # The second sight is the first measure of speed: take it whole.
        share = 1.0 if self.frames == 1 else 1 - np.exp(-elapsed / VELOCITY_TIME)
        self.velocity += share * (speed - self.velocity)
        self.keypoints, self.t, self.frames = keypoints, t, self.frames + 1
        if found.colours is not None:
            old = found.colours if self.colours is None else self.colours
            self.colours = old + COLOUR_RATE * (found.colours - old)


class Tracker:
    """Gives ids, counted from 0 and never used twice, to at most `max_people` persons."""

    def __init__(self, max_people: int = 1) -> None:
        self.max_people = max_people
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._last_t = -np.inf

    def update(
        self, people: list[RawPerson], t: float, width: int, height: int, image: NDArray[np.uint8] | None = None
    ) -> list[Detected]:
        """-> the people of the frame at time t (s, increasing), by id; only those seen in this very frame.

        width, height: of the image, px; image (height, width, 3) RGB: without it colours are not used.
        """
        found = self._distinct(people, width, height, image)
        self._tracks = [
            track for track in self._tracks if t - track.t <= (MEMORY if track.t == self._last_t else track.memory)
        ]
        self._last_t = t
        # Whoever was seen often enough chooses first, also those waiting for a place: then a passing wrong detection
        # takes nobody's, and somebody who was there all along is not taken for the one who just left.
        known: list[tuple[_Track, _Candidate]] = []
        for settled in (True, False):
            tracks = [track for track in self._tracks if track.settled == settled]
            cost = np.array([[track.cost(one, t) for one in found] for track in tracks])
            pairs = assign(cost.reshape(len(tracks), len(found)), UNMATCHED)
            known += [(tracks[row], found[column]) for row, column in pairs]
            taken = {column for _, column in pairs}
            found = [one for column, one in enumerate(found) if column not in taken]
            if settled:
                # MediaPipe, asked for more people than there are, now and then sees parts of one person as another.
                found = [one for one in found if not any(one.resembles(each, NEWCOMER_TOLERANCE) for _, each in known)]
        for track, one in known:
            track.follow(one, t)
        for one in found:
            track = _Track(one, t)
            self._tracks.append(track)
            known.append((track, one))
        self._believe([(track, one) for track, one in known if track.id is None])
        return sorted(
            (
                Detected(track.id, one.confidence, one.box, one.person.keypoints, one.person.world, one.person.maps)
                for track, one in known
                if track.id is not None
            ),
            key=lambda person: person.id,
        )

    def _distinct(
        self, people: list[RawPerson], width: int, height: int, image: NDArray[np.uint8] | None
    ) -> list[_Candidate]:
        """-> one candidate per person in the image, the largest first, whatever the order they came in."""
        candidates: list[_Candidate] = []
        for person in people:
            if not np.isfinite(person.keypoints).all():
                continue
            box = bounding_box(person.keypoints, width, height)
            if box[2] <= 0 or box[3] <= 0:
                continue
            colours = None if image is None else torso_colours(image, person.keypoints)
            candidates.append(_Candidate(person, confidence(person.keypoints), box, colours))
        kept: list[_Candidate] = []
        for one in sorted(candidates, key=lambda c: (-c.confidence, *c.box.tolist())):
            if not any(one.resembles(other, DUPLICATE_TOLERANCE) for other in kept):
                kept.append(one)
        return sorted(kept, key=lambda c: (-float(c.box[2] * c.box[3]), *c.box.tolist()))

    def _believe(self, new: list[tuple[_Track, _Candidate]]) -> None:
        """Gives ids to those seen often enough while there is room; the largest first."""
        places = self.max_people - sum(track.id is not None for track in self._tracks)
        alone = places == self.max_people
        for track, _ in sorted(new, key=lambda pair: -float(pair[1].box[2] * pair[1].box[3])):
            if places > 0 and (alone or track.settled):
                track.id = self._next_id
                self._next_id += 1
                places, alone = places - 1, False
