"""From rendered people to weights that the live network reads: samples, shards, batches, losses, one short training."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from scipy.spatial.transform import Rotation
from scipy.stats import t as student_t

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.mqhmr.landmarks import Landmarks
from biopose_live.mqhmr.lite.network import LiteNetwork
from biopose_live.mqhmr.lite.points import POINTS
from biopose_live.mqhmr.network.body_points import BodyPoints
from biopose_live.mqhmr.side_swaps import EXCHANGED
from biopose_live.rotations import to_matrix
from biopose_live.training.lite import render as rendering
from biopose_live.training.lite import sample as sampling
from biopose_live.training.lite.batches import Examples
from biopose_live.training.lite.losses import FREEDOM, figures, loss, mahalanobis, point_errors, student
from biopose_live.training.lite.network import LiteNetwork as TorchNetwork
from biopose_live.training.lite.network import Outputs
from biopose_live.training.lite.render import Renderer, clips_of
from biopose_live.training.lite.shards import Shards, measure_scales, write_scales, write_shard
from biopose_live.training.lite.train import Plan, design, judge, train
from biopose_live.training.synthetic.choreography import read_pose_set
from event_files import scalars

COUNT = 6


@pytest.fixture(scope="module")
def pose_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    time = np.arange(24)[:, None, None] / 10.0
    theta = (0.25 * np.sin(time + np.arange(72).reshape(24, 3))).astype(np.float32)
    theta[:, 0] = 0.0
    path = tmp_path_factory.mktemp("poses") / "poses.npz"
    np.savez(
        path,
        theta=theta,
        trans=np.zeros((24, 3), np.float32),
        clip_index=np.repeat(np.arange(12), 2),
        clip_names=np.array([f"clip{i}" for i in range(12)]),
    )
    return path


@pytest.fixture(scope="module")
def samples(made_up_assets: Path, pose_file: Path) -> list[sampling.Sample]:
    (made_up_assets / "backgrounds").mkdir(exist_ok=True)
    ramp = np.tile(np.linspace(0, 255, 800).astype(np.uint8), (600, 1))
    cv2.imwrite(str(made_up_assets / "backgrounds" / "ramp.jpg"), ramp)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampling, "MIN_PRESENCE", -1.0)  # the made-up people have no faces
        drawn = Renderer(made_up_assets, pose_file, "lite", "train").some(0, COUNT // 2)
    assert len(drawn) == COUNT
    return drawn


@pytest.fixture(scope="module")
def folder(samples: list[sampling.Sample], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("samples")
    steps = measure_scales(samples)
    write_scales(made, steps)
    write_shard(made, "000", samples[:4], steps)
    write_shard(made, "004", samples[4:], steps)
    return made


@pytest.fixture(scope="module")
def examples(folder: Path, body: BodyModel) -> Examples:
    return Examples(Shards(folder), body)


def test_clips_are_in_one_part_only(pose_file: Path) -> None:
    poses = read_pose_set(pose_file)
    training, test = clips_of(poses, "train"), clips_of(poses, "test")
    assert set(training.clip_names) | set(test.clip_names) == set(poses.clip_names)
    assert not set(training.clip_names) & set(test.clip_names)
    assert len(training.theta) + len(test.theta) == len(poses.theta)
    for part in (training, test):
        for i, name in enumerate(part.clip_names):
            original = poses.theta[poses.clip_index == poses.clip_names.index(name)]
            np.testing.assert_array_equal(part.theta[part.clip_index == i], original)


def test_shards_give_back_what_was_written(samples: list[sampling.Sample], folder: Path) -> None:
    shards = Shards(folder)
    assert len(shards) == COUNT
    assert shards.levels == tuple(m.shape for m in samples[0].maps)
    wanted = [5, 0, 3]
    for level, (coded, step) in enumerate(zip(shards.maps(wanted), shards.steps, strict=True)):
        whole = np.stack([samples[i].maps[level] for i in wanted])
        reached = np.minimum(whole, 127 * step)
        np.testing.assert_allclose(coded * step, reached, atol=0.51 * step.max())
        assert (np.abs(coded * step - whole) > 0.51 * step).mean() < 0.01
    for key in ("keypoints", "true_rotations", "visible"):
        np.testing.assert_allclose(shards.fields[key][4], samples[4].fields[key], rtol=1e-6, atol=1e-6)


def test_a_folder_without_samples_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="holds no rendered samples"):
        Shards(tmp_path)
    write_scales(tmp_path, Shards(folder).steps)
    with pytest.raises(UserError, match="holds no rendered samples"):
        Shards(tmp_path)


def test_some_maps_alone_are_read(folder: Path) -> None:
    every, some = Shards(folder), Shards(folder, (16, 4))
    assert some.levels == (every.levels[0], every.levels[2])
    for wanted, (level, step) in zip((0, 2), zip(some.maps([3]), some.steps, strict=True), strict=True):
        np.testing.assert_array_equal(level, every.maps([3])[wanted])
        np.testing.assert_array_equal(step, every.steps[wanted])
    assert Shards(folder, ()).maps([3]) == []
    with pytest.raises(UserError, match="no feature maps of stride 2, but of 4, 8, 16, 32"):
        Shards(folder, (2,))


def test_a_shard_that_was_not_finished_does_not_count(samples: list[sampling.Sample], tmp_path: Path) -> None:
    steps = measure_scales(samples)
    write_scales(tmp_path, steps)
    write_shard(tmp_path, "000", samples[:2], steps)
    np.save(tmp_path / "002.maps0.npy", np.zeros((2, 4, 4, 1), np.int8))
    assert len(Shards(tmp_path)) == 2


def test_targets_are_the_bodys_true_points(examples: Examples, body: BodyModel) -> None:
    for i in range(COUNT):
        e, f = examples.example(i), {k: v[i].astype(np.float64) for k, v in examples.shards.fields.items()}
        joints, markers, _ = body.pose_markers(to_matrix(f["true_rotations"]), f["true_betas"], f["true_translation"])
        points = np.concatenate([markers, joints])
        focal, centre = f["camera"][0], f["camera"][1:]
        pixels = focal * points[:, :2] / points[:, 2:] + centre
        np.testing.assert_allclose(e.crop.out_of(256 * e.target), pixels, atol=0.05)


def test_every_other_sample_is_the_one_before_in_a_mirror(examples: Examples, body: BodyModel) -> None:
    names = list(body.marker_names) + list(body.joint_names)
    exchange = {"L": "R", "R": "L", "left": "right", "right": "left"}
    partner = [names.index(re.sub("^(L|R|left|right)(?=[A-Z_])", lambda m: exchange[m[0]], name)) for name in names]
    for i in range(0, COUNT, 2):
        plain, back = examples.example(i), examples.example(i + 1)
        across = np.array([1.0, 0.0]) + np.array([-1.0, 1.0]) * back.target[partner]
        np.testing.assert_allclose(across, plain.target, atol=2e-4)
        seen = examples.shards.fields["visible"]
        np.testing.assert_array_equal(seen[i + 1][partner], seen[i])
        found = examples.shards.fields["keypoints"][i : i + 2].astype(np.float64)
        # The mean of both looks is the same whichever way round they were taken.
        here = plain.crop.into(found[0, :, :2])
        there = np.array([256.0, 0.0]) + np.array([-1.0, 1.0]) * back.crop.into(found[1, EXCHANGED, :2])
        np.testing.assert_allclose(there, here, atol=0.05)


def test_people_who_are_seen_badly_are_drawn_less_often(examples: Examples) -> None:
    shards = examples.shards
    moved = {k: v.copy() for k, v in shards.fields.items()}
    for i in range(COUNT):
        e = examples.example(i)
        landmarks = Landmarks(BodyModel.load()).place(to_matrix(moved["true_rotations"][i].astype(np.float64)),
            moved["true_betas"][i].astype(np.float64)) + moved["true_translation"][i]  # fmt: skip
        pixels = e.camera.focal * landmarks[:, :2] / landmarks[:, 2:] + np.array(e.camera.centre)
        off = np.array([0.0, (2.0 if i % 3 else 30.0) * e.crop.size / 256])
        moved["keypoints"][i, :, :2] = pixels + off
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "fields", moved)
        weights = examples.weights(0.0)
        np.testing.assert_array_equal(weights, [0, 1, 1] * (COUNT // 3))
        np.testing.assert_array_equal(examples.weights(1.0), 1.0)
        stream = examples.shuffled(np.arange(COUNT), 2, np.random.default_rng(0), weights)
        drawn = np.concatenate([next(stream).betas.numpy() for _ in range(6)])
    well = moved["true_betas"][weights > 0]
    assert all((row == well).all(1).any() for row in drawn)


def test_an_estimate_at_the_truth_needs_no_correction(examples: Examples) -> None:
    e = examples.example(1, nearer=1.0)
    np.testing.assert_allclose(e.correction, 0.0, atol=1e-9)
    inside = ((e.target > -0.2) & (e.target < 1.2)).all(1)
    np.testing.assert_allclose(e.observation.places[inside], e.target[inside], atol=1e-3)


def test_corrections_lead_to_the_truth(examples: Examples, body: BodyModel) -> None:
    batch = examples.batch(np.arange(COUNT))
    turned = batch.rotations.double().numpy() @ Rotation.from_rotvec(
        batch.correction.flatten(0, 1).numpy()
    ).as_matrix().reshape(COUNT, 24, 3, 3)
    np.testing.assert_allclose(turned, batch.true_rotations, atol=1e-4)
    errors = point_errors(torch.from_numpy(turned).float(), batch, BodyPoints(body))
    assert errors.shape == (COUNT, POINTS)
    assert errors.max() < 1e-3


def outputs_at(batch, off: float, sigma: float, turns: float = 0.1) -> Outputs:  # type: ignore[no-untyped-def]
    shape = batch.target.shape
    return Outputs(
        batch.target + off,
        torch.full(shape, float(np.log(sigma))),
        torch.zeros(shape[:2]),
        20 * (batch.visible - 0.5),
        batch.correction,
        torch.full(batch.correction.shape, float(np.log(turns))),
    )


def test_the_likelihood_is_students() -> None:
    residual, scale = torch.linspace(-4, 4, 9), torch.tensor(0.7)
    ours = student((residual / scale).square(), scale.log(), 1)
    scipys = -student_t.logpdf(residual.numpy(), FREEDOM, scale=0.7)
    np.testing.assert_allclose(ours - ours[4], scipys - scipys[4], rtol=1e-5, atol=1e-6)


def test_mahalanobis_lengths_under_a_leaning_covariance(examples: Examples) -> None:
    batch = examples.batch(np.arange(2))
    rng = torch.Generator().manual_seed(0)
    shape = batch.target.shape
    out = Outputs(
        batch.target + 0.03 * torch.randn(shape, generator=rng),
        -3 + 0.3 * torch.randn(shape, generator=rng),
        torch.randn(shape[:2], generator=rng),
        batch.visible,
        batch.correction,
        batch.correction,
    )
    a, b = out.log_sigmas.exp().unbind(-1)
    lower = torch.stack([a, torch.zeros_like(a), out.lean * b, b], -1).unflatten(-1, (2, 2))
    off = (batch.target - out.places).double()
    expected = torch.einsum("bpi,bpij,bpj->bp", off, torch.linalg.inv((lower @ lower.mT).double()), off)
    torch.testing.assert_close(mahalanobis(out, batch.target).double(), expected, rtol=1e-3, atol=1e-3)


def test_nearer_is_cheaper_and_figures_say_how_near(examples: Examples, body: BodyModel) -> None:
    batch, points = examples.batch(np.arange(COUNT)), BodyPoints(body)
    shape = torch.cat([batch.betas, torch.zeros(COUNT, 10)], 1)
    totals = [float(loss([outputs_at(batch, off, 0.02)], shape, batch, points)[0]) for off in (0.0, 0.01, 0.05)]
    assert totals == sorted(totals)
    said = figures([outputs_at(batch, 0.01, 0.02)], batch, points)
    mean = {k: float(v / said[f"{k}#"]) for k, v in said.items() if not k.endswith("#")}
    assert mean["px"] == pytest.approx(256 * 0.01 * np.sqrt(2), rel=1e-3)
    assert mean["visible_right"] == 1.0
    assert mean["mm"] < 1.0 < mean["mm_before"]
    assert mean["within_39"] == 1.0  # one sigma is 0.02 and the error 0.014


@pytest.mark.parametrize(("queries", "scales"), [(POINTS, None), (30, (16, 8))])
def test_a_short_training_learns_and_its_weights_run(
    folder: Path, tmp_path: Path, body: BodyModel, queries: int, scales: tuple[int, ...] | None
) -> None:
    """A minute's fraction on six people: the loss falls, and the live network reads the file and says the same."""
    out, log = tmp_path / "lite.safetensors", tmp_path / "log"
    plan = Plan(
        str(folder), str(folder), str(out), minutes=0, steps=60, batch=3, rate=3e-3, width=32, layers=1, half=False,
        queries=queries, scales=scales, tensorboard=str(log) if find_spec("tensorboard") else None,
    )  # fmt: skip
    shards, points = Shards(folder, scales), BodyPoints(body)
    architecture = design(plan, shards.levels, body)
    examples = Examples(shards, body, architecture.queries)
    torch.manual_seed(plan.seed)
    untrained = judge(TorchNetwork(architecture), examples, points)
    report = train(plan)
    assert report["loss"] < untrained["loss"]
    loaded = LiteNetwork.load(out)
    assert loaded.architecture == architecture
    assert len(architecture.queries) == queries
    e, every = examples.example(2), Shards(folder)
    maps = [m[0] * s for m, s in zip(every.maps([2]), every.steps, strict=True)]
    answer = loaded([m.astype(np.float32) for m in maps], e.observation)
    assert np.isfinite(answer.places).all()
    assert (np.linalg.eigvalsh(answer.covariance) > 0).all()
    moved = (answer.places != e.observation.places).any(1)
    np.testing.assert_array_equal(np.flatnonzero(moved), architecture.queries)
    if plan.tensorboard:
        logged = scalars(log)
        assert [step for step, _ in logged["train/places"]] == [50]
        assert logged["test/loss"] == [(60, pytest.approx(report["loss"]))]


def test_a_training_can_start_from_weights(folder: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    sizes = {"minutes": 0, "batch": 3, "width": 32, "layers": 1, "half": False}
    train(Plan(str(folder), str(folder), str(first), steps=2, **sizes))  # type: ignore[arg-type]
    train(Plan(str(folder), str(folder), str(second), steps=1, rate=1e-9, start=str(first), **sizes))  # type: ignore[arg-type]
    one, other = load_file(first), load_file(second)
    assert all(np.abs(one[name] - other[name]).max() < 1e-3 for name in one)
    with pytest.raises(UserError, match="of other sizes"):
        train(Plan(str(folder), str(folder), str(second), minutes=0, steps=1, width=64, start=str(first)))
    with pytest.raises(UserError, match="nowhere"):
        train(Plan(str(folder), str(folder), str(second), start=str(tmp_path / "nowhere.safetensors"), **sizes))  # type: ignore[arg-type]


def test_resuming_with_other_sizes_is_refused(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "lite.safetensors"
    torch.save(
        {"network": {}, "averaged": {}, "optimiser": {}, "step": 1, "elapsed": 1.0}, out.with_suffix(".state.pt")
    )
    with pytest.raises(UserError, match="other sizes"):
        train(Plan(str(folder), str(folder), str(out), minutes=0.1, batch=3, width=32, resume=True))


def test_rendering_goes_on_where_it_stopped(
    made_up_assets: Path, pose_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:  # type: ignore[no-untyped-def]
    """In this process, with a pool that runs jobs at once: which shards are made, and that they are made once."""

    class Now:
        def __init__(self, workers, context, begin, arguments) -> None:  # type: ignore[no-untyped-def]
            begin(*arguments)

        def __enter__(self) -> Now:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def submit(self, job, *arguments):  # type: ignore[no-untyped-def]
            from concurrent.futures import Future

            future: Future[int] = Future()
            future.set_result(job(*arguments))
            return future

    monkeypatch.setattr(sampling, "MIN_PRESENCE", -1.0)
    monkeypatch.setattr(rendering, "ProcessPoolExecutor", Now)
    monkeypatch.setattr(rendering, "SHARD", 2)
    monkeypatch.setattr(rendering, "FOR_SCALES", 2)
    rendering.render(tmp_path, made_up_assets, pose_file, 4, model="lite")
    assert "2 of 2 shards, 8 samples" in capsys.readouterr().out
    first = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    (tmp_path / "000000002.fields.npz").unlink()
    rendering.render(tmp_path, made_up_assets, pose_file, 4, model="lite")
    assert "1 of 1 shards" in capsys.readouterr().out
    assert (tmp_path / "000000000.fields.npz").stat().st_mtime_ns == first["000000000.fields.npz"]
    np.testing.assert_array_equal(Shards(tmp_path).fields["seed"].ravel(), [0, 0, 1, 1, 2, 2, 3, 3])
