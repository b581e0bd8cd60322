import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import awake, example
from torch import nn
from training_fixtures import autocast

from thaw.choices import create, find, names
from thaw.core.layers import Float32Conv2d, LayerNorm, TimeFeatures
from thaw.networks.cnn import Cnn
from thaw.params import Choice, Shape

# A generator has no time and reads another latent; its tests are in test_dcgan.py.
NETWORKS = [
    Choice(name=name) for name in names("network") if not hasattr(find("network", name, "network"), "discriminator")
]
SMALL = {"convnext_unet": {"widths": [8, 16, 24]}, "attention_unet": {"widths": [8, 16, 24], "blocks": 1}}
OPTIONS: list[dict[str, Any]] = [{}, {"patch": 2}, {"patch": 4, "widths": [8]}, {"widths": [5, 7]}]
UNETS = [Choice(name=name, **(small | options)) for options in OPTIONS for name, small in SMALL.items()]
of_any_network = pytest.mark.parametrize(
    ("choice", "size"), [*((choice, 8) for choice in NETWORKS), *((choice, 24) for choice in UNETS)], ids=str
)


def built(choice: Choice, shape: Shape) -> nn.Module:
    torch.manual_seed(0)
    return awake(create("network", choice, "network", shape=shape))


# Every network that restores images, whichever files there are


@pytest.mark.parametrize("size", [8, 16, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("choice", [*NETWORKS, *UNETS[:2]], ids=str)
def test_the_answer_has_the_shape_of_z(choice: Choice, channels: int, size: int) -> None:
    shape = (channels, size, size)
    z, tau = example(shape)
    answer = built(choice, shape)(z, tau)
    assert answer.shape == z.shape
    assert answer.dtype == torch.float32
    assert answer.isfinite().all()


@of_any_network
def test_gradient_flows_to_every_parameter(choice: Choice, size: int) -> None:
    z, tau = example((3, size, size))
    network = built(choice, (3, size, size))
    network(z, tau).square().mean().backward()
    for called, parameter in network.named_parameters():
        assert parameter.grad is not None, called
        assert parameter.grad.abs().max() > 0, called


@of_any_network
def test_memory_layout_does_not_change_the_answer(choice: Choice, size: int) -> None:
    z, tau = example((3, size, size))
    plain = built(choice, (3, size, size))
    expected = plain(z, tau)
    last = built(choice, (3, size, size)).to(memory_format=torch.channels_last)
    for network in (plain, last):
        for memory in (torch.contiguous_format, torch.channels_last):
            answer = network(z.contiguous(memory_format=memory), tau)
            torch.testing.assert_close(answer, expected, rtol=1e-4, atol=1e-5)


@of_any_network
def test_an_image_is_answered_alone_as_in_a_batch_and_by_its_own_time(choice: Choice, size: int) -> None:
    z, tau = example((3, size, size))
    network = built(choice, (3, size, size))
    together = network(z, tau)
    alone = torch.cat([network(z[i : i + 1], tau[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(z, 1 - tau), together, atol=1e-4), "time matters"


@of_any_network
def test_the_image_is_read_in_float32_under_autocast(choice: Choice, size: int) -> None:
    network = built(choice, (1, size, size))
    first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))
    with torch.autocast("cpu", torch.bfloat16):
        assert first(torch.randn(1, 1, size, size)).dtype == torch.float32


@of_any_network
def test_a_fused_step_is_the_plain_one(choice: Choice, size: int, precision: str) -> None:
    """Which takes weights and gradients to lie in memory alike, in channels-last order too."""
    z, tau = example((1, size, size))
    after = []
    for fused in (False, True):
        network = built(choice, (1, size, size)).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), 1e-2, fused=fused)
        with autocast(precision):
            loss = network(z, tau).float().square().mean()
        loss.backward()
        optimizer.step()
        after.append(network.state_dict())
    for name, value in after[0].items():
        torch.testing.assert_close(after[1][name], value, rtol=1e-5, atol=1e-6)


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
