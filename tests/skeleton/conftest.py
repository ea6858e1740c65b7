"""What the skeleton's tests share: the shipped model, real models where a folder of them is given, and OpenSim's word.

OpenSim (PyPI ``opensim``) is the oracle. Real models are looked for in the folder that ``BIOPOSE_OPENSIM_MODELS``
names; files of OpenSim 3.x are converted by OpenSim itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import opensim
import pytest

from biopose_live.skeleton.bsk24 import bsk24_path, load_bsk24
from biopose_live.skeleton.model import FloatArray, SkeletonModel

opensim.Logger.setLevelString("Error")


@pytest.fixture(scope="session")
def bsk24() -> SkeletonModel:
    """The shipped generic model."""
    return load_bsk24()


@pytest.fixture(scope="session")
def bsk24_file() -> Path:
    """The shipped model file."""
    return bsk24_path()


@pytest.fixture(scope="session")
def real_models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Real OpenSim models in the 4.x format, or a skip that says why there are none."""
    folder = os.environ.get("BIOPOSE_OPENSIM_MODELS")
    if not folder:
        pytest.skip("BIOPOSE_OPENSIM_MODELS names no folder of real OpenSim models")
    converted = tmp_path_factory.mktemp("models")
    paths = []
    for source in sorted(Path(folder).glob("*.osim")):
        model = opensim.Model(str(source))
        model.initSystem()
        target = converted / source.name
        model.printToXML(str(target))
        paths.append(target)
    if not paths:
        pytest.skip(f"the folder {folder} holds no .osim file")
    return paths


class Oracle:
    """One OpenSim model, posed by name and read back as arrays in this project's order."""

    def __init__(self, path: Path, model: SkeletonModel) -> None:
        self.names = model.body_names
        self.coordinates = model.coordinate_names
        self.markers = model.marker_names
        self.model = opensim.Model(str(path))
        self.state = self.model.initSystem()

    def scale(self, scales: FloatArray) -> None:
        """OpenSim's own Model::scale by (B, 3)."""
        factors = opensim.ScaleSet()
        for name, row in zip(self.names, scales, strict=True):
            scale = opensim.Scale()
            scale.setSegmentName(name)
            scale.setScaleFactors(opensim.Vec3(*(float(x) for x in row)))
            scale.setApply(True)
            factors.cloneAndAppend(scale)
        self.model.scale(self.state, factors, False)
        self.state = self.model.initSystem()

    def pose(self, q: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Rotations (B, 3, 3), origins (B, 3) and markers (M, 3) in ground at ``q``."""
        coordinates = self.model.getCoordinateSet()
        for name, value in zip(self.coordinates, q, strict=True):
            coordinate = coordinates.get(name)
            coordinate.setLocked(self.state, False)
            coordinate.setValue(self.state, float(value), False)
        self.model.realizePosition(self.state)
        rotations, origins = [], []
        for name in self.names:
            transform = self.model.getBodySet().get(name).getTransformInGround(self.state)
            rotations.append([[transform.R().get(r, c) for c in range(3)] for r in range(3)])
            origins.append([transform.p().get(i) for i in range(3)])
        marker_set = self.model.getMarkerSet()
        markers = [_vec3(marker_set.get(name).getLocationInGround(self.state)) for name in self.markers]
        return np.array(rotations), np.array(origins), np.array(markers).reshape(-1, 3)


def _vec3(vector: opensim.Vec3) -> list[float]:
    return [vector.get(i) for i in range(3)]


@pytest.fixture(scope="session")
def oracle() -> Callable[[Path, SkeletonModel], Oracle]:
    """Opens a model file in OpenSim."""
    return Oracle


@pytest.fixture(scope="session")
def random_pose() -> Callable[[SkeletonModel, np.random.Generator, float], FloatArray]:
    """Draws coordinates uniformly from their ranges, widened by a fraction (or narrowed, if below zero)."""

    def draw(model: SkeletonModel, rng: np.random.Generator, widen: float) -> FloatArray:
        q = np.empty(len(model.coordinates))
        for i, coordinate in enumerate(model.coordinates):
            low, high = np.clip(coordinate.range, -np.pi, np.pi) if coordinate.rotational else (-1.5, 1.5)
            margin = widen * (high - low)
            q[i] = rng.uniform(low - margin, high + margin)
        for coupler in model.couplers:
            q[coupler.dependent] = coupler.function.value(q[coupler.independent])
        return q

    return draw
