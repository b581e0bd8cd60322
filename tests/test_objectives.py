import math
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import awake
from torch import Tensor, nn
from training_fixtures import autocast

from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.degradations.zoom import Zoom
from thaw.diffusion.denoising import denoiser, posterior_mean, subsequence
from thaw.diffusion.objectives import TARGETS, Objective, Weighting, losses, variational_weights
from thaw.diffusion.preconditioning import Preconditioned
from thaw.networks.cnn import Cnn
from thaw.params import Choice

PREDICTED = [name for name in TARGETS if name != "adversarial"]  # which has no right answer

STEPS, SHAPE = 20, (1, 8, 8)
MIXTURE = GaussianNoise(shape=SHAPE, steps=STEPS, schedule=Choice(name="linear", beta_min=1e-3, beta_max=0.2))
STEP_LISTS = st.lists(st.integers(1, STEPS), min_size=1, max_size=5)


def example(t: list[int], seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """x, source, t and z_t."""
    stream = torch.Generator().manual_seed(seed)
    x = torch.rand(len(t), *SHAPE, generator=stream) - 0.5
    source, steps = torch.randn(x.shape, generator=stream), torch.tensor(t)
    return x, source, steps, MIXTURE.degrade(x, steps, source)


def target_called(name: str) -> Any:
    return TARGETS[name](MIXTURE)


@pytest.mark.parametrize("name", PREDICTED)
@given(t=STEP_LISTS, seed=st.integers(0, 1000))
def test_the_right_answer_gives_back_the_image(name: str, t: list[int], seed: int) -> None:
    x, source, steps, z = example(t, seed)
    target = target_called(name)
    torch.testing.assert_close(target.clean(target.regress(x, source, steps), z, steps), x, rtol=0, atol=2e-5)


@given(t=STEP_LISTS, seed=st.integers(0, 1000))
def test_noise_is_the_source_and_clean_is_the_image(t: list[int], seed: int) -> None:
    x, source, steps, _ = example(t, seed)
    assert torch.equal(target_called("noise").regress(x, source, steps), source)
    assert torch.equal(target_called("clean").regress(x, source, steps), x)


@pytest.mark.parametrize("name", PREDICTED)
@given(t=STEP_LISTS, seed=st.integers(0, 1000))
def test_targets_read_each_other(name: str, t: list[int], seed: int) -> None:
    """Any answer, right or wrong, implies an image and a source; put as another target it implies the same image."""
    _, answer, steps, z = example(t, seed)
    clean = target_called(name).clean(answer, z, steps)
    source = MIXTURE.solve_source(z, clean, steps)
    for same in map(target_called, PREDICTED):
        again = same.clean(same.regress(clean, source, steps), z, steps)
        torch.testing.assert_close(again, clean, rtol=1e-4, atol=1e-4)


def test_velocity_agrees_with_diffusers() -> None:
    reference = DDPMScheduler(STEPS, beta_start=1e-3, beta_end=0.2)
    x, source, steps, _ = example([1, 2, 7, 19, 20], 0)
    ours = target_called("velocity").regress(x, source, steps)
    torch.testing.assert_close(ours, reference.get_velocity(x, source, steps - 1), rtol=1e-5, atol=1e-5)


@given(t=STEP_LISTS, seed=st.integers(0, 1000))
def test_velocity_is_the_source_and_the_image_turned_by_a_right_angle(t: list[int], seed: int) -> None:
    x, source, steps, z = example(t, seed)
    v = target_called("velocity").regress(x, source, steps)
    torch.testing.assert_close(z**2 + v**2, x**2 + source**2, rtol=1e-4, atol=1e-5)


class Recorder(nn.Module):
    """Answers with a constant and keeps what it was asked."""

    def __init__(self, answer: float) -> None:
        super().__init__()
        self.answer = answer
        self.asked: list[tuple[Tensor, Tensor]] = []

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        self.asked.append((z, tau))
        return torch.full_like(z, self.answer)


@pytest.mark.parametrize("name", PREDICTED)
def test_the_loss_of_each_image_is_its_mean_squared_error(name: str) -> None:
    x, source, steps, z = example([1, 5, 20], 0)
    network, target = Recorder(0.25), target_called(name)
    loss = losses(network, MIXTURE, target, x, steps, source)
    answer = target.regress(x, source, steps)
    expected = torch.stack([(answer[i] - 0.25).square().mean() for i in range(3)])
    torch.testing.assert_close(loss, expected)
    ((seen, tau),) = network.asked
    assert torch.equal(seen, z)
    torch.testing.assert_close(tau, torch.tensor([1 / STEPS, 5 / STEPS, 1.0]))


def test_a_degradation_without_a_source_is_trained_on_the_image() -> None:
    zoom, x = Zoom(shape=SHAPE, steps=4), torch.rand(2, *SHAPE)
    loss = losses(Recorder(0.0), zoom, TARGETS["clean"](zoom), x, torch.tensor([1, 4]), None)
    torch.testing.assert_close(loss, x.square().flatten(1).mean(1))


def test_degrading_is_outside_autocast() -> None:
    x, source, steps, z = example([3, 9], 0)
    network = Recorder(0.0)
    with torch.autocast("cpu", torch.bfloat16):
        loss = losses(network, MIXTURE, target_called("noise"), x, steps, source)
    assert torch.equal(network.asked[0][0], z)
    assert loss.dtype == torch.float32


def test_variational_weights_are_the_divergence_of_diffusers_steps() -> None:
    """The divergence of two normals of one variance is their means' distance squared over twice that variance."""
    betas = 1 - MIXTURE.alpha_bar[1:] / MIXTURE.alpha_bar[:-1]
    scheduler = DDPMScheduler(len(betas), trained_betas=betas.numpy(), clip_sample=False, variance_type="fixed_large")
    z, noise, other = (torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(k)).double() for k in range(3))
    divergence = []
    for t, beta in enumerate(betas):
        same = [torch.Generator().manual_seed(0) for _ in range(2)]
        a, b = (scheduler.step(e, t, z, generator=g).prev_sample for e, g in zip((noise, other), same, strict=True))
        divergence.append((a - b).square().mean() / (2 * beta) / (noise - other).square().mean())
    expected = torch.stack(divergence)
    weights = variational_weights(MIXTURE)
    assert weights[0] == 0
    assert weights[1:].mean() == pytest.approx(1)
    torch.testing.assert_close(weights[1:], expected / expected.mean(), rtol=1e-4, atol=0)


# What is minimised


def inside(target: Any) -> Preconditioned:
    """A small network inside the best linear estimate, with values in all of its weights."""
    torch.manual_seed(0)
    network = Preconditioned(awake(Cnn(shape=SHAPE)), MIXTURE, target)
    network.fit(0.6 * torch.rand(50, *SHAPE) ** 2 - 0.5)
    return network


def every_step(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return example(list(range(1, STEPS + 1)), seed)


def objective(network: nn.Module, target: str, weighting: Weighting) -> Objective:
    return Objective(network, MIXTURE, target_called(target), weighting)


@pytest.mark.parametrize("target", ["noise", "clean"])
def test_uniform_is_the_mean_squared_error_of_the_inner_answer(target: str, precision: str) -> None:
    x, source, steps, z = every_step()
    network = inside(target)
    seen: list[Tensor] = []
    network.network.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    with torch.no_grad(), autocast(precision):
        found = objective(network, target, "uniform").losses(network, x, steps, source)
        output = network(z, steps / STEPS, inner=True)
    mean, deviation = network.mean.item(), network.deviation.item()
    alpha_bar = MIXTURE.alpha_bar[steps].view(-1, 1, 1, 1)
    of_z = (alpha_bar * deviation**2 + 1 - alpha_bar).sqrt()
    asked = alpha_bar.sqrt() * deviation * source - (1 - alpha_bar).sqrt() * (x - mean) / deviation
    expected = (output.double() - asked / of_z).square().flatten(1).mean(1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(seen[0].double(), (z - alpha_bar.sqrt() * mean) / of_z, rtol=1e-5, atol=1e-6)
    assert seen[0].dtype == torch.float32, "the degradation runs outside autocast"


@pytest.mark.parametrize("target", ["noise", "clean"])
def test_simple_is_the_error_of_the_target_for_a_preconditioned_network_too(target: str, precision: str) -> None:
    x, source, steps, _ = every_step()
    network = inside(target)
    with torch.no_grad(), autocast(precision):
        found = objective(network, target, "simple").losses(network, x, steps, source)
        expected = losses(network, MIXTURE, target_called(target), x, steps, source)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_simple_keeps_its_digits_where_alpha_bar_is_small() -> None:
    """The error of the noise, there some 1e-9, would be lost in float32: z_T is nearly the noise."""
    mixture = GaussianNoise(shape=SHAPE, steps=200, schedule=Choice(name="constant", beta=0.1))
    x, source, t = 0.5 * normal(4), normal(4, 1), torch.full((4,), 200)

    class Quarter(nn.Module):
        def forward(self, z: Tensor, tau: Tensor) -> Tensor:
            return torch.full_like(z, 0.25)

    network = Preconditioned(Quarter(), mixture, "noise")
    network.fit(x)
    found = Objective(network, mixture, TARGETS["noise"](mixture), "simple").losses(network, x, t, source)
    a2, s = 0.9**200, network.deviation.item()
    centred = math.sqrt(a2) * (x.double() - network.mean.item()) + math.sqrt(1 - a2) * source.double()
    v = a2 * s**2 + 1 - a2
    estimate = math.sqrt(1 - a2) / v * centred + math.sqrt(a2 / v) * s * 0.25
    expected = (estimate - source.double()).square().flatten(1).mean(1)
    assert expected.max() < 1e-8
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("build", [lambda: awake(Cnn(shape=SHAPE)), lambda: inside("noise")], ids=["plain", "inside"])
def test_variational_is_the_error_of_the_noise_as_the_bound_weighs_it(build: Any, precision: str) -> None:
    x, source, steps, _ = every_step()
    torch.manual_seed(0)
    network = build()
    with torch.no_grad(), autocast(precision):
        found = objective(network, "noise", "variational").losses(network, x, steps, source)
        plain = losses(network, MIXTURE, target_called("noise"), x, steps, source)
    torch.testing.assert_close(found, variational_weights(MIXTURE)[1:].float() * plain, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PREDICTED)
def test_simple_is_the_error_of_the_target(name: str) -> None:
    x, source, steps, _ = every_step()
    network = Recorder(0.25)
    found = objective(network, name, "simple").losses(network, x, steps, source)
    assert torch.equal(found, losses(Recorder(0.25), MIXTURE, target_called(name), x, steps, source))


def test_an_objective_without_a_source_is_the_error_of_the_image() -> None:
    zoom, x, t = Zoom(shape=SHAPE, steps=4), torch.rand(2, *SHAPE), torch.tensor([1, 4])
    found = Objective(Recorder(0.0), zoom, TARGETS["clean"](zoom), "simple").losses(Recorder(0.0), x, t, None)
    torch.testing.assert_close(found, x.square().flatten(1).mean(1))


def test_weights_go_with_the_image_whose_step_it_is() -> None:
    x, source, steps, _ = every_step()
    network, turned = inside("noise"), torch.arange(STEPS).flip(0)
    minimised = objective(network, "noise", "simple")
    with torch.no_grad():
        one = minimised.losses(network, x, steps, source)
        other = minimised.losses(network, x[turned], steps[turned], source[turned])
    torch.testing.assert_close(other, one[turned], rtol=1e-4, atol=1e-6)


def normal(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed))


# Steps


@given(st.integers(1, 1000), st.integers(1, 1200))
def test_a_subsequence_is_even_and_decreases_from_its_start_to_zero(start: int, count: int) -> None:
    steps = subsequence(start, count)
    gaps = -np.diff(steps)
    assert (steps[0], steps[-1]) == (start, 0)
    assert len(steps) == min(start, count) + 1
    assert gaps.min() >= 1
    assert gaps.max() - gaps.min() <= 2
    assert np.abs(np.array(steps) - np.linspace(start, 0, len(steps))).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("start", "count"), [(0, 5), (5, 0), (-1, 5), (5, -1)])
def test_a_subsequence_has_at_least_one_step(start: int, count: int) -> None:
    with pytest.raises(ValueError, match="at least one step"):
        subsequence(start, count)


# Networks as denoisers


@pytest.mark.parametrize("target", PREDICTED)
@given(t=st.integers(1, STEPS))
def test_a_network_that_answers_rightly_denoises_perfectly(target: str, t: int) -> None:
    x, source, steps = 0.3 * normal(2), normal(2, 1), torch.full((2,), t)
    reading = TARGETS[target](MIXTURE)
    asked: list[Tensor] = []

    def network(z: Tensor, tau: Tensor) -> Tensor:
        asked.append(tau)
        return reading.regress(x, source, steps)

    answer = denoiser(network, MIXTURE, reading)(MIXTURE.degrade(x, steps, source), t)
    torch.testing.assert_close(answer, x, rtol=0, atol=2e-5)
    torch.testing.assert_close(asked[0], torch.full((2,), t / STEPS))


def test_a_denoiser_without_a_source_gives_the_answer_itself() -> None:
    zoom = Zoom(shape=SHAPE, steps=3)
    z = normal(2)
    answer = denoiser(lambda z, tau: z * tau[:, None, None, None], zoom, TARGETS["clean"](zoom))(z, 3)
    assert torch.equal(answer, z)


# The exact denoiser of a few images


@given(st.integers(1, STEPS), st.integers(1, 6), st.integers(0, 1000))
def test_the_posterior_mean_is_bayes_rule(t: int, count: int, seed: int) -> None:
    points, z = 0.5 * normal(count, seed), normal(3, seed + 1)
    alpha_bar = MIXTURE.alpha_bar[t].item()
    flat, seen = points.flatten(1).double().numpy(), z.flatten(1).double().numpy()
    squares = ((seen[:, None] - math.sqrt(alpha_bar) * flat[None]) ** 2).sum(2)  # (3, count)
    likelihood = np.exp(-(squares - squares.min(1, keepdims=True)) / (2 * (1 - alpha_bar)))
    expected = (likelihood / likelihood.sum(1, keepdims=True)) @ flat
    answer = posterior_mean(points, MIXTURE.alpha_bar)(z, t)
    assert answer.dtype == z.dtype
    np.testing.assert_allclose(answer.flatten(1).numpy(), expected, rtol=0, atol=1e-6)


@given(st.integers(1, STEPS))
def test_the_posterior_mean_of_one_point_is_that_point(t: int) -> None:
    point = normal(1, 5)
    assert torch.equal(posterior_mean(point, MIXTURE.alpha_bar)(normal(3), t), point.expand(3, *SHAPE))
