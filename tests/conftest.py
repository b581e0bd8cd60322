import inspect
from collections.abc import Callable

import hypothesis
import pytest
import torch

from thaw.choices import create, find
from thaw.diffusion.degradation import Degradation, Shape
from thaw.params import Choice

# Examples are the same in every run, and no deadline makes a slow machine a failure.
hypothesis.settings.register_profile("thaw", derandomize=True, deadline=None, max_examples=30, database=None)
hypothesis.settings.load_profile("thaw")


@pytest.fixture(autouse=True)
def one_precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute in float32 with one thread on every machine, but for the tests of the whole chain."""
    torch.set_num_threads(1)
    if request.node.get_closest_marker("pipeline") is None:
        monkeypatch.setattr("thaw.hardware.bf16_is_fast", lambda device: False)


TYPICAL = {"steps": 6, "schedule": Choice(name="cosine", beta_max=0.9)}


@pytest.fixture(scope="session")
def degradation_called() -> Callable[..., Degradation]:
    """Any degradation by its name, for small images, with typical values for the options that it requires."""

    def build(name: str, shape: Shape = (1, 8, 8), **options: object) -> Degradation:
        wanted = inspect.signature(find("degradation", name, "degradation")).parameters
        typical = {key: value for key, value in TYPICAL.items() if key in wanted}
        return create("degradation", Choice(name=name, **(typical | options)), "degradation", shape=shape)

    return build
