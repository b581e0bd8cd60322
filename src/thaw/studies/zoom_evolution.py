"""Zoom: what the network predicts at every level, and how z changes while sampling (seed 002, figures 10 to 12)."""

import torch
from torch import Tensor

from thaw.params import Choice, Count
from thaw.studies._base.measures import restoration_scores
from thaw.studies._base.study import Outcome, Strip, Study

CAPTION = """
Test images x, their degradations z and the network's predictions from them, by the level of zoom t; then z of samples
on their way from the last level (right) to the sample (left). The table gives the prediction's root mean square error
and similarity to x, in grey values from 0 to 1, and the share of predictions that keep the class of x.
"""

PREDICTED, SAMPLED = 3, 4
"""Test images and samples that are shown."""


def zoom_evolution(study: Study, *, every: Count = 3) -> Outcome:
    """Predictions from, and z while sampling at, the last level and every so many below it."""
    model = study.model()
    last = model.degradation.steps
    levels = sorted(range(last, 0, -every))
    x = study.test_images(study.count)
    degraded = {t: model.degrade(x, t) for t in levels}
    direct = study.model(sampler=Choice(name="direct"))
    predicted = {t: direct.restore(z, t) for t, z in degraded.items()}

    visited: dict[int, Tensor] = {}

    def watch(t: int, z: Tensor, clean: Tensor) -> None:
        visited[t] = z.cpu()

    visited[0] = model.sample(SAMPLED, steps=last, callback=watch)
    strips: list[Strip] = []
    for image in range(PREDICTED):
        strips.append(Strip(f"z of image {image + 1}", torch.stack([x[image], *(degraded[t][image] for t in levels)])))
        strips.append(Strip(f"prediction {image + 1}", torch.stack([x[image], *(predicted[t][image] for t in levels)])))
    for image in range(SAMPLED):
        strips.append(Strip(f"z of sample {image + 1}", torch.stack([visited[t][image] for t in (0, *levels)])))
    return Outcome(
        [{"level": f"t = {t}", **restoration_scores(study, predicted[t])} for t in levels],
        strips,
        [f"t = {t}" for t in (0, *levels)],
    )
