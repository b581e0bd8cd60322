"""The training of the GAN, a generator and a discriminator in turn, to be read from top to bottom."""

import dataclasses
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam

from thaw.core.randomness import generator
from thaw.data import Dataset
from thaw.diffusion.degradation import Degradation
from thaw.training.augmentation import FIXED, Probability, augment
from thaw.training.session import Session, Trained

BETAS = (0.5, 0.999)
"""Of Adam (Radford et al. 2016, section 4)."""


@runtime_checkable
class Generator(Protocol):
    """A network that brings its discriminator, and says which images that sees: `none`, `fixed` or `adaptive`.

    Its buffer `half_range`, of shape (1,), is the largest value of its images. It is no member here: since Python 3.12
    `isinstance` does not ask a module for its buffers.
    """

    augmentation: str

    def discriminator(self) -> nn.Module:
        """A new network from images (B, C, H, W) to logits (B, 1)."""


def generator_loss(fake: Tensor) -> Tensor:
    """-log D(G(z)), the mean over logits of generated images: the non-saturating loss of Goodfellow et al. 2014."""
    return F.softplus(-fake).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), means over logits (Goodfellow et al. 2014, equation 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def train_adversarial(session: Session, network: nn.Module, degradation: Degradation, dataset: Dataset) -> Trained:
    """Train a generator, going on from the session's checkpoint.

    Each step is one of the discriminator and then one of the generator on the same latents. No validation loss says
    which of the averaged weights are best: the losses of a GAN measure the two networks against each other, so the best
    are the last. Raises ThawError where a loss stops being a number.
    """
    # Initialize.
    assert isinstance(network, Generator), "the parameters were checked"
    rate, device, accelerate = session.budget.learning_rate, session.device, session.accelerate
    mode, half_range = network.augmentation, dataset.half_range
    critic = network.discriminator().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.get_buffer("half_range").fill_(half_range)
    network = network.to(device)
    optimizer, critic_optimizer = (Adam(part.parameters(), rate, BETAS, fused=True) for part in (network, critic))

    # Go on from the checkpoint, if there is one.
    session.begin(network, critic=critic, optimizer=optimizer, critic_optimizer=critic_optimizer)
    adaptive = Probability(**session.kept)
    network, critic = accelerate.prepare(network, critic)

    for index in session.batches(len(dataset.train)):
        # Draw latents z, images x, and how both kinds of images are augmented.
        z = degradation.draw_source(len(index), generator("step", session.seed, session.step), "train")
        assert z is not None, "a generator starts from noise"
        z = z.to(device)
        x = dataset.to_range(dataset.train.pixels[index].to(device))
        p = {"none": 0.0, "fixed": FIXED, "adaptive": adaptive.p}[mode]
        stream = generator("augmentation", session.seed, session.step, 0)

        # Update the discriminator.
        made = network(z, torch.ones(len(z), device=device))
        seen = augment(torch.cat([x, made.detach()]), p, half_range, stream)
        real, fake = critic(seen).chunk(2)
        against = discriminator_loss(real, fake)
        critic_optimizer.zero_grad()
        accelerate.backward(against)
        critic_optimizer.step()

        # Update the generator, through the discriminator, which needs no gradients of its own.
        critic.requires_grad_(False)
        pro = generator_loss(critic(augment(made, p, half_range, stream)))
        optimizer.zero_grad()
        accelerate.backward(pro)
        optimizer.step()
        critic.requires_grad_(True)

        # Update EMA, and the probability of an augmentation.
        session.advance(pro, against, torch.tensor(p, device=device))
        if mode == "adaptive":
            adaptive.observe(real.detach().sign().mean().item(), len(index))

        # Save the state of the training.
        if session.due:
            pro_mean, against_mean, p_mean = (session.total / session.interval).tolist()
            session.kept = dataclasses.asdict(adaptive)
            session.record(best=True, generator_loss=pro_mean, discriminator_loss=against_mean, augmentation=p_mean)
    return session.outcome()
