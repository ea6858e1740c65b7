"""The training on a tiny network, on the CPU: two steps, resuming, refusals, and two processes at once."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from importlib.util import find_spec

import msgspec
import pytest
import torch

from biopose_live.errors import EXIT_MODEL, EXIT_OK, EXIT_SOURCE, EXIT_USAGE
from biopose_live.mqhmr.network.architecture import Architecture
from biopose_live.mqhmr.network.model import MQHMR, load_network
from biopose_live.training.mqhmr.batches import collate
from biopose_live.training.mqhmr.crops import cut
from biopose_live.training.mqhmr.losses import Losses
from biopose_live.training.mqhmr.options import parse
from biopose_live.training.mqhmr.records import Record, labels_of
from biopose_live.training.mqhmr.train import Process, Step, main, one_step, state_path
from event_files import scalars

TINY = Architecture(
    height=64, width=48, depth=1, embed=16, vit_heads=2, scales=(1, 2), queries=8, width_model=16, layers=1, heads=2,
    points=2, feed=16,
)  # fmt: skip


@pytest.fixture
def options(tmp_path, make_person, make_tar, make_npz):
    make_tar(tmp_path / "tars" / "0.tar", [[make_person(0)], [make_person(1), make_person(2)]])
    make_npz(tmp_path, [make_person(3), make_person(4)])
    (tmp_path / "data.toml").write_text(
        '[[source]]\nname = "tars"\ntars = "tars/*.tar"\n'
        '[[source]]\nname = "npz"\nnpz = "train.npz"\nimages = "images"\n'
    )
    (tmp_path / "tiny.json").write_bytes(msgspec.json.encode(TINY))
    return [
        "--data", str(tmp_path / "data.toml"), "--architecture", str(tmp_path / "tiny.json"),
        "--out", str(tmp_path / "out" / "network.safetensors"), "--device", "cpu", "--workers", "0", "--batch", "2",
        "--steps", "2", "--warmup", "0", "--report-every", "1", "--rate", "1e-3", "--ema", "0.5",
    ]  # fmt: skip


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_two_steps(options, tmp_path, capsys, precision):
    log = ["--tensorboard", str(tmp_path / "log")] if precision == "fp32" and find_spec("tensorboard") else []
    assert main([*options, "--precision", precision, "--accumulate", "2", *log]) == EXIT_OK
    out = tmp_path / "out" / "network.safetensors"
    assert load_network(out).architecture == TINY
    lines = [json.loads(line) for line in out.with_suffix(".progress.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert all(0 < line["loss"] < 100 for line in lines)
    state = torch.load(state_path(out), weights_only=True)
    assert state["step"] == 2
    changed = [
        name for name, value in state["network"].items() if not torch.equal(value, state["averaged"][f"module.{name}"])
    ]
    assert changed  # the average lags behind
    assert "step 2" in capsys.readouterr().out
    if log:
        logged = scalars(tmp_path / "log")
        for name, value in set(lines[1].items()) - {("step", 2)}:
            assert logged[f"train/{name}"][1] == (2, pytest.approx(value))
        assert logged["train/rate"][0][1] == pytest.approx(1e-3)


def test_one_picture_is_learnt_by_heart(options, body, make_person, make_picture):
    """Over one batch again and again, keypoints come to lie where the labels are."""
    people = [make_person(seed) for seed in range(2)]
    records = [Record("a person", make_picture(labels), labels_of(labels, "a person")) for labels in people]
    batch = collate([cut(record, 64, 48, body.marker_names) for record in records], "embedded", 113)
    given = parse([*options, "--precision", "fp32", "--keypoints", "0", "--rate", "3e-3"])
    torch.manual_seed(0)
    network = MQHMR(TINY, body).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    here = Process(0, 1, torch.device("cpu"))
    step, losses = Step(network, False), Losses(body.marker_names)
    reports = [one_step(step, losses, optimiser, scaler, itertools.repeat(batch), given, here) for _ in range(100)]
    for name, share in (("points_2d_percent", 0.35), ("points_3d_mm", 0.6), ("root_degrees", 0.6), ("loss", 0.4)):
        print(name, reports[0][name], reports[-1][name])
        assert reports[-1][name] < share * reports[0][name], name


def test_resuming_goes_on_where_it_ended(options, tmp_path):
    assert main([*options, "--precision", "fp32"]) == EXIT_OK
    out = tmp_path / "out" / "network.safetensors"
    before = torch.load(state_path(out), weights_only=True)
    assert main([*options, "--precision", "fp32", "--steps", "3", "--resume"]) == EXIT_OK
    after = torch.load(state_path(out), weights_only=True)
    assert after["step"] == 3
    assert after["averaged"]["n_averaged"] == 3
    name = "heads.six.weight"
    difference = (after["network"][name] - before["network"][name]).abs().max()
    assert 0 < difference < 0.1
    lines = out.with_suffix(".progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]


def test_a_backbone_to_begin_with_stays_as_it_is_when_frozen(options, tmp_path, capsys):
    from biopose_live.mqhmr.network.vit import ViT

    vit = ViT(64, 48, 16, 1, 2)
    weights = {f"backbone.{name}": value for name, value in vit.state_dict().items()}
    weights["backbone.pos_embed"] = torch.cat([torch.zeros(1, 1, 16), weights["backbone.pos_embed"]], 1)
    torch.save({"state_dict": {**weights, "smpl_head.decpose.weight": torch.zeros(1)}}, tmp_path / "hmr2.ckpt")
    given = [*options, "--backbone", str(tmp_path / "hmr2.ckpt"), "--freeze-backbone", "--precision", "fp32"]
    assert main(given) == EXIT_OK
    assert "backbone: HMR2.0" in capsys.readouterr().out
    trained = load_network(tmp_path / "out" / "network.safetensors")
    for name, value in trained.vit.state_dict().items():
        torch.testing.assert_close(value, vit.state_dict()[name])


@pytest.mark.parametrize(
    ("more", "told", "code"),
    [
        (["--device", "cuda:7"], "--device cuda:7 cannot be used here", EXIT_USAGE),
        (["--resume"], "cannot be gone on from", EXIT_SOURCE),
        (["--backbone", "none.pth"], "There is no checkpoint none.pth", EXIT_MODEL),
        (["--data", "none.toml"], "There is no list of datasets none.toml", EXIT_USAGE),
        (["--architecture", "none.json"], "none.json is no architecture", EXIT_MODEL),
    ],
)
def test_refusals_are_one_sentence(options, capsys, more, told, code):
    assert main([*options, *more]) == code
    printed = capsys.readouterr().err
    assert told in printed
    assert printed.count("\n") == 1


def test_a_state_of_other_sizes_is_refused(options, tmp_path, capsys):
    assert main([*options, "--precision", "fp32"]) == EXIT_OK
    (tmp_path / "tiny.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(TINY, queries=9)))
    assert main([*options, "--precision", "fp32", "--resume"]) == EXIT_SOURCE
    assert "give the options that it was begun with" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", pytest.param("2", marks=pytest.mark.slow)])
def test_a_malformed_dataset_is_one_sentence_whoever_reads_it(options, tmp_path, capsys, workers):
    (tmp_path / "tars" / "0.tar").write_bytes(b"no tar")
    given = [*options, "--precision", "fp32", "--steps", "30", "--batch", "1", "--workers", workers]
    assert main(given) == EXIT_SOURCE
    printed = capsys.readouterr().err
    assert "no readable tar file" in printed
    assert printed.count("\n") == 1


@pytest.mark.slow
def test_two_processes_train_one_network(options, tmp_path):
    """torchrun: the same weights in both, one set of files."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29512", "-m"]
    command += ["biopose_live.training.mqhmr.train", *options, "--precision", "fp32"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240)
    lines = (tmp_path / "out" / "network.progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert torch.load(state_path(tmp_path / "out" / "network.safetensors"), weights_only=True)["step"] == 2
