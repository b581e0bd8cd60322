"""Claims of the earlier reports hold only beyond the noise."""

from dataclasses import replace
from typing import cast

import pytest
from comparison_fixtures import measured

from thaw.metrics import METRICS
from thaw.pages import claims
from thaw.pages.claims import CLAIMS, Claim, decided, tally, verdict
from thaw.params import read_params
from thaw.results.layout import Artifacts, find_root
from thaw.results.measurements import Results


@pytest.mark.parametrize(
    ("first", "second", "key", "trainings", "expected"),
    [
        (10, 20, "fid_classifier", 3, "holds"),
        (20, 10, "fid_classifier", 3, "is the other way round"),
        (10, 11, "fid_classifier", 3, "within the noise"),
        (20, 10, "ssim", 3, "holds"),
        (10, 20, "ssim", 3, "is the other way round"),
        (10, 20, "fid_classifier", 1, "holds, for these trainings"),
    ],
)
def test_a_claim_holds_only_beyond_the_noise(
    first: float, second: float, key: str, trainings: int, expected: str
) -> None:
    assert verdict(measured(first, key=key, trainings=trainings), measured(second, key=key)) == expected


def test_every_claim_is_about_variants_and_metrics_that_there_are() -> None:
    variants = read_params().variants
    for claim in CLAIMS:
        assert {claim.better, claim.worse} <= set(variants)
        assert METRICS[claim.metric].better


def test_the_tally_counts_each_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["holds", "holds, for these trainings", "within the noise", "is the other way round, for these trainings"]
    claim, one = Claim("here", "a", "b"), measured(10)
    monkeypatch.setattr(claims, "decided", lambda results: [(claim, one, one, word) for word in words])
    said = tally(cast(Results, None))
    assert said.startswith("Of 4 claims whose variants have been measured, the difference is within the noise in 1;")
    assert said.endswith("the claim holds in 2 and is the other way round in 1.")
    words.clear()
    assert tally(cast(Results, None)).startswith("None of the variants")


def test_doctored_results_turn_a_claim_round() -> None:
    found = Results(Artifacts(find_root()))
    claim = decided(found)[0][0]
    assert claim.metric == "fid_infinite", "lower is better"
    of = claim.better, claim.metric
    found.measured[of] = replace(found.measured[of], value=1e3, low=1e3 - 1, high=1e3 + 1)
    after = {claim: verdict for claim, *_, verdict in decided(found)}
    assert after[claim].startswith("is the other way round")
