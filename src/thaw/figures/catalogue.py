"""Every figure of the report, drawn once, from git-tracked artifacts.

A figure is a function of the artifacts that returns a Drawing, or None where none of its artifacts exist. Captions and
alternative texts are made with the figure, so that they say what is in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import matplotlib as mpl
import matplotlib.pyplot as plt

from thaw.errors import ThawError
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

    A figure is closed when the next one is asked for. Raises ThawError where an artifact is damaged.
    """
    mpl.use("agg")
    with plt.style.context(STYLE), mpl.rc_context({"figure.max_open_warning": 0}):  # a style cannot set this
        for name, drawing in _all(artifacts, params):
            if drawing:
                yield name, drawing
                plt.close("all")


def _all(artifacts: Artifacts, params: Params) -> Iterator[tuple[str, Drawing | Animation | None]]:
    draws: dict[str, Overview] = dict(OVERVIEWS)
    for name in dict.fromkeys(params.variant(variant).train.network.name for variant in params.compared):
        draws[f"network-{name}"] = partial(network, name=name)
    for name in sheet.SHEETS:
        for variant in params.compared:
            if name in pictures(params, variant):
                draws[f"{name}-{variant}"] = partial(sheet.of_variant, name=name, variant=variant)
    for key in (*params.studies.trained, *params.studies.untrained):
        if key not in params.schedule_steps:
            draws[f"study-{key}"] = partial(draw_study, key=key)
    for key in params.studies.compared:
        draws[f"study-{key}"] = partial(draw_comparison, key=key)
    for name, draw in draws.items():
        with _naming(f"the figure {name}"):
            drawing = draw(artifacts, params)
        yield name, drawing
    with _naming("an animation"):
        moving = animations(artifacts, params)
    yield from moving.items()


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """Let an error say what was drawn when columns or tiles were missing in files that could be read."""
    try:
        yield
    except ThawError:
        raise
    except Exception as error:
        raise ThawError(
            f"{what} cannot be drawn, since what it shows is not all there ({type(error).__name__}: {error}); `git "
            "checkout -- results` restores what git has, and `thaw repro` makes the rest again."
        ) from error
