"""One interface for all datasets: a `Source` gives `Record`s, pictures with whatever is known of one person in each.

Frames: OpenCV camera (x right, y down, z forward), metres, radians; pixels of the full picture, from its left upper
edge.

Letters: H, W picture; K = 44 keypoints (`keypoints44`); S shape coefficients; D = M + 24 dense points (markers, then
joints).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from biopose_live.body.joints import N_JOINTS
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.mqhmr.keypoints44 import BODY_25, COUNT

Floats = NDArray[np.floating]
RestPose = Literal["smpl", "embedded"]
LARGEST_PX = 16384
SHAPE = 10


@dataclass(frozen=True, eq=False)
class Labels:
    """What a dataset says of one person.

    box_centre, box_size (2,) px; keypoints_2d (K, 3) px and confidence; keypoints_3d (K, 4) m and confidence, in camera
    axes, their origin anywhere; theta (24, 3) axis-angle, the body's orientation first; betas (S,); has_pose,
    has_betas.  rest: whose rest pose theta counts from.  in_view: theta and keypoints_3d were fitted to the box's crop
    as if the camera looked straight at it, so that their axes are those of the ray through the box's centre (CLIFF, Li
    et al. 2022, on the pseudo-labels of COCO and MPII) and not the camera's.  focal px, centre (2,) px, up (3,) against
    gravity: None where unknown.
    dense (D, 4) px x, y, known 0 or 1, visible 0 or 1 or -1 where that is unknown: None where there are none.
    """

    box_centre: Floats
    box_size: Floats
    keypoints_2d: Floats
    keypoints_3d: Floats
    theta: Floats
    betas: Floats
    has_pose: bool
    has_betas: bool
    rest: RestPose = "smpl"
    in_view: bool = False
    focal: float | None = None
    centre: Floats | None = None
    up: Floats | None = None
    dense: Floats | None = None


@dataclass(frozen=True, eq=False)
class Record:
    """name: where it is from, for messages; image (H, W, 3) uint8 RGB."""

    name: str
    image: NDArray[np.uint8]
    labels: Labels


class Source(Protocol):
    """A dataset."""

    @property
    def name(self) -> str: ...

    def records(self, shard: int, shards: int, rng: np.random.Generator) -> Iterator[Record]:
        """One pass over that shard of `shards`, in an order that `rng` draws.  Raises UserError for malformed files."""
        ...


def decoded(content: bytes, name: str) -> NDArray[np.uint8]:
    """-> (H, W, 3) uint8 RGB of a JPEG or PNG file.  Raises UserError where it is none."""
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None or max(image.shape) > LARGEST_PX:
        raise UserError(f"{name} is no picture that can be read; fetch the dataset again.", EXIT_SOURCE)
    rgb: NDArray[np.uint8] = np.ascontiguousarray(image[:, :, ::-1])
    return rgb


def labels_of(fields: Mapping[str, Any], name: str, in_view: bool = False) -> Labels:
    """The labels in the field's own names: center, scale (the box's sides over 200 px), keypoints_2d (44, 3),
    keypoints_3d (44, 4), body_pose (72,), betas (10,), has_body_pose, has_betas.

    Poses and shapes may be left out.  Raises UserError, one sentence, where something is missing or malformed.
    """
    centre = _numbers(fields, "center", (2,), name)
    scale = _numbers(fields, "scale", None, name).reshape(-1)
    if len(scale) not in (1, 2) or not (scale > 0).all():
        raise UserError(f"{name}: scale must be one or two numbers above 0, found {scale.tolist()}.", EXIT_SOURCE)
    keypoints_2d = _numbers(fields, "keypoints_2d", (COUNT, 3), name)
    keypoints_3d = _numbers(fields, "keypoints_3d", (COUNT, 4), name, np.zeros((COUNT, 4)))
    pose = _numbers(fields, "body_pose", (3 * N_JOINTS,), name, np.zeros(3 * N_JOINTS))
    betas = _numbers(fields, "betas", (SHAPE,), name, np.zeros(SHAPE))
    has = [bool(_numbers(fields, key, (), name, np.zeros(())) > 0) for key in ("has_body_pose", "has_betas")]
    return Labels(
        box_centre=centre,
        box_size=np.broadcast_to(200.0 * scale, (2,)).copy(),
        keypoints_2d=keypoints_2d,
        keypoints_3d=keypoints_3d,
        theta=pose.reshape(N_JOINTS, 3),
        betas=betas,
        has_pose=has[0] and "body_pose" in fields,
        has_betas=has[1] and "betas" in fields,
        in_view=in_view,
    )


def both_sets(body: Floats | None, extra: Floats | None, width: int) -> Floats:
    """BODY_25's rows and the other 19, zero where a dataset lacks them -> (K, width)."""
    first = np.zeros((BODY_25, width)) if body is None else body
    second = np.zeros((COUNT - BODY_25, width)) if extra is None else extra
    return np.concatenate([first, second])


def _numbers(
    fields: Mapping[str, Any], key: str, shape: tuple[int, ...] | None, name: str, otherwise: Floats | None = None
) -> Floats:
    if key not in fields:
        if otherwise is None:
            found = ", ".join(sorted(map(str, fields))[:8]) or "nothing"
            raise UserError(f"{name} has no {key} (found {found}); give 4D-Humans' layout.", EXIT_SOURCE)
        return otherwise
    value = fields[key]
    if not isinstance(value, (np.ndarray, np.generic, float, int, bool)):
        raise UserError(f"{name}: {key} must be numbers, found {type(value).__name__}.", EXIT_SOURCE)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise UserError(f"{name}: {key} must be numbers, found {array.dtype}.", EXIT_SOURCE)
    if shape == () and array.size == 1:
        array = array.reshape(())
    if shape is not None and array.shape != shape:
        raise UserError(f"{name}: {key} must have shape {shape}, found {array.shape}.", EXIT_SOURCE)
    array = array.astype(np.float64)
    if not np.isfinite(array).all() or np.abs(array).max(initial=0.0) > 1e7:
        raise UserError(f"{name}: {key} holds numbers that are not finite.", EXIT_SOURCE)
    return array
