"""The pinhole camera of a run: from a field of view, or from a calibration file.

A calibration file is TOML with `focal` (px) and `centre = [cx, cy]` (px), or OpenCV's camera matrix as
`matrix = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]`; `width` and `height` say for which picture size they hold.  Without
them they hold for the frames as captured, whose long side is at most 1920 px.
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

from biopose_live.errors import EXIT_USAGE, UserError
from biopose_live.messages import Intrinsics
from biopose_live.settings import DEFAULT_FOV_DEG, Settings

KEYS = {"focal", "centre", "matrix", "width", "height"}
SHAPE_TOLERANCE = 0.02  # relative difference of the sides' ratio that rounding and padding explain
PIXEL_TOLERANCE = 0.05  # relative difference of fx and fy that one focal length can stand for


def intrinsics_for(settings: Settings, width: int, height: int) -> Intrinsics:
    """-> the camera of a full frame of `width` x `height` px; raises UserError on an unusable calibration file."""
    if settings.intrinsics is not None:
        return _from_file(settings.intrinsics, width, height)
    fov = DEFAULT_FOV_DEG if settings.fov is None else settings.fov
    focal = 0.5 * max(width, height) / math.tan(math.radians(fov) / 2)
    return Intrinsics(focal, (width / 2, height / 2))


def _from_file(path: Path, width: int, height: int) -> Intrinsics:
    table = _read(path)
    unknown = sorted(set(table) - KEYS)
    if unknown:
        raise _bad(path, f"has the unknown key {unknown[0]}", "use focal, centre, width, height or matrix")
    if "matrix" in table:
        if "focal" in table or "centre" in table:
            raise _bad(path, "has both matrix and focal or centre", "keep one of the two")
        focal, centre = _from_matrix(path, table["matrix"])
    else:
        for key in ("focal", "centre"):
            if key not in table:
                raise _bad(path, f"has no {key}", "it needs focal = PX and centre = [CX, CY]")
        focal = _positive(path, "focal", table["focal"])
        centre = _point(path, table["centre"])
    if "width" not in table and "height" not in table:
        return Intrinsics(focal, centre)
    for key in ("width", "height"):
        if key not in table:
            raise _bad(path, f"has no {key}", "give width and height, or neither")
    its_width = _positive(path, "width", table["width"])
    its_height = _positive(path, "height", table["height"])
    across, down = width / its_width, height / its_height
    if abs(across / down - 1) > SHAPE_TOLERANCE and abs(width - its_width * down) > 1.0:
        raise _bad(
            path,
            f"is for {its_width:g}x{its_height:g} pictures and the source gives {width}x{height}, another shape",
            "calibrate at the source's own shape",
        )
    return Intrinsics(focal * (across + down) / 2, (centre[0] * across, centre[1] * down))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}: check the path given to --intrinsics.", EXIT_USAGE) from error
    except OSError as error:
        raise _bad(path, f"cannot be read ({error.strerror})", "name a TOML file that you may read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(path, f"is not TOML ({error})", "write lines like focal = 900.0") from error


def _bad(path: Path, found: str, advice: str) -> UserError:
    return UserError(f"--intrinsics {path} {found}: {advice}.", EXIT_USAGE)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _positive(path: Path, key: str, value: Any) -> float:
    if not _is_number(value) or value <= 0:
        raise _bad(path, f"has {key} = {value!r}", f"{key} is a number of pixels above 0")
    return float(value)


def _point(path: Path, value: Any) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2 or not all(map(_is_number, value)):
        raise _bad(path, f"has centre = {value!r}", "centre is [CX, CY] in pixels")
    return float(value[0]), float(value[1])


def _from_matrix(path: Path, value: Any) -> tuple[float, tuple[float, float]]:
    rows = value if isinstance(value, list) else []
    if len(rows) != 3 or not all(isinstance(r, list) and len(r) == 3 and all(map(_is_number, r)) for r in rows):
        raise _bad(path, "has a matrix that is not 3 rows of 3 numbers", "write [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
    fx = _positive(path, "the matrix's fx", rows[0][0])
    fy = _positive(path, "the matrix's fy", rows[1][1])
    if [rows[1][0], rows[2][0], rows[2][1], rows[2][2]] != [0, 0, 0, 1]:
        raise _bad(path, "has a matrix that is no camera matrix", "write [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]")
    if abs(fx - fy) > PIXEL_TOLERANCE * max(fx, fy):
        raise _bad(path, f"has fx = {fx:g} and fy = {fy:g}", "pixels must be square, so fx and fy nearly equal")
    return (fx + fy) / 2, (float(rows[0][2]), float(rows[1][2]))
