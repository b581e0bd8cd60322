"""The real images' side of the evaluation: their statistics, and what real images score by every measure."""

from typing import Any

import torch

from thaw.core.hardware import device
from thaw.core.randomness import generator
from thaw.core.tensors import write_tensors
from thaw.data import read_dataset
from thaw.errors import ThawError
from thaw.evaluation.background import grey_levels
from thaw.evaluation.classifier import features, load_classifier, load_readers
from thaw.evaluation.frechet import extrapolate, floor, frechet_distance, moments, symmetric_root
from thaw.evaluation.inception import inception_features, load_inception, weights
from thaw.evaluation.kernel import within_real
from thaw.evaluation.samples import Reference, background_row, diversity_rows, frechet_rows, legible_row
from thaw.files import write_csv
from thaw.params import read_params
from thaw.results.layout import Artifacts

FLOOR_DRAWS = 20
FEWEST = 8
"""Subsamples of half of them still have the third neighbours that precision and recall take."""


def run(artifacts: Artifacts) -> None:
    """Write statistics.safetensors (of the test images), floor.csv, real.csv and levels.csv.

    The floor is the Frechet distance of as many real images as any number of samples that is measured. real.csv has the
    measures of generated images, of validation images in their place, and of test images for `legible`, which is
    measured from no real images. levels.csv counts the grey levels of the training images. Raises ThawError where there
    are too few images to measure anything by.
    """
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    dataset = read_dataset(params.data, artifacts.root)
    for images, name in ((dataset.test, "test"), (dataset.validation, "validation")):
        if len(images) < FEWEST:
            raise ThawError(
                f"{params.data.path} has {len(images)} {name} images, but the nearest neighbours of subsamples take at "
                f"least {FEWEST}: add images, or change data in params.yaml."
            )
    network = load_classifier(artifacts.reference("classifier.safetensors"))
    of_test = features(network, dataset.test.pixels)
    real = moments(of_test)
    stored = {"mean": real.mean, "covariance": real.covariance}
    others = features(network, dataset.validation.pixels)
    budget = params.budget
    counts = {budget.sample.images, budget.sample.milestone_images, budget.study.images}
    floors, rows = {}, []
    root = symmetric_root(real.covariance)
    for count in sorted({min(count, len(others)) for count in counts}):
        floors[count], low, high = floor(
            others, count, FLOOR_DRAWS, generator("floor", count),
            lambda drawn: frechet_distance(real, moments(drawn), root),
        )  # fmt: skip
        rows.append({"n": count, "fid_classifier": floors[count], "low": low, "high": high, "draws": FLOOR_DRAWS})
    within, count = within_real(of_test), min(budget.sample.images, len(others))
    limit, _, _ = floor(
        others, count, FLOOR_DRAWS, generator("limit"),
        lambda drawn: extrapolate(real, drawn, generator("fid_infinite")).limit,
    )  # fmt: skip
    header: dict[str, Any] = {"count": real.images, "within": within, "limit": limit}
    if params.evaluation.inception:
        inception = load_inception(weights(artifacts.reference("inception"))).to(device())
        seen = moments(inception_features(inception, dataset.test.pixels))
        stored |= {"inception_mean": seen.mean, "inception_covariance": seen.covariance}
        unseen = inception_features(inception, dataset.validation.pixels)
        found_floor, _, _ = floor(
            unseen, count, FLOOR_DRAWS, generator("floor", count), lambda drawn: frechet_distance(seen, moments(drawn))
        )
        header["inception_floor"] = {count: found_floor}
    write_tensors(artifacts.reference("statistics.safetensors"), stored, header)
    write_csv(artifacts.reference("floor.csv"), rows)
    write_csv(artifacts.reference("levels.csv"), grey_levels(dataset.train.pixels))

    reference = Reference(
        dataset, network, load_readers(artifacts.reference("readers.safetensors")), params.evaluation.readers.sure,
        real, of_test, within, floors, limit, params.evaluation.confidence, budget.evaluate.resamples,
    )  # fmt: skip
    pixels, feats = [dataset.validation.pixels[:count]], [others[:count]]
    found = frechet_rows(reference, feats)
    some = torch.randperm(len(dataset.test), generator=generator("legible images"))[: budget.sample.images]
    if read := legible_row(reference, [dataset.test.pixels[some]]):
        found.append(read)
    found += diversity_rows(reference, pixels, feats)
    if background := background_row(reference, pixels):
        found.append(background)
    write_csv(artifacts.reference("real.csv"), found)
