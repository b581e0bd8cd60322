"""The whole chain on colour photographs of 64 by 64 pixels without classes (seed 003 has bedrooms of that size)."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs
from sklearn.datasets import load_sample_images
from study_fixtures import TRAIN_BUDGET, study_params

from thaw.core.tensors import read_tensors
from thaw.params import read_params, read_yaml
from thaw.results.layout import Artifacts
from thaw.stages import classifier, evaluate, figures, forward, reference, sample, summarize, train

ROOT = Path(__file__).parents[1]
PATCH, SIZE = 72, 64
TRAIN, TEST = 170, 60
VARIANTS = ("ddpm-attention-unet", "gan-dcgan")
SAMPLES = 40

pytestmark = pytest.mark.pipeline


def patches() -> list[np.ndarray]:
    """Squares of photographs that scikit-learn and scikit-image ship, uint8 (72, 72, 3), mixed; no two overlap."""
    shipped = (photographs.astronaut, photographs.coffee, photographs.chelsea, photographs.rocket)
    pictures = [*load_sample_images().images, *(photograph() for photograph in shipped)]
    cut = [
        picture[top : top + PATCH, left : left + PATCH]
        for picture in pictures
        for top in range(0, picture.shape[0] - PATCH + 1, PATCH)
        for left in range(0, picture.shape[1] - PATCH + 1, PATCH)
    ]
    order = np.random.default_rng(0).permutation(len(cut))
    return [cut[index] for index in order]


def budget(**network: Any) -> dict[str, Any]:
    few = {"batch_size": 16, "milestones": [0.5, 1], "validations": 2, "validation_images": 16}
    return TRAIN_BUDGET | few | {"network": network}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """A project that has nothing but parameters and a folder of photographs, with every stage run."""
    root = tmp_path_factory.mktemp("colour")
    for part, chosen in (("train", patches()[:TRAIN]), ("test", patches()[TRAIN : TRAIN + TEST])):
        folder = root / "data" / "raw" / "photographs" / part
        folder.mkdir(parents=True)
        for index, patch in enumerate(chosen):
            Image.fromarray(patch).save(folder / f"{index:03}.png")
    params = read_yaml(ROOT / "params.yaml")
    params["data"] |= {"dataset": "folder", "path": "data/raw/photographs", "pixels": SIZE, "channels": 3}
    params["budget"] = study_params(8).budget.model_dump(mode="json")
    params["budget"]["train"] = {"attention_unet": budget(widths=[8, 16], patch=2, blocks=1), "dcgan": budget(width=8)}
    sizes = {"images": SAMPLES, "reconstructions": 10, "milestone_images": 24, "steps": 3, "strip_steps": 12}
    params["budget"]["sample"] |= sizes
    params["budget"]["objective"]["test_images"] = 24
    params["variants"] = {variant: params["variants"][variant] for variant in VARIANTS}
    params["variants"]["gan-dcgan"]["train"]["network"]["augmentation"] = "adaptive"
    params["normality"] |= {"images": 4, "draws": 1, "points": 5}
    params["evaluation"]["classifier"] |= {"epochs": 1, "batch_size": 64}
    params["studies"] = {"trained": {}, "untrained": {}, "compared": {}}
    params["demos"] = {}
    (root / "params.yaml").write_text(json.dumps(params))

    artifacts = Artifacts(root)
    classifier.run(artifacts)
    reference.run(artifacts)
    for variant in VARIANTS:
        for stage in (forward, train, sample, evaluate):
            stage.run(artifacts, variant)
    summarize.run(artifacts)
    figures.run(artifacts)
    return artifacts


def test_the_feature_network_learns_rotations(made: Artifacts) -> None:
    weights, header = read_tensors(made.reference("classifier.safetensors"))
    assert header == {"channels": 3, "classes": 4, "task": "rotation"}
    assert next(iter(weights.values())).shape[1] == 3
    known = json.loads(made.reference("classifier.json").read_text())
    assert known["task"] == "rotation"
    assert known["test_images"] == 4 * TEST


def test_images_without_classes_have_no_readers(made: Artifacts) -> None:
    weights, header = read_tensors(made.reference("readers.safetensors"))
    assert (weights, header["count"]) == ({}, 0)
    assert json.loads(made.reference("classifier.json").read_text())["readers_test_accuracy"] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_the_metrics_that_apply_to_images_without_classes(made: Artifacts, variant: str) -> None:
    metrics = json.loads(made.metrics(variant).read_text())
    restoring = {"rmse", "ssim", "psnr", "rmse_matched", "ssim_matched", "psnr_matched", "matched_t", "test_loss"}
    assert metrics["fid_classifier"] > 0
    assert (restoring & set(metrics)) == (restoring if variant.startswith("ddpm") else set())
    assert {"density", "coverage"} <= set(metrics)
    assert not [key for key in metrics if key.startswith("class_") or key == "legible"]


def test_the_gan_has_the_losses_of_both_networks(made: Artifacts) -> None:
    with made.table("gan-dcgan", "loss").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(float(row["generator_loss"]) > 0 and float(row["discriminator_loss"]) > 0 for row in rows)


@pytest.mark.parametrize("variant", VARIANTS)
def test_samples_and_sheets_are_in_colour_at_their_size(made: Artifacts, variant: str) -> None:
    drawn, _ = read_tensors(made.samples(variant))
    assert drawn["unconditional.0"].shape == (SAMPLES, 3, SIZE, SIZE)
    tiles = {"samples": (SAMPLES // 8, 8), "milestones": (2, 8), "forward": (4, 11), "chain": (8, 11)}
    for name, (rows, columns) in tiles.items():
        with Image.open(made.sheet(variant, name)) as sheet:
            assert (sheet.mode, sheet.size) == ("RGB", (columns * SIZE, rows * SIZE)), name
    forward = np.asarray(Image.open(made.sheet(variant, "forward")))[:SIZE, :SIZE].astype(int)
    assert np.abs(forward[..., 0] - forward[..., 2]).max() > 20, "a photograph is not grey"


def test_the_figures_show_the_colours(made: Artifacts) -> None:
    assert read_params(made.params).data.channels == 3
    for variant in VARIANTS:
        with Image.open(made.figures / f"samples-{variant}.png") as picture:
            pixels = np.asarray(picture.convert("RGB")).astype(int)
        coloured = np.abs(pixels[..., 0] - pixels[..., 2]) > 10
        assert coloured.mean() > 0.05, variant
    with made.summary.open() as file:
        assert {row["variant"] for row in csv.DictReader(file)} == set(VARIANTS)
