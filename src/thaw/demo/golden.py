"""Golden vectors: what the page's own JavaScript has to compute, given the same noise."""

from typing import Any

import torch
from torch import Tensor

from thaw.choices import find
from thaw.core.randomness import generator
from thaw.demo.content import gaussians
from thaw.demo.export import Estimate
from thaw.diffusion.degradation import Latent
from thaw.diffusion.denoising import subsequence
from thaw.diffusion.schedules import alpha_bars, betas
from thaw.diffusion.walk import at
from thaw.model import Model
from thaw.params import Choice

SCHEDULES = (
    {"name": "linear", "beta_min": 1e-4, "beta_max": 0.02},
    {"name": "cosine", "s": 0.008, "beta_max": 0.1},
    {"name": "constant", "beta": 0.01},
)
STEPS = 6
"""Of a chain."""
SAMPLERS: dict[str, dict[str, dict[str, Any]]] = {
    "gaussian_noise": {"ancestral": {"variance": "lower"}, "ddim": {"eta": 0.0}},
    "blur": {"cold_improved": {}, "cold_naive": {}},
    "zoom": {"cold_naive": {"step_noise": 0.05}, "cold_improved": {}},
}
"""The samplers of the page, and whatever options they have there."""


def vectors(models: dict[str, Model], image: Tensor) -> dict[str, Any]:
    """What comes out for one image, (1, 1, H, W), by name; a list of cases each, whose arrays are flat."""
    found: dict[str, list[dict[str, Any]]] = {"schedules": [], "steps": [], "degraded": [], "chains": []}
    for schedule in SCHEDULES:
        alpha_bar = alpha_bars(betas(Choice.model_validate(schedule), 1000))
        found["schedules"].append({"schedule": schedule, "alphaBar": _plain(alpha_bar[::50])})
    found["steps"] = [{"start": t, "count": n, "steps": subsequence(t, n)} for t, n in ((1000, 7), (24, 100), (97, 10))]
    for name, model in models.items():
        degradation, estimate = model.degradation, Estimate(model)
        noise = torch.randn(STEPS + 1, *image.shape, generator=generator("demo", name))
        source = noise[STEPS] if name == "gaussian_noise" else None

        def denoise(z: Tensor, t: int, estimate: Estimate = estimate) -> Tensor:
            with torch.inference_mode():
                return estimate(z, torch.full((len(z),), t / estimate.steps))

        for t in subsequence(degradation.steps, 5):
            z = degradation.degrade(image, at(t, image), source)
            case = {"degradation": name, "t": t, "x": _plain(image), "source": _plain(source), "z": _plain(z)}
            found["degraded"].append(case | ({"estimate": _plain(denoise(z, t))} if t else {}))
        for sampler, options in SAMPLERS[name].items():
            z = degradation.degrade(image, at(degradation.steps, image), source)
            given, chain = iter(noise), subsequence(degradation.steps, STEPS)
            x = find("sampler", sampler, "demo")(
                denoise, Latent(z, source), chain, degradation=degradation, noise=lambda _, given=given: next(given),
                half_range=model.half_range, **options,
            )  # fmt: skip
            found["chains"].append({
                "degradation": name, "sampler": {"name": sampler, **options}, "steps": chain, "z": _plain(z),
                "noise": _plain(noise[: STEPS - len(list(given)) + 1]), "x": _plain(x),
            })  # fmt: skip
    return found | {"latents": _latents(models, image)}


def _latents(models: dict[str, Model], image: Tensor) -> list[dict[str, Any]]:
    """One latent of blur and one of zoom, by what is drawn for it."""
    drawn = gaussians(models["blur"])
    components = torch.randn(drawn["roots"].shape[2], generator=generator("demo", "components"))
    index = len(drawn["means"]) // 2
    coordinates = (drawn["means"][index] + drawn["roots"][index] @ components).double()
    blurred = models["blur"].degradation.expand(coordinates[None])  # type: ignore[attr-defined]
    zoom = models["zoom"].degradation
    normals = torch.randn(image.shape, generator=generator("demo", "centre"))
    noisy = image + models["zoom"].sampling.latent_options.get("noise", 0.0) * normals
    centre, normals = (zoom.remaining(pixels) for pixels in (image, normals))  # type: ignore[attr-defined]
    zoomed = zoom.degrade(noisy, at(zoom.steps, image), None)
    return [
        {"degradation": "blur", "index": index, "components": _plain(components), "z": _plain(blurred)},
        {"degradation": "zoom", "centre": _plain(centre), "normals": _plain(normals), "z": _plain(zoomed)},
    ]


def _plain(values: Tensor | None) -> list[float] | None:
    """Numbers for JSON, to six decimals."""
    return None if values is None else [round(value, 6) for value in values.flatten().tolist()]
