"""A network as the graph of its blocks, read off the network itself.

torch.fx follows one forward pass and says which module reads the answer of which. Modules that hold a convolution or a
linear layer become blocks; the block before what stands between them (normalisation, activation, a change of shape)
names it, and an enlargement is named by the block after it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import fx, nn

from thaw.core.cost import parameters

WEIGHTED = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
"""The layers that make a block."""
FUNCTIONS = {"gelu": "GELU", "silu": "SiLU", "relu": "ReLU", "tanh": "tanh"}
"""What the functions between blocks are called. Functions without an entry are not named."""
TIME = "time"
"""The name of the block that embeds tau."""


@dataclass
class Block:
    """One block: what it is made of, the shape of its answer, its number of weights, and the blocks it reads.

    `shape` is (C, H, W), or (C,) for a vector. `time` says whether the time embedding is added to it or to its input.
    """

    name: str
    kinds: list[str]
    inputs: list[str] = field(default_factory=list)
    time: bool = False
    parameters: int = 0
    shape: tuple[int, ...] = ()

    def row(self) -> dict[str, Any]:
        """The block as a row of a table."""
        channels, height, width = (*self.shape, None, None)[:3]
        return {
            "block": self.name, "kind": " + ".join(self.kinds), "channels": channels, "height": height, "width": width,
            "parameters": self.parameters, "inputs": " ".join(self.inputs), "time": int(self.time),
        }  # fmt: skip


@dataclass(frozen=True)
class _Value:
    """What is known of an intermediate result.

    The blocks that it comes from, whether it depends on the image and on time, and what the next block adds to its own:
    words, and a number of weights.
    """

    sources: tuple[str, ...] = ()
    of_image: bool = False
    of_time: bool = False
    words: tuple[str, ...] = ()
    weights: int = 0


class _Tracer(fx.Tracer):
    """Follows the forward pass through sequences of modules, and into no other module."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not isinstance(m, nn.Sequential)


class _Reader(fx.Interpreter):
    """Runs the traced graph, and collects its blocks."""

    def __init__(self, network: nn.Module, ends: tuple[str, str]) -> None:
        super().__init__(network, graph=_Tracer().trace(network))
        self.ends = ends
        self.blocks: dict[str, Block] = {}
        self.answers: dict[str, fx.Node] = {}
        """The node that is the answer of a block, as far as the graph has been run."""
        self.layers: set[str] = set()
        """The blocks that are a single layer."""
        self.values: dict[fx.Node, _Value] = {}
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        """The node's result, once what it says of the blocks is noted."""
        result = super().run_node(n)
        self.shapes[n] = tuple(result.shape[1:])
        given = [self.values[node] for node in n.all_input_nodes]
        pending = [value for value in given if value.of_image]
        merged = _Value(
            tuple(dict.fromkeys(name for value in given for name in value.sources)),
            any(value.of_image for value in given),
            any(value.of_time for value in given),
            pending[0].words if len(pending) == 1 else (),  # of several, none is what the block itself does
            sum(value.weights for value in given),
        )
        if n.op == "placeholder":
            first = not self.values
            self.values[n] = self._open(n, Block(self.ends[0], ["input"])) if first else _Value(of_time=True)
        elif n.op == "output":
            self._open(n, Block(self.ends[1], [*merged.words, "output"], list(merged.sources), False, merged.weights))
        elif n.op == "call_module":
            self.values[n] = self._module(n, self.fetch_attr(str(n.target)), merged)
        elif (name := getattr(n.target, "__name__", str(n.target))) == "interpolate":
            self.values[n] = replace(merged, words=(*merged.words, "enlarge"))
        else:
            self.values[n] = self._joined(n, merged, [FUNCTIONS[name]] if name in FUNCTIONS else [], 0)
        return result

    def _open(self, n: fx.Node, block: Block) -> _Value:
        self.blocks[block.name] = block
        self.answers[block.name] = n
        return _Value((block.name,), of_image=True)

    def _module(self, n: fx.Node, module: nn.Module, given: _Value) -> _Value:
        if not given.of_image:
            block = self.blocks.setdefault(TIME, Block(TIME, ["time embedding"]))
            block.parameters += parameters(module)
            self.answers[TIME] = n
            return given
        if any(isinstance(part, WEIGHTED) for part in module.modules()):
            if isinstance(module, WEIGHTED):
                self.layers.add(str(n.target))
            kinds, weights = [*given.words, *_kinds(module)], given.weights + parameters(module)
            return self._open(n, Block(str(n.target), kinds, list(given.sources), given.of_time, weights))
        return given if isinstance(module, nn.Flatten) else self._joined(n, given, _kinds(module), parameters(module))

    def _joined(self, n: fx.Node, given: _Value, words: list[str], weights: int) -> _Value:
        """Add what is no block to the one before it, if that is a single layer, or else to the next."""
        source = given.sources[0] if len(given.sources) == 1 else None
        image = [node for node in n.all_input_nodes if self.values[node].of_image]
        if source is None or given.of_time or image != [self.answers[source]] or (words and source not in self.layers):
            return replace(given, words=(*given.words, *words), weights=given.weights + weights)
        self.blocks[source].kinds += words
        self.blocks[source].parameters += weights
        self.answers[source] = n
        return given


def _kinds(module: nn.Module) -> list[str]:
    """What a module is, in words: its own layers are not named, but a convolution's window is."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        stride = f", stride {module.stride[0]}" if module.stride[0] > 1 else ""
        transposed = "transposed " if isinstance(module, nn.ConvTranspose2d) else ""
        return [f"{transposed}conv {module.kernel_size[0]}×{module.kernel_size[1]}{stride}"]
    if isinstance(module, nn.Identity):
        return []
    inner = [part for part in module.children() if not type(part).__module__.startswith("torch.")]
    if inner:
        return [word for part in inner for word in _kinds(part)]
    name = type(module).__name__
    if name == "Block":  # named after the network that it is the block of
        return [f"{type(module).__module__.rsplit('.', 1)[-1].split('_')[0]} block"]
    return [name if "LU" in name else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()]


def blocks(network: nn.Module, shape: Sequence[int], ends: tuple[str, str]) -> list[Block]:
    """The blocks of a network in the order in which they run, for images of `shape`, (C, H, W).

    The first and the last stand for what the network reads and answers, and are called as `ends` says. The numbers of
    weights add up to that of the network.
    """
    reader = _Reader(network, ends)
    inputs = [torch.zeros(1, *shape), torch.zeros(1)]
    with torch.no_grad():
        reader.run(*inputs[: sum(node.op == "placeholder" for node in reader.graph.nodes)])
    for name, block in reader.blocks.items():
        block.shape = reader.shapes[reader.answers[name]]
    return list(reader.blocks.values())
