"""The noise that the network predicts before and after training (seed 003 section 2.1 and figure 4)."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from thaw.diffusion.degradation import NormalMixture
from thaw.model import Model
from thaw.studies._base.gaussian import normal_mixture
from thaw.studies._base.study import Outcome, Row, Strip, Study

CAPTION = """
For two test images, at growing t from left to right: z_t, the noise in it, and the noise that the network predicts
before and after its training, where black and white are three standard deviations of noise from grey. The table gives
the mean square of the prediction, which is 1 for the true noise, and its correlation with the true noise over n images.
"""
DEVIATIONS = 3
"""Standard deviations of noise that are shown from grey to white."""
SHOWN = 2


def predicted_noise(
    study: Study,
    *,
    fractions: Annotated[Sequence[Annotated[float, Field(gt=0, le=1)]], Field(min_length=1)] = (
        0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0,
    ),
) -> Outcome:  # fmt: skip
    """Predict the noise in degraded test images at each of the `fractions` of T.

    Where the network predicts something else, the noise is the one that its estimate of x implies. Raises ThawError
    where the variant's source is not drawn from N(0, I).
    """
    trained = study.model()
    mixture = normal_mixture(study, trained, "predicted_noise")
    untrained = study.untrained()
    x = study.test_images(study.count)
    steps = sorted({max(1, round(fraction * mixture.steps)) for fraction in fractions})
    table: list[Row] = []
    columns = []
    for t in steps:
        z = trained.degrade(x, t)
        noise = mixture.solve_source(z, x, torch.full((len(x),), t))
        before, after = (predict_noise(model, mixture, z, t) for model in (untrained, trained))
        table.append({
            "t": t, "alpha_bar": mixture.alpha_bar[t].item(),
            "mean_square_before": before.square().mean().item(), "mean_square_after": after.square().mean().item(),
            "correlation_before": correlation(before, noise), "correlation_after": correlation(after, noise),
            "n": len(x),
        })  # fmt: skip
        shown = [picture[:SHOWN] * study.half_range / DEVIATIONS for picture in (noise, before, after)]
        columns.append(torch.stack([z[:SHOWN], *shown], dim=1))  # (images, rows, C, H, W)
    pictures = torch.stack(columns, dim=2)  # (images, rows, columns, C, H, W)
    labels = ("z_t", "noise", "before", "after")
    strips = [Strip(label, row) for image in pictures for label, row in zip(labels, image, strict=True)]
    return Outcome(table, strips, columns=[f"t = {t}" for t in steps])


@torch.inference_mode()
def predict_noise(model: Model, mixture: NormalMixture, z: Tensor, t: int) -> Tensor:
    """The noise in z_t, (N, C, H, W), that the model's estimate of x implies."""
    clean = torch.cat([model.denoise(part.to(model.device), t).cpu() for part in z.split(model.at_once)])
    return mixture.solve_source(z, clean, torch.full((len(z),), t))


def correlation(prediction: Tensor, truth: Tensor) -> float | None:
    """Pearson's correlation over all values of two tensors of one shape, or None where the prediction is constant."""
    a, b = (values.double() - values.double().mean() for values in (prediction, truth))
    # A network whose last layer starts at zero predicts nothing but what rounding leaves.
    if a.square().mean() < 1e-8:
        return None
    return ((a * b).sum() / (a.norm() * b.norm())).item()
