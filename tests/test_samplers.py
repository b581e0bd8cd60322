import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from diffusers.schedulers import scheduling_ddim, scheduling_ddpm
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import noise, pictures, stream
from torch import Tensor

from thaw.choices import find, names
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.degradations.zoom import Zoom
from thaw.diffusion.degradation import Degradation, Latent
from thaw.diffusion.denoising import Denoise, denoiser, posterior_mean, subsequence
from thaw.diffusion.objectives import TARGETS
from thaw.params import Choice

PREDICTED = [name for name in TARGETS if name != "adversarial"]  # which has no right answer

T = 40
SHAPE = (1, 4, 4)
MIXTURE = noise(SHAPE, T, 1e-3, 0.2)
ZOOM = Zoom(shape=(1, 8, 8), steps=6)
PREDICTION = {"noise": "epsilon", "clean": "sample", "velocity": "v_prediction"}
FULL = list(range(T, -1, -1))
SPARSE = [40, 33, 20, 11, 4, 1, 0]
STARTS_LOW_ENDS_HIGH = [30, 17, 9, 0]
SAMPLERS = names("sampler")

Trajectory = list[Tensor]


def normal(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(count, *SHAPE, generator=stream(seed), dtype=dtype)


def network(z: Tensor, tau: Tensor) -> Tensor:
    """Stands for a trained network: smooth, bounded, dependent on the step, and no constant."""
    return 0.8 * torch.sin(2 * z + 5 * tau[:, None, None, None])


def read(target: str, answer: Tensor, z: Tensor, t: int) -> Tensor:
    """The image in an answer, in the precision of z."""
    alpha_bar = MIXTURE.alpha_bar[t].item()
    a, b = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    return {"noise": (z - b * answer) / a, "clean": answer, "velocity": a * z - b * answer}[target]


def answering(target: str) -> Denoise:
    """The denoiser that `network` is, in the precision of z."""
    return lambda z, t: read(target, network(z, torch.full((len(z),), t / T, dtype=z.dtype)), z, t)


def bounded(z: Tensor, t: int) -> Tensor:
    """Stands for a denoiser: smooth, bounded, and here and there outside the range, where a clamp counts."""
    return 0.7 * torch.tanh(z + t / T)


def no_noise(z: Tensor) -> Tensor:
    raise AssertionError("this sampler draws no noise")


def run(
    sampler: str, denoise: Denoise, latent: Latent, steps: Sequence[int], degradation: Degradation = MIXTURE,
    noises: Iterator[Tensor] | None = None, **options: Any,
) -> Trajectory:  # fmt: skip
    """z at every step, and at the end what the sampler returns."""
    seen: Trajectory = []
    end = find("sampler", sampler, "sampler")(
        denoise, latent, steps, degradation=degradation,
        noise=no_noise if noises is None else lambda z: next(noises),
        callback=lambda t, z, clean: seen.append(z.clone()), half_range=0.5, **options,
    )  # fmt: skip
    return [*seen, end]


def exact_scheduler(scheduler: Any) -> Any:
    """A scheduler of diffusers with alpha_bar in float64, where diffusers has float32."""
    scheduler.alphas_cumprod = MIXTURE.alpha_bar[1:].clone()
    return scheduler


def theirs(
    scheduler: Any, target: str, z: Tensor, steps: Sequence[int], given: Callable[[int], dict[str, Any]] = lambda t: {}
) -> Trajectory:
    trajectory = [z]
    for t in steps[:-1]:
        answer = network(z, torch.full((len(z),), t / T, dtype=z.dtype))
        z = scheduler.step(answer, t - 1, z, **given(t)).prev_sample
        trajectory.append(z)
    return trajectory


def assert_same(ours: Trajectory, reference: Trajectory, atol: float) -> None:
    assert len(ours) == len(reference)
    for ours_here, reference_here in zip(ours, reference, strict=True):
        torch.testing.assert_close(ours_here, reference_here, rtol=0, atol=atol)


def betas() -> list[float]:
    return (1 - MIXTURE.alpha_bar[1:] / MIXTURE.alpha_bar[:-1]).tolist()


# Against diffusers


def ddpm(target: str, variance: str, clamp: bool, steps: Sequence[int]) -> Any:
    scheduler = scheduling_ddpm.DDPMScheduler(
        T, trained_betas=betas(), prediction_type=PREDICTION[target], clip_sample=clamp, clip_sample_range=0.5,
        variance_type={"lower": "fixed_small", "upper": "fixed_large"}[variance],
    )  # fmt: skip
    scheduler.set_timesteps(timesteps=[t - 1 for t in steps[:-1]])
    return scheduler


@pytest.mark.parametrize("steps", [FULL, SPARSE, STARTS_LOW_ENDS_HIGH], ids=["full", "sparse", "ends-high"])
@pytest.mark.parametrize("clamp", [True, False], ids=["clamp", "free"])
@pytest.mark.parametrize("variance", ["lower", "upper"])
@pytest.mark.parametrize("target", PREDICTED)
def test_ancestral_agrees_with_diffusers_in_float64(
    target: str, variance: str, clamp: bool, steps: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    z = normal(3, dtype=torch.float64)
    noises = [normal(3, 1 + i, torch.float64) for i in range(len(steps) - 2)]
    # diffusers adds noise in its last step too where that is not from its timestep 0; ours adds none on the way to x.
    injected = iter([*noises, torch.zeros_like(z)])
    monkeypatch.setattr(scheduling_ddpm, "randn_tensor", lambda *args, **kwargs: next(injected))

    reference = theirs(exact_scheduler(ddpm(target, variance, clamp, steps)), target, z, steps)
    ours = run(
        "ancestral", answering(target), Latent(z, None), steps, noises=iter(noises), variance=variance, clamp=clamp
    )
    assert_same(ours, reference, 1e-10)


@pytest.mark.parametrize("variance", ["lower", "upper"])
@pytest.mark.parametrize("target", PREDICTED)
def test_ancestral_with_our_denoiser_agrees_with_diffusers_as_it_is(target: str, variance: str) -> None:
    z, generator = normal(3), stream(1)
    reference = theirs(ddpm(target, variance, True, SPARSE), target, z, SPARSE, lambda t: {"generator": generator})
    again = stream(1)
    ours = run(
        "ancestral", denoiser(network, MIXTURE, TARGETS[target](MIXTURE)), Latent(z, None), SPARSE,
        noises=iter(lambda: torch.randn(z.shape, generator=again), None), variance=variance, clamp=True,
    )  # fmt: skip
    assert_same(ours, reference, 2e-5)


def ddim(target: str, clamp: bool, count: int) -> Any:
    scheduler = scheduling_ddim.DDIMScheduler(
        T, trained_betas=betas(), prediction_type=PREDICTION[target], clip_sample=clamp, clip_sample_range=0.5,
        set_alpha_to_one=True, steps_offset=T // count - 1,
    )  # fmt: skip
    scheduler.set_timesteps(count)
    return scheduler


@pytest.mark.parametrize("count", [T, 8])
@pytest.mark.parametrize("clamp", [True, False], ids=["clamp", "free"])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("target", PREDICTED)
def test_ddim_agrees_with_diffusers_in_float64(target: str, eta: float, clamp: bool, count: int) -> None:
    steps = subsequence(T, count)
    scheduler = exact_scheduler(ddim(target, clamp, count))
    assert [t - 1 for t in steps[:-1]] == scheduler.timesteps.tolist()
    z = normal(3, dtype=torch.float64)
    noises = {t: normal(3, t, torch.float64) for t in steps}
    reference = theirs(
        scheduler, target, z, steps,
        lambda t: {"eta": eta, "use_clipped_model_output": clamp, "variance_noise": noises[t]},
    )  # fmt: skip
    drawn = iter(noises.values()) if eta else None
    ours = run("ddim", answering(target), Latent(z, None), steps, noises=drawn, eta=eta, clamp=clamp)
    assert_same(ours, reference, 1e-5)  # our source is solved for with float32 coefficients


@pytest.mark.parametrize("target", PREDICTED)
def test_ddim_with_our_denoiser_agrees_with_diffusers_as_it_is(target: str) -> None:
    z, steps = normal(3), subsequence(T, 8)
    reference = theirs(ddim(target, True, 8), target, z, steps, lambda t: {"use_clipped_model_output": True})
    ours = run("ddim", denoiser(network, MIXTURE, TARGETS[target](MIXTURE)), Latent(z, None), steps)
    assert_same(ours, reference, 2e-5)


# Identities between samplers


@given(st.integers(2, T), st.integers(0, 1000))
def test_ancestral_upper_has_the_mean_of_the_seeds(t: int, seed: int) -> None:
    z, epsilon = normal(2, seed, torch.float64), normal(2, seed + 1, torch.float64)
    zero = iter(lambda: torch.zeros_like(z), None)
    step = run(
        "ancestral", lambda z, t: read("noise", epsilon, z, t), Latent(z, None), [t, t - 1, 0],
        noises=zero, variance="upper", clamp=False,
    )[1]  # fmt: skip
    beta = betas()[t - 1]
    mean = (z - beta / math.sqrt(1 - MIXTURE.alpha_bar[t].item()) * epsilon) / math.sqrt(1 - beta)
    torch.testing.assert_close(step, mean, rtol=1e-10, atol=1e-10)


chains = st.sets(st.integers(1, T), min_size=1, max_size=8).map(lambda chosen: [*sorted(chosen, reverse=True), 0])


@given(chains, st.booleans())
def test_ddim_with_all_of_the_noise_is_ancestral_with_the_lower_variance(steps: list[int], clamp: bool) -> None:
    z = normal(2, dtype=torch.float64)
    noises = [normal(2, 1 + t, torch.float64) for t in steps]
    ours = run("ddim", bounded, Latent(z, None), steps, noises=iter(noises), eta=1.0, clamp=clamp)
    other = run("ancestral", bounded, Latent(z, None), steps, noises=iter(noises), variance="lower", clamp=clamp)
    assert_same(ours, other, 1e-5)


@given(chains, st.integers(0, 1000), st.sampled_from(sorted(PREDICTED)))
def test_with_an_estimated_source_naive_improved_and_ddim_are_one_update(
    steps: list[int], seed: int, target: str
) -> None:
    z = normal(2, seed)
    denoise = denoiser(network, MIXTURE, TARGETS[target](MIXTURE))
    naive, improved, ddim_ = (
        run(sampler, denoise, Latent(z, normal(2, seed + 1)), steps, **options)
        for sampler, options in (
            ("cold_naive", {"source": "estimated"}),
            ("cold_improved", {"source": "estimated"}),
            ("ddim", {"eta": 0.0, "clamp": False}),
        )
    )
    scale = max(float(z.abs().max()) for z in naive)
    assert_same(naive, ddim_, 1e-4 * scale)
    assert_same(improved, ddim_, 1e-4 * scale)


@pytest.mark.parametrize("sampler", ["cold_naive", "cold_improved"])
@given(steps=chains, seed=st.integers(0, 1000))
def test_a_perfect_denoiser_makes_the_held_and_the_estimated_source_agree(
    sampler: str, steps: list[int], seed: int
) -> None:
    x, source = 0.3 * normal(2, seed), normal(2, seed + 1)
    z = MIXTURE.degrade(x, torch.full((2,), steps[0]), source)
    held, estimated = (
        run(sampler, lambda z, t: x, Latent(z, source), steps, source=which) for which in ("held", "estimated")
    )
    assert_same(held, estimated, 1e-4)
    unknown = run(sampler, lambda z, t: x, Latent(z, None), steps, source="held")
    assert_same(unknown, estimated, 0)


def test_an_estimated_source_keeps_the_distribution_and_a_held_one_does_not() -> None:
    """Gaussian images and sources, for which the mean image given z is a closed form (Liu et al. 2023, theorem 3.3)."""
    deviation, steps = 0.3, list(range(1000, -1, -1))
    mixture = noise(SHAPE, 1000, 1e-4, 0.02)

    def mean(z: Tensor, t: int) -> Tensor:
        a = mixture.alpha_bar[t].item()
        return math.sqrt(a) * deviation**2 / (a * deviation**2 + 1 - a) * z

    source = normal(2000)
    held, estimated = (
        run("cold_improved", mean, Latent(source, source), steps, mixture, source=which)[-1]
        for which in ("held", "estimated")
    )
    assert estimated.std().item() == pytest.approx(deviation, rel=0.02)
    assert held.std().item() < 0.9 * deviation


@pytest.mark.parametrize("degradation", names("degradation"))
@pytest.mark.parametrize("sampler", ["cold_naive", "cold_improved", "direct"])
@given(chosen=st.sets(st.integers(1, 6), min_size=1))
def test_cold_samplers_with_a_perfect_denoiser_return_the_image(
    sampler: str, degradation: str, chosen: set[int], degradation_called: Callable[..., Degradation]
) -> None:
    """And pass through its degradations on the way."""
    model = degradation_called(degradation)
    steps = [*sorted(chosen, reverse=True), 0]
    x, source = pictures(3), model.draw_source(3, stream(1), "test")
    chain = [model.degrade(x, torch.full((3,), t), source) for t in steps]
    trajectory = run(sampler, lambda z, t: x, Latent(chain[0], source), steps, model)
    assert torch.equal(trajectory[-1], x)
    assert_same(trajectory[:-1], chain[:1] if sampler == "direct" else chain[:-1], 1e-6)


def test_direct_denoises_once() -> None:
    asked = []

    def denoise(z: Tensor, t: int) -> Tensor:
        asked.append(t)
        return 2 * z + t

    z = normal(2)
    assert torch.equal(run("direct", denoise, Latent(z, z), SPARSE)[-1], 2 * z + 40)
    assert asked == [40]


@given(st.sets(st.integers(1, 6), min_size=1))
def test_the_cold_updates_are_those_of_the_paper(chosen: set[int]) -> None:
    steps = [*sorted(chosen, reverse=True), 0]

    def degrade(x: Tensor, t: int) -> Tensor:
        return ZOOM.degrade(x, torch.full((len(x),), t), None)

    start = pictures(2) + 0.5
    naive = run("cold_naive", bounded, Latent(start, None), steps, ZOOM)
    improved = run("cold_improved", bounded, Latent(start, None), steps, ZOOM)
    for k, (t, s) in enumerate(pairwise(steps)):
        assert torch.equal(naive[k + 1], degrade(bounded(naive[k], t), s))
        x = bounded(improved[k], t)
        torch.testing.assert_close(improved[k + 1], improved[k] - degrade(x, t) + degrade(x, s))


@given(st.floats(0.01, 2), st.sets(st.integers(1, 6), min_size=2))
def test_noise_at_each_step_is_fresh_and_seen_by_the_network_alone(level: float, chosen: set[int]) -> None:
    steps, seen = [*sorted(chosen, reverse=True), 0], []

    def denoise(z: Tensor, t: int) -> Tensor:
        seen.append(z)
        return torch.full_like(z, 0.25)

    start = torch.zeros(200, 1, 8, 8)
    draws = (torch.randn(start.shape, generator=stream(k)) for k in range(10))
    trajectory = run("cold_naive", denoise, Latent(start, None), steps, ZOOM, draws, step_noise=level)
    drawn = [z - known for z, known in zip(seen, trajectory, strict=False)]
    assert not torch.equal(drawn[0], drawn[1])
    for each in drawn:
        assert each.std().item() == pytest.approx(level, rel=0.05)
        assert abs(each.mean().item()) < 0.05 * level
    assert all((z == 0.25).all() for z in trajectory[1:])


# Any sequence of steps


@pytest.mark.parametrize("sampler", SAMPLERS)
@given(steps=chains)
def test_any_decreasing_steps_end_with_an_image(sampler: str, steps: list[int]) -> None:
    z = normal(2)
    noises = iter(lambda: normal(2, 7), None)
    denoise = denoiser(network, MIXTURE, TARGETS["velocity"](MIXTURE))
    trajectory = run(sampler, denoise, Latent(z, z), steps, noises=noises)
    assert torch.equal(trajectory[0], z)
    assert trajectory[-1].shape == z.shape
    assert trajectory[-1].isfinite().all()
    if sampler != "direct":
        assert len(trajectory) == len(steps)


@pytest.mark.parametrize("steps", [[], [0], [5], [5, 3], [5, 5, 0], [3, 5, 0], [5, 0, 0], [5, 0, -1]], ids=str)
@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name != "direct"])
def test_other_steps_are_refused(sampler: str, steps: list[int]) -> None:
    z = normal(1)
    with pytest.raises(ValueError, match="decrease and end with 0") as caught:
        run(sampler, lambda z, t: z, Latent(z, z), steps, noises=iter(lambda: z, None))
    assert str(steps) in str(caught.value)


# With the exact denoiser of a few images

# Stripes and chequers: each pair differs in half of its pixels, which is far in units of the noise of the last step.
ROW, COLUMN = (torch.arange(4) % 2).view(4, 1), (torch.arange(4) % 2).view(1, 4)
STRIPES = [ROW + 0 * COLUMN, 0 * ROW + COLUMN, (ROW + COLUMN) % 2, 0 * (ROW + COLUMN)]
POINTS = torch.stack(STRIPES).view(4, *SHAPE) - 0.5


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        ("ancestral", {"variance": "lower"}),
        ("ancestral", {"variance": "upper"}),
        ("ancestral", {"variance": "upper", "clamp": False}),
        ("ddim", {}),
        ("ddim", {"eta": 0.5}),
        ("ddim", {"eta": 1.0, "clamp": False}),
        ("cold_naive", {"source": "estimated"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("count", [200, 50])
@pytest.mark.parametrize(
    "schedule",
    [Choice(name="linear", beta_min=1e-4, beta_max=0.1), Choice(name="cosine", beta_max=0.1)],
    ids=lambda choice: choice.name,
)
def test_the_exact_denoiser_leads_to_the_points(
    sampler: str, options: dict[str, Any], count: int, schedule: Choice
) -> None:
    degradation = GaussianNoise(shape=SHAPE, steps=200, schedule=schedule)
    # In fewer steps "upper" leaves so much noise before the last that a sample can stand between two points.
    z, generator = normal(400, 1), stream(9)
    noises = iter(lambda: torch.randn(z.shape, generator=generator), None)
    denoise = posterior_mean(POINTS, degradation.alpha_bar)
    end = run(sampler, denoise, Latent(z, z), subsequence(200, count), degradation, noises, **options)[-1]
    distance, nearest = torch.cdist(end.flatten(1), POINTS.flatten(1)).min(1)
    assert distance.max() < 1e-3
    found = torch.bincount(nearest, minlength=4)
    assert found.min() >= 65, "each of four equally likely points is reached by 100 ± 9 of 400 samples"
