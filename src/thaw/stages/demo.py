"""The stage `demo`: the page on which a reader tries models, for the browser and for no server."""

import importlib.util
import json
import sys

import torch
from torch import Tensor

from thaw.data import read_dataset
from thaw.demo import content
from thaw.demo.export import TOLERANCE, TOLERANCE_SHRUNK, Estimate, difference, export, shrink
from thaw.demo.golden import vectors
from thaw.demo.page import fill
from thaw.errors import ThawError
from thaw.files import replacing
from thaw.loading import load_model
from thaw.model import Model
from thaw.params import PARAMS_FILE, read_params, suggest
from thaw.results.layout import Artifacts

IMAGES = 4
"""Test images, each degraded to some steps, on which an exported network is held against torch's."""


def run(artifacts: Artifacts, key: str) -> None:
    """Write demo/KEY.html, and KEY.json with the golden vectors that its JavaScript is held against.

    Without the extra `demo` the page stays as it is. Raises ThawError where there is none then, where params.yaml has
    no such demo, or where an exported network answers something else than torch's.
    """
    params = read_params(artifacts.params)
    if key not in params.demos:
        raise ThawError(f"{PARAMS_FILE}: demos has no {key}{suggest(key, params.demos)}.")
    page, golden = artifacts.demo(key)
    if missing := [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]:
        remedy = f"{' and '.join(missing)} would make it: uv pip install 'thaw[demo]'"
        if not (page.exists() and golden.exists()):
            raise ThawError(f"{page.relative_to(artifacts.root)} is not there, and {remedy}.")
        print(f"{page.relative_to(artifacts.root)} stays as it was; {remedy}.", file=sys.stderr)
        return
    dataset = read_dataset(params.data, artifacts.root)
    test = dataset.to_range(dataset.test.pixels[:IMAGES])
    models, networks, about = {}, {}, {}
    for name, variant in params.demos[key]:
        models[name] = model = load_model(artifacts, variant, params).model
        content.check(model, name, key)
        networks[f"network-{name}"], error = _exported(model, variant, test)
        about[name] = {
            "variant": variant,
            "degradation": params.variant(variant).train.degradation.model_dump(),
            "sampler": {"name": model.sampling.sampler.__name__, **model.sampling.sampler_options},
            "latent": model.sampling.latent_options,
            "difference": error,
        }
    tensors = {"digits": content.digits(dataset), "centres": content.centres(models["zoom"])}
    tensors |= content.gaussians(models["blur"])
    config = {"pixels": params.data.pixels, "halfRange": params.data.half_range, "models": about}
    with replacing(page) as temporary:
        temporary.write_text(fill(config, networks, tensors), encoding="utf-8")
    with replacing(golden) as temporary:
        temporary.write_text(json.dumps(vectors(models, test[:1])) + "\n")


def _exported(model: Model, variant: str, x: Tensor) -> tuple[bytes, float]:
    """The network as ONNX, and by how much its answers for images x, degraded to five steps, differ from torch's."""
    estimate, last = Estimate(model), model.degradation.steps
    steps = [max(1, last * quarter // 4) for quarter in range(5)]
    z = torch.cat([model.degrade(x, t) for t in steps])
    tau = torch.tensor(steps).repeat_interleave(len(x)) / last
    exported = export(estimate, z, tau)
    _hold(difference(exported, estimate, z, tau), TOLERANCE, variant)
    shrink(exported)
    error = difference(exported, estimate, z, tau)
    _hold(error, TOLERANCE_SHRUNK, variant)
    return exported.SerializeToString(deterministic=True), error


def _hold(error: float, tolerance: float, variant: str) -> None:
    if not error <= tolerance:
        raise ThawError(
            f"{variant} answers by up to {error:.1e} something else as ONNX than by torch, which is more than "
            f"{tolerance:.0e}; the page was left as it was: look at thaw.demo.export, or name another variant."
        )
