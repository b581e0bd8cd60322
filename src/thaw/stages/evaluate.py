"""Measure a variant's samples and restorations: of its images alone, without its model."""

import csv
import time

import torch
from torch import Tensor

from thaw.artifacts import Artifacts
from thaw.data import Dataset, read_dataset, to_uint8
from thaw.evaluation.classifier import features, load_classifier
from thaw.evaluation.frechet import frechet_interval, read_moments
from thaw.evaluation.neighbours import nearest
from thaw.evaluation.restorations import image_table, restoration_rows, restoration_scores, severity_table
from thaw.evaluation.rows import Row, read_rows
from thaw.evaluation.samples import (
    Reference,
    background_row,
    class_table,
    confidence_order,
    diversity_rows,
    extrapolation_table,
    frechet_rows,
    inception_row,
)
from thaw.files import write_csv, write_json
from thaw.hardware import accelerator
from thaw.params import Params, read_params
from thaw.randomness import generator
from thaw.runs import record
from thaw.sheets import write_sheet
from thaw.training.checkpoint import read_tensors

SHEET_COLUMNS = 10
CLASSES = ("class", "share", "low", "high", "n", "test_images")
SEVERITIES = ("t", "tau", "restoration", "metric", "value", "low", "high", "n")
IMAGES = ("training", "image", "rmse", "ssim", "psnr", "rmse_half", "ssim_half", "psnr_half")


def run(artifacts: Artifacts, variant: str) -> None:
    """Write metrics/VARIANT.json, and below plots/ the tables of intervals and what stands beside them.

    These are VARIANT.csv in intervals, fid, extrapolation, classes, severity and restorations. The sheet `confidence`
    shows the samples whose class the classifier is most and least sure of, `neighbours` the training images that are
    nearest to some of them.
    """
    began = time.monotonic()
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    reference = _reference(artifacts, params, variant)
    dataset, network, confidence = reference.dataset, reference.network, reference.confidence
    drawn, _ = read_tensors(artifacts.samples(variant))
    seeds = sorted(int(name.removeprefix("unconditional.")) for name in drawn if name.startswith("unconditional."))
    samples = [drawn[f"unconditional.{seed}"] for seed in seeds]
    pixels = [to_uint8(images, dataset.half_range) for images in samples]
    feats = [features(network, images) for images in pixels]

    rows = frechet_rows(reference, feats)
    if params.evaluation.inception:
        rows.append(inception_row(reference, pixels, artifacts.inception, artifacts.statistics))
    rows += diversity_rows(reference, pixels, feats)
    if background := background_row(reference, pixels):
        rows.append(background)

    severities: list[Row] = []
    by_image: list[Row] = []
    if params.variant(variant).train.target != "adversarial":  # a generator restores nothing
        originals = dataset.test.subset(drawn["restored"])
        scores = {
            suffix: [restoration_scores(network, originals, drawn[f"{part}.{s}"], dataset.half_range) for s in seeds]
            for part, suffix in (("full", ""), ("half", "_half"))
        }
        for suffix, by_training in scores.items():
            rows += restoration_rows(by_training, suffix, confidence, reference.resamples)
        by_image = image_table(drawn["restored"], scores)
        steps = max(int(name.split(".")[1]) for name in drawn if name.startswith("direct."))
        severities = severity_table(
            network, originals, drawn, steps, dataset.half_range, confidence, reference.resamples
        )
    rows += read_rows(artifacts.objective(variant)) + read_rows(artifacts.schedule(variant))

    write_json(artifacts.metrics(variant), {found["metric"]: found["value"] for found in rows})
    write_csv(artifacts.intervals(variant), rows)
    write_csv(artifacts.fid(variant), _milestones(params, variant, reference, drawn))
    write_csv(artifacts.extrapolation(variant), extrapolation_table(reference, feats[0]))
    write_csv(artifacts.classes(variant), class_table(reference, pixels), CLASSES)
    write_csv(artifacts.severity(variant), severities, SEVERITIES)
    write_csv(artifacts.restorations(variant), by_image, IMAGES if not by_image else ())
    _sheets(artifacts, variant, reference, samples[0], pixels[0])
    record(artifacts.run(variant), "evaluate", time.monotonic() - began, accelerator().device)


def _reference(artifacts: Artifacts, params: Params, variant: str) -> Reference:
    """The real images' side, with the training images that this variant saw."""
    dataset = read_dataset(params.data, artifacts.root)
    network = load_classifier(artifacts.classifier)
    _, header = read_tensors(artifacts.statistics)
    with artifacts.floor.open() as file:
        floors = {int(found["n"]): float(found["fid_classifier"]) for found in csv.DictReader(file)}
    examples = params.variant(variant).train.examples or len(dataset.train)
    seen = Dataset(
        dataset.name, dataset.train.subset(torch.arange(examples)), dataset.validation, dataset.test, dataset.half_range
    )
    return Reference(
        seen, network, read_moments(artifacts.statistics), features(network, dataset.test.pixels), header["within"],
        floors, params.evaluation.confidence, params.budget.evaluate.resamples,
    )  # fmt: skip


def _fraction(name: str) -> float:
    """Of the training, at the milestone whose samples have this name."""
    return float(name.removeprefix("milestone."))


def _milestones(params: Params, variant: str, reference: Reference, drawn: dict[str, Tensor]) -> list[Row]:
    """fid_classifier of the samples of each milestone, in their order."""
    images = params.train_budget(variant).images
    points = []
    for name in sorted((name for name in drawn if name.startswith("milestone.")), key=_fraction):
        fakes = [features(reference.network, to_uint8(drawn[name], reference.dataset.half_range))]
        interval = frechet_interval(
            reference.moments, fakes, reference.confidence, reference.resamples, generator("milestone", name)
        )
        points.append({"images": round(_fraction(name) * images), "fid_classifier": interval.value,
                       "low": interval.low, "high": interval.high, "n": len(drawn[name])})  # fmt: skip
    return points


def _sheets(artifacts: Artifacts, variant: str, reference: Reference, samples: Tensor, pixels: Tensor) -> None:
    order = confidence_order(reference.network, pixels)
    columns = min(SHEET_COLUMNS, len(order) // 2)
    best, worst = order[: 2 * columns], order.flip(0)[: 2 * columns]
    rows = [*pixels[best].split(columns), *pixels[worst].split(columns)]
    write_sheet(artifacts.sheet(variant, "confidence"), [part.numpy() for part in rows])

    shown = torch.cat([best[:columns], torch.arange(columns)])  # the surest, then some that nobody chose
    train = reference.dataset.train.pixels
    found = nearest(samples[shown], reference.dataset.to_range(train)).image
    rows = [part for index in range(2) for part in (
        pixels[shown].split(columns)[index], train[found].split(columns)[index])]  # fmt: skip
    write_sheet(artifacts.sheet(variant, "neighbours"), [part.numpy() for part in rows])
