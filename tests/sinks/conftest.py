"""Messages to feed the sinks with: a skeleton that bends its knees, one or more people."""

from __future__ import annotations

import socket
from collections.abc import Callable

import numpy as np
import pytest

from biopose_client import schema
from biopose_live.pipeline.metrics import Percentiles, StageSummary, Summary
from biopose_live.settings import Settings
from biopose_live.sinks.session_meta import build_meta
from biopose_live.skeleton.bsk24 import load_bsk24

SESSION = "0123456789ab"


@pytest.fixture(scope="session")
def meta() -> schema.Meta:
    return build_meta(Settings(demo=True), SESSION)


@pytest.fixture(scope="session")
def make_pose(meta: schema.Meta) -> Callable[..., schema.Pose]:
    """make_pose(seq, ids=(1,), rate=30.0, settled=False, session=...) -> a pose of a person bending the right knee."""
    model = load_bsk24()
    rest = model.default_pose()
    knee = model.coordinate_index("knee_angle_r")
    rng = np.random.default_rng(1)
    scales = rng.uniform(0.9, 1.1, (len(model.bodies), 3)).round(6)

    def person(person_id: int, seq: int, settled: bool) -> schema.Person:
        q = rest.copy()
        q[knee] = np.radians(seq % 90)
        return schema.Person(
            id=person_id,
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

    def make(
        seq: int, ids: tuple[int, ...] = (1,), rate: float = 30.0, settled: bool = False, session: str = SESSION
    ) -> schema.Pose:
        t = 5_000_000_000 + round(seq / rate * 1e9)
        return schema.Pose(
            session=session,
            seq=seq,
            t_capture=t,
            t_publish=t + 40_000_000,
            image=[640, 480],
            stages={"detection": 20.0, "mqhmr": 8.0, "neurik": 2.0},
            dropped=0,
            people=[person(i, seq, settled) for i in ids],
        )

    return make


@pytest.fixture
def summary() -> Summary:
    stage = StageSummary(Percentiles(1.0, 2.0, 3.0, 10), 10, 10, 0, 0)
    return Summary(
        session=SESSION,
        settings={},
        captured=12,
        processed=10,
        dropped=2,
        seconds=1.0,
        fps=10.0,
        latency=Percentiles(40.0, 60.0, 70.0, 10),
        stages={"detection": stage, "sinks": stage},
        end_reason="end of stream",
    )


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
