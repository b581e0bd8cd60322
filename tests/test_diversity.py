import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from thaw.evaluation.classifier import FeatureNetwork, predict
from thaw.evaluation.diversity import DISTINCT, class_shares, unique_fraction


def noise(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) - 0.5


def test_shares_of_classes_are_those_of_the_predictions() -> None:
    torch.manual_seed(0)
    network = FeatureNetwork(1, 5).eval()
    pixels = torch.randint(256, (60, 1, 12, 12), dtype=torch.uint8)
    shares = class_shares(network, pixels)
    assert len(shares) == 5
    assert sum(shares) == pytest.approx(1)
    assert shares[3] == (predict(network, pixels) == 3).double().mean()


def test_the_limit_is_the_distance_that_real_images_keep() -> None:
    """Against scipy's distances."""
    real, images = noise(60), noise(40, 1)
    flat = real[:40].flatten(1).double().numpy()
    distances = cdist(flat, flat)
    distances[range(40), range(40)] = float("inf")
    limit = torch.quantile(torch.from_numpy(distances.min(1)), DISTINCT).item()
    own = images.flatten(1).double().numpy()
    among = cdist(own, own)
    among[range(40), range(40)] = float("inf")
    assert unique_fraction(images, real) == pytest.approx((among.min(1) > limit).mean())


@given(copies=st.integers(0, 10))
def test_repeated_images_are_not_unique(copies: int) -> None:
    images = noise(30)
    images[30 - copies :] = images[:copies]
    assert unique_fraction(images, noise(30, 1)) <= 1 - 2 * copies / 30 + 1e-9


def test_real_images_are_as_unique_as_they_are_by_definition() -> None:
    real = noise(200)
    assert unique_fraction(real, real) == pytest.approx(1 - DISTINCT, abs=0.005)


def test_one_image_again_and_again_is_unique_nowhere() -> None:
    assert unique_fraction(noise(1).expand(20, 1, 8, 8), noise(20)) == 0


@pytest.mark.parametrize(("images", "real"), [(1, 10), (10, 9)])
def test_too_few_images_are_refused(images: int, real: int) -> None:
    with pytest.raises(ValueError, match="at least two images"):
        unique_fraction(noise(images), noise(real))
