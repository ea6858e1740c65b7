"""What the stages hand to each other: capture -> detection -> mqhmr -> neurik -> sinks.

Pixels never travel: a `FrameRef` names a slot of the frame store.  Arrays travel as (dtype, shape, bytes), so a message
decodes without pickle.  All times are `time.monotonic_ns()`; camera frame is OpenCV's (x right, y down, z forward),
lengths in metres, image positions in pixels of the upright full frame.

Dimension letters: K keypoints (33, MediaPipe order), J = 24 body joints (SMPL order), M virtual markers, S = 10 shape.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = np.ndarray
T = TypeVar("T")


class FrameRef(msgspec.Struct, frozen=True):
    """A captured frame: where its pixels lie and when the light was caught."""

    seq: int  # counts captured frames from 0
    t_capture: int  # ns, monotonic
    width: int
    height: int
    slot: int  # of the frame store
    generation: int  # of that slot; a reader whose generation is gone has lost the frame
    dropped: int = 0  # frames that capture had to skip so far


class Intrinsics(msgspec.Struct, frozen=True):
    """Pinhole camera of the full frame, px."""

    focal: float
    centre: tuple[float, float]


class FeatureMaps(msgspec.Struct):
    """What the detector's landmark network made of one person's crop; `mqhmr.handed_maps` packs and unpacks it.

    Goes from detection to mqhmr and no farther.
    """

    encoder: str  # fingerprint of the computation that made the maps
    centre: Array  # (2,) px: the crop's middle in the frame
    size: float  # px: a side of the crop
    angle: float  # rad, from x towards y: how the crop is turned in the frame
    levels: list[Array]  # (height, width, channels) uint16 each, finest first


class Detected(msgspec.Struct):
    """One person found in the image."""

    id: int
    confidence: float
    box: Array  # (4,) x, y, width, height
    keypoints: Array  # (K, 3) float32: x px, y px, score 0..1
    world: Array  # (K, 3) float32: MediaPipe's own hip-centred 3D, m
    maps: FeatureMaps | None = None


class Detections(msgspec.Struct):
    """The people of one frame, at most `--max-people`."""

    frame: FrameRef
    people: list[Detected]
    stages: dict[str, float] = {}


class MeshPerson(msgspec.Struct):
    """One person's body: SMPL-like parameters, their uncertainty and the virtual markers."""

    id: int
    confidence: float
    box: Array  # (4,)
    keypoints: Array  # (K, 3)
    theta: Array  # (J, 3) axis-angle; row 0 turns the body's rest frame into the camera frame
    theta_sigma: Array  # (J, 3) one standard deviation, rad, in each joint's own rest frame
    betas: Array  # (S,)
    translation: Array  # (3,) m: where the body's origin lies in the camera frame
    joints: Array  # (J, 3) m, camera frame
    landmarks: Array  # (K, 3) m, camera frame: the keypoints' places on the posed body
    markers: Array  # (M, 3) m, camera frame
    up: Array  # (3,) unit vector against gravity, camera frame
    settled: bool  # the shape is no longer changing
    calibrated: float = 0.0  # how far it has settled, 0 to 1


class Meshes(msgspec.Struct):
    """The bodies of one frame."""

    frame: FrameRef
    intrinsics: Intrinsics
    people: list[MeshPerson]
    stages: dict[str, float] = {}


def _encode_array(value: object) -> object:
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, np.ascontiguousarray(value).tobytes())
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value).__name__} does not travel between stages")


def _decode_array(kind: type, value: Any) -> NDArray[Any]:
    dtype, shape, data = value
    return np.frombuffer(data, dtype=np.dtype(dtype)).reshape(shape).copy()


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode_array)


def encode(message: msgspec.Struct) -> bytes:
    """-> msgpack bytes of a stage message."""
    return _encoder.encode(message)


class Decoder(Generic[T]):
    """Decodes one type of stage message; raises msgspec.DecodeError on bytes that are not one."""

    def __init__(self, kind: type[T]) -> None:
        self._decoder = msgspec.msgpack.Decoder(kind, dec_hook=_decode_array)

    def decode(self, data: bytes) -> T:
        return self._decoder.decode(data)
