"""Which skeleton a run uses: `bsk24`, or the model that the user gave with `--skeleton`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .anatomy import segments_of
from .bsk24 import bsk24_path, load_bsk24
from .model import Marker, SkeletonModel
from .osim_file import read_osim


def skeleton_path(given: Path | None) -> Path:
    """-> the model file of a run."""
    return bsk24_path() if given is None else given


def load_skeleton(given: Path | None) -> SkeletonModel:
    """-> the model of a run.

    A model without markers gets one at each body's joint (`femur_r_joint`), so that a recording has some to show;
    markers of the same name are told apart by a number. Raises UserError when the file cannot be read or used, or lacks
    a body that the markers need.
    """
    if given is None:
        return load_bsk24()
    model = read_osim(given)
    segments_of(model)
    markers = list(model.markers)
    if not markers:
        for body, name in enumerate(model.body_names):
            markers.append(Marker(f"{name}_joint", body, model.joint_of_body(body).child_frame.position))
    return model.with_markers(_told_apart(markers))


def _told_apart(markers: list[Marker]) -> list[Marker]:
    taken: set[str] = set()
    result = []
    for marker in markers:
        name, number = marker.name, 2
        while name in taken:
            name, number = f"{marker.name}_{number}", number + 1
        taken.add(name)
        result.append(replace(marker, name=name))
    return result
