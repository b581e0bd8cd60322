"""Layers, options and checks that more than one network uses."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Shape

Widths = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
"""The channels of a U-Net at each level, the first at the highest resolution."""
Patch = Literal[1, 2, 4]
"""The stride of a network's first convolution."""


class LayerNorm(nn.Module):
    """Normalisation over (C, H, W), as nn.LayerNorm([C, H, W]), computed on a channels-last view of the input.

    The mean over all of C, H and W does not care for their order, so a tensor in channels-last memory needs no copy.
    """

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(height, width, channels))
        self.bias = nn.Parameter(torch.zeros(height, width, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised x, (B, C, H, W)."""
        return F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias).movedim(-1, 1)


class Float32Conv2d(nn.Conv2d):
    """A convolution outside autocast: the first layer, which reads what a degradation leaves in the low bits."""

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x in float32."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class Gain(nn.Module):
    """z times a learned function of time, which is 0 until it is trained.

    Added to a network's answer, it spares the network the part of a noise or velocity target that z already shows; with
    a stem of stride 2, that is fine detail which it could hardly pass on.
    """

    def __init__(self, embedding: int) -> None:
        super().__init__()
        self.factor = nn.Linear(embedding, 1)
        nn.init.zeros_(self.factor.weight)
        nn.init.zeros_(self.factor.bias)

    def forward(self, z: Tensor, time: Tensor) -> Tensor:
        """(B, C, H, W) and the time embedding (B, E) to (B, C, H, W)."""
        return self.factor(time)[:, :, None, None] * z


class TimeFeatures(nn.Module):
    """sin and cos-1 of tau at frequencies 0 and 2 pi 1.5^i, i = 0..14: tau (B,) to (B, 32)."""

    frequencies: Tensor
    features = 32

    def __init__(self) -> None:
        super().__init__()
        geometric = 2 * torch.pi * 1.5 ** torch.arange(15, dtype=torch.float64)
        self.register_buffer("frequencies", torch.cat([torch.zeros(1), geometric]).float(), persistent=False)

    def forward(self, tau: Tensor) -> Tensor:
        """Features of shape (B, 32), in float32."""
        angle = tau.float()[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos() - 1], dim=1)


def check_division(widths: Sequence[int], patch: int, shape: Shape, key: str) -> None:
    """Raise ThawError where a U-Net that halves the image between its levels would have to halve an odd size.

    `key` locates the network in params.yaml.
    """
    factor = patch * 2 ** (len(widths) - 1)
    size = next((side for side in shape[1:] if side % factor), None)
    if size is not None:
        raise ThawError(
            f"{PARAMS_FILE}: {key}.widths has {len(widths)} levels behind a first convolution of stride {patch}, which "
            f"divide the image by {factor}, but images of {size} pixels cannot be divided so; take fewer levels, a "
            f"smaller {key}.patch, or a data.pixels that is a multiple of {factor}."
        )
