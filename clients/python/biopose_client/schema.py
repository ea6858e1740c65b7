"""The public wire format, schema v1: the one source that the publisher, the recorder and every client share.

A message on the wire is a single ZeroMQ part: a topic prefix (`pose `, `meta ` or `health `), then msgpack of one of
the structs below as a map with these field names.  Unknown fields are ignored, so that fields can be added; a message
whose major version is not ours is refused with `SchemaError`.

Frames and units: lengths are metres, angles radians, times `time.monotonic_ns()` of the sending machine.  `joints` are
in the camera frame (OpenCV: x right, y down, z forward); `bodies`, `root` and the coordinates `q` refer to the world
frame (OpenSim: x forward, y up, z right).  Quaternions are x, y, z, w.
"""

from __future__ import annotations

import msgspec

VERSION = "1.0"
TOPIC_POSE = b"pose "
TOPIC_META = b"meta "
TOPIC_HEALTH = b"health "


class SchemaError(ValueError):
    """A message that is not schema v1: another major version, an unknown topic or bytes that do not decode."""


class Clock(msgspec.Struct):
    """One reading of both clocks at the same moment, to turn `t_capture` into wall time."""

    monotonic_ns: int
    wall_ns: int


class Mesh(msgspec.Struct):
    """The body file whose vertices `theta` and `betas` pose."""

    file: str
    vertices: int


class Versions(msgspec.Struct):
    """What made the numbers: the program and the models that it ran."""

    program: str
    models: dict[str, str] = {}


class Meta(msgspec.Struct):
    """What every other message refers to by position; sent at start and each second for late joiners."""

    session: str
    clock: Clock
    joint_names: list[str]
    coordinate_names: list[str]
    coordinate_units: list[str]
    body_names: list[str]
    body_parents: list[int]
    keypoint_names: list[str]
    marker_names: list[str]
    mesh: Mesh
    versions: Versions
    v: str = VERSION


class Camera(msgspec.Struct):
    """Pinhole camera of a person's pose: focal length and principal point (px), the body's translation (m)."""

    focal: float
    centre: list[float]
    translation: list[float]


class Person(msgspec.Struct):
    """One tracked person in one frame."""

    id: int
    confidence: float
    box: list[float]  # x, y, width, height, px
    keypoints: list[list[float]]  # [K][x px, y px, score 0..1]
    camera: Camera
    # [J][3] m, camera frame: the joint centre of each body, then limb points where a keypoint detector sees them
    joints: list[list[float]]
    q: list[float]  # [Q] rad or m, see Meta.coordinate_units
    q_sigma: list[float]  # [Q] one standard deviation, rad or m
    scales: list[list[float]]  # [B][sx, sy, sz] of each body against the generic skeleton
    bodies: list[list[float]]  # [B] quaternion x, y, z, w of each body in the world
    root: list[float]  # [3] m, pelvis origin in the world
    theta: list[list[float]]  # [24][3] axis-angle, rad, SMPL order
    betas: list[float]  # [10] shape
    settled: bool = False  # shape and bone scales are calibrated and held
    calibrated: float = 0.0  # how far they have settled: 0 at first, 1 once held


class Pose(msgspec.Struct):
    """All people of one frame."""

    session: str
    seq: int
    t_capture: int
    t_publish: int
    image: list[int]  # width, height, px
    stages: dict[str, float]  # milliseconds spent in each stage
    dropped: int  # frames captured but not processed, so far
    people: list[Person]
    v: str = VERSION


class StageHealth(msgspec.Struct):
    """One process of the pipeline."""

    name: str
    alive: bool
    restarts: int
    fps: float
    ms_p50: float
    ms_p95: float
    rss_mb: float = 0.0
    cpu: float = 0.0


class Health(msgspec.Struct):
    """The state of the pipeline, once a second."""

    session: str
    t: int
    fps: float
    latency_ms_p50: float
    latency_ms_p95: float
    captured: int
    processed: int
    dropped: int
    stages: list[StageHealth]
    v: str = VERSION


Message = Meta | Pose | Health

_TYPES: dict[bytes, type[Meta] | type[Pose] | type[Health]] = {
    TOPIC_META: Meta,
    TOPIC_POSE: Pose,
    TOPIC_HEALTH: Health,
}
_TOPICS = {kind: topic for topic, kind in _TYPES.items()}
_encoder = msgspec.msgpack.Encoder()
_decoders = {topic: msgspec.msgpack.Decoder(kind) for topic, kind in _TYPES.items()}


class _VersionOnly(msgspec.Struct):
    v: str


_version_decoder = msgspec.msgpack.Decoder(_VersionOnly)
# Text that is no UTF-8 and nesting that is too deep reach us as Python's own errors.
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def pack(message: Message) -> bytes:
    """-> topic prefix + msgpack, ready to send as one part."""
    return _TOPICS[type(message)] + _encoder.encode(message)


def unpack(part: bytes) -> Message:
    """The inverse of `pack`.

    Raises SchemaError for an unknown topic, another major version, or bytes that are not the topic's struct.
    """
    space = part.find(b" ", 0, 16)
    topic = part[: space + 1]
    if topic not in _decoders:
        raise SchemaError(
            f"unknown topic {bytes(part[:16])!r}: expected pose, meta or health; is this a biopose-live socket?"
        )
    body = memoryview(part)[space + 1 :]
    try:
        version = _version_decoder.decode(body).v
    except _UNDECODABLE as error:
        raise SchemaError(f"a {topic.decode().strip()} message does not decode ({error})") from error
    if version.split(".")[0] != VERSION.split(".")[0]:
        raise SchemaError(f"the sender speaks schema {version}, this client {VERSION}: update the older of the two")
    try:
        return _decoders[topic].decode(body)
    except _UNDECODABLE as error:
        raise SchemaError(f"a {topic.decode().strip()} message does not fit schema {VERSION} ({error})") from error
