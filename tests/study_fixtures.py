"""A study of few small images, with no project around it and no training behind it."""

import copy
import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from thaw.data import Dataset, Images
from thaw.degradations.blur import Blur
from thaw.degradations.erase import Erase
from thaw.degradations.morph import Morph
from thaw.degradations.zoom import Zoom
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.denoising import Denoise
from thaw.diffusion.objectives import TARGETS
from thaw.evaluation.classifier import FeatureNetwork, features
from thaw.evaluation.frechet import Moments, moments
from thaw.model import Model
from thaw.networks.cnn import Cnn
from thaw.params import Choice, Params, Shape
from thaw.results.layout import Artifacts
from thaw.studies._base.study import Outcome, Row, Study
from thaw.variant import build_sampling

SHAPE: Shape = (1, 12, 12)
HALF_RANGE = 0.5
LINEAR = Choice(name="linear", beta_min=1e-3, beta_max=0.4)

TRAIN_BUDGET = {
    "images": 64, "batch_size": 32, "optimizer": "adam", "learning_rate": 1e-3, "learning_rate_schedule": "constant",
    "warmup_steps": 0, "final_learning_rate": 1, "seeds": [0], "milestones": [1], "validations": 1,
    "validation_images": 8,
}  # fmt: skip
CLASSIFIER = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "seed": 0}


def study_params(count: int = 20, shape: Shape = SHAPE, steps: int = 6) -> Params:
    """Parameters with one variant, `studied`, sampled in `steps` steps; a study has `count` images of `shape`."""
    studied = {
        "train": {
            "degradation": {"name": "zoom", "steps": 6}, "target": "clean", "network": {"name": "cnn"}, "ema_decay": 0.9
        },
        "sample": {"sampler": {"name": "cold_naive"}, "latent": {"name": "pixels"}, "seed": 0},
    }  # fmt: skip
    return Params.model_validate({
        "threads": 1,
        "data": {
            "dataset": "mnist", "path": "raw", "pixels": shape[-1], "channels": shape[0], "half_range": HALF_RANGE,
            "validation_fraction": 0.2, "seed": 0,
        },
        "budget": {
            "profile": "tiny",
            "train": {"cnn": TRAIN_BUDGET},
            "sample": {
                "images": 20, "reconstructions": 20, "severities": 2, "severity_images": 20, "milestone_images": 20,
                "milestone_steps": steps, "steps": steps, "steps_with_schedule": steps, "strip_steps": 6,
            },
            "objective": {"test_images": 20, "likelihood_images": 4, "resamples": 20},
            "evaluate": {"resamples": 20},
            "study": {"images": count},
        },
        "defaults": {},
        "variants": {"studied": studied},
        "normality": {"images": 4, "draws": 2, "points": 3, "significance": 0.05},
        "evaluation": {
            "classifier": CLASSIFIER, "readers": CLASSIFIER | {"count": 2, "sure": 0.9}, "inception": False,
            "confidence": 0.95,
        },
        "studies": {"trained": {}, "untrained": {}, "compared": {}},
    })  # fmt: skip


@functools.cache
def toy_dataset(shape: Shape = SHAPE, labelled: bool = True) -> Dataset:
    """Uniform random grey values: 60 training, 20 validation and 40 test images of classes 0 to 9 in turn."""
    stream = torch.Generator().manual_seed(0)

    def images(count: int) -> Images:
        pixels = torch.randint(256, (count, *shape), generator=stream, dtype=torch.uint8)
        return Images(pixels, torch.arange(count) % 10 if labelled else None)

    return Dataset("toy", images(60), images(20), images(40), HALF_RANGE)


class SmallStudy(Study):
    """A study of a degradation with a network as it is initialised, or with any denoiser in its place.

    `sampler` and `latent` name what stands for the variant's own, in at most `steps` steps.
    """

    def __init__(
        self, degradation: Degradation, *, latent: str, sampler: str = "direct", target: str = "clean",
        denoise: Denoise | None = None, network: nn.Module | None = None, count: int = 20, steps: int = 6,
        labelled: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(Artifacts(Path("nowhere")), study_params(count, degradation.shape, steps), "studied")
        self.degradation, self.target, self.steps = degradation, target, steps
        self.own = {"sampler": Choice(name=sampler), "latent": Choice(name=latent)}
        self.denoise, self.network = denoise, network or initial_network(degradation.shape, 0)
        self.dataset = toy_dataset(degradation.shape, labelled)
        torch.manual_seed(0)
        self.classifier = FeatureNetwork(degradation.shape[0], 10).eval()

    @functools.cached_property
    def _real(self) -> Moments:
        return moments(features(self.classifier, self.dataset.test.pixels))

    def _images(self) -> Tensor:
        return self.dataset.to_range(self.dataset.train.pixels)

    def model(
        self, *, sampler: Choice | None = None, latent: Choice | None = None, steps: int | None = None,
        seed: int | None = None, point: str = "best",
    ) -> Model:  # fmt: skip
        changed: dict[str, Any] = {"sampler": sampler or self.own["sampler"], "latent": latent or self.own["latent"]}
        sample = self.params.variant(self.variant).sample.model_copy(update=changed)
        model = Model(
            copy.deepcopy(self.network), self.degradation, TARGETS[self.target](self.degradation),
            build_sampling(sample, self.degradation, "studies of studied"), HALF_RANGE, steps or self.steps,
            self._images,
        )  # fmt: skip
        model.denoise = self.denoise or model.denoise
        return model

    def untrained(self) -> Model:
        model = self.model()
        model.network.load_state_dict(initial_network(self.degradation.shape, 1).state_dict())
        return model


def initial_network(shape: Shape, seed: int) -> nn.Module:
    """A cnn as `seed` initialises it."""
    torch.manual_seed(seed)
    return Cnn(shape=shape).eval()


class ToyMorph(Morph):
    """A morph into the toy images, which stand for another data set."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape=shape, data=study_params(shape=shape).data, steps=6, schedule=LINEAR)

    def _read(self) -> Dataset:
        return toy_dataset(self.shape)


def blurred(shape: Shape = SHAPE, **options: Any) -> SmallStudy:
    return SmallStudy(Blur(shape=shape, steps=6), **({"latent": "gaussian", "sampler": "cold_improved"} | options))


def zoomed(shape: Shape = SHAPE, last: int = 6, **options: Any) -> SmallStudy:
    return SmallStudy(Zoom(shape=shape, steps=last), **({"latent": "pixels", "sampler": "cold_naive"} | options))


def morphed(shape: Shape = SHAPE, **options: Any) -> SmallStudy:
    return SmallStudy(ToyMorph(shape), latent="image", **options)


def erased(shape: Shape = SHAPE, **options: Any) -> SmallStudy:
    return SmallStudy(Erase(shape=shape), latent="normal", **options)


def noised(degradation: Degradation, **options: Any) -> SmallStudy:
    return SmallStudy(degradation, latent="normal", sampler="ancestral", **({"target": "noise"} | options))


def rows(outcome: Outcome) -> dict[str, Row]:
    """The rows of the table by their first entry."""
    return {next(iter(row.values())): row for row in outcome.table}


def strips(outcome: Outcome) -> dict[str, Tensor]:
    return {strip.label: strip.images for strip in outcome.strips}
