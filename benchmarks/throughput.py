"""Images per second of thaw's cnn against a plain fp32 loop in PyTorch, in one run on this machine.

The plain loop is what a notebook has: the same layers with nn.LayerNorm, eager, float32, NCHW, batch 128. Both get the
same number of threads. The two are timed in turns, so that a machine whose speed drifts drifts for both; the medians of
the ratios are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from thaw.core.hardware import accelerator, autocast, bf16_is_fast
from thaw.core.layers import TimeFeatures
from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.objectives import Noise, losses
from thaw.params import Choice, Train
from thaw.variant import build_network

SHAPE = (1, 28, 28)
SCHEDULE = Choice.model_validate({"name": "linear", "beta_min": 1e-4, "beta_max": 0.02})


class PlainCnn(nn.Module):
    """The seeds' network as they wrote it."""

    def __init__(self) -> None:
        super().__init__()
        widths = (1, 16, 32, 32, 16)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 7, padding=3), nn.LayerNorm((o, 28, 28)), nn.GELU())
            for i, o in pairwise(widths)
        )
        self.time = nn.Sequential(
            TimeFeatures(), nn.Linear(32, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(),
            nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 16),
        )  # fmt: skip
        self.output = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        """The predicted noise."""
        h = self.blocks[0](z) + self.time(tau)[:, :, None, None]
        for block in list(self.blocks)[1:]:
            h = block(h)
        return self.output(h)


def training_step(network: nn.Module, degradation: GaussianNoise, batch: int, *, plain: bool) -> Callable[[], None]:
    """One step of training: plain, or through Accelerate as thaw trains."""
    optimizer = torch.optim.Adam(network.parameters(), 2e-4)
    target = Noise(degradation)
    backward: Callable[[Tensor], None] = torch.Tensor.backward
    if not plain:
        accelerate = accelerator()
        network, optimizer = accelerate.prepare(network, optimizer)
        backward = accelerate.backward
    x = torch.rand(batch, *SHAPE) - 0.5

    def step() -> None:
        t = torch.randint(1, degradation.steps + 1, (batch,))
        loss = losses(network, degradation, target, x, t, torch.randn_like(x)).mean()
        optimizer.zero_grad()
        backward(loss)
        optimizer.step()

    return step


def forward_pass(network: nn.Module, batch: int, *, plain: bool) -> Callable[[], None]:
    """One forward pass without gradients: plain, or in the precision in which thaw samples."""
    z, tau = torch.randn(batch, *SHAPE), torch.rand(batch)

    def step() -> None:
        with torch.inference_mode():
            if plain:
                network(z, tau)
            else:
                with autocast(z.device):
                    network(z, tau)

    return step


def seconds(step: Callable[[], None], repeats: int) -> float:
    """Seconds of one call, over several."""
    began = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - began) / repeats


def main() -> None:
    """Print images per second of both, and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    block = Train.model_validate(
        {"degradation": {"name": "gaussian_noise"}, "target": "noise", "network": {"name": "cnn"}, "ema_decay": 0.0}
    )
    degradation = GaussianNoise(shape=SHAPE, steps=1000, schedule=SCHEDULE)
    pairs = {
        "training": (
            training_step(PlainCnn(), degradation, chosen.batch, plain=True),
            training_step(build_network(block, SHAPE, "bench"), degradation, chosen.batch, plain=False),
        ),
        "forward": (
            forward_pass(PlainCnn().eval(), chosen.batch, plain=True),
            forward_pass(build_network(block, SHAPE, "bench").eval(), chosen.batch, plain=False),
        ),
    }
    precision = "bf16" if bf16_is_fast(torch.device("cpu")) else "fp32 (no fast bf16 here)"
    print(f"{chosen.threads} threads, batch {chosen.batch}, thaw in {precision}")
    for name, (plain, ours) in pairs.items():
        seconds(plain, 1)
        seconds(ours, 1)
        rounds = [(seconds(plain, 2), seconds(ours, 2)) for _ in range(chosen.rounds)]
        rates = [chosen.batch / statistics.median(times) for times in zip(*rounds, strict=True)]
        ratio = statistics.median(a / b for a, b in rounds)
        print(f"{name:9} plain {rates[0]:7.0f} images/s   thaw {rates[1]:7.0f} images/s   ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
