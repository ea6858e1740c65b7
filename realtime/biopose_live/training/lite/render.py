"""Renders samples on all cores: shard by shard, deterministic by seed, going on where an earlier run stopped.

One in ten motion clips is kept for the test part, so that no pose of it was seen in training.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
import zlib
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Literal

import numpy as np

from biopose_live.training.lite.sample import LiveChain, Sample
from biopose_live.training.lite.shards import SCALES, measure_scales, read_scales, write_scales, write_shard
from biopose_live.training.synthetic.base_mesh import read_body
from biopose_live.training.synthetic.choreography import PoseSet, read_pose_set
from biopose_live.training.synthetic.demo_clip import EMBEDDED_BODY
from biopose_live.training.synthetic.person_crops import CropSampler

SHARD = 256
FOR_SCALES = 48
TEST_SHARE = 10  # one clip in so many
Part = Literal["train", "test"]


def clips_of(poses: PoseSet, part: Part) -> PoseSet:
    """-> the clips of one part; which part a clip is in follows from its name."""
    tested = np.array([zlib.crc32(name.encode()) % TEST_SHARE == 0 for name in poses.clip_names])
    chosen = np.flatnonzero(tested if part == "test" else ~tested)
    kept = np.isin(poses.clip_index, chosen)
    return PoseSet(
        poses.theta[kept],
        poses.trans[kept],
        np.searchsorted(chosen, poses.clip_index[kept]),
        tuple(poses.clip_names[i] for i in chosen),
    )


class Renderer:
    """Draws people and looks at them; one to a process."""

    def __init__(self, assets: Path, poses: Path, model: str, part: Part) -> None:
        """Raises UserError for incomplete assets or pose sets."""
        self._sampler = CropSampler(assets, clips_of(read_pose_set(poses), part), read_body(EMBEDDED_BODY))
        self._chain = LiveChain(model)

    def __call__(self, seed: int) -> list[Sample]:
        samples = self._chain(self._sampler.one(seed), np.random.default_rng((seed, 1)))
        for sample in samples:
            sample.fields["seed"] = np.array([seed])
        return samples

    def some(self, first_seed: int, count: int) -> list[Sample]:
        """-> the samples of the people found among `count` seeds, two of each."""
        return [sample for seed in range(first_seed, first_seed + count) for sample in self(seed)]


_renderer: Renderer | None = None


def _begin(assets: Path, poses: Path, model: str, part: Part) -> None:
    global _renderer
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it, without a stack trace of its own
    _renderer = Renderer(assets, poses, model, part)


def _shard(folder: Path, index: int, first_seed: int) -> int:
    assert _renderer is not None
    samples = _renderer.some(first_seed + index * SHARD, SHARD)
    write_shard(folder, f"{first_seed + index * SHARD:09d}", samples, read_scales(folder))
    return len(samples)


def render(
    folder: Path,
    assets: Path,
    poses: Path,
    count: int,
    *,
    part: Part = "train",
    model: str = "full",
    first_seed: int = 0,
    workers: int = 1,
) -> None:
    """Fills `folder` with the shards of `count` seeds and says how far it is.  Raises UserError for bad inputs."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / SCALES).exists():
        write_scales(folder, measure_scales(Renderer(assets, poses, model, part).some(first_seed, FOR_SCALES)))
    todo = [
        i for i in range((count + SHARD - 1) // SHARD)
        if not (folder / f"{first_seed + i * SHARD:09d}.fields.npz").exists()
    ]  # fmt: skip
    begun, found = time.monotonic(), 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (assets, poses, model, part)) as pool:
        jobs = [pool.submit(_shard, folder, i, first_seed) for i in todo]
        try:
            for done, job in enumerate(as_completed(jobs), 1):
                found += job.result()
                rate = found / (time.monotonic() - begun)
                print(f"{done} of {len(todo)} shards, {found} samples, {rate:.1f} samples/s", flush=True)
        except BaseException:
            for child in multiprocessing.active_children():  # or leaving the pool would wait for all shards
                child.terminate()
            raise
