"""Direct and iterative restoration by severity (seed 001, figure 13; Bansal et al. 2022, section 5)."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from thaw.studies._base.cold import cold_models
from thaw.studies._base.measures import SHOWN, restoration_scores, rms_distance, sharpness
from thaw.studies._base.study import Axes, Outcome, Row, Strip, Study

CAPTION = """
Test images degraded to step t and restored at once (direct), or step by step with the naive or the improved sampler.
Errors and distances are root mean squares in grey values from 0 to 1; from_naive is the distance from what the naive
sampler gives. Sharpness is the mean length of the gradient, relative to that of the originals. The source of a mixture
is known to the sampler and held, which gives the answer away, or estimated at each step.
"""

AXES = Axes(
    x="severity",
    y={"rmse": "RMSE", "sharpness": "sharpness of the originals", "class_preservation": "class kept"},
    x_label="severity t / T",
)

DRAWN = (0.5, 0.9, 1.0)
"""Severities of which strips are shown."""


def restoration(
    study: Study, *, severities: Sequence[Annotated[float, Field(gt=0, le=1)]] = (0.25, 0.5, 0.75, 1.0)
) -> Outcome:
    """Restorations by sampler and by severity t / T."""
    x = study.test_images(study.count)
    original = sharpness(x, study.half_range)
    models = cold_models(study)
    last = models["direct"].degradation.steps
    table: list[Row] = []
    curves: list[Row] = []
    strips = [Strip("original", x[:SHOWN])]
    for severity in severities:
        t = max(1, round(severity * last))
        restored = {label: model.reconstruct(x, t) for label, model in models.items()}
        for label, images in restored.items():
            scores = restoration_scores(study, images)
            scores["sharpness"] = sharpness(images, study.half_range) / original
            distance = rms_distance(images, restored["naive"], study.half_range).mean().item()
            table.append({"restoration": f"{label} from t = {t}", **scores, "from_naive": distance})
            curves.append({
                "series": label, "severity": severity, "rmse": scores["rmse"], "low": scores["low"],
                "high": scores["high"], "sharpness": scores["sharpness"],
                "class_preservation": scores.get("class_preservation"),
            })  # fmt: skip
        if severity in DRAWN:
            strips.append(Strip(f"z, t = {t}", models["direct"].degrade(x[:SHOWN], t)))
            strips += [Strip(f"{label}, t = {t}", images[:SHOWN]) for label, images in restored.items()]
    return Outcome(table, strips, curves=curves)
