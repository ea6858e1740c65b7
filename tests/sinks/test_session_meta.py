import pytest

from biopose_client import schema
from biopose_live.errors import EXIT_MODEL, UserError
from biopose_live.neurik.naming import LIMB_LANDMARKS, LIMB_NAMES, joint_names
from biopose_live.settings import Settings
from biopose_live.sinks.session_meta import KEYPOINT_NAMES, build_meta
from biopose_live.skeleton.bsk24 import bsk24_path, load_bsk24


def test_keypoints_are_mediapipes():
    vision = pytest.importorskip("mediapipe.tasks.python.vision")
    assert tuple(landmark.name.lower() for landmark in vision.PoseLandmark) == KEYPOINT_NAMES


def test_names_agree_with_opensim(meta):
    opensim = pytest.importorskip("opensim")
    opensim.Logger.removeFileSink()
    model = opensim.Model(str(bsk24_path()))
    model.initSystem()
    coordinates = model.getCoordinateSet()
    names = [coordinates.get(i).getName() for i in range(coordinates.getSize())]
    assert sorted(meta.coordinate_names) == sorted(names)
    for name, unit in zip(meta.coordinate_names, meta.coordinate_units, strict=True):
        rotational = coordinates.get(name).getMotionType() == opensim.Coordinate.Rotational
        assert unit == ("rad" if rotational else "m")
    bodies = model.getBodySet()
    assert sorted(meta.body_names) == sorted(bodies.get(i).getName() for i in range(bodies.getSize()))
    assert meta.joint_names[:24] == meta.body_names


def test_what_consumers_rely_on_is_there(meta):
    assert len(meta.body_names) == len(meta.body_parents) == 24
    assert set(LIMB_NAMES) <= set(meta.joint_names)
    assert len(set(meta.joint_names)) == len(meta.joint_names)
    assert {"pelvis_tilt", "hip_flexion_r", "knee_angle_l", "ankle_angle_r"} <= set(meta.coordinate_names)
    assert all(-1 <= parent < child for child, parent in enumerate(meta.body_parents))
    assert meta.mesh.vertices > 1000
    assert "mediapipe" in meta.versions.models["detector"]
    assert meta.versions.program.startswith("biopose-live ")


def test_meta_survives_the_wire(meta):
    assert schema.unpack(schema.pack(meta)) == meta


def test_limb_points_carry_the_landmarks_that_mediapipe_gives_these_names():
    from mediapipe.tasks.python.vision import PoseLandmark

    sides = {"l": "LEFT", "r": "RIGHT"}
    for name, landmark in zip(LIMB_NAMES, LIMB_LANDMARKS, strict=True):
        limb, side = name.split("_")
        assert PoseLandmark[f"{sides[side]}_{limb.upper()}"] == landmark
    assert joint_names(load_bsk24())[24:] == list(LIMB_NAMES)


def test_a_missing_body_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"smpl\.npz") as caught:
        build_meta(Settings(demo=True, body=tmp_path / "smpl.npz"), "x")
    assert caught.value.exit_code == EXIT_MODEL
