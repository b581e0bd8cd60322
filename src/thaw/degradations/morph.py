"""Morph: an image turns into an image of another data set (seed 001, section 2.1)."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from thaw.data import Dataset, read_dataset
from thaw.data.idx import SHA256
from thaw.data.torchvision_sets import PREFIX
from thaw.diffusion.degradation import Latent, Mixture, Split, Steps
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Choice, Count, Data, Shape, suggest
from thaw.results.layout import find_root

FITTED_IMAGES = 5000
"""Images that a mixture is fitted to at most."""
VARIANCE_KEPT = 0.95


class Morph(Mixture):
    """z_t = sqrt(alpha_bar_t) x + sqrt(1 - alpha_bar_t) w, w an image of another data set.

    `source` and `path` name that data set as data.dataset and data.path do; its images are brought to the size, the
    channels and the range of `data`, and are read when the first is drawn. `root` is the project (by default the one
    around the current folder).
    """

    def __init__(
        self,
        *,
        shape: Shape,
        data: Data,
        root: Path | None = None,
        key: str = "degradation",
        steps: Steps,
        schedule: Choice,
        source: str = "fashion_mnist",
        path: str = "data/raw/fashion-mnist",
    ) -> None:
        super().__init__(shape=shape, key=key, steps=steps, schedule=schedule)
        known = [*SHA256, f"{PREFIX}NAME", "folder"]
        if source not in known and not source.startswith(PREFIX):
            raise ThawError(
                f"{PARAMS_FILE}: {key}.source is {source}, but it should be one of {', '.join(known)}"
                f"{suggest(source, known)}."
            )
        self.data, self.root = data.model_copy(update={"dataset": source, "path": path}), root
        # Latents are drawn block by block.
        self._fitted = functools.lru_cache(maxsize=2)(self._fit)

    def draw_source(self, count: int, generator: torch.Generator, split: Split) -> Tensor:
        """Images of the other data set drawn with replacement, (count, C, H, W): of its training or its test images.

        Raises ThawError where the data set cannot be read.
        """
        dataset = self._read()
        pixels = (dataset.train if split == "train" else dataset.test).pixels
        return dataset.to_range(pixels[torch.randint(len(pixels), (count,), generator=generator)])

    def image(
        self,
        count: int,
        *,
        generator: torch.Generator,
        images: Callable[[], Tensor],
        noise: Annotated[float, Field(ge=0)] = 0.0,
    ) -> Latent:
        """Test images of the other data set, plus `noise` times N(0, 1) for each pixel (seed 001, section 2.4).

        As in the seed, z_T is the source itself; sqrt(1 - alpha_bar_T) would move it by less than a grey level. The
        noise belongs to the source too: a cold sampler takes away as much source as z_T has, and would otherwise
        leave the noise in the sample.
        """
        source = self.draw_source(count, generator, "test")
        return _at_source(source + noise * torch.randn(source.shape, generator=generator))

    def mean(
        self,
        count: int,
        *,
        generator: torch.Generator,
        images: Callable[[], Tensor],
        sources: Count = 2,
    ) -> Latent:
        """The mean of several test images of the other data set (seed 001, section 2.4)."""
        drawn = self.draw_source(count * sources, generator, "test")
        return _at_source(drawn.view(count, sources, *self.shape).mean(1))

    def mixture(
        self,
        count: int,
        *,
        generator: torch.Generator,
        images: Callable[[], Tensor],
        components: Annotated[Sequence[Count], Field(min_length=1)] = (1, 2, 5, 10),
    ) -> Latent:
        """Draws from a Gaussian mixture fitted to the other data set's training images (the future work of seed 001).

        It is fitted on the principal components that hold 95 % of the variance, with the one of the numbers of
        `components` that has the lowest BIC. Draws are clamped to the data's range, as images are. Raises ThawError
        where there are fewer images than components.
        """
        fit = self._fitted(tuple(components))
        which = torch.multinomial(fit.weights, count, replacement=True, generator=generator)
        standard = torch.randn(count, fit.roots.shape[1], 1, generator=generator, dtype=torch.float64)
        flat = fit.origin + (fit.means[which] + (fit.roots[which] @ standard).squeeze(2)) @ fit.basis
        half_range = self.data.half_range
        return _at_source(flat.float().view(count, *self.shape).clamp(-half_range, half_range))

    latents = {"image": image, "mean": mean, "mixture": mixture}  # noqa: RUF012

    def _read(self) -> Dataset:
        return read_dataset(self.data, self.root or find_root())

    def _fit(self, components: tuple[int, ...]) -> "_Components":
        # Imported here, because training does not need it and it takes a second.
        from sklearn.decomposition import PCA
        from sklearn.mixture import GaussianMixture
        from threadpoolctl import threadpool_limits

        dataset = self._read()
        x = dataset.to_range(dataset.train.pixels[:FITTED_IMAGES]).flatten(1).double().numpy()  # (N, D)
        if max(components) > len(x):
            raise ThawError(
                f"{PARAMS_FILE}: a latent of morph has {max(components)} components, but {self.data.path} has only "
                f"{len(x)} training images to fit them to; take fewer components."
            )
        pca = PCA(VARIANCE_KEPT, svd_solver="full" if len(x) < x.shape[1] else "covariance_eigh")
        # NumPy's threads are not torch's; more of them than the parameters say would change the last bits.
        with threadpool_limits(torch.get_num_threads()):
            rows = pca.fit_transform(x)  # (N, K)
            fits = [GaussianMixture(number, random_state=0).fit(rows) for number in components]
            best = min(fits, key=lambda fit: fit.bic(rows))
        weights, means, covariances, basis, origin = (
            torch.from_numpy(array)
            for array in (best.weights_, best.means_, best.covariances_, pca.components_, pca.mean_)
        )
        return _Components(weights, means, torch.linalg.cholesky(covariances), basis, origin)


class _Components(NamedTuple):
    """M Gaussians over K principal components of D pixels, float64.

    weights (M,), means (M, K) and Cholesky roots (M, K, K) of the covariances; basis (K, D) and origin (D,) lead back.
    """

    weights: Tensor
    means: Tensor
    roots: Tensor
    basis: Tensor
    origin: Tensor


def _at_source(source: Tensor) -> Latent:
    return Latent(source, source)
