"""`biopose-eval mqhmr --samples`: the live path on made-up stored people, with networks that know nothing or all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.evaluation.main import main as biopose_eval
from biopose_live.evaluation.mqhmr_options import EYES, parse
from biopose_live.evaluation.mqhmr_samples import Stored, StoredChain, held_gravity, in_part, read_samples, score
from biopose_live.messages import Intrinsics
from biopose_live.mqhmr.gravity import LEVEL, UNKNOWN_SIGMA
from biopose_live.mqhmr.lite.evidence import Evidence
from biopose_live.mqhmr.lite.network import Answer, LiteNetwork
from biopose_live.mqhmr.lite.observation import Estimate, Observation
from biopose_live.mqhmr.lite.points import POINTS
from biopose_live.mqhmr.person import Pose
from biopose_live.rotations import to_matrix
from biopose_live.training.lite.shards import Shards, measure_scales, write_scales, write_shard
from lite_made_up import CAMERA, SMALL, Person, maps, sample_of, weights

COUNT = 4


@pytest.fixture(scope="module")
def people(body: BodyModel) -> list[Person]:
    return [Person(body, seed) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def folder(people: list[Person], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("samples")
    samples = [sample_of(person, seed) for seed, person in enumerate(people)]
    steps = measure_scales(samples)
    write_scales(made, steps)
    write_shard(made, "000", samples, steps)
    return made


@pytest.fixture(scope="module")
def shards(folder: Path) -> Shards:
    return read_samples(folder)


class AllKnowing(LiteNetwork):
    """Answers with the truth about the person whose maps it is shown, and is sure of it."""

    def __init__(self, people: Sequence[Person], shards: Shards) -> None:
        super().__init__(SMALL, weights())
        self._people = people
        self._first = [shards.maps([i])[0][0] * shards.steps[0] for i in range(len(people))]

    def __call__(self, levels: Sequence[np.ndarray], observation: Observation) -> Answer:
        person = self._people[next(i for i, m in enumerate(self._first) if np.array_equal(m, levels[0]))]
        return Answer(
            person.places().astype(np.float32),
            np.tile(1e-6 * np.eye(2, dtype=np.float32), (POINTS, 1, 1)),
            np.ones(POINTS, np.float32),
            np.zeros((24, 3), np.float32),
            np.full((24, 3), 0.3, np.float32),
        )


class TruthTelling(StoredChain):
    """Every pose is the true one."""

    def __init__(self, shards: Shards, people: Sequence[Person]) -> None:
        super().__init__(shards, None)
        self._truth = people

    def follow(self, person: Stored, iterations: int, eyes: str) -> tuple[Pose, Evidence | None, float]:
        p = next(p for p in self._truth if np.allclose(p.betas, person.betas, atol=1e-5))
        return Pose(p.rotations, np.ones((24, 3)), p.translation, p.betas, 0.0), None, 7.0


def test_the_truth_has_no_error(shards: Shards, people: list[Person]) -> None:
    (scores,) = score(TruthTelling(shards, people), range(COUNT), [3], ["off"])["off"].values()
    for figure in (scores.pose.mpjpe_mm, scores.pose.pa_mpjpe_mm, scores.pose.mve_mm):
        assert figure.mean == pytest.approx(0.0, abs=2e-3)
    for figure in (scores.dense.all, scores.dense.seen, scores.dense.legs):
        assert figure.mean == pytest.approx(0.0, abs=2e-3)
    assert (scores.people, scores.aiti_ms, scores.network) == (COUNT, 7.0, None)


def test_a_picture_that_tells_the_truth_helps(shards: Shards, people: list[Person]) -> None:
    scores = score(StoredChain(shards, AllKnowing(people, shards)), range(COUNT), [0, 6], EYES)
    off, on = scores["off"]["6"], scores["on"]["6"]
    assert off.network is None
    assert off.network_pose is None
    assert on.network is not None
    assert on.network.all.mean == pytest.approx(0.0, abs=1e-3)
    assert on.dense.seen.mean < 0.5 * off.dense.seen.mean
    assert on.pose.mpjpe_mm.mean < 0.7 * off.pose.mpjpe_mm.mean
    # The pose that it corrects by nothing is the keypoints' own, of half as many steps.
    assert on.network_pose is not None
    keypoints = score(StoredChain(shards, None), range(COUNT), [3], ["off"])["off"]["3"].pose
    assert on.network_pose.mpjpe_mm.mean == pytest.approx(keypoints.mpjpe_mm.mean)
    # Its points help, and its pose, which here says nothing new, does not.
    assert scores["points"]["6"].dense.seen.mean < 0.5 * off.dense.seen.mean
    assert scores["pose"]["6"].dense.seen.mean > 0.8 * off.dense.seen.mean
    # Nor do they without a step.
    assert scores["on"]["0"].dense.seen.mean > 2.0 * on.dense.seen.mean
    assert all(s.aiti_ms > 0.0 for of_kind in scores.values() for s in of_kind.values())


def test_keypoints_alone_are_followed_to_their_own_error(shards: Shards) -> None:
    scores = score(StoredChain(shards, None), range(COUNT), [0, 10], ["off"])["off"]
    assert scores["10"].dense.all.mean < scores["0"].dense.all.mean
    assert scores["10"].pose.pa_mpjpe_mm.mean < scores["10"].pose.mpjpe_mm.mean


def test_what_is_told_of_a_person_is_what_was_stored(shards: Shards, people: list[Person]) -> None:
    chain = StoredChain(shards, None)
    stored = chain.person(2)
    assert stored.camera == Intrinsics(CAMERA.focal, CAMERA.centre)
    np.testing.assert_allclose(stored.places, people[2].places(), atol=1e-5)
    np.testing.assert_allclose(stored.crop.centre, people[2].crop.centre, rtol=1e-6)
    for found, made, step in zip(stored.maps, maps(2), shards.steps, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, np.minimum(made, 127 * step), atol=0.51 * step.max())


def test_parts_of_the_evidence(people: list[Person]) -> None:
    estimate: Estimate = people[0].estimate
    whole = Evidence(
        np.ones((POINTS, 2)), np.ones((POINTS, 3)), np.ones(POINTS), to_matrix(np.ones((24, 3))), np.full((24, 3), 0.2)
    )
    assert in_part(whole, estimate, "on") is whole
    points = in_part(whole, estimate, "points")
    np.testing.assert_array_equal(points.rotations, estimate.rotations)
    np.testing.assert_array_equal(points.sigma, estimate.sigma)
    np.testing.assert_array_equal(points.precision, whole.precision)
    pose = in_part(whole, estimate, "pose")
    np.testing.assert_array_equal(pose.rotations, whole.rotations)
    assert not pose.precision.any()


def test_gravity_is_held() -> None:
    up = np.array([0.1, -0.9, -0.2]) / np.linalg.norm([0.1, -0.9, -0.2])
    gravity = held_gravity(up)
    gravity.update(0.0, LEVEL, 0.01)
    gravity.update(1.0, LEVEL, 0.01)
    np.testing.assert_array_equal(gravity.up, up)
    assert gravity.sigma < held_gravity(LEVEL).sigma == UNKNOWN_SIGMA


def test_weights_for_other_maps_are_refused(shards: Shards) -> None:
    fewer = msgspec.structs.replace(SMALL, levels=((16, 16, 6), (4, 4, 7)))
    StoredChain(shards, LiteNetwork(fewer, weights(architecture=fewer)))
    other = msgspec.structs.replace(SMALL, levels=((16, 16, 6), (8, 8, 4)))
    with pytest.raises(UserError, match="The weights read feature maps of"):
        StoredChain(shards, LiteNetwork(other, weights(architecture=other)))


@pytest.fixture
def weight_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_file(weights(), path, {"architecture": msgspec.json.encode(SMALL).decode()})
    return path


def test_the_command_prints_tables_and_writes_all_figures(
    folder: Path, weight_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "figures.json"
    options = ["--samples", str(folder), "--weights", str(weight_file), "--json", str(out)]
    assert biopose_eval(["mqhmr", *options, "--iterations", "3,0", "--count", "3", "--image", "off,on,pose"]) == 0
    said = capsys.readouterr().out
    for part in ("MPJPE", "PA-MPJPE", "MVE", "AITI", "keypoints and picture", "picture's pose only", "3 of 4 people"):
        assert part in said, part
    report = json.loads(out.read_text())
    assert report["iterations"] == [0, 3]
    assert (report["people"], report["weights"]) == (3, "small.safetensors")
    assert report["architecture"]["width"] == SMALL.width
    assert set(report["scores"]) == {"off", "on", "pose"}
    for kind, of_kind in report["scores"].items():
        assert set(of_kind) == {"0", "3"}
        for scores in of_kind.values():
            assert scores["people"] == 3
            assert all(scores["pose"][name]["median"] > 0 for name in ("mpjpe_mm", "pa_mpjpe_mm", "mve_mm"))
            assert all(scores["dense"][name]["mean"] > 0 for name in ("all", "seen", "legs"))
            assert (scores["network"] is None) == (scores["network_pose"] is None) == (kind == "off")


def test_keypoints_alone_need_no_weights(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = str(tmp_path / "none.safetensors")
    options = ["mqhmr", "--samples", str(folder), "--weights", missing, "--iterations", "1", "--count", "1"]
    assert biopose_eval([*options, "--image", "off"]) == 0
    assert "weights none" in capsys.readouterr().out
    assert biopose_eval(options) == 4
    told = capsys.readouterr().err
    assert "weights are missing" in told
    assert told.count("\n") == 1


def test_samples_that_cannot_be_read_are_one_sentence(
    people: list[Person], weight_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["mqhmr", "--weights", str(weight_file), "--samples"]
    assert biopose_eval([*options, str(tmp_path / "none")]) == 3
    assert "holds no rendered samples" in capsys.readouterr().err
    made = tmp_path / "made"
    made.mkdir()
    samples = [sample_of(people[0], 0)]
    steps = measure_scales(samples)
    write_scales(made, steps)
    write_shard(made, "000", samples, steps)
    for damaged in (made / "000.maps1.npy", made / "000.fields.npz"):
        damaged.write_bytes(b"PK\x03\x04 no arrays")
        assert biopose_eval([*options, str(made)]) == 3
        told = capsys.readouterr().err
        assert "cannot be read" in told
        assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "one of --samples FOLDER and --data FILE.toml is needed, found neither"),
        (["--samples", "a", "--data", "b", "--network", "c"], "found both"),
        (["--data", "b"], "--data needs --network"),
        (["--samples", "a", "--network", "c"], "--network goes with --data"),
        (["--samples", "a", "--iterations", "1,x"], "is no list of whole numbers"),
        (["--samples", "a", "--iterations", "-1"], "is no list of whole numbers"),
        (["--samples", "a", "--image", "half"], "'half' is none of off, on, points, pose"),
        (["--samples", "a", "--count", "0"], "--count 0 is too few"),
        (["--data", "b", "--network", "c", "--refine", "-1"], "--refine -1 lies outside"),
    ],
)
def test_options_that_make_no_sense_are_told(options: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        biopose_eval(["mqhmr", *options])
    assert told in capsys.readouterr().err


def test_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    given = parse(["--samples", "a"])
    assert given.iterations == (0, 1, 2, 5, 10, 20)
    assert given.image == ("off", "on")
    assert biopose_eval(["--help"]) == 0
    assert "biopose-eval mqhmr --samples" in capsys.readouterr().out
