import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from thaw.choices import create, find, names
from thaw.diffusion.degradation import Shape
from thaw.networks._layers import Float32Conv2d, LayerNorm, TimeFeatures
from thaw.networks.cnn import Cnn
from thaw.params import Choice

# A generator has no time and reads another latent; its tests are in test_dcgan.py.
NETWORKS = [name for name in names("network") if not hasattr(find("network", name, "network"), "discriminator")]


def built(name: str, shape: Shape) -> nn.Module:
    """A network with values in the weights that begin at zero, so that every path through it counts."""
    torch.manual_seed(0)
    network: nn.Module = create("network", Choice(name=name), "network", shape=shape)
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


def example(shape: Shape, count: int = 3) -> tuple[Tensor, Tensor]:
    stream = torch.Generator().manual_seed(1)
    return torch.randn(count, *shape, generator=stream), torch.rand(count, generator=stream)


# Every network that restores images, whichever files there are


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 16, 16)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_answer_has_the_shape_of_z(name: str, shape: Shape) -> None:
    z, tau = example(shape)
    answer = built(name, shape)(z, tau)
    assert answer.shape == z.shape
    assert answer.dtype == torch.float32
    assert answer.isfinite().all()


@pytest.mark.parametrize("name", NETWORKS)
def test_gradient_flows_to_every_parameter(name: str) -> None:
    z, tau = example((1, 8, 8))
    network = built(name, (1, 8, 8))
    network(z, tau).square().mean().backward()
    for called, parameter in network.named_parameters():
        assert parameter.grad is not None, called
        assert parameter.grad.abs().max() > 0, called


@pytest.mark.parametrize("name", NETWORKS)
def test_memory_layout_does_not_change_the_answer(name: str) -> None:
    z, tau = example((3, 8, 8))
    plain = built(name, (3, 8, 8))
    expected = plain(z, tau)
    last = built(name, (3, 8, 8)).to(memory_format=torch.channels_last)
    for network in (plain, last):
        for memory in (torch.contiguous_format, torch.channels_last):
            answer = network(z.contiguous(memory_format=memory), tau)
            torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_image_is_answered_alone_as_in_a_batch_and_by_its_own_time(name: str) -> None:
    z, tau = example((1, 8, 8))
    network = built(name, (1, 8, 8))
    together = network(z, tau)
    alone = torch.cat([network(z[i : i + 1], tau[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(z, 1 - tau), together, atol=1e-4), "time matters"


# The cnn


def test_the_cnn_has_the_parameters_of_the_seeds() -> None:
    network = Cnn(shape=(1, 28, 28))
    assert sum(parameter.numel() for parameter in network.parameters()) == 291_217
    assert [tuple(c.weight.shape) for c in network.convolutions] == [
        (16, 1, 7, 7), (32, 16, 7, 7), (32, 32, 7, 7), (16, 32, 7, 7),
    ]  # fmt: skip
    assert tuple(network.output.weight.shape) == (1, 16, 3, 3)
    assert [tuple(m.weight.shape) for m in network.time if isinstance(m, nn.Linear)] == [
        (128, 32), (128, 128), (128, 128), (16, 128),
    ]  # fmt: skip


def test_the_cnn_is_the_one_described() -> None:
    """The forward pass again, from the design's words, with torch's own LayerNorm over (C, H, W)."""
    ours = Cnn(shape=(1, 8, 8))
    for norm in ours.norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    z, tau = example((1, 8, 8))
    h = z
    for block in range(4):
        convolution, norm = ours.convolutions[block], ours.norms[block]
        h = nn.functional.conv2d(h, convolution.weight, convolution.bias, padding=3)
        h = nn.functional.gelu(reference_norm(norm)(h))
        if block == 0:
            h = h + ours.time(tau).view(3, 16, 1, 1)
    expected = nn.functional.conv2d(h, ours.output.weight, ours.output.bias, padding=1)
    torch.testing.assert_close(ours(z, tau), expected, rtol=1e-4, atol=1e-5)


# Layers


def reference_norm(norm: LayerNorm) -> nn.LayerNorm:
    height, width, channels = norm.weight.shape
    reference = nn.LayerNorm([channels, height, width])
    with torch.no_grad():
        reference.weight.copy_(norm.weight.permute(2, 0, 1))
        reference.bias.copy_(norm.bias.permute(2, 0, 1))
    return reference


@given(st.integers(1, 5), st.integers(2, 6), st.integers(2, 6), st.integers(0, 1000))
def test_layer_norm_is_that_of_torch_over_channels_height_and_width(c: int, h: int, w: int, seed: int) -> None:
    torch.manual_seed(seed)
    norm = LayerNorm(c, h, w)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = 3 * torch.randn(2, c, h, w) + 1
    expected = reference_norm(norm)(x)
    torch.testing.assert_close(norm(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm(x.contiguous(memory_format=torch.channels_last)), expected, rtol=1e-5, atol=1e-5)


@given(st.floats(0, 1, width=32))
def test_time_features_follow_their_formula(tau: float) -> None:
    features = TimeFeatures()(torch.tensor([tau]))
    assert features.shape == (1, 32)
    frequencies = [0.0] + [2 * math.pi * 1.5**i for i in range(15)]
    expected = [math.sin(tau * f) for f in frequencies] + [math.cos(tau * f) - 1 for f in frequencies]
    # The fastest turns 1835 radians, of which float32 keeps 1e-4.
    torch.testing.assert_close(features[0], torch.tensor(expected), rtol=0, atol=3e-4)


def test_time_features_vanish_at_time_zero_and_are_no_weights() -> None:
    features = TimeFeatures()
    assert torch.equal(features(torch.zeros(2)), torch.zeros(2, 32))
    assert features.state_dict() == {}


def test_the_first_convolution_stays_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    convolution, plain = Float32Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3)
    plain.load_state_dict(convolution.state_dict())
    x = torch.randn(2, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        inside, usual = convolution(x), plain(x)
    assert usual.dtype == torch.bfloat16
    assert inside.dtype == torch.float32
    torch.testing.assert_close(inside, plain(x))
    assert isinstance(Cnn(shape=(1, 8, 8)).convolutions[0], Float32Conv2d)
