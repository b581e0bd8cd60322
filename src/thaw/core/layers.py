"""Layers, options and checks that more than one network uses."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Shape

Width = Annotated[int, Field(ge=1, le=4096)]
"""The channels of a layer."""
Widths = Annotated[list[Width], Field(min_length=1)]
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


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel with its own odd kernel, without stride; (B, C, H, W) to the same shape.

    Where a processor computes in bfloat16, its weight gradient is a matrix product: torch's own takes most of a step.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x."""
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
            dtype = torch.get_autocast_dtype("cpu")
            assert self.bias is not None
            answer: Tensor = _Depthwise.apply(x.to(dtype), self.weight.to(dtype), self.bias.to(dtype))
            return answer
        return super().forward(x)


class _Depthwise(torch.autograd.Function):
    """The convolution, and its gradients: that of the weights by `depthwise_weight_gradient`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (of_output,), (x, weight) = gradients, ctx.saved_tensors
        channels, kernel = len(weight), weight.shape[-1]
        of_x = None
        if ctx.needs_input_grad[0]:  # the convolution with the kernel turned by half a turn
            of_x = F.conv2d(of_output, weight.flip(2, 3), None, padding=kernel // 2, groups=channels)
        of_weight = depthwise_weight_gradient(x, of_output, kernel)
        return of_x, of_weight.to(weight.dtype), of_output.sum((0, 2, 3))


def depthwise_weight_gradient(x: Tensor, gradient: Tensor, kernel: int) -> Tensor:
    """Sum over b, h, w of x[b, c, h+i-k//2, w+j-k//2] gradient[b, c, h, w]: float32 of shape (C, 1, k, k).

    x and gradient are (B, C, H, W). For each channel, the columns of the gradient are multiplied with those of k rows
    of x that follow one another, which in memory are one long row; the entries that are k//2 at most off the diagonal
    are then the products wanted. It makes (W + k - 1) / k times too many of them, as one matrix product.
    """
    batch, channels, height, width = x.shape
    tall, wide = height + kernel - 1, width + kernel - 1
    rows, half = batch * tall, kernel // 2
    # With zeros around x and below each image of the gradient, row r of one belongs to rows r to r+k-1 of the other.
    padded = x.new_zeros(channels, rows + kernel - 1, wide)
    inside = padded[:, :rows].view(channels, batch, tall, wide)
    inside[:, :, half : half + height, half : half + width] = _planes(x)
    of_output = gradient.new_zeros(channels, batch, tall, width)
    of_output[:, :, :height] = _planes(gradient)
    windows = padded.as_strided((channels, rows, kernel * wide), (padded.stride(0), wide, 1))
    products = torch.bmm(of_output.view(channels, rows, width).transpose(1, 2), windows).float()  # (C, W, k wide)
    strides = (width * kernel * wide, kernel * wide + 1, wide, 1)
    return products.as_strided((channels, width, kernel, kernel), strides).sum(1)[:, None]


def _planes(x: Tensor) -> Tensor:
    """(B, C, H, W), in channels-last memory, to (C, B, H, W) in order: one transposition of a matrix."""
    batch, channels, height, width = x.shape
    return x.permute(0, 2, 3, 1).reshape(-1, channels).t().contiguous().view(channels, batch, height, width)


class GroupNorm(nn.GroupNorm):
    """Normalisation over groups of channels that, on a processor, takes bfloat16 as it comes.

    Autocast would turn its input into float32, which takes longer than the normalisation; its sums are float32 anyway.
    Several groups are brought into the order (B, C, H, W) first: in channels-last memory torch is 5 to 15 times slower.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalised x, (B, C, H, W)."""
        if x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            if self.num_groups == 1:
                return super().forward(x)
            return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)


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
