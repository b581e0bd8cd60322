"""Tensors in a file: as safetensors, which are whole or absent, with everything else in the header."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from thaw.files import replacing


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any] | None = None) -> None:
    """Write tensors, and a header of plain values, to a file that appears only when it is whole.

    Files of the same content have the same bytes, and say the SHA-256 of what they hold. What is inside a value of the
    header keeps its order, in which a curve has its columns.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    values = json.dumps(dict(sorted((header or {}).items())))
    # One entry: safetensors writes several in any order.
    content = save(tensors, {"thaw": f"{_digest(tensors, values)} {values}"})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header of a file.

    Raises SafetensorError or OSError where it is not one, or holds anything else than what was written to it.
    """
    with safe_open(path, framework="pt") as file:
        said, _, values = (file.metadata() or {}).get("thaw", "").partition(" ")
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if said != _digest(tensors, values):
        raise SafetensorError("what it holds has not the SHA-256 in its header")
    return tensors, json.loads(values)


def _digest(tensors: dict[str, Tensor], values: str) -> str:
    found = hashlib.sha256(values.encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        found.update(tensor.flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()
