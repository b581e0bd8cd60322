"""Tell what each network consists of, for the diagrams of the report."""

import torch

from thaw.architecture import Block, blocks
from thaw.artifacts import Artifacts
from thaw.assembly import build_network, image_shape
from thaw.files import replacing, write_csv
from thaw.params import read_params


def run(artifacts: Artifacts) -> None:
    """Write plots/networks/NAME.csv for every network of the main comparison, as the first variant that has it.

    A row is a block: its part (a GAN has two), its kind, the shape of its answer, its weights, the blocks that it reads
    and whether time is added to it.
    """
    params = read_params(artifacts.params)
    torch.set_num_threads(params.threads)
    shape = image_shape(params.data)
    with replacing(artifacts.networks) as folder:
        folder.mkdir()
        for variant in params.compared:
            train = params.variant(variant).train
            path = folder / f"{train.network.name}.csv"
            if path.exists():
                continue
            network = build_network(train, shape, f"variants.{variant}.train")
            parts: dict[str, list[Block]] = {}
            discriminator = getattr(network, "discriminator", None)
            if discriminator is None:
                parts["network"] = blocks(network, shape, ("z", "answer"))
            else:
                parts["generator"] = blocks(network, shape, ("z", "image"))
                parts["discriminator"] = blocks(discriminator(), shape, ("image", "logit"))
            write_csv(
                path, [{"variant": variant, "part": part, **block.row()} for part in parts for block in parts[part]]
            )
