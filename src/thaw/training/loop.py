"""The training of the diffusion models, to be read from top to bottom."""

import math

import torch
from torch import nn

from thaw.core.hardware import autocast
from thaw.core.randomness import generator
from thaw.data import Dataset
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.objectives import Objective, Target, Weighting
from thaw.diffusion.preconditioning import Preconditioned
from thaw.training.muon import optimizers
from thaw.training.session import Session, Trained

VALIDATION_BATCH = 250


class Validation:
    """The validation loss on fixed images, steps and sources, the same for every seed of a variant."""

    def __init__(self, dataset: Dataset, degradation: Degradation, count: int) -> None:
        count = min(count, len(dataset.validation))
        self.x = dataset.to_range(dataset.validation.pixels[:count])
        self.t = 1 + torch.arange(count) * degradation.steps // count  # spread evenly over 1..T
        self.t = self.t[torch.randperm(count, generator=generator("validation steps"))]
        self.source = degradation.draw_source(count, generator("validation source"), "train")

    @torch.inference_mode()
    def loss(self, network: nn.Module, objective: Objective, device: torch.device) -> float:
        """The mean loss of the network, weighted as in training."""
        total = 0.0
        for first in range(0, len(self.x), VALIDATION_BATCH):
            part = slice(first, first + VALIDATION_BATCH)
            source = None if self.source is None else self.source[part].to(device)
            x, t = self.x[part].to(device), self.t[part].to(device)
            with autocast(device):
                total += objective.losses(network, x, t, source).sum().item()
        return total / len(self.x)


def train(
    session: Session,
    network: nn.Module,
    degradation: Degradation,
    target: Target,
    dataset: Dataset,
    weighting: Weighting = "simple",
) -> Trained:
    """Train a network, going on from the session's checkpoint.

    The loss is the mean of the objective's for t drawn from 1..T. The best of the averaged weights are those of the
    lowest validation loss. Raises ThawError where a loss stops being a number.
    """
    # Initialize.
    budget, device, accelerate = session.budget, session.device, session.accelerate
    if isinstance(network, Preconditioned):
        network.fit(dataset.to_range(dataset.train.pixels))
    network = network.to(device)
    objective = Objective(network, degradation, target, weighting)
    updates = optimizers(network, budget.optimizer, budget.learning_rate)
    validation = Validation(dataset, degradation, budget.validation_images)

    # Go on from the checkpoint, if there is one.
    session.begin(network, **updates)
    network = accelerate.prepare(network)

    for index in session.batches(len(dataset.train)):
        # Draw images x, steps t and sources.
        stream = generator("step", session.seed, session.step)
        t = torch.randint(1, degradation.steps + 1, (len(index),), generator=stream)
        source = degradation.draw_source(len(index), stream, "train")
        source = None if source is None else source.to(device)
        x = dataset.to_range(dataset.train.pixels[index].to(device))

        # Update weights.
        loss = objective.losses(network, x, t.to(device), source).mean()
        network.zero_grad()
        accelerate.backward(loss)
        for optimizer in updates.values():
            optimizer.step()

        # Update EMA.
        session.advance(loss)

        # Validate, and save the state of the training.
        if session.due:
            lowest = min((row["validation_loss"] for row in session.curve), default=math.inf)
            train_loss = session.total.item() / session.interval
            now = validation.loss(session.ema.module, objective, device)
            session.record(best=now < lowest, train_loss=train_loss, validation_loss=now)
    return session.outcome()
