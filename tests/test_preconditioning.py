"""Preconditioning against closed forms: linear regression, the posterior of Gaussian data, and Karras et al.'s own."""

import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import pictures, single
from sklearn.linear_model import LinearRegression
from study_fixtures import study_params
from torch import Tensor, nn

from thaw.core.tensors import write_tensors
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.denoising import denoiser
from thaw.diffusion.objectives import TARGETS
from thaw.diffusion.preconditioning import Preconditioned
from thaw.loading import load_model
from thaw.networks.cnn import Cnn
from thaw.params import Choice, Train
from thaw.results.layout import Artifacts
from thaw.variant import precondition

Estimated = Literal["noise", "clean"]
ESTIMATED: tuple[Estimated, ...] = ("noise", "clean")
SHAPE = (1, 8, 8)
SCHEDULES = {
    "linear": GaussianNoise(
        shape=SHAPE, steps=1000, schedule=Choice.model_validate({"name": "linear", "beta_min": 1e-4, "beta_max": 0.02})
    ),
    "cosine": GaussianNoise(
        shape=SHAPE, steps=1000, schedule=Choice.model_validate({"name": "cosine", "s": 0.008, "beta_max": 0.1})
    ),
    "large steps": GaussianNoise(shape=SHAPE, steps=200, schedule=Choice(name="constant", beta=0.1)),
}
of_every_schedule = pytest.mark.parametrize("degradation", SCHEDULES.values(), ids=list(SCHEDULES))
of_both_targets = pytest.mark.parametrize("target", ESTIMATED)
MEANS, DEVIATIONS = st.floats(-0.6, 0.6), st.floats(0.05, 1.5)
TIMES = st.floats(0, 1)


class Silent(nn.Module):
    """F = 0."""

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        return torch.zeros_like(z)


class Given(nn.Module):
    """F that answers what it is told to, and keeps what it was asked."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        self.asked = z, tau
        return self.answer


def around(
    network: nn.Module, degradation: GaussianNoise, target: Estimated, mean: float, deviation: float
) -> Preconditioned:
    """A network inside the estimate for data of this mean and deviation."""
    found = Preconditioned(network, degradation, target)
    found.mean.fill_(mean)
    found.deviation.fill_(deviation)
    return found


def answer(network: nn.Module, degradation: GaussianNoise, z: Tensor, t: Tensor) -> Tensor:
    """What the network is asked as by `losses` and by samplers: with tau in z's precision."""
    return network(z, t.to(z.dtype) / degradation.steps)


def drawn(
    degradation: GaussianNoise, count: int, mean: float, deviation: float, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Gaussian pixels as images of one pixel, and their noise."""
    stream = torch.Generator().manual_seed(seed)
    x = mean + deviation * torch.randn(count, generator=stream, dtype=torch.float64)
    return single(x.float()), single(torch.randn(count, generator=stream))


def step_at(fraction: float, degradation: GaussianNoise) -> int:
    return max(1, round(fraction * degradation.steps))


# The best linear estimate


@of_every_schedule
@of_both_targets
@given(fraction=TIMES, mean=MEANS, deviation=DEVIATIONS, z=st.lists(st.floats(-3, 3), min_size=1, max_size=6))
def test_without_f_the_answer_is_the_posterior_mean_of_gaussian_data(
    degradation: GaussianNoise, target: Estimated, fraction: float, mean: float, deviation: float, z: list[float]
) -> None:
    """x and epsilon given z, by the rule for two jointly normal variables."""
    t = step_at(fraction, degradation)
    seen = np.array(z, dtype=np.float32).astype(np.float64)
    alpha_bar = degradation.alpha_bar[t].item()
    of_z = alpha_bar * deviation**2 + 1 - alpha_bar
    with_z = math.sqrt(alpha_bar) * deviation**2 if target == "clean" else math.sqrt(1 - alpha_bar)
    start = mean if target == "clean" else 0.0
    expected = start + with_z / of_z * (seen - math.sqrt(alpha_bar) * mean)
    network = around(Silent(), degradation, target, mean, deviation)
    found = answer(network, degradation, single(torch.tensor(z)), torch.full((len(z),), t))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.flatten().numpy(), expected, rtol=1e-5, atol=1e-5)


@of_every_schedule
@of_both_targets
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_without_f_the_answer_is_the_regression_on_z_of_pixels_of_any_distribution(
    degradation: GaussianNoise, target: Estimated, fraction: float
) -> None:
    """By scikit-learn, on draws of pixels that are black, white or in between, as a digit's are."""
    stream = np.random.default_rng(0)
    x = stream.choice([-0.5, 0.5, 0.1], 400_000, p=[0.8, 0.15, 0.05])
    epsilon = stream.standard_normal(len(x))
    t = step_at(fraction, degradation)
    alpha_bar = degradation.alpha_bar[t].item()
    z = math.sqrt(alpha_bar) * x + math.sqrt(1 - alpha_bar) * epsilon
    line = LinearRegression().fit(z[:, None], epsilon if target == "noise" else x)
    network = Preconditioned(Silent(), degradation, target)
    network.fit(single(torch.from_numpy(x)))
    at = np.linspace(-1, 1, 5)
    found = answer(network, degradation, single(torch.from_numpy(at).float()), torch.full((5,), t))
    # Of a slope the standard error is at most that of x, of epsilon or of z, over the root of the number, here 2e-3.
    np.testing.assert_allclose(found.flatten().numpy(), line.predict(at[:, None]), rtol=0, atol=8e-3)


@of_both_targets
def test_a_denoiser_of_a_silent_network_gives_the_posterior_mean(target: Estimated) -> None:
    for degradation in SCHEDULES.values():
        network, z = around(Silent(), degradation, target, -0.37, 0.31), 2 * pictures(4)
        denoise = denoiser(network, degradation, TARGETS[target](degradation))
        for t in (1, degradation.steps // 3, degradation.steps // 2):
            a2 = degradation.alpha_bar[t].item()
            gain = math.sqrt(a2) * 0.31**2 / (a2 * 0.31**2 + 1 - a2)
            expected = -0.37 + gain * (z - math.sqrt(a2) * -0.37)
            torch.testing.assert_close(denoise(z, t), expected, rtol=1e-4, atol=1e-4)


# What F is asked for


@of_every_schedule
@given(mean=MEANS, deviation=DEVIATIONS)
def test_what_f_is_asked_for_has_variance_one_at_every_step(
    degradation: GaussianNoise, mean: float, deviation: float
) -> None:
    """For independent x and epsilon the variance is the sum of the squares of the two factors, whatever x's law."""
    t = torch.arange(1, degradation.steps + 1)
    network = around(Silent(), degradation, "noise", mean, deviation)
    f = network.scales(t)
    of_source, of_image = f.source.double(), f.image.double()
    torch.testing.assert_close(of_source**2 + of_image**2, torch.ones_like(of_source), rtol=0, atol=1e-5)
    asked = network.regress(torch.full((len(t), 1, 1, 1), mean), torch.zeros(len(t), 1, 1, 1), t)
    torch.testing.assert_close(asked, torch.zeros_like(asked), rtol=0, atol=2e-5 / deviation)


@of_every_schedule
@pytest.mark.parametrize("fraction", [0, 0.3, 0.7, 1])
def test_what_f_is_asked_for_is_normal_and_not_told_by_what_it_sees(
    degradation: GaussianNoise, fraction: float
) -> None:
    """For Gaussian data F = 0 leaves nothing to learn: what F sees has variance 1 too, and is independent of it."""
    count, t = 40_000, step_at(fraction, degradation)
    x, source = drawn(degradation, count, -0.37, 0.31)
    steps = torch.full((count,), t)
    inside = Given(torch.zeros_like(x))
    network = around(inside, degradation, "noise", -0.37, 0.31)
    answer(network, degradation, degradation.degrade(x, steps, source), steps)
    seen, asked = inside.asked[0].double().flatten(), network.regress(x, source, steps).double().flatten()
    error = 1 / math.sqrt(count)
    for values in (seen, asked):
        assert abs(values.mean()) < 4 * error
        assert abs(values.square().mean() - 1) < 4 * math.sqrt(2) * error
    assert abs((seen * asked).mean()) < 4 * error


@of_every_schedule
@of_both_targets
@given(fraction=TIMES, mean=MEANS, deviation=DEVIATIONS, seed=st.integers(0, 1000))
def test_the_right_f_makes_the_right_answer(
    degradation: GaussianNoise, target: Estimated, fraction: float, mean: float, deviation: float, seed: int
) -> None:
    t = torch.full((8,), step_at(fraction, degradation))
    x, source = drawn(degradation, 8, mean, deviation, seed)
    z = degradation.degrade(x, t, source)
    inside = Given(torch.zeros_like(x))
    network = around(inside, degradation, target, mean, deviation)
    inside.answer = network.regress(x, source, t)
    right = TARGETS[target](degradation).regress(x, source, t)
    torch.testing.assert_close(answer(network, degradation, z, t), right, rtol=1e-5, atol=2e-5)


@of_every_schedule
@given(fraction=TIMES, mean=MEANS, deviation=DEVIATIONS, seed=st.integers(0, 1000))
def test_one_f_implies_one_image_by_both_targets(
    degradation: GaussianNoise, fraction: float, mean: float, deviation: float, seed: int
) -> None:
    """Whatever F answers: to float32's precision, of which the noise loses as much as alpha_bar is small."""
    t = torch.full((8,), step_at(fraction, degradation))
    x, source = drawn(degradation, 8, mean, deviation, seed)
    z = degradation.degrade(x, t, source)
    inside = Given(torch.randn(z.shape, generator=torch.Generator().manual_seed(seed)))
    implied = [
        TARGETS[target](degradation).clean(
            answer(around(inside, degradation, target, mean, deviation), degradation, z, t), z, t
        )
        for target in ESTIMATED
    ]
    a = math.sqrt(degradation.alpha_bar[t[0]].item())
    torch.testing.assert_close(implied[0], implied[1], rtol=1e-5, atol=1e-5 + 2e-6 / a)


# Karras et al. 2022


@of_every_schedule
@of_both_targets
@given(fraction=TIMES, deviation=DEVIATIONS, seed=st.integers(0, 1000))
def test_the_estimate_is_the_preconditioned_denoiser_of_edm(
    degradation: GaussianNoise, target: Estimated, fraction: float, deviation: float, seed: int
) -> None:
    """D = c_skip y + c_out F(c_in y) for y = x + sigma n (their table 1), where y = z/a and sigma = b/a; F turns sign.

    Their loss weighs the error of D by 1/c_out^2, which is that of F.
    """
    t = step_at(fraction, degradation)
    stream = torch.Generator().manual_seed(seed)
    z, f = (torch.randn(2, *SHAPE, generator=stream) for _ in range(2))
    alpha_bar = degradation.alpha_bar[t].item()
    a, sigma, sigma_data = math.sqrt(alpha_bar), math.sqrt((1 - alpha_bar) / alpha_bar), deviation
    y = z.double() / a
    c_skip = sigma_data**2 / (sigma**2 + sigma_data**2)
    c_out = sigma * sigma_data / math.sqrt(sigma**2 + sigma_data**2)
    c_in = 1 / math.sqrt(sigma**2 + sigma_data**2)
    inside = Given(-f)
    network = around(inside, degradation, target, 0.0, deviation)
    found = denoiser(network, degradation, TARGETS[target](degradation))(z, t)
    torch.testing.assert_close(inside.asked[0].double(), c_in * y, rtol=1e-5, atol=1e-5)
    lost = 0 if target == "clean" else 4e-6 / a  # the noise is divided by a
    torch.testing.assert_close(found.double(), c_skip * y + c_out * f.double(), rtol=1e-5, atol=2e-5 + lost)


# Numbers


@of_every_schedule
@of_both_targets
def test_nothing_is_infinite_at_any_step(degradation: GaussianNoise, target: Estimated) -> None:
    t = torch.arange(degradation.steps + 1)
    network = around(Silent(), degradation, target, -0.37, 0.31)
    for scale in network.scales(t):
        assert scale.dtype == torch.float32
        assert scale.shape == (len(t), 1, 1, 1)
        assert scale.isfinite().all()
    z = torch.randn(len(t), *SHAPE, generator=torch.Generator().manual_seed(0))
    found = answer(network, degradation, z, t)
    assert found.isfinite().all()
    assert TARGETS[target](degradation).clean(found, z, t)[1:].isfinite().all()
    last = degradation.alpha_bar[-1].item()
    if target == "clean" and last < 1e-8:
        torch.testing.assert_close(found[-1], torch.full(SHAPE, -0.37), rtol=0, atol=1e-4)  # z_T says nothing of x


@of_both_targets
def test_around_a_network_in_bfloat16_the_answer_is_float32(target: Estimated) -> None:
    degradation, z = SCHEDULES["linear"], pictures(3)
    t = torch.tensor([1, 400, 1000])
    torch.manual_seed(0)
    network = around(Cnn(shape=SHAPE), degradation, target, -0.37, 0.31)
    with torch.autocast("cpu", torch.bfloat16):
        found, inner = answer(network, degradation, z, t), network(z, t / degradation.steps, inner=True)
        plain = network.network(z, t / degradation.steps)
    assert plain.dtype == torch.bfloat16
    assert found.dtype == inner.dtype == torch.float32
    f = network.scales(t)
    expected = f.skip * (z - f.shift) + f.output * inner + (network.mean if target == "clean" else 0)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


# Weights, and thaw.load


def test_the_pixels_mean_and_deviation_are_kept_with_the_weights() -> None:
    x = pictures(50) ** 2
    torch.manual_seed(0)
    one, two = (Preconditioned(Cnn(shape=SHAPE), SCHEDULES["linear"], "noise") for _ in range(2))
    one.fit(x)
    values = x.double().numpy()
    assert one.mean.item() == pytest.approx(values.mean(), rel=1e-6)
    assert one.deviation.item() == pytest.approx(values.std(), rel=1e-6)
    state = one.state_dict()
    assert state.keys() == {"mean", "deviation", *(f"network.{name}" for name in one.network.state_dict())}
    two.load_state_dict(state)
    z, tau = pictures(2, seed=3), torch.tensor([0.2, 1.0])
    assert torch.equal(two(z, tau), one(z, tau))


@of_both_targets
def test_images_of_one_grey_ask_for_finite_numbers(target: Estimated) -> None:
    model = Preconditioned(Cnn(shape=SHAPE), SCHEDULES["linear"], target)
    x = torch.full((4, *SHAPE), 0.25)
    model.fit(x)
    t = torch.tensor([1, 10, 500, 1000])
    source = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    z = SCHEDULES["linear"].degrade(x, t, source)
    assert model.regress(x, source, t).isfinite().all()
    assert model(z, t / 1000).isfinite().all()


@of_both_targets
def test_a_train_block_says_whether_a_network_is_inside(target: Estimated) -> None:
    block: dict[str, Any] = {
        "degradation": Choice(name="gaussian_noise"), "target": target, "network": Choice(name="cnn"), "ema_decay": 0.9
    }  # fmt: skip
    plain = Cnn(shape=SHAPE)
    assert precondition(plain, Train(**block), SCHEDULES["linear"]) is plain
    found = precondition(plain, Train(**block, preconditioned=True), SCHEDULES["linear"])
    assert isinstance(found, Preconditioned)
    assert (found.network, found.degradation, found.target) == (plain, SCHEDULES["linear"], target)


@of_both_targets
def test_a_loaded_model_restores_by_the_estimate_around_its_network(target: Estimated, tmp_path: Path) -> None:
    """With a network whose last layer answers 0, whatever the variant predicts."""
    params = study_params()
    schedule = {"name": "linear", "beta_min": 1e-3, "beta_max": 0.4}
    train = {
        "degradation": {"name": "gaussian_noise", "steps": 10, "schedule": schedule}, "target": target,
        "network": {"name": "cnn"}, "ema_decay": 0.9, "preconditioned": True, "weighting": "uniform",
    }  # fmt: skip
    sample = {"sampler": {"name": "direct"}, "latent": {"name": "normal"}, "seed": 0}
    content = params.model_dump() | {"defaults": {}, "variants": {"studied": {"train": train, "sample": sample}}}
    params = type(params).model_validate(content)
    network = Preconditioned(Cnn(shape=params.data.shape), GaussianNoise(
        shape=params.data.shape, steps=10, schedule=Choice.model_validate(schedule)), target)  # fmt: skip
    nn.init.zeros_(network.network.output.weight)
    nn.init.zeros_(network.network.output.bias)
    network.mean.fill_(0.1)
    network.deviation.fill_(0.2)
    artifacts = Artifacts(tmp_path)
    block = params.variant("studied").train.model_dump(mode="json", exclude_defaults=True)
    folder = artifacts.models("studied")
    write_tensors(folder / "seed-0" / "best.safetensors", network.state_dict())
    description = {"train": block, "seeds": {"0": {}}, "images": 64, "milestones": ["1"]}
    (folder / "model.json").write_text(json.dumps(description))

    model = load_model(artifacts, "studied", params).model
    z = pictures(3, params.data.shape)
    alpha_bar = network.degradation.alpha_bar[7].item()
    gain = math.sqrt(alpha_bar) * 0.04 / (alpha_bar * 0.04 + 1 - alpha_bar)
    expected = 0.1 + gain * (z - math.sqrt(alpha_bar) * 0.1)
    torch.testing.assert_close(model.restore(z, 7, steps=1), expected, rtol=1e-4, atol=1e-5)
