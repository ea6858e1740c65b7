"""Datasets as one .npz of labels beside a folder of pictures (4D-Humans' other layout, SPIN's before it).

Arrays, one row a person: `imgname` text, `center` (N, 2), `scale` (N,) or (N, 2): the box's sides in px, and where they
are known `body_keypoints_2d` (N, 25, 3), `extra_keypoints_2d` (N, 19, 3), the same `_3d` with 4 columns, `body_pose`
(N, 72), `has_body_pose` (N,), `betas` (N, 10), `has_betas` (N,).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.mqhmr.records import Record, both_sets, decoded, labels_of

NEEDED = ("imgname", "center", "scale")
KEYPOINTS = ("body_keypoints_2d", "extra_keypoints_2d", "body_keypoints_3d", "extra_keypoints_3d")
PARAMETERS = ("body_pose", "has_body_pose", "betas", "has_betas")


class NpzSource:
    """One .npz and its pictures."""

    def __init__(self, name: str, npz: Path, images: Path, in_view: bool = False) -> None:
        """in_view: see `records.Labels`.  Raises UserError where the .npz is missing, damaged or of another layout."""
        self.name, self.path, self.images, self.in_view = name, npz, images, in_view
        self.fields = _read(npz)
        count = len(self.fields["imgname"])
        for key, array in self.fields.items():
            if len(array) != count:
                raise UserError(f"{npz}: {key} has {len(array)} rows, imgname {count}.", EXIT_SOURCE)
        if not any(key in self.fields for key in KEYPOINTS[:2]):
            raise UserError(f"{npz} has neither {KEYPOINTS[0]} nor {KEYPOINTS[1]}; give 4D-Humans' file.", EXIT_SOURCE)
        widths = {"body_keypoints_2d": (25, 3), "extra_keypoints_2d": (19, 3), "body_keypoints_3d": (25, 4)}
        for key, shape in {**widths, "extra_keypoints_3d": (19, 4)}.items():
            if key in self.fields and self.fields[key].shape[1:] != shape:
                found = self.fields[key].shape
                raise UserError(f"{npz}: {key} must be {(count, *shape)}, found {found}.", EXIT_SOURCE)

    def __len__(self) -> int:
        return len(self.fields["imgname"])

    def records(self, shard: int, shards: int, rng: np.random.Generator) -> Iterator[Record]:
        for row in rng.permutation(np.arange(shard, len(self), shards)):
            yield self.record(int(row))

    def record(self, row: int) -> Record:
        """The person in that row.  Raises UserError where the row or its picture is malformed."""
        text = self.fields["imgname"][row]
        file = self.images / (text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text))
        name = f"{self.path}, row {row}"
        root = self.images.resolve()
        if not file.resolve().is_relative_to(root):
            raise UserError(f"{name}: the picture {file} lies outside of {root}.", EXIT_SOURCE)
        try:
            content = file.read_bytes()
        except OSError as error:
            raise UserError(f"{name}: the picture {file} cannot be read; check the folder.", EXIT_SOURCE) from error
        get = {key: self.fields[key][row] for key in KEYPOINTS if key in self.fields}
        fields = {key: self.fields[key][row] for key in PARAMETERS if key in self.fields}
        for number, width in (("2d", 3), ("3d", 4)):
            body, extra = (get.get(f"{kind}_keypoints_{number}") for kind in ("body", "extra"))
            fields[f"keypoints_{number}"] = both_sets(body, extra, width)
        fields |= {"center": self.fields["center"][row], "scale": self.fields["scale"][row] / 200.0}
        return Record(name, decoded(content, str(file)), labels_of(fields, name, self.in_view))


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = [key for key in NEEDED if key not in archive.files]
            if missing:
                found = ", ".join(archive.files[:6]) or "nothing"
                raise UserError(f"{path} has no {missing[0]} (found {found}); give 4D-Humans' file.", EXIT_SOURCE)
            wanted = [key for key in (*NEEDED, *KEYPOINTS, *PARAMETERS) if key in archive.files]
            fields = {key: np.asarray(archive[key]) for key in wanted}
    except FileNotFoundError as error:
        raise UserError(f"There is no dataset file {path}; check its path.", EXIT_SOURCE) from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise UserError(
            f"{path} is no readable .npz of plain arrays ({str(error).splitlines()[0]}); fetch it again, or save its "
            "object arrays as text and numbers.",
            EXIT_SOURCE,
        ) from error
    text = fields["imgname"]
    if text.ndim != 1 or text.dtype.kind not in "US" or not len(text):
        raise UserError(f"{path}: imgname must be a list of file names, found {text.dtype} {text.shape}.", EXIT_SOURCE)
    if any(array.ndim == 0 for array in fields.values()):
        raise UserError(f"{path}: every array must have one row a person.", EXIT_SOURCE)
    if fields["scale"].dtype.kind not in "fiu":
        raise UserError(f"{path}: scale must be numbers, found {fields['scale'].dtype}.", EXIT_SOURCE)
    return fields
