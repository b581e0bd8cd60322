"""What every study works with, and what it gives."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from thaw.core.randomness import generator
from thaw.data import Dataset, read_dataset, to_uint8
from thaw.diffusion.preconditioning import Preconditioned
from thaw.evaluation.classifier import FeatureNetwork, features, load_classifier
from thaw.evaluation.diversity import class_shares, unique_fraction
from thaw.evaluation.frechet import Moments, frechet_interval, read_moments
from thaw.loading import load_model
from thaw.model import Model
from thaw.params import Choice, Params
from thaw.results.layout import Artifacts
from thaw.variant import build_network, build_sampling

Row = dict[str, Any]


class Strip(NamedTuple):
    """A row of pictures with its label: images (n, C, H, W) in the data's range."""

    label: str
    images: Tensor


@dataclass(frozen=True)
class Axes:
    """What the curves of a study are: the columns of its curves, and how the axes are called.

    There is a panel for each name in `y`, and in it a line for each value of the column `series`. Columns `low` and
    `high`, where there are any, are drawn as the interval of the first panel's line.
    """

    x: str
    y: Mapping[str, str]
    x_label: str
    series: str = "series"
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Outcome:
    """What a study found: a small table with a row for each condition, pictures, and curves.

    All rows of a table have the same keys; the first says which condition it is. A column has numbers or words, not
    both. Strips may differ in length; the names
    in `columns` stand above them.
    """

    table: Sequence[Row]
    strips: Sequence[Strip] = ()
    columns: Sequence[str] = ()
    curves: Sequence[Row] = field(default=())


class Study:
    """The data, the evaluation and, for a study of one, the trained variant that a study asks about.

    `count` is how many images a condition is measured with.
    """

    def __init__(self, artifacts: Artifacts, params: Params, variant: str | None = None) -> None:
        self.artifacts, self.params = artifacts, params
        self.count = params.budget.study.images
        self.half_range = params.data.half_range
        self._variant = variant

    @property
    def variant(self) -> str:
        """The variant that is studied."""
        assert self._variant is not None, "a study of no variant has no model"
        return self._variant

    @functools.cached_property
    def dataset(self) -> Dataset:
        """The images."""
        return read_dataset(self.params.data, self.artifacts.root)

    @functools.cached_property
    def classifier(self) -> FeatureNetwork:
        """The feature network."""
        return load_classifier(self.artifacts.reference("classifier.safetensors"))

    @functools.cached_property
    def _real(self) -> Moments:
        return read_moments(self.artifacts.reference("statistics.safetensors"))

    def test_images(self, count: int) -> Tensor:
        """`count` test images in the data's range, (count, C, H, W), the same in every study."""
        chosen = torch.randperm(len(self.dataset.test), generator=generator("study images"))[:count]
        return self.dataset.to_range(self.dataset.test.pixels[chosen])

    def test_labels(self, count: int) -> Tensor | None:
        """The classes of `test_images`, or None where the images have none."""
        chosen = torch.randperm(len(self.dataset.test), generator=generator("study images"))[:count]
        return None if self.dataset.test.labels is None else self.dataset.test.labels[chosen]

    def train_images(self, count: int) -> Tensor:
        """`count` training images in the data's range, (count, C, H, W), the same in every study."""
        chosen = torch.randperm(len(self.dataset.train), generator=generator("study training images"))[:count]
        return self.dataset.to_range(self.dataset.train.pixels[chosen])

    def score(self, images: Tensor) -> Row:
        """fid_classifier with its interval and n, unique_fraction, and the share of each class, of generated images.

        `images` are (n, C, H, W) in the data's range, unclamped; classes are left out where the data has none.
        """
        pixels = to_uint8(images, self.half_range)
        interval = frechet_interval(
            self._real, [features(self.classifier, pixels)], self.params.evaluation.confidence,
            self.params.budget.evaluate.resamples, generator("study"),
        )  # fmt: skip
        row: Row = {
            "fid_classifier": interval.value, "low": interval.low, "high": interval.high, "n": len(images),
            "unique_fraction": unique_fraction(images, self.test_images(len(images))),
        }  # fmt: skip
        if self.dataset.train.labels is not None:
            shares = class_shares(self.classifier, pixels)
            row |= {f"class_{index}": share for index, share in enumerate(shares)}
        return row

    def model(
        self, *, sampler: Choice | None = None, latent: Choice | None = None, steps: int | None = None,
        seed: int | None = None, point: str = "best",
    ) -> Model:  # fmt: skip
        """The trained model of the variant, sampled as its parameters say but for what is given here.

        Raises ThawError where sampler or latent do not go with the degradation, or the weights are not there.
        """
        model = load_model(self.artifacts, self.variant, self.params, seed=seed, point=point).model
        sample = self.params.variant(self.variant).sample
        changed = sample.model_copy(update={"sampler": sampler or sample.sampler, "latent": latent or sample.latent})
        model.sampling = build_sampling(changed, model.degradation, f"studies of {self.variant}")
        model.steps = steps or model.steps
        return model

    def untrained(self) -> Model:
        """The model of the variant before training: its first seed's initial weights."""
        model = self.model()
        torch.manual_seed(self.params.train_budget(self.variant).seeds[0])
        block = self.params.variant(self.variant).train
        network = build_network(block, self.params.data.shape, f"variants.{self.variant}.train")
        trained = model.network.network if isinstance(model.network, Preconditioned) else model.network
        trained.load_state_dict(network.state_dict())
        return model
