"""The `meta` message of a run: every name that the pose messages refer to by position, and what made the numbers."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from biopose_client.schema import Mesh, Meta, Versions
from biopose_live import __version__
from biopose_live.body.body_file import read_body_file
from biopose_live.body.marker_table import MARKERS
from biopose_live.body.model import EMBEDDED_BODY
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.neurik.naming import joint_names
from biopose_live.pipeline.clock import read_clocks
from biopose_live.settings import Settings
from biopose_live.skeleton.choice import load_skeleton, skeleton_path

# MediaPipe's pose landmarks in its order (PoseLandmark of the Tasks API).
KEYPOINT_NAMES = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_pinky", "right_pinky", "left_index", "right_index",
    "left_thumb", "right_thumb", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    "left_heel", "right_heel", "left_foot_index", "right_foot_index",
)  # fmt: skip

_ASSETS = Path(str(files("biopose_live") / "assets"))


def build_meta(settings: Settings, session: str) -> Meta:
    """-> the meta message of the run `session`; raises UserError when the skeleton or body file cannot be read."""
    model = load_skeleton(settings.skeleton)
    body = settings.body or EMBEDDED_BODY
    detector = _ASSETS / "mediapipe" / f"pose_{settings.detector}.task"
    return Meta(
        session=session,
        clock=read_clocks(),
        joint_names=joint_names(model),
        coordinate_names=model.coordinate_names,
        coordinate_units=["rad" if coordinate.rotational else "m" for coordinate in model.coordinates],
        body_names=model.body_names,
        body_parents=model.body_parents,
        keypoint_names=list(KEYPOINT_NAMES),
        marker_names=[marker.name for marker in MARKERS],
        mesh=Mesh(body.name, len(read_body_file(body).v_template)),
        versions=Versions(
            f"biopose-live {__version__}",
            {
                "detector": f"mediapipe {version('mediapipe')}, {_identity(detector)}",
                "body": _identity(body),
                "skeleton": _identity(skeleton_path(settings.skeleton)),
                "kinematics": settings.angles_by,
                **({} if settings.network is None else {"network": _identity(settings.network)}),
                **{path.stem: _identity(path) for path in sorted(_ASSETS.glob("*/*.safetensors"))},
            },
        ),
    )


def _identity(path: Path) -> str:
    """-> file name and the start of its SHA-256, enough to tell two versions of a model apart."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    except OSError as error:
        raise UserError(
            f"The model file {path} cannot be read ({error.strerror}); biopose-live doctor lists what is missing.",
            EXIT_MODEL,
        ) from error
    return f"{path.name} sha256 {digest}"
