import pytest
import torch
from diffusers import UNet2DModel
from image_fixtures import Timeless, awake, example
from torch import nn

from thaw.core.cost import multiply_adds, parameters
from thaw.errors import ThawError
from thaw.networks.attention_unet import Attention, AttentionUnet, ResidualBlock, Sinusoids
from thaw.networks.convnext_unet import ConvnextUnet


@pytest.mark.parametrize(
    ("size", "widths", "patch", "says"),
    [
        (30, [8, 8, 8], 1, "3 levels behind a first convolution of stride 1, which divide the image by 4"),
        (28, [8, 8, 8], 2, "3 levels behind a first convolution of stride 2, which divide the image by 8"),
        (27, [8], 2, "1 levels behind a first convolution of stride 2, which divide the image by 2"),
    ],
)
@pytest.mark.parametrize("network", [ConvnextUnet, AttentionUnet])
def test_a_size_that_does_not_halve_is_refused(
    network: type[nn.Module], size: int, widths: list[int], patch: int, says: str
) -> None:
    with pytest.raises(ThawError) as refused:
        network(shape=(1, size, size), widths=widths, patch=patch, key="variants.a.train.network")
    said = str(refused.value)
    assert said.startswith(f"params.yaml: variants.a.train.network.widths has {says}, but images of {size} pixels")
    assert "data.pixels that is a multiple of" in said


# The ConvNeXt U-Net


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_the_kernel_is_that_of_the_inner_convolutions(kernel: int) -> None:
    network = ConvnextUnet(shape=(1, 8, 8), widths=[4, 6], kernel=kernel)
    inner = [c for name, c in network.named_modules() if name.endswith(("expand", "contract"))]
    assert len(inner) == 6
    assert {c.kernel_size for c in inner} == {(kernel, kernel)}
    depthwise = [c for name, c in network.named_modules() if name.endswith("depthwise")]
    assert {c.kernel_size for c in depthwise} == {(7, 7)}
    z, tau = example((1, 8, 8))
    assert network(z, tau).shape == z.shape


# The attention U-Net


def test_the_attention_unet_begins_by_answering_zero_and_its_blocks_as_the_identity() -> None:
    torch.manual_seed(0)
    z, tau = example((1, 8, 8))
    assert not AttentionUnet(shape=(1, 8, 8), widths=[8, 8], blocks=1)(z, tau).any()
    x = torch.randn(2, 8, 4, 4)
    assert torch.equal(ResidualBlock(8, 8, 16)(x, torch.randn(2, 16)), x)
    assert torch.equal(Attention(8)(x), x)


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = awake(Attention(8)), nn.MultiheadAttention(8, 1, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.queries_keys_values.weight.flatten(1))
        theirs.in_proj_bias.copy_(ours.queries_keys_values.bias)
        theirs.out_proj.weight.copy_(ours.output.weight.flatten(1))
        theirs.out_proj.bias.copy_(ours.output.bias)
    x = torch.randn(2, 8, 3, 5)
    sequence = ours.norm(x).flatten(2).transpose(1, 2)
    expected = x + theirs(sequence, sequence, sequence)[0].transpose(1, 2).view_as(x)
    torch.testing.assert_close(ours(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("below", "where"), [(32, [2, 3]), (16, [2, 3]), (15, [0, 0]), (8, [0, 0]), (0, [0, 0])])
def test_attention_runs_at_or_below_its_size_and_in_the_middle(below: int, where: list[int]) -> None:
    network = AttentionUnet(shape=(1, 64, 64), widths=[4, 4], patch=4, blocks=2, attention_below=below)

    def attending(blocks: nn.Module) -> int:
        return sum(isinstance(module, Attention) for module in blocks.modules())

    assert [attending(network.down[0]), attending(network.up[-1])] == where
    assert attending(network.middle) == 1
    at_the_lowest = [2, 3] if below >= 8 else [0, 0]
    assert [attending(network.down[1]), attending(network.up[0])] == at_the_lowest


def test_time_is_embedded_as_the_step_of_a_thousand() -> None:
    features = Sinusoids()(torch.tensor([0.001, 0.25]))
    assert features.shape == (2, 128)
    torch.testing.assert_close(features[:, 0], torch.tensor([1.0, 250.0]).sin(), rtol=0, atol=1e-4)
    torch.testing.assert_close(features[:, 63], torch.tensor([1e-4, 2.5e-2]).sin(), rtol=1e-4, atol=0)
    torch.testing.assert_close(features[:, 127], torch.tensor([1e-4, 2.5e-2]).cos())


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_attention_unet_is_the_ddpm_network_of_diffusers(blocks: int) -> None:
    """With the same weights, and the first linear layer of time as wide as the paper's."""
    torch.manual_seed(0)
    ours = awake(AttentionUnet(shape=(3, 16, 16), widths=[8, 16, 24], blocks=blocks, attention_below=8))
    theirs = UNet2DModel(
        sample_size=16, in_channels=3, out_channels=3, layers_per_block=blocks, block_out_channels=(8, 16, 24),
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"), attention_head_dim=None,
        norm_num_groups=1, norm_eps=1e-5, downsample_padding=1, flip_sin_to_cos=False, freq_shift=1,
    )  # fmt: skip
    theirs.time_proj.num_channels = 128
    theirs.time_embedding.linear_1 = nn.Linear(128, 32)
    give_weights(ours, theirs)
    z, tau = example((3, 16, 16))
    with torch.no_grad():
        torch.testing.assert_close(ours(z, tau), theirs(z, 1000 * tau).sample, rtol=1e-4, atol=1e-4)


def give_weights(ours: AttentionUnet, theirs: UNet2DModel) -> None:
    """Copy the weights, and the number of groups, of our network to that of diffusers."""
    pairs = [(ours.stem, theirs.conv_in), (ours.output[0], theirs.conv_norm_out), (ours.output[2], theirs.conv_out)]
    pairs += [(ours.time[1], theirs.time_embedding.linear_1), (ours.time[3], theirs.time_embedding.linear_2)]
    levels = [(list(ours.middle), theirs.mid_block)]
    levels += zip(ours.down, theirs.down_blocks, strict=True)
    levels += zip(ours.up, theirs.up_blocks, strict=True)
    for blocks, level in levels:
        for block, other in zip(blocks, level.resnets, strict=True):
            mine = block.residual
            pairs += [(mine.norm_in, other.norm1), (mine.convolution_in, other.conv1), (mine.time, other.time_emb_proj),
                      (mine.norm_out, other.norm2), (mine.convolution_out, other.conv2)]  # fmt: skip
            if other.conv_shortcut is not None:
                pairs.append((mine.residual, other.conv_shortcut))
        attentions = [block.attention for block in blocks if isinstance(block.attention, Attention)]
        for mine, other in zip(attentions, getattr(level, "attentions", []), strict=True):
            pairs += [(mine.norm, other.group_norm), (mine.output, other.to_out[0])]
            for part, projection in enumerate([other.to_q, other.to_k, other.to_v]):
                channels = mine.output.out_channels
                rows = slice(part * channels, (part + 1) * channels)
                projection.weight.data.copy_(mine.queries_keys_values.weight[rows].flatten(1))
                projection.bias.data.copy_(mine.queries_keys_values.bias[rows])
    pairs += zip(ours.shrink, [level.downsamplers[0].conv for level in theirs.down_blocks[:-1]], strict=True)
    pairs += zip(ours.grow, [level.upsamplers[0].conv for level in theirs.up_blocks[:-1]], strict=True)
    for mine, other in pairs:
        other.weight.data.copy_(mine.weight.view_as(other.weight))
        other.bias.data.copy_(mine.bias)
        if isinstance(mine, nn.GroupNorm):
            other.num_groups = mine.num_groups


# Cost


@pytest.mark.parametrize(
    ("layer", "count", "weights"),
    [
        (nn.Conv2d(8, 8, 7, padding=3, groups=8), 8 * 49 * 100, 8 * 49 + 8),  # depthwise
        (nn.Conv2d(8, 6, 3, padding=1, groups=2), 6 * 4 * 9 * 100, 6 * 4 * 9 + 6),
        (nn.Conv2d(8, 6, 2, stride=2), 6 * 8 * 4 * 25, 6 * 8 * 4 + 6),
        (nn.ConvTranspose2d(8, 6, 2, stride=2), 6 * 8 * 4 * 100, 6 * 8 * 4 + 6),
        (Attention(8), 4 * 8 * 8 * 100 + 2 * 100 * 100 * 8, 4 * 8 * 8 + 4 * 8 + 16),
    ],
    ids=["depthwise", "grouped", "down", "up", "attention"],
)
def test_the_cost_of_a_layer_is_as_counted_by_hand(layer: nn.Module, count: int, weights: int) -> None:
    assert multiply_adds(Timeless(layer), (8, 10, 10)) == count
    assert parameters(layer) == weights


def test_the_cost_of_a_convnext_unet_is_as_counted_by_hand() -> None:
    a, b, n, k = 8, 12, 16, 3

    def block(ins: int, outs: int, pixels: int) -> int:
        inner = 49 * ins + k * k * 2 * outs * (ins + outs) + (ins * outs if ins != outs else 0)
        return inner * pixels + 128 * ins

    time = 32 * 128 + 128 * 128
    full, half = n * n, n * n // 4
    levels = block(a, a, full) + 4 * a * b * half + block(b, b, half) + 4 * a * b * half + block(2 * a, a, full)
    expected = 9 * 3 * a * full + time + levels + 9 * a * 3 * full
    assert multiply_adds(ConvnextUnet(shape=(3, n, n), widths=[a, b], kernel=k), (3, n, n)) == expected
