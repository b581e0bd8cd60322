"""A trained variant as ONNX: from z_t and tau = t/T to the estimate of x."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thaw.model import Model

LARGE = 5000
"""Numbers from which on a weight is stored in 16 bits a number, which halves the page.

The smaller weights, a seventh of all numbers, stay as they are: they are those of the first layers, which most of the
rounding error would come from.
"""
TOLERANCE = 1e-4
"""Of the export, which computes the same; pixels span a range of about 1."""
TOLERANCE_SHRUNK = 1e-3
"""Of the export with large weights in 16 bits: a quarter of one of 256 grey levels."""


class Estimate(nn.Module):
    """What a sampler asks of a model, in float32: z of shape (B, C, H, W) and tau (B,) to the estimate of x."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.network, self.target, self.steps = model.network, model.target, model.degradation.steps
        self.cpu().eval()

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        """The estimate, of the shape of z."""
        return self.target.clean(self.network(z, tau), z, (tau * self.steps).round().long())


def export(estimate: Estimate, z: Tensor, tau: Tensor) -> Any:
    """The ONNX model, for any number of images, by torch's exporter; z and tau show what it will be given."""
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        estimate, (z, tau), dynamo=True, verbose=False, dynamic_shapes=({0: batch}, {0: batch}),
        input_names=["z", "tau"], output_names=["x"],
    )  # fmt: skip
    assert program is not None
    model = program.model_proto
    graph = model.graph
    # The exporter notes where in the source each part comes from, which differs from machine to machine.
    for part in (model, graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def shrink(model: Any) -> None:
    """Store every large weight as 16-bit integers with a scale for each of its rows, by which the graph multiplies."""
    from onnx import TensorProto, helper, numpy_helper

    graph, nodes = model.graph, []
    for weight in list(graph.initializer):
        values, name = numpy_helper.to_array(weight), weight.name
        if values.size < LARGE or values.dtype != np.float32:
            continue
        scale = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True) / np.float32(32767)
        integers = np.round(values / np.maximum(scale, np.finfo(np.float32).tiny)).astype(np.int16)
        weight.CopyFrom(numpy_helper.from_array(integers, f"{name}.integers"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        nodes += [
            helper.make_node("Cast", [f"{name}.integers"], [f"{name}.values"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}.values", f"{name}.scale"], [name]),
        ]
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)


def difference(model: Any, estimate: Estimate, z: Tensor, tau: Tensor) -> float:
    """The largest difference between what the ONNX model and torch's estimate of the image behind z."""
    from onnx.reference import ReferenceEvaluator

    with torch.inference_mode():
        expected = estimate(z, tau)
    (found,) = ReferenceEvaluator(model).run(None, {"z": z.numpy(), "tau": tau.numpy()})
    return float((torch.from_numpy(found) - expected).abs().max())
