"""A checkpoint is one file, so it is whole or absent: tensors as safetensors, everything else in its header."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from thaw.core.tensors import read_tensors


def pack(**parts: nn.Module | torch.optim.Optimizer | dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of modules, optimizers and groups of tensors under one flat set of names, `part.name`."""
    packed: dict[str, Tensor] = {}
    for part, content in parts.items():
        if isinstance(content, torch.optim.Optimizer):
            state = {
                f"{index}.{name}": value
                for index, values in content.state_dict()["state"].items()
                for name, value in values.items()
            }
        else:
            state = content.state_dict() if isinstance(content, nn.Module) else content
        packed |= {f"{part}.{name}": tensor for name, tensor in state.items()}
    return packed


def unpack(packed: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """The tensors of one part, by the names they had in it."""
    return {name.removeprefix(f"{part}."): value for name, value in packed.items() if name.startswith(f"{part}.")}


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Tensor]) -> None:
    """Give an optimizer the state that `pack` took from one like it.

    It is laid out in memory as its parameter is: a fused step takes that for granted, and would mix up the values.
    """
    content = optimizer.state_dict()
    content["state"] = {}
    for name, value in state.items():
        index, key = name.split(".", 1)
        content["state"].setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(content)
    for parameter, values in optimizer.state.items():
        like = {key: value for key, value in values.items() if value.shape == parameter.shape}
        values.update({key: torch.empty_like(parameter).copy_(value) for key, value in like.items()})


def read_if_of(path: Path, fingerprint: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """A checkpoint, if it is there, whole, and of the training that `fingerprint` stands for."""
    try:
        tensors, header = read_tensors(path)
    except (FileNotFoundError, SafetensorError):
        return None
    return (tensors, header) if header.get("fingerprint") == fingerprint else None
