"""What the trainings of all models have in common: calendar, learning rate, averaged weights, curve, and checkpoint.

Everything random is a function of the seed and the step, so a run that was killed goes on exactly as it would have.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from thaw.core.hardware import accelerator
from thaw.core.randomness import generator
from thaw.core.tensors import write_tensors
from thaw.errors import ThawError
from thaw.params import TrainBudget
from thaw.progress import Meter
from thaw.training.checkpoint import load_optimizer, pack, read_if_of, unpack

STATE = ("step", "best_images", "seconds", "curve", "kept")
"""What a checkpoint holds of a session beside tensors."""


@dataclass(frozen=True)
class Trained:
    """The outcome of one training: weights by point (`best` and the milestones), the loss curve, and its cost."""

    weights: dict[str, dict[str, Tensor]]
    curve: list[dict[str, Any]]
    best_images: int
    seconds: float


def learning_rate_factor(step: int, steps: int, budget: TrainBudget) -> float:
    """The share of the learning rate at a step: linear warm-up, then constant or a half cosine to its final share."""
    warmup = min(1.0, (step + 1) / max(1, budget.warmup_steps))
    if budget.learning_rate_schedule == "constant":
        return warmup
    done = step / max(1, steps - 1)
    return warmup * (budget.final_learning_rate + (1 - budget.final_learning_rate) * (1 + math.cos(math.pi * done)) / 2)


def batches(count: int, batch_size: int, seed: int, step: int) -> Iterator[Tensor]:
    """Index batches from `step` on: consecutive slices of one seeded permutation of 0..count-1 per epoch.

    A batch that crosses the end of an epoch takes the rest from the next one, so every image is seen equally often.
    """
    epoch = -1
    order = torch.empty(0, dtype=torch.int64)
    while True:
        positions = torch.arange(step * batch_size, (step + 1) * batch_size)
        if epoch != (now := int(positions[0]) // count):
            epoch, order = now, _order(count, seed, now)
        batch = order[positions[positions < (epoch + 1) * count] - epoch * count]
        while len(batch) < batch_size:
            epoch, order = epoch + 1, _order(count, seed, epoch + 1)
            batch = torch.cat([batch, order[: batch_size - len(batch)]])
        yield batch
        step += 1


def _order(count: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(count, generator=generator("order", seed, epoch))


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """The network with its weights averaged over the steps k, with decay min(decay, (1+k)/(10+k))."""

    # All weights at once: a GPU is then asked for the count, and waited for, once in a step and not for each of them.
    def average(means: Any, new: Any, count: Tensor | int) -> None:
        k = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + k) / (10 + k)))(means, new, count)

    return AveragedModel(network, multi_avg_fn=average).eval()


class Session:
    """One training, from its first step or that of its checkpoint to the last.

    A loop calls `begin` with what it trains, takes each of the `batches`, calls `advance` when it has made the step of
    a batch, and `record` where a step is `due`. Until then `total` sums the losses of the steps, `interval` in number.
    `kept` is whatever else, of plain values, the checkpoint should bring back.
    """

    def __init__(
        self, budget: TrainBudget, *, ema_decay: float, seed: int, checkpoint: Path, fingerprint: str, label: str
    ) -> None:
        self.budget, self.ema_decay, self.seed = budget, ema_decay, seed
        self.checkpoint, self.fingerprint, self.label = checkpoint, fingerprint, label
        self.accelerate = accelerator()
        self.device = self.accelerate.device

        # The calendar: the number of steps, those after which the curve has a point, and that of each milestone.
        self.steps = math.ceil(budget.images / budget.batch_size)
        self.stops = {math.ceil(self.steps * (k + 1) / budget.validations) for k in range(budget.validations)}
        self.milestones = {f"{fraction:g}": math.ceil(self.steps * fraction) for fraction in budget.milestones}

        self.step, self.interval, self.best_images = 0, 0, 0
        self.total = torch.zeros(1, device=self.device)
        self.seconds = 0.0
        self.curve: list[dict[str, Any]] = []
        self.weights: dict[str, dict[str, Tensor]] = {}
        self.kept: dict[str, Any] = {}

    @property
    def images(self) -> int:
        """The number of images seen."""
        return self.step * self.budget.batch_size

    @property
    def due(self) -> bool:
        """Whether the curve has a point after this step."""
        return self.step in self.stops

    def begin(self, network: nn.Module, **parts: nn.Module | Optimizer) -> None:
        """Average the weights of `network` from now on, and go on from the checkpoint where it is of this training.

        `parts` are the other networks, and the optimizers, whose state a checkpoint holds.
        """
        self.network, self.ema = network, averaged(network, self.ema_decay)
        self.parts = {"network": network, "ema": self.ema, **parts}
        if found := read_if_of(self.checkpoint, self.fingerprint):
            packed, header = found
            for name, part in self.parts.items():
                state = unpack(packed, name)
                load_optimizer(part, state) if isinstance(part, Optimizer) else part.load_state_dict(state)
            reached = {point: unpack(packed, point) for point in ("best", *self.milestones)}
            self.weights = {point: weights for point, weights in reached.items() if weights}
            vars(self).update({name: header[name] for name in STATE})

    def batches(self, count: int) -> Iterator[Tensor]:
        """The batches of all steps that are left: indices (B,) of `count` images. Each sets the learning rate."""
        budget, order = self.budget, batches(count, self.budget.batch_size, self.seed, self.step)
        optimizers = [part for part in self.parts.values() if isinstance(part, Optimizer)]
        self.began = time.monotonic()
        with Meter(self.label, self.steps * budget.batch_size, "images", self.images) as self.meter:
            while self.step < self.steps:
                for group in (group for optimizer in optimizers for group in optimizer.param_groups):
                    group["lr"] = budget.learning_rate * learning_rate_factor(self.step, self.steps, budget)
                yield next(order)

    def advance(self, *losses: Tensor) -> None:
        """End a step, which had these losses, each of shape (): average the weights, and keep them at a milestone."""
        self.ema.update_parameters(self.network)
        self.total = self.total + torch.stack(losses).detach()
        self.step, self.interval = self.step + 1, self.interval + 1
        self.meter.update(self.images)
        self.weights |= {point: self._averages() for point, step in self.milestones.items() if step == self.step}

    def record(self, *, best: bool, **values: float) -> None:
        """Give the curve a point, keep the averaged weights as the best where they are, and write the checkpoint.

        Raises ThawError where a value is no finite number, since the training has diverged then.
        """
        for name, value in values.items():
            if not math.isfinite(value):
                raise ThawError(
                    f"{self.label}: the {name.replace('_', ' ')} is {value} after {self.images} images, so this "
                    "training has diverged; lower learning_rate in params.yaml."
                )
        self.curve.append({"images": self.images, **values})
        if best:
            self.best_images, self.weights["best"] = self.images, self._averages()
        self.total, self.interval = torch.zeros(1, device=self.device), 0
        self.seconds, self.began = self.seconds + time.monotonic() - self.began, time.monotonic()
        header = {name: getattr(self, name) for name in ("fingerprint", *STATE)}
        write_tensors(self.checkpoint, pack(**self.parts, **self.weights), header)

    def outcome(self) -> Trained:
        """What the training came to."""
        weights = {point: self.weights[point] for point in ("best", *self.milestones)}
        return Trained(weights, self.curve, self.best_images, self.seconds)

    def _averages(self) -> dict[str, Tensor]:
        return {name: value.clone() for name, value in self.ema.module.state_dict().items()}
