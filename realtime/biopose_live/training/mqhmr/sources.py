"""The file that names the datasets of a training, TOML:

[[source]]
name = "h36m"
tars = "h36m-train/*.tar"                    # 4D-Humans' tars, relative to this file
weight = 0.5                                 # how often it is drawn, beside the others' weights

[[source]]
name = "coco"
npz = "coco_train.npz"                       # or labels beside a folder of pictures
images = "coco/train2014"
weight = 0.5
in_view = true                               # labels fitted to crops: COCO's and MPII's pseudo-labels

[[source]]
name = "synthetic"
assets = "makehuman"                         # or rendered people, see training.synthetic
poses = "poses.npz"
count = 100000
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from biopose_live.body.model import EMBEDDED_BODY, BodyModel
from biopose_live.errors import EXIT_USAGE, UserError
from biopose_live.training.mqhmr.npz_source import NpzSource
from biopose_live.training.mqhmr.records import Source
from biopose_live.training.mqhmr.synthetic_source import SyntheticSource
from biopose_live.training.mqhmr.tar_source import TarSource


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One dataset."""

    name: str
    weight: float = 1.0
    tars: str | None = None
    npz: str | None = None
    images: str | None = None
    in_view: bool = False
    assets: str | None = None
    poses: str | None = None
    count: int = 100_000
    first_seed: int = 0


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    source: list[Entry]


def read_sources(path: Path) -> Sequence[tuple[Source, float]]:
    """-> datasets and their weights.  Raises UserError where the file or a dataset cannot be read."""
    try:
        listing = msgspec.toml.decode(path.read_bytes(), type=Listing)
    except FileNotFoundError as error:
        raise UserError(f"There is no list of datasets {path}; write one (README, training).", EXIT_USAGE) from error
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no list of datasets ({error}); see the README, training.", EXIT_USAGE) from error
    return [(_source(entry, path), entry.weight) for entry in listing.source]


def _source(entry: Entry, path: Path) -> Source:
    folder = path.parent
    kinds = [kind for kind in ("tars", "npz", "assets") if getattr(entry, kind) is not None]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        raise UserError(f"{path}: {entry.name} must have one of tars, npz and assets, found {found}.", EXIT_USAGE)
    if entry.tars is not None:
        pattern = Path(entry.tars)
        base = Path(pattern.anchor) if pattern.is_absolute() else folder
        tars = base.glob(str(pattern.relative_to(pattern.anchor) if pattern.is_absolute() else pattern))
        return TarSource(entry.name, list(tars), entry.in_view)
    if entry.npz is not None:
        if entry.images is None:
            raise UserError(f"{path}: {entry.name} needs images, the folder of its pictures.", EXIT_USAGE)
        return NpzSource(entry.name, folder / entry.npz, folder / entry.images, entry.in_view)
    if entry.poses is None:
        raise UserError(f"{path}: {entry.name} needs poses, a pose set of training.motion.", EXIT_USAGE)
    return _rendered(entry, folder)


def _rendered(entry: Entry, folder: Path) -> Source:
    # Imported here: rendering needs the training extra, the other datasets do not.
    from biopose_live.training.synthetic.base_mesh import read_body
    from biopose_live.training.synthetic.choreography import read_pose_set
    from biopose_live.training.synthetic.samples import Sampler

    assert entry.assets is not None
    assert entry.poses is not None
    sampler = Sampler(folder / entry.assets, read_pose_set(folder / entry.poses), read_body(EMBEDDED_BODY))
    return SyntheticSource(entry.name, sampler, BodyModel.load(), entry.count, entry.first_seed)
