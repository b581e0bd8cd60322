"""Measure a variant: its samples and restorations, its loss and likelihood, and what faulty protocols make of these."""

import time

import torch
from torch import Tensor

from thaw.core.hardware import device
from thaw.core.randomness import generator
from thaw.core.sheets import write_sheet
from thaw.core.tensors import read_tensors
from thaw.data import Dataset, read_dataset, to_uint8
from thaw.diffusion.degradation import NormalMixture
from thaw.evaluation import audit
from thaw.evaluation.classifier import features, load_classifier, load_readers
from thaw.evaluation.frechet import frechet_interval, moments, read_moments
from thaw.evaluation.neighbours import nearest
from thaw.evaluation.objective import bounds, likelihood_table, loss_row, loss_table, test_losses
from thaw.evaluation.restorations import image_table, restoration_rows, restoration_scores, severity_table
from thaw.evaluation.rows import Row, mean_row, read_rows
from thaw.evaluation.samples import (
    Reference,
    background_row,
    class_table,
    confidence_order,
    diversity_rows,
    extrapolation_table,
    frechet_rows,
    inception_row,
    legible_row,
)
from thaw.files import read_csv, reading, write_csv, write_json
from thaw.loading import load_model
from thaw.metrics import TOTALS
from thaw.params import Params, read_params
from thaw.results.layout import Artifacts
from thaw.results.runs import record

SHEET_COLUMNS = 10
NEAR = 1e-3
"""How far moments of the same features may lie apart: far more than processors differ by, and nothing that counts."""
CLASSES = ("class", "share", "low", "high", "n", "test_images")
SEVERITIES = ("t", "tau", "restoration", "metric", "value", "low", "high", "n")
IMAGES = ("training", "image", "rmse", "ssim", "psnr", "rmse_matched", "ssim_matched", "psnr_matched")
LOSSES = ("t", "tau", "test_loss", "low", "high", "n")
TERMS = ("term", "first_t", "last_t", "bits", "low", "high", "per_step", "n")


def run(artifacts: Artifacts, variant: str) -> None:
    """Write metrics.json of a variant, and in its folder evaluate/ the tables and sheets that stand behind it.

    A table that a variant has no rows for (a generator has no loss and restores nothing) has its header. The sheet
    `confidence` shows the samples whose class the classifier is most and least sure of, `neighbours` the training
    images that are nearest to some of them.
    """
    began = time.monotonic()
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    reference = _reference(artifacts, params, variant)
    with reading(artifacts.samples(variant)):
        drawn, _ = read_tensors(artifacts.samples(variant))
        if not _seeds(drawn):
            raise ValueError("it has no samples")
    restores = params.variant(variant).train.target != "adversarial"  # a generator restores nothing

    rows = _measure_samples(artifacts, params, variant, reference, drawn)
    rows += _measure_restorations(artifacts, variant, reference, drawn, restores)
    rows += _measure_objective(artifacts, params, variant, reference.dataset, restores)
    rows += read_rows(artifacts.table(variant, "schedule"))
    _audit(artifacts, variant, reference, drawn, restores)
    write_json(artifacts.metrics(variant), {found["metric"]: found["value"] for found in rows})
    write_csv(artifacts.table(variant, "intervals"), rows)
    record(artifacts.run(variant), "evaluate", time.monotonic() - began, device())


def _reference(artifacts: Artifacts, params: Params, variant: str) -> Reference:
    """The real images' side, with the training images that this variant saw."""
    dataset = read_dataset(params.data, artifacts.root)
    network = load_classifier(artifacts.reference("classifier.safetensors"))
    statistics = artifacts.reference("statistics.safetensors")
    of_test = features(network, dataset.test.pixels)
    with reading(statistics):
        real, expected, header = read_moments(statistics), moments(of_test), read_tensors(statistics)[1]
        within, limit = float(header["within"]), float(header["limit"])
        for one, other in zip(real[:2], expected[:2], strict=True):
            if not torch.allclose(one, other, rtol=NEAR, atol=NEAR):
                raise ValueError("its moments are not those of the test images by this classifier")
    with reading(artifacts.reference("floor.csv")):
        rows = read_csv(artifacts.reference("floor.csv"), needed=True)
        floors = {int(row["n"]): float(row["fid_classifier"]) for row in rows}
    examples = params.variant(variant).train.examples or len(dataset.train)
    seen = Dataset(
        dataset.name, dataset.train.subset(torch.arange(examples)), dataset.validation, dataset.test, dataset.half_range
    )
    return Reference(
        seen, network, load_readers(artifacts.reference("readers.safetensors")), params.evaluation.readers.sure,
        real, of_test, within, floors, limit,
        params.evaluation.confidence, params.budget.evaluate.resamples,
    )  # fmt: skip


def _seeds(drawn: dict[str, Tensor]) -> list[int]:
    """The seeds of the trainings, of each of which there are samples."""
    return sorted(int(name.removeprefix("unconditional.")) for name in drawn if name.startswith("unconditional."))


def _measure_samples(
    artifacts: Artifacts, params: Params, variant: str, reference: Reference, drawn: dict[str, Tensor]
) -> list[Row]:
    samples = [drawn[f"unconditional.{seed}"] for seed in _seeds(drawn)]
    pixels = [to_uint8(images, reference.dataset.half_range) for images in samples]
    feats = [features(reference.network, images) for images in pixels]
    rows = frechet_rows(reference, feats)
    if params.evaluation.inception:
        statistics = artifacts.reference("statistics.safetensors")
        rows.append(inception_row(reference, pixels, artifacts.reference("inception"), statistics))
    if read := legible_row(reference, pixels):
        rows.append(read)
    rows += diversity_rows(reference, pixels, feats)
    if background := background_row(reference, pixels):
        rows.append(background)
    write_csv(artifacts.table(variant, "fid"), _milestones(params, variant, reference, drawn))
    write_csv(artifacts.table(variant, "extrapolation"), extrapolation_table(reference, feats[0]))
    write_csv(artifacts.table(variant, "classes"), class_table(reference, pixels), CLASSES)
    _sheets(artifacts, variant, reference, samples[0], pixels[0])
    return rows


def _milestones(params: Params, variant: str, reference: Reference, drawn: dict[str, Tensor]) -> list[Row]:
    """fid_classifier of the samples of each milestone, in their order."""

    def fraction(name: str) -> float:
        return float(name.removeprefix("milestone."))

    images = params.train_budget(variant).images
    points = []
    for name in sorted((name for name in drawn if name.startswith("milestone.")), key=fraction):
        fakes = [features(reference.network, to_uint8(drawn[name], reference.dataset.half_range))]
        interval = frechet_interval(
            reference.moments, fakes, reference.confidence, reference.resamples, generator("milestone", name)
        )
        points.append({"images": round(fraction(name) * images), "fid_classifier": interval.value,
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


def _measure_restorations(
    artifacts: Artifacts, variant: str, reference: Reference, drawn: dict[str, Tensor], restores: bool
) -> list[Row]:
    rows: list[Row] = []
    severities: list[Row] = []
    by_image: list[Row] = []
    if restores:
        dataset, network = reference.dataset, reference.network
        originals = dataset.test.subset(drawn["restored"])
        scores = {
            suffix: [
                restoration_scores(network, originals, drawn[f"{part}.{seed}"], dataset.half_range)
                for seed in _seeds(drawn)
            ]
            for part, suffix in (("full", ""), ("matched", "_matched"))
        }
        for suffix, by_training in scores.items():
            rows += restoration_rows(by_training, suffix, reference.confidence, reference.resamples)
        by_image = image_table(drawn["restored"], scores)
        steps = max(int(name.split(".")[1]) for name in drawn if name.startswith("direct."))
        severities = severity_table(
            network, originals, drawn, steps, dataset.half_range, reference.confidence, reference.resamples
        )
    write_csv(artifacts.table(variant, "severity"), severities, SEVERITIES)
    write_csv(artifacts.table(variant, "restorations"), by_image, () if by_image else IMAGES)
    return rows


def _measure_objective(
    artifacts: Artifacts, params: Params, variant: str, dataset: Dataset, restores: bool
) -> list[Row]:
    """What the variant was trained on, for test images: the loss by t, and the bound on their likelihood by term."""
    loaded = load_model(artifacts, variant, params)
    models = [loaded.model, *(load_model(artifacts, variant, params, seed=seed).model for seed in loaded.seeds[1:])]
    degradation, steps = loaded.model.degradation, loaded.model.degradation.steps
    budget, confidence = params.budget.objective, params.evaluation.confidence
    rows: list[Row] = []
    by_t: list[Row] = []
    by_term: list[Row] = []
    if restores:
        t, values = test_losses(models, dataset, budget.test_images)
        rows.append(loss_row(t, values, steps, confidence, budget.resamples))
        by_t = loss_table(t, values, steps, confidence, budget.resamples)
    if isinstance(degradation, NormalMixture):
        options = loaded.model.sampling.sampler_options
        found = bounds(
            models, dataset, budget.likelihood_images, options.get("variance", "lower"), options.get("clamp", True)
        )
        dimensions = dataset.test.pixels[0].numel()
        values = torch.stack([bound.bits_per_dim(dimensions) for bound in found]).numpy()
        rows.append(mean_row("bits_per_dim", values, confidence, budget.resamples))
        by_term = likelihood_table(found, dimensions, steps, confidence, budget.resamples)
    write_csv(artifacts.table(variant, "objective"), rows, TOTALS)
    write_csv(artifacts.table(variant, "test_loss"), by_t, LOSSES)
    write_csv(artifacts.table(variant, "likelihood"), by_term, TERMS)
    return read_rows(artifacts.table(variant, "objective"))  # in the digits of the table


def _audit(artifacts: Artifacts, variant: str, reference: Reference, drawn: dict[str, Tensor], restores: bool) -> None:
    """Score the images of the first training under the faulty protocols of earlier evaluations."""
    seed, half_range = min(_seeds(drawn)), reference.dataset.half_range
    rows = audit.sample_rows(reference.network, reference.moments, drawn[f"unconditional.{seed}"], half_range)
    if restores:
        originals = reference.dataset.to_range(reference.dataset.test.pixels[drawn["restored"]])
        rows += audit.restoration_rows(originals, drawn[f"full.{seed}"], half_range)
    for total in read_rows(artifacts.table(variant, "schedule")):
        if total["metric"] == "ks_first_t":
            path = artifacts.table(variant, "first_accepted")
            with reading(path):
                curves = [int(row["first_t"]) if row["first_t"] else None for row in read_csv(path, needed=True)]
            rows.append(audit.curve_row(total["value"], curves))
    write_csv(artifacts.table(variant, "audit"), rows, audit.COLUMNS)
