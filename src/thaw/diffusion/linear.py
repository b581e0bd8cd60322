"""What linear degradations share: z_T lives in a space of few dimensions, in which a Gaussian is fitted to it."""

import functools
from abc import abstractmethod
from collections.abc import Callable
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from thaw.diffusion.degradation import Degradation, Latent
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Count, Shape

PRECISION = torch.finfo(torch.float32).eps
FITTED_IMAGES = 20_000
"""Training images that Gaussians are fitted to at most: the first ones, which are a random part."""


class Gaussian(NamedTuple):
    """N(mean, root root^T) over D numbers: mean (D,) and root (D, K) for K principal components, float64."""

    mean: Tensor
    root: Tensor

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` draws, float64 of shape (count, D)."""
        components = torch.randn(count, self.root.shape[1], generator=generator, dtype=torch.float64)
        return self.mean + components @ self.root.T


def fit_gaussian(rows: Tensor, variance_kept: float = 1.0) -> Gaussian:
    """The normal with mean and covariance of `rows`, (N, D) with N >= 2, on the principal components that matter.

    Left out are the smallest components that hold together at most 1 - variance_kept of the variance, and those that
    float32 cannot tell from rounding of the largest. Computed in float64, because the variances of latents differ by
    many orders of magnitude.
    """
    rows = rows.double()
    mean = rows.mean(0)
    centred = rows - mean
    variances, components = torch.linalg.eigh(centred.T @ centred / (len(rows) - 1))  # ascending
    variances = variances.clamp(min=0)
    # Summed from the smallest on, so that rounding does not swallow it.
    kept = variances.cumsum(0) > (1 - variance_kept) * variances.sum()
    kept &= variances > PRECISION**2 * variances[-1]
    return Gaussian(mean, components[:, kept] * variances[kept].sqrt())


class Linear(Degradation):
    """A degradation without a source that is linear in x, with the latent `gaussian`."""

    def __init__(self, shape: Shape, steps: int) -> None:
        super().__init__(shape, steps)
        # Latents are drawn block by block; the images are the same as long as the function that gives them is.
        self._fitted = functools.lru_cache(maxsize=2)(self._fit)

    @abstractmethod
    def project(self, x: Tensor) -> Tensor:
        """Coordinates of z_T for float64 images x, (N, C, H, W), in the space that all z_T span: (N, D)."""

    @abstractmethod
    def expand(self, coordinates: Tensor) -> Tensor:
        """z_T, float64 of shape (N, C, H, W), from its coordinates (N, D)."""

    def gaussian(
        self,
        count: int,
        *,
        generator: torch.Generator,
        images: Callable[[], Tensor],
        variance_kept: Annotated[float, Field(gt=0, le=1)] = 1.0,
        clusters: Count = 1,
    ) -> Latent:
        """Draws from Gaussians with mean and covariance of the degraded training images, one for each of `clusters`.

        The clusters are those of k-means, drawn as often as they have images; digits of different classes leave
        different traces, which one Gaussian blends. All principal components that float32 can hold count by default: a
        network reads detail in z_T that is far too faint for the eye. Raises ThawError where a cluster has fewer than
        two images.
        """
        fits, shares = self._fitted(images, variance_kept, clusters)
        which = torch.multinomial(shares, count, replacement=True, generator=generator)
        rows = torch.stack([fit.draw(count, generator) for fit in fits])[which, torch.arange(count)]
        return Latent(self.expand(rows).float(), None)

    latents = {"gaussian": gaussian}  # noqa: RUF012

    def _fit(self, images: Callable[[], Tensor], variance_kept: float, clusters: int) -> tuple[list[Gaussian], Tensor]:
        rows = self.project(images()[:FITTED_IMAGES].double())
        if clusters == 1:
            return [fit_gaussian(rows, variance_kept)], torch.ones(1)
        # Imported here, because training does not need it and it takes a second.
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        # NumPy's threads are not torch's; more of them than the parameters say would change the last bits.
        with threadpool_limits(torch.get_num_threads()):
            label = torch.from_numpy(KMeans(clusters, n_init=1, random_state=0).fit_predict(rows.numpy()))
        counts = label.bincount(minlength=clusters)
        if counts.min() < 2:
            raise ThawError(
                f"{PARAMS_FILE}: a latent has {clusters} clusters, but {len(rows)} training images are too few to fit "
                "a Gaussian to each; take fewer clusters."
            )
        return [fit_gaussian(rows[label == k], variance_kept) for k in range(clusters)], counts.double()


class Separable(Linear):
    """z_t = A_t x A_t^T: the same matrix works on rows and on columns, and a batch may mix steps.

    `matrices` is float64 of shape (T+1, H, H), the first the identity; images are square.
    """

    def __init__(self, shape: Shape, matrices: Tensor) -> None:
        super().__init__(shape, len(matrices) - 1)
        self.matrices = matrices.float()
        last = self.matrices[-1].double()
        left, gains, _ = torch.linalg.svd(last)
        self.modes = left[:, gains > PRECISION * gains[0]]  # (H, K), what the rows and columns of z_T are made of
        self.to_modes = self.modes.T @ last  # (K, H)

    def degrade(self, x: Tensor, t: Tensor, source: Tensor | None) -> Tensor:
        """The degraded images, in float32 whatever the precision around it; x itself at t = 0."""
        matrix = self.matrices.to(x.device)[t][:, None]  # (B, 1, H, H)
        with torch.autocast(x.device.type, enabled=False):
            z = matrix @ x.float() @ matrix.mT
        return torch.where((t == 0).view(-1, 1, 1, 1), x.float(), z)

    def project(self, x: Tensor) -> Tensor:
        """The modes of rows and columns, (N, C K K)."""
        return (self.to_modes @ x @ self.to_modes.T).flatten(1)

    def expand(self, coordinates: Tensor) -> Tensor:
        """The sum of the modes."""
        width = self.modes.shape[1]
        return self.modes @ coordinates.view(len(coordinates), -1, width, width) @ self.modes.T


def group_of(size: int, groups: int) -> Tensor:
    """The group that each of `size` rows is in, for neighbouring groups that differ by at most one row, (size,)."""
    return torch.arange(size) * groups // size


def group_means(size: int, groups: int) -> Tensor:
    """The matrix that puts the mean of its group in the place of each of `size` rows, float64 (size, size)."""
    group = group_of(size, groups)
    together = (group[:, None] == group).double()
    return together / together.sum(1, keepdim=True)
