"""Images per second of thaw's training against the plain form of each thing that makes it fast, in one run.

The cnn is set against what a notebook has: the same layers with nn.LayerNorm, eager, float32, NCHW, batch 128. Every
other row is the training of params.yaml, as it is and with one thing in its plain form: the depthwise convolution and
the normalisation that torch has, fused attention, and an Adam that is not fused. The last rows set Adam against Muon,
whose steps are slower and worth more. Both get the same number of threads.
The two are timed in turns, so that a machine whose speed drifts drifts for both; the medians of the ratios are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from thaw.core.hardware import accelerator, autocast, bf16_is_fast
from thaw.core.layers import DepthwiseConv2d, GroupNorm, TimeFeatures
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.objectives import Noise, losses
from thaw.networks import attention_unet
from thaw.params import Choice, read_params
from thaw.results.layout import Artifacts, find_root
from thaw.training.muon import optimizers
from thaw.variant import build_network

PARAMS = read_params(Artifacts(find_root()).params)
SHAPE = PARAMS.data.shape
CNN, UNET, ATTENTION = "ddpm-linear", "ddpm-linear-unet", "ddpm-attention-unet"
SCHEDULE = Choice.model_validate({"name": "linear", "beta_min": 1e-4, "beta_max": 0.02})
DEGRADATION = GaussianNoise(shape=SHAPE, steps=1000, schedule=SCHEDULE)
Step = Callable[[], None]


class PlainCnn(nn.Module):
    """The seeds' network as they wrote it."""

    def __init__(self) -> None:
        super().__init__()
        widths = (SHAPE[0], 16, 32, 32, 16)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 7, padding=3), nn.LayerNorm((o, *SHAPE[1:])), nn.GELU())
            for i, o in pairwise(widths)
        )
        self.time = nn.Sequential(
            TimeFeatures(), nn.Linear(32, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(),
            nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 16),
        )  # fmt: skip
        self.output = nn.Conv2d(16, SHAPE[0], 3, padding=1)

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        """The predicted noise."""
        h = self.blocks[0](z) + self.time(tau)[:, :, None, None]
        for block in list(self.blocks)[1:]:
            h = block(h)
        return self.output(h)


def network_of(variant: str) -> nn.Module:
    """A variant's network, as it is initialised."""
    return build_network(PARAMS.variant(variant).train, SHAPE, variant)


def plainly(network: nn.Module, kind: type[nn.Module], forward: Callable[..., Tensor]) -> nn.Module:
    """The network, all of whose layers of a kind work by torch's own forward pass."""
    for layer in network.modules():
        if isinstance(layer, kind):
            layer.forward = MethodType(forward, layer)
    return network


def training_step(
    network: nn.Module, batch: int, *, accelerated: bool = True, fused: bool = True, optimizer: str = "adam"
) -> Step:
    """One step of training: through Accelerate as thaw trains, or plain."""
    updates = optimizers(network, optimizer, 2e-4)
    if not fused:
        updates = {"adam": torch.optim.Adam(network.parameters(), 2e-4)}
    target = Noise(DEGRADATION)
    backward: Callable[[Tensor], None] = torch.Tensor.backward
    if accelerated:
        accelerate = accelerator()
        network, backward = accelerate.prepare(network), accelerate.backward
    x = torch.rand(batch, *SHAPE) - 0.5

    def step() -> None:
        t = torch.randint(1, DEGRADATION.steps + 1, (batch,))
        loss = losses(network, DEGRADATION, target, x, t, torch.randn_like(x)).mean()
        for update in updates.values():
            update.zero_grad()
        backward(loss)
        for update in updates.values():
            update.step()

    return step


def forward_pass(network: nn.Module, batch: int, *, accelerated: bool = True) -> Step:
    """One forward pass without gradients: in the precision in which thaw samples, or plain."""
    z, tau = torch.randn(batch, *SHAPE), torch.rand(batch)

    def step() -> None:
        with torch.inference_mode():
            if accelerated:
                with autocast(z.device):
                    network(z, tau)
            else:
                network(z, tau)

    return step


def with_fused_attention(step: Step) -> Step:
    """The step, with fused attention at every size."""

    def fused() -> None:
        few, attention_unet.FEW_POSITIONS = attention_unet.FEW_POSITIONS, 0
        step()
        attention_unet.FEW_POSITIONS = few

    return fused


def seconds(step: Step, repeats: int) -> float:
    """Seconds of one call, over several."""
    began = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - began) / repeats


def main() -> None:
    """Print images per second of both forms, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=128, help="of the cnn; the others have that of params.yaml")
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)

    def as_it_is(variant: str, **options: Any) -> Step:
        return training_step(network_of(variant), PARAMS.train_budget(variant).batch_size, **options)

    def without(variant: str, kind: type[nn.Module], forward: Callable[..., Tensor]) -> Step:
        return training_step(plainly(network_of(variant), kind, forward), PARAMS.train_budget(variant).batch_size)

    batch, plain_cnn, cnn = chosen.batch, PlainCnn(), network_of(CNN)
    rows: list[tuple[str, int, Step, Step]] = [
        ("cnn, forward", batch, forward_pass(plain_cnn, batch, accelerated=False), forward_pass(cnn, batch)),
        ("cnn, training", batch, training_step(plain_cnn, batch, accelerated=False, fused=False),
         training_step(cnn, batch)),
    ]  # fmt: skip
    parts = [
        (UNET, "depthwise gradient", without(UNET, DepthwiseConv2d, nn.Conv2d.forward)),
        (UNET, "group norm", without(UNET, GroupNorm, nn.GroupNorm.forward)),
        (ATTENTION, "group norm", without(ATTENTION, GroupNorm, nn.GroupNorm.forward)),
        (ATTENTION, "explicit attention", with_fused_attention(as_it_is(ATTENTION))),
        (UNET, "fused Adam", as_it_is(UNET, fused=False)),
        (ATTENTION, "fused Adam", as_it_is(ATTENTION, fused=False)),
    ]
    for variant, name, plain in parts:
        network = PARAMS.variant(variant).train.network.name
        rows.append((f"{network}, {name}", PARAMS.train_budget(variant).batch_size, plain, as_it_is(variant)))
    for variant in (CNN, UNET):
        network, size = PARAMS.variant(variant).train.network.name, PARAMS.train_budget(variant).batch_size
        rows.append((f"{network}, Muon against Adam", size, as_it_is(variant), as_it_is(variant, optimizer="muon")))

    precision = "bf16" if bf16_is_fast(torch.device("cpu")) else "fp32 (no fast bf16 here)"
    print(f"{chosen.threads} threads, thaw in {precision}; images/s")
    print(f"{'':36}batch    plain     thaw    ratio")
    for name, batch, plain, ours in rows:
        for step in (plain, ours):
            seconds(step, 2)
        times = [(seconds(plain, 2), seconds(ours, 2)) for _ in range(chosen.rounds)]
        rates = [batch / statistics.median(column) for column in zip(*times, strict=True)]
        ratio = statistics.median(a / b for a, b in times)
        print(f"{name:36}{batch:5} {rates[0]:8.0f} {rates[1]:8.0f} {ratio:8.2f}", flush=True)


if __name__ == "__main__":
    main()
