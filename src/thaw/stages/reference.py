"""The real images' side of the Frechet distance, and the distance that real images keep from each other."""

import torch

from thaw.artifacts import Artifacts
from thaw.data import read_dataset
from thaw.evaluation.classifier import features, load_classifier
from thaw.evaluation.frechet import floor, moments
from thaw.files import write_csv
from thaw.params import read_params
from thaw.randomness import generator
from thaw.training.checkpoint import write_tensors

FLOOR_DRAWS = 20


def run(artifacts: Artifacts) -> None:
    """Write reference/statistics.safetensors (of the test images) and reference/floor.csv."""
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    dataset = read_dataset(params.data, artifacts.root)
    network = load_classifier(artifacts.classifier)
    real = moments(features(network, dataset.test.pixels))
    write_tensors(artifacts.statistics, {"mean": real.mean, "covariance": real.covariance}, {"count": real.images})
    others = features(network, dataset.validation.pixels)
    rows = []
    for count in sorted({params.budget.sample.images, params.budget.sample.milestone_images}):
        count = min(count, len(others))
        mean, low, high = floor(real, others, count, FLOOR_DRAWS, generator("floor", count))
        rows.append({"n": count, "fid_classifier": mean, "low": low, "high": high, "draws": FLOOR_DRAWS})
    write_csv(artifacts.floor, rows)
