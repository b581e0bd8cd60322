"""What it costs to start from N(0, I) where the degradation does not end there (seed 000 sections 2.3.1 and 2.4)."""

import torch

from thaw.studies._base.gaussian import normal_mixture
from thaw.studies._base.study import Outcome, Row, Strip, Study

CAPTION = """
Generated images by where sampling starts: from N(0, I) as the variant does, from a normal distribution with the mean
and the variance of each pixel of z_T, and from the z_T of training images with fresh noise, which is the true
distribution. `alpha_bar_T` is the share of the image's variance that is left in z_T. Everything else is drawn from the
same noise.
"""
SHOWN = 10


def terminal_mismatch(study: Study) -> Outcome:
    """Sample the variant, as its parameters say, from the three starts.

    Raises ThawError where the variant's source is not drawn from N(0, I).
    """
    model = study.model()
    mixture = normal_mixture(study, model, "terminal_mismatch")
    last = mixture.steps
    alpha_bar = mixture.alpha_bar[last].item()
    normal = model.draw_latents(study.count)
    training = study.dataset.to_range(study.dataset.train.pixels)
    variance, mean = torch.var_mean(training, dim=0, correction=0)  # each (C, H, W)
    starts = {
        "N(0, I)": normal.z,
        "mean and variance": alpha_bar**0.5 * mean + (alpha_bar * variance + 1 - alpha_bar).sqrt() * normal.z,
        "true z_T": model.degrade(study.train_images(study.count), last),
    }
    table: list[Row] = []
    strips = []
    for label, z in starts.items():
        samples = model.restore(z, last)  # whose noise is the same for all three
        table.append({"start": label, "alpha_bar_T": alpha_bar, **study.score(samples)})
        strips.append(Strip(label, samples[:SHOWN]))
    return Outcome(table, strips)
