"""Rendered people through the list of datasets: the labels lie where the person was drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biopose_live.errors import UserError
from biopose_live.training.mqhmr.batches import collate
from biopose_live.training.mqhmr.crops import cut
from biopose_live.training.mqhmr.sources import read_sources


@pytest.fixture
def listing(made_up_assets: Path, tmp_path: Path) -> Path:
    t = np.arange(20)[:, None, None] / 10.0
    theta = (0.3 * np.sin(t + np.arange(72).reshape(24, 3))).astype(np.float32)
    theta[:, 0] = 0.0
    np.savez(
        tmp_path / "poses.npz",
        theta=theta, trans=np.tile(np.array([0.0, 0.9, 0.0], np.float32), (20, 1)),
        clip_index=np.zeros(20, np.int32), clip_names=np.array(["one"]),
    )  # fmt: skip
    path = tmp_path / "data.toml"
    path.write_text(
        f'[[source]]\nname = "rendered"\nassets = "{made_up_assets}"\nposes = "poses.npz"\ncount = 2\nfirst_seed = 3\n'
    )
    return path


def test_labels_lie_on_the_rendered_person(listing, body):
    ((source, _),) = read_sources(listing)
    records = list(source.records(0, 1, np.random.default_rng(0)))
    assert len(records) == 2
    for record in records:
        crop = cut(record, 256, 192, body.marker_names)
        batch = collate([crop], "embedded", 113)
        places, known = batch.dense[0, :89, :2].numpy(), batch.dense[0, :89, 2].numpy() > 0
        assert known.all()  # the sampler sees to it that the whole person is in the picture
        # Turned upright, the crown is above the hips and those above the heels.
        at = {name: places[body.marker_names.index(name)] for name in ("THD", "SACR", "LCAL")}
        assert at["THD"][1] < at["SACR"][1] < at["LCAL"][1]
        sample = source.renderer.one(int(record.name.rsplit(" ", 1)[1]))
        np.testing.assert_allclose(
            record.labels.dense[89:, :2], sample.joints[:, :2] / sample.joints[:, 2:] * sample.focal + sample.centre,
            atol=1e-3,
        )  # fmt: skip


def test_a_folder_without_a_renderers_files_is_refused(listing, tmp_path):
    listing.write_text(listing.read_text().split("assets")[0] + f'assets = "{tmp_path}"\nposes = "poses.npz"\n')
    with pytest.raises(UserError):
        read_sources(listing)
