"""The blocks of a network, read off its forward pass: those of thaw's networks, and of one that is made up."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from thaw.core.cost import parameters
from thaw.evaluation.architecture import TIME, Block, blocks
from thaw.params import Shape, read_params
from thaw.variant import build_network

PARAMS = read_params(Path(__file__).parents[1] / "params.yaml")
SHAPE = PARAMS.data.shape
USERS = {PARAMS.variant(variant).train.network.name: variant for variant in reversed(PARAMS.compared)}
"""The first variant that has each network."""


def network_called(name: str) -> nn.Module:
    return build_network(PARAMS.variant(USERS[name]).train, SHAPE, "network")


def by_name(network: nn.Module, shape: Shape = SHAPE) -> dict[str, Block]:
    return {block.name: block for block in blocks(network, shape, ("z", "answer"))}


@pytest.mark.parametrize("name", USERS)
def test_the_weights_of_the_blocks_are_those_of_the_network(name: str) -> None:
    network = network_called(name)
    found = blocks(network, SHAPE, ("z", "answer"))
    assert sum(block.parameters for block in found) == parameters(network)
    assert found[0].name == "z"
    assert found[-1].name == "answer"
    assert found[-1].shape == SHAPE
    known = set()
    for block in found:
        assert set(block.inputs) <= known, "a block reads only what stands before it"
        known.add(block.name)
    read = {name for block in found for name in block.inputs}
    assert read | {TIME, "answer"} == known | {TIME}, "every answer is read"


def test_the_cnn_is_told_time_once() -> None:
    found = by_name(network_called("cnn"))
    assert [name for name, block in found.items() if block.time] == ["convolutions.1"]
    assert found["convolutions.0"].kinds == ["conv 7×7", "layer norm", "GELU"]
    assert found["convolutions.2"].inputs == ["convolutions.1"]


def test_skip_connections_join_blocks_of_one_resolution() -> None:
    found = by_name(network_called("convnext_unet"))
    assert found["up.0"].inputs == ["grow.0", "down.0"]
    for block in found.values():
        if len(block.inputs) == 2:
            assert len({found[name].shape[1:] for name in block.inputs}) == 1
    assert found["answer"].inputs == ["output"]


def test_the_two_networks_of_a_gan() -> None:
    generator = network_called("dcgan")
    discriminator = generator.discriminator()
    found = blocks(discriminator, SHAPE, ("image", "logit"))
    assert sum(block.parameters for block in found) == parameters(discriminator)
    assert found[-1].shape == (1,)
    assert not any(block.time for block in found)
    drawn = blocks(generator, SHAPE, ("z", "image"))
    assert drawn[0].shape == (generator.latent,), "it reads no more of z"
    assert drawn[1].shape == (generator.widths[0], generator.lowest, generator.lowest)


class MadeUp(nn.Module):
    """A convolution, a norm, an enlargement, and a residual connection around the next convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.norm = nn.GroupNorm(1, 4)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.embedding = nn.Linear(1, 4)
        self.last = nn.Conv2d(4, 1, 1)

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.first(z)))
        h = nn.functional.interpolate(h, scale_factor=2.0)
        h = h + self.second(h) + self.embedding(tau[:, None])[:, :, None, None]
        return self.last(h)


def test_what_stands_between_blocks_is_told_with_them() -> None:
    found = by_name(MadeUp(), (1, 8, 8))
    assert list(found) == ["z", "first", "second", TIME, "last", "answer"]
    assert found["first"].kinds == ["conv 3×3, stride 2", "group norm", "ReLU"]
    assert found["first"].parameters == 4 * 9 + 4 + 8
    assert found["first"].shape == (4, 4, 4)
    assert found["second"].kinds == ["enlarge", "conv 3×3"]
    assert found["second"].shape == (4, 8, 8)
    assert found["last"].inputs == ["first", "second"]
    assert found["last"].time
    assert not found["second"].time
    assert found[TIME].shape == (4,)
