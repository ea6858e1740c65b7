"""`biopose-eval mqhmr --data`: errors against SciPy and by hand, and a small network on small datasets."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial import procrustes

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.evaluation.main import main as biopose_eval
from biopose_live.evaluation.mqhmr_datasets import (
    DISTINCT,
    HIPS,
    Judge,
    load,
    once,
    person_errors,
    points_3d_errors,
    score,
)
from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.mqhmr.network.heads import DenseMarkers
from biopose_live.mqhmr.network.model import MQHMR, Prediction, save_network
from biopose_live.training.mqhmr.batches import Batch, Layout, collate
from biopose_live.training.mqhmr.crops import cut
from biopose_live.training.mqhmr.keypoints44 import KEYPOINTS, Keypoints44
from biopose_live.training.mqhmr.records import Record, RestPose, labels_of
from biopose_live.training.mqhmr.tar_source import TarSource
from field_datasets import field_npz, field_tar, person, picture

TINY = Architecture(
    height=64, width=48, depth=1, embed=16, vit_heads=2, scales=(1, 2), queries=8, width_model=16, layers=1, heads=2,
    points=2, feed=16,
)  # fmt: skip
People = list[dict[str, Any]]
NAMES = [name for name, _ in KEYPOINTS]


@pytest.fixture(scope="module")
def network(body: BodyModel) -> MQHMR:
    torch.manual_seed(0)
    return MQHMR(TINY, body).eval()


@pytest.fixture(scope="module")
def people(body: BodyModel) -> People:
    return [person(body, seed) for seed in range(3)]


def batch_of(people: People, body: BodyModel, rest: RestPose) -> Batch:
    records = [Record("a person", picture(labels), labels_of(labels, "a person")) for labels in people]
    return collate([cut(record, 64, 48, body.marker_names) for record in records], rest, 113)


def truth(people: People, batch: Batch, network: MQHMR) -> Prediction:
    """The prediction of somebody who knows the labels."""
    pelvis = torch.tensor(np.stack([p["points"][89] for p in people]), dtype=torch.float32)
    points = network.body(batch.rotations, batch.betas, pelvis)
    b = len(people)
    dense = DenseMarkers(torch.zeros(b, 113, 2), torch.eye(2).expand(b, 113, 2, 2), torch.zeros(b, 113))
    return Prediction(batch.rotations, batch.betas, pelvis, points, dense)


def test_the_truth_has_no_error(people: People, body: BodyModel, network: MQHMR) -> None:
    batch = batch_of(people, body, "smpl")
    errors = person_errors(truth(people, batch, network), batch, network, Keypoints44(body.marker_names))
    assert len(errors) == 3
    for e in errors:
        assert e.mpjpe == pytest.approx(0.0, abs=0.02)
        assert e.pa_mpjpe == pytest.approx(0.0, abs=0.02)
        assert e.mve == pytest.approx(0.0, abs=1e-3)
        assert e.points_2d == pytest.approx(0.0, abs=0.02)


def test_a_turned_body_is_wrong_but_for_procrustes(people: People, body: BodyModel, network: MQHMR) -> None:
    batch = batch_of(people, body, "smpl")
    right = truth(people, batch, network)
    turn = torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    rotations = torch.cat([turn @ right.rotations[:, :1], right.rotations[:, 1:]], 1)
    wrong = replace(right, rotations=rotations, points=network.body(rotations, right.betas, right.pelvis))
    for e in person_errors(wrong, batch, network, Keypoints44(body.marker_names)):
        assert e.mpjpe > 100.0
        assert e.mve > 100.0
        assert e.points_2d > 1.0
        assert e.pa_mpjpe == pytest.approx(0.0, abs=0.02)


def test_surfaces_are_compared_between_equal_bodies_alone(people: People, body: BodyModel, network: MQHMR) -> None:
    batch = batch_of(people, body, "embedded")  # 4D-Humans' labels count from SMPL's rest pose
    errors = person_errors(truth(people, batch, network), batch, network, Keypoints44(body.marker_names))
    assert all(np.isnan(e.mve) for e in errors)
    assert all(e.mpjpe == pytest.approx(0.0, abs=0.02) for e in errors)


def test_every_point_counts_once() -> None:
    rows = [row for rows in DISTINCT for row in rows]
    assert sorted(rows) == [row for row, (_, points) in enumerate(KEYPOINTS) if points]
    weights = np.zeros(44)
    weights[[NAMES.index("RKnee"), 25 + NAMES[25:].index("RKnee"), 25 + NAMES[25:].index("LKnee")]] = 1.0
    assert once(weights)[1].tolist() == [NAMES.index("RKnee"), 25 + NAMES[25:].index("LKnee")]
    assert [KEYPOINTS[DISTINCT[g][0]][0] for g in HIPS] == ["LHip", "RHip"]
    assert once(np.zeros(44))[1].tolist() == []


def test_labelled_points_against_scipy() -> None:
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.normal(size=(44, 3)), np.ones((44, 1))], 1)
    labels[3:9, 3] = 0.0
    found = labels[:, :3] + rng.normal(0, 0.1, (44, 3))
    rows = once(labels[:, 3])[1]
    mpjpe, pa = points_3d_errors(found, labels)
    true = labels[rows, :3]
    first, second, _ = procrustes(true, found[rows])
    assert pa == pytest.approx(
        1e3 * np.linalg.norm(true - true.mean(0)) * np.linalg.norm(first - second, axis=1).mean()
    )
    hips = [NAMES.index("LHip"), NAMES.index("RHip")]
    off = (found[rows] - found[hips].mean(0)) - (true - labels[hips, :3].mean(0))
    assert mpjpe == pytest.approx(1e3 * np.linalg.norm(off, axis=1).mean())


def test_what_labels_do_not_allow_is_left_out() -> None:
    labels = np.concatenate([np.random.default_rng(1).normal(size=(44, 3)), np.ones((44, 1))], 1)
    labels[[row for row, (_, points) in enumerate(KEYPOINTS) if points == ("left_hip",)], 3] = 0.0
    mpjpe, pa = points_3d_errors(labels[:, :3], labels)
    assert np.isnan(mpjpe)
    assert pa == pytest.approx(0.0, abs=1e-9)
    labels[:, 3] = 0.0
    labels[:3, 3] = 1.0
    assert all(np.isnan(points_3d_errors(labels[:, :3], labels)))


@pytest.fixture
def data(people: People, network: MQHMR, tmp_path: Path) -> list[str]:
    flat = {**people[0], "keypoints_3d": np.zeros((44, 4), np.float32), "has_body_pose": np.array(0.0)}
    field_tar(tmp_path / "tars" / "0.tar", [[people[0]], [people[1], people[2]]])
    field_tar(tmp_path / "flat" / "0.tar", [[flat]])
    field_npz(tmp_path, people[:2])
    (tmp_path / "data.toml").write_text(
        '[[source]]\nname = "h36m"\ntars = "tars/*.tar"\n'
        '[[source]]\nname = "coco"\ntars = "flat/*.tar"\n'
        '[[source]]\nname = "mpii"\nnpz = "train.npz"\nimages = "images"\n'
    )
    save_network(network, tmp_path / "network.safetensors")
    return ["mqhmr", "--data", str(tmp_path / "data.toml"), "--network", str(tmp_path / "network.safetensors")]


def test_the_command_scores_each_dataset(data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    assert biopose_eval([*data, "--json", str(out), "--batch", "2"]) == 0
    said = capsys.readouterr().out
    for part in ("h36m", "coco", "mpii", "PA-MPJPE", "AITI"):
        assert part in said, part
    report = json.loads(out.read_text())
    assert {name: s["people"] for name, s in report["datasets"].items()} == {"h36m": 3, "coco": 1, "mpii": 2}
    assert [report["datasets"][name]["with_3d"] for name in ("h36m", "coco", "mpii")] == [3, 0, 2]
    assert report["datasets"]["h36m"]["mpjpe_mm"]["mean"] > report["datasets"]["h36m"]["pa_mpjpe_mm"]["mean"] > 10.0
    assert report["datasets"]["coco"]["mpjpe_mm"]["mean"] is None
    assert report["datasets"]["coco"]["points_2d_percent"]["mean"] > 1.0
    assert all(s["mve_mm"]["mean"] is None for s in report["datasets"].values())  # SMPL's labels, another body
    assert biopose_eval([*data, "--json", str(out), "--count", "1"]) == 0
    assert all(s["people"] == 1 for s in json.loads(out.read_text())["datasets"].values())


def test_refinement_draws_the_body_to_labelled_keypoints(
    data: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, errors = tmp_path / "figures.json", []
    for steps in ("0", "10"):
        assert biopose_eval([*data, "--label-keypoints", "--refine", steps, "--json", str(out)]) == 0
        report = json.loads(out.read_text())
        assert (report["refine"], report["label_keypoints"]) == (int(steps), True)
        errors.append(report["datasets"]["h36m"]["points_2d_percent"]["mean"])
    assert errors[1] < errors[0]


def test_mistakes_are_told_in_one_sentence(
    data: list[str], network: MQHMR, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for more, told, code in (
        (["--network", str(tmp_path / "none.safetensors")], "There is no network", 4),
        (["--network", str(tmp_path / "data.toml")], "is no file of the image network", 4),
        (["--data", str(tmp_path / "none.toml")], "There is no list of datasets", 2),
        (["--device", "cuda:9"], "--device cuda:9 cannot be used here", 2),
        (["--body", str(tmp_path / "none.npz")], "none.npz", 4),
    ):
        assert biopose_eval([*data, *more]) == code, told
        said = capsys.readouterr().err
        assert told in said
        assert said.count("\n") == 1
    (tmp_path / "tars" / "0.tar").write_bytes(b"no tar")
    assert biopose_eval(data) == 3
    assert "no readable tar file" in capsys.readouterr().err


def test_an_empty_dataset_and_a_network_without_eyes_are_refused(body: BodyModel, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "0.tar", "w"):
        pass
    torch.manual_seed(0)
    judge = Judge(
        MQHMR(TINY, body).eval(), Layout(64, 48, body.marker_names, "embedded"), 0, False, torch.device("cpu")
    )
    with pytest.raises(UserError, match="holds nobody"):
        score(judge, TarSource("empty", [tmp_path / "0.tar"]), 2, None)
    blind = Architecture(
        encoder="maps", map_channels=(4,), queries=8, width_model=16, layers=1, heads=2, points=2, feed=16
    )
    save_network(MQHMR(blind, body), tmp_path / "maps.safetensors")
    with pytest.raises(UserError, match="reads ready-made feature maps"):
        load(tmp_path / "maps.safetensors", None, "cpu")
