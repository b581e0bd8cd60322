import pytest
import torch
from image_fixtures import Timeless, example, stream
from torch import nn

from thaw.core.cost import multiply_adds
from thaw.degradations.erase import Erase
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.objectives import Adversarial
from thaw.errors import ThawError
from thaw.networks.dcgan import Dcgan
from thaw.params import Choice, Data, Sample, Shape, Train
from thaw.samplers.direct import direct
from thaw.variant import build_degradation, build_network, build_sampling, build_target

DATA = Data(dataset="mnist", path="raw", pixels=16, channels=1, half_range=0.5, validation_fraction=0.2, seed=0)


def generator(shape: Shape = (1, 16, 16), latent: int = 20, width: int = 8) -> Dcgan:
    torch.manual_seed(0)
    return Dcgan(shape=shape, latent=latent, width=width)


# Erase


def test_erasing_leaves_the_image_at_step_zero_and_nothing_of_it_at_step_one() -> None:
    erase = Erase(shape=(3, 8, 8))
    x, source = torch.rand(4, 3, 8, 8), erase.draw_source(4, stream(0), "train")
    z = erase.degrade(x, torch.tensor([0, 1, 1, 0]), source)
    assert torch.equal(z[[0, 3]], x[[0, 3]])
    assert torch.equal(z[[1, 2]], source[[1, 2]])
    assert erase.steps == 1


@pytest.mark.parametrize("steps", [0, 2, "1"])
def test_erase_has_one_step(steps: object) -> None:
    with pytest.raises(ThawError, match=r"variants\.gan\.train\.degradation\.steps"):
        build_degradation(train(degradation=Choice(name="erase", steps=steps)), DATA, "variants.gan.train")


# The networks


@pytest.mark.parametrize(
    ("size", "lowest", "widths"),
    [
        (12, 6, [8]),
        (16, 4, [16, 8]),
        (20, 5, [16, 8]),
        (28, 7, [16, 8]),
        (32, 4, [32, 16, 8]),
        (64, 4, [64, 32, 16, 8]),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_size_of_the_image_sets_the_levels(channels: int, size: int, lowest: int, widths: list[int]) -> None:
    network = generator((channels, size, size))
    assert (network.lowest, network.widths) == (lowest, widths)
    z, _ = example((channels, size, size))
    images = network(z, torch.ones(3))
    assert images.shape == z.shape
    assert network.discriminator()(images).shape == (3, 1)


@pytest.mark.parametrize("size", [11, 18, 36, 44])
def test_sizes_that_are_not_halved_to_4_to_8_pixels_are_refused(size: int) -> None:
    with pytest.raises(ThawError) as caught:
        Dcgan(shape=(1, size, size), key="variants.gan.train.network")
    assert str(caught.value) == (
        f"params.yaml: data.pixels is {size}, but variants.gan.train.network (dcgan) halves it until 4 to 8 pixels are "
        "left; take such a number times a power of 2, as 28, 32 or 64."
    )


def test_a_latent_is_no_longer_than_an_image() -> None:
    assert Dcgan(shape=(1, 12, 12), latent=144).latent == 144
    with pytest.raises(ThawError, match=r"network\.latent is 145, but an image has only 144 values"):
        Dcgan(shape=(1, 12, 12), latent=145)


def test_only_the_latent_is_read_and_never_the_time() -> None:
    network, (z, _) = generator(latent=20), example((1, 16, 16))
    expected = network(z, torch.zeros(3))
    other = z.clone()
    other.flatten(1)[:, 20:] = 0
    assert torch.equal(network(other, torch.ones(3)), expected)
    other.flatten(1)[:, 19] += 1
    assert not torch.allclose(network(other, torch.ones(3)), expected)


def test_images_stay_in_a_range_that_is_kept_with_the_weights() -> None:
    network, (z, _) = generator(), example((1, 16, 16))
    nn.init.constant_(network.layers[-1].bias, 50.0)
    torch.testing.assert_close(network(z, torch.ones(3)), torch.full((3, 1, 16, 16), 0.5))
    network.half_range.fill_(2)
    other = generator()
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(z, torch.ones(3)), torch.full((3, 1, 16, 16), 2.0))


def test_an_image_is_generated_and_judged_alone_as_in_a_batch() -> None:
    network, (z, _) = generator(), example((1, 16, 16), 5)
    critic = network.discriminator()
    images = network(z, torch.ones(5))
    alone = torch.cat([network(z[i : i + 1], torch.ones(1)) for i in range(5)])
    torch.testing.assert_close(images, alone, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(critic(images), torch.cat([critic(alone[i : i + 1]) for i in range(5)]))
    network.eval()
    assert torch.equal(network(z, torch.ones(5)), images), "evaluation is what was trained"


def test_gradient_reaches_every_weight_of_both() -> None:
    network = generator((3, 16, 16))
    critic = network.discriminator()
    critic(network(*example((3, 16, 16)))).sum().backward()
    for module in (network, critic):
        for name, parameter in module.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_weights_begin_as_those_of_dcgan() -> None:
    network = generator(width=64)
    for module in (network, network.discriminator()):
        for name, parameter in module.named_parameters():
            if parameter.dim() > 1:
                assert parameter.std().item() == pytest.approx(0.02, rel=0.1), name
                assert parameter.mean().abs() < 0.002, name


def test_digits_cost_at_most_twelve_million_multiply_adds_in_each_network() -> None:
    network = Dcgan(shape=(1, 28, 28))
    for module in (network, Timeless(network.discriminator())):
        assert 5e6 < multiply_adds(module, (1, 28, 28)) < 12e6


# What goes together


def train(**changes: object) -> Train:
    gan = {
        "degradation": Choice(name="erase"), "target": "adversarial", "network": Choice(name="dcgan", latent=20),
        "ema_decay": 0.99,
    }  # fmt: skip
    return Train.model_validate(gan | changes)


def assembled(block: Train) -> tuple[Degradation, object, nn.Module]:
    degradation = build_degradation(block, DATA, "variants.gan.train")
    target = build_target(block, degradation, "variants.gan.train")
    return degradation, target, build_network(block, (1, 16, 16), "variants.gan.train")


def test_a_gan_is_four_choices_like_any_model() -> None:
    degradation, target, network = assembled(train())
    assert isinstance(target, Adversarial)
    block = Sample(sampler=Choice(name="direct"), latent=Choice(name="normal"), seed=0)
    sampling = build_sampling(block, degradation, "variants.gan.sample")
    assert sampling.sampler is direct
    z, tau = example((1, 16, 16))
    output = network(z, tau)
    assert torch.equal(target.clean(output, z, tau), output)
    with pytest.raises(NotImplementedError):
        target.regress(output, z, tau)


ZOOM = Choice(name="zoom", steps=3)


@pytest.mark.parametrize(
    ("changes", "target", "key", "other"),
    [
        ({"target": "noise"}, "noise", "degradation", "erase"),
        ({"target": "clean"}, "clean", "degradation", "erase"),
        ({"target": "velocity"}, "velocity", "degradation", "erase"),
        ({"degradation": ZOOM}, "adversarial", "degradation", "zoom"),
        ({"network": Choice(name="cnn")}, "adversarial", "network", "cnn"),
        ({"degradation": ZOOM, "target": "clean"}, "clean", "network", "dcgan"),
    ],
)
def test_what_is_erased_the_adversarial_target_and_a_discriminator_go_together(
    changes: dict[str, object], target: str, key: str, other: str
) -> None:
    with pytest.raises(ThawError) as caught:
        assembled(train(**changes))
    assert str(caught.value).startswith(
        f"params.yaml: variants.gan.train.target is {target}, but variants.gan.train.{key}.name is {other}; "
    )
