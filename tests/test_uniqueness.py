import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import pictures
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from thaw.degradations.blur import Blur
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.degradations.zoom import Zoom
from thaw.evaluation.uniqueness import uniqueness
from thaw.params import Choice

SHAPE = (1, 12, 12)


@given(st.integers(0, 20))
def test_nearest_class_is_the_leave_one_out_score_of_scikit_learn(seed: int) -> None:
    degradation, x = Zoom(shape=SHAPE, steps=10), pictures(30, SHAPE, seed)
    labels = torch.randint(3, (30,), generator=torch.Generator().manual_seed(seed))
    z = degradation.degrade(x, torch.full((30,), 10), None).flatten(1).numpy()
    scores = cross_val_score(KNeighborsClassifier(1), z, labels.numpy(), cv=LeaveOneOut())
    found = uniqueness(degradation, x, labels, 0.5)
    assert found.nearest_class == pytest.approx(scores.mean())
    assert found.chance == pytest.approx(labels.bincount().max().item() / 30)


def test_what_a_degradation_keeps_is_recognised() -> None:
    x = pictures(40, SHAPE)
    labels = (torch.arange(40) % 2).long()
    x[:, :, 4:8, 4:8] = (labels[:, None, None, None] - 0.5) * 0.8 + 0.1 * x[:, :, 4:8, 4:8]
    found = uniqueness(Zoom(shape=SHAPE, steps=8), x, labels, 0.5)
    assert found == (40, 1, 1, 1, 0.5)


def test_images_that_end_alike_are_not_distinct_and_are_taken_for_each_other() -> None:
    x = pictures(10, SHAPE)
    x[1:4, :, 5:7, 5:7] = x[0, :, 5:7, 5:7]  # the same centre, which is all that is left
    found = uniqueness(Zoom(shape=SHAPE, steps=10), x, None, 0.5)
    assert (found.n, found.distinct, found.nearest_image) == (10, 0.6, 0.7)
    assert found.nearest_class is None
    assert found.chance is None


def test_what_no_grey_level_shows_is_not_distinct_but_still_unique() -> None:
    x = torch.zeros(5, *SHAPE) + 1e-4 * torch.arange(5)[:, None, None, None]
    found = uniqueness(Blur(shape=SHAPE, steps=5), x, None, 0.5)
    assert (found.distinct, found.nearest_image) == (0, 1)


@pytest.mark.parametrize(("beta", "lowest", "highest"), [(1e-9, 1, 1), (0.9, 0, 0.1)])
def test_a_second_draw_of_the_source_keeps_the_image_only_under_little_noise(
    beta: float, lowest: float, highest: float
) -> None:
    degradation = GaussianNoise(shape=SHAPE, steps=10, schedule=Choice(name="constant", beta=beta))
    found = uniqueness(degradation, pictures(100, SHAPE), None, 0.5)
    assert found.distinct == 1
    assert lowest <= found.nearest_image <= highest
    assert found == uniqueness(degradation, pictures(100, SHAPE), None, 0.5), "the same in every run"
