"""Every figure of the report, drawn once, from git-tracked artifacts.

A figure is a function of the artifacts that returns a Drawing, or None where none of its artifacts exist. Captions and
alternative texts are made with the figure, so that they say what is in it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from thaw.artifacts import Artifacts
from thaw.params import Params
from thaw.reporting import evaluation_figures, process_figures, sheet_figures, training_figures
from thaw.reporting.animations import animations
from thaw.reporting.drawing import Animation, Drawing
from thaw.reporting.network_figures import network
from thaw.reporting.results import pictures
from thaw.reporting.study_figures import draw_comparison, draw_study

STYLE = Path(__file__).parent / "style.mplstyle"
OVERVIEWS: dict[str, Callable[[Artifacts, Params], Drawing | None]] = {
    "schedules": process_figures.schedules,
    "forward": process_figures.forward,
    "markov-chain": process_figures.markov_chain,
    "normality": process_figures.normality,
    "central-pixels": process_figures.central_pixels,
    "loss": training_figures.loss,
    "fid": training_figures.fid,
    "overview": sheet_figures.overview,
    "chains": sheet_figures.chains,
    "severity": evaluation_figures.severity,
    "test-loss": evaluation_figures.test_loss,
    "likelihood": evaluation_figures.likelihood,
    "classes": evaluation_figures.classes,
    "extrapolation": evaluation_figures.extrapolation,
}


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
        yield f"network-{name}", network(artifacts, name)
    for name in sheet_figures.SHEETS:
        for variant in params.compared:
            if name in pictures(params, variant):
                yield f"{name}-{variant}", sheet_figures.of_variant(artifacts, params, name, variant)
    for key in (*params.studies.trained, *params.studies.untrained):
        yield f"study-{key}", draw_study(artifacts, params, key)
    for key in params.studies.compared:
        yield f"study-{key}", draw_comparison(artifacts, params, key)
    yield from animations(artifacts, params).items()
