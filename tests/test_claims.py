import pytest

from thaw.params import read_params
from thaw.reporting.claims import CLAIMS, Claim, verdict
from thaw.reporting.metrics import METRICS
from thaw.reporting.results import Measurement


def measured(value: float, trainings: int = 3, key: str = "fid_classifier") -> Measurement:
    return Measurement("v", METRICS[key], value, value - 1, value + 1, 1000, trainings, None)


@pytest.mark.parametrize(
    ("first", "second", "key", "expected"),
    [
        (10, 20, "fid_classifier", "holds"),
        (20, 10, "fid_classifier", "is the other way round"),
        (10, 11, "fid_classifier", "within the noise"),
        (20, 10, "ssim", "holds"),
        (10, 20, "ssim", "is the other way round"),
    ],
)
def test_a_claim_holds_only_beyond_the_noise(first: float, second: float, key: str, expected: str) -> None:
    claim = Claim("here", "a", "b", key)
    assert verdict(claim, measured(first, key=key), measured(second, key=key)) == expected


def test_single_trainings_decide_about_trainings() -> None:
    assert verdict(Claim("here", "a", "b"), measured(10, trainings=1), measured(20)) == "holds, for these trainings"


def test_every_claim_is_about_variants_and_metrics_that_there_are() -> None:
    variants = read_params().variants
    for claim in CLAIMS:
        assert {claim.better, claim.worse} <= set(variants)
        assert METRICS[claim.metric].better
