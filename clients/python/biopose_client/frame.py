"""A pose message with its names: angles by coordinate, positions by joint, pixels by keypoint.

Lengths are metres; joint positions are in the camera frame (x right, y down, z forward).  Angles are given in degrees
here and nowhere else: the wire carries radians.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from functools import cached_property

from .schema import Meta, Person, Pose

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]


class Names:
    """Positions of one session's names, made once per `Meta` message."""

    def __init__(self, meta: Meta) -> None:
        self.meta = meta
        self.coordinates = {name: index for index, name in enumerate(meta.coordinate_names)}
        self.joints = {name: index for index, name in enumerate(meta.joint_names)}
        self.bodies = {name: index for index, name in enumerate(meta.body_names)}
        self.keypoints = {name: index for index, name in enumerate(meta.keypoint_names)}


def _index(table: dict[str, int], name: str, kind: str) -> int:
    try:
        return table[name]
    except KeyError:
        close = difflib.get_close_matches(name, table, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(close)}?" if close else f"see meta.{kind}_names"
        raise KeyError(f"this stream has no {kind} {name!r}: {hint}") from None


@dataclass(frozen=True)
class TrackedPerson:
    """One person of a frame; `raw` is the whole message part (`schema.Person`).

    Every look-up by name raises KeyError with the nearest names when the stream has no such name.
    """

    raw: Person
    names: Names = field(repr=False)

    @property
    def id(self) -> int:
        """Stays the same while the person is tracked."""
        return self.raw.id

    @property
    def confidence(self) -> float:
        """0..1."""
        return self.raw.confidence

    @property
    def settled(self) -> bool:
        """Whether shape and bone lengths are calibrated and held."""
        return self.raw.settled

    @property
    def calibrated(self) -> float:
        """How far shape and bone lengths have settled: 0 at first, 1 once they are held."""
        return self.raw.calibrated

    def coordinate(self, name: str) -> float:
        """Value as it is on the wire: rad, or m for a translation."""
        return self.raw.q[_index(self.names.coordinates, name, "coordinate")]

    def angle(self, name: str) -> float:
        """A rotational coordinate, degrees; raises ValueError when `name` is a translation."""
        return math.degrees(self._rotation(self.raw.q, name))

    def angle_sigma(self, name: str) -> float:
        """One standard deviation of `angle(name)`, degrees; raises ValueError when `name` is a translation."""
        return math.degrees(self._rotation(self.raw.q_sigma, name))

    def _rotation(self, values: list[float], name: str) -> float:
        index = _index(self.names.coordinates, name, "coordinate")
        unit = self.names.meta.coordinate_units[index]
        if unit != "rad":
            raise ValueError(f"coordinate {name!r} is in {unit}, it is no angle: use coordinate({name!r})")
        return values[index]

    def joint(self, name: str) -> Vector:
        """Position, m, camera frame."""
        x, y, z = self.raw.joints[_index(self.names.joints, name, "joint")]
        return x, y, z

    def keypoint(self, name: str) -> Vector:
        """x px, y px, score 0..1 of an image landmark."""
        x, y, score = self.raw.keypoints[_index(self.names.keypoints, name, "keypoint")]
        return x, y, score

    def orientation(self, body: str) -> Quaternion:
        """Quaternion x, y, z, w of a body in the world frame (x forward, y up, z right)."""
        x, y, z, w = self.raw.bodies[_index(self.names.bodies, body, "body")]
        return x, y, z, w

    def scale(self, body: str) -> Vector:
        """Size of a body against the generic skeleton along its own x, y, z."""
        x, y, z = self.raw.scales[_index(self.names.bodies, body, "body")]
        return x, y, z


@dataclass(frozen=True)
class Frame:
    """All people of one camera frame; `pose` is the whole message, `meta` the session it belongs to."""

    pose: Pose
    names: Names = field(repr=False)

    @property
    def meta(self) -> Meta:
        """The session's names, units and clock."""
        return self.names.meta

    @property
    def seq(self) -> int:
        """Counts captured frames from 0; a gap is frames that were dropped or not received."""
        return self.pose.seq

    @cached_property
    def people(self) -> list[TrackedPerson]:
        """The tracked people, possibly none."""
        return [TrackedPerson(person, self.names) for person in self.pose.people]

    @property
    def captured_at(self) -> float:
        """Wall-clock time of the picture on the sending machine, seconds since 1970."""
        clock = self.meta.clock
        return (clock.wall_ns + self.pose.t_capture - clock.monotonic_ns) / 1e9

    @property
    def latency_ms(self) -> float:
        """From capture to publishing, milliseconds, on the sender's clock."""
        return (self.pose.t_publish - self.pose.t_capture) / 1e6
