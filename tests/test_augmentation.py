import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thaw.training import augmentation
from thaw.training.augmentation import Probability, augment, colour, move, variations

HALF = 0.5


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, channels: int = 1, size: int = 8, seed: int = 0) -> Tensor:
    return torch.rand(count, channels, size, size, generator=stream(seed)) - 0.5


def moved(
    x: Tensor, across: float = 1, along: float = 1, angle: float = 0, right: float = 0, down: float = 0
) -> Tensor:
    return move(x, *(torch.full((len(x),), float(value)) for value in (across, along, angle, right, down)))


# Movements


def test_a_shift_by_whole_pixels_is_a_roll_but_for_the_edge() -> None:
    x = pictures(2, 3)
    shifted = moved(x, right=2 / 8, down=-1 / 8)
    rolled = x.roll((-1, 2), (2, 3))
    torch.testing.assert_close(shifted[:, :, :-1, 2:], rolled[:, :, :-1, 2:], rtol=0, atol=1e-5)
    torch.testing.assert_close(shifted[:, :, :-1, :2], x[:, :, 1:, :2].flip(3), rtol=0, atol=1e-5)  # reflected


def test_a_quarter_turn_is_clockwise() -> None:
    x = pictures(2, 3)
    torch.testing.assert_close(moved(x, angle=math.pi / 2), x.rot90(-1, (2, 3)), rtol=0, atol=1e-5)


def test_a_negative_width_mirrors() -> None:
    x = pictures(2, 3)
    torch.testing.assert_close(moved(x, across=-1), x.flip(3), rtol=0, atol=1e-5)


def test_scale_enlarges_about_the_centre() -> None:
    x = torch.zeros(1, 1, 8, 8)
    x[:, :, 3:5, 3:5] = 1
    bigger = moved(x, across=2, along=2)
    assert bigger.sum().item() == pytest.approx(4 * 4, rel=0.01)
    wider = moved(x, across=2)
    assert wider.sum().item() == pytest.approx(2 * 4, rel=0.01)
    assert wider[0, 0, 2].abs().max() < 1e-5, "the height is unchanged"


def test_images_are_shifted_after_they_are_turned_and_enlarged() -> None:
    x = pictures(1, size=8)
    together = moved(x, angle=math.pi / 2, right=1 / 8)
    torch.testing.assert_close(together, moved(moved(x, angle=math.pi / 2), right=1 / 8), rtol=0, atol=1e-5)
    together = moved(x, across=2, along=2, down=2 / 8)
    in_turn = moved(moved(x, across=2, along=2), down=2 / 8)
    torch.testing.assert_close(together[:, :, 2:], in_turn[:, :, 2:], rtol=0, atol=1e-5)


def test_every_image_has_its_own_movement() -> None:
    x = pictures(1).expand(2, -1, -1, -1)
    one = torch.ones(2)
    both = move(x, one, one, torch.tensor([0, math.pi / 2]), 0 * one, 0 * one)
    torch.testing.assert_close(both[:1], x[:1], rtol=0, atol=1e-5)
    torch.testing.assert_close(both[1:], x[1:].rot90(-1, (2, 3)), rtol=0, atol=1e-5)


# Colours


def coloured(x: Tensor, brightness: float = 0, contrast: float = 1, hue: float = 0) -> Tensor:
    return colour(x, *(torch.full((len(x),), float(value)) for value in (brightness, contrast, hue)))


def test_brightness_is_added_after_contrast_is_multiplied() -> None:
    x = pictures(3, 3)
    torch.testing.assert_close(coloured(x, brightness=0.1, contrast=2), 2 * x + 0.1, rtol=0, atol=1e-6)


def test_a_third_of_the_hues_turns_red_to_green_to_blue() -> None:
    x = pictures(2, 3)
    torch.testing.assert_close(coloured(x, hue=2 * math.pi / 3), x.roll(1, 1), rtol=0, atol=1e-6)


@given(st.floats(-math.pi, math.pi), st.integers(0, 100))
def test_hue_keeps_grey_and_lengths(hue: float, seed: int) -> None:
    x = pictures(2, 3, seed=seed)
    turned = coloured(x, hue=hue)
    torch.testing.assert_close(turned.mean(1), x.mean(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(turned.norm(dim=1), x.norm(dim=1), rtol=0, atol=1e-5)


# Augmentation


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_happens_with_probability_zero(channels: int) -> None:
    x = pictures(5, channels)
    assert torch.equal(augment(x, 0, HALF, stream()), x)


def changed(x: Tensor, y: Tensor) -> float:
    return ((x - y).abs().flatten(1).amax(1) > 1e-3).float().mean().item()


@pytest.mark.parametrize(("channels", "transformations"), [(1, 4), (3, 8)])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_each_transformation_of_an_image_is_left_out_on_its_own(channels: int, transformations: int, p: float) -> None:
    x = pictures(3000, channels)
    # A mirror that is drawn leaves half of the images as they are.
    kept = (1 - p) ** (transformations - (channels == 3)) * ((1 - p / 2) if channels == 3 else 1)
    assert changed(x, augment(x, p, HALF, stream())) == pytest.approx(1 - kept, abs=0.03)


def test_digits_are_never_mirrored_and_photographs_are(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROTATION", "TRANSLATION", "SCALE", "BRIGHTNESS", "CONTRAST"):
        monkeypatch.setattr(augmentation, name, 0.0)
    digits, photographs = pictures(200, 1), pictures(200, 3)
    torch.testing.assert_close(augment(digits, 1, HALF, stream()), digits, rtol=0, atol=1e-5)
    grey = photographs.mean(1)  # which no hue changes
    seen = augment(photographs, 1, HALF, stream()).mean(1)
    kept, mirrored = ((seen - other).abs().flatten(1).amax(1) < 1e-4 for other in (grey, grey.flip(2)))
    assert (kept ^ mirrored).all()
    assert 0.35 < mirrored.float().mean() < 0.65


@pytest.mark.parametrize("channels", [1, 3])
def test_movements_stay_within_their_limits(channels: int) -> None:
    """The brightness of a dot at the centre is found again within the largest shift."""
    x = torch.zeros(300, channels, 33, 33)
    x[:, :, 15:18, 15:18] = 1
    seen = augment(x, 1, 0.0, stream()).mean(1).clamp(min=0)
    where = torch.linspace(-16, 16, 33)
    for axis in (1, 2):
        centre = (seen.sum(axis) * where).sum(1) / seen.sum((1, 2))
        assert centre.abs().max() < 33 * augmentation.TRANSLATION + 0.1
        assert centre.abs().max() > 3


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_is_differentiable(channels: int) -> None:
    x = pictures(6, channels).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda images: augment(images.float(), 1, HALF, stream()).double(), x, eps=1e-2,
                                    atol=1e-3)  # fmt: skip
    augment(x.float(), 0.5, HALF, stream()).square().sum().backward()
    assert x.grad is not None
    assert (x.grad.flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_augmentation_comes_from_the_stream_alone(channels: int) -> None:
    x = pictures(6, channels)
    torch.manual_seed(0)
    first = augment(x, 0.5, HALF, stream(3))
    torch.manual_seed(1)
    assert torch.equal(augment(x, 0.5, HALF, stream(3)), first)
    assert not torch.equal(augment(x, 0.5, HALF, stream(4)), first)


def test_variations_begin_with_the_image_itself() -> None:
    x = pictures(1, 3)[0]
    shown = variations(x, 6, HALF, stream())
    assert shown.shape == (6, 3, 8, 8)
    assert torch.equal(shown[0], x)
    assert all((other - x).abs().max() > 0.01 for other in shown[1:])


# The adaptive probability


def after(signs: list[float], images: int = 100, p: float = 0.4) -> Probability:
    probability = Probability(p=p)
    for sign in signs:
        probability.observe(sign, images)
    return probability


def test_an_overfitting_discriminator_raises_p_and_another_lowers_it() -> None:
    change = 4 * 100 / augmentation.ADAPTATION
    assert after([0.7] * 4).p == pytest.approx(0.4 + change)
    assert after([0.5] * 4).p == pytest.approx(0.4 - change)
    assert after([1, 1, 1, -0.5]).p == pytest.approx(0.4 + change), "the mean of several steps counts"
    assert after([1, 1, 1, -0.7]).p == pytest.approx(0.4 - change)


def test_p_changes_only_after_an_interval() -> None:
    assert after([1.0] * 3).p == 0.4
    assert after([1.0] * 4).p == after([1.0] * 7).p > 0.4


@given(st.lists(st.floats(-1, 1), max_size=60), st.integers(1, 10**6))
def test_p_stays_a_probability_that_does_not_leak(signs: list[float], images: int) -> None:
    assert 0 <= after(signs, images, 0.0).p <= augmentation.HIGHEST


def test_p_goes_all_the_way_in_the_images_of_the_adaptation() -> None:
    steps = round(augmentation.HIGHEST * augmentation.ADAPTATION / 100)
    assert after([1.0] * steps, p=0.0).p == pytest.approx(augmentation.HIGHEST)
    assert after([1.0] * (steps - 4), p=0.0).p < augmentation.HIGHEST
