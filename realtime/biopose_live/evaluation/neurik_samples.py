"""Held-out sequences that NeurIK and inverse kinematics are scored on: what a simulated camera's live system made of
real motion, and the truth.

Two kinds of file are read: those of `training.neurik.samples`, and the compact one that ships.  There every array is
counted in whole units and only its change from frame to frame is kept, which compresses to a fifth.

Letters: N sequences, T frames, M markers, Q coordinates, B bodies, S shape coefficients.  World: OpenSim's axes, m.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from biopose_live.errors import EXIT_SOURCE, UserError

Floats = NDArray[np.float64]

HELD_OUT = Path(__file__).parent.parent / "assets" / "neurik" / "held_out.npz"
COMPACT = 1  # the compact file's version
MARKER_UNIT_M = 2.5e-4
FINE_UNIT = 1e-6  # rad, m
SHAPE_UNIT = 1e-4


@dataclass(frozen=True, eq=False)
class HeldOut:
    """times (N, T) s; seen and true (N, T, M, 3) m markers in the world; q (N, T, Q) rad and m, scales (N, B, 3): the
    labels; betas_seen (N, T, S) the shape as it was estimated; good (N, T) where a label fits its markers."""

    times: Floats
    seen: Floats
    true: Floats
    q: Floats
    scales: Floats
    betas_seen: Floats
    good: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.times)

    def take(self, numbers: NDArray[np.integer]) -> HeldOut:
        """-> the sequences of these numbers."""
        return HeldOut(*(getattr(self, name)[numbers] for name in self.__dataclass_fields__))

    def spread(self, count: int) -> HeldOut:
        """-> at most `count` sequences, evenly from all of them."""
        if count >= len(self):
            return self
        return self.take(np.linspace(0, len(self) - 1, count).round().astype(int))

    def markers(self, share: float) -> Floats:
        """-> (N, T, M, 3) m: the markers with `share` of the error they were seen with."""
        return self.true + share * (self.seen - self.true)

    def save(self, path: Path, source: str) -> None:
        """Writes the compact file; `source` says where the motion comes from.  Raises ValueError where a marker moves
        more than eight metres from one frame to the next."""
        origin = self.seen.mean(2)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial.npz")
        np.savez_compressed(
            partial,
            version=np.int64(COMPACT),
            source=np.array(source),
            times=self.times,
            origin=_changes(origin, FINE_UNIT, np.int32),
            seen=_changes(self.seen - origin[:, :, None], MARKER_UNIT_M, np.int16),
            error=_changes(self.true - self.seen, MARKER_UNIT_M, np.int16),
            q=_changes(self.q, FINE_UNIT, np.int32),
            scales=self.scales.astype(np.float32),
            betas_seen=_changes(self.betas_seen, SHAPE_UNIT, np.int32),
            good=self.good,
        )
        partial.replace(path)

    @staticmethod
    def load(paths: list[Path]) -> HeldOut:
        """The sequences of some files of either kind, in order.  Raises UserError when a file is missing or damaged."""
        parts = [_read(path) for path in paths]
        return HeldOut(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in HeldOut.__dataclass_fields__)
        )

    @staticmethod
    def load_folder(folder: Path) -> HeldOut:
        """All files of a folder of `training.neurik.samples`.  Raises UserError when it holds none."""
        paths = sorted(folder.glob("*.npz"))
        if not paths:
            raise UserError(
                f"{folder} holds no samples; make some with python -m biopose_live.training.neurik.samples --held.",
                EXIT_SOURCE,
            )
        return HeldOut.load(paths)


def _read(path: Path) -> HeldOut:
    if not path.is_file():
        raise UserError(
            f"{path} was not found; name a file of held-out samples, or leave --samples out to use those that ship.",
            EXIT_SOURCE,
        )
    try:
        with np.load(path, allow_pickle=False) as data:
            arrays = {key: data[key] for key in data.files}
        made = _compact(arrays) if "version" in arrays else _raw(arrays)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        found = " ".join(str(error).split())
        raise UserError(
            f"{path} cannot be read as held-out samples ({found}); make it again or reinstall biopose-live.",
            EXIT_SOURCE,
        ) from error
    return made


def _raw(data: Mapping[str, NDArray[np.generic]]) -> HeldOut:
    def number(name: str) -> Floats:
        return data[name].astype(np.float64)

    origin = number("origin")[:, :, None]
    return _checked(
        HeldOut(
            number("times"),
            number("seen") + origin,
            number("true") + origin,
            number("q"),
            number("scales"),
            number("betas_seen"),
            data["good"].astype(bool),
        )
    )


def _compact(data: Mapping[str, NDArray[np.generic]]) -> HeldOut:
    if int(data["version"]) != COMPACT:
        raise ValueError(f"version {int(data['version'])}, wanted {COMPACT}")
    seen = _sums(data["seen"], MARKER_UNIT_M) + _sums(data["origin"], FINE_UNIT)[:, :, None]
    return _checked(
        HeldOut(
            data["times"].astype(np.float64),
            seen,
            seen + _sums(data["error"], MARKER_UNIT_M),
            _sums(data["q"], FINE_UNIT),
            data["scales"].astype(np.float64),
            _sums(data["betas_seen"], SHAPE_UNIT),
            data["good"].astype(bool),
        )
    )


def _checked(samples: HeldOut) -> HeldOut:
    lead = samples.times.shape
    wanted = {"seen": 4, "true": 4, "q": 3, "betas_seen": 3, "good": 2}
    for name, dimensions in wanted.items():
        shape = getattr(samples, name).shape
        if len(lead) != 2 or shape[:2] != lead or len(shape) != dimensions:
            raise ValueError(f"{name} has shape {shape} where times have {lead}")
    if samples.scales.ndim != 3 or len(samples.scales) != lead[0]:
        raise ValueError(f"scales have shape {samples.scales.shape} where times have {lead}")
    if not all(np.isfinite(getattr(samples, name)).all() for name in samples.__dataclass_fields__):
        raise ValueError("some numbers are not finite")
    return samples


def _changes(values: Floats, unit: float, kind: type[np.signedinteger]) -> NDArray[np.signedinteger]:
    """(N, T, …) -> whole units: the first frame as it is, the rest as changes from the frame before."""
    counts = np.round(values / unit).astype(np.int64)
    changes = np.diff(counts, axis=1, prepend=0)
    if np.abs(changes).max(initial=0) > np.iinfo(kind).max:
        raise ValueError(f"a change of {np.abs(changes).max() * unit:g} does not fit into the file")
    return changes.astype(kind)


def _sums(changes: NDArray[np.generic], unit: float) -> Floats:
    """The inverse of `_changes`."""
    counts = np.cumsum(changes.astype(np.int64), axis=1)
    result: Floats = unit * counts.astype(np.float64)
    return result
