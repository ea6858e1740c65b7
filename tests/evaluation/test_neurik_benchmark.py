"""`biopose-eval neurik`: figures against SciPy and NumPy, files that come back, both methods on one short set."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.spatial.transform import Rotation

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.evaluation import neurik_samples
from biopose_live.evaluation.main import main as biopose_eval
from biopose_live.evaluation.neurik_benchmark import Benchmark, parse
from biopose_live.evaluation.neurik_samples import FINE_UNIT, HELD_OUT, MARKER_UNIT_M, HeldOut
from biopose_live.evaluation.neurik_scores import GROUPS, Judge, Movement, acceleration, longest_axes, offset_free
from biopose_live.neurik.mean_person import standing_observer
from biopose_live.neurik.outputs import OutputLayout
from biopose_live.neurik.stream import StreamedNetwork
from biopose_live.skeleton.kinematics import Kinematics
from biopose_live.skeleton.model import SkeletonModel
from neurik_made_up import for_skeleton, random_network, waves, weights_of, write_samples, write_weights

N, T = 2, 15


@pytest.fixture(scope="module")
def folder(body: BodyModel, skeleton: SkeletonModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("held")
    write_samples(made, body, skeleton, N, T)
    return made


@pytest.fixture(scope="module")
def samples(folder: Path) -> HeldOut:
    return HeldOut.load_folder(folder)


def movement(model: SkeletonModel, q: np.ndarray, scales: np.ndarray) -> Movement:
    """q (N, T, Q), scales (N, T, B, 3); a landmark 10 cm above each body's origin."""
    kinematics = Kinematics(model)
    joints = np.array(
        [[kinematics.forward(a, s)[1] for a, s in zip(*rows, strict=True)] for rows in zip(q, scales, strict=True)]
    )
    return Movement(q, scales, joints, joints - joints[:, :, :1] + [0.0, 0.1, 0.0])


@pytest.fixture(scope="module")
def truth(skeleton: SkeletonModel) -> Movement:
    rng = np.random.default_rng(0)
    q = np.array([0.6 * waves(skeleton, TIMES[n], rng) for n in range(N)])
    return movement(skeleton, q, np.full((N, T, len(skeleton.bodies), 3), 1.1))


TIMES = np.cumsum(np.full((N, T), 0.04), 1)
GOOD = np.ones((N, T), bool)
MS = np.full((N, T), 2.0)


def test_the_truth_has_no_error(skeleton: SkeletonModel, truth: Movement) -> None:
    scores = Judge(skeleton)(truth, truth, np.full_like(truth.q, 0.1), TIMES, GOOD, MS)
    assert scores.mae_angle_deg == scores.mae_angle_offset_free_deg == scores.mpblpe_mm == scores.mae_body_mm == 0.0
    assert scores.shoulder_geodesic_deg == pytest.approx(0.0, abs=1e-6)
    assert scores.jitter_m_s2 == scores.true_jitter_m_s2 > 0.0
    assert scores.acceleration_error_m_s2 == 0.0
    assert scores.bone_length_variation_percent == pytest.approx(0.0, abs=1e-9)
    assert scores.ms_per_frame == 2.0
    assert scores.frames == N * T
    assert set(scores.groups) == set(GROUPS)


def test_every_rotation_belongs_to_one_group(skeleton: SkeletonModel) -> None:
    for coordinate in skeleton.coordinates:
        groups = [name for name, starts in GROUPS.items() if coordinate.name.startswith(starts)]
        assert len(groups) == (1 if coordinate.rotational else 0), coordinate.name


def test_a_constant_error_is_raw_alone(skeleton: SkeletonModel, truth: Movement) -> None:
    q = truth.q.copy()
    knees = [skeleton.coordinate_index(f"knee_angle_{side}") for side in "rl"]
    q[..., knees] += np.radians(6.0)
    scores = Judge(skeleton)(replace(truth, q=q), truth, np.full_like(q, np.radians(3.0)), TIMES, GOOD, MS)
    turning = sum(c.rotational for c in skeleton.coordinates)
    assert scores.mae_angle_deg == pytest.approx(12.0 / turning)
    assert scores.mae_angle_offset_free_deg == pytest.approx(0.0, abs=1e-9)
    assert scores.groups["knee"].mae_deg == pytest.approx(6.0)
    assert scores.groups["knee"].within_sigma == 0.0
    assert scores.groups["knee"].error_over_sigma == pytest.approx(2.0)
    assert scores.groups["hip"].mae_deg == 0.0
    assert scores.groups["hip"].within_sigma == 1.0


def test_whole_turns_are_no_error(skeleton: SkeletonModel, truth: Movement) -> None:
    q = truth.q.copy()
    q[..., skeleton.coordinate_index("pelvis_rotation")] += 4.0 * np.pi
    scores = Judge(skeleton)(replace(truth, q=q), truth, np.ones_like(q), TIMES, GOOD, MS)
    assert scores.mae_angle_deg == pytest.approx(0.0, abs=1e-9)


def test_geodesic_errors_are_scipys(skeleton: SkeletonModel, truth: Movement) -> None:
    rng = np.random.default_rng(1)
    q = truth.q + rng.uniform(-0.5, 0.5, truth.q.shape)
    scores = Judge(skeleton)(replace(truth, q=q), truth, np.ones_like(q), TIMES, GOOD, MS)
    pelvis, *shoulders = OutputLayout(skeleton).free

    def angle(joint) -> float:  # type: ignore[no-untyped-def]
        one, two = (
            Rotation.from_matrix(joint.rotation(x[..., joint.coordinates]).reshape(-1, 3, 3)) for x in (q, truth.q)
        )
        return float(np.degrees((one.inv() * two).magnitude()).mean())

    assert scores.pelvis_geodesic_deg == pytest.approx(angle(pelvis))
    assert scores.shoulder_geodesic_deg == pytest.approx(np.mean([angle(joint) for joint in shoulders]))


def test_the_sigma_of_a_shoulder_speaks_of_the_nearer_way_of_writing(skeleton: SkeletonModel, truth: Movement) -> None:
    q = truth.q.copy()
    shoulder = OutputLayout(skeleton).free[1].coordinates
    own = q[..., shoulder]
    q[..., shoulder] = np.stack([own[..., 0] + np.pi, np.pi - own[..., 1], own[..., 2] + np.pi], -1)
    scores = Judge(skeleton)(replace(truth, q=q), truth, np.full_like(q, 0.1), TIMES, GOOD, MS)
    assert scores.groups["shoulder"].within_sigma == 1.0
    assert scores.groups["shoulder"].mae_deg > 10.0  # as published it is another angle
    assert scores.shoulder_geodesic_deg == pytest.approx(0.0, abs=1e-5)


def test_lengths_are_along_the_longest_axis(skeleton: SkeletonModel, truth: Movement) -> None:
    axes, lengths = longest_axes(skeleton)
    named = {
        body.name: (int(axis), float(length)) for body, axis, length in zip(skeleton.bodies, axes, lengths, strict=True)
    }
    for name, axis in (
        ("femur_r", 1),
        ("tibia_l", 1),
        ("humerus_r", 1),
        ("radius_l", 1),
        ("calcn_r", 0),
        ("thorax", 1),
    ):
        assert named[name][0] == axis, name
    hip_to_knee = next(j for j in skeleton.joints if j.name == "knee_r").parent_frame.position[1]
    assert named["femur_r"][1] == pytest.approx(abs(hip_to_knee), rel=0.05)
    assert 0.2 < named["ulna_r"][1] < 0.3
    scales = truth.scales.copy()
    scales[..., axes == 1, 1] += 0.05
    scores = Judge(skeleton)(replace(truth, scales=scales), truth, np.ones_like(truth.q), TIMES, GOOD, MS)
    assert scores.mae_body_mm == pytest.approx(1e3 * 0.05 * lengths[axes == 1].sum() / len(axes))
    swinging = truth.scales * (1.0 + 0.02 * np.where(np.arange(T) % 2, 1, -1)[None, :, None, None])
    scores = Judge(skeleton)(replace(truth, scales=swinging), truth, np.ones_like(truth.q), TIMES, GOOD, MS)
    assert scores.bone_length_variation_percent == pytest.approx(2.0, rel=0.01)


def test_a_thrown_stone_has_the_acceleration_of_gravity() -> None:
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.uniform(0.02, 0.06, (2, 30)), 1)
    points = -0.5 * 9.81 * times[..., None, None] ** 2 * np.array([0.0, 1.0, 0.0]) + times[..., None, None]
    found, count = acceleration(points, times, np.ones((2, 30), bool))
    assert found == pytest.approx(9.81, rel=1e-6)
    assert count == 56
    good = np.ones((2, 30), bool)
    good[0, 10] = False
    assert acceleration(points, times, good)[1] == 53


def test_offsets_are_each_sequences_own_median() -> None:
    errors = np.random.default_rng(3).normal(size=(2, 9, 2)) + np.array([5.0, -3.0])[:, None, None]
    good = np.ones((2, 9), bool)
    good[0, :4] = False
    free = offset_free(errors, good)
    np.testing.assert_allclose(np.median(free[0, 4:], axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(free[1], errors[1] - np.median(errors[1], axis=0))


def test_frames_without_good_labels_do_not_count(skeleton: SkeletonModel, truth: Movement) -> None:
    q, good = truth.q.copy(), GOOD.copy()
    q[:, 4] += 1.0
    good[:, 4] = False
    scores = Judge(skeleton)(replace(truth, q=q), truth, np.ones_like(q), TIMES, good, MS)
    assert scores.mae_angle_deg == 0.0
    assert scores.frames == N * (T - 1)


def test_the_compact_file_gives_the_same_samples(samples: HeldOut, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "held_out.npz"
    samples.save(path, "made up")
    again = HeldOut.load([path])
    np.testing.assert_array_equal(again.times, samples.times)
    np.testing.assert_array_equal(again.good, samples.good)
    np.testing.assert_allclose(again.q, samples.q, atol=0.51 * FINE_UNIT)
    np.testing.assert_allclose(again.seen, samples.seen, atol=0.51 * (MARKER_UNIT_M + FINE_UNIT))
    np.testing.assert_allclose(again.true, samples.true, atol=1.1 * MARKER_UNIT_M)
    np.testing.assert_allclose(again.scales, samples.scales, rtol=1e-6)
    with np.load(path) as raw:
        assert str(raw["source"]) == "made up"


def test_markers_that_leap_do_not_fit_the_compact_file(samples: HeldOut, tmp_path: Path) -> None:
    seen = samples.seen.copy()
    seen[0, 3, 5] += 20.0
    with pytest.raises(ValueError, match="does not fit"):
        replace(samples, seen=seen).save(tmp_path / "h.npz", "made up")


def test_sequences_are_chosen_from_all_of_them(samples: HeldOut) -> None:
    assert len(samples.spread(1)) == 1
    assert samples.spread(9) is samples
    many = samples.take(np.array([0, 1, 0, 1, 0]))
    np.testing.assert_array_equal(many.spread(3).q, samples.q[[0, 0, 0]])
    np.testing.assert_allclose(samples.markers(0.0), samples.true)
    np.testing.assert_allclose(samples.markers(1.0), samples.seen)


def test_the_shipped_set_can_be_read() -> None:
    shipped = HeldOut.load([HELD_OUT])
    assert len(shipped) >= 30
    assert shipped.seen.shape[2:] == (89, 3)
    assert HELD_OUT.stat().st_size < 4e6
    error = np.linalg.norm(shipped.seen - shipped.true, axis=-1)
    assert 0.01 < np.median(error) < 1.0


def test_a_file_that_is_no_set_of_samples_is_told(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "h.npz"
    with pytest.raises(UserError, match="was not found; name a file"):
        HeldOut.load([path])
    path.write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(UserError, match="cannot be read as held-out samples"):
        HeldOut.load([path])
    with np.load(folder / "00000.npz") as data:
        arrays = dict(data)
    np.savez(path, **{name: value for name, value in arrays.items() if name != "q"})
    with pytest.raises(UserError, match="cannot be read"):
        HeldOut.load([path])
    np.savez(path, **{**arrays, "q": arrays["q"][:, :3]})
    with pytest.raises(UserError, match="q has shape"):
        HeldOut.load([path])
    np.savez(path, **{**arrays, "q": np.full_like(arrays["q"], np.nan)})
    with pytest.raises(UserError, match="not finite"):
        HeldOut.load([path])
    np.savez(path, **arrays, version=np.int64(neurik_samples.COMPACT + 1))
    with pytest.raises(UserError, match="version 2, wanted 1"):
        HeldOut.load([path])


def test_both_methods_follow_the_same_markers(body: BodyModel, skeleton: SkeletonModel, samples: HeldOut) -> None:
    network = random_network(for_skeleton(body, skeleton), 2, 0.05)
    weights = weights_of(network, standing_observer(body, skeleton).standing)
    benchmark = Benchmark(StreamedNetwork(network.architecture, weights))
    done = []
    scores = benchmark(samples, 0.0, lambda: done.append(1))
    assert len(done) == 2 * N
    # Markers that sit on the bones exactly: inverse kinematics knows the person's places and finds nearly all.
    ik = scores["ik"]
    assert ik.mae_body_mm == pytest.approx(0.0, abs=0.01)
    assert ik.mpblpe_mm < 15.0
    assert ik.bone_length_variation_percent == pytest.approx(0.0, abs=1e-6)
    assert ik.mae_angle_deg < 8.0
    assert scores["neurik"].mae_angle_deg > ik.mae_angle_deg  # of random weights
    assert scores["neurik"].true_jitter_m_s2 == ik.true_jitter_m_s2
    assert all(score.ms_per_frame > 0.0 for score in scores.values())


def test_the_command_prints_tables_and_writes_all_figures(
    body: BodyModel, skeleton: SkeletonModel, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = random_network(for_skeleton(body, skeleton), 2, 0.05)
    weights = write_weights(tmp_path / "w.safetensors", network, standing_observer(body, skeleton).standing)
    out = tmp_path / "deep" / "figures.json"
    options = [
        "--samples",
        str(folder / "00000.npz"),
        "--weights",
        str(weights),
        "--json",
        str(out),
        "--sequences",
        "1",
    ]
    assert biopose_eval(["neurik", *options]) == 0
    said = capsys.readouterr().out
    for part in ("MAE_angle", "MPBLPE", "MAE_body", "jitter", "NeurIK, better", "IK, live", "forearm", "One-sigma"):
        assert part in said, part
    report = json.loads(out.read_text())
    keys = {"mae_angle_deg", "mae_angle_offset_free_deg", "mpblpe_mm", "mae_body_mm", "jitter_m_s2"}
    keys |= {"acceleration_error_m_s2", "ms_per_frame", "bone_length_variation_percent"}
    for method in ("neurik", "ik"):
        assert keys <= set(report[method])
        assert report[method] == report["conditions"]["live"][method]
    assert set(report["conditions"]) == {"live", "better"}
    assert report["sequences"] == 1
    assert biopose_eval(["neurik", *options, "--markers", "exact"]) == 0
    assert set(json.loads(out.read_text())["conditions"]) == {"exact"}


def test_mistakes_are_told_in_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert biopose_eval(["neurik", "--samples", str(tmp_path / "none.npz")]) == 3
    assert "was not found" in capsys.readouterr().err
    options = ["--samples", str(folder / "00000.npz"), "--weights", str(tmp_path / "none.safetensors")]
    assert biopose_eval(["neurik", *options]) == 4
    assert "weights are missing" in capsys.readouterr().err
    assert biopose_eval(["lifter"]) == 2
    assert "lifter is not a benchmark; give one of: neurik" in capsys.readouterr().err
    assert biopose_eval([]) == 2
    assert biopose_eval(["--help"]) == 0
    with pytest.raises(SystemExit):
        parse(["--sequences", "0"])
    assert "--sequences 0 is too few" in capsys.readouterr().err
    assert parse(["--quick"]).sequences < parse([]).sequences


def test_tables_fit_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    from biopose_live.evaluation.tables import PIPE_WIDTH, table_console

    console = table_console()
    assert isinstance(console, Console)
    assert console.width == PIPE_WIDTH
