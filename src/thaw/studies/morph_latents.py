"""Morph: where new latents could come from, once every source image is used (seed 001, section 2.4.2)."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from thaw.params import Choice
from thaw.studies._base.measures import SHOWN, rms_distance
from thaw.studies._base.study import Outcome, Row, Strip, Study

CAPTION = """
Samples from images of the source data set, from the same images with λ times N(0, 1) added to every pixel (λ in the
units of the data's range, the noise being the same for all λ), from means of several of its images, and from a Gaussian
mixture fitted to them. The distance is the root mean square one between a sample and that of the same image without
noise, in grey values from 0 to 1. Eight samples of each are shown.
"""


def morph_latents(
    study: Study,
    *,
    noise: Sequence[Annotated[float, Field(gt=0)]] = (0.001, 0.005, 0.01, 0.1, 0.25, 0.5),
    sources: Sequence[Annotated[int, Field(ge=2)]] = (2, 5, 10, 20),
) -> Outcome:
    """Samples by `noise` on the source image, by the number of `sources` averaged, and from the mixture."""
    # The latent draws images before noise, so that every level of noise is added to the same images.
    noisy = {f"image + {level:g} noise": Choice.model_validate({"name": "image", "noise": level}) for level in noise}
    means = {f"mean of {count}": Choice.model_validate({"name": "mean", "sources": count}) for count in sources}
    plain = study.model(latent=Choice(name="image")).sample(study.count)
    table: list[Row] = [{"latent": "image", "distance": 0.0, **study.score(plain)}]
    strips = [Strip("image", plain[:SHOWN])]
    for name, latent in (noisy | means | {"mixture": Choice(name="mixture")}).items():
        images = study.model(latent=latent).sample(study.count)
        distance = rms_distance(images, plain, study.half_range).mean().item() if name in noisy else None
        table.append({"latent": name, "distance": distance, **study.score(images)})
        strips.append(Strip(name, images[:SHOWN]))
    return Outcome(table, strips)
