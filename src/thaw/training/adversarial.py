"""The GAN's training: a generator and a discriminator in turn, resumable as the loop of the other models is.

Everything random is a function of the seed and the step, so a run that was killed goes on exactly as it would have.
"""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thaw.data import Dataset
from thaw.diffusion.degradation import Degradation
from thaw.errors import ThawError
from thaw.hardware import accelerator
from thaw.params import TrainBudget
from thaw.progress import Meter
from thaw.randomness import generator
from thaw.training.augmentation import FIXED, Probability, augment
from thaw.training.checkpoint import load_optimizer, pack, read_if_of, unpack, write_tensors
from thaw.training.loop import Trained, averaged, batches, calendar, learning_rate_factor

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


def train_adversarial(
    network: nn.Module,
    degradation: Degradation,
    dataset: Dataset,
    budget: TrainBudget,
    *,
    ema_decay: float,
    seed: int,
    checkpoint: Path,
    fingerprint: str,
    label: str,
) -> Trained:
    """Train a generator, going on from `checkpoint` where that is of the same training (`fingerprint`).

    Each step is one of the discriminator and then one of the generator on the same latents. Weights are averages of
    the generator's over the steps. No validation loss says which are best: the losses of a GAN measure the two
    networks against each other, so `best` are the last. Raises ThawError where a loss stops being a number.
    """
    assert isinstance(network, Generator), "the parameters were checked"
    accelerate = accelerator()
    device = accelerate.device
    critic = network.discriminator().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.get_buffer("half_range").fill_(dataset.half_range)
    bare = network.to(device)
    ema = averaged(bare, ema_decay)
    optimizers = [torch.optim.Adam(part.parameters(), budget.learning_rate, BETAS) for part in (bare, critic)]
    generate, discriminate, *prepared = accelerate.prepare(bare, critic, *optimizers)
    of_generator, of_discriminator = prepared
    steps, stops, milestones = calendar(budget)

    step, seconds, curve = 0, 0.0, list[dict[str, Any]]()
    adaptive = Probability()
    shown: dict[str, Tensor] = {}
    if found := read_if_of(checkpoint, fingerprint):
        packed, header = found
        bare.load_state_dict(unpack(packed, "generator"))
        critic.load_state_dict(unpack(packed, "discriminator"))
        ema.load_state_dict(unpack(packed, "ema"))
        load_optimizer(of_generator.optimizer, unpack(packed, "generator_optimizer"))
        load_optimizer(of_discriminator.optimizer, unpack(packed, "discriminator_optimizer"))
        shown, adaptive = unpack(packed, "shown"), Probability(**header["adaptive"])
        step, seconds, curve = header["step"], header["seconds"], header["curve"]

    began, running = time.monotonic(), torch.zeros(3, device=device)
    since = step
    order = batches(len(dataset.train), budget.batch_size, seed, step)
    share = slice(accelerate.process_index, None, accelerate.num_processes)
    generate.train()
    discriminate.train()
    with Meter(label, steps * budget.batch_size, "images", step * budget.batch_size) as meter:
        while step < steps:
            for group in (*of_generator.param_groups, *of_discriminator.param_groups):
                group["lr"] = budget.learning_rate * learning_rate_factor(step, steps, budget)
            index = next(order)
            z = degradation.draw_source(len(index), generator("step", seed, step), "train")
            assert z is not None, "a generator starts from noise"
            z = z[share].to(device)
            x = dataset.to_range(dataset.train.pixels[index[share]].to(device))
            p = {"none": 0.0, "fixed": FIXED, "adaptive": adaptive.p}[network.augmentation]
            stream = generator("augmentation", seed, step, accelerate.process_index)

            made = generate(z, torch.ones(len(z), device=device))
            seen = augment(torch.cat([x, made.detach()]), p, dataset.half_range, stream)
            real, fake = discriminate(seen).chunk(2)
            against = discriminator_loss(real, fake)
            of_discriminator.zero_grad()
            accelerate.backward(against)
            of_discriminator.step()

            # The gradient goes through the discriminator and not into it, so one without hooks and gradients will do.
            critic.requires_grad_(False)
            pro = generator_loss(critic(augment(made, p, dataset.half_range, stream)))
            of_generator.zero_grad()
            accelerate.backward(pro)
            of_generator.step()
            critic.requires_grad_(True)

            ema.update_parameters(bare)
            if network.augmentation == "adaptive":
                adaptive.observe(accelerate.reduce(real.detach().sign().mean(), "mean").item(), len(index))
            running += torch.stack([pro.detach(), against.detach(), torch.tensor(p, device=device)])
            step += 1
            meter.update(step * budget.batch_size)
            for point in (name for name, at in milestones.items() if at == step):
                shown |= {f"{point}.{name}": value.clone() for name, value in ema.module.state_dict().items()}
            if step in stops or step == steps:
                means = (accelerate.reduce(running, "mean") / (step - since)).tolist()
                if not all(map(math.isfinite, means)):
                    raise ThawError(
                        f"{label}: the losses of generator and discriminator are {means[0]} and {means[1]} after "
                        f"{step * budget.batch_size} images, so this training has diverged; lower learning_rate in "
                        "params.yaml."
                    )
                names = ("generator_loss", "discriminator_loss", "augmentation")
                curve.append({"images": step * budget.batch_size} | dict(zip(names, means, strict=True)))
                running, since = torch.zeros(3, device=device), step
                seconds, began = seconds + time.monotonic() - began, time.monotonic()
                if accelerate.is_main_process:
                    packed = pack(
                        generator=bare, discriminator=critic, ema=ema, shown=shown,
                        generator_optimizer=of_generator.optimizer, discriminator_optimizer=of_discriminator.optimizer,
                    )  # fmt: skip
                    header = {"fingerprint": fingerprint, "step": step, "seconds": seconds, "curve": curve,
                              "adaptive": dataclasses.asdict(adaptive)}  # fmt: skip
                    write_tensors(checkpoint, packed, header)
    best = {name: value.clone() for name, value in ema.module.state_dict().items()}
    weights = {"best": best} | {name: unpack(shown, name) for name in milestones}
    return Trained(weights, curve, curve[-1]["images"], seconds)
