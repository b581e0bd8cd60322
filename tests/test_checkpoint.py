import ast
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from thaw.core import hardware
from thaw.core.tensors import read_tensors, write_tensors
from thaw.data import read_dataset
from thaw.errors import ThawError
from thaw.loading import load_model
from thaw.params import read_params
from thaw.results.layout import Artifacts
from thaw.stages import train as stage
from thaw.stages.train import run as train
from thaw.training.checkpoint import load_optimizer, pack, read_if_of, unpack

SOURCE = Path(stage.__file__).parents[1]


def network() -> nn.Module:
    """Two layers, one in channels-last memory as the real networks are."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2)).to(memory_format=torch.channels_last)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, number: int) -> None:
    x = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(number))
    optimizer.zero_grad()
    model(x).square().mean().backward()
    optimizer.step()


# Files


def test_tensors_and_header_come_back_as_they_were(tmp_path: Path) -> None:
    tensors = {
        "float": torch.randn(2, 3),
        "double": torch.randn(3, dtype=torch.float64),
        "byte": torch.arange(4, dtype=torch.uint8),
        "scalar": torch.tensor(7),
        "channels last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "with gradient": torch.ones(2, requires_grad=True),
        "empty": torch.empty(0, 3),
    }
    header = {"step": 3, "curve": [{"images": 10, "loss": 0.1 + 0.2}], "name": "zoom – 1", "none": None}
    write_tensors(tmp_path / "new" / "a.safetensors", tensors, header)
    read, read_header = read_tensors(tmp_path / "new" / "a.safetensors")
    assert read_header == header
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert torch.equal(read[name], tensor)


@given(st.dictionaries(st.text(), st.floats(allow_nan=False) | st.integers() | st.text() | st.none(), max_size=4))
def test_every_header_comes_back(tmp_path_factory: pytest.TempPathFactory, header: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("header") / "a.safetensors"
    write_tensors(path, {"a": torch.ones(1)}, header)
    assert read_tensors(path)[1] == header


def test_the_same_content_is_the_same_bytes(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a", {"x": torch.ones(2), "y": torch.zeros(3)}, {"b": 1, "a": 2})
    write_tensors(tmp_path / "b", {"y": torch.zeros(3), "x": torch.ones(2)}, {"a": 2, "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


# Parts


def test_parts_are_told_apart_by_their_whole_name() -> None:
    packed = pack(a={"x": torch.ones(1), "b.x": torch.ones(2)}, ab={"x": torch.ones(3)})
    assert packed.keys() == {"a.x", "a.b.x", "ab.x"}
    assert {name: len(value) for name, value in unpack(packed, "a").items()} == {"x": 1, "b.x": 2}
    assert {name: len(value) for name, value in unpack(packed, "ab").items()} == {"x": 3}
    assert unpack(packed, "c") == {}


@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_goes_on_with_identical_steps(fused: bool, tmp_path: Path) -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2, fused=fused)
    for number in range(5):
        step(model, optimizer, number)
    write_tensors(tmp_path / "a", pack(network=model, optimizer=optimizer))
    for number in range(5, 25):
        step(model, optimizer, number)

    packed, _ = read_tensors(tmp_path / "a")
    resumed = network()
    resumed.load_state_dict(unpack(packed, "network"))
    other = torch.optim.Adam(resumed.parameters(), 1e-2, fused=fused)
    load_optimizer(other, unpack(packed, "optimizer"))
    for number in range(5, 25):
        step(resumed, other, number)

    for ours, theirs in zip(resumed.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    for one, two in zip(other.state.values(), optimizer.state.values(), strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_an_optimizer_that_has_not_begun_is_restored_as_such() -> None:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    load_optimizer(optimizer, unpack(pack(optimizer=optimizer), "optimizer"))
    step(model, optimizer, 0)
    assert {float(values["step"]) for values in optimizer.state.values()} == {1.0}


# Whose checkpoint it is


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_tensors(tmp_path / "seed-0", {"a": torch.arange(100.0)}, {"fingerprint": "ours", "step": 3})
    return tmp_path / "seed-0"


def test_the_checkpoint_of_this_training_is_read(written: Path) -> None:
    found = read_if_of(written, "ours")
    assert found is not None
    assert torch.equal(found[0]["a"], torch.arange(100.0))
    assert found[1]["step"] == 3


def test_a_checkpoint_of_another_training_is_not(written: Path) -> None:
    assert read_if_of(written, "theirs") is None


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert read_if_of(tmp_path / "absent" / "seed-0", "ours") is None


def shorter(length: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:length]


@pytest.mark.parametrize(
    "damage",
    [shorter(0), shorter(4), shorter(8), shorter(50), shorter(-1), lambda _: b"\0" * 200, lambda _: b"\xff" * 200],
    ids=["empty", "4 bytes", "8 bytes", "50 bytes", "all but one byte", "zeros", "ones"],
)
def test_a_damaged_checkpoint_is_none(written: Path, damage: Callable[[bytes], bytes]) -> None:
    written.write_bytes(damage(written.read_bytes()))
    with pytest.raises(SafetensorError):
        read_tensors(written)
    assert read_if_of(written, "ours") is None


def test_a_file_of_weights_is_no_checkpoint(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "seed-0")
    assert read_if_of(tmp_path / "seed-0", "ours") is None
    write_tensors(tmp_path / "seed-0", {"a": torch.ones(1)})
    assert read_if_of(tmp_path / "seed-0", "ours") is None


# Nothing unpickles


def test_no_module_can_unpickle_a_file() -> None:
    modules = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
    calls = {"torch.load", "torch.hub", "np.load", "numpy.load", "pd.read_pickle", "pandas.read_pickle"}
    tensors_only = re.compile(r"torch\.load\(\w+, weights_only=True\)")  # whatever else a file holds is refused
    files = sorted(SOURCE.rglob("*.py"))
    assert SOURCE / "training" / "checkpoint.py" in files
    for file in files:
        text = tensors_only.sub("None", file.read_text())
        for node in ast.walk(ast.parse(text)):
            imported = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            imported += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in imported} & modules, file
            assert not (isinstance(node, ast.Attribute) and ast.unparse(node) in calls), file
            assert not (isinstance(node, ast.keyword) and node.arg == "allow_pickle"), file


def test_a_header_is_plain_json(written: Path) -> None:
    content = written.read_bytes()
    length = int.from_bytes(content[:8], "little")
    _, _, header = json.loads(content[8 : 8 + length])["__metadata__"]["thaw"].partition(" ")
    assert json.loads(header)["fingerprint"] == "ours"


# The stage


def project(folder: Path, steps: int) -> Path:
    """A project with one small variant, which is validated after every fifth step."""
    (folder / "pictures").mkdir(parents=True)
    patterns = 255 * np.random.default_rng(0).integers(2, size=(60, 11, 11), dtype=np.uint8)
    for number, pixels in enumerate(patterns):
        Image.fromarray(pixels).save(folder / "pictures" / f"{number:02}.png")
    settings = {
        "images": 8 * steps, "batch_size": 8, "optimizer": "muon", "learning_rate": 4e-3,
        "learning_rate_schedule": "cosine", "warmup_steps": 5, "final_learning_rate": 0.1, "seeds": [0],
        "milestones": [0.25, 1], "validations": steps // 5, "validation_images": 12,
    }  # fmt: skip
    variant = {
        "train": {
            "degradation": {"name": "zoom", "steps": 3}, "target": "clean", "network": {"name": "cnn"},
            "ema_decay": 0.99,
        },
        "sample": {"sampler": {"name": "cold_naive"}, "latent": {"name": "pixels"}, "seed": 0},
    }  # fmt: skip
    classifier = {"epochs": 1, "batch_size": 8, "learning_rate": 1e-3, "seed": 0}
    params = {
        "threads": 1,
        "data": {
            "dataset": "folder", "path": "pictures", "pixels": 11, "channels": 1, "half_range": 0.5,
            "validation_fraction": 0.2, "seed": 0,
        },
        "budget": {
            "profile": "test",
            "train": {"cnn": settings},
            "sample": {
                "images": 8, "reconstructions": 4, "severities": 2, "severity_images": 4, "milestone_images": 8,
                "milestone_steps": 3, "steps": 3, "steps_with_schedule": 3, "strip_steps": 3,
            },
            "objective": {"test_images": 4, "likelihood_images": 4, "resamples": 20},
            "evaluate": {"resamples": 20},
            "study": {"images": 4},
        },
        "defaults": {},
        "variants": {"tiny": variant},
        "normality": {"images": 4, "draws": 1, "points": 2, "significance": 0.05},
        "evaluation": {
            "classifier": classifier, "readers": classifier | {"count": 2, "sure": 0.9}, "inception": False,
            "confidence": 0.95,
        },
        "studies": {"trained": {}, "untrained": {}, "compared": {}},
    }  # fmt: skip
    with (folder / "params.yaml").open("w") as file:
        YAML().dump(params, file)
    (folder / "dvc.yaml").write_text("stages: {}\n")
    return folder


def start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "thaw", "train", "tiny"], cwd=folder, stderr=subprocess.PIPE, text=True
    )


def outputs(folder: Path) -> dict[str, bytes]:
    paths = (path for part in ("models", "results") for path in sorted((folder / part).rglob("*")))
    files = [path for path in paths if path.is_file() and path.name != "run.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_training_that_is_killed_goes_on_and_writes_the_same_bytes(precision: str, tmp_path: Path) -> None:
    torn, whole = (project(tmp_path / name, 100) for name in ("torn", "whole"))
    path = torn / ".thaw" / "checkpoints" / "tiny" / "seed-0"
    process = start(torn)
    while not path.exists() and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    assert 0 < read_tensors(path)[1]["step"] < 100
    assert not outputs(torn)

    process = start(torn)
    train(Artifacts(whole), "tiny")  # without an interruption, in the time that the other takes to start
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert outputs(whole).keys() == {
        "models/tiny/model.json", "results/variants/tiny/train/loss.csv",
        *(f"models/tiny/seed-0/{point}.safetensors" for point in ("best", "0.25", "1")),
    }  # fmt: skip
    assert outputs(torn) == outputs(whole)
    assert not path.parent.exists()

    environment = json.loads((torn / "models" / "tiny" / "model.json").read_text())["environment"]
    assert environment == hardware.environment(torch.device("cpu"))
    assert environment["precision"] == precision
    run = json.loads(Artifacts(torn).run("tiny").read_text())["train"]
    assert {key: run[key] for key in environment} == environment


@pytest.mark.usefixtures("precision")
def test_other_pictures_begin_the_training_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torn, whole = (project(tmp_path / name, 10) for name in ("torn", "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(stage, "replacing", lambda _: pytest.fail("killed before the models are written"))
        with pytest.raises(pytest.fail.Exception):
            train(Artifacts(torn), "tiny")
    assert (torn / ".thaw" / "checkpoints" / "tiny" / "seed-0").exists()

    for folder in (torn, whole):
        for path in (folder / "pictures").iterdir():
            with Image.open(path) as picture:
                inverted = Image.eval(picture, lambda level: 255 - level)
            inverted.save(path)
    read_dataset.cache_clear()
    train(Artifacts(torn), "tiny")
    train(Artifacts(whole), "tiny")
    assert outputs(torn) == outputs(whole)


def test_the_checkpoint_of_one_precision_is_not_gone_on_with_in_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifacts = Artifacts(project(tmp_path / "project", 10))

    def fingerprint(precision: str) -> str:
        sessions = []
        with monkeypatch.context() as patch:
            patch.setenv("THAW_PRECISION", precision)
            patch.setattr(stage, "Session", lambda _, **given: sessions.append(given["fingerprint"]))
            patch.setattr(stage, "train", lambda *_: pytest.fail("killed before the training"))
            with pytest.raises(pytest.fail.Exception):
                train(artifacts, "tiny")
        return sessions[0]

    assert fingerprint("fp32") == fingerprint("fp32") != fingerprint("bf16")


def test_a_precision_that_is_none_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "project", 10)
    monkeypatch.setenv("THAW_PRECISION", "half")
    with pytest.raises(ThawError, match=r"^THAW_PRECISION is 'half', .* set it to fp32 or bf16, or unset it\.$"):
        train(Artifacts(folder), "tiny")
    assert not outputs(folder)
    assert not (folder / ".thaw").exists()


def test_a_model_that_does_not_name_its_environment_is_read(precision: str, tmp_path: Path) -> None:
    artifacts = Artifacts(project(tmp_path / "project", 5))
    train(artifacts, "tiny")
    path, params = artifacts.models("tiny") / "model.json", read_params(artifacts.params)
    new = load_model(artifacts, "tiny", params).model.sample(2)
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "environment"}))
    assert torch.equal(load_model(artifacts, "tiny", params).model.sample(2), new)
