"""What the earlier reports found, and whether it holds here: claims about two variants, decided by the measurements."""

from dataclasses import dataclass

from thaw.results.differences import BETTER, difference
from thaw.results.measurements import Measurement, Results


@dataclass(frozen=True)
class Claim:
    """That one variant has a better value of a metric than another; `source` is where it was claimed."""

    source: str
    better: str
    worse: str
    metric: str = "fid_infinite"


CLAIMS = (
    Claim("000, table 1", "ddpm-small-steps", "ddpm-large-steps"),
    Claim("000, table 1", "ddpm-small-steps", "ddpm-large-steps", "rmse"),
    Claim("000, table 1", "ddpm-small-steps", "ddpm-large-steps", "ssim"),
    Claim("000, table 2", "ddpm-cosine-unet", "cold-blur-unet"),
    Claim("000, table 2", "cold-blur-unet", "ddpm-cosine-unet", "rmse"),
    Claim("000, table 2", "cold-blur-unet", "ddpm-cosine-unet", "ssim"),
    Claim("000, figure 9", "cold-blur-unet", "ddpm-cosine-unet", "class_preservation"),
    Claim("001, figure 6", "ddpm-cosine", "ddpm-linear"),
    Claim("001, figure 6", "ddpm-cosine", "ddpm-constant"),
    Claim("001, figure 6", "ddpm-cosine", "ddpm-inverse-linear"),
    Claim("001, figure 6", "ddpm-linear", "ddpm-constant"),
    Claim("001, figure 6", "ddpm-linear", "ddpm-inverse-linear"),
    Claim("001, section 2.2.2", "cold-morph-cosine-unet", "cold-morph-cosine-unet-1"),
    Claim("001, figure 14", "cold-morph-cosine-unet", "ddpm-linear"),
    Claim("001, section 2.4.1", "ddpm-linear-unet", "ddpm-linear"),
    Claim("001, figure 15", "ddpm-linear-unet", "cold-morph-cosine-unet"),
    Claim("002, figure 4", "ddpm-cosine-capped", "ddpm-linear"),
    Claim("002, figure 13", "ddpm-cosine-capped", "cold-zoom-cnn"),
)
"""In the order of the reports. A metric that their conditions do not fit (losses, above all) has no claim here."""

HOLDS, WITHIN, REVERSED = "holds", "within the noise", "is the other way round"


def verdict(better: Measurement, worse: Measurement) -> str:
    """Whether it holds that the first is better: beyond the noise, within it, or the other way round."""
    found = difference(worse, better)
    if not found.beyond_noise:
        return WITHIN
    words = HOLDS if found.verdict == BETTER else REVERSED
    return f"{words}, for these trainings" if 1 in (better.trainings, worse.trainings) else words


def decided(results: Results) -> list[tuple[Claim, Measurement, Measurement, str]]:
    """Every claim whose two variants were measured, with both measurements and the verdict."""
    pairs = [(c, results.find(c.better, c.metric), results.find(c.worse, c.metric)) for c in CLAIMS]
    return [(claim, better, worse, verdict(better, worse)) for claim, better, worse in pairs if better and worse]


def tally(results: Results) -> str:
    """How many of the claims hold, are within the noise, or are the other way round, in a sentence."""
    verdicts = [verdict for *_, verdict in decided(results)]
    if not verdicts:
        return "None of the variants that the claims are about has been measured against the other."
    count = {word: sum(verdict.startswith(word) for verdict in verdicts) for word in (HOLDS, WITHIN, REVERSED)}
    return (
        f"Of {len(verdicts)} claims whose variants have been measured, the difference is within the noise in "
        f"{count[WITHIN]}; beyond it, the claim holds in {count[HOLDS]} and is the other way round in "
        f"{count[REVERSED]}."
    )
