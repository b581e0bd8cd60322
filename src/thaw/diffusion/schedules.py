"""Noise schedules: beta_t for t = 1..T and alpha_bar_t for t = 0..T.

A schedule is a class whose constructor takes its hyper-parameters and whose `betas(T)` gives float64 of shape (T,).
alpha_bar is always recomputed from the betas after any clipping, so that the two never disagree.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from thaw.choices import options
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Choice, suggest

Beta = Annotated[float, Field(gt=0, lt=1)]


class Linear:
    """beta grows linearly from beta_min at t=1 to beta_max at t=T (Ho et al. 2020, section 4)."""

    def __init__(self, *, beta_min: Beta, beta_max: Beta) -> None:
        self.beta_min, self.beta_max = beta_min, beta_max

    def betas(self, steps: int) -> Tensor:
        """beta_1..beta_T, float64 of shape (T,)."""
        return torch.linspace(self.beta_min, self.beta_max, steps, dtype=torch.float64)


class InverseLinear:
    """The linear schedule run backwards: most noise first (seed 001, section 1.2.1)."""

    def __init__(self, *, beta_min: Beta, beta_max: Beta) -> None:
        self.beta_min, self.beta_max = beta_min, beta_max

    def betas(self, steps: int) -> Tensor:
        """beta_1..beta_T, float64 of shape (T,)."""
        return torch.linspace(self.beta_max, self.beta_min, steps, dtype=torch.float64)


class Constant:
    """The same beta at every step (seed 000, section 2.3.1)."""

    def __init__(self, *, beta: Beta) -> None:
        self.beta = beta

    def betas(self, steps: int) -> Tensor:
        """beta_1..beta_T, float64 of shape (T,)."""
        return torch.full((steps,), self.beta, dtype=torch.float64)


class Cosine:
    """alpha_bar follows a squared cosine, with beta clipped at beta_max (Nichol and Dhariwal 2021, equation 17)."""

    def __init__(self, *, s: Annotated[float, Field(ge=0)] = 0.008, beta_max: Beta = 0.999) -> None:
        self.s, self.beta_max = s, beta_max

    def betas(self, steps: int) -> Tensor:
        """beta_1..beta_T, float64 of shape (T,)."""
        tau = torch.arange(steps + 1, dtype=torch.float64) / steps
        f = torch.cos((tau + self.s) / (1 + self.s) * torch.pi / 2) ** 2
        return (1 - f[1:] / f[:-1]).clamp(max=self.beta_max)


SCHEDULES = {"linear": Linear, "inverse_linear": InverseLinear, "constant": Constant, "cosine": Cosine}


def betas(choice: Choice, steps: int, key: str = "schedule") -> Tensor:
    """beta_1..beta_T of the schedule that a choice names, float64 of shape (T,).

    Raises ThawError, naming `key`, where there is no such schedule or an option is wrong.
    """
    if choice.name not in SCHEDULES:
        raise ThawError(
            f"{PARAMS_FILE}: {key}.name is {choice.name!r}, which is no schedule of thaw"
            f"{suggest(choice.name, SCHEDULES)}; there are {', '.join(SCHEDULES)}."
        )
    schedule = SCHEDULES[choice.name]
    return schedule(**options(schedule, choice, key)).betas(steps)


def alpha_bars(betas: Tensor) -> Tensor:
    """alpha_bar_0..alpha_bar_T, the running product of 1 - beta from exactly 1, float64 of shape (T+1,)."""
    return torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - betas, 0)])
