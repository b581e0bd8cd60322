import inspect
import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from training_fixtures import SHAPE, Case, adversarial, autocast, budget, dcgan
from typing_extensions import get_protocol_members

from thaw.core.randomness import generator
from thaw.core.tensors import read_tensors
from thaw.data import Images
from thaw.errors import ThawError
from thaw.training import adversarial as loop
from thaw.training import augmentation
from thaw.training.adversarial import Generator, discriminator_loss, generator_loss
from thaw.training.augmentation import ADAPTATION, FIXED, augment
from thaw.training.session import batches, learning_rate_factor

LOGITS = st.lists(st.floats(-30, 30), min_size=1, max_size=6).map(torch.tensor)


@pytest.fixture
def case(precision: str, tmp_path: Path) -> Case:
    return adversarial(tmp_path / "checkpoints" / "seed-0")


# Losses


@given(real=LOGITS, fake=LOGITS)
def test_the_losses_are_binary_cross_entropies(real: Tensor, fake: Tensor) -> None:
    cross_entropy = F.binary_cross_entropy_with_logits
    expected = cross_entropy(real, torch.ones_like(real)) + cross_entropy(fake, torch.zeros_like(fake))
    torch.testing.assert_close(discriminator_loss(real, fake), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(generator_loss(fake), cross_entropy(fake, torch.ones_like(fake)), rtol=1e-5, atol=1e-6)


def test_the_losses_of_a_discriminator_that_knows_nothing() -> None:
    nothing = torch.zeros(4)
    assert discriminator_loss(nothing, nothing).item() == pytest.approx(2 * math.log(2))
    assert generator_loss(nothing).item() == pytest.approx(math.log(2))


def test_the_generator_loss_does_not_saturate() -> None:
    rejected = torch.tensor([-20.0], requires_grad=True)
    generator_loss(rejected).backward()
    assert rejected.grad is not None
    assert rejected.grad.item() == pytest.approx(-1, abs=1e-6)


# The loop


def plain_loop(case: Case, mode: str, precision: str) -> tuple[list[dict[str, Tensor]], list[tuple[float, float]]]:
    """The same training written down once more: averaged weights, and both losses, after every step."""
    network, settings = dcgan(mode), case.budget
    critic = network.discriminator().to(memory_format=torch.channels_last)  # in another layout bf16 rounds otherwise
    p = {"none": 0.0, "fixed": FIXED}[mode]

    def compute(module: nn.Module, *inputs: Tensor) -> Tensor:
        with autocast(precision):
            output: Tensor = module(*inputs)
        return output.float()

    steps = math.ceil(settings.images / settings.batch_size)
    order = batches(len(case.dataset.train), settings.batch_size, case.seed, 0)
    g, d = (torch.optim.Adam(module.parameters(), betas=(0.5, 0.999)) for module in (network, critic))
    averaged: dict[str, Tensor] = {}
    weights, errors = [], []
    for step in range(steps):
        z = torch.randn(settings.batch_size, *SHAPE, generator=generator("step", case.seed, step))
        stream = generator("augmentation", case.seed, step, 0)
        x = case.dataset.train.pixels[next(order)].float() / 255 - 0.5
        for adam in (g, d):
            adam.param_groups[0]["lr"] = settings.learning_rate * learning_rate_factor(step, steps, settings)
        made = compute(network, z, torch.ones(len(z)))
        real, fake = compute(critic, augment(torch.cat([x, made.detach()]), p, 0.5, stream)).chunk(2)
        against = -(F.logsigmoid(real) + F.logsigmoid(-fake)).mean()
        d.zero_grad()
        against.backward()
        d.step()
        pro = -F.logsigmoid(compute(critic, augment(made, p, 0.5, stream))).mean()
        g.zero_grad()
        pro.backward()
        g.step()
        errors.append((pro.item(), against.item()))
        decay = 0 if step == 0 else min(case.ema_decay, (1 + step) / (10 + step))
        now = {name: value.detach().clone() for name, value in network.named_parameters()}
        averaged = {name: decay * averaged.get(name, value) + (1 - decay) * value for name, value in now.items()}
        weights.append(averaged)
    return weights, errors


@pytest.mark.parametrize("mode", ["none", "fixed"])
def test_training_is_the_plain_loop(case: Case, mode: str, precision: str) -> None:
    case.network = partial(dcgan, mode)
    trained, (weights, errors) = case.run(), plain_loop(case, mode, precision)
    assert trained.weights.keys() == {"best", "0.25", "1"}
    for point, step in (("0.25", 5), ("1", 20)):
        for name, value in weights[step - 1].items():
            torch.testing.assert_close(trained.weights[point][name], value, rtol=1e-3, atol=1e-4)
    for column, expected in zip(("generator_loss", "discriminator_loss"), zip(*errors, strict=True), strict=True):
        means = torch.tensor(expected).view(5, 4).mean(1).tolist()
        assert [row[column] for row in trained.curve] == pytest.approx(means, rel=1e-3)
    assert all(row["augmentation"] == (FIXED if mode == "fixed" else 0) for row in trained.curve)


def test_every_python_finds_what_makes_a_generator() -> None:
    # Since 3.12 `isinstance` does not ask a module's __getattr__ for the members of a protocol.
    for member in get_protocol_members(Generator):
        inspect.getattr_static(dcgan("none"), member)
    assert get_protocol_members(Generator) == {"augmentation", "discriminator"}


def test_the_best_weights_are_the_last(case: Case) -> None:
    case.budget = budget(images=83, milestones=[0.5, 1])  # 11 steps, the last one whole
    trained = case.run()
    assert trained.best_images == 8 * 11
    for name, value in trained.weights["best"].items():
        assert torch.equal(value, trained.weights["1"][name])
    assert not torch.equal(trained.weights["best"]["input.weight"], trained.weights["0.5"]["input.weight"])


def test_the_generator_takes_the_range_of_the_data(case: Case) -> None:
    case.dataset = replace(case.dataset, half_range=2.0)
    assert all(weights["half_range"].tolist() == [2.0] for weights in case.run().weights.values())


@pytest.mark.parametrize(("target", "change"), [(-1.1, 4 * 8 / ADAPTATION), (1.1, 0.0)])
def test_an_adaptive_probability_follows_the_discriminator(
    case: Case, monkeypatch: pytest.MonkeyPatch, target: float, change: float
) -> None:
    monkeypatch.setattr(augmentation, "TARGET", target)  # which every answer is above, or below
    case.network = partial(dcgan, "adaptive")
    assert [row["augmentation"] for row in case.run().curve] == pytest.approx([k * change for k in range(5)])


def test_a_generator_learns_the_grey_of_its_images(case: Case) -> None:
    grey = Images(torch.full((50, *SHAPE), 200, dtype=torch.uint8), None)
    case.dataset = replace(case.dataset, train=grey)
    case.budget = budget(images=1600, learning_rate=2e-3)
    network = dcgan("none")
    z, tau = torch.randn(100, *SHAPE, generator=torch.Generator().manual_seed(9)), torch.ones(100)
    before = network(z, tau)
    network.load_state_dict(case.run().weights["best"])
    wanted = 200 / 255 - 0.5
    assert (network(z, tau) - wanted).abs().mean() < 0.5 * (before - wanted).abs().mean()


def test_a_loss_that_is_no_number_ends_the_training_and_leaves_the_checkpoint(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = generator_loss, iter(range(6))
    monkeypatch.setattr(
        loop, "generator_loss", lambda fake: real(fake) * (1 if next(left, None) is not None else math.nan)
    )
    with pytest.raises(ThawError, match=r"^test: the generator loss is nan after 64 images.* learning_rate"):
        case.run()
    assert read_tensors(case.checkpoint)[1]["step"] == 4
