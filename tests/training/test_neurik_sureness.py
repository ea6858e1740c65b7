"""One-sigmas set right on held-out samples: 68 % of the errors lie within, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from scipy.stats import norm

from biopose_live.body.model import BodyModel
from biopose_live.neurik.mean_person import marker_places, standing_observer
from biopose_live.neurik.outputs import OutputLayout
from biopose_live.skeleton.model import SkeletonModel
from biopose_live.training.neurik import sureness
from biopose_live.training.neurik.batches import SampleSet
from biopose_live.training.neurik.losses import Losses
from biopose_live.training.neurik.sureness import factors, load_network, main, relative_errors
from neurik_made_up import for_skeleton, random_network, write_samples, write_weights


@pytest.fixture(scope="module")
def held(body: BodyModel, skeleton: SkeletonModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("held")
    write_samples(folder, body, skeleton, 5, 30)
    return folder


@pytest.fixture
def weights(body: BodyModel, skeleton: SkeletonModel, tmp_path: Path) -> Path:
    network = random_network(for_skeleton(body, skeleton), 3, 0.05)
    standing = standing_observer(body, skeleton).standing
    return write_weights(tmp_path / "in.safetensors", network, standing, settings="s", held_out="h")


def test_a_normal_error_needs_its_own_spread() -> None:
    errors = np.abs(np.random.default_rng(0).normal(size=(200_000, 3)) * [1.0, 2.0, 0.5])
    np.testing.assert_allclose(factors(errors, ["a", "b", "c"]), [1.0, 2.0, 0.5], rtol=0.01)
    assert norm.cdf(1) - norm.cdf(-1) == pytest.approx(sureness.WITHIN, abs=1e-4)


def test_left_and_right_share_a_factor_and_lost_limbs_do_not_move_it() -> None:
    rng = np.random.default_rng(1)
    errors = np.abs(rng.normal(size=(50_000, 3)))
    errors[:, 1] *= 2.0
    whole = factors(errors, ["knee_r", "knee_l", "head"])
    assert whole[0] == whole[1]
    assert 1.0 < whole[0] < 2.0
    errors[:500] = 1e3
    np.testing.assert_allclose(factors(errors, ["knee_r", "knee_l", "head"]), whole, rtol=0.05)
    with pytest.raises(ValueError, match="no frame"):
        factors(np.zeros((0, 2)), ["a", "b"])


def test_afterwards_68_percent_lie_within(
    held: Path,
    weights: Path,
    tmp_path: Path,
    body: BodyModel,
    skeleton: SkeletonModel,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.safetensors"
    assert main(["--weights", str(weights), "--held", str(held), "--out", str(out)]) == 0
    assert "pelvis_tilt" in capsys.readouterr().out

    before, after = load_file(weights), load_file(out)
    layout = OutputLayout(skeleton)
    for name, value in before.items():
        if name != "head.bias":
            torch.testing.assert_close(after[name], value, rtol=0, atol=0)
    changed = (after["head.bias"] != before["head.bias"]).nonzero().flatten().numpy()
    assert len(changed)
    assert changed.min() >= layout.sigma_part.start

    network, standing = load_network(out)
    observer = standing_observer(body, skeleton)
    np.testing.assert_allclose(standing, observer.standing)
    samples = SampleSet(held, skeleton, observer)
    relative = relative_errors(network, Losses(skeleton, *marker_places(body, skeleton, people=2)), samples)
    assert len(relative) == 3 * 30  # sequences 0, 2 and 4
    again = factors(relative, skeleton.coordinate_names)
    np.testing.assert_allclose(again, 1.0, rtol=0.02)  # half precision, and sigmas have bounds
    assert (relative < 1.0).mean() == pytest.approx(sureness.WITHIN, abs=0.02)


def test_the_metadata_is_carried_over_and_says_so(held: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.safetensors"
    factor = sureness.set_right(weights, held, out)
    with safe_open(out, framework="numpy") as file:
        told = file.metadata()
    assert told["settings"] == "s"
    assert told["held_out"] == "h"
    note = json.loads(told["sureness"])
    assert note["sequences"] == 3
    assert note["factors"]["knee_angle_r"] == pytest.approx(factor["knee_angle_r"], abs=1e-4)


def test_mistakes_are_told(held: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out.safetensors")
    assert main(["--weights", str(tmp_path / "none"), "--held", str(held), "--out", out]) == 4
    assert "missing" in capsys.readouterr().out
    assert main(["--weights", str(weights), "--held", str(tmp_path / "none"), "--out", out]) == 3
    assert "holds no samples" in capsys.readouterr().out
