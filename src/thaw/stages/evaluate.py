"""Measure a variant's samples and restorations."""

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thaw.artifacts import Artifacts
from thaw.data import Dataset, read_dataset, to_uint8
from thaw.diffusion.degradation import NormalMixture
from thaw.diffusion.objectives import losses
from thaw.evaluation.bootstrap import Interval, mean_interval, with_trainings
from thaw.evaluation.classifier import FeatureNetwork, features, load_classifier, predict
from thaw.evaluation.frechet import Moments, fid_classifier, frechet_interval
from thaw.evaluation.normality import first_accepted
from thaw.evaluation.reconstruction import reconstruction_errors
from thaw.files import write_csv, write_json
from thaw.hardware import autocast
from thaw.loading import load_model
from thaw.model import Model
from thaw.params import Params, read_params
from thaw.randomness import generator
from thaw.runs import record
from thaw.training.checkpoint import read_tensors

LOSS_BATCH = 250

Row = dict[str, Any]


def run(artifacts: Artifacts, variant: str) -> None:
    """Write metrics/VARIANT.json, plots/intervals/VARIANT.csv and plots/fid/VARIANT.csv."""
    began = time.monotonic()
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    dataset = read_dataset(params.data, artifacts.root)
    network = load_classifier(artifacts.classifier)
    statistics, header = read_tensors(artifacts.statistics)
    real = Moments(statistics["mean"], statistics["covariance"], header["count"])
    drawn, _ = read_tensors(artifacts.samples(variant))
    seeds = [int(name.removeprefix("unconditional.")) for name in drawn if name.startswith("unconditional.")]
    seeds.sort()
    loaded = load_model(artifacts, variant, params)

    rows = [_unconditional(params, artifacts, network, real, [drawn[f"unconditional.{s}"] for s in seeds])]
    if params.variant(variant).train.target != "adversarial":  # a generator restores nothing and has no loss to test
        for part, suffix in (("full", ""), ("half", "_half")):
            restored = [drawn[f"{part}.{s}"] for s in seeds]
            rows += _reconstructions(params, dataset, network, drawn["restored"], restored, suffix)
        models = [load_model(artifacts, variant, params, seed=s).model for s in seeds]
        rows.append(_test_loss(params, dataset, models))
    rows += _normality(params, artifacts.normality(variant), loaded.model)

    write_json(artifacts.metrics(variant), {row["metric"]: row["value"] for row in rows})
    write_csv(artifacts.intervals(variant), rows)
    points = []
    for name in sorted((name for name in drawn if name.startswith("milestone.")), key=lambda n: float(n[10:])):
        fraction = float(name.removeprefix("milestone."))
        fakes = [features(network, to_uint8(drawn[name], dataset.half_range))]
        interval = frechet_interval(
            real, fakes, params.evaluation.confidence, params.budget.evaluate.resamples, generator("milestone", name)
        )
        images = round(fraction * loaded.images)
        points.append({"images": images, "fid_classifier": interval.value, "low": interval.low, "high": interval.high,
                       "n": len(drawn[name])})  # fmt: skip
    write_csv(artifacts.fid(variant), points)
    record(artifacts.run(variant), "evaluate", time.monotonic() - began, loaded.model.device)


BOUNDS = {
    "fid_classifier": (0, np.inf),
    "rmse": (0, np.inf),
    "ssim": (-1, 1),
    "class_preservation": (0, 1),
    "test_loss": (0, np.inf),
}
"""What a metric can be; an interval widened by the spread between trainings is cut off there."""


def _row(metric: str, interval: Interval, n: int, trainings: int, method: str, floor: float | None = None) -> Row:
    bounds = BOUNDS.get(metric.removesuffix("_half"), (-np.inf, np.inf))
    low, high = np.clip((interval.low, interval.high), *bounds).tolist()
    return {"metric": metric, "value": interval.value, "low": low, "high": high, "n": n,
            "trainings": trainings, "method": method, "floor": floor}  # fmt: skip


def _unconditional(
    params: Params, artifacts: Artifacts, network: FeatureNetwork, real: Moments, samples: list[Tensor]
) -> Row:
    pixels = [to_uint8(images, params.data.half_range) for images in samples]
    by_training = np.array([fid_classifier(network, real, images) for images in pixels])
    interval = frechet_interval(
        real, [features(network, images) for images in pixels], params.evaluation.confidence,
        params.budget.evaluate.resamples, generator("fid_classifier"),
    )  # fmt: skip
    interval = interval._replace(value=float(by_training.mean()))
    interval = with_trainings(interval, by_training, params.evaluation.confidence)
    count = len(pixels[0])
    with artifacts.floor.open() as file:
        floors = {int(row["n"]): float(row["fid_classifier"]) for row in csv.DictReader(file)}
    return _row("fid_classifier", interval, count, len(samples), "reverse percentile bootstrap", floors.get(count))


def _reconstructions(
    params: Params, dataset: Dataset, network: FeatureNetwork, indices: Tensor, restored: list[Tensor], suffix: str
) -> list[Row]:
    originals = dataset.test.subset(indices)
    x = dataset.to_range(originals.pixels)
    by_metric: dict[str, list[Any]] = {}
    for images in restored:
        scores = reconstruction_errors(x, images, dataset.half_range)
        if originals.labels is not None:
            kept = predict(network, to_uint8(images, dataset.half_range)) == originals.labels
            scores["class_preservation"] = kept.double().numpy()
        for metric, values in scores.items():
            by_metric.setdefault(metric, []).append(values)
    return [_mean_row(params, metric + suffix, np.stack(values)) for metric, values in by_metric.items()]


def _mean_row(params: Params, metric: str, values: Any) -> Row:
    """A metric that is a mean over images: values of shape (trainings, images)."""
    confidence = params.evaluation.confidence
    interval = mean_interval(values, confidence, params.budget.evaluate.resamples, generator(metric))
    interval = with_trainings(interval, values.mean(1), confidence)
    return _row(metric, interval, values.shape[1], values.shape[0], "percentile bootstrap")


@torch.inference_mode()
def _test_loss(params: Params, dataset: Dataset, models: list[Model]) -> Row:
    """The training objective on test images, at fixed steps spread evenly over 1..T and with fixed sources."""
    degradation = models[0].degradation
    chosen = torch.randperm(len(dataset.test), generator=generator("test loss images"))
    chosen = chosen[: params.budget.evaluate.test_images]
    x = dataset.to_range(dataset.test.pixels[chosen])
    t = 1 + torch.arange(len(x)) * degradation.steps // len(x)
    source = degradation.draw_source(len(x), generator("test loss source"), "test")

    def loss(model: Model, part: slice) -> Tensor:
        with autocast(model.device):
            drawn = None if source is None else source[part].to(model.device)
            device = model.device
            return losses(model.network, degradation, model.target, x[part].to(device), t[part].to(device), drawn).cpu()

    parts = [slice(first, first + LOSS_BATCH) for first in range(0, len(x), LOSS_BATCH)]
    values = torch.stack([torch.cat([loss(model, part) for part in parts]) for model in models])
    return _mean_row(params, "test_loss", values.double().numpy())


def _normality(params: Params, path: Path, model: Model) -> list[Row]:
    """The KS values of a Gaussian variant's schedule, which no training changes."""
    if not isinstance(model.degradation, NormalMixture):
        return []
    with path.open() as file:
        table = list(csv.DictReader(file))
    first = first_accepted(
        [int(row["t"]) for row in table], [float(row["median_p"]) for row in table], params.normality.significance
    )
    tests = params.normality.images * params.normality.draws
    accepted = float(table[-1]["accepted"])
    known = {"ks_accepted_at_T": accepted} | ({} if first is None else {"ks_first_t": float(first)})
    return [
        _row(name, Interval(value, value, value), tests, 0, "one value a schedule") for name, value in known.items()
    ]
