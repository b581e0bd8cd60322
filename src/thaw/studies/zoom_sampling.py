"""Zoom: whole centres instead of independent pixels, and noise while sampling (seed 002, sections 3.3 and 4)."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from thaw.params import Choice
from thaw.studies._base.measures import SHOWN
from thaw.studies._base.study import Outcome, Strip, Study

CAPTION = """
Samples from centres whose pixels are drawn independently, from whole centres of training images, from these centres
with noise, and from these centres with noise on what the network sees at every step. The noise is N(0, 1) times the
number given, in the units of the data's range. Eight samples of each are shown; those from centres come from the same
ones.
"""


def zoom_sampling(
    study: Study,
    *,
    latent_noise: Sequence[Annotated[float, Field(gt=0)]] = (0.1,),
    step_noise: Sequence[Annotated[float, Field(gt=0)]] = (0.05, 0.1),
) -> Outcome:
    """Samples by latent, by `latent_noise` on the centres, and by `step_noise` before every denoising."""
    naive = Choice(name="cold_naive")
    models = {name: study.model(latent=Choice(name=name), sampler=naive) for name in ("pixels", "centres")}
    for level in latent_noise:
        models[f"centres + {level:g} noise"] = study.model(
            latent=Choice.model_validate({"name": "centres", "noise": level}), sampler=naive
        )
    for level in step_noise:
        models[f"centres, {level:g} noise at each step"] = study.model(
            latent=Choice(name="centres"), sampler=Choice.model_validate({"name": "cold_naive", "step_noise": level})
        )
    samples = {name: model.sample(study.count) for name, model in models.items()}
    return Outcome(
        [{"sampling": name, **study.score(images)} for name, images in samples.items()],
        [Strip(name, images[:SHOWN]) for name, images in samples.items()],
    )
