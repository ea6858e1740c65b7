"""Datasets in the tar files that 4D-Humans made of Human3.6M, COCO, MPI-INF-3DHP and MPII (WebDataset's layout).

A tar holds, one after another, files of one key (the name up to its first dot): `key.jpg` (or .jpeg, .png) and
`key.data.pyd`, a pickled list with one dictionary a person (`records.labels_of`).  Other files (`key.detection.npz`,
masks) are passed over.  The pickles are read as arrays and nothing else (`body.safe_pickle`).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biopose_live.body.safe_pickle import ArrayUnpickler, UnsafePickle, plain_arrays
from biopose_live.errors import EXIT_SOURCE, UserError
from biopose_live.training.mqhmr.records import Record, decoded, labels_of

PICTURES = ("jpg", "jpeg", "png")
LABELS = "data.pyd"
LARGEST_BYTES = 1 << 26
DEPTH = 6  # of the lists and dictionaries in a label file


class TarSource:
    """All tars of one dataset."""

    def __init__(self, name: str, tars: Sequence[Path], in_view: bool = False) -> None:
        """in_view: see `records.Labels`.  Raises UserError where there are none."""
        if not tars:
            raise UserError(f"The dataset {name} has no tar files; check its path.", EXIT_SOURCE)
        self.name = name
        self.tars, self.in_view = sorted(tars), in_view

    def records(self, shard: int, shards: int, rng: np.random.Generator) -> Iterator[Record]:
        """Shards are whole tars where there are enough of them, else every shards-th picture."""
        whole = len(self.tars) >= shards
        tars = self.tars[shard::shards] if whole else self.tars
        for i in rng.permutation(len(tars)):
            for number, (key, picture, people) in enumerate(_pictures(tars[i])):
                if not whole and number % shards != shard:
                    continue
                image = decoded(picture, f"{tars[i]}: {key}")
                for k, person in enumerate(people):
                    name = f"{tars[i]}: {key}, person {k}"
                    yield Record(name, image, labels_of(person, name, self.in_view))


def _pictures(path: Path) -> Iterator[tuple[str, bytes, list[dict[str, Any]]]]:
    """-> key, picture file and people of each picture in a tar."""
    try:
        with tarfile.open(path, "r|*") as archive:
            key, parts = "", dict[str, bytes]()
            for member in archive:
                if not member.isfile():
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, extension = base.partition(".")
                here = f"{folder}/{stem}" if folder else stem
                if here != key:
                    if parts:
                        yield _complete(path, key, parts)
                    key, parts = here, {}
                if extension.lower() in (*PICTURES, LABELS):
                    if member.size > LARGEST_BYTES:
                        raise UserError(f"{path}: {member.name} is too large ({member.size} bytes).", EXIT_SOURCE)
                    file = archive.extractfile(member)
                    kind = LABELS if extension.lower() == LABELS else "picture"
                    parts[kind] = file.read() if file else b""
            if parts:
                yield _complete(path, key, parts)
    except FileNotFoundError as error:
        raise UserError(f"There is no dataset file {path}; check its path.", EXIT_SOURCE) from error
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(f"{path} is no readable tar file ({error}); fetch it again.", EXIT_SOURCE) from error


def _complete(path: Path, key: str, parts: dict[str, bytes]) -> tuple[str, bytes, list[dict[str, Any]]]:
    for kind, what in (("picture", "picture (.jpg, .png)"), (LABELS, LABELS)):
        if kind not in parts:
            raise UserError(f"{path}: {key} has no {what}; give tars in 4D-Humans' layout.", EXIT_SOURCE)
    return key, parts["picture"], read_people(parts[LABELS], f"{path}: {key}.{LABELS}")


def read_people(content: bytes, name: str) -> list[dict[str, Any]]:
    """-> the dictionaries of a label file, their arrays as NumPy's.  Raises UserError where it holds anything else."""
    try:
        found = ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except UnsafePickle as error:
        raise UserError(f"{name} is not read: {error}; give 4D-Humans' own files.", EXIT_SOURCE) from error
    except Exception as error:  # a damaged stream can raise almost anything from inside the unpickler
        raise UserError(f"{name} is damaged ({type(error).__name__}); fetch it again.", EXIT_SOURCE) from error
    people = _arrays(found, DEPTH)
    if isinstance(people, dict):
        people = [people]
    if not isinstance(people, list) or not people or not all(isinstance(person, dict) for person in people):
        raise UserError(f"{name} must hold a list of people, found {type(people).__name__}.", EXIT_SOURCE)
    return people


def _arrays(value: Any, depth: int) -> Any:
    """Lists and dictionaries as they are, stand-ins of arrays as arrays."""
    if depth and isinstance(value, dict):
        return {key: _arrays(item, depth - 1) for key, item in value.items() if isinstance(key, str)}
    if depth and isinstance(value, (list, tuple)):
        return [_arrays(item, depth - 1) for item in value]
    return plain_arrays(value)
