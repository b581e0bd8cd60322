"""The training of the diffusion models, to be read from top to bottom."""

import math

import torch
from torch import Tensor, nn

from thaw.core.hardware import autocast
from thaw.core.randomness import generator
from thaw.data import Dataset
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.objectives import Target, losses
from thaw.training.session import Session, Trained

VALIDATION_BATCH = 250


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
    session: Session,
    network: nn.Module,
    degradation: Degradation,
    target: Target,
    dataset: Dataset,
    step_weights: Tensor | None = None,
) -> Trained:
    """Train a network, going on from the session's checkpoint.

    The loss is the mean squared error of the network's answer for t drawn from 1..T, times `step_weights[t]` where
    those, of shape (T+1,), are given; the validation loss is without them. The best of the averaged weights are those
    of the lowest validation loss. Raises ThawError where a loss stops being a number.
    """
    # Initialize.
    budget, device, accelerate = session.budget, session.device, session.accelerate
    network = network.to(device)
    optimizer = torch.optim.Adam(network.parameters(), budget.learning_rate)
    validation = Validation(dataset, degradation, budget.validation_images)

    # Go on from the checkpoint, if there is one.
    session.begin(network, optimizer=optimizer)
    network = accelerate.prepare(network)

    for index in session.batches(len(dataset.train)):
        # Draw images x, steps t and sources.
        stream = generator("step", session.seed, session.step)
        t = torch.randint(1, degradation.steps + 1, (len(index),), generator=stream)
        source = degradation.draw_source(len(index), stream, "train")
        source = None if source is None else source.to(device)
        x = dataset.to_range(dataset.train.pixels[index].to(device))

        # Update weights.
        errors = losses(network, degradation, target, x, t.to(device), source)
        loss = (errors if step_weights is None else errors * step_weights[t].to(errors)).mean()
        optimizer.zero_grad()
        accelerate.backward(loss)
        optimizer.step()

        # Update EMA.
        session.advance(loss)

        # Validate, and save the state of the training.
        if session.due:
            lowest = min((row["validation_loss"] for row in session.curve), default=math.inf)
            train_loss = session.total.item() / session.interval
            now = validation.loss(session.ema.module, target, device)
            session.record(best=now < lowest, train_loss=train_loss, validation_loss=now)
    return session.outcome()
