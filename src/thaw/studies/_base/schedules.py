"""The noise schedules that studies set side by side."""

from collections.abc import Mapping

from thaw.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.degradation import Steps
from thaw.params import Choice, Shape, Strict


class NoiseProcess(Strict):
    """A schedule and its number of steps T: what makes a Gaussian degradation of images of a known shape."""

    steps: Steps
    schedule: Choice

    def degradation(self, shape: Shape, name: str) -> GaussianNoise:
        """The degradation of images (C, H, W). Raises ThawError, naming the entry, where the schedule is wrong."""
        return GaussianNoise(shape=shape, key=f"schedules.{name}", steps=self.steps, schedule=self.schedule)


def _process(steps: int, schedule: str, **options: float) -> NoiseProcess:
    return NoiseProcess(steps=steps, schedule=Choice.model_validate({"name": schedule, **options}))


SCHEDULES: Mapping[str, NoiseProcess] = {
    "linear": _process(1000, "linear", beta_min=1e-4, beta_max=0.02),
    "cosine": _process(1000, "cosine", beta_max=0.1),
    "cosine-capped": _process(1000, "cosine", beta_max=0.02),
    "cosine-paper": _process(1000, "cosine", beta_max=0.999),
    "constant": _process(1000, "constant", beta=0.01),
    "inverse-linear": _process(1000, "inverse_linear", beta_min=1e-4, beta_max=0.02),
    "small-steps": _process(2000, "constant", beta=0.001),
    "large-steps": _process(200, "constant", beta=0.1),
}
"""The schedules of the reports (seed 000 section 2.3, seed 001 section 1.2, seed 002 section 2.3) and of the paper."""
