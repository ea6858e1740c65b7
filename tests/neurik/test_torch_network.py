"""NeurIK in torch: attention sees the past alone, no further than its window and its memory; gradients stay finite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biopose_live.neurik.architecture import KNOTS_S, MEMORY_S
from biopose_live.neurik.torch_network import NeurIKNetwork, age_weights
from neurik_made_up import random_network, small


def inputs(count: int, seed: int = 0, people: int = 2) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(seed)
    a = small()
    times = torch.cumsum(torch.rand(people, count) * 0.06 + 0.01, 1)
    return (
        torch.randn(people, count, a.markers, 3),
        torch.randn(people, count, a.turns),
        torch.randn(people, count, a.motion),
        times,
    )


def test_the_weight_file_holds_what_the_network_holds() -> None:
    network = NeurIKNetwork(small())
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes | {"standing": (7, 3)} == small().weight_shapes()


def test_the_weights_of_an_age_interpolate_between_knots() -> None:
    times = torch.tensor([[0.0, 0.5, 0.9, 3.2]], dtype=torch.float64)
    weights, seen = age_weights(times, 3)
    knots = torch.tensor(KNOTS_S, dtype=torch.float64)
    age = (times[:, :, None] - times[:, None, :]).clamp(0.0, MEMORY_S)
    torch.testing.assert_close(weights @ knots, age)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(age))
    assert ((weights > 0).sum(-1) <= 2).all()
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]]  # the last is over 3 s after the first
    np.testing.assert_array_equal(seen[0].int().numpy(), expected)


def test_attention_with_equal_ages_is_torchs_own() -> None:
    """With no say for age a block is torch's scaled dot-product attention."""
    network = random_network(small())
    block = network.blocks[0]
    with torch.no_grad():
        block.age.zero_()
        x = torch.randn(2, 6, 16)
        times = torch.arange(6.0).repeat(2, 1) * 0.03
        weights, seen = age_weights(times, 4)
        found = block(x, weights, seen)
        y = block.attention_norm(x)
        heads = [f(y).view(2, 6, 4, 4).transpose(1, 2) for f in (block.query, block.key, block.value)]
        mixed = torch.nn.functional.scaled_dot_product_attention(*heads, attn_mask=seen[:, None])
        after = x + block.out(mixed.transpose(1, 2).reshape(2, 6, 16))
        expected = after + block.down(torch.nn.functional.silu(block.up(block.feed_norm(after))))
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_no_answer_knows_the_future() -> None:
    network = random_network(small())
    markers, turns, motion, times = inputs(12)
    before = network(markers, turns, motion, times)
    markers, turns, motion, times = (x.clone() for x in (markers, turns, motion, times))
    for x in (markers, turns, motion):
        x[:, 7:] += 5.0
    times[:, 7:] += 0.3
    after = network(markers, turns, motion, times)
    torch.testing.assert_close(after[:, :7], before[:, :7], rtol=0, atol=1e-6)
    assert (after[:, 7:] - before[:, 7:]).abs().min(-1).values.max() > 1e-3


@torch.no_grad()
def test_frames_behind_the_window_are_forgotten() -> None:
    """Each layer reaches a window further back."""
    network = random_network(small(window=3))
    markers, turns, motion, times = inputs(12)
    before = network(markers, turns, motion, times)[:, -1]
    markers = markers.clone()
    markers[:, : 11 - 2 * 2] += 3.0
    torch.testing.assert_close(network(markers, turns, motion, times)[:, -1], before, rtol=0, atol=1e-6)
    markers[:, 11 - 2 * 2] += 3.0
    assert (network(markers, turns, motion, times)[:, -1] - before).abs().max() > 1e-4


@torch.no_grad()
def test_the_rate_of_the_clock_matters_and_its_start_does_not() -> None:
    network = random_network(small())
    markers, turns, motion, times = inputs(10)
    before = network(markers, turns, motion, times)
    torch.testing.assert_close(network(markers, turns, motion, times + 5.0), before, rtol=0, atol=1e-4)
    assert (network(markers, turns, motion, times * 2.0) - before).abs().max() > 1e-3


@torch.no_grad()
def test_people_of_a_batch_do_not_see_one_another() -> None:
    network = random_network(small())
    batch = inputs(9, people=3)
    together = network(*batch)
    for n in range(3):
        torch.testing.assert_close(together[n : n + 1], network(*(x[n : n + 1] for x in batch)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("gap", [0.02, 100.0])
def test_gradients_are_finite_also_for_a_frame_that_sees_itself_alone(gap: float) -> None:
    network = random_network(small())
    markers, turns, motion, times = inputs(5)
    times = torch.arange(5.0).repeat(2, 1) * gap
    network(markers, turns, motion, times).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
