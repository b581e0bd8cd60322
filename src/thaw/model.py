"""A trained variant as an object."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from thaw.core.randomness import generator
from thaw.diffusion.degradation import Degradation, Latent
from thaw.diffusion.denoising import denoiser, subsequence
from thaw.diffusion.objectives import Target
from thaw.diffusion.walk import Callback
from thaw.variant import Sampling

BLOCK = 125
"""Images whose noise is drawn together, always for a whole block, so the first n of any number are the same."""
PIXELS_ON_A_GPU = 400_000
"""Pixels of images that are sampled at once, if a block has fewer, which would leave most of a GPU idle."""


class Model:
    """A trained variant: degrade images, restore them, and sample new ones.

    Images are float32 of shape (N, C, H, W) in [-half_range, half_range]. `images` gives the training images to the
    latents that are fitted to them. Sampling takes at most `steps` steps.
    """

    def __init__(
        self,
        network: nn.Module,
        degradation: Degradation,
        target: Target,
        sampling: Sampling,
        half_range: float,
        steps: int,
        images: Callable[[], Tensor],
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        _, height, width = degradation.shape
        blocks = 1 if self.device.type == "cpu" else max(1, PIXELS_ON_A_GPU // (BLOCK * height * width))
        self.at_once = blocks * BLOCK
        self.network = network.to(self.device).eval()
        self.degradation, self.target, self.sampling = degradation, target, sampling
        self.half_range, self.steps, self.images = half_range, steps, images
        self.denoise = denoiser(self.network, degradation, target)

    def degrade(self, x: Tensor, t: int, seed: int = 0) -> Tensor:
        """z_t of images x, (N, C, H, W), for 0 <= t <= T. Raises ValueError where t is out of range."""
        return self._degrade(x, t, seed).z

    def restore(self, z: Tensor, t: int, seed: int = 0, steps: int | None = None) -> Tensor:
        """The images that the sampler makes of z_t, (N, C, H, W), walking from t to 0 in at most `steps` steps.

        By default these are t/T of the steps that sampling takes from T, so that a step is as long from every t. The
        source of z, where it has one, is estimated at every step. Raises ValueError where t is out of range.
        """
        self._check(z, t, 1)
        return self._run(Latent(z, None), self._way(t, steps), ("restore", seed))

    def reconstruct(self, x: Tensor, t: int, seed: int = 0) -> Tensor:
        """Degrade images x to step t and restore them, the source of the degradation held by the sampler."""
        return self._run(self._degrade(x, t, seed), self._way(t), ("restore", seed))

    def reconstruct_directly(self, x: Tensor, t: int, seed: int = 0) -> Tensor:
        """Degrade images x to step t and take the estimate that the network makes of them there."""
        self._check(x, t, 1)
        z = self._degrade(x, t, seed).z
        with torch.inference_mode():
            return torch.cat([self.denoise(part.to(self.device), t).cpu() for part in z.split(self.at_once)])

    def _way(self, t: int, steps: int | None = None) -> list[int]:
        return subsequence(t, max(1, round(self.steps * t / self.degradation.steps)) if steps is None else steps)

    def draw_latents(self, count: int, seed: int = 0) -> Latent:
        """`count` starting points z_T, drawn as the variant's latent says. Raises ValueError where count is below 1."""
        if count < 1:
            raise ValueError(f"count is {count}, but should be at least 1")
        drawn = [
            self.degradation.draw_latent(
                BLOCK, generator("latent", seed, block), self.images, self.sampling.latent,
                **self.sampling.latent_options,
            )
            for block in range(-(-count // BLOCK))
        ]  # fmt: skip
        source = None if drawn[0].source is None else torch.cat([d.source for d in drawn if d.source is not None])
        return Latent(torch.cat([d.z for d in drawn])[:count], None if source is None else source[:count])

    def sample(
        self, count: int, seed: int = 0, steps: int | None = None, callback: Callback | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Tensor:  # fmt: skip
        """`count` new images, (count, C, H, W): the first n are the same for every count.

        `callback(t, z, x)` sees every step of the images that are sampled at once, `progress(n)` the number of images
        done.
        """
        chain = subsequence(self.degradation.steps, self.steps if steps is None else steps)
        return self._run(self.draw_latents(count, seed), chain, ("sample", seed), callback, progress)

    def _degrade(self, x: Tensor, t: int, seed: int) -> Latent:
        self._check(x, t, 0)
        blocks = [
            self.degradation.draw_source(BLOCK, generator("source", seed, block), "test")
            for block in range(-(-len(x) // BLOCK))
        ]
        drawn = [block for block in blocks if block is not None]
        source = torch.cat(drawn)[: len(x)].to(x.device) if drawn else None
        return Latent(self.degradation.degrade(x, torch.full((len(x),), t, device=x.device), source), source)

    def _check(self, x: Tensor, t: int, lowest: int) -> None:
        if not isinstance(t, int) or not lowest <= t <= self.degradation.steps:
            raise ValueError(f"t is {t}, but this model has steps {lowest} to {self.degradation.steps}")
        if not len(x):
            raise ValueError("there are no images")

    @torch.inference_mode()
    def _run(
        self, latent: Latent, chain: Sequence[int], purpose: tuple[str, int], callback: Callback | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Tensor:  # fmt: skip
        images = []
        for first in range(0, len(latent.z), self.at_once):
            last = min(first + self.at_once, len(latent.z))
            part = slice(first, last)
            streams = [generator(*purpose, block) for block in range(first // BLOCK, -(-last // BLOCK))]

            def noise(z: Tensor, streams: list[torch.Generator] = streams) -> Tensor:
                blocks = [torch.randn(BLOCK, *z.shape[1:], generator=stream) for stream in streams]
                return torch.cat(blocks)[: len(z)].to(z.device)

            source = None if latent.source is None else latent.source[part].to(self.device)
            x = self.sampling.sampler(
                self.denoise, Latent(latent.z[part].to(self.device), source), chain,
                degradation=self.degradation, noise=noise, callback=callback, half_range=self.half_range,
                **self.sampling.sampler_options,
            )  # fmt: skip
            images.append(x.cpu())
            if progress:
                progress(last)
        return torch.cat(images)
