"""Average: rows are averaged in groups of growing size, and so are columns."""

import torch
from torch import Tensor

from thaw.diffusion.degradation import Steps
from thaw.diffusion.linear import Linear, group_means, group_of
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Shape


class Average(Linear):
    """z_t = (A_t x + x A_t^T) / 2, where A_t puts the mean of H - t groups of neighbouring rows in their place.

    Other than blocks of pixels, this keeps what an image looks like from two sides: after H - 1 steps z_t is the sum
    of a profile along its rows and one along its columns. Groups differ by at most one row. `matrices` is A, float32
    of shape (T+1, H, H).
    """

    def __init__(self, *, shape: Shape, key: str = "degradation", steps: Steps) -> None:
        super().__init__(shape, steps)
        size = shape[-1]
        if steps >= size:
            raise ThawError(
                f"{PARAMS_FILE}: {key}.steps is {steps}, but the {size} rows of an image can be joined at most "
                f"{size - 1} times; take a smaller number."
            )
        self.matrices = torch.stack([group_means(size, size - t) for t in range(steps + 1)]).float()
        group = group_of(size, size - steps)
        self.spread = torch.nn.functional.one_hot(group).double()  # (H, G), a row for each row's group at t = T
        self.gather = self.spread.T / self.spread.sum(0)[:, None]  # (G, H), the means of the groups

    def degrade(self, x: Tensor, t: Tensor, source: Tensor | None) -> Tensor:
        """The averaged images, in float32 whatever the precision around it; x itself at t = 0."""
        matrix = self.matrices.to(x.device)[t][:, None]  # (B, 1, H, H)
        with torch.autocast(x.device.type, enabled=False):
            z = (matrix @ x.float() + x.float() @ matrix.mT) / 2
        return torch.where((t == 0).view(-1, 1, 1, 1), x.float(), z)

    def project(self, x: Tensor) -> Tensor:
        """The means of groups of rows and of groups of columns, (N, 2 C G H)."""
        return torch.cat([(self.gather @ x).flatten(1), (x @ self.gather.T).flatten(1)], dim=1)

    def expand(self, coordinates: Tensor) -> Tensor:
        """Half the sum of the two."""
        groups, size = self.gather.shape
        rows, columns = coordinates.chunk(2, dim=1)
        shape = (len(coordinates), self.shape[0])
        return (self.spread @ rows.view(*shape, groups, size) + columns.view(*shape, size, groups) @ self.spread.T) / 2
