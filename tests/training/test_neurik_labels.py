"""Labels are the angles that OpenSim's own inverse kinematics finds on the same scaled model and the same markers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import opensim
import pytest

from biopose_live.body.model import BodyModel
from biopose_live.neurik.calibration import BODY_TO_GROUND, Calibration, Calibrator
from biopose_live.rotations import to_matrix
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import Marker, SkeletonModel, scale_model
from biopose_live.skeleton.osim_writer import write_osim
from biopose_live.training.neurik.labels import label
from neurik_made_up import waves

BETAS = np.array([0.5, -1.0, 0.3, 0.8, -0.4, 0.2, 0.0, -0.6, 0.4, 0.1])
TIMES = np.arange(6) / 30.0
# Not the spine, the shoulder blades and the feet's small joints: too few markers hold them, and the labels draw them
# to zero, which OpenSim's solver does not; the hip's rotation gives way to the subtalar joint.
WELL_POSED = ["pelvis_tilt", "pelvis_list", "pelvis_rotation"] + [
    f"{name}_{side}"
    for name in ("hip_flexion", "hip_adduction", "knee_angle", "ankle_angle", "elbow_flex")
    for side in "rl"
]


@pytest.fixture(scope="module")
def calibrator(body: BodyModel, skeleton: SkeletonModel) -> Calibrator:
    return Calibrator(body, skeleton)


@pytest.fixture(scope="module")
def person(calibrator: Calibrator) -> Calibration:
    return calibrator(BETAS)


def by_opensim(
    model: SkeletonModel,
    person: Calibration,
    weights: np.ndarray,
    names: tuple[str, ...],
    targets: np.ndarray,
    q: np.ndarray,
    path: Path,
) -> np.ndarray:
    """-> (T, Q): OpenSim on the scaled skeleton with the person's markers, begun at q (Q,)."""
    scaled = scale_model(model, person.scales)
    own = zip(names, person.marker_bodies, person.marker_locations, strict=True)
    write_osim(replace(scaled, markers=tuple(Marker(name, int(body), place) for name, body, place in own)), path)
    opensim.Logger.setLevelString("Error")
    made = opensim.Model(str(path))
    state = made.initSystem()
    table = opensim.TimeSeriesTableVec3()
    table.setColumnLabels(list(names))
    for t, frame in zip(TIMES, targets, strict=True):
        row = opensim.RowVectorVec3(len(frame))
        for place, point in enumerate(frame):
            row[place] = opensim.Vec3(*(float(x) for x in point))
        table.appendRow(float(t), row)
    shares = opensim.SetMarkerWeights()
    for name, weight in zip(names, weights, strict=True):
        shares.cloneAndAppend(opensim.MarkerWeight(name, float(weight)))
    solver = opensim.InverseKinematicsSolver(
        made, opensim.MarkersReference(table, shares), opensim.SimTKArrayCoordinateReference()
    )
    solver.setAccuracy(1e-7)
    coordinates = made.getCoordinateSet()
    for name, value in zip(model.coordinate_names, q, strict=True):
        coordinates.get(name).setValue(state, float(value), False)
    state.setTime(0.0)
    solver.assemble(state)
    found = []
    for t in TIMES:
        state.setTime(float(t))
        solver.track(state)
        found.append([coordinates.get(name).getValue(state) for name in model.coordinate_names])
    return np.array(found)


def body_markers(body: BodyModel) -> np.ndarray:
    """-> (T, M, 3) of the body's skin: a squat, arms forward; no marker sits quite still on its bone."""
    frames = []
    for share in np.linspace(0.3, 1.0, len(TIMES)):
        vectors = np.zeros((24, 3))
        vectors[[1, 2], 0], vectors[[4, 5], 0], vectors[[7, 8], 0] = -0.9 * share, 1.2 * share, -0.35 * share
        vectors[0, 0] = 0.2 * share
        vectors[16, 2], vectors[17, 2] = -0.9, 0.9
        vectors[18, 1], vectors[19, 1] = -0.8 * share, 0.8 * share
        frames.append(body.pose_markers(to_matrix(vectors), BETAS, np.zeros(3))[1] @ BODY_TO_GROUND.T)
    return np.array(frames)


def rigid_markers(model: SkeletonModel, person: Calibration) -> Callable[[np.ndarray], np.ndarray]:
    kinematics = Kinematics(model)
    worn = person.scales, person.marker_bodies, person.marker_locations
    return lambda q: np.array([kinematics.markers(row, *worn) for row in q])


def test_labels_of_skin_markers_are_opensims(
    body: BodyModel, skeleton: SkeletonModel, calibrator: Calibrator, person: Calibration, tmp_path: Path
) -> None:
    markers = body_markers(body)
    labels = label(TIMES, markers, BETAS, skeleton, calibrator)
    np.testing.assert_allclose(labels.scales, person.scales)
    weights = calibrator.marker_weights
    theirs = by_opensim(skeleton, person, weights, body.marker_names, markers, labels.q[0], tmp_path / "scaled.osim")
    columns = [skeleton.coordinate_names.index(name) for name in WELL_POSED]
    off = np.degrees(labels.q - theirs)[:, columns]
    assert np.abs(off).mean() < 0.6
    assert np.abs(off).max() < 1.2


def test_labels_of_markers_on_the_bones_are_the_truth(
    skeleton: SkeletonModel, calibrator: Calibrator, person: Calibration
) -> None:
    q = 0.5 * waves(skeleton, np.arange(20) / 30.0, np.random.default_rng(1))
    labels = label(np.arange(20) / 30.0, rigid_markers(skeleton, person)(q), BETAS, skeleton, calibrator)
    columns = [skeleton.coordinate_names.index(name) for name in WELL_POSED]
    assert np.degrees(np.abs(labels.q - q)[3:, columns]).mean() < 0.7
    assert labels.rms[3:].max() < 0.01
    assert labels.q.shape == (20, len(skeleton.coordinates))
