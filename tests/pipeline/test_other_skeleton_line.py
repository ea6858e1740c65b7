"""`biopose-live --demo --skeleton FILE --record DIR` from end to end: everything recorded belongs to that model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opensim
import pytest

from biopose_live.cli.main import main
from biopose_live.errors import EXIT_MODEL, EXIT_OK
from biopose_live.sinks.recording import Recording
from biopose_live.skeleton.choice import load_skeleton


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, other_skeleton: Path) -> Path:
    path = tmp_path_factory.mktemp("other") / "run"
    run = ["--demo", "--every-frame", "--duration", "1", "--publish", "off", "--record", str(path)]
    assert main([*run, "--skeleton", str(other_skeleton), "--mass", "66"]) == EXIT_OK
    return path


def test_messages_name_and_count_the_models_own(folder: Path, other_skeleton: Path) -> None:
    model, recording = load_skeleton(other_skeleton), Recording(folder)
    assert recording.meta.coordinate_names == model.coordinate_names
    assert recording.meta.body_names == model.body_names
    assert recording.meta.body_parents == model.body_parents
    people = [person for pose in recording for person in pose.people]
    assert len(people) > 20
    for person in people:
        assert len(person.q) == len(model.coordinates)
        assert np.shape(person.scales) == (len(model.bodies), 3)
        assert np.shape(person.joints) == (len(model.bodies) + 12, 3)
        assert np.isfinite(person.q).all()
    assert people[0].calibrated < people[-1].calibrated < 1.0


def test_opensim_reads_what_was_recorded_and_it_fits_together(folder: Path, other_skeleton: Path) -> None:
    source = load_skeleton(other_skeleton)
    model = opensim.Model(str(folder / "skeleton.osim"))
    state = model.initSystem()
    assert model.getTotalMass(state) == pytest.approx(66.0, rel=1e-9)
    assert [body.getName() for body in model.getBodyList()] == source.body_names
    angles = opensim.TimeSeriesTable(str(folder / "angles.mot"))
    assert list(angles.getColumnLabels()) == source.coordinate_names
    markers = opensim.TimeSeriesTableVec3(str(folder / "markers.trc"))
    assert list(markers.getColumnLabels()) == source.marker_names
    row = angles.getNumRows() - 1
    values = angles.getRowAtIndex(row)
    for number, coordinate in enumerate(source.coordinates):
        own = model.getCoordinateSet().get(coordinate.name)
        if not own.getLocked(state):
            own.setValue(state, np.radians(values[number]) if coordinate.rotational else values[number], False)
    model.realizePosition(state)
    seen = markers.getRowAtIndex(row)
    for number, marker in enumerate(source.markers):
        place = model.getMarkerSet().get(marker.name).getLocationInGround(state)
        for axis in range(3):
            # The file's bones are the last frame's; millimetres in a .trc with five digits.
            assert place[axis] == pytest.approx(seen[number][axis] / 1.0, abs=2e-3), marker.name


def test_a_model_without_thighs_is_one_sentence(
    other_skeleton: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bird.osim"
    path.write_text(other_skeleton.read_text().replace("thigh_", "wing_"))
    run = ["--demo", "--every-frame", "--publish", "off", "--skeleton", str(path), "--record", str(tmp_path / "run")]
    assert main(run) == EXIT_MODEL
    assert "has no body femur_r" in capsys.readouterr().err
