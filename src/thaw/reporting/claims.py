"""What the earlier reports found, and whether it holds here: claims about two variants, decided by the measurements."""

from collections.abc import Callable
from dataclasses import dataclass

from thaw.reporting.results import Measurement, Results, differs


@dataclass(frozen=True)
class Claim:
    """That one variant has a better value of a metric than another; `source` is where it was claimed."""

    source: str
    better: str
    worse: str
    metric: str = "fid_classifier"


CLAIMS = (
    Claim("000, table 1", "ddpm-small-steps", "ddpm-large-steps"),
    Claim("001, figure 6", "ddpm-cosine", "ddpm-linear"),
    Claim("001, figure 6", "ddpm-cosine", "ddpm-constant"),
    Claim("001, figure 6", "ddpm-cosine", "ddpm-inverse-linear"),
    Claim("001, figure 6", "ddpm-linear", "ddpm-constant"),
    Claim("001, figure 6", "ddpm-linear", "ddpm-inverse-linear"),
    Claim("001, section 2.2.2", "ddpm-linear-unet", "ddpm-linear"),
    Claim("001, section 2.2.2", "ddpm-cosine-unet", "ddpm-cosine"),
    Claim("001, figure 14", "cold-morph-cosine-unet", "ddpm-linear"),
    Claim("000, figure 9", "cold-blur-unet", "ddpm-cosine-unet", "class_preservation_half"),
    Claim("002, future work", "cold-zoom-unet", "cold-zoom-cnn"),
)


def verdict(
    claim: Claim, better: Measurement, worse: Measurement, differ: Callable[[Measurement, Measurement], bool] = differs
) -> str:
    """Whether a claim holds: beyond the noise, within it, or the other way round."""
    sign = -1 if better.metric.better == "higher" else 1
    as_claimed = sign * better.value < sign * worse.value
    if not differ(better, worse):
        return "within the noise"
    words = "holds" if as_claimed else "is the other way round"
    return f"{words}, for these trainings" if 1 in (better.trainings, worse.trainings) else words


def decided(results: Results) -> list[tuple[Claim, Measurement, Measurement, str]]:
    """Every claim whose two variants were measured, with both measurements and the verdict."""
    found = []
    for claim in CLAIMS:
        better, worse = results.find(claim.better, claim.metric), results.find(claim.worse, claim.metric)
        if better and worse:
            found.append((claim, better, worse, verdict(claim, better, worse, results.differs)))
    return found
