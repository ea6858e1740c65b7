"""The best engine that works is taken, and every step down is said."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from biopose_live.errors import UserError
from biopose_live.mqhmr.network.engine_choice import Runner, choose
from biopose_live.mqhmr.network.tensorrt_cache import EngineError

LOGGER = "biopose_live.mqhmr.network.engine_choice"
DOWN = ("tensorrt", "cuda-graph", "eager", "cpu")


@pytest.mark.parametrize(
    ("wanted", "missing", "built", "ways", "complaint"),
    [
        ("auto", "", True, DOWN, ""),
        ("auto", "", False, DOWN[1:], ""),
        ("auto", "it is not installed", True, DOWN[1:], ""),
        ("tensorrt", "", False, DOWN, ""),
        (
            "tensorrt",
            "it is not installed",
            False,
            DOWN[1:],
            "because it is not installed: the CUDA graph runs instead",
        ),
        ("cuda-graph", "", True, DOWN[1:], ""),
        ("eager", "", True, DOWN[2:], ""),
    ],
)
def test_on_a_gpu(wanted, missing, built, ways, complaint):
    choice = choose(wanted, "cuda", missing, built)
    assert choice.ways == ways
    assert complaint in " ".join(choice.complaints)
    assert bool(choice.complaints) == bool(complaint)


@pytest.mark.parametrize("wanted", ["auto", "eager", "cuda-graph", "tensorrt"])
def test_on_a_cpu_there_is_one_way(wanted):
    choice = choose(wanted, "cpu", "", False)
    assert choice.ways == ("cpu",)
    assert len(choice.complaints) == (wanted in ("cuda-graph", "tensorrt"))


class Fake:
    """Runs out of memory at the calls that are named."""

    memory_gb = 1.0

    def __init__(self, name, fails=()):
        self.name, self.fails, self.given = name, fails, None

    def begin(self, given):
        if "begin" in self.fails:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.given = given

    def finish(self):
        if "finish" in self.fails:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return np.array([[len(self.name)]], np.float32), self.given

    def warm(self):
        pass


def made(name, error=None, fails=()):
    def make():
        if error is not None:
            raise error
        return Fake(name, fails)

    return name, make


def test_each_engine_that_does_not_start_is_named_with_the_reason(caplog):
    with caplog.at_level(logging.WARNING, LOGGER):
        runner = Runner(
            [
                made("tensorrt", EngineError("none has been built yet")),
                made("cuda-graph", RuntimeError("CUDA error: operation not permitted\nwhen stream is capturing")),
                made("eager", torch.OutOfMemoryError("CUDA out of memory")),
                made("cpu"),
            ]
        )
    assert runner.way == "cpu"
    assert caplog.messages == [
        "TensorRT's encoder cannot be used (none has been built yet): the CUDA graph runs instead.",
        "The CUDA graph cannot be used (CUDA error: operation not permitted): plain PyTorch on the GPU runs instead.",
        "Plain PyTorch on the GPU cannot be used (the memory is full): plain PyTorch on the CPU runs instead.",
    ]


@pytest.mark.parametrize("when", ["begin", "finish"])
def test_when_memory_runs_out_in_a_run_no_frame_is_lost(caplog, when):
    runner = Runner([made("cuda-graph", fails=(when,)), made("eager", fails=(when,)), made("cpu")])
    with caplog.at_level(logging.WARNING, LOGGER):
        runner.begin("a frame")
        packed, shift = runner.finish()
    assert shift == "a frame"
    assert packed[0, 0] == len("cpu")
    assert runner.way == "cpu"
    assert runner.memory_gb == 1.0
    assert [message.split(" cannot")[0] for message in caplog.messages] == [
        "The CUDA graph",
        "Plain PyTorch on the GPU",
    ]
    caplog.clear()
    runner.begin("another")
    assert runner.finish()[1] == "another"
    assert not caplog.messages


def test_no_way_at_all_is_a_sentence(caplog):
    with pytest.raises(UserError, match="runs in no way on this machine"):
        Runner([made("cpu", RuntimeError(""))])
    assert "(RuntimeError): nothing is left to try" in caplog.text


def test_other_faults_are_not_hidden():
    runner = Runner([made("cpu")])
    runner._engine.begin = lambda _: 1 / 0
    with pytest.raises(ZeroDivisionError):
        runner.begin("a frame")
