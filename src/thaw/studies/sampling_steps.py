"""How many sampling steps each sampler needs (Song et al. 2021, section 5.1)."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from thaw.params import Choice
from thaw.studies._base.gaussian import normal_mixture
from thaw.studies._base.study import Axes, Outcome, Row, Strip, Study

CAPTION = """
fid_classifier of generated images, with its interval, against the number of sampling steps: ancestral sampling with the
lower and the upper variance, and DDIM with and without a clamp of the estimate to the data's range. All samplers start
from the same latents. The pictures are of the fewest and the most steps.
"""
AXES = Axes(
    x="steps", y={"fid_classifier": "fid_classifier"}, x_label="sampling steps", series="sampler", log_x=True,
    log_y=True,
)  # fmt: skip
SAMPLERS = {
    "ancestral, lower": {"name": "ancestral", "variance": "lower", "clamp": True},
    "ancestral, upper": {"name": "ancestral", "variance": "upper", "clamp": True},
    "ddim": {"name": "ddim", "clamp": True},
    "ddim, no clamp": {"name": "ddim", "clamp": False},
}
SHOWN = 8


def sampling_steps(
    study: Study, *, steps: Annotated[Sequence[Annotated[int, Field(ge=1)]], Field(min_length=1)] = (5, 10, 20, 40)
) -> Outcome:
    """Score every sampler at each number of `steps`, of which none is above the budget's or the variant's T.

    Raises ThawError where the variant's source is not drawn from N(0, I).
    """
    most = min(study.params.budget.sample.steps, normal_mixture(study, study.model(), "sampling_steps").steps)
    counts = sorted({min(count, most) for count in steps})
    rows: list[Row] = []
    strips = []
    for label, sampler in SAMPLERS.items():
        for count in counts:
            images = study.model(sampler=Choice.model_validate(sampler), steps=count).sample(study.count)
            rows.append({"sampler": label, "steps": count, **study.score(images)})
            if count in (counts[0], counts[-1]):
                strips.append(Strip(f"{label}: {count}", images[:SHOWN]))
    curves = [{key: row[key] for key in ("sampler", "steps", "fid_classifier", "low", "high")} for row in rows]
    return Outcome([row for row in rows if row["steps"] == counts[-1]], strips, curves=curves)
