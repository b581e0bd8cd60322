"""How many sampling steps each sampler needs (Song et al. 2021, section 5.1)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from thaw.params import Choice, Count
from thaw.studies._base.gaussian import normal_mixture
from thaw.studies._base.study import Axes, Outcome, Row, Strip, Study

CAPTION = """
fid_classifier of generated images, with its interval, against the number of sampling steps, by sampler: ancestral with
the lower or the upper variance, DDIM with or without a clamp of the estimate to the data's range. All samplers start
from the same latents. The pictures of several samplers are of the fewest and the most steps.
"""
AXES = Axes(
    x="steps", y={"fid_classifier": "fid_classifier"}, x_label="sampling steps", series="sampler", log_x=True,
    log_y=True,
)  # fmt: skip
Name = Literal["ancestral, lower", "ancestral, upper", "ddim", "ddim, no clamp"]
SAMPLERS: dict[Name, dict[str, str | bool]] = {
    "ancestral, lower": {"name": "ancestral", "variance": "lower", "clamp": True},
    "ancestral, upper": {"name": "ancestral", "variance": "upper", "clamp": True},
    "ddim": {"name": "ddim", "clamp": True},
    "ddim, no clamp": {"name": "ddim", "clamp": False},
}
INTERVAL = ("fid_classifier", "low", "high")
SHOWN = 8


def sampling_steps(
    study: Study, *, steps: Annotated[Sequence[Count], Field(min_length=1)] = (5, 10, 20, 40),
    samplers: Annotated[Sequence[Name], Field(min_length=1)] = tuple(SAMPLERS),
) -> Outcome:  # fmt: skip
    """Score each of `samplers` at each number of `steps`, of which those above the variant's T count as T.

    Raises ThawError where the variant's source is not drawn from N(0, I).
    """
    last = normal_mixture(study, study.model(), "sampling_steps").steps
    counts = sorted({min(count, last) for count in steps})
    shown = counts if len(samplers) == 1 else (counts[0], counts[-1])
    table: list[Row] = []
    curves: list[Row] = []
    strips = []
    for label in samplers:
        for count in counts:
            sampler = Choice.model_validate(SAMPLERS[label])
            images = study.model(sampler=sampler, steps=count).sample(study.count)
            scores = study.score(images)
            table.append({"sampler": f"{label}, {count} steps", **scores})
            curves.append({"sampler": label, "steps": count, **{key: scores[key] for key in INTERVAL}})
            if count in shown:
                strips.append(Strip(f"{label}: {count}", images[:SHOWN]))
    return Outcome(table, strips, curves=curves)
