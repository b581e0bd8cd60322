"""Claims of the earlier reports: each is decided by the measurements, beyond the noise."""

from dataclasses import replace

import pytest
from comparison_fixtures import measured

from thaw.metrics import METRICS
from thaw.pages import claims
from thaw.pages.claims import CLAIMS, CONFOUNDED, HOLDS, REVERSED, WITHIN, Claim, Decision, Favoured, decided, tally
from thaw.results.layout import Artifacts, find_root
from thaw.results.measurements import Measurement, Results


@pytest.fixture
def found() -> Results:
    return Results(Artifacts(find_root()))


def side(value: float, key: str = "fid_classifier", trainings: int = 3) -> claims.Side:
    return lambda results, metric: measured(value, key=key, trainings=trainings)


@pytest.mark.parametrize(
    ("better", "worse", "key", "expected"),
    [
        (10, 20, "fid_classifier", HOLDS),
        (20, 10, "fid_classifier", REVERSED),
        (10, 11, "fid_classifier", WITHIN),
        (20, 10, "ssim", HOLDS),
        (10, 20, "ssim", REVERSED),
    ],
)
def test_a_claim_holds_only_beyond_the_noise(
    better: float, worse: float, key: str, expected: str, found: Results
) -> None:
    decision = Claim("here", "it is", side(better, key), side(worse, key), key).decide(found)
    assert decision is not None
    assert decision.verdict == expected
    assert METRICS[key].show(better) in decision.because
    assert "*" not in decision.because
    single = Claim("here", "it is", side(better, key, 1), side(worse, key), key).decide(found)
    assert single is not None
    assert single.because.endswith("*") == (expected != WITHIN)


def test_that_two_are_alike_holds_within_the_noise_alone(found: Results) -> None:
    verdicts = [
        decision.verdict
        for worse in (11, 20)
        if (decision := Claim("here", "alike", side(10), side(worse), alike=True).decide(found))
    ]
    assert verdicts == [HOLDS, REVERSED]


def test_a_confounded_claim_gives_its_reason_and_the_numbers(found: Results) -> None:
    decision = Claim("here", "it is", side(10), side(20), confounded="much differs").decide(found)
    assert decision is not None
    assert decision.verdict == CONFOUNDED
    assert decision.because.startswith("much differs; here FID")


def test_what_was_not_measured_is_not_decided(found: Results) -> None:
    nobody: claims.Side = lambda results, metric: None  # noqa: E731
    assert Claim("here", "it is", side(10), nobody).decide(found) is None
    assert Favoured("here", "it is", "no-study", ("a",), (1,)).decide(found) is None
    found.measured.clear()
    left = [claim for claim, _ in decided(found)]
    assert left == [c for c in CLAIMS if isinstance(c, Favoured) or "on the latent" in c.text], "those of studies alone"


@pytest.mark.parametrize(("share", "expected"), [(0.3, HOLDS), (0.1, WITHIN), (0.0, REVERSED)])
def test_favoured_digits_are_more_common_than_even_ones(
    share: float, expected: str, found: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"latent": "a", "n": "100", "class_1": str(share), "class_8": str(share)}
    monkeypatch.setattr(claims, "_table", lambda results, study: [row])
    decision = Favoured("here", "it is", "study", ("a",), (1, 8)).decide(found)
    assert decision == Decision(
        expected,
        f"shares of samples, of which 10 % each would be even: 1: {100 * share:.0f} % and 8: {100 * share:.0f} %",
    )


def test_every_claim_can_be_decided_by_the_committed_results(found: Results) -> None:
    assert [claim for claim, _ in decided(found)] == list(CLAIMS)


def test_the_tally_counts_each_verdict(found: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    verdicts = [HOLDS, HOLDS, WITHIN, CONFOUNDED]
    monkeypatch.setattr(claims, "decided", lambda results: [(CLAIMS[0], Decision(word, "")) for word in verdicts])
    assert tally(found).startswith(
        "Of 4 claims of the earlier reports, 2 hold, 1 lie within the noise, 0 are the other"
    )
    verdicts.clear()
    assert tally(found).startswith("None of the systems")


def test_doctored_results_turn_a_claim_round(found: Results) -> None:
    claim = next(c for c in CLAIMS if c.text.startswith("Cosine makes better samples than linear"))
    of = "ddpm-cosine", "fid_infinite"
    found.measured[of] = replace(found.measured[of], value=1e3, low=1e3 - 1, high=1e3 + 1)
    assert dict(decided(found))[claim].verdict == REVERSED


def test_a_condition_of_a_study_is_a_measurement(found: Results) -> None:
    condition = claims.at("blur-latents", "level")(found, "fid_infinite")
    assert isinstance(condition, Measurement)
    assert condition.metric.key == "fid_classifier"
    assert claims.at("blur-latents", "no such row")(found, "fid_infinite") is None
