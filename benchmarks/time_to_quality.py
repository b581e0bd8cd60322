"""Minutes of one core until samples are good, and what two well-known packages make of twice those minutes.

thaw trains ddpm-cosine-unet as params.yaml says, with its own loop; at every tenth of the training its samples are
scored, and the first tenth that reaches the Frechet distance asked for gives the minutes. Then
denoising-diffusion-pytorch and diffusers train, in the same process and with one thread, by the recipes that they are
published with: their own network, noise schedule, loss, optimiser, averaged weights and sampler. All samples are scored
alike: so many images in so many steps, by fid_classifier with the project's classifier and statistics. Minutes are of
the processor's time, so that what else the machine does counts less; sampling and scoring are not counted.

Both packages compute in whichever precision is faster here, and get the digits unflipped, which their scripts would
mirror. The first is no requirement of thaw; this installs it without changing anything that is there:

    .venv/bin/uv pip install --no-deps denoising-diffusion-pytorch einops ema-pytorch pytorch-fid
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thaw.core.hardware import bf16_is_fast
from thaw.data import Dataset, read_dataset, to_uint8
from thaw.evaluation.classifier import features, load_classifier
from thaw.evaluation.frechet import frechet_distance, moments, read_moments
from thaw.model import Model
from thaw.params import Params, read_params
from thaw.results.layout import Artifacts, find_root
from thaw.training.loop import train
from thaw.training.session import Session, Trained
from thaw.variant import build_degradation, build_network, build_sampling, build_target, precondition

VARIANT = "ddpm-cosine-unet"
TENTHS = [k / 10 for k in range(1, 11)]
STEPS = 100
AT_ONCE = 250

Score = Callable[[Tensor], float]
"""uint8 images (n, C, H, W) to their Frechet distance."""


def minutes() -> float:
    """Minutes of processor's time that this process has taken."""
    return time.process_time() / 60


def scorer(artifacts: Artifacts) -> Score:
    """The distance from the real images, as the evaluation measures it."""
    network = load_classifier(artifacts.reference("classifier.safetensors"))
    real = read_moments(artifacts.reference("statistics.safetensors"))
    return lambda pixels: frechet_distance(real, moments(features(network, pixels)))


# thaw


class Timed(Session):
    """A session that notes the minutes at every milestone, and ends at a limit as at one."""

    def __init__(self, limit: float, **options: Any) -> None:
        super().__init__(**options)
        self.limit, self.began_at = limit, minutes()
        self.minutes: dict[str, float] = {}

    def advance(self, *losses: Tensor) -> None:
        """End a step, and the training where it has taken its time."""
        super().advance(*losses)
        spent = minutes() - self.began_at
        self.minutes |= {point: spent for point, step in self.milestones.items() if step == self.step}
        if spent >= self.limit and self.step < self.steps:
            self.minutes["the limit"], self.weights["the limit"] = spent, self._averages()
            self.steps = self.step

    def outcome(self) -> Trained:
        """The weights at the milestones that were reached."""
        weights = {point: self.weights[point] for point in self.minutes}
        return Trained(weights, self.curve, self.best_images, self.seconds)


def train_thaw(
    artifacts: Artifacts, params: Params, dataset: Dataset, score: Score, count: int, wanted: float, limit: float
) -> float:
    """Print the distance at every tenth of the training, until it is as wanted, and give the minutes."""
    variant, key = params.variant(VARIANT), f"variants.{VARIANT}"
    budget = params.train_budget(VARIANT).model_copy(update={"milestones": TENTHS})
    degradation = build_degradation(variant.train, params.data, f"{key}.train", artifacts.root)
    target = build_target(variant.train, degradation, f"{key}.train")
    torch.manual_seed(budget.seeds[0])
    network = build_network(variant.train, params.data.shape, f"{key}.train")
    network = precondition(network, variant.train, degradation)
    with tempfile.TemporaryDirectory() as folder:
        session = Timed(
            limit, budget=budget, ema_decay=variant.train.ema_decay, seed=budget.seeds[0], label="thaw",
            checkpoint=Path(folder) / "checkpoint", fingerprint="",
        )  # fmt: skip
        trained = train(session, network, degradation, target, dataset, variant.train.weighting)
    model = Model(
        network, degradation, target, build_sampling(variant.sample, degradation, f"{key}.sample"),
        params.data.half_range, STEPS, lambda: dataset.to_range(dataset.train.pixels),
    )  # fmt: skip
    for point, weights in trained.weights.items():
        network.load_state_dict(weights)
        distance = score(to_uint8(model.sample(count), params.data.half_range))
        print(f"  {session.minutes[point]:6.2f} minutes, at {point} of the training: {distance:.1f}", flush=True)
        if distance <= wanted:
            break
    found = "reaches" if distance <= wanted else "ends without reaching"
    print(f"thaw {found} {wanted:g} after {session.minutes[point]:.2f} minutes of one core: {distance:.1f}", flush=True)
    return session.minutes[point]


# The others


class Peer(NamedTuple):
    """Another package's recipe: the loss of uint8 images, and samples of the averaged weights, uint8."""

    network: nn.Module
    batch: int
    loss: Callable[[Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    rate: Callable[[int, float], float]
    """The factor of the learning rate at a step and a share of the time given."""
    average: Callable[[], object]
    sample: Callable[[int], Tensor]


def denoising_diffusion_pytorch(pixels: Tensor) -> Peer:
    """Its README's: sigmoid schedule, velocity, Adam of 8e-5, batch 64 in two parts, EMA 0.995 each tenth step, DDIM.

    The network is its own for small images, of width 32 and three levels, since 28 pixels are halved twice.
    """
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    channels, size = pixels.shape[1], pixels.shape[2]
    network = Unet(dim=32, dim_mults=(1, 2, 4), channels=channels, flash_attn=True)
    diffusion = GaussianDiffusion(network, image_size=size, timesteps=1000, sampling_timesteps=STEPS)
    ema = EMA(diffusion, beta=0.995, update_every=10)
    optimizer = torch.optim.Adam(diffusion.parameters(), 8e-5, betas=(0.9, 0.99))

    def sample(count: int) -> Tensor:
        return (ema.ema_model.sample(batch_size=count).clamp(0, 1) * 255).round().to(torch.uint8)

    return Peer(diffusion, 64, lambda x: diffusion(x.float() / 255), optimizer, lambda *_: 1.0, ema.update, sample)


def diffusers(pixels: Tensor) -> Peer:
    """That of examples/unconditional_image_generation, with the network that its course has for MNIST.

    Linear schedule, noise, AdamW of 1e-4 with 500 steps of warm-up and a cosine, batch 16, EMA of power 3/4, and the
    ancestral sampler of its DDPMPipeline.
    """
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
    from diffusers.training_utils import EMAModel

    network = UNet2DModel(
        sample_size=pixels.shape[2], in_channels=pixels.shape[1], out_channels=pixels.shape[1], layers_per_block=2,
        block_out_channels=(32, 64, 64), down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    schedule = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-4, betas=(0.95, 0.999), weight_decay=1e-6)
    ema = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def loss(x: Tensor) -> Tensor:
        noise, t = torch.randn(x.shape), torch.randint(0, 1000, (len(x),))
        return F.mse_loss(network(schedule.add_noise(x.float() / 127.5 - 1, noise, t), t).sample.float(), noise)

    def rate(step: int, share: float) -> float:
        return min(1.0, step / 500) * (1 + math.cos(math.pi * min(1.0, share))) / 2

    def sample(count: int) -> Tensor:
        ema.store(network.parameters())
        ema.copy_to(network.parameters())
        pipeline = DDPMPipeline(unet=network, scheduler=schedule)
        pipeline.set_progress_bar_config(disable=True)
        images = pipeline(batch_size=count, num_inference_steps=STEPS, output_type="np").images  # (n, H, W, C) of 0..1
        ema.restore(network.parameters())
        return (torch.from_numpy(images).movedim(-1, 1) * 255).round().to(torch.uint8)

    return Peer(network, 16, loss, optimizer, rate, lambda: ema.step(network.parameters()), sample)


def advance(peer: Peer, x: Tensor, bf16: bool) -> float:
    """One step of training with uint8 images x, and the minutes that it takes."""
    began = minutes()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        loss = peer.loss(x)
    peer.optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(peer.network.parameters(), 1.0)
    peer.optimizer.step()
    peer.average()
    return minutes() - began


def train_peer(
    build: Callable[[Tensor], Peer], pixels: Tensor, given: float, score: Score, count: int
) -> tuple[float, int]:
    """The distance after so many minutes, and the images seen in them."""
    torch.manual_seed(0)
    trial, peer = build(pixels), build(pixels)
    precisions = (False, True) if bf16_is_fast(torch.device("cpu")) else (False,)
    bf16 = min(precisions, key=lambda bf16: min(advance(trial, pixels[: trial.batch], bf16) for _ in range(4)))
    rates = [group["lr"] for group in peer.optimizer.param_groups]
    spent, step = 0.0, 0
    while spent < given:
        for group, rate in zip(peer.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * peer.rate(step, spent / given)
        spent += advance(peer, pixels[torch.randint(len(pixels), (peer.batch,))], bf16)
        step += 1
    peer.network.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        drawn = torch.cat([peer.sample(min(AT_ONCE, count - first)) for first in range(0, count, AT_ONCE)])
    return score(drawn), step * peer.batch


def main() -> None:
    """Print the minutes and the distances."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fid", type=float, default=6.0, help="the distance that thaw trains to")
    parser.add_argument("--minutes-factor", type=float, default=2.0, help="the others' minutes, in thaw's")
    parser.add_argument("--limit", type=float, default=math.inf, help="minutes at which every training ends")
    parser.add_argument("--samples", type=int, default=1000)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    artifacts = Artifacts(find_root())
    params = read_params(artifacts.params)
    dataset, score = read_dataset(params.data, artifacts.root), scorer(artifacts)
    print(f"fid_classifier of {chosen.samples} samples in {STEPS} steps, one thread", flush=True)
    taken = train_thaw(artifacts, params, dataset, score, chosen.samples, chosen.fid, chosen.limit)
    given = min(chosen.minutes_factor * taken, chosen.limit)
    for build in (denoising_diffusion_pytorch, diffusers):
        name = build.__name__.replace("_", "-")
        try:
            distance, images = train_peer(build, dataset.train.pixels, given, score, chosen.samples)
        except ModuleNotFoundError as missing:
            print(f"{name} is not installed ({missing.name}); the head of this file says how")
            continue
        print(f"{name}, after {given:.2f} minutes of one core, {images} images: {distance:.1f}", flush=True)


if __name__ == "__main__":
    main()
