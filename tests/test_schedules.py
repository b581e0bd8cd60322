import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thaw.diffusion.schedules import SCHEDULES, alpha_bars, betas
from thaw.errors import ThawError
from thaw.params import Choice

BETA = st.floats(1e-6, 0.3)
CHOICES = st.one_of(
    st.builds(
        lambda name, pair: Choice(name=name, beta_min=min(pair), beta_max=max(pair)),
        st.sampled_from(["linear", "inverse_linear"]),
        st.tuples(BETA, BETA),
    ),
    st.builds(lambda beta: Choice(name="constant", beta=beta), BETA),
    st.builds(lambda s, top: Choice(name="cosine", s=s, beta_max=top), st.floats(0, 0.1), st.floats(0.01, 0.999)),
)


def schedule(name: str, steps: int, **options: float) -> Tensor:
    return betas(Choice(name=name, **options), steps)


@given(CHOICES, st.integers(1, 1000))
def test_alpha_bar_falls_from_exactly_one(choice: Choice, steps: int) -> None:
    beta = betas(choice, steps)
    alpha_bar = alpha_bars(beta)
    assert beta.dtype == alpha_bar.dtype == torch.float64
    assert beta.shape == (steps,)
    assert alpha_bar.shape == (steps + 1,)
    assert alpha_bar[0].item() == 1.0
    assert (alpha_bar > 0).all()
    assert (alpha_bar[1:] < alpha_bar[:-1]).all()


@given(CHOICES, st.integers(1, 300))
def test_alpha_bar_is_the_product_of_one_minus_beta(choice: Choice, steps: int) -> None:
    beta = betas(choice, steps)
    expected = [float(np.prod(1 - beta.numpy()[:t])) for t in range(steps + 1)]
    np.testing.assert_allclose(alpha_bars(beta).numpy(), expected, rtol=1e-12)


@given(st.tuples(BETA, BETA), st.integers(1, 1000))
def test_inverse_linear_is_linear_reversed(pair: tuple[float, float], steps: int) -> None:
    low, high = sorted(pair)
    forward = schedule("linear", steps, beta_min=low, beta_max=high)
    backward = schedule("inverse_linear", steps, beta_min=low, beta_max=high)
    if steps > 1:  # a schedule of one step has only the end it starts from
        torch.testing.assert_close(backward, forward.flip(0), rtol=1e-12, atol=0)
    else:
        assert (forward.item(), backward.item()) == (low, high)


@given(st.tuples(BETA, BETA), st.integers(2, 1000), st.data())
def test_linear_follows_its_formula(pair: tuple[float, float], steps: int, data: st.DataObject) -> None:
    low, high = sorted(pair)
    t = data.draw(st.integers(1, steps))
    expected = low + (high - low) * (t - 1) / (steps - 1)
    assert schedule("linear", steps, beta_min=low, beta_max=high)[t - 1].item() == pytest.approx(expected, rel=1e-12)


@given(BETA, st.integers(1, 500))
def test_a_constant_beta_makes_alpha_bar_a_power(beta: float, steps: int) -> None:
    alpha_bar = alpha_bars(schedule("constant", steps, beta=beta))
    np.testing.assert_allclose(alpha_bar.numpy(), (1 - beta) ** np.arange(steps + 1), rtol=1e-11)


@given(st.floats(0.001, 0.1), st.integers(2, 1000))
def test_cosine_follows_the_squared_cosine_until_it_is_clipped(s: float, steps: int) -> None:
    beta = schedule("cosine", steps, s=s, beta_max=0.9)
    f = np.cos((np.arange(steps + 1) / steps + s) / (1 + s) * np.pi / 2) ** 2
    clipped = beta.numpy() >= 0.9
    free = steps - int(clipped.sum())
    assert not clipped[:free].any(), "beta grows, so only its end is clipped"
    np.testing.assert_allclose(alpha_bars(beta).numpy()[: free + 1], (f / f[0])[: free + 1], rtol=1e-9)


@pytest.mark.parametrize("steps", [10, 100, 1000])
def test_linear_agrees_with_diffusers(steps: int) -> None:
    reference = DDPMScheduler(steps, beta_start=1e-4, beta_end=0.02, beta_schedule="linear")
    ours = schedule("linear", steps, beta_min=1e-4, beta_max=0.02)
    torch.testing.assert_close(ours.float(), reference.betas, rtol=1e-6, atol=1e-9)
    # diffusers multiplies in float32
    torch.testing.assert_close(alpha_bars(ours)[1:].float(), reference.alphas_cumprod, rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("steps", "clip", "atol"),
    [(10, {}, 1e-9), (100, {}, 1e-9), (1000, {}, 1e-9), (1000, {"beta_max": 0.1}, 0), (1000, {"beta_max": 0.02}, 0)],
)
def test_cosine_agrees_with_diffusers_by_default_and_with_the_clips_of_the_seeds(
    steps: int, clip: dict[str, float], atol: float
) -> None:
    free = DDPMScheduler(steps, beta_schedule="squaredcos_cap_v2")
    reference = DDPMScheduler(steps, trained_betas=free.betas.clamp(max=clip.get("beta_max")).numpy()) if clip else free
    ours = schedule("cosine", steps, **clip)
    torch.testing.assert_close(ours.float(), reference.betas, rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(alpha_bars(ours)[1:].float(), reference.alphas_cumprod, rtol=1e-3, atol=atol)


def test_the_defaults_of_cosine_are_those_of_the_paper() -> None:
    torch.testing.assert_close(schedule("cosine", 50), schedule("cosine", 50, s=0.008, beta_max=0.999))


def test_an_unknown_schedule_is_named_with_its_nearest() -> None:
    with pytest.raises(ThawError) as caught:
        betas(Choice(name="cosin"), 10, "variants.a.train.degradation.schedule")
    assert str(caught.value) == (
        "params.yaml: variants.a.train.degradation.schedule.name is 'cosin', which is no schedule of thaw "
        f"(did you mean cosine?); there are {', '.join(SCHEDULES)}."
    )
