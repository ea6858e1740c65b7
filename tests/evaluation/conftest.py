"""Recordings to evaluate: one person whose joints and coordinates are set frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from biopose_client import schema
from biopose_live.settings import Settings
from biopose_live.sinks.recording import FRAMES_FILE, META_FILE
from biopose_live.sinks.session_meta import build_meta

SESSION = "0123456789ab"
FOCAL, CENTRE = 500.0, [160.0, 120.0]
IMAGE = [320, 240]


@pytest.fixture(scope="session")
def meta() -> schema.Meta:
    return build_meta(Settings(demo=True), SESSION)


MakePerson = Callable[..., schema.Person]


@pytest.fixture(scope="session")
def make_person(meta: schema.Meta) -> MakePerson:
    """make_person(id=1, confidence=0.9, joints={name: xyz}, q={name: rad}); the rest is a small upright body."""

    def make(
        id: int = 1,
        confidence: float = 0.9,
        joints: dict[str, Sequence[float]] | None = None,
        q: dict[str, float] | None = None,
    ) -> schema.Person:
        places = np.random.default_rng(7).uniform([-0.2, -0.6, 3.9], [0.2, 0.6, 4.1], (len(meta.joint_names), 3))
        for name, xyz in (joints or {}).items():
            places[meta.joint_names.index(name)] = xyz
        values = np.zeros(len(meta.coordinate_names))
        for name, value in (q or {}).items():
            values[meta.coordinate_names.index(name)] = value
        bodies = len(meta.body_names)
        return schema.Person(
            id=id,
            confidence=confidence,
            box=[120.0, 40.0, 80.0, 160.0],
            keypoints=[[160.0, 120.0, 0.0]] * len(meta.keypoint_names),
            camera=schema.Camera(FOCAL, CENTRE, [0.0, 0.0, 4.0]),
            joints=places.tolist(),
            q=values.tolist(),
            q_sigma=[0.05] * len(values),
            scales=[[1.0, 1.0, 1.0]] * bodies,
            bodies=[[0.0, 0.0, 0.0, 1.0]] * bodies,
            root=[0.0, 0.9, 0.0],
            theta=[[0.0, 0.0, 0.0]] * 24,
            betas=[0.0] * 10,
        )

    return make


@pytest.fixture
def write_recording(meta: schema.Meta, tmp_path: Path) -> Callable[..., Path]:
    """write_recording({seq: [people]}, rate=30.0, name="rec") -> the folder."""

    def write(people: dict[int, list[schema.Person]], rate: float = 30.0, name: str = "rec") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        settings = {**msgspec.to_builtins(meta), "settings": {}}
        (folder / META_FILE).write_bytes(msgspec.json.encode(settings))
        with (folder / FRAMES_FILE).open("wb") as stream:
            for seq, found in people.items():
                t = 1_000_000_000 + round(seq / rate * 1e9)
                pose = schema.Pose(SESSION, seq, t, t + 1, IMAGE, {}, 0, found)
                stream.write(schema.pack(pose)[len(schema.TOPIC_POSE) :])
        return folder

    return write
