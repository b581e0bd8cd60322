"""The small convolutional network that the seeds were given (seed 000 section 2.1.2, seed 001 section 1.1)."""

import torch.nn.functional as F
from torch import Tensor, nn

from thaw.core.layers import Float32Conv2d, LayerNorm, TimeFeatures
from thaw.params import Shape

WIDTHS = (16, 32, 32, 16)


class Cnn(nn.Module):
    """Four blocks of 7x7 convolution, normalisation over (C, H, W) and GELU, then a bare 3x3 convolution.

    The time embedding is added once, after the first block. 291 217 parameters for 28x28 images of one channel. The
    normalisation's weights fix the image size.
    """

    def __init__(self, *, shape: Shape) -> None:
        super().__init__()
        channels, height, width = shape
        ins = (channels, *WIDTHS)
        kinds = (Float32Conv2d, nn.Conv2d, nn.Conv2d, nn.Conv2d)
        self.convolutions = nn.ModuleList(
            kind(i, o, 7, padding=3) for kind, i, o in zip(kinds, ins, WIDTHS, strict=False)
        )
        self.norms = nn.ModuleList(LayerNorm(o, height, width) for o in WIDTHS)
        self.time = nn.Sequential(
            TimeFeatures(),
            nn.Linear(TimeFeatures.features, 128), nn.GELU(),
            nn.Linear(128, 128), nn.GELU(),
            nn.Linear(128, 128), nn.GELU(),
            nn.Linear(128, WIDTHS[0]),
        )  # fmt: skip
        self.output = nn.Conv2d(WIDTHS[-1], channels, 3, padding=1)

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        """The answer for z (B, C, H, W) at tau = t/T (B,), of the shape of z."""
        h = z
        for block, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            h = F.gelu(norm(convolution(h)))
            if block == 0:
                h = h + self.time(tau)[:, :, None, None]
        answer: Tensor = self.output(h)
        return answer
