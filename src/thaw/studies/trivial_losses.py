"""The loss of predictors that know nothing of the image, by schedule (seed 000 section 2.4 and figure 5).

Where most z_t are noise and little else, returning z_t predicts the noise almost perfectly, so a low loss says nothing
about the samples.
"""

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from thaw.params import Count
from thaw.studies._base.schedules import SCHEDULES, NoiseProcess
from thaw.studies._base.study import Axes, Outcome, Row, Study

CAPTION = """
The mean squared error per pixel in predicting the noise from z_t without any network, against t/T: of returning z_t,
and of returning the best multiple of z_t at each t, in closed form from the mean square of the training images' pixels.
The table gives the means over t = 1 to T, to compare a training loss with; returning zero costs 1 under every schedule.
"""
AXES = Axes(
    x="tau", y={"z_t": "loss of returning z_t", "best_multiple": "loss of the best multiple of z_t"}, x_label="t/T",
    series="schedule", log_y=True,
)  # fmt: skip
POINTS = 101


def trivial_losses(
    study: Study,
    *,
    schedules: Annotated[Mapping[str, NoiseProcess], Field(min_length=1)] = SCHEDULES,
    images: Count = 5000,
) -> Outcome:
    """The losses per schedule, for the mean square of the pixels of so many training `images`.

    Raises ThawError where a schedule is wrong.
    """
    power = study.train_images(images).double().square().mean().item()
    table: list[Row] = []
    curves: list[Row] = []
    for name, process in schedules.items():
        degradation = process.degradation(study.params.data.shape, name)
        last = degradation.steps
        found = losses(degradation.alpha_bar, power)
        means = {key: loss[1:].mean().item() for key, loss in found.items()}
        table.append({"schedule": name, "T": last, "alpha_bar_T": degradation.alpha_bar[-1].item(), **means})
        for t in sorted({max(1, round(last * k / (POINTS - 1))) for k in range(POINTS)}):
            values = {key: found[key][t].item() for key in AXES.y}
            curves.append({"schedule": name, "t": t, "tau": t / last, **values})
    return Outcome(table, curves=curves)


def losses(alpha_bar: Tensor, power: float) -> dict[str, Tensor]:
    """The mean squared error of predictions of epsilon at t = 0..T, each float64 of shape (T+1,) as alpha_bar is.

    z = a x + b epsilon with E[x^2] = `power` per pixel and epsilon ~ N(0, 1) independent of x. Returning c z costs
    c^2 a^2 E[x^2] + (1 - c b)^2: c = 0 and c = 1, and the c = b / (a^2 E[x^2] + b^2) that makes it least.
    """
    signal, noise = alpha_bar * power, 1 - alpha_bar
    return {
        "zero": torch.ones_like(alpha_bar),
        "z_t": signal + (1 - noise.sqrt()).square(),
        "best_multiple": signal / (signal + noise),
    }
