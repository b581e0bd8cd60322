from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import data_of
from image_fixtures import no_images, stream
from PIL import Image
from torch import Tensor

from thaw.degradations.morph import Morph
from thaw.errors import ThawError
from thaw.params import Choice, Data, Train
from thaw.variant import build_degradation

SHAPE = (1, 8, 8)
LINEAR = Choice.model_validate({"name": "linear", "beta_min": 1e-4, "beta_max": 0.02})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose training sources are uniform and below 100, and whose test sources are so and above 150."""
    for part, levels in (("train", range(0, 100, 5)), ("test", range(150, 250, 5))):
        (tmp_path / "raw" / part).mkdir(parents=True)
        for level in levels:
            Image.fromarray(np.full((8, 8), level, dtype=np.uint8)).save(tmp_path / "raw" / part / f"{level:03}.png")
    return tmp_path


def morph(root: Path, shape: tuple[int, int, int] = SHAPE, **options: Any) -> Morph:
    options = {"source": "folder", "path": "raw", "steps": 1000, "schedule": LINEAR} | options
    return Morph(shape=shape, **({"data": data_of(shape), "root": root} | options))


def grey(source: Tensor) -> list[int]:
    return ((source + 0.5) * 255).round().int()[:, 0, 0, 0].tolist()


def test_training_and_sampling_have_other_sources(project: Path) -> None:
    degradation = morph(project)
    train, test = degradation.draw_source(500, stream(), "train"), degradation.draw_source(500, stream(), "test")
    assert train.shape == test.shape == (500, *SHAPE)
    assert max(grey(train)) < 100
    assert set(grey(test)) == set(range(150, 250, 5)), "all of them, and some more than once"
    assert len(set(grey(train))) == 16, "a fifth of the training images is kept for validation"


def test_sources_have_the_size_the_channels_and_the_range_of_the_data(project: Path) -> None:
    data = data_of((3, 12, 12)).model_copy(update={"half_range": 2.0})
    source = morph(project, (3, 12, 12), data=data).draw_source(50, stream(), "test")
    assert source.shape == (50, 3, 12, 12)
    assert source.min().item() == pytest.approx(150 / 255 * 4 - 2, abs=1e-5)
    assert source.max() > 1.7


def test_the_project_is_found_from_the_current_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (project / name).touch()
    monkeypatch.chdir(project / "raw")
    found = Morph(shape=SHAPE, data=data_of(SHAPE), source="folder", path="raw", steps=5, schedule=LINEAR)
    expected = morph(project, steps=5).draw_source(4, stream(), "test")
    assert torch.equal(found.draw_source(4, stream(), "test"), expected)


def test_the_end_is_the_source_to_a_grey_level_where_the_image_is_gone(project: Path) -> None:
    degradation = morph(project)
    source = degradation.draw_source(5, stream(), "test")
    z = degradation.degrade(torch.zeros(5, *SHAPE), torch.full((5,), 1000), source)
    assert (z - source).abs().max() < 1 / 255


def train_block(**options: Any) -> Train:
    degradation = {"name": "morph", "steps": 10, "schedule": LINEAR.model_dump(), **options}
    rest = {"target": "clean", "network": {"name": "cnn"}, "ema_decay": 0.9}
    return Train.model_validate({"degradation": degradation, **rest})


DATA = Data(dataset="mnist", path="raw", pixels=28, channels=1, half_range=0.5, validation_fraction=0.2, seed=0)


def test_a_variant_gives_morph_its_data_and_its_project(tmp_path: Path) -> None:
    degradation = build_degradation(train_block(), DATA, "variants.a.train", tmp_path)
    assert isinstance(degradation, Morph)
    assert degradation.shape == (1, 28, 28)
    assert degradation.data == DATA.model_copy(update={"dataset": "fashion_mnist", "path": "data/raw/fashion-mnist"})
    with pytest.raises(ThawError, match=r"fashion-mnist/train-images-idx3-ubyte\.gz is missing"):
        degradation.draw_source(1, stream(), "train")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"source": "fashion-mnist"}, r"degradation\.source is fashion-mnist, .* \(did you mean fashion_mnist\?\)\."),
        ({"sorce": "mnist"}, r"sorce is not a key .*mean source\?\); allowed here: steps, schedule, source, path\."),
        ({"root": "elsewhere"}, r"degradation\.root is not a key that thaw knows"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ThawError, match=says):
        build_degradation(train_block(**options), DATA, "variants.a.train")


# Latents


@pytest.mark.parametrize("latent", ["image", "mean", "mixture"])
def test_a_latent_is_its_own_source(latent: str, project: Path) -> None:
    drawn = morph(project).draw_latent(6, stream(), no_images, latent)
    assert drawn.z is drawn.source
    assert drawn.z.shape == (6, *SHAPE)
    assert drawn.z.dtype == torch.float32


def test_noise_is_added_to_the_same_images_at_every_level(project: Path) -> None:
    degradation = morph(project)
    plain, weak, strong = (
        degradation.draw_latent(400, stream(), no_images, "image", noise=noise).z for noise in (0.0, 0.01, 0.5)
    )
    assert torch.equal(plain, degradation.draw_source(400, stream(), "test"))
    torch.testing.assert_close((weak - plain) * 50, strong - plain, rtol=0, atol=1e-4)
    assert (strong - plain).std().item() == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("sources", [1, 2, 10])
def test_means_are_of_so_many_test_images(sources: int, project: Path) -> None:
    z = morph(project).draw_latent(2000, stream(), no_images, "mean", sources=sources).z
    levels = torch.arange(150, 250, 5) / 255 - 0.5
    expected = (levels.var(correction=0) / sources).sqrt().item()
    assert torch.equal(z, z[:, :, :1, :1].expand_as(z)), "a mean of uniform images is uniform"
    assert z[:, 0, 0, 0].std().item() == pytest.approx(expected, rel=0.08)
    assert z.mean().item() == pytest.approx(levels.mean().item(), abs=4 * expected / 2000**0.5)


@pytest.fixture
def two_kinds(tmp_path: Path) -> Path:
    """A project whose training sources are of two kinds, a third of them white above and two thirds white below."""
    (tmp_path / "raw").mkdir()
    noise = np.random.default_rng(0)
    for number in range(300):
        pixels = noise.normal(60, 10, (8, 8))
        pixels[slice(0, 4) if number % 3 == 0 else slice(4, 8)] += 120
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "raw" / f"{number:03}.png")
    return tmp_path


def test_a_mixture_finds_the_kinds_of_source_and_their_shares(two_kinds: Path) -> None:
    z = morph(two_kinds).draw_latent(1500, stream(), no_images, "mixture", components=[1, 2]).z
    above, below = z[:, 0, :4].mean((1, 2)), z[:, 0, 4:].mean((1, 2))
    assert ((above - below).abs() > 0.3).all(), "no draw is between the kinds"
    assert (above > below).double().mean().item() == pytest.approx(1 / 3, abs=0.08)
    assert z.abs().max() <= 0.5


def test_a_mixture_has_as_many_components_as_bic_says(two_kinds: Path) -> None:
    fit = morph(two_kinds)._fit((1, 2, 6))
    assert fit.weights.shape == (2,)
    assert fit.weights.sum().item() == pytest.approx(1)
    assert len(morph(two_kinds)._fit((1,)).weights) == 1


def test_a_mixture_is_fitted_to_training_images(project: Path) -> None:
    z = morph(project).draw_latent(300, stream(), no_images, "mixture", components=[1]).z
    assert z.mean().item() == pytest.approx(50 / 255 - 0.5, abs=0.06)


def test_a_mixture_of_more_components_than_images_is_refused(project: Path) -> None:
    with pytest.raises(ThawError, match="has 20 components, but raw has only 16 training images"):
        morph(project).draw_latent(3, stream(), no_images, "mixture", components=[1, 20])
