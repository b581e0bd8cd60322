"""Tensors in a file: as safetensors, which are whole or absent, with everything else in the header."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from thaw.files import replacing


def write_tensors(path: Path, tensors: dict[str, Tensor], header: dict[str, Any] | None = None) -> None:
    """Write tensors, and a header of plain values, to a file that appears only when it is whole.

    Files of the same content have the same bytes. What is inside a value of the header keeps its order, in which a
    curve has its columns.
    """
    metadata = {"thaw": json.dumps(dict(sorted((header or {}).items())))}
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the header of a file. Raises SafetensorError or OSError where it is not one."""
    with safe_open(path, framework="pt") as file:
        header = json.loads((file.metadata() or {}).get("thaw", "{}"))
        return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
