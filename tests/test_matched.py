"""The step of matched severity: in closed form for mixtures, by a classifier of degraded images for the others."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from thaw.data import Dataset, Images
from thaw.degradations.fade import Fade
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.degradation import Degradation
from thaw.evaluation.matched import STEPS, matched_row, matched_table
from thaw.params import Choice, Classifier

SETTINGS = Classifier(epochs=1, batch_size=16, learning_rate=3e-3, seed=0)
SHAPE = (1, 12, 12)


class Hidden(Degradation):
    """The image until a step, and mid-grey from then on."""

    latents = {}  # noqa: RUF012

    def __init__(self, steps: int, last: int) -> None:
        super().__init__(SHAPE, steps)
        self.last = last

    def degrade(self, x: Tensor, t: Tensor, source: Tensor | None) -> Tensor:
        return torch.where((t <= self.last).view(-1, 1, 1, 1), x, torch.zeros_like(x))


def bars(count: int, labelled: bool = True) -> Images:
    """Faint noise with one bright bar: for class 0 at the top, for class 9 at the bottom."""
    labels = torch.arange(count) % 10
    images = torch.randint(60, (count, *SHAPE), generator=torch.Generator().manual_seed(count), dtype=torch.uint8)
    images[torch.arange(count), :, 1 + labels] = 250
    return Images(images, labels if labelled else None)


def dataset(labelled: bool = True) -> Dataset:
    return Dataset("bars", bars(1500, labelled), bars(20, labelled), bars(150, labelled), 0.5)


@pytest.mark.parametrize("steps", [7, 100, 1000])
def test_a_mixture_keeps_a_quarter_of_the_variance(steps: int) -> None:
    degradation = GaussianNoise(shape=SHAPE, steps=steps, schedule=Choice(name="constant", beta=3 / steps))
    (found,) = matched_table(degradation, dataset(), SETTINGS, 0.95)
    gaps = (degradation.alpha_bar - 0.25).abs()
    assert gaps[found["t"]] == gaps.min()
    assert found["alpha_bar"] == degradation.alpha_bar[found["t"]]
    row = matched_row([found])
    assert (row["metric"], row["value"], row["low"], row["high"]) == ("matched_t", *[found["t"]] * 3)


@pytest.mark.parametrize(("steps", "last"), [(8, 5), (8, 8), (60, 20)])
def test_another_degradation_has_the_last_step_at_which_half_is_read(steps: int, last: int) -> None:
    rows = matched_table(Hidden(steps, last), dataset(), SETTINGS, 0.95)
    assert len(rows) == min(steps, STEPS)
    assert rows[-1]["t"] == steps
    for row in rows:
        assert (row["accuracy"] > 0.9) if row["t"] <= last else (row["accuracy"] < 0.3), row
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["n"] == 150
    assert [row["t"] for row in rows if row["matched"]] == [last]
    total = matched_row(rows)
    assert (total["low"], total["value"], total["high"], total["n"]) == (last, last, last, 150)


def test_the_bounds_are_the_steps_of_the_bounds_of_the_accuracies() -> None:
    accuracies = [0.9, 0.7, 0.52, 0.48, 0.1]
    rows = [
        {"t": t, "accuracy": share, "low": share - 0.05, "high": share + 0.05, "n": 9, "matched": int(t == 3)}
        for t, share in enumerate(accuracies, start=1)
    ]
    found = matched_row(rows)
    assert (found["low"], found["value"], found["high"]) == (2, 3, 4)


@pytest.mark.parametrize(("steps", "half"), [(1, 1), (9, 4), (50, 25)])
def test_images_without_labels_are_matched_halfway(steps: int, half: int) -> None:
    (found,) = matched_table(Fade(shape=SHAPE, steps=steps), dataset(labelled=False), SETTINGS, 0.95)
    assert (found["t"], found["accuracy"], found["matched"]) == (half, None, 1)
    assert matched_row([found])["value"] == half


def test_the_table_is_the_same_every_time(degradation_called: Callable[..., Degradation]) -> None:
    degradation = degradation_called("zoom", SHAPE, steps=6)
    torch.manual_seed(1)
    first = matched_table(degradation, dataset(), SETTINGS, 0.95)
    torch.manual_seed(2)
    assert matched_table(degradation, dataset(), SETTINGS, 0.95) == first
