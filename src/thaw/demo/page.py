"""The page as one file: its template, its style, its two scripts, the runtime, the networks and the data."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from torch import Tensor

HERE = Path(__file__).parent
RUNTIME = {
    "runtime": "ort.wasm.bundle.min.mjs.gz",
    "wasm": "ort-wasm-simd-threaded.wasm.gz",
}


def fill(config: dict[str, Any], networks: dict[str, bytes], tensors: dict[str, Tensor]) -> str:
    """The page. Whatever is binary is gzip in base64, in the element #packed-NAME.

    `config` has what is plain, and is given the shapes of `tensors`.
    """
    packed = {name: (HERE / "vendor" / file).read_bytes() for name, file in RUNTIME.items()}
    packed |= {name: _gzip(content) for name, content in networks.items()}
    packed |= {name: _gzip(tensor.numpy().tobytes()) for name, tensor in tensors.items()}
    config = config | {"shapes": {name: list(tensor.shape) for name, tensor in tensors.items()}}
    parts = {
        "style": (HERE / "page.css").read_text("utf-8"),
        "config": json.dumps(config),
        "packed": "\n".join(
            f'<script type="text/plain" id="packed-{name}">{base64.b64encode(content).decode()}</script>'
            for name, content in packed.items()
        ),
        # One module: what a script exports, the next one has at hand.
        "script": "\n".join((HERE / f"{name}.js").read_text("utf-8") for name in ("diffusion", "page")),
    }
    page = (HERE / "page.html").read_text("utf-8")
    for name, content in parts.items():
        page = page.replace(f"<!-- {name} -->", content)
    return page


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)
