"""The layers that are written for speed, against torch's own."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import Timeless, stream
from torch import Tensor, nn
from training_fixtures import autocast

from thaw.core.cost import multiply_adds
from thaw.core.layers import DepthwiseConv2d, GroupNorm, depthwise_weight_gradient
from thaw.networks import attention_unet
from thaw.networks.attention_unet import Attention, attention

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=stream(seed), dtype=dtype)


def pair(kernel: int, channels: int = 6) -> tuple[DepthwiseConv2d, nn.Conv2d]:
    """The layer and torch's, with the same weights."""
    torch.manual_seed(0)
    ours = DepthwiseConv2d(channels, kernel)
    theirs = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def gradients(layer: nn.Module, x: Tensor, of_output: Tensor, precision: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The answer, and the gradients of x and of every weight, for a gradient of the answer."""
    x = x.clone().requires_grad_()
    with autocast(precision):
        answer = layer(x)
    answer.backward(of_output.to(answer.dtype))
    assert x.grad is not None
    found = {name: weight.grad for name, weight in layer.named_parameters() if weight.grad is not None}
    return answer.detach(), {"x": x.grad, **found}


def error(found: Tensor, exact: Tensor) -> float:
    """The root mean square of the difference, as a share of the exact value's."""
    return ((found.double() - exact.double()).norm() / exact.double().norm()).item()


# The depthwise convolution


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@given(
    batch=st.integers(1, 4), channels=st.integers(1, 5), height=st.integers(1, 9), width=st.integers(1, 9),
    kernel=st.sampled_from([1, 3, 5, 7]), layout=st.sampled_from(LAYOUTS), seed=st.integers(0, 1000),
)  # fmt: skip
def test_the_weight_gradient_is_that_of_autograd(
    dtype: torch.dtype, batch: int, channels: int, height: int, width: int, kernel: int, layout: torch.memory_format,
    seed: int,
) -> None:  # fmt: skip
    x = normal(batch, channels, height, width, seed=seed, dtype=dtype).contiguous(memory_format=layout)
    of_output = normal(batch, channels, height, width, seed=seed + 1, dtype=dtype).contiguous(memory_format=layout)
    weight = torch.zeros(channels, 1, kernel, kernel, dtype=dtype, requires_grad=True)
    F.conv2d(x, weight, padding=kernel // 2, groups=channels).backward(of_output)
    assert weight.grad is not None
    found = depthwise_weight_gradient(x, of_output, kernel)
    assert found.shape == weight.shape
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, weight.grad.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_a_depthwise_convolution_is_torch_s(kernel: int, layout: torch.memory_format, precision: str) -> None:
    x, of_output = (normal(8, 6, 10, 12, seed=seed).contiguous(memory_format=layout) for seed in (1, 2))
    ours, theirs = (gradients(layer, x, of_output, precision) for layer in pair(kernel))
    assert ours[0].dtype == theirs[0].dtype
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    assert ours[1].keys() == {"x", "weight", "bias"}
    for name, value in ours[1].items():
        assert value.dtype == torch.float32
        assert error(value, theirs[1][name]) < {"fp32": 1e-5, "bf16": 1e-2}[precision], name


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_its_gradients_in_bfloat16_are_near_the_exact_ones(kernel: int) -> None:
    """No further than torch's own in bfloat16, up to a factor, from those in float64."""
    x, of_output = (normal(32, 6, 14, 14, seed=seed).contiguous(memory_format=torch.channels_last) for seed in (1, 2))
    exact = gradients(pair(kernel)[1].double(), x.double(), of_output.double(), "fp32")[1]
    ours, theirs = (gradients(layer, x, of_output, "bf16")[1] for layer in pair(kernel))
    for name, value in exact.items():
        assert error(ours[name], value) < max(0.006, 1.5 * error(theirs[name], value)), name


def test_without_gradients_and_in_evaluation_it_is_torch_s_to_the_bit() -> None:
    ours, theirs = pair(7)
    x = normal(4, 6, 8, 8)
    with torch.no_grad(), autocast("bf16"):
        assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours(x), theirs(x))


def test_an_input_that_needs_no_gradient_gets_none() -> None:
    ours, _ = pair(3)
    x = normal(4, 6, 8, 8)
    with autocast("bf16"):
        ours(x).float().sum().backward()
    assert ours.weight.grad is not None
    assert x.grad is None


def test_its_multiplications_are_counted() -> None:
    ours, theirs = pair(7)
    assert multiply_adds(Timeless(ours), (6, 8, 8)) == multiply_adds(Timeless(theirs), (6, 8, 8)) == 6 * 49 * 64


# Normalisation over groups


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_is_torch_s(groups: int, layout: torch.memory_format, precision: str) -> None:
    x, of_output = (normal(4, 6, 7, 5, seed=seed).contiguous(memory_format=layout) for seed in (1, 2))
    ours, theirs = GroupNorm(groups, 6), nn.GroupNorm(groups, 6)
    for number, name in enumerate(("weight", "bias")):
        for layer in (ours, theirs):
            getattr(layer, name).data.copy_(normal(6, seed=number))
    (found, of_ours), (expected, of_theirs) = (gradients(layer, x, of_output, "fp32") for layer in (ours, theirs))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for name, value in of_ours.items():
        torch.testing.assert_close(value, of_theirs[name], rtol=1e-4, atol=1e-4)

    # It takes what a convolution gives in the precision; its sums are float32.
    x = x.to({"fp32": torch.float32, "bf16": torch.bfloat16}[precision])
    with torch.no_grad(), autocast(precision):
        inside = ours(x)
    assert inside.dtype == x.dtype
    assert error(inside, theirs(x.float()).detach()) < {"fp32": 1e-6, "bf16": 4e-3}[precision]


# Attention at few positions


@pytest.mark.parametrize("positions", [1, 16, 49, 64, 65])
def test_attention_of_any_number_of_positions_is_torch_s(positions: int, precision: str) -> None:
    found, expected = [], []
    for function, answers in ((attention, found), (F.scaled_dot_product_attention, expected)):
        parts = [(2 * normal(3, 1, positions, 8, seed=seed)).requires_grad_() for seed in range(3)]
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
        with autocast(precision):
            answer = function(*(part.to(dtype) for part in parts))
        assert answer.dtype == dtype
        answer.backward(normal(*answer.shape, seed=5).to(dtype))
        answers += [answer.detach(), *(part.grad for part in parts)]
    for one, other in zip(found, expected, strict=True):
        if one.norm() > 0:  # of one position, queries and keys have no gradient
            assert error(one, other) < {"fp32": 1e-5, "bf16": 0.02}[precision]


def test_fused_attention_is_left_to_more_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    fused = F.scaled_dot_product_attention

    def watched(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        called.append(queries.shape[2])
        return fused(queries, keys, values)

    monkeypatch.setattr(attention_unet.F, "scaled_dot_product_attention", watched)
    for positions in (49, 64, 65, 196):
        attention(*(normal(1, 1, positions, 4, seed=seed) for seed in range(3)))
    assert called == [65, 196]


@pytest.mark.parametrize("size", [5, 8, 10])
def test_attention_costs_the_same_in_either_form(size: int) -> None:
    positions = size * size
    assert multiply_adds(Timeless(Attention(8)), (8, size, size)) == 4 * 8 * 8 * positions + 2 * positions**2 * 8
