import inspect
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from typing_extensions import get_protocol_members

from thaw import hardware
from thaw.data import Dataset, Images
from thaw.diffusion.degradations.erase import Erase
from thaw.errors import ThawError
from thaw.networks.dcgan import Dcgan
from thaw.params import TrainBudget
from thaw.randomness import generator
from thaw.training import adversarial, augmentation
from thaw.training.adversarial import Generator, discriminator_loss, generator_loss, train_adversarial
from thaw.training.augmentation import ADAPTATION, FIXED, augment
from thaw.training.checkpoint import read_tensors
from thaw.training.loop import Trained, batches, learning_rate_factor

SHAPE = (1, 12, 12)
LOGITS = st.lists(st.floats(-30, 30), min_size=1, max_size=6).map(torch.tensor)


def dcgan(mode: Any) -> Dcgan:
    torch.manual_seed(0)
    return Dcgan(shape=SHAPE, latent=8, width=8, augmentation=mode).to(memory_format=torch.channels_last)


def images(count: int, seed: int) -> Images:
    """Random black and white patterns."""
    stream = torch.Generator().manual_seed(seed)
    return Images(255 * torch.randint(2, (count, *SHAPE), generator=stream).to(torch.uint8), None)


def budget(**changes: Any) -> TrainBudget:
    """Twenty steps, with a stop after every fourth."""
    tiny = {
        "images": 160,
        "batch_size": 8,
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "learning_rate_schedule": "cosine",
        "warmup_steps": 3,
        "final_learning_rate": 0.1,
        "seeds": [0],
        "milestones": [0.25, 1],
        "validations": 5,
        "validation_images": 30,
    }
    return TrainBudget.model_validate(tiny | changes)


@dataclass
class Case:
    """One training, which `run` begins or goes on with."""

    checkpoint: Path
    augmentation: str = "none"
    dataset: Dataset = field(
        default_factory=lambda: Dataset("patterns", images(50, 1), images(30, 2), images(10, 3), 0.5)
    )
    budget: TrainBudget = field(default_factory=budget)
    ema_decay: float = 0.9
    seed: int = 0
    fingerprint: str = "ours"

    def run(self) -> Trained:
        return train_adversarial(
            dcgan(self.augmentation), Erase(shape=SHAPE), self.dataset, self.budget,
            ema_decay=self.ema_decay, seed=self.seed, checkpoint=self.checkpoint, fingerprint=self.fingerprint,
            label="test",
        )  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def exact() -> Iterator[None]:
    """Train in float32 on the processor, whatever this machine has, and forget it afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "1")
        patch.setattr(hardware, "bf16_is_fast", lambda _: False)
        AcceleratorState._reset_state(reset_partial_state=True)
        yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "checkpoints" / "seed-0")


def assert_same(one: Trained, two: Trained) -> None:
    """Bit for bit: every weight at every point, and the curve."""
    assert one.curve == two.curve
    assert one.best_images == two.best_images
    assert one.weights.keys() == two.weights.keys()
    for point, weights in one.weights.items():
        assert weights.keys() == two.weights[point].keys()
        assert all(torch.equal(weights[name], two.weights[point][name]) for name in weights), point


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


def plain_loop(case: Case) -> tuple[list[dict[str, Tensor]], list[tuple[float, float]]]:
    """The same training written down once more: averaged weights, and both losses, after every step."""
    network, settings = dcgan(case.augmentation), case.budget
    critic = network.discriminator()
    p = {"none": 0.0, "fixed": FIXED}[case.augmentation]
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
        with torch.no_grad():
            made = network(z, torch.ones(len(z)))
        real, fake = critic(augment(torch.cat([x, made]), p, 0.5, stream)).chunk(2)
        against = -(F.logsigmoid(real) + F.logsigmoid(-fake)).mean()
        d.zero_grad()
        against.backward()
        d.step()
        pro = -F.logsigmoid(critic(augment(network(z, torch.ones(len(z))), p, 0.5, stream))).mean()
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
def test_training_is_the_plain_loop(case: Case, mode: str) -> None:
    case.augmentation = mode
    trained, (weights, errors) = case.run(), plain_loop(case)
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
    case.budget = budget(images=83, validations=3, milestones=[0.5, 1])  # 11 steps, the last one whole
    trained = case.run()
    assert [row["images"] for row in trained.curve] == [8 * 4, 8 * 8, 8 * 11]
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
    case.augmentation = "adaptive"
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
        adversarial, "generator_loss", lambda fake: real(fake) * (1 if next(left, None) is not None else math.nan)
    )
    with pytest.raises(ThawError) as caught:
        case.run()
    assert str(caught.value).startswith("test: the losses of generator and discriminator are nan and ")
    assert str(caught.value).endswith(
        "after 64 images, so this training has diverged; lower learning_rate in params.yaml."
    )
    assert read_tensors(case.checkpoint)[1]["step"] == 4


# Interruptions


class Killed(BaseException):
    """Stands for the end of the process."""


def kill_after(patch: pytest.MonkeyPatch, name: str, calls: int) -> None:
    """Let a function of the module work `calls` times and then end the process."""
    real, left = getattr(adversarial, name), iter(range(calls))

    def counted(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return real(*arguments)

    patch.setattr(adversarial, name, counted)


@pytest.mark.parametrize("mode", ["none", "fixed", "adaptive"])
@pytest.mark.parametrize(
    ("name", "calls", "written"),
    [("generator_loss", 3, 0), ("generator_loss", 10, 2), ("discriminator_loss", 12, 3), ("write_tensors", 2, 2)],
    ids=["before any stop", "past a milestone", "at a stop", "before writing"],
)
def test_an_interrupted_training_ends_bit_for_bit_like_any_other(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, name: str, calls: int, written: int
) -> None:
    monkeypatch.setattr(augmentation, "TARGET", -1.1)  # so that an adaptive probability rises
    monkeypatch.setattr(augmentation, "INTERVAL", 3)  # so that stops fall between its changes
    case.augmentation = mode
    uninterrupted = replace(case, checkpoint=tmp_path / "other").run()
    with pytest.MonkeyPatch.context() as patch:
        kill_after(patch, name, calls)
        with pytest.raises(Killed):
            case.run()
    assert case.checkpoint.exists() == (written > 0)
    assert_same(case.run(), uninterrupted)


def test_a_finished_training_is_not_repeated(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = case.run()
    kill_after(monkeypatch, "generator_loss", 0)
    again = case.run()
    assert_same(again, trained)
    assert again.seconds == trained.seconds


def test_a_checkpoint_of_another_training_is_left_alone(case: Case, tmp_path: Path) -> None:
    replace(case, seed=1, fingerprint="theirs").run()
    assert_same(case.run(), replace(case, checkpoint=tmp_path / "fresh").run())
