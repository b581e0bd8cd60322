"""What the page carries beside the networks: digits, and what latents are drawn from."""

from typing import Any

import torch
from torch import Tensor

from thaw.data import Dataset, to_uint8
from thaw.degradations.blur import Blur
from thaw.degradations.zoom import Zoom
from thaw.errors import ThawError
from thaw.model import Model

EACH = 4
"""Test images of each class."""
CENTRES = 1000
"""Centres of training images that zoom starts from."""
LATENTS = {"gaussian_noise": "normal", "blur": "gaussian", "zoom": "centres"}
"""The latents that the page can draw."""


def check(model: Model, name: str, key: str) -> None:
    """Raise ThawError where the page cannot do what a variant does."""
    if model.degradation.shape[0] != 1:
        raise ThawError(f"params.yaml: demos.{key} draws grey images, but data.channels is not 1; write demos: {{}}.")
    if model.sampling.latent != LATENTS[name]:
        raise ThawError(
            f"params.yaml: demos.{key}.{name} has the latent {model.sampling.latent}, but the page draws "
            f"{LATENTS[name]}; name a variant that has it."
        )


def digits(dataset: Dataset) -> Tensor:
    """The first test images of each class, one class after the other and then again, uint8 of shape (N, H, W)."""
    labels = dataset.test.labels
    assert labels is not None, "the parameters name a dataset with classes"
    of_class = [(labels == label).nonzero()[:EACH, 0] for label in labels.unique()]
    return dataset.test.pixels[torch.stack(of_class, 1).flatten(), 0]


def centres(model: Model) -> Tensor:
    """The centres of the first training images, which are a random part, uint8 of shape (N, h, w)."""
    assert isinstance(model.degradation, Zoom)
    return to_uint8(model.degradation.remaining(model.images()[:CENTRES]), model.half_range)[:, 0]


def gaussians(model: Model) -> dict[str, Tensor]:
    """The Gaussians that blur draws from, of N clusters, in coordinates of K x K modes.

    shares (N,), means (N, K K), roots (N, K K, M) and modes (H, K), float32.
    """
    assert isinstance(model.degradation, Blur)
    options: dict[str, Any] = {"variance_kept": 1.0, "clusters": 1} | model.sampling.latent_options
    # The fit is what `draw_latent` draws from. A door of its own would change a file that every training depends on.
    fits, shares = model.degradation._fitted(model.images, **options)
    roots = torch.zeros(len(fits), len(fits[0].mean), max(fit.root.shape[1] for fit in fits))
    for root, fit in zip(roots, fits, strict=True):
        root[:, : fit.root.shape[1]] = fit.root
    means = torch.stack([fit.mean for fit in fits]).float()
    return {"shares": (shares / shares.sum()).float(), "means": means, "roots": roots,
            "modes": model.degradation.modes.float()}  # fmt: skip
