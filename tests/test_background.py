import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thaw.evaluation.background import BRIGHT, background_levels

SIZE = 16


def grey(level: float, count: int = 1) -> Tensor:
    return torch.full((count, 1, SIZE, SIZE), level, dtype=torch.float64)


def with_square(background: float, top: int, left: int, side: int) -> Tensor:
    picture = grey(background)
    picture[..., top : top + side, left : left + side] = 1
    return picture


@given(level=st.floats(0, 0.5), top=st.integers(2, 8), left=st.integers(2, 8), side=st.integers(1, 4))
def test_a_square_on_grey_leaves_the_grey(level: float, top: int, left: int, side: int) -> None:
    assert background_levels(with_square(level, top, left, side)) == pytest.approx([level], abs=1e-12)


@pytest.mark.parametrize("corner", [(5, 6), (0, 0), (12, 12), (0, 7)])
def test_the_soft_edge_within_the_margin_is_no_background(corner: tuple[int, int]) -> None:
    """A ring of 0.4 around the square counts from the third pixel on, corners included."""
    side = 4

    def ring(distance: int) -> tuple[slice, slice]:
        rows, columns = (slice(max(0, first - distance), first + side + distance) for first in corner)
        return rows, columns

    for width, seen in ((2, False), (3, True)):
        picture = grey(0.1)
        picture[0, 0][ring(width)] = 0.4
        picture[0, 0][ring(0)] = 1
        outside = np.ones((SIZE, SIZE), dtype=bool)
        outside[ring(2)] = False
        expected = picture[0, 0].numpy()[outside].mean()
        assert background_levels(picture) == pytest.approx([expected], rel=1e-12)
        assert (expected > 0.1 + 1e-9) == seen


@pytest.mark.filterwarnings("error")
def test_the_mean_is_over_the_background_of_each_image_and_no_number_where_there_is_none() -> None:
    a_quarter, everywhere = grey(0.0), grey(0.0)
    a_quarter[..., :4, :] = 0.4  # of the rows
    everywhere[..., ::5, ::5] = 1  # dots whose margins of two pixels meet
    strokes = [grey(1.0), grey(BRIGHT + 1e-6), everywhere, with_square(0.1, 6, 6, 3)]
    pictures = torch.cat([grey(0.2), *strokes, a_quarter, grey(0.0), grey(BRIGHT)])
    together = background_levels(pictures)
    assert together == pytest.approx([0.2, np.nan, np.nan, np.nan, 0.1, 0.1, 0, BRIGHT], nan_ok=True)
    alone = np.concatenate([background_levels(picture[None]) for picture in pictures])
    np.testing.assert_array_equal(together, alone)


def test_float32_will_do() -> None:
    picture = with_square(0.25, 4, 4, 5).float()
    assert background_levels(picture) == pytest.approx([0.25], rel=1e-12), "a quarter is exact"
