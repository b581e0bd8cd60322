"""Every figure of the report, drawn once, from git-tracked artifacts.

A figure is a function of the artifacts that returns a Drawing, or None where none of its artifacts exist. Captions and
alternative texts are made with the figure, so that they say what is in it.
"""

from collections.abc import Iterator

import matplotlib as mpl
import matplotlib.pyplot as plt

from thaw.figures import evaluation, process, sheet, training
from thaw.figures import ranking as ranked
from thaw.figures.animations import animations
from thaw.figures.drawing import STYLE, Animation, Drawing, Overview
from thaw.figures.network import network
from thaw.figures.study import draw_comparison, draw_study, schedule_steps
from thaw.params import Params
from thaw.results.layout import Artifacts
from thaw.results.measurements import pictures

_OVERVIEWS: tuple[Overview, ...] = (
    ranked.ranking, process.schedules, process.forward, process.markov_chain, process.normality, process.central_pixels,
    training.loss, training.schedule_losses, training.fid, sheet.overview, sheet.chains, evaluation.severity,
    schedule_steps, evaluation.test_loss, evaluation.likelihood, evaluation.classes, evaluation.extrapolation,
)  # fmt: skip
OVERVIEWS = {draw.__name__.replace("_", "-"): draw for draw in _OVERVIEWS}
"""The figures of several variants: the name of one is that of its function, with hyphens."""


def draw_all(artifacts: Artifacts, params: Params) -> Iterator[tuple[str, Drawing | Animation]]:
    """Every figure that the artifacts allow, each with its name, in the report's style while it is held.

    A figure is closed when the next one is asked for.
    """
    mpl.use("agg")
    with plt.style.context(STYLE), mpl.rc_context({"figure.max_open_warning": 0}):  # a style cannot set this
        for name, drawing in _all(artifacts, params):
            if drawing:
                yield name, drawing
                plt.close("all")


def _all(artifacts: Artifacts, params: Params) -> Iterator[tuple[str, Drawing | Animation | None]]:
    for name, draw in OVERVIEWS.items():
        yield name, draw(artifacts, params)
    for name in dict.fromkeys(params.variant(variant).train.network.name for variant in params.compared):
        yield f"network-{name}", network(artifacts, params, name)
    for name in sheet.SHEETS:
        for variant in params.compared:
            if name in pictures(params, variant):
                yield f"{name}-{variant}", sheet.of_variant(artifacts, params, name, variant)
    for key in (
        key for key in (*params.studies.trained, *params.studies.untrained) if key not in params.schedule_steps
    ):
        yield f"study-{key}", draw_study(artifacts, params, key)
    for key in params.studies.compared:
        yield f"study-{key}", draw_comparison(artifacts, params, key)
    yield from animations(artifacts, params).items()
