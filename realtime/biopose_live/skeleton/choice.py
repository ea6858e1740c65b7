"""Which skeleton a run uses: `bsk24`, or the model that the user gave with `--skeleton`."""

from __future__ import annotations

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

    A model without markers gets one at each body's joint (`femur_r_joint`), so that a recording has some to show.
    Raises UserError when the file cannot be read or used, or lacks a body that the markers need.
    """
    if given is None:
        return load_bsk24()
    model = read_osim(given)
    segments_of(model)
    if not model.markers:
        places = [model.joint_of_body(body).child_frame.position for body in range(len(model.bodies))]
        model = model.with_markers(
            [
                Marker(f"{name}_joint", body, place)
                for body, (name, place) in enumerate(zip(model.body_names, places, strict=True))
            ]
        )
    return model
