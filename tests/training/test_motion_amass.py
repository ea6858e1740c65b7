"""AMASS reader: hand-made npz files, with SciPy's rotation vectors as the oracle."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from biopose_live.body.joints import PARENTS
from biopose_live.errors import UserError
from biopose_live.training.motion import amass

Y_UP = Rotation.from_euler("x", -90, degrees=True)


def arrays(count: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        "poses": rng.normal(scale=0.3, size=(count, 156)),
        "trans": rng.normal(size=(count, 3)),
        "betas": np.zeros(16),
        "mocap_framerate": np.array(120.0),
    }


def npz(**fields: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **fields)
    return buffer.getvalue()


def test_rotations_match_scipys_chain_in_a_y_up_world() -> None:
    fields = arrays()
    motion = amass.read(npz(**fields), "clip.npz", "Subject_3")
    assert (motion.fps, motion.subject, len(motion.joint_names)) == (120.0, "Subject_3", 22)
    world: list[Rotation] = []
    for j in range(22):
        local = Rotation.from_rotvec(fields["poses"][:, 3 * j : 3 * j + 3])
        world.append(local if PARENTS[j] < 0 else world[PARENTS[j]] * local)
        np.testing.assert_allclose(motion.rotations[:, j], (Y_UP * world[j]).as_matrix(), atol=1e-9)
    np.testing.assert_allclose(motion.positions[:, 0], Y_UP.apply(fields["trans"]), atol=1e-9)


@pytest.mark.parametrize("rate", ["mocap_framerate", "mocap_frame_rate"])
def test_both_spellings_of_the_frame_rate_are_read(rate: str) -> None:
    fields = arrays()
    fields[rate] = fields.pop("mocap_framerate")
    assert amass.read(npz(**fields), "clip.npz", "s").fps == 120.0


@pytest.mark.parametrize(
    "change",
    [
        {"poses": np.zeros((3, 60))},
        {"poses": np.full((3, 156), np.nan)},
        {"trans": np.zeros((2, 3))},
        {"mocap_framerate": np.array(0.0)},
        {"poses": np.array("text")},
    ],
)
def test_another_file_is_refused_in_one_sentence(change: dict[str, np.ndarray]) -> None:
    with pytest.raises(UserError, match=r"clip\.npz"):
        amass.read(npz(**(arrays() | change)), "clip.npz", "s")


def test_bytes_that_are_no_npz_are_refused() -> None:
    with pytest.raises(UserError, match="npz"):
        amass.read(b"PK\x03\x04 cut short", "clip.npz", "s")
