import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from thaw.choices import create, find
from thaw.core.hardware import PRECISION, PRECISIONS
from thaw.diffusion.degradation import Degradation
from thaw.params import Choice, Data, Shape

pytest_plugins = ["browser_fixtures", "pipeline_fixtures", "slurm_fixtures"]

# Examples are the same in every run, and no deadline makes a slow machine a failure.
hypothesis.settings.register_profile("thaw", derandomize=True, deadline=None, max_examples=30, database=None)
hypothesis.settings.load_profile("thaw")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the whole chain first: it takes longest, and the other worker has all other tests meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("pipeline") is None)


@pytest.fixture(autouse=True)
def one_precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute with one thread, and in float32 where a test is neither of both precisions nor of the whole chain."""
    torch.set_num_threads(1)
    if "precision" not in request.fixturenames and request.node.get_closest_marker("pipeline") is None:
        monkeypatch.setenv(PRECISION, "fp32")


@pytest.fixture(scope="module", params=PRECISIONS)
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    """Compute on the processor, once in each precision, in this process and in those that a test starts."""
    torch.set_num_threads(1)  # before what else is of a module's scope
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "1")
        patch.setenv(PRECISION, request.param)
        AcceleratorState._reset_state(reset_partial_state=True)  # a process keeps its first precision
        yield request.param
    AcceleratorState._reset_state(reset_partial_state=True)


TYPICAL = {"steps": 6, "schedule": Choice(name="cosine", beta_max=0.9)}
SOURCES = {"source": "folder", "path": "sources"}
"""For a degradation that mixes in images of another data set."""


def data_of(shape: Shape) -> Data:
    """The block `data` for images of a shape that is too small for the other parts of thaw."""
    return Data.model_construct(
        dataset="mnist",
        path="raw",
        pixels=shape[-1],
        channels=shape[0],
        half_range=0.5,
        validation_fraction=0.2,
        seed=0,
    )


@pytest.fixture(scope="session")
def source_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose folder `sources` has 60 pictures of 8 x 8 pixels."""
    root = tmp_path_factory.mktemp("project")
    (root / "sources").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)):
        Image.fromarray(pixels).save(root / "sources" / f"{number:02}.png")
    return root


@pytest.fixture(scope="session")
def degradation_called(source_root: Path) -> Callable[..., Degradation]:
    """Any degradation by its name, for small images, with typical values for the options that it requires."""

    def build(name: str, shape: Shape = (1, 8, 8), **options: object) -> Degradation:
        wanted = inspect.signature(find("degradation", name, "degradation")).parameters
        required = {key for key, parameter in wanted.items() if parameter.default is parameter.empty}
        typical = {key: value for key, value in TYPICAL.items() if key in required}
        typical |= {key: value for key, value in SOURCES.items() if key in wanted}
        choice = Choice(name=name, **(typical | options))
        return create("degradation", choice, "degradation", shape=shape, data=data_of(shape), root=source_root)

    return build
