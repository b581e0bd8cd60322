"""Blur: why samples from uniform images fail, and what cures them (seed 000, section 3.3)."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from thaw.params import Choice, Count
from thaw.studies._base.measures import SHOWN
from thaw.studies._base.study import Outcome, Row, Strip, Study

CAPTION = """
Samples from uniform images (level), from these with N(0, 1) times the number given added to every pixel, in the units
of the data's range, from a Gaussian fitted to the blurred training images, from one Gaussian for each of their
clusters, and from blurred test images, which a sampler of latents cannot surpass. The table's spatial rms is how much
z_T varies about its own mean, the root mean square over pixels and images in grey values from 0 to 1. Eight samples of
each are shown.
"""

TRUE = "blurred test images"


def blur_latents(
    study: Study,
    *,
    noise: Sequence[Annotated[float, Field(gt=0)]] = (0.002, 0.01),
    clusters: Sequence[Count] = (1, 30),
) -> Outcome:
    """Samples by latent, by `noise` on the uniform ones, by the `clusters` of Gaussians, and from true z_T."""
    latents = {"level": Choice(name="level")}
    for level in noise:
        latents[f"level + {level:g} noise"] = Choice.model_validate({"name": "level", "noise": level})
    for count in clusters:
        name = "gaussian" if count == 1 else f"{count} gaussians"
        latents[name] = Choice.model_validate({"name": "gaussian", "clusters": count})
    table: list[Row] = []
    strips: list[Strip] = []

    def add(name: str, z: Tensor, images: Tensor) -> None:
        table.append({"latent": name, "spatial_rms": spatial_rms(z, study.half_range), **study.score(images)})
        strips.append(Strip(name, images[:SHOWN]))

    for name, latent in latents.items():
        model = study.model(latent=latent)
        add(name, model.draw_latents(study.count).z, model.sample(study.count))
    model, x = study.model(), study.test_images(study.count)
    last = model.degradation.steps
    add(TRUE, model.degrade(x, last), model.reconstruct(x, last))
    return Outcome(table, strips)


def spatial_rms(z: Tensor, half_range: float) -> float:
    """The root mean square, over pixels and images, of z about each image's and channel's mean, in grey values."""
    centred = z.double() - z.double().mean((2, 3), keepdim=True)
    return centred.square().mean().sqrt().item() / (2 * half_range)
