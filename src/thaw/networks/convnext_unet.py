"""A U-Net of ConvNeXt blocks, the network of the seeds' best models (seed 000 section 2.2, seed 001 section 2.2.2).

The two seeds' networks differ where they say the same, so one is chosen here. Time: the features of the small
network, because they are the ones both seeds describe, projected anew for every block (seed 001). Norm: between the
depthwise and the pointwise convolutions, over channels and positions with one group, as in ConvNeXt but without
fixing the image size. Down and up: strided 2x2 convolutions, which lose nothing, where pooling does. Middle: one
block at the lowest resolution, as in the U-Net of Ronneberger et al. 2015.
"""

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from thaw.core.layers import (
    DepthwiseConv2d,
    Float32Conv2d,
    GroupNorm,
    Patch,
    TimeFeatures,
    Widths,
    check_division,
)
from thaw.params import Shape

EMBEDDING = 128


class Block(nn.Module):
    """Depthwise 7x7, plus time, norm, k x k to twice the width, GELU, k x k, plus the input (Liu et al. 2022)."""

    def __init__(self, ins: int, outs: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv2d(ins, 7)
        self.time = nn.Linear(EMBEDDING, ins)
        self.norm = GroupNorm(1, ins)
        self.expand = nn.Conv2d(ins, 2 * outs, kernel, padding=kernel // 2)
        self.contract = nn.Conv2d(2 * outs, outs, kernel, padding=kernel // 2)
        self.residual = nn.Conv2d(ins, outs, 1) if ins != outs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, ins, H, W) and the time embedding (B, 128) to (B, outs, H, W)."""
        h = self.depthwise(x) + self.time(time)[:, :, None, None]
        h = self.contract(F.gelu(self.expand(self.norm(h))))
        answer: Tensor = h + self.residual(x)
        return answer


class ConvnextUnet(nn.Module):
    """Blocks of growing width at falling resolution, then back up with skip connections by concatenation.

    `widths` are the channels at each level, `kernel` that of the inner convolutions (seed 001 compares 1, 3 and 5), and
    `patch` the stride of the first convolution: with 2, no convolution runs at full resolution. Raises ThawError where
    the down-sampling does not divide the image size.
    """

    def __init__(
        self, *, shape: Shape, key: str = "network", widths: Widths = [32, 64, 128],  # noqa: B006
        kernel: Literal[1, 3, 5] = 3, patch: Patch = 1,
    ) -> None:  # fmt: skip
        super().__init__()
        check_division(widths, patch, shape, key)
        channels = shape[0]
        self.stem = Float32Conv2d(channels, widths[0], 3 if patch == 1 else patch, patch, padding=int(patch == 1))
        self.time = nn.Sequential(TimeFeatures(), nn.Linear(TimeFeatures.features, EMBEDDING), nn.GELU(),
                                  nn.Linear(EMBEDDING, EMBEDDING), nn.GELU())  # fmt: skip
        self.down = nn.ModuleList(Block(width, width, kernel) for width in widths[:-1])
        self.shrink = nn.ModuleList(nn.Conv2d(i, o, 2, stride=2) for i, o in pairwise(widths))
        self.middle = Block(widths[-1], widths[-1], kernel)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(o, i, 2, stride=2) for i, o in pairwise(widths))
        self.up = nn.ModuleList(Block(2 * width, width, kernel) for width in widths[:-1])
        self.output = nn.Conv2d(widths[0], channels * patch**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(patch)

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        """The answer for z (B, C, H, W) at tau = t/T (B,), of the shape of z."""
        time = self.time(tau)
        h = self.stem(z)
        skips = []
        for block, shrink in zip(self.down, self.shrink, strict=True):
            h = block(h, time)
            skips.append(h)
            h = shrink(h)
        h = self.middle(h, time)
        for block, grow in zip(reversed(self.up), reversed(self.grow), strict=True):
            h = block(torch.cat([grow(h), skips.pop()], dim=1), time)
        answer: Tensor = self.shuffle(self.output(h))
        return answer
