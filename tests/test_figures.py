"""The figures of a project that was made up: all that its artifacts allow, the same bytes every time."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from study_fixtures import study_params, toy_dataset

from thaw.artifacts import Artifacts
from thaw.files import write_csv
from thaw.params import Params, read_params
from thaw.reporting import animations, evaluation_figures, process_figures, sheet_figures
from thaw.reporting.figures import STYLE
from thaw.reporting.network_figures import network
from thaw.reporting.tiles import Grid, grid_figure
from thaw.sheets import STRIP_COLUMNS, write_sheet
from thaw.stages import figures, levels, sample

ROOT = Path(__file__).parents[1]
KEPT = ("ddpm-linear", "cold-zoom-cnn", "gan-dcgan")
NEW = "ddpm-new"
SIZE = 28
BLOCKS = [
    ("z", "input", 1, 28, 0, "", 0), ("time", "time embedding", 16, None, 30, "", 0),
    ("one", "conv 3×3", 8, 28, 100, "z", 0), ("two", "conv 3×3", 8, 14, 200, "one", 1),
    ("three", "block", 8, 28, 1000, "two one", 1), ("answer", "output", 1, 28, 0, "three", 0),
]  # fmt: skip


def tiles(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(rows, columns, 1, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture(scope="module")
def undrawn(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """Three variants of params.yaml and one that is new, with sheets, summary, levels and a network, and no study."""
    artifacts = Artifacts(tmp_path_factory.mktemp("project"))
    yaml = YAML()
    content = yaml.load((ROOT / "params.yaml").read_text())
    content["variants"] = {name: content["variants"][name] for name in KEPT}
    content["variants"][NEW] = json.loads(json.dumps(content["variants"]["ddpm-linear"]))
    content["studies"] = {"trained": {}, "untrained": {}, "compared": {}}
    with artifacts.params.open("w") as file:
        yaml.dump(content, file)
    for seed, variant in enumerate(("ddpm-linear", NEW)):
        write_sheet(artifacts.sheet(variant, "chain"), list(tiles(4, STRIP_COLUMNS, seed)))
    for variant in ("gan-dcgan", NEW):
        write_sheet(artifacts.sheet(variant, "samples"), list(tiles(8, 8)))
    write_sheet(artifacts.sheet("gan-dcgan", "milestones"), list(tiles(3, 8)))
    rows = [
        {"variant": name, "metric": "fid_classifier", "value": value}
        for name, value in zip(KEPT, (9, 8, 7), strict=True)
    ]
    write_csv(artifacts.summary, [*rows, {"variant": NEW, "metric": "fid_classifier", "value": 3}])
    write_csv(artifacts.levels, [{"level": level, "all": 1, "centre": 1 + level // 255} for level in range(256)])
    columns = ("block", "kind", "channels", "height", "parameters", "inputs", "time")
    write_csv(artifacts.networks / "cnn.csv", [
        {"variant": "ddpm-linear", "part": "network", "width": row[3], **dict(zip(columns, row, strict=True))}
        for row in BLOCKS
    ])  # fmt: skip
    return artifacts


@pytest.fixture(scope="module")
def project(undrawn: Artifacts) -> Artifacts:
    figures.run(undrawn)
    return undrawn


@pytest.fixture(scope="module")
def params(undrawn: Artifacts) -> Params:
    return read_params(undrawn.params)


@pytest.fixture
def style() -> Iterator[None]:
    mpl.use("agg")
    with plt.style.context(STYLE):
        yield
    plt.close("all")


def captions(artifacts: Artifacts) -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = json.loads((artifacts.figures / "captions.json").read_text())
    return content


def texts(figure: plt.Figure) -> list[str]:
    found = figure.findobj(lambda artist: isinstance(artist, plt.Text))
    return [text.get_text() for text in found if text.get_text()]


def test_all_that_the_artifacts_allow_is_drawn(project: Artifacts) -> None:
    expected = {"overview", "chains", "central-pixels", "network-cnn", "milestones-gan-dcgan"}
    expected |= {"samples-gan-dcgan", f"samples-{NEW}", "chain-ddpm-linear", f"chain-{NEW}"}
    moving = {"animation-gaussian", "animation-gan"}
    assert {path.stem for path in project.figures.glob("*.png")} == expected
    assert {path.stem for path in project.figures.glob("*.webp")} == moving
    assert set(captions(project)) == expected | moving
    for entry in captions(project).values():
        assert entry["caption"]
        assert entry["alt"]
        assert all((project.root / source).exists() for source in entry["sources"])


def test_a_new_variant_is_drawn_and_named(project: Artifacts) -> None:
    assert NEW in captions(project)["overview"]["alt"]
    assert f"`{NEW}`" in captions(project)["chains"]["caption"], "it has the lowest distance of its kind"
    assert captions(project)["animation-gaussian"]["still"] == f"chain-{NEW}"
    assert captions(project)["animation-gan"]["still"] == "milestones-gan-dcgan"


def test_a_second_drawing_is_the_same_to_the_byte(project: Artifacts) -> None:
    before = {path.name: path.read_bytes() for path in project.figures.iterdir()}
    figures.run(project)
    assert {path.name: path.read_bytes() for path in project.figures.iterdir()} == before


def test_grey_figures_are_saved_grey_and_charts_with_a_palette(project: Artifacts) -> None:
    modes = {name: Image.open(project.figures / f"{name}.png").mode for name in ("samples-gan-dcgan", "network-cnn")}
    assert modes == {"samples-gan-dcgan": "L", "network-cnn": "P"}


def test_an_animation_ends_with_a_pause_and_begins_again(project: Artifacts) -> None:
    with Image.open(project.figures / "animation-gaussian.webp") as picture:
        assert picture.n_frames == STRIP_COLUMNS
        assert picture.info["loop"] == 0
        durations = []
        for number in range(picture.n_frames):
            picture.seek(number)
            picture.load()
            durations.append(picture.info["duration"])
    assert durations[-1] > 3 * durations[0]
    assert (project.figures / "animation-gaussian.webp").stat().st_size < 400_000


@pytest.mark.parametrize(("steps", "most"), [(24, 1000), (1000, 1000), (1000, 40), (10, 10)])
def test_the_counter_of_an_animation_is_that_of_the_sampler(steps: int, most: int) -> None:
    """The sheet `chain` of a model whose z_t is t everywhere holds the steps that the counter shows."""
    from thaw.diffusion.denoising import subsequence

    def draw(count: int, seed: int, callback: Any) -> torch.Tensor:
        for t in subsequence(steps, most)[:-1]:
            callback(t, torch.full((count, 1), float(t)), torch.zeros(count, 1))
        return torch.zeros(count, 1)

    model: Any = SimpleNamespace(degradation=SimpleNamespace(steps=steps), steps=most, sample=draw)
    shown = sample._chain(model, 0)[0][:, 0].int().tolist()
    assert animations.visited(steps, most) == shown


def test_a_pixel_of_a_tile_is_a_square_of_pixels(style: None) -> None:
    pictures = tiles(2, 3)[:, :, 0]
    grid = Grid(pictures, rows=["a", "b"], columns=["x", "y", "z"], width=3)
    drawn = np.asarray(figures._picture(grid_figure(grid)))[..., 0]
    scale = int(grid.scale)
    assert scale > 1
    large = pictures[1, 2].repeat(scale, axis=0).repeat(scale, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(drawn, large.shape)
    rows, columns = windows.shape[:2]
    assert any((windows[y, x] == large).all() for y in range(rows // 3, rows) for x in range(columns // 3, columns))


def test_tiles_larger_than_the_figure_are_made_smaller(style: None) -> None:
    figure = grid_figure(Grid(np.zeros((1, 4, 500, 500), np.uint8), width=3))
    assert figure.get_size_inches()[0] <= 3.01


def test_a_diagram_says_what_its_table_says(undrawn: Artifacts, style: None) -> None:
    drawing = network(undrawn, "cnn")
    assert drawing is not None
    written = texts(drawing.figure)
    assert "1 330 parameters" in written
    assert {"conv 3×3", "block", "z", "answer", "28×28", "14×14"} <= set(written)
    assert "skip connections" in drawing.caption
    assert "three: block, 8 channels of 28×28" in drawing.alt
    assert network(undrawn, "another") is None


def test_a_bar_beyond_the_others_is_cut(params: Params, tmp_path: Path, style: None) -> None:
    artifacts = Artifacts(tmp_path)
    for variant, bits in (("ddpm-linear", 2.0), (NEW, 17.0)):
        row = {"first_t": 1, "last_t": 1, "per_step": 0.1, "n": 5}
        write_csv(artifacts.likelihood(variant), [
            row | {"term": "L_0", "bits": bits}, row | {"term": "L_t", "bits": 0.5}, row | {"term": "L_T", "bits": 0.0},
        ])  # fmt: skip
    drawing = evaluation_figures.likelihood(artifacts, params)
    assert drawing is not None
    assert "break" not in drawing.caption, "of two, neither is beyond the others"
    write_csv(artifacts.likelihood("cold-zoom-cnn"), [row | {"term": "L_0", "bits": 2.5}])
    drawing = evaluation_figures.likelihood(artifacts, params)
    assert drawing is not None
    assert "break" in drawing.caption
    bars = drawing.figure.axes[1]
    assert bars.get_xlim()[1] < 6
    assert " 17.50" in texts(drawing.figure)


def test_the_chain_needs_a_strip_of_gaussian_noise(params: Params, tmp_path: Path, style: None) -> None:
    artifacts = Artifacts(tmp_path)
    write_sheet(artifacts.sheet("ddpm-linear", "forward"), list(tiles(4, STRIP_COLUMNS)))
    assert process_figures.markov_chain(artifacts, params) is None, "its schedule is not there"
    write_csv(artifacts.normality("ddpm-linear"), [{"t": 1, "tau": 1.0}])
    drawing = process_figures.markov_chain(artifacts, params)
    assert drawing is not None
    assert drawing.sources == [artifacts.sheet("ddpm-linear", "forward")]


def test_without_a_summary_the_first_variant_stands_for_its_kind(params: Params, tmp_path: Path, style: None) -> None:
    artifacts = Artifacts(tmp_path)
    for variant in ("ddpm-linear", NEW):
        write_sheet(artifacts.sheet(variant, "chain"), list(tiles(2, STRIP_COLUMNS)))
    drawing = sheet_figures.chains(artifacts, params)
    assert drawing is not None
    assert "`ddpm-linear`" in drawing.caption


def test_levels_are_counted_in_whole_images_and_in_centres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "read_params", lambda _: study_params())
    monkeypatch.setattr(levels, "read_dataset", lambda *_: toy_dataset())
    levels.run(Artifacts(tmp_path))
    table = pd.read_csv(Artifacts(tmp_path).levels)
    pixels = toy_dataset().train.pixels
    assert table["all"].tolist() == [int((pixels == level).sum()) for level in range(256)]
    centres = pixels[:, :, 3:9, 3:9]  # of 12 pixels, zoom leaves the middle six
    assert table["centre"].tolist() == [int((centres == level).sum()) for level in range(256)]
