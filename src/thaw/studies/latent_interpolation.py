"""Images on the way between two latents (seed 003, section 2.3; for a DDPM Song et al. 2021, section 5.3)."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from thaw.diffusion.degradation import Mixture, NormalMixture
from thaw.params import Choice, Count
from thaw.studies._base.measures import rms_distance
from thaw.studies._base.study import Outcome, Row, Strip, Study

CAPTION = """
Images sampled without randomness from latents at even distances between two ends, a row for each pair: on the great
circle where latents are normal noise that is denoised, on the straight line otherwise. Distances are root mean squares
in grey values from 0 to 1: between the ends, the mean between neighbours, and the largest share that one pair of
neighbours has in the sum, which would be 1 over their number if all were as far apart.
"""


def latent_interpolation(study: Study, *, pairs: Count = 6, images: Annotated[int, Field(ge=3)] = 9) -> Outcome:
    """Rows of `images` between `pairs` of latents, sampled with DDIM where the degradation is a mixture."""
    model = study.model()
    if isinstance(model.degradation, Mixture):
        model = study.model(sampler=Choice(name="ddim"))
    path = slerp if isinstance(model.degradation, NormalMixture) else torch.lerp
    first, second = model.draw_latents(2 * pairs).z.double().chunk(2)
    shares = torch.linspace(0, 1, images, dtype=torch.float64)
    z = torch.stack([path(first, second, share) for share in shares], 1)  # (pairs, images, C, H, W)
    drawn = model.restore(z.float().flatten(0, 1), model.degradation.steps).unflatten(0, (pairs, images))
    table: list[Row] = []
    for pair, row in enumerate(drawn, 1):
        steps = rms_distance(row[1:], row[:-1], study.half_range)
        length = steps.sum()
        table.append({
            "pair": f"pair {pair}",
            "ends": rms_distance(row[:1], row[-1:], study.half_range).item(),
            "neighbours": steps.mean().item(),
            "largest_share": (steps.max() / length).item() if length > 0 else None,
        })  # fmt: skip
    return Outcome(table, [Strip(f"pair {pair}", row) for pair, row in enumerate(drawn, 1)])


def slerp(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """The point at `share` of the arc between each of `first` and its partner, (n, C, H, W); no two may be parallel.

    Normal noise in many dimensions keeps its length on the arc and loses it on the straight line.
    """
    lengths = first.flatten(1).norm(dim=1) * second.flatten(1).norm(dim=1)
    cosine = (first * second).flatten(1).sum(1) / lengths
    angle = cosine.arccos().view(-1, 1, 1, 1)
    return ((1 - share) * angle).sin() / angle.sin() * first + (share * angle).sin() / angle.sin() * second
