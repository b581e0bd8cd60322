import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from image_fixtures import pictures
from torch import Tensor

from thaw.choices import find
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.degradations.zoom import Zoom
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.denoising import subsequence
from thaw.diffusion.objectives import TARGETS
from thaw.model import BLOCK, Model
from thaw.networks.cnn import Cnn
from thaw.params import Choice
from thaw.variant import Sampling

SHAPE = (1, 8, 8)
T = 12


def model_of(degradation: Degradation, target: str, sampler: str, latent: str, **options: Any) -> Model:
    torch.manual_seed(0)
    sampling = Sampling(find("sampler", sampler, "sampler"), options, latent, {})
    return Model(Cnn(shape=SHAPE), degradation, TARGETS[target](degradation), sampling, 0.5, 4, lambda: pictures(20))


@pytest.fixture(scope="module")
def ddpm() -> Model:
    noise = GaussianNoise(shape=SHAPE, steps=T, schedule=Choice(name="linear", beta_min=1e-3, beta_max=0.4))
    return model_of(noise, "noise", "ancestral", "normal")


@pytest.fixture(scope="module")
def cold() -> Model:
    return model_of(Zoom(shape=SHAPE, steps=6), "clean", "cold_naive", "pixels")


@pytest.fixture(params=["ddpm", "cold"])
def model(request: pytest.FixtureRequest) -> Model:
    found: Model = request.getfixturevalue(request.param)
    return found


# Sampling


@pytest.mark.parametrize("count", [1, 10, BLOCK, BLOCK + 5])
def test_the_first_samples_are_the_same_for_every_count(model: Model, count: int) -> None:
    many = model.sample(2 * BLOCK + 1, seed=3)
    few = model.sample(count, seed=3)
    assert few.shape == (count, *SHAPE)
    assert few.dtype == torch.float32
    # The noise is the same to the bit; another number of images may take another kernel, which sums in another order.
    torch.testing.assert_close(few, many[:count], rtol=1e-4, atol=1e-5)


def test_the_first_latents_are_bit_for_bit_the_same_for_every_count_and_blocks_differ(model: Model) -> None:
    many, few = model.draw_latents(2 * BLOCK + 1, seed=3), model.draw_latents(7, seed=3)
    assert torch.equal(few.z, many.z[:7])
    assert (few.source is None) == (many.source is None)
    assert few.source is None or torch.equal(few.source, many.source[:7])
    assert not torch.equal(many.z[:BLOCK], many.z[BLOCK : 2 * BLOCK])


def test_a_seed_decides_the_samples_and_torch_s_own_generator_does_not(model: Model) -> None:
    torch.manual_seed(1)
    first = model.sample(6, seed=5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(model.sample(6, seed=5), first)
    assert torch.equal(torch.get_rng_state(), state), "sampling leaves torch's own generator alone"
    assert not torch.equal(model.sample(6, seed=6), first)


def watched(ddpm: Model) -> tuple[Model, list[Tensor]]:
    """A model that notes what its sampler is given: for each call the latent, and noise drawn twice."""
    drawn: list[Tensor] = []

    def sampler(denoise: Any, latent: Any, steps: Any, *, noise: Any, **rest: Any) -> Tensor:
        drawn.extend([latent.z, noise(latent.z), noise(latent.z)])
        return torch.zeros_like(latent.z)

    sampling = Sampling(sampler, {}, "normal", {})
    return Model(ddpm.network, ddpm.degradation, ddpm.target, sampling, 0.5, 4, ddpm.images), drawn


def test_latent_and_noise_are_new_numbers_at_every_step_and_in_every_block(ddpm: Model) -> None:
    model, drawn = watched(ddpm)
    model.sample(2 * BLOCK)
    assert [len(numbers) for numbers in drawn] == 6 * [BLOCK]
    assert len(torch.cat(drawn).unique()) > 0.99 * 6 * drawn[0].numel()


@pytest.mark.parametrize(("device", "size", "at_once"), [("cpu", 8, 1), ("meta", 28, 4), ("meta", 64, 1)])
def test_a_gpu_samples_as_many_blocks_at_once_as_keep_it_busy(device: str, size: int, at_once: int) -> None:
    zoom = Zoom(shape=(1, size, size), steps=4)
    sampling = Sampling(find("sampler", "cold_naive", "sampler"), {}, "pixels", {})
    network = Cnn(shape=(1, size, size))
    model = Model(network, zoom, TARGETS["clean"](zoom), sampling, 0.5, 4, lambda: pictures(20), device)
    assert model.at_once == at_once * BLOCK


def test_blocks_that_are_sampled_at_once_have_the_latents_and_the_noise_that_they_have_alone(ddpm: Model) -> None:
    model, drawn = watched(ddpm)
    count = 3 * BLOCK + 5
    done: list[int] = []
    model.sample(count, progress=done.append)
    assert done == [BLOCK, 2 * BLOCK, 3 * BLOCK, count]
    alone = [torch.cat(drawn[k::3]) for k in range(3)]
    drawn.clear()
    model.at_once = 2 * BLOCK
    model.sample(count, progress=done.append)
    assert done[4:] == [2 * BLOCK, count]
    assert all(torch.equal(torch.cat(drawn[k::3]), alone[k]) for k in range(3))


def test_blocks_that_are_sampled_at_once_are_the_images_that_they_are_alone(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 2 * BLOCK + 5
    x, t = pictures(count), model.degradation.steps

    def images() -> list[Tensor]:
        return [model.sample(count), model.reconstruct(x, t), model.reconstruct_directly(x, t)]

    alone = images()
    monkeypatch.setattr(model, "at_once", 3 * BLOCK)
    torch.testing.assert_close(images(), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("asked", "taken"), [(None, 4), (2, 2), (1, 1), (1000, 1000)])
def test_samples_take_at_most_the_steps_of_the_budget(model: Model, asked: int | None, taken: int) -> None:
    seen: list[int] = []
    model.sample(2, steps=asked, callback=lambda t, z, x: seen.append(t))
    assert seen == subsequence(model.degradation.steps, taken)[:-1]


def test_ancestral_samples_with_the_clamp_stay_in_the_range(ddpm: Model) -> None:
    assert ddpm.sample(8).abs().max() <= 0.5 + 1e-6


# Degrading and restoring


def test_nothing_is_degraded_at_step_zero(model: Model) -> None:
    x = pictures(3)
    assert torch.equal(model.degrade(x, 0), x)


def test_degrading_is_that_of_the_degradation(ddpm: Model, cold: Model) -> None:
    x = pictures(3)
    zoomed = cold.degradation.degrade(x, torch.full((3,), 4), None)
    assert torch.equal(cold.degrade(x, 4), zoomed)
    z = ddpm.degrade(x, T)
    source = ddpm.degradation.solve_source(z, x, torch.full((3,), T))  # type: ignore[attr-defined]
    assert abs(source.std().item() - 1) < 0.2
    assert torch.equal(ddpm.degrade(x, T), z)
    assert not torch.equal(ddpm.degrade(x, T, seed=1), z)


def test_the_first_degraded_images_are_the_same_for_every_count(model: Model) -> None:
    x = pictures(BLOCK + 5)
    many = model.degrade(x, 3)
    assert torch.equal(model.degrade(x[:7], 3), many[:7])
    assert torch.equal(model.degrade(x[:BLOCK], 3), many[:BLOCK])


@pytest.mark.parametrize(
    ("call", "first", "beyond"),
    [
        *(("degrade", 0, t) for t in (-1, 1000)),
        *((call, 1, t) for call in ("restore", "reconstruct_directly") for t in (-1, 0, 1000)),
    ],
)
def test_steps_out_of_range_are_refused(model: Model, call: str, first: int, beyond: int) -> None:
    said = f"t is {beyond}, but this model has steps {first} to {model.degradation.steps}"
    with pytest.raises(ValueError, match=said):
        getattr(model, call)(pictures(2), beyond)


def test_every_step_of_the_range_is_restored(model: Model) -> None:
    for t in range(1, model.degradation.steps + 1):
        restored = model.restore(model.degrade(pictures(2), t), t)
        assert restored.shape == (2, *SHAPE)
        assert restored.isfinite().all()


def test_restoring_is_decided_by_its_seed(ddpm: Model) -> None:
    z = ddpm.degrade(pictures(4), T)
    first = ddpm.restore(z, T, seed=1)
    assert torch.equal(ddpm.restore(z, T, seed=1), first)
    assert not torch.equal(ddpm.restore(z, T, seed=2), first)


def visits(model: Model) -> tuple[Model, list[list[int]], list[Tensor]]:
    """The same model, which notes for each call of its sampler the steps, and every z on the way."""
    seen: list[list[int]] = []
    latents: list[Tensor] = []

    def watched(denoise: Any, latent: Any, steps: Any, **rest: Any) -> Tensor:
        seen.append(list(steps))
        return model.sampling.sampler(
            denoise, latent, steps, **rest | {"callback": lambda t, z, clean: latents.append(z)}
        )

    found = copy.copy(model)
    found.sampling = replace(model.sampling, sampler=watched)
    return found, seen, latents


@pytest.mark.parametrize(
    "expected", [[1, 0], [2, 0], [3, 0], [6, 3, 0], [9, 6, 3, 0], [12, 9, 6, 3, 0]], ids=lambda steps: f"t={steps[0]}"
)
def test_steps_are_as_long_from_every_t(ddpm: Model, expected: list[int]) -> None:
    """Of the four steps that sampling takes from T = 12 there are t/T, and one at least."""
    (model, seen, _), t = visits(ddpm), expected[0]
    model.restore(model.degrade(pictures(2), t), t)
    model.reconstruct(pictures(2), t)
    assert seen == [expected, expected]


@pytest.mark.parametrize(("steps", "expected"), [(1, [6, 0]), (2, [6, 3, 0]), (100, [6, 5, 4, 3, 2, 1, 0])])
def test_steps_that_are_asked_for_are_taken(ddpm: Model, steps: int, expected: list[int]) -> None:
    model, seen, _ = visits(ddpm)
    model.restore(model.degrade(pictures(2), 6), 6, steps=steps)
    assert seen == [expected]


def test_restoring_in_one_step_is_denoising(cold: Model) -> None:
    z = cold.degrade(pictures(4), 5)
    with torch.inference_mode():
        assert torch.equal(cold.restore(z, 5, steps=1), cold.denoise(z, 5))


def test_reconstructing_is_degrading_and_restoring_where_there_is_no_source(cold: Model) -> None:
    x = pictures(4)
    assert torch.equal(cold.reconstruct(x, 5, seed=2), cold.restore(cold.degrade(x, 5, seed=2), 5, seed=2))


def test_reconstructing_holds_the_source_of_the_degradation() -> None:
    noise = GaussianNoise(shape=SHAPE, steps=T, schedule=Choice(name="constant", beta=0.2))
    model, _, seen = visits(model_of(noise, "clean", "cold_naive", "normal", source="held"))
    x, answer = pictures(3), pictures(3, seed=1)
    model.denoise = lambda z, t: answer
    assert torch.equal(model.reconstruct(x, T), answer)
    source = noise.solve_source(seen[0], x, torch.full((3,), T))
    for t, z in zip(subsequence(T, 4)[1:-1], seen[1:], strict=True):
        torch.testing.assert_close(z, noise.degrade(answer, torch.full((3,), t), source), rtol=0, atol=1e-5)


def test_reconstructing_directly_is_one_answer_of_the_network(model: Model) -> None:
    x = pictures(4)
    for t in (1, 3, model.degradation.steps):
        with torch.inference_mode():
            expected = model.denoise(model.degrade(x, t, seed=2), t)
        found = model.reconstruct_directly(x, t, seed=2)
        assert torch.equal(found, expected)
        assert found.dtype == torch.float32
        assert not found.requires_grad


def test_the_first_direct_reconstructions_are_the_same_for_every_count(model: Model) -> None:
    x = pictures(BLOCK + 5)
    many, few = model.reconstruct_directly(x, 3), model.reconstruct_directly(x[:7], 3)
    assert many.shape == x.shape
    # Another number of images may take another kernel, which sums in another order.
    torch.testing.assert_close(few, many[:7], rtol=1e-4, atol=1e-5)


def test_reconstructing_directly_refuses_no_images(model: Model) -> None:
    with pytest.raises(ValueError, match="there are no images"):
        model.reconstruct_directly(pictures(0), 3)
