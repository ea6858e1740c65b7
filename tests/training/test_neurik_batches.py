"""Batches: labels agree with the skeleton's kinematics, in the mirror too; noise is scaled as stated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from biopose_live.body.model import BodyModel
from biopose_live.errors import UserError
from biopose_live.neurik.mean_person import standing_observer
from biopose_live.neurik.observation import Observer
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.skeleton.torch_kinematics import TorchKinematics
from biopose_live.training.neurik.batches import Batch, SampleSet
from neurik_made_up import write_samples

COUNT, T = 4, 10
FLIP = np.array([1.0, 1.0, -1.0])
Places = Callable[[int], tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def observer(body: BodyModel, skeleton: SkeletonModel) -> Observer:
    return standing_observer(body, skeleton)


@pytest.fixture(scope="module")
def made(
    body: BodyModel, skeleton: SkeletonModel, observer: Observer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[SampleSet, Places]:
    folder = tmp_path_factory.mktemp("samples")
    places = write_samples(folder, body, skeleton, COUNT, T)
    return SampleSet(folder, skeleton, observer), places


def by_kinematics(model: SkeletonModel, batch: Batch, n: int, bodies: np.ndarray, places: np.ndarray) -> np.ndarray:
    """-> (T, M, 3) m from the pelvis, in the person's frame."""
    kinematics = TorchKinematics(model)
    scales = batch.scales[n].expand(T, -1, -1)
    rotations, origins = kinematics(batch.q[n], scales)
    unscaled = places / batch.scales[n].numpy()[bodies]
    found = kinematics.place_markers(rotations, origins, scales, bodies, torch.tensor(unscaled, dtype=torch.float32))
    return found.numpy()


def test_labels_and_true_markers_agree(made: tuple[SampleSet, Places], skeleton: SkeletonModel) -> None:
    samples, places = made
    batch = samples.whole(0, COUNT)
    for n in range(COUNT):
        found = by_kinematics(skeleton, batch, n, *places(n))
        np.testing.assert_allclose(found, batch.true[n].numpy(), atol=2e-3)  # half precision


def test_in_the_mirror_they_agree_too(
    made: tuple[SampleSet, Places], skeleton: SkeletonModel, observer: Observer
) -> None:
    samples, places = made
    everyone = np.arange(COUNT)
    batch = samples._batch(everyone, np.ones(COUNT), np.ones(COUNT, bool))
    names = list(observer.names)
    others = [{"R": "L", "L": "R"}.get(name[0], name[0]) + name[1:] for name in names]
    partner = [names.index(other if other in names else name) for name, other in zip(names, others, strict=True)]
    for n in range(COUNT):
        bodies, own = places(n)
        found = by_kinematics(skeleton, batch, n, bodies, (own * FLIP)[partner])
        np.testing.assert_allclose(found, batch.true[n].numpy(), atol=2e-3)
    plain = samples.whole(0, COUNT)
    assert (plain.q - batch.q).abs().max() > 0.1
    # The frame goes with the person: seen from it, the world's mirror is the person's own sagittal plane.
    torch.testing.assert_close(
        batch.markers, plain.markers[:, :, partner] * torch.tensor(FLIP).float(), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(batch.place, plain.place * torch.tensor(FLIP).float(), atol=1e-4, rtol=0)


def test_mirroring_twice_is_nothing(made: tuple[SampleSet, Places]) -> None:
    samples, _ = made
    for mirror in (samples._coordinate_mirror, samples._body_mirror, samples._marker_mirror):
        np.testing.assert_array_equal(mirror[mirror], np.arange(len(mirror)))
        assert (mirror != np.arange(len(mirror))).any()


def test_the_frame_leads_back_to_the_world(made: tuple[SampleSet, Places]) -> None:
    samples, _ = made
    batch, raw = samples.whole(1, 3), samples.arrays()
    pelvis = batch.true + batch.place[:, :, None]
    world = pelvis @ batch.to_world.transpose(-1, -2) + batch.origin[:, :, None]
    wanted = raw["true"][1:3].astype(float) + raw["origin"][1:3, :, None]
    np.testing.assert_allclose(world.numpy(), wanted, atol=1e-4)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_the_markers_error_is_scaled(made: tuple[SampleSet, Places], observer: Observer, share: float) -> None:
    samples, _ = made
    raw = samples.arrays()
    true, seen = raw["true"].astype(float), raw["seen"].astype(float)
    batch = samples._batch(np.arange(COUNT), np.full(COUNT, share), np.zeros(COUNT, bool))
    wanted = observer(true + share * (seen - true)).markers
    np.testing.assert_allclose(batch.markers.numpy(), wanted, atol=1e-4)


def test_draws_depend_on_the_seed_and_leave_the_set_alone(made: tuple[SampleSet, Places]) -> None:
    samples, _ = made
    before = {name: value.copy() for name, value in samples.arrays().items()}
    one, again, other = (samples.draw(3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(one.markers, again.markers, rtol=0, atol=0)
    assert not torch.equal(one.markers, other.markers)
    for name, value in samples.arrays().items():
        np.testing.assert_array_equal(value, before[name])
    assert one.to(torch.device("cpu")).q.equal(one.q)


def test_the_last_sequences_come_alone(made: tuple[SampleSet, Places]) -> None:
    samples, _ = made
    assert len(samples) == COUNT
    assert len(samples.whole(3, 99).q) == 1


def test_a_folder_without_samples_and_a_damaged_file_are_told(
    tmp_path: Path, skeleton: SkeletonModel, observer: Observer
) -> None:
    with pytest.raises(UserError, match="holds no samples; make some with"):
        SampleSet(tmp_path, skeleton, observer)
    (tmp_path / "00000.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="is damaged"):
        SampleSet(tmp_path, skeleton, observer)
