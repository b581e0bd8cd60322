"""What a network costs to run, counted by torch and not by hand."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from thaw.params import Shape


def multiply_adds(network: nn.Module, shape: Shape) -> int:
    """Multiplications with addition in one forward pass of `network`, on its own device, for one image of `shape`.

    Those of convolutions, matrix products and attention; normalisation and activations are not counted.
    """
    device = next(network.parameters()).device
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, *shape, device=device), torch.ones(1, device=device))
    operations: int = counter.get_total_flops()
    return operations // 2


def parameters(network: nn.Module) -> int:
    """The number of weights that training changes."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
