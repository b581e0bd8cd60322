from dataclasses import replace
from typing import cast

import pytest

from thaw.artifacts import Artifacts, find_root
from thaw.params import read_params
from thaw.reporting import claims
from thaw.reporting.claims import CLAIMS, Claim, decided, tally, verdict
from thaw.reporting.metrics import METRICS
from thaw.reporting.results import Measurement, Results


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


def decided_as(words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    claim, one = Claim("here", "a", "b"), measured(10)
    monkeypatch.setattr(claims, "decided", lambda results: [(claim, one, one, word) for word in words])
    return tally(cast(Results, None))


def test_the_tally_counts_each_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["holds", "holds, for these trainings", "within the noise", "is the other way round, for these trainings"]
    said = decided_as(words, monkeypatch)
    assert said.startswith("Of 4 claims whose variants have been measured, the difference is within the noise in 1;")
    assert said.endswith("the claim holds in 2 and is the other way round in 1.")


def test_nothing_measured_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert decided_as([], monkeypatch).startswith("None of the variants")


def test_doctored_results_turn_a_claim_round() -> None:
    found = Results(Artifacts(find_root()))
    before = {(claim.better, claim.worse, claim.metric): verdict for claim, *_, verdict in decided(found)}
    claim = next(claim for claim in CLAIMS if before.get((claim.better, claim.worse, claim.metric), "") != "")
    assert claim.metric == "fid_classifier", "lower is better"
    of = claim.better, claim.metric
    found.measured[of] = replace(found.measured[of], value=1e3, low=1e3 - 1, high=1e3 + 1)
    after = {(claim.better, claim.worse, claim.metric): verdict for claim, *_, verdict in decided(found)}
    assert after[claim.better, claim.worse, claim.metric].startswith("is the other way round")
