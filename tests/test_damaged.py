"""A damaged file of any kind that thaw reads ends in one sentence that names it, and changes nothing."""

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from study_fixtures import SHAPE, study_params, toy_dataset

from thaw import cli
from thaw.compare.pictures import beside
from thaw.core.sheets import write_sheet
from thaw.core.tensors import read_tensors, write_tensors
from thaw.errors import ThawError
from thaw.evaluation.classifier import FeatureNetwork, checksum, features
from thaw.evaluation.frechet import moments
from thaw.evaluation.rows import read_rows
from thaw.figures.catalogue import draw_all
from thaw.files import write_csv, write_json
from thaw.loading import load_model
from thaw.metrics import METRICS
from thaw.pages import illustrations, quarto, show
from thaw.params import read_params
from thaw.pipeline.machine import machine_notes
from thaw.pipeline.scratch import committed_metrics
from thaw.pipeline.why import LOCK, parameters_since
from thaw.results.differences import State, image_scores
from thaw.results.layout import Artifacts
from thaw.results.measurements import Measurement, Results, results
from thaw.stages import evaluate, sample, summarize
from thaw.studies._base.study import Study
from thaw.variant import build_degradation, build_network, precondition

NAME, STUDY = "studied", "a-study"
SIZE = SHAPE[-1]
Act = Callable[[Artifacts], object]


def tiles(rows: int, columns: int) -> list[np.ndarray]:
    return list(np.zeros((rows, columns, 1, SIZE, SIZE), np.uint8))


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifacts:
    """A project of one variant whose evaluation has been prepared, and nothing has been measured of; toy images."""
    for stage in (evaluate, sample):
        monkeypatch.setattr(stage, "read_dataset", lambda *_: toy_dataset())
    monkeypatch.chdir(tmp_path)
    artifacts, params = Artifacts(tmp_path), study_params()
    content = params.model_dump(mode="json", exclude_none=True)
    content["studies"]["untrained"] = {STUDY: {"name": "augmentation"}}
    artifacts.params.write_text(json.dumps(content))
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "report").mkdir()

    torch.manual_seed(0)
    network, readers = FeatureNetwork(1, 10).eval(), [FeatureNetwork(1, 10) for _ in range(2)]
    header = {"channels": 1, "classes": 10, "count": 2}
    write_tensors(artifacts.reference("classifier.safetensors"), network.state_dict(), header)
    stored = {f"{i}.{name}": value for i, reader in enumerate(readers) for name, value in reader.state_dict().items()}
    write_tensors(artifacts.reference("readers.safetensors"), stored, header)
    sums = {name: checksum(artifacts.reference(f"{name}.safetensors")) for name in ("classifier", "readers")}
    write_json(artifacts.reference("classifier.json"), {"sha256": sums["classifier"], "readers_sha256": sums["readers"],
                                                        "test_accuracy": 0.5, "test_images": 40})  # fmt: skip
    real = moments(features(network, toy_dataset().test.pixels))
    write_tensors(artifacts.reference("statistics.safetensors"), {"mean": real.mean, "covariance": real.covariance},
                  {"count": 40, "within": 1.0, "limit": 2.0})  # fmt: skip
    write_csv(artifacts.reference("floor.csv"), [{"n": 10, "fid_classifier": 2.0}, {"n": 20, "fid_classifier": 1.0}])

    block = params.variant(NAME).train
    degradation = build_degradation(block, params.data, "train", tmp_path)
    weights = precondition(build_network(block, SHAPE, "train"), block, degradation).state_dict()
    write_tensors(artifacts.weights(NAME, 0), weights)
    write_json(artifacts.models(NAME) / "model.json", {
        "train": block.model_dump(mode="json", exclude_defaults=True), "seeds": {"0": {}}, "images": 64,
        "milestones": ["1"],
    })  # fmt: skip
    write_csv(artifacts.table(NAME, "matched"), [{"t": 1, "matched": 0}, {"t": 2, "matched": 1}])
    write_json(artifacts.metrics(NAME), {"rmse": 0.5})
    return artifacts


class Kind(NamedTuple):
    """A kind of file: where it lies, what writes a whole one, unless the project has it, and what reads it."""

    path: Callable[[Artifacts], Path]
    write: Act | None
    read: Act


class Read(Exception):
    """Ends a stage where it has read what it is tested for."""


def stop(*_: object) -> None:
    raise Read


def until(owner: Any, name: str, act: Act) -> Act:
    """Do something as far as the call of a function."""

    def run(artifacts: Artifacts) -> None:
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Read):
            patch.setattr(owner, name, stop)
            act(artifacts)

    return run


def anew(act: Act) -> Act:
    """Do something for the project in the current folder, as it is now."""

    def run(artifacts: Artifacts) -> None:
        results.cache_clear()
        act(artifacts)

    return run


def draw(artifacts: Artifacts) -> object:
    return list(draw_all(artifacts, read_params(artifacts.params)))


def load(artifacts: Artifacts) -> object:
    return load_model(artifacts, NAME, read_params(artifacts.params))


def refer(artifacts: Artifacts) -> object:
    return evaluate._reference(artifacts, read_params(artifacts.params), NAME)


def measure(artifacts: Artifacts) -> object:
    return State("here", artifacts).measured(NAME)


def reference(name: str) -> Callable[[Artifacts], Path]:
    return lambda artifacts: artifacts.reference(name)


def sheet(artifacts: Artifacts) -> Path:
    return artifacts.sheet(NAME, "samples")


def intervals(*metrics: str, **more: str) -> list[dict[str, Any]]:
    columns = {"value": 2.0, "low": 1.0, "high": 3.0, "n": 20, "trainings": 1, "method": "", "floor": None}
    return [{**more, "metric": metric, **columns} for metric in metrics]


def table(name: str, read: Act, *rows: dict[str, Any], **columns: list[Any]) -> Kind:
    """A kind of table of a variant, by its rows or by its columns."""
    rows = rows or tuple(dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True))
    return Kind(lambda a: a.table(NAME, name), lambda a: write_csv(a.table(NAME, name), rows), read)


def write_study(artifacts: Artifacts) -> None:
    folder = artifacts.study(STUDY)
    write_csv(folder / "curves.csv", [{"sampler": "a", "steps": steps, "fid": 1 / steps} for steps in (1, 2)])
    write_sheet(folder / "strips.png", tiles(1, 3))
    axes = {"x": "steps", "y": {"fid": "distance"}, "x_label": "steps", "series": "sampler"}
    found = {"caption": "c", "strips": [{"label": "x"}], "columns": [], "axes": axes | {"log_x": False, "log_y": False}}
    write_json(folder / "study.json", found)


def write_lock(artifacts: Artifacts) -> None:
    params = {"params.yaml": {"threads": 1}}
    entry = {"cmd": "x", "deps": [{"path": "y", "md5": "0"}], "outs": [{"path": "z"}], "params": params}
    (artifacts.root / LOCK).write_text(json.dumps({"stages": {f"train@{NAME}": entry}}))


BOUNDS = {"low": [1.0, 2.0], "high": [3.0, 4.0]}
KINDS = {
    "weights": Kind(lambda a: a.weights(NAME, 0), None, load),
    "samples": Kind(
        lambda a: a.samples(NAME), lambda a: write_tensors(a.samples(NAME), {"unconditional.0": torch.zeros(1)}),
        until(evaluate, "_measure_samples", lambda a: evaluate.run(a, NAME)),
    ),
    "classifier": Kind(reference("classifier.safetensors"), None, refer),
    "classifier, study": Kind(
        reference("classifier.safetensors"), None, lambda a: Study(a, read_params(a.params)).classifier
    ),
    "readers": Kind(reference("readers.safetensors"), None, refer),
    "statistics": Kind(reference("statistics.safetensors"), None, refer),
    "statistics, study": Kind(
        reference("statistics.safetensors"), None, lambda a: Study(a, read_params(a.params))._real
    ),
    "model.json": Kind(lambda a: a.models(NAME) / "model.json", None, load),
    "study.json": Kind(lambda a: a.study(STUDY) / "study.json", write_study, draw),
    "classifier.json, page": Kind(reference("classifier.json"), None, anew(lambda _: show.classifier_sentence())),
    "classifier.json, networks": Kind(reference("classifier.json"), None, refer),
    "run.json": Kind(
        lambda a: a.run(NAME), lambda a: write_json(a.run(NAME), {"train": {"seconds": 3, "torch": "1"}}),
        lambda a: machine_notes(a, [NAME]),
    ),
    "metrics.json": Kind(lambda a: a.metrics(NAME), None, committed_metrics),
    "captions.json": Kind(
        lambda a: a.figures / "captions.json", lambda a: write_json(a.figures / "captions.json", {}),
        anew(lambda _: illustrations.figure("overview")),
    ),
    "intervals.csv": table("intervals", summarize.run, *intervals("fid_infinite", "ssim")),
    "intervals.csv, compared": table("intervals", measure, *intervals("fid_infinite")),
    "restorations.csv": table(
        "restorations", lambda a: image_scores(Measurement(
            NAME, METRICS["rmse"], 0, 0, 0, 2, 1, images=a.table(NAME, "restorations"))),
        training=[0, 0], image=[1, 2], rmse=[0.1, 0.2],
    ),
    "schedule.csv": table("schedule", lambda a: read_rows(a.table(NAME, "schedule")), *intervals("ssim", "rmse")),
    "matched.csv": table("matched", lambda a: sample.matched_step(a, NAME), t=[1, 2], matched=[0, 1]),
    "summary.csv": Kind(
        lambda a: a.summary, lambda a: write_csv(a.summary, intervals("ssim", "rmse", variant=NAME)), Results
    ),
    "real.csv": Kind(
        reference("real.csv"), lambda a: write_csv(a.reference("real.csv"), intervals("ssim", "rmse")), Results
    ),
    "floor.csv": Kind(reference("floor.csv"), None, refer),
    "loss.csv": table("loss", draw, seed=[0, 0], images=[8, 16], train_loss=[2.0, 1.0]),
    "fid.csv": table("fid", draw, images=[8, 16], fid_classifier=[2.0, 2.5], n=[20, 20], **BOUNDS),
    "test_loss.csv": table("test_loss", draw, t=[1, 2], tau=[0.5, 1], test_loss=[2.0, 2.5], **BOUNDS),
    "severity.csv": table(
        "severity", draw, tau=[0.5, 1], restoration=["direct", "direct"], metric=["rmse", "rmse"], value=[2.0, 2.5],
        n=[20, 20], **BOUNDS,
    ),
    "classes.csv": table("classes", draw, **{"class": [0, 1], "share": [0.4, 0.6], "test_images": [0.5, 0.5]}),
    "extrapolation.csv": table(
        "extrapolation", draw, n=[10, 20], fid_classifier=[2.0, 1.5], fit=[2.0, 1.5], limit=[1.0, 1.0]
    ),
    "curves.csv": Kind(lambda a: a.study(STUDY) / "curves.csv", write_study, draw),
    "sheet": Kind(sheet, lambda a: write_sheet(sheet(a), tiles(2, 4)), draw),
    "sheet, compared": Kind(
        sheet, lambda a: write_sheet(sheet(a), tiles(2, 4)), lambda a: beside({"x": sheet(a)}, 100)
    ),
    "strips.png": Kind(lambda a: a.study(STUDY) / "strips.png", write_study, draw),
    "picture": Kind(
        lambda a: a.figures / "overview.png", lambda a: write_sheet(a.figures / "overview.png", tiles(2, 4)),
        until(quarto, "chapters", quarto.publish),
    ),
    "dvc.lock": Kind(lambda a: a.root / LOCK, write_lock, lambda a: parameters_since(a, NAME)),
}  # fmt: skip


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -max(4, path.stat().st_size // 3)])


def garbage(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(300))


def foreign(path: Path) -> None:
    """Another file of the same type."""
    if path.suffix == ".safetensors":
        write_tensors(path, {"x": torch.zeros(3)}, {"y": 1})
    elif path.suffix == ".csv":
        path.write_text("x,y\n1,2\n3,4\n")
    elif path.suffix == ".png":
        Image.fromarray(np.zeros((SIZE + 1, SIZE), np.uint8)).save(path)
    else:
        path.write_text('{"x": 1}')


def a_list(path: Path) -> None:
    path.write_text("[1, 2]\n")


def a_word(path: Path) -> None:
    """`abc` in the place of the last number of a table."""
    *lines, last = path.read_text().splitlines(keepends=True)
    cells = last.rstrip().split(",")
    cells[max(index for index, cell in enumerate(cells) if cell.replace(".", "").isdigit())] = "abc"
    path.write_text("".join(lines) + ",".join(cells) + "\n")


def a_cell_more(path: Path) -> None:
    path.write_text(path.read_text()[:-1] + ",1\n")


def a_number_as_path(path: Path) -> None:
    path.write_text(path.read_text().replace('"y"', "5"))


DAMAGES: dict[str, tuple[Callable[[Path], None], ...]] = {
    ".safetensors": (empty, cut, garbage, foreign), ".json": (empty, cut, garbage, a_list, foreign),
    ".csv": (empty, cut, garbage, foreign, a_word, a_cell_more), ".png": (empty, cut, garbage, foreign),
    ".lock": (empty, garbage, a_list, a_number_as_path),
}  # fmt: skip
NO_DAMAGE = {
    ("captions.json", foreign): "another figure's", ("metrics.json", foreign): "another metric",
    ("picture", foreign): "of any size", ("sheet, compared", foreign): "of any size",
}  # fmt: skip
CASES = [
    (name, damage) for name, kind in KINDS.items() for damage in DAMAGES[kind.path(Artifacts(Path())).suffix]
    if (name, damage) not in NO_DAMAGE
]  # fmt: skip


def content(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def refused(artifacts: Artifacts, read: Act) -> str:
    """The one sentence that is said, while nothing changes."""
    before = content(artifacts.root)
    with pytest.raises(ThawError) as caught:
        read(artifacts)
    assert content(artifacts.root) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", KINDS)
def test_a_whole_file_is_read_and_stays_as_it_is(prepared: Artifacts, name: str) -> None:
    kind = KINDS[name]
    if kind.write:
        kind.write(prepared)
    before = kind.path(prepared).read_bytes()
    kind.read(prepared)
    assert kind.path(prepared).read_bytes() == before


@pytest.mark.parametrize(("name", "damage"), CASES, ids=[f"{name}: {damage.__name__}" for name, damage in CASES])
def test_a_damaged_file_is_named_in_a_sentence(prepared: Artifacts, name: str, damage: Callable[[Path], None]) -> None:
    kind = KINDS[name]
    if kind.write:
        kind.write(prepared)
    path = kind.path(prepared)
    damage(path)
    said = refused(prepared, kind.read)
    # A table without the columns of a figure is known by the figure alone.
    assert path.name in said or (damage is foreign and said.startswith(("the figure ", "an animation ")))
    assert any(remedy in said for remedy in ("`git checkout -- ", "save it in that encoding")), said


@pytest.mark.parametrize("name", ["statistics", "floor.csv", "matched.csv", "schedule.csv", "sheet, compared"])
def test_a_file_that_is_needed_and_not_there_is_named_too(prepared: Artifacts, name: str) -> None:
    path = KINDS[name].path(prepared)
    path.unlink(missing_ok=True)
    assert f"{path.name} does not exist; `git checkout -- " in refused(prepared, KINDS[name].read)


@pytest.mark.parametrize(("command", "name", "damage"), [
    ("summarize", "intervals.csv", a_word), ("figures", "loss.csv", foreign), ("figures", "sheet", garbage),
    ("render", "picture", garbage), (f"sample {NAME}", "weights", cut), (f"evaluate {NAME}", "readers", foreign),
])  # fmt: skip
def test_a_command_says_so_and_exits_with_2(
    prepared: Artifacts, command: str, name: str, damage: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    kind = KINDS[name]
    if kind.write:
        kind.write(prepared)
    damage(kind.path(prepared))
    before = content(prepared.root)
    monkeypatch.setattr(sys, "argv", ["thaw", *command.split()])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert content(prepared.root) == before
    said = capsys.readouterr().err
    assert said.startswith("thaw: ")
    assert "Traceback" not in said
    assert kind.path(prepared).name in said or "the figure loss cannot be drawn" in said


# Values that are wrong


@pytest.mark.parametrize("name", ["weights", "samples", "classifier", "readers", "statistics"])
@pytest.mark.parametrize("place", [0.1, 0.5, 1.0])
def test_a_flipped_bit_is_noticed(prepared: Artifacts, name: str, place: float) -> None:
    kind = KINDS[name]
    if kind.write:
        kind.write(prepared)
    path = kind.path(prepared)
    stored = bytearray(path.read_bytes())
    stored[int(place * (len(stored) - 1))] ^= 0x40
    path.write_bytes(stored)
    assert path.name in refused(prepared, kind.read)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("read", [load, lambda artifacts: sample.run(artifacts, NAME)], ids=["load", "sample"])
def test_weights_that_are_no_numbers_are_refused(prepared: Artifacts, value: float, read: Act) -> None:
    path = prepared.weights(NAME, 0)
    state, header = read_tensors(path)
    state[next(iter(state))].view(-1)[-1] = value
    write_tensors(path, state, header)
    assert "best.safetensors is damaged, or thaw did not write it (weights in it are no finite numbers)" in refused(
        prepared, read
    )
