"""What the schedule alone costs: sampling with the exact denoiser of a few images in place of a network.

The posterior mean of finitely many images is known (Karras et al. 2022, appendix B.3), and a perfect sampler would draw
each of them equally often. Whatever differs is due to the schedule, the number of steps, and the start from N(0, I).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from thaw.core.randomness import generator
from thaw.diffusion.degradation import Latent, NormalMixture
from thaw.diffusion.denoising import posterior_mean, subsequence
from thaw.params import Count
from thaw.samplers.ancestral import ancestral
from thaw.studies._base.schedules import SCHEDULES, NoiseProcess
from thaw.studies._base.study import Axes, Outcome, Row, Strip, Study

CAPTION = """
Ancestral sampling with the exact denoiser of a few training images, the points, in the number of steps of the table and
in all T. Off the data are samples that are further from every point than a tenth of the median distance between nearest
neighbours among the points; points hit is the share of points that the other samples are at, beside what equal chances
would lead to; the dispersion of hits is the variance of their numbers over the one of equal chances.
"""
AXES = Axes(
    x="steps", y={"off_data": "share of samples off the data", "hit": "share of images that are hit"},
    x_label="sampling steps", series="schedule", log_x=True,
)  # fmt: skip
OFF_DATA = 0.1
"""How far off the data is, in median distances between a point and its nearest neighbour."""
SHOWN = 10


class Hits(NamedTuple):
    """How samples fall on points: the share of samples off all of them, the share of points hit, the dispersion."""

    off_data: float
    hit: float
    dispersion: float | None


def exact_denoiser(
    study: Study,
    *,
    schedules: Annotated[Mapping[str, NoiseProcess], Field(min_length=1)] = SCHEDULES,
    points: Annotated[int, Field(ge=2)] = 300,
    steps: Sequence[Count] = (10, 20, 100),
    variance: Literal["lower", "upper"] = "lower",
) -> Outcome:
    """Sample with the posterior mean of `points` training images, per schedule.

    In the budget's number of steps, each number of `steps`, and all T, with the ancestral sampler's `variance` and no
    clamp. Raises ThawError where a schedule is wrong.
    """
    x = study.train_images(points)
    flat = x.flatten(1)
    # An orthonormal basis of the points' span. Noise is isotropic, and what is orthogonal to all points neither changes
    # their posterior nor is left at t = 0, so sampling their coordinates is sampling images, at less cost.
    basis = torch.linalg.qr(flat.double().T).Q.float()  # (D, K), K = min(D, N)
    data = (flat @ basis)[:, :, None, None]  # (N, K, 1, 1)

    drawn = torch.randint(len(x), (study.count,), generator=generator("exact denoiser", "draws"))
    expected = 1 - (1 - 1 / len(x)) ** study.count
    found = hits(data[drawn], data)
    table: list[Row] = [
        {"schedule": "draws of the points", "points": len(x), "steps": None, "alpha_bar_T": None, **found._asdict(),
         "hit_expected": expected, "off_data_T": None, "hit_T": None, **study.score(x[drawn])}
    ]  # fmt: skip
    strips = [Strip("draws of the points", x[drawn][:SHOWN])]
    curves: list[Row] = []
    for name, process in schedules.items():
        degradation = process.degradation(study.params.data.shape, name)
        last = degradation.steps
        budget = min(study.params.budget.sample.steps_with_schedule, last)
        results: dict[int, tuple[Tensor, Hits]] = {}
        for count in sorted({budget, last, *(min(count, last) for count in steps)}):
            samples = sample_exactly(data, degradation, study.count, count, variance)
            found = hits(samples, data)
            curves.append({"schedule": name, "steps": count, "off_data": found.off_data, "hit": found.hit})
            results[count] = samples, found
        (samples, found), (_, all_steps) = results[budget], results[last]
        images = (samples.flatten(1) @ basis.T).view(-1, *degradation.shape)
        table.append({
            "schedule": name, "points": len(x), "steps": budget, "alpha_bar_T": degradation.alpha_bar[-1].item(),
            **found._asdict(), "hit_expected": expected, "off_data_T": all_steps.off_data, "hit_T": all_steps.hit,
            **study.score(images),
        })  # fmt: skip
        strips.append(Strip(name, images[:SHOWN]))
    return Outcome(table, strips, curves=curves)


@torch.inference_mode()
def sample_exactly(
    points: Tensor, degradation: NormalMixture, count: int, steps: int, variance: Literal["lower", "upper"]
) -> Tensor:
    """`count` samples of the points (N, C, H, W), of the shape (count, C, H, W), by their posterior mean."""
    stream = generator("exact denoiser", degradation.steps, steps)

    def noise(z: Tensor) -> Tensor:
        return torch.randn(z.shape, generator=stream)

    # The start is the same for all schedules and numbers of steps.
    start = torch.randn(count, *points.shape[1:], generator=generator("exact denoiser", "start"))
    return ancestral(
        posterior_mean(points, degradation.alpha_bar), Latent(start, start), subsequence(degradation.steps, steps),
        degradation=degradation, noise=noise, half_range=torch.inf, variance=variance, clamp=False,
    )  # fmt: skip


def hits(samples: Tensor, points: Tensor) -> Hits:
    """Which of the points, (N, C, H, W) with N >= 2, samples (n, C, H, W) are nearest to.

    A sample is off the data where the nearest point is further than OFF_DATA of the median distance between a point and
    its nearest neighbour; then it hits none. The dispersion is the chi-squared statistic of the numbers of hits against
    equal chances, over its expectation N - 1; None where nothing is hit.
    """
    flat = points.flatten(1).double()
    between = torch.cdist(flat, flat).fill_diagonal_(torch.inf)
    limit = OFF_DATA * between.amin(1).median()
    distance, nearest = torch.cdist(samples.flatten(1).double(), flat, compute_mode="donot_use_mm_for_euclid_dist").min(
        1
    )
    on = distance <= limit
    counts = torch.bincount(nearest[on], minlength=len(flat)).double()
    mean = counts.mean()
    return Hits(
        (~on).double().mean().item(),
        (counts > 0).double().mean().item(),
        ((counts - mean).square().sum() / mean / (len(flat) - 1)).item() if on.any() else None,
    )
