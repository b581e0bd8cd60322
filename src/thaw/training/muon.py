"""Muon: steps of momentum with all their singular values made about equal (Jordan et al. 2024)."""

from collections.abc import Iterable
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def optimizers(network: nn.Module, name: str, learning_rate: float) -> dict[str, Optimizer]:
    """The optimizers that `name` stands for: `adam` of all weights, or `muon` of the convolutions and Adam of the rest.

    A convolution of one channel in or out, as depthwise ones and those at the ends, has no matrix to speak of.
    """
    weights = list(network.parameters())
    matrices = [w for w in weights if name == "muon" and w.ndim == 4 and min(w.shape[:2]) > 1]
    of_muon = {id(w) for w in matrices}
    others = [w for w in weights if id(w) not in of_muon]
    found: dict[str, Optimizer] = {"adam": Adam(others, learning_rate, fused=True)}
    return found | {"muon": Muon(matrices, learning_rate)} if matrices else found


class Muon(Optimizer):
    """Steps along the orthogonalised mean of past gradients, with Nesterov's look ahead, and no weight decay.

    A weight (out, in, h, w) is the matrix (out, in h w). Each step has a spectral norm of about the learning rate times
    sqrt(max(1, out / (in h w))).
    """

    def __init__(self, weights: Iterable[Tensor], learning_rate: float, momentum: float = 0.95) -> None:
        super().__init__(weights, {"lr": learning_rate, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Change the weights by their gradients; there is no closure to evaluate again."""
        for group in self.param_groups:
            # Matrices of one shape go through the iteration together.
            weights = sorted((w for w in group["params"] if w.grad is not None), key=lambda w: w.shape)
            for (rows, *rest), alike in groupby(weights, key=lambda w: w.shape):
                same = list(alike)
                steps = orthogonalized(torch.stack([self._momentum(w, group["momentum"]) for w in same]).flatten(2))
                rate = group["lr"] * max(1, rows / steps.shape[2]) ** 0.5
                for weight, step in zip(same, steps, strict=True):
                    weight.sub_(step.view(rows, *rest), alpha=rate)

    def _momentum(self, weight: Tensor, share: float) -> Tensor:
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        buffer = state["momentum_buffer"].lerp_(weight.grad, 1 - share)
        return weight.grad.lerp(buffer, share)


def orthogonalized(matrices: Tensor) -> Tensor:
    """Matrices (B, m, n) with their singular values moved to between 0.7 and 1.2, by a Newton-Schulz iteration.

    Each x <- (a + b x x^T + c (x x^T)^2) x changes x x^T to another polynomial of itself, so that all are taken of the
    small square, and x is multiplied by their product at the end.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    square, product = x @ x.mT, torch.eye(x.shape[1], device=x.device)
    for _ in range(ITERATIONS):
        factor = torch.baddbmm(square, square, square, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor @ product
        square = factor @ factor @ square
    x = product @ x
    return x.mT if tall else x
