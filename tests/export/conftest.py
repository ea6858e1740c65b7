"""Recordings made by the recorder itself from a skeleton that moves every coordinate; nobody is filmed for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import opensim
import pytest

from biopose_client import schema
from biopose_live.pipeline.control import settings_to_map
from biopose_live.pipeline.metrics import Percentiles, StageSummary, Summary
from biopose_live.settings import Settings
from biopose_live.sinks.record import Recorder
from biopose_live.sinks.session_meta import build_meta
from biopose_live.skeleton.bsk24 import load_bsk24
from biopose_live.skeleton.model import FloatArray, SkeletonModel

opensim.Logger.setLevelString("Error")
opensim.Logger.removeFileSink()

SESSION = "0123456789ab"


def moving(model: SkeletonModel, times: FloatArray, person: int = 1) -> FloatArray:
    """Coordinates (T, Q): each swings through most of its range; the right arm passes through the T-pose."""
    rng = np.random.default_rng(person)
    q = np.empty((len(times), len(model.coordinates)))
    for number, coordinate in enumerate(model.coordinates):
        low, high = np.clip(coordinate.range, -1.5, 1.5) if coordinate.rotational else (-0.5, 1.5)
        swing = 0.45 * np.sin(2.0 * np.pi * rng.uniform(0.2, 0.8) * times + rng.uniform(0.0, 6.0))
        q[:, number] = 0.5 * (low + high) + swing * (high - low)
    q[:, model.coordinate_index("arm_add_r")] = np.radians(-90.0 - 20.0 * np.sin(3.0 * times))
    return q


@dataclass
class Made:
    """A recording and what went into it."""

    folder: Path
    model: SkeletonModel
    times: FloatArray
    q: dict[int, FloatArray]
    scales: FloatArray  # (T, B, 3)


@pytest.fixture(scope="session")
def model() -> SkeletonModel:
    return load_bsk24()


@pytest.fixture(scope="session")
def meta() -> schema.Meta:
    return build_meta(Settings(demo=True), SESSION)


@pytest.fixture(scope="session")
def summary() -> Summary:
    stage = StageSummary(Percentiles(1.0, 2.0, 3.0, 10), 10, 10, 0, 0)
    latency = Percentiles(40.0, 60.0, 70.0, 10)
    return Summary(SESSION, {}, 12, 10, 2, 1.0, 10.0, latency, {"sinks": stage}, "end of stream")


@pytest.fixture(scope="session")
def record(model: SkeletonModel, meta: schema.Meta, summary: Summary) -> Callable[..., Made]:
    """record(folder, times, ids=(1,), away={}, settle=4, crash=False) -> a recording of people at ``times`` (s).

    ``away`` maps an id to the frames in which that person is not there; bone scales change until frame ``settle``;
    ``crash`` leaves the recorder unfinished.
    """

    def make(
        folder: Path,
        times: FloatArray,
        ids: tuple[int, ...] = (1,),
        away: dict[int, range] | None = None,
        settle: int = 4,
        crash: bool = False,
    ) -> Made:
        rng = np.random.default_rng(7)
        final = rng.uniform(0.9, 1.1, (len(model.bodies), 3))
        scales = np.array([final * (1.0 + 0.01 * max(settle - n, 0)) for n in range(len(times))])
        q = {key: moving(model, times, key) for key in ids}
        recorder = Recorder(folder, meta, settings_to_map(Settings(demo=True, record=folder)))
        for seq, time in enumerate(times):
            people = [
                person(model, meta, key, q[key][seq], scales[seq], seq >= settle)
                for key in ids
                if seq not in (away or {}).get(key, ())
            ]
            t = 5_000_000_000 + round(time * 1e9)
            pose = schema.Pose(SESSION, seq, t, t + 40_000_000, [640, 480], {}, 0, people)
            recorder.write(pose, schema.pack(pose)[len(schema.TOPIC_POSE) :])
        if crash:
            recorder._frames.flush()
        else:
            recorder.close(summary)
        return Made(folder, model, times, q, scales)

    return make


def person(
    model: SkeletonModel, meta: schema.Meta, key: int, q: FloatArray, scales: FloatArray, settled: bool
) -> schema.Person:
    """A person as the neurik stage sends one, as far as exporting looks at it."""
    return schema.Person(
        id=key,
        confidence=0.9,
        box=[10.0, 20.0, 100.0, 300.0],
        keypoints=[[1.0, 2.0, 0.5]] * 33,
        camera=schema.Camera(900.0, [320.0, 240.0], [0.0, 0.2, 3.0]),
        joints=[[0.1, 0.2, 3.0]] * len(meta.joint_names),
        q=q.tolist(),
        q_sigma=[0.05] * len(q),
        scales=scales.tolist(),
        bodies=[[0.0, 0.0, 0.0, 1.0]] * len(model.bodies),
        root=[0.0, 0.9, 0.0],
        theta=[[0.0, 0.0, 0.0]] * 24,
        betas=[0.0] * 10,
        settled=settled,
    )


@pytest.fixture(scope="session")
def whole(record: Callable[..., Made], tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two people, 40 frames of 30 Hz; the second one comes at frame 5."""
    folder = tmp_path_factory.mktemp("recordings") / "whole"
    return record(folder, np.arange(40) / 30.0, ids=(1, 2), away={2: range(5)})
