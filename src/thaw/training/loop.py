"""The training loop: readable from top to bottom, and resumable at every validation.

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
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from thaw.data import Dataset
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.objectives import Target, losses
from thaw.errors import ThawError
from thaw.hardware import accelerator, autocast
from thaw.params import TrainBudget
from thaw.progress import Meter
from thaw.randomness import generator
from thaw.training.checkpoint import load_optimizer, pack, read_if_of, unpack, write_tensors

VALIDATION_BATCH = 250
Weights = list[Tensor] | tuple[Tensor, ...]


@dataclass(frozen=True)
class Trained:
    """The outcome of one training: weights by point (`best` and the milestones), the loss curve, and its cost."""

    weights: dict[str, dict[str, Tensor]]
    curve: list[dict[str, float | int]]
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


def calendar(budget: TrainBudget) -> tuple[int, set[int], dict[str, int]]:
    """The number of steps, those after which the training is validated, and that of each milestone."""
    steps = math.ceil(budget.images / budget.batch_size)
    stops = {math.ceil(steps * (k + 1) / budget.validations) for k in range(budget.validations)}
    return steps, stops, {f"{fraction:g}": math.ceil(steps * fraction) for fraction in budget.milestones}


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """The network with its weights averaged over the steps k, with decay min(decay, (1+k)/(10+k))."""

    # All weights at once: a GPU is then asked for the count, and waited for, once in a step and not for each of them.
    def average(means: Weights, new: Weights, count: Tensor | int) -> None:
        k = int(count)
        get_ema_multi_avg_fn(min(decay, (1 + k) / (10 + k)))(means, new, count)

    return AveragedModel(network, multi_avg_fn=average).eval()


class Validation:
    """The validation loss on fixed images, steps and sources, the same for every seed of a variant."""

    def __init__(self, dataset: Dataset, degradation: Degradation, count: int) -> None:
        count = min(count, len(dataset.validation))
        self.degradation = degradation
        self.x = dataset.to_range(dataset.validation.pixels[:count])
        self.t = 1 + torch.arange(count) * degradation.steps // count  # spread evenly over 1..T
        self.t = self.t[torch.randperm(count, generator=generator("validation steps"))]
        self.source = degradation.draw_source(count, generator("validation source"), "train")

    @torch.inference_mode()
    def loss(self, network: nn.Module, target: Target, device: torch.device) -> float:
        """The mean loss of the network."""
        total = 0.0
        for first in range(0, len(self.x), VALIDATION_BATCH):
            part = slice(first, first + VALIDATION_BATCH)
            source = None if self.source is None else self.source[part].to(device)
            x, t = self.x[part].to(device), self.t[part].to(device)
            with autocast(device):
                total += losses(network, self.degradation, target, x, t, source).sum().item()
        return total / len(self.x)


def train(
    network: nn.Module,
    degradation: Degradation,
    target: Target,
    dataset: Dataset,
    budget: TrainBudget,
    *,
    ema_decay: float,
    seed: int,
    checkpoint: Path,
    fingerprint: str,
    label: str,
    step_weights: Tensor | None = None,
) -> Trained:
    """Train a network, going on from `checkpoint` where that is of the same training (`fingerprint`).

    The loss is the mean squared error of the network's answer for t drawn from 1..T, times `step_weights[t]` where
    those, of shape (T+1,), are given; the validation loss is without them. Weights are averages over the
    steps with decay min(ema_decay, (1+k)/(10+k)); the best are those of the lowest validation loss. Raises ThawError
    where the loss stops being a number.
    """
    accelerate = accelerator()
    device = accelerate.device
    bare = network.to(device)
    ema = averaged(bare, ema_decay)
    optimizer = torch.optim.Adam(bare.parameters(), budget.learning_rate)
    network, optimizer = accelerate.prepare(bare, optimizer)
    steps, stops, milestones = calendar(budget)
    validation = Validation(dataset, degradation, budget.validation_images)

    step, seconds, curve = 0, 0.0, list[dict[str, Any]]()
    best: dict[str, Tensor] = {}
    shown: dict[str, Tensor] = {}
    if found := read_if_of(checkpoint, fingerprint):
        packed, header = found
        bare.load_state_dict(unpack(packed, "network"))
        ema.load_state_dict(unpack(packed, "ema"))
        load_optimizer(optimizer.optimizer, unpack(packed, "optimizer"))
        best, shown = unpack(packed, "best"), unpack(packed, "shown")
        step, seconds, curve = header["step"], header["seconds"], header["curve"]

    began, running = time.monotonic(), torch.zeros((), device=device)
    since = step
    order = batches(len(dataset.train), budget.batch_size, seed, step)
    share = slice(accelerate.process_index, None, accelerate.num_processes)
    network.train()
    with Meter(label, steps * budget.batch_size, "images", step * budget.batch_size) as meter:
        while step < steps:
            for group in optimizer.param_groups:
                group["lr"] = budget.learning_rate * learning_rate_factor(step, steps, budget)
            index = next(order)
            stream = generator("step", seed, step)
            t = torch.randint(1, degradation.steps + 1, (len(index),), generator=stream)
            source = degradation.draw_source(len(index), stream, "train")
            x = dataset.to_range(dataset.train.pixels[index[share]].to(device))
            source = None if source is None else source[share].to(device)
            errors = losses(network, degradation, target, x, t[share].to(device), source)
            loss = (errors if step_weights is None else errors * step_weights[t[share]].to(errors)).mean()
            optimizer.zero_grad()
            accelerate.backward(loss)
            optimizer.step()
            ema.update_parameters(bare)
            running += loss.detach()
            step += 1
            meter.update(step * budget.batch_size)
            for point in (name for name, at in milestones.items() if at == step):
                shown |= {f"{point}.{name}": value.clone() for name, value in ema.module.state_dict().items()}
            if step in stops or step == steps:
                now = validation.loss(ema.module, target, device)
                if not math.isfinite(now):
                    raise ThawError(
                        f"{label}: the validation loss is {now} after {step * budget.batch_size} images, so this "
                        "training has diverged; lower learning_rate in params.yaml."
                    )
                lowest = min((row["validation_loss"] for row in curve), default=math.inf)
                train_loss = accelerate.reduce(running, "mean").item() / (step - since)
                curve.append({"images": step * budget.batch_size, "train_loss": train_loss, "validation_loss": now})
                if now < lowest or not best:
                    best = {name: value.clone() for name, value in ema.module.state_dict().items()}
                running, since = torch.zeros((), device=device), step
                seconds, began = seconds + time.monotonic() - began, time.monotonic()
                if accelerate.is_main_process:
                    packed = pack(network=bare, ema=ema, optimizer=optimizer.optimizer, best=best, shown=shown)
                    header = {"fingerprint": fingerprint, "step": step, "seconds": seconds, "curve": curve}
                    write_tensors(checkpoint, packed, header)
    lowest_row = min(curve, key=lambda row: row["validation_loss"])
    weights = {"best": best} | {name: unpack(shown, name) for name in milestones}
    return Trained(weights, curve, lowest_row["images"], seconds)
