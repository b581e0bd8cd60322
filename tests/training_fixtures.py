"""Trainings of a few tiny images, in either loop."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from thaw.data import Dataset, Images
from thaw.degradations.erase import Erase
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.objectives import TARGETS, Weighting
from thaw.diffusion.preconditioning import Preconditioned
from thaw.networks.cnn import Cnn
from thaw.networks.dcgan import Dcgan
from thaw.params import Choice, TrainBudget
from thaw.training.adversarial import train_adversarial
from thaw.training.loop import train
from thaw.training.session import Session, Trained

SHAPE = (1, 8, 8)


class Small(nn.Module):
    """z and tau to one convolution of both."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        return self.convolution(torch.cat([z, tau[:, None, None, None].expand_as(z)], dim=1))


def small() -> nn.Module:
    torch.manual_seed(0)
    return Small()


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return Cnn(shape=SHAPE).to(memory_format=torch.channels_last)


def dcgan(augmentation: Any) -> Dcgan:
    torch.manual_seed(0)
    return Dcgan(shape=SHAPE, latent=8, width=8, augmentation=augmentation).to(memory_format=torch.channels_last)


def noise() -> GaussianNoise:
    schedule = Choice.model_validate({"name": "linear", "beta_min": 1e-3, "beta_max": 0.3})
    return GaussianNoise(shape=SHAPE, steps=20, schedule=schedule)


def inside() -> nn.Module:
    """The small network inside the best linear estimate of the noise."""
    return Preconditioned(small(), noise(), "noise")


def images(count: int, seed: int) -> Images:
    """Random black and white patterns."""
    stream = torch.Generator().manual_seed(seed)
    return Images(255 * torch.randint(2, (count, *SHAPE), generator=stream).to(torch.uint8), None)


def patterns() -> Dataset:
    return Dataset("patterns", images(50, 1), images(30, 2), images(10, 3), 0.5)


def budget(**changes: Any) -> TrainBudget:
    """Twenty steps, and a point of the curve after every fourth."""
    tiny = {
        "images": 160, "batch_size": 8, "optimizer": "adam", "learning_rate": 1e-2, "learning_rate_schedule": "cosine",
        "warmup_steps": 3, "final_learning_rate": 0.1, "seeds": [0], "milestones": [0.25, 1], "validations": 5,
        "validation_images": 30,
    }  # fmt: skip
    return TrainBudget.model_validate(tiny | changes)


@dataclass
class Case:
    """One training of a diffusion model, which `run` begins or goes on with."""

    checkpoint: Path
    network: Callable[[], nn.Module] = small
    degradation: Degradation = field(default_factory=noise)
    target: str = "noise"
    weighting: Weighting = "simple"
    dataset: Dataset = field(default_factory=patterns)
    budget: TrainBudget = field(default_factory=budget)
    ema_decay: float = 0.9
    seed: int = 0
    fingerprint: str = "ours"

    def run(self) -> Trained:
        session = Session(
            self.budget, ema_decay=self.ema_decay, seed=self.seed, checkpoint=self.checkpoint,
            fingerprint=self.fingerprint, label="test",
        )  # fmt: skip
        if self.target == "adversarial":
            return train_adversarial(session, self.network(), self.degradation, self.dataset)
        target = TARGETS[self.target](self.degradation)
        return train(session, self.network(), self.degradation, target, self.dataset, self.weighting)


def adversarial(checkpoint: Path, augmentation: str = "none", **changes: Any) -> Case:
    """One training of a GAN."""
    settings = {"budget": budget(learning_rate=1e-3)} | changes
    return Case(checkpoint, lambda: dcgan(augmentation), Erase(shape=SHAPE), "adversarial", **settings)


def assert_same(one: Trained, two: Trained) -> None:
    """Bit for bit: every weight at every point, and the curve with its columns in their order."""
    assert [list(row.items()) for row in one.curve] == [list(row.items()) for row in two.curve]
    assert one.best_images == two.best_images
    assert one.weights.keys() == two.weights.keys()
    for point, weights in one.weights.items():
        assert weights.keys() == two.weights[point].keys()
        assert all(torch.equal(weights[name], two.weights[point][name]) for name in weights), point


class Killed(BaseException):
    """Stands for the end of the process."""


def interrupt(patch: pytest.MonkeyPatch, owner: Any, name: str, calls: int) -> None:
    """Let a function work `calls` times and then end the process."""
    real, left = getattr(owner, name), iter(range(calls))

    def counted(*arguments: Any, **options: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return real(*arguments, **options)

    patch.setattr(owner, name, counted)


def autocast(precision: str) -> torch.autocast:
    """The precision, said without thaw."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
