"""The calibration of one person as a small JSON file, so that a later run starts with it.

What counts are the body file's shape coefficients `betas`; the skeleton's scales follow from them.  They are kept
beside, with what body and skeleton they belong to, so that a file made with other ones is refused instead of misread.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from biopose_live.body.model import EMBEDDED_BODY
from biopose_live.errors import EXIT_MODEL, EXIT_SINK, UserError
from biopose_live.settings import HEIGHTS, MASSES_KG
from biopose_live.skeleton.choice import skeleton_path

Floats = NDArray[np.float64]

FORMAT = "biopose-live person"
VERSION = 1
LARGEST_BETA = 10.0  # standard deviations
SAME_SCALES = 0.01  # what a new version of the calibration may move without telling
MAX_BYTES = 1_000_000


class Made(msgspec.Struct):
    """A model file that the calibration belongs to: its name, and the start of its SHA-256."""

    name: str
    sha256: str

    @staticmethod
    def of(path: Path) -> Made:
        """Raises UserError when the file cannot be read."""
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        except OSError as error:
            raise UserError(
                f"The model file {path} cannot be read ({error.strerror}): check its name.", EXIT_MODEL
            ) from error
        return Made(path.name, digest)


class Quality(msgspec.Struct):
    """How good the calibration is: frames and seconds that it rests on; one-sigma of its bone lengths over the session
    (`spread_mm`, from leaving out a second at a time); root mean square distance of the virtual markers from the
    skeleton posed to them (`marker_residual_mm`)."""

    frames: int
    seconds: float
    spread_mm: float
    marker_residual_mm: float


class PersonFile(msgspec.Struct, kw_only=True):
    """One person: shape, stature (m), mass (kg, when given), and the skeleton's scales [B][3] by `body_names`."""

    format: str = FORMAT
    version: int = VERSION
    body: Made
    skeleton: Made
    betas: list[float]
    height: float
    mass: float | None = None
    body_names: list[str]
    scales: list[list[float]]
    quality: Quality

    def check_body(self, path: Path, body: Path | None, n_shape: int) -> None:
        """Raises UserError when the run's body file (`--body`), of `n_shape` coefficients, is not the calibration's."""
        used = Made.of(body or EMBEDDED_BODY)
        if used.sha256 != self.body.sha256 or len(self.betas) != n_shape:
            raise UserError(
                f"{path} was made with the body {self.body.name} ({self.body.sha256}), this run uses {used.name} "
                f"({used.sha256}): use the same --body, or calibrate again.",
                EXIT_MODEL,
            )

    def check_skeleton(self, path: Path, skeleton: Path | None, scales: Floats) -> None:
        """Raises UserError when the run's skeleton is another one, or scales (B, 3) differently by now."""
        used = skeleton_path(skeleton)
        if used.name != self.skeleton.name:
            raise UserError(
                f"{path} was made with the skeleton {self.skeleton.name}, this run uses {used.name}: use the same "
                f"--skeleton, or calibrate again.",
                EXIT_MODEL,
            )
        if np.shape(self.scales) != scales.shape or not np.abs(np.array(self.scales) - scales).max() < SAME_SCALES:
            raise UserError(
                f"{path} does not fit {used.name} any more (its bones come out at another size): calibrate again.",
                EXIT_MODEL,
            )


class _Head(msgspec.Struct):
    format: str
    version: int


def read_person_file(path: Path) -> PersonFile:
    """-> the calibration in `path`.

    Raises UserError for a file that is missing, no calibration, of another version or senseless.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"The calibration {path} cannot be read ({reason}): check --calibration.", EXIT_MODEL
        ) from error
    try:
        head = msgspec.json.decode(raw, type=_Head) if len(raw) <= MAX_BYTES else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        head = None
    if head is None or head.format != FORMAT:
        raise UserError(f"{path} is no calibration: give a file that biopose-live calibrate wrote.", EXIT_MODEL)
    if head.version != VERSION:
        raise UserError(
            f"{path} is a calibration of version {head.version}, this program reads {VERSION}: calibrate again.",
            EXIT_MODEL,
        )
    try:
        person = msgspec.json.decode(raw, type=PersonFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"The calibration {path} is damaged ({error}): calibrate again.", EXIT_MODEL) from error
    fault = _fault(person)
    if fault is not None:
        raise UserError(f"The calibration {path} is damaged ({fault}): calibrate again.", EXIT_MODEL)
    return person


def write_person_file(person: PersonFile, path: Path) -> None:
    """Raises UserError when the file cannot be written."""
    try:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(person), indent=1) + b"\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): give another --out.", EXIT_SINK) from error


def _fault(person: PersonFile) -> str | None:
    """-> what no calibration has, None when all is well."""
    betas = person.betas
    if not betas or not all(abs(value) <= LARGEST_BETA for value in betas):
        return f"betas must be numbers up to {LARGEST_BETA:g}"
    if not HEIGHTS[0] <= person.height <= HEIGHTS[1]:
        return f"the height is {person.height:g} m"
    if person.mass is not None and not MASSES_KG[0] <= person.mass <= MASSES_KG[1]:
        return f"the mass is {person.mass:g} kg"
    if len(person.scales) != len(person.body_names) or any(len(row) != 3 for row in person.scales):
        return "there must be three scales for each body"
    if not all(math.isfinite(value) and value > 0.0 for row in person.scales for value in row):
        return "a scale is not above zero"
    return None
