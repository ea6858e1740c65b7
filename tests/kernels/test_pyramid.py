"""Level shapes as they come in, and the table the kernels read."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biopose_kernels.pyramid import level_rows, level_shapes, paired


@pytest.mark.parametrize("given_as", [[[4, 3], [2, 2]], ((4, 3), (2, 2)), torch.tensor([[4, 3], [2, 2]])])
def test_pairs_and_tensors_are_the_same(given_as):
    assert level_shapes(given_as) == ((4, 3), (2, 2))


@pytest.mark.parametrize("wrong", [[4, 3], [[4, 3, 1]], [["a", 1]], torch.tensor([4, 3]), [None]])
def test_what_is_not_a_list_of_pairs_is_told(wrong):
    with pytest.raises(ValueError, match="spatial_shapes must be"):
        level_shapes(wrong)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6))
def test_rows_tile_the_token_axis(shapes):
    rows = level_rows(paired([size for pair in shapes for size in pair]))
    tokens = [first + i for height, width, first in rows for i in range(height * width)]
    assert tokens == list(range(sum(height * width for height, width in shapes)))
