"""What a clamp of the estimate of x to the data's range does to each sampler (Ho et al. 2020, section 3.2)."""

from torch import Tensor

from thaw.params import Choice, Count
from thaw.studies._base.gaussian import normal_mixture
from thaw.studies._base.study import Outcome, Row, Strip, Study

CAPTION = """
Generated images with and without a clamp of the estimate of x to the data's range before each update, by sampler, from
the same latents. `outside` is the share of their pixels that lie outside that range, before they are clipped to be
shown and scored.
"""
SAMPLERS = {
    "ancestral, lower": {"name": "ancestral", "variance": "lower"},
    "ancestral, upper": {"name": "ancestral", "variance": "upper"},
    "ddim": {"name": "ddim"},
}
SHOWN = 10


def clamping(study: Study, *, steps: Count = 20) -> Outcome:
    """Score every sampler with and without the clamp in at most `steps` steps.

    Raises ThawError where the variant's source is not drawn from N(0, I).
    """
    model = study.model()
    steps = min(steps, model.steps, normal_mixture(study, model, "clamping").steps)
    table: list[Row] = []
    strips = []
    for sampler, options in SAMPLERS.items():
        for clamp in (True, False):
            choice = Choice.model_validate({**options, "clamp": clamp})
            images = study.model(sampler=choice, steps=steps).sample(study.count)
            label = f"{sampler}, {'clamp' if clamp else 'no clamp'}"
            outside = share_outside(images, study.half_range)
            table.append({"sampler": label, "steps": steps, "outside": outside, **study.score(images)})
            strips.append(Strip(label, images[:SHOWN]))
    return Outcome(table, strips)


def share_outside(images: Tensor, half_range: float) -> float:
    """The share of values that lie outside [-half_range, half_range], of images of any shape."""
    return (images.abs() > half_range).double().mean().item()
