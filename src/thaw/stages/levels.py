"""Count how often each grey level occurs in the training images, and at their centres, from which zoom starts."""

import torch

from thaw.artifacts import Artifacts
from thaw.assembly import build_degradation
from thaw.data import read_dataset
from thaw.diffusion.degradations.zoom import Zoom
from thaw.files import write_csv
from thaw.params import read_params


def run(artifacts: Artifacts) -> None:
    """Write plots/levels.csv: for each of the 256 levels, the pixels that have it, and those of the centres.

    The centre is what the first variant that zooms leaves of an image at t = T; without such a variant its column is
    empty.
    """
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    pixels = read_dataset(params.data, artifacts.root).train.pixels  # (N, C, H, W)
    every = torch.bincount(pixels.flatten(), minlength=256).tolist()
    centre = [None] * 256
    for variant in params.compared:
        block = params.variant(variant).train
        degradation = build_degradation(block, params.data, f"variants.{variant}.train", artifacts.root)
        if isinstance(degradation, Zoom):
            left = degradation.table[-1].unique()
            central = pixels[:, :, left][:, :, :, left]
            centre = torch.bincount(central.flatten(), minlength=256).tolist()
            break
    write_csv(
        artifacts.levels, [{"level": level, "all": every[level], "centre": centre[level]} for level in range(256)]
    )
