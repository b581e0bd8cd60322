"""The figures of a project that was made up: all that its artifacts allow, the same bytes every time."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from study_fixtures import SHAPE, toy_dataset

from thaw.core.sheets import STRIP_COLUMNS, shown, write_sheet
from thaw.degradations.zoom import Zoom
from thaw.diffusion.denoising import subsequence
from thaw.evaluation.background import grey_levels
from thaw.figures import animations, evaluation, families, process, sheet
from thaw.figures.catalogue import STYLE
from thaw.figures.families import short_titles
from thaw.figures.network import network
from thaw.figures.study import draw_comparison, draw_study, schedule_steps
from thaw.figures.tiles import Grid, grid_figure
from thaw.files import write_csv
from thaw.pages import show
from thaw.params import Params, read_params
from thaw.results.layout import Artifacts
from thaw.results.measurements import Results
from thaw.stages import figures, sample

ROOT = Path(__file__).parents[1]
KEPT = ("ddpm-linear", "cold-zoom-cnn", "gan-dcgan")
NEW = "ddpm-new"
PARAMS = read_params(ROOT / "params.yaml")
SIZE = PARAMS.data.pixels
AXES = {"x": "steps", "y": {"fid": "distance"}, "x_label": "steps", "series": "sampler", "log_x": True, "log_y": False}
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
    content["demos"] = {}
    with artifacts.params.open("w") as file:
        yaml.dump(content, file)
    for seed, variant in enumerate(("ddpm-linear", NEW)):
        write_sheet(artifacts.sheet(variant, "chain"), list(tiles(4, STRIP_COLUMNS, seed)))
    for variant in ("gan-dcgan", NEW):
        write_sheet(artifacts.sheet(variant, "samples"), list(tiles(8, 8)))
    for variant in ("gan-dcgan", NEW):
        write_sheet(artifacts.sheet(variant, "milestones"), list(tiles(5, 8)))
    write_sheet(artifacts.sheet(NEW, "milestone_restorations"), list(tiles(7, 8)))
    distances = zip((*KEPT, NEW), (9, 8, 7, 3), strict=True)
    rows = [{"variant": name, "metric": "fid_infinite", "value": value, "low": value - 1, "high": value + 1}
            for name, value in distances]  # fmt: skip
    write_csv(artifacts.summary, rows)
    write_csv(artifacts.reference("levels.csv"), [{"level": level, "count": 1} for level in range(256)])
    centre = [{"level": level, "count": 1 + level // 255} for level in range(256)]
    write_csv(artifacts.table("cold-zoom-cnn", "levels"), centre)
    write_csv(artifacts.table("ddpm-linear", "levels"), [], ("level", "count"))
    columns = ("block", "kind", "channels", "height", "parameters", "inputs", "time")
    write_csv(artifacts.table("ddpm-linear", "network"), [
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
    return json.loads((artifacts.figures / "captions.json").read_text())


def texts(figure: plt.Figure) -> set[str]:
    """All that is written in a figure."""
    figure.canvas.draw()
    found = figure.findobj(lambda artist: isinstance(artist, plt.Text))
    return {text.get_text() for text in found}


def test_all_that_the_artifacts_allow_is_drawn(project: Artifacts) -> None:
    expected = {"ranking", "overview", "chains", "central-pixels", "network-cnn", "milestones-gan-dcgan"}
    expected |= {f"milestones-{NEW}", f"milestone_restorations-{NEW}"}
    expected |= {"samples-gan-dcgan", f"samples-{NEW}", "chain-ddpm-linear", f"chain-{NEW}"}
    moving = {"animation-gaussian", "animation-gan"}
    assert {path.stem for path in project.figures.glob("*.png")} == expected
    assert {path.stem for path in project.figures.glob("*.svg")} == {"central-pixels", "network-cnn"}, "charts"
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


def test_the_rows_of_milestones_are_labelled_with_the_images_seen_at_those_that_are_shown(
    undrawn: Artifacts, params: Params, style: None
) -> None:
    budget = params.train_budget(NEW)
    seen = [f"{fraction * budget.images / 1000:.3g} k images" for fraction in shown(budget.milestones)]
    assert len(seen) == 5 < len(budget.milestones)
    drawing = sheet.of_variant(undrawn, params, "milestones", NEW)
    assert set(seen) <= texts(drawing.figure)
    drawing = sheet.of_variant(undrawn, params, "milestone_restorations", NEW)
    assert {"original", "degraded", *seen} <= texts(drawing.figure)
    assert f"restores after {seen[0]}" in drawing.alt


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

    def draw(count: int, seed: int, callback: Any) -> torch.Tensor:
        for t in subsequence(steps, most)[:-1]:
            callback(t, torch.full((count, 1), float(t)), torch.zeros(count, 1))
        return torch.zeros(count, 1)

    model: Any = SimpleNamespace(degradation=SimpleNamespace(steps=steps), steps=most, sample=draw)
    shown = sample._chain(model, 0)[0][:, 0].int().tolist()
    train = SimpleNamespace(degradation=SimpleNamespace(options={"steps": steps}))
    params: Any = SimpleNamespace(
        variant=lambda name: SimpleNamespace(train=train),
        budget=SimpleNamespace(sample=SimpleNamespace(strip_steps=most)),
    )
    assert families.visited(params, "any") == shown


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


def test_a_diagram_says_what_its_table_says(undrawn: Artifacts, params: Params, style: None) -> None:
    drawing = network(undrawn, params, "cnn")
    written = texts(drawing.figure)
    assert "1 330 parameters" in written
    assert {"conv 3×3", "block", "z", "answer", "28×28", "14×14"} <= written
    assert "skip connections" in drawing.caption
    assert "three: block, 8 channels of 28×28" in drawing.alt
    assert network(undrawn, params, "another") is None


def test_a_bar_beyond_the_others_is_cut(params: Params, tmp_path: Path, style: None) -> None:
    artifacts = Artifacts(tmp_path)
    for variant, bits in (("ddpm-linear", 2.0), (NEW, 17.0)):
        row = {"first_t": 1, "last_t": 1, "per_step": 0.1, "n": 5}
        write_csv(artifacts.table(variant, "likelihood"), [
            row | {"term": "L_0", "bits": bits}, row | {"term": "L_t", "bits": 0.5}, row | {"term": "L_T", "bits": 0.0},
        ])  # fmt: skip
    drawing = evaluation.likelihood(artifacts, params)
    assert "break" not in drawing.caption, "of two, neither is beyond the others"
    write_csv(artifacts.table("cold-zoom-cnn", "likelihood"), [row | {"term": "L_0", "bits": 2.5}])
    drawing = evaluation.likelihood(artifacts, params)
    assert "break" in drawing.caption
    bars = drawing.figure.axes[1]
    assert bars.get_xlim()[1] < 6
    assert " 17.50" in texts(drawing.figure)


def test_the_chain_needs_a_strip_of_gaussian_noise(params: Params, tmp_path: Path, style: None) -> None:
    artifacts = Artifacts(tmp_path)
    write_sheet(artifacts.sheet("ddpm-linear", "forward"), list(tiles(4, STRIP_COLUMNS)))
    assert process.markov_chain(artifacts, params) is None, "its schedule is not there"
    write_csv(artifacts.table("ddpm-linear", "normality"), [{"t": 1, "tau": 1.0}])
    drawing = process.markov_chain(artifacts, params)
    assert drawing.sources == [artifacts.sheet("ddpm-linear", "forward")]


def test_without_a_summary_the_first_variant_stands_for_its_kind(params: Params, tmp_path: Path, style: None) -> None:
    artifacts = Artifacts(tmp_path)
    for variant in ("ddpm-linear", NEW):
        write_sheet(artifacts.sheet(variant, "chain"), list(tiles(2, STRIP_COLUMNS)))
    drawing = sheet.chains(artifacts, params)
    assert "gaussian by [DDPM, linear schedule, CNN]" in drawing.caption


def test_levels_are_counted_in_whole_images_and_in_what_zoom_leaves() -> None:
    dataset = toy_dataset()
    pixels = dataset.train.pixels
    counted = {"all": grey_levels(pixels), "left": grey_levels(Zoom(shape=SHAPE, steps=6).remaining(pixels))}
    for name, part in (("all", pixels), ("left", pixels[:, :, 3:9, 3:9])):  # of 12 pixels, zoom leaves the middle six
        expected = [{"level": level, "count": int((part == level).sum())} for level in range(256)]
        assert counted[name] == expected


# Studies


@pytest.fixture
def studied(tmp_path: Path) -> Artifacts:
    """A folder with one study, `made-up`, of two conditions."""
    artifacts = Artifacts(tmp_path)
    folder = artifacts.study("made-up")
    tiles = np.random.default_rng(0).integers(0, 256, (3, 1, SIZE, SIZE), dtype=np.uint8)
    write_sheet(folder / "strips.png", [tiles, tiles])
    write_csv(folder / "table.csv", [{"sampler": name, "fid": 1.5, "class_0": 0.25, "class_1": 0.75} for name in "ab"])
    write_csv(folder / "curves.csv", [{"sampler": name, "steps": n, "fid": n / 2, "low": n / 4, "high": 1.0 * n}
                                      for name in "ab" for n in (1, 2, 4)])  # fmt: skip
    strips = [{"label": label, "images": 3} for label in ("first", "second")]
    study = {"caption": "What it shows.", "strips": strips, "columns": ["x", "y", "z"], "axes": AXES}
    (folder / "study.json").write_text(json.dumps(study))
    return artifacts


def test_a_study_is_drawn_with_its_pictures_and_curves(studied: Artifacts, style: None) -> None:
    drawing = draw_study(studied, PARAMS, "made-up")
    assert {"first", "second", "x", "y", "z", "distance", "a", "b"} <= texts(drawing.figure)
    assert drawing.caption == "What it shows."
    assert "first and second" in drawing.alt
    assert {path.name for path in drawing.sources} == {"strips.png", "curves.csv", "study.json"}
    lines = [line for axes in drawing.figure.findobj(plt.Axes) for line in axes.lines]
    assert [list(line.get_ydata()) for line in lines] == [[0.5, 1, 2], [0.5, 1, 2]]


def test_a_study_that_has_not_run_and_a_table_alone_are_no_figures(studied: Artifacts, style: None) -> None:
    assert draw_study(studied, PARAMS, "another") is None
    folder = studied.study("made-up")
    write_csv(folder / "table.csv", [{"sampler": "a", "fid": 1.0}])
    (folder / "study.json").write_text(json.dumps({"caption": "", "strips": [], "columns": [], "axes": None}))
    assert draw_study(studied, PARAMS, "made-up") is None


def test_the_commonest_class_stands_for_the_shares_of_all(
    studied: Artifacts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("params.yaml", "dvc.yaml"):
        (studied.root / name).write_bytes((ROOT / name).read_bytes())
    monkeypatch.setattr(show, "results", lambda: Results(studied))
    show._study_table("made-up")
    printed = capsys.readouterr().out
    assert "| sampler | fid | commonest class |" in printed
    assert "| a | 1.5 | 1 (75 %) |" in printed
    assert "tbl-study-made-up" in printed


def test_variants_are_set_side_by_side_as_far_as_they_were_measured(studied: Artifacts, style: None) -> None:
    key, comparison = next(iter(PARAMS.studies.compared.items()))
    first, second = comparison.variants[:2]
    tiles = np.zeros((8, 1, SIZE, SIZE), dtype=np.uint8)
    write_sheet(studied.sheet(first, "samples"), [tiles] * 8)
    assert draw_comparison(studied, PARAMS, key) is None, "nothing was measured"
    row = {"variant": first, "metric": "fid_infinite", "value": 9.0, "low": 7.0, "high": 12.0}
    write_csv(studied.summary, [row, row | {"variant": second}])
    drawing = draw_comparison(studied, PARAMS, key)
    written = texts(drawing.figure)
    assert PARAMS.title(first) in written
    assert PARAMS.title(second) not in written, "it has no samples"
    assert "FID∞ (classifier)" in written
    assert comparison.title in drawing.caption.lower() or comparison.title[1:] in drawing.caption


def test_variants_of_several_profiles_are_drawn_together(studied: Artifacts, style: None) -> None:
    """Sheets have as many images as their profile samples."""
    key, comparison = next(iter(PARAMS.studies.compared.items()))
    for count, variant in zip((8, 2), comparison.variants, strict=False):
        write_sheet(studied.sheet(variant, "samples"), [np.zeros((count, 1, SIZE, SIZE), dtype=np.uint8)] * 2)
    row = {"metric": "fid_infinite", "value": 9.0, "low": 7.0, "high": 12.0}
    write_csv(studied.summary, [row | {"variant": variant} for variant in comparison.variants[:2]])
    drawing = draw_comparison(studied, PARAMS, key)
    assert {*short_titles(PARAMS, comparison.variants[:2]).values()} <= texts(drawing.figure)
    for count, study in zip((8, 2), PARAMS.schedule_steps, strict=False):
        write_sheet(studied.study(study) / "strips.png", [np.zeros((count, 1, SIZE, SIZE), dtype=np.uint8)] * 2)
        write_csv(studied.study(study) / "curves.csv", [{"steps": 9, "fid_classifier": 5.0, "low": 4.0, "high": 6.0}])
    drawing = schedule_steps(studied, PARAMS)
    assert "the first 2 samples" in drawing.caption
    for milestones in (9, 2):
        sheet = [np.zeros((4, 1, SIZE, SIZE), dtype=np.uint8)] * milestones
        write_sheet(studied.sheet("gan-dcgan", "milestones"), sheet)
        moving = animations.animations(studied, PARAMS)["animation-gan"]
        assert len(moving.frames) == min(milestones, 5)
