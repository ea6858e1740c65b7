"""The recorded refinement, with a recorder that records nothing: same results, fixed buffers, nothing that waits."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from biopose_live.mqhmr.network.cuda_graph import EagerRecorder, GraphedRefiner, tensors_of
from biopose_live.mqhmr.network.token_refinement import Refiner

# What reads a number back to the host, or whose result's size depends on numbers: neither can be recorded.
WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::unique", "aten::is_nonzero",
           "aten::equal", "aten::_unique2"}  # fmt: skip


class Counting(EagerRecorder):
    """How often something was recorded."""

    def __init__(self):
        self.records = 0
        self.codes = []

    def record(self, code):
        self.records += 1
        self.codes.append(code)
        return super().record(code)


class Called(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.add(function.name().split(".")[0])
        return function(*args, **(kwargs or {}))


@pytest.fixture
def people(network, make_camera):
    """-> (count, seed) to the arguments of a call, and the pyramid's shapes."""

    def make(count, seed=0):
        random = torch.Generator().manual_seed(seed)
        camera = make_camera(count, seed)
        with torch.no_grad():
            pyramid = network.encode(torch.randn(count, 3, 64, 48, generator=random))
            keypoints = torch.rand(count, 33, 3, generator=random)
            start = network.start(camera, keypoints)
        return pyramid, start, camera, keypoints, 0.1 * torch.randn(start.tokens.shape, generator=random)

    return make


def recorded(network, people, buckets=(1, 4)):
    counting = Counting()
    refiner = Refiner(2)
    return GraphedRefiner(network, refiner, people(1)[0].shapes, buckets, counting), refiner, counting


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("warm", [True, False])
def test_results_are_the_refiners_whatever_the_bucket(network, people, count, warm):
    graphed, refiner, _ = recorded(network, people)
    for seed in (0, 1):  # the second call runs what the first one recorded
        pyramid, start, camera, keypoints, shift = people(count, seed)
        shift = shift if warm else None
        found = graphed(pyramid.tokens, start, camera, keypoints, shift)
        given = torch.zeros_like(start.tokens) if shift is None else shift
        expected = refiner.refine(network, pyramid, start, camera, keypoints, given)
        for mine, theirs in zip(tensors_of(found), tensors_of(expected), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def test_buffers_stay_where_they_are(network, people):
    graphed, _, counting = recorded(network, people)
    places = set()
    for seed, count in enumerate((3, 4, 2)):
        pyramid, *rest = people(count, seed)
        found = graphed(pyramid.tokens, *rest)
        places.add(tuple(tensor.data_ptr() for tensor in tensors_of(found)))
        places.add(tuple(buffer.data_ptr() for buffer in graphed.graphed.recorded[4].inputs))
    assert len(places) == 2
    assert counting.records == 1
    graphed(people(1)[0].tokens, *people(1)[1:])
    assert counting.records == 2


def test_people_of_before_leave_nothing_behind(network, people):
    graphed, _, _ = recorded(network, people)
    pyramid, *rest = people(4, 5)
    graphed(pyramid.tokens, *rest)
    pyramid, *rest = people(2, 6)
    after = [tensor.clone() for tensor in tensors_of(graphed(pyramid.tokens, *rest))]
    fresh, _, _ = recorded(network, people)
    for mine, theirs in zip(after, tensors_of(fresh(pyramid.tokens, *rest)), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_nothing_recorded_waits_for_the_host_or_depends_on_numbers(network, people):
    graphed, _, counting = recorded(network, people)
    pyramid, *rest = people(2)
    graphed(pyramid.tokens, *rest)
    with Called() as called:
        counting.codes[0]()
    assert "biopose::msda_frozen_backward" in called.names
    assert not called.names & WAITING


def test_the_number_of_steps_is_fixed(network, people, monkeypatch):
    graphed, _, counting = recorded(network, people)
    steps = []
    grad = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *given, **named: steps.append(1) or grad(*given, **named))
    for seed in range(3):
        pyramid, *rest = people(2, seed)
        steps.clear()
        graphed(pyramid.tokens, *rest)
        assert len(steps) == (4 if seed == 0 else 2)  # recording runs it once more
    assert counting.records == 1


def test_wrong_numbers_of_people(network, people):
    graphed, _, _ = recorded(network, people)
    pyramid, *rest = people(4)
    five = torch.cat([pyramid.tokens, pyramid.tokens[:1]])
    with pytest.raises(ValueError, match="for 1 to 4 people; found 5"):
        graphed(five, *rest)
    start = dataclasses.replace(rest[0], tokens=rest[0].tokens[:0])
    with pytest.raises(ValueError, match="found 0"):
        graphed(pyramid.tokens[:0], start, *rest[1:])
    with pytest.raises(ValueError, match="from 1 on"):
        GraphedRefiner(network, Refiner(2), pyramid.shapes, (0, 1), EagerRecorder())
