"""The U-Net with self-attention of DDPM (Ho et al. 2020, appendix B), in any width.

The network of the tutorials that seeds 003 (section 2.1) and 004 (section 2.2) began with.
"""

from math import gcd
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from thaw.core.layers import Float32Conv2d, GroupNorm, Patch, Widths, check_division
from thaw.params import Shape

STEPS = 1000
"""The paper's number of steps: tau = t/T is embedded as its t, whatever T is."""
FREQUENCIES = 64
FEW_POSITIONS = 64
CHANNELS_IN_GROUP = 4
"""As many as the paper's 32 groups have at its least width of 128."""


def _norm(channels: int) -> GroupNorm:
    return GroupNorm(gcd(channels, max(1, min(32, channels // CHANNELS_IN_GROUP))), channels)


def _zeroed(convolution: nn.Conv2d) -> nn.Conv2d:
    """A convolution that answers zero until it is trained, so that a residual block begins as the identity."""
    nn.init.zeros_(convolution.weight)
    assert convolution.bias is not None
    nn.init.zeros_(convolution.bias)
    return convolution


class Sinusoids(nn.Module):
    """sin and cos of t = 1000 tau at the frequencies 10000^(-i/63), i = 0..63: tau (B,) to (B, 128)."""

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        exponents = torch.linspace(0, -1, FREQUENCIES, dtype=torch.float64)
        self.register_buffer("frequencies", (10_000**exponents).float(), persistent=False)

    def forward(self, tau: Tensor) -> Tensor:
        """Features of shape (B, 128), in float32."""
        angle = STEPS * tau.float()[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class ResidualBlock(nn.Module):
    """Twice norm, SiLU and 3x3 convolution, with time added in between, plus the input."""

    def __init__(self, ins: int, outs: int, embedding: int) -> None:
        super().__init__()
        self.norm_in = _norm(ins)
        self.convolution_in = nn.Conv2d(ins, outs, 3, padding=1)
        self.time = nn.Linear(embedding, outs)
        self.norm_out = _norm(outs)
        self.convolution_out = _zeroed(nn.Conv2d(outs, outs, 3, padding=1))
        self.residual = nn.Conv2d(ins, outs, 1) if ins != outs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, ins, H, W) and the time embedding (B, E) to (B, outs, H, W)."""
        h = self.convolution_in(F.silu(self.norm_in(x))) + self.time(time)[:, :, None, None]
        h = self.convolution_out(F.silu(self.norm_out(h)))
        answer: Tensor = h + self.residual(x)
        return answer


class Attention(nn.Module):
    """Self-attention of one head between all positions, plus the input (Vaswani et al. 2017, equation 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * channels, 1)
        self.output = _zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        sequence = self.queries_keys_values(self.norm(x)).flatten(2).transpose(1, 2)  # (B, H W, 3 C)
        queries, keys, values = sequence[:, None].chunk(3, dim=-1)
        h = attention(queries, keys, values)  # (B, 1, H W, C)
        answer: Tensor = x + self.output(h[:, 0].transpose(1, 2).unflatten(2, x.shape[2:]))
        return answer


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(Q K^T / sqrt(C)) V of (B, 1, N, C), in the plain form where N is small: fusing it takes longer there."""
    if queries.shape[2] > FEW_POSITIONS:
        return F.scaled_dot_product_attention(queries, keys, values)
    scores = queries @ keys.transpose(2, 3) / queries.shape[3] ** 0.5  # (B, 1, N, N)
    return scores.softmax(3).to(values.dtype) @ values


class Block(nn.Module):
    """A residual block, with self-attention after it where `attends`."""

    def __init__(self, ins: int, outs: int, embedding: int, attends: bool) -> None:
        super().__init__()
        self.residual = ResidualBlock(ins, outs, embedding)
        self.attention = Attention(outs) if attends else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """(B, ins, H, W) and the time embedding (B, E) to (B, outs, H, W)."""
        answer: Tensor = self.attention(self.residual(x, time))
        return answer


class AttentionUnet(nn.Module):
    """Residual blocks at falling resolution, then back up, each joined with the output of its counterpart going down.

    `widths` are the channels at each level, `blocks` the residual blocks at each level going down (going up there is
    one more, as every output going down is joined once), and `patch` the stride of the first convolution: with 2,
    nothing runs at full resolution. Self-attention follows the blocks of images of at most `attention_below` pixels,
    and always stands in the middle. The
    paper's network for 32x32 images has widths 128, 256, 256, 256, and dropout, which a network of this size, trained
    for this long, does without. Raises ThawError where the down-sampling does not divide the image size.
    """

    def __init__(
        self, *, shape: Shape, key: str = "network", widths: Widths = [32, 64, 128], patch: Patch = 1,  # noqa: B006
        blocks: Annotated[int, Field(ge=1, le=100)] = 2, attention_below: Annotated[int, Field(ge=0)] = 16,
    ) -> None:  # fmt: skip
        super().__init__()
        check_division(widths, patch, shape, key)
        channels, height, width = shape
        embedding, last = 4 * widths[0], len(widths) - 1
        attends = [max(height, width) // (patch * 2**level) <= attention_below for level in range(len(widths))]
        self.stem = Float32Conv2d(channels, widths[0], 3 if patch == 1 else patch, patch, padding=int(patch == 1))
        self.time = nn.Sequential(Sinusoids(), nn.Linear(2 * FREQUENCIES, embedding), nn.SiLU(),
                                  nn.Linear(embedding, embedding), nn.SiLU())  # fmt: skip
        skips = [widths[0]]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, outs in enumerate(widths):
            ins = [skips[-1]] + [outs] * (blocks - 1)
            self.down.append(nn.ModuleList(Block(i, outs, embedding, attends[level]) for i in ins))
            skips += [outs] * (blocks + (level < last))
        self.shrink = nn.ModuleList(nn.Conv2d(width, width, 3, 2, padding=1) for width in widths[:-1])
        self.middle = nn.ModuleList(Block(widths[-1], widths[-1], embedding, attends) for attends in (True, False))
        for level in range(last, -1, -1):
            outs = widths[level]
            ins = [widths[min(level + 1, last)]] + [outs] * blocks
            self.up.append(nn.ModuleList(Block(i + skips.pop(), outs, embedding, attends[level]) for i in ins))
        self.grow = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for width in widths[:0:-1])
        self.output = nn.Sequential(_norm(widths[0]), nn.SiLU(),
                                    _zeroed(nn.Conv2d(widths[0], channels * patch**2, 3, padding=1)),
                                    nn.PixelShuffle(patch))  # fmt: skip

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        """The answer for z (B, C, H, W) at tau = t/T (B,), of the shape of z."""
        time = self.time(tau)
        skips = [self.stem(z)]
        for level, blocks in enumerate(self.down):
            if level > 0:
                skips.append(self.shrink[level - 1](skips[-1]))
            for block in blocks.children():
                skips.append(block(skips[-1], time))
        h = skips[-1]
        for block in self.middle:
            h = block(h, time)
        for level, blocks in enumerate(self.up):
            if level > 0:
                h = self.grow[level - 1](F.interpolate(h, scale_factor=2.0))
            for block in blocks.children():
                h = block(torch.cat([h, skips.pop()], dim=1), time)
        answer: Tensor = self.output(h)
        return answer
