"""The variational bound on the likelihood of images under Gaussian noise, term by term (Ho et al. 2020, equation 5).

The model is the chain of its ancestral sampler at all T steps, with that sampler's variance and clamp. All terms are in
nats, one number an image; x has D = C H W dimensions.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from thaw.data.images import LEVELS
from thaw.diffusion.degradation import NormalMixture

Estimate = Callable[[Tensor, Tensor], Tensor]
"""z of shape (B, C, H, W) and its steps t, int64 of shape (B,), to the estimate of x, of the shape of z."""
Variance = Literal["lower", "upper"]


class Bound(NamedTuple):
    """The terms of the bound for each of B images, in nats, float64.

    `prior` is L_T and `decoder` L_0, both (B,); `steps` is (B, K) and holds the sum of L_(t-1) over each stratum of t.
    """

    prior: Tensor
    steps: Tensor
    decoder: Tensor

    def bits_per_dim(self, dimensions: int) -> Tensor:
        """The whole bound in bits per dimension, (B,)."""
        return (self.prior + self.steps.sum(1) + self.decoder) / (dimensions * math.log(2))


def prior_term(x: Tensor, degradation: NormalMixture) -> Tensor:
    """L_T = KL(q(z_T | x) || N(0, I)) of images (B, C, H, W), (B,)."""
    kept = degradation.alpha_bar[-1].item()
    per_pixel = (1 - kept + kept * x.double().square() - 1 - math.log(1 - kept)) / 2
    return per_pixel.flatten(1).sum(1)


def step_term(x: Tensor, estimate: Tensor, t: Tensor, degradation: NormalMixture, variance: Variance) -> Tensor:
    """L_(t-1) = KL(q(z_(t-1) | z_t, x) || p(z_(t-1) | z_t)) for steps t of 2..T, int64 (B,); the result is (B,).

    Both are the Gaussians of ancestral sampling, of the image and of its estimate (B, C, H, W). p has the variance of q
    (`lower`) or beta_t (`upper`).
    """
    now, before = degradation.alpha_bar[t], degradation.alpha_bar[t - 1]
    beta = 1 - now / before
    weight = before.sqrt() * beta / (1 - now)  # of the image in the mean
    of_q = beta * (1 - before) / (1 - now)
    of_p = of_q if variance == "lower" else beta
    apart = (x.double() - estimate.double()).square().flatten(1).sum(1)
    dimensions = x[0].numel()
    return dimensions / 2 * (of_q / of_p - 1 + (of_p / of_q).log()) + weight.square() * apart / (2 * of_p)


def decoder_term(x: Tensor, estimate: Tensor, degradation: NormalMixture, half_range: float) -> Tensor:
    """L_0 = -log p(x | z_1): the mass of N(estimate, beta_1) in the interval of each grey level (B,).

    Images are (B, C, H, W), on the 256 levels over [-half_range, half_range]; the intervals of the lowest and highest
    level reach to infinity (Ho et al. 2020, equation 13).
    """
    x, estimate = x.double(), estimate.double()
    deviation = math.sqrt(1 - degradation.alpha_bar[1].item())
    half_width = half_range / LEVELS
    above = torch.where(x > half_range - half_width, torch.inf, (x + half_width - estimate) / deviation)
    below = torch.where(x < half_width - half_range, -torch.inf, (x - half_width - estimate) / deviation)
    # In the upper tail both distribution values are 1 to the last bit, so the interval is mirrored into the lower one.
    flipped = below > 0
    above, below = torch.where(flipped, -below, above), torch.where(flipped, -above, below)
    top, bottom = torch.special.log_ndtr(above), torch.special.log_ndtr(below)
    return -(top + torch.log1p(-torch.exp(bottom - top))).flatten(1).sum(1)


def strata(steps: int, count: int) -> list[tuple[int, int]]:
    """At most `count` intervals of t, both ends included, that together are 2..T; empty where T is 1.

    They grow evenly in length with t: the terms are largest, and change fastest, at small t.
    """
    ends = sorted({1 + math.ceil((steps - 1) * (k / count) ** 2) for k in range(count + 1)})
    return [(low + 1, high) for low, high in pairwise(ends)]


def variational_bound(
    estimate: Estimate,
    degradation: NormalMixture,
    x: Tensor,
    intervals: Sequence[tuple[int, int]],
    stream: torch.Generator,
    *,
    half_range: float,
    variance: Variance = "lower",
    clamp: bool = True,
) -> Bound:
    """The bound of images x, float32 (B, C, H, W) on the 256 levels, with one step drawn from each interval.

    `intervals` are those of `strata`: a term L_(t-1) at a t drawn evenly from one, times the number of its steps, has
    the sum over the interval as its mean. `clamp` brings estimates into the data's range, as the sampler does.
    """

    def answer(t: Tensor) -> Tensor:
        source = degradation.draw_source(len(x), stream, "test").to(x)
        clean = estimate(degradation.degrade(x, t, source), t)
        return clean.clamp(-half_range, half_range) if clamp else clean

    terms = []
    for low, high in intervals:
        t = torch.randint(low, high + 1, (len(x),), generator=stream)
        terms.append((high - low + 1) * step_term(x, answer(t), t, degradation, variance))
    first = torch.ones(len(x), dtype=torch.int64)
    steps = torch.stack(terms, 1) if terms else torch.zeros(len(x), 0, dtype=torch.float64)
    return Bound(prior_term(x, degradation), steps, decoder_term(x, answer(first), degradation, half_range))
