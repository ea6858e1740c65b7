"""The assignment against SciPy's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from biopose_live.detection.assignment import assign


def best_total(cost: np.ndarray, unmatched: float) -> float:
    """SciPy's optimum when a row that stays alone costs `unmatched`."""
    padded = np.concatenate([cost, np.full((len(cost), len(cost)), unmatched)], axis=1)
    return float(padded[linear_sum_assignment(padded)].sum())


@given(rows=st.integers(1, 16), columns=st.integers(1, 16), seed=st.integers(0, 2**32 - 1), unmatched=st.floats(0.1, 2))
@settings(max_examples=150, deadline=None)
def test_total_is_scipys(rows: int, columns: int, seed: int, unmatched: float) -> None:
    cost = np.random.default_rng(seed).uniform(0, 1.5, (rows, columns))
    pairs = assign(cost, unmatched)
    assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == len(pairs)
    total = sum(cost[r, c] for r, c in pairs) + unmatched * (rows - len(pairs))
    assert total == pytest.approx(best_total(cost, unmatched), abs=1e-9)


@given(size=st.integers(1, 16), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_ties_are_settled_exactly_too(size: int, seed: int) -> None:
    cost = np.random.default_rng(seed).integers(0, 4, (size, size)).astype(float)
    total = sum(cost[r, c] for r, c in assign(cost, 10.0))
    assert total == pytest.approx(best_total(cost, 10.0))


def test_the_greedy_choice_is_not_taken() -> None:
    assert assign(np.array([[0.0, 0.1], [0.1, 1.0]]), 2.0) == [(0, 1), (1, 0)]


def test_nobody_is_paired_at_the_price_of_staying_alone() -> None:
    assert assign(np.array([[1.2]]), 1.2) == []
    assert assign(np.array([[1.19]]), 1.2) == [(0, 0)]


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_empty(shape: tuple[int, int]) -> None:
    assert assign(np.zeros(shape), 1.0) == []
