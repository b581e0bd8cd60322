"""What the earlier reports found by comparing systems that are compared here, and whether it holds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thaw.files import read_csv
from thaw.metrics import METRICS
from thaw.results.differences import BETTER, difference
from thaw.results.measurements import Measurement, Results
from thaw.results.wording import join

HOLDS, WITHIN, REVERSED, CONFOUNDED = "holds", "within the noise", "the other way round", "confounded"
VERDICTS = (HOLDS, WITHIN, REVERSED, CONFOUNDED)
EVEN = 0.1
"""The share of each of ten digits among even samples."""

Side = Callable[[Results, str], Measurement | None]


@dataclass(frozen=True)
class Decision:
    """A claim's verdict, and the numbers and the reason that it rests on."""

    verdict: str
    because: str


@dataclass(frozen=True)
class Claim:
    """That one side scores better than another by a metric, in the report's words; `source` is where it stands.

    With `alike` it is that they score about the same. `confounded` says what else differs in the earlier report, so
    that a difference there shows nothing; our numbers are given all the same.
    """

    source: str
    text: str
    better: Side
    worse: Side
    metric: str = "fid_infinite"
    alike: bool = False
    confounded: str = ""

    def decide(self, results: Results) -> Decision | None:
        """The verdict; None where a side has not been measured."""
        better, worse = self.better(results, self.metric), self.worse(results, self.metric)
        if better is None or worse is None:
            return None
        found = difference(worse, better)
        numbers = f"{better.metric.short} {better.show()} {better.bounds} against {worse.show()} {worse.bounds}"
        numbers = numbers.replace("[", "\\[").replace("]", "\\]")
        if self.confounded:
            return Decision(CONFOUNDED, f"{self.confounded}; here {numbers}")
        if self.alike:
            verdict = HOLDS if not found.beyond_noise else REVERSED
        else:
            verdict = WITHIN if not found.beyond_noise else HOLDS if found.verdict == BETTER else REVERSED
        single = found.beyond_noise and 1 in (better.trainings, worse.trainings)
        return Decision(verdict, numbers + (" \\*" if single else ""))


@dataclass(frozen=True)
class Favoured:
    """That the samples of some conditions of a study show some digits more often than others."""

    source: str
    text: str
    study: str
    conditions: tuple[str, ...]
    digits: tuple[int, ...]

    def decide(self, results: Results) -> Decision | None:
        """Holds where the digits together are more common than if all were alike, beyond two standard errors."""
        rows = {next(iter(row.values())): row for row in _table(results, self.study)}
        found = [rows[name] for name in self.conditions if f"class_{self.digits[0]}" in rows.get(name, {})]
        if not found:
            return None
        shares = [sum(float(row[f"class_{digit}"]) for row in found) / len(found) for digit in self.digits]
        expected, count = EVEN * len(self.digits), sum(int(row["n"]) for row in found)
        margin = 2 * (expected * (1 - expected) / count) ** 0.5
        beyond = sum(shares) - expected
        told = join([f"{digit}: {100 * share:.0f} %" for digit, share in zip(self.digits, shares, strict=True)])
        verdict = HOLDS if beyond > margin else REVERSED if beyond < -margin else WITHIN
        return Decision(verdict, f"shares of samples, of which 10 % each would be even: {told}")


def of(variant: str) -> Side:
    """A variant of params.yaml."""
    return lambda results, metric: results.find(variant, metric)


def at(study: str, condition: str) -> Side:
    """A condition of a study, by its Fréchet distance, whose interval is for infinitely many samples."""

    def find(results: Results, metric: str) -> Measurement | None:
        for row in _table(results, study):
            if next(iter(row.values())) == condition:
                value, low, high = (float(row[name]) for name in ("fid_classifier", "low", "high"))
                return Measurement(condition, METRICS["fid_classifier"], value, low, high, int(row["n"]), 1)
        return None

    return find


def _table(results: Results, study: str) -> list[dict[str, str]]:
    return read_csv(results.artifacts.study(study) / "table.csv")


LOSSES = "losses of different schedules measure different tasks"
NETWORKS = "the networks differ too"
SMALL, LARGE = of("ddpm-small-steps"), of("ddpm-large-steps")
LINEAR, COSINE, CAPPED = of("ddpm-linear"), of("ddpm-cosine"), of("ddpm-cosine-capped")
BLUR, NOISE = of("cold-blur-unet"), of("ddpm-cosine-unet")
MORPH, ZOOM = of("cold-morph-cosine-unet"), at("zoom-sampling", "pixels")

CLAIMS: Sequence[Claim | Favoured] = (
    Claim("000, table 1", "Small steps (β = 0.001) make better samples than large ones (0.1).", SMALL, LARGE),
    Claim("000, table 1", "Small steps restore with a lower RMSE.", SMALL, LARGE, "rmse",
          confounded="with small steps, $z_T$ still holds a faint image"),
    Claim("000, table 1", "Small steps restore with a higher PSNR.", SMALL, LARGE, "psnr",
          confounded="with small steps, $z_T$ still holds a faint image"),
    Claim("000, table 2", "DDPM makes better samples than blur from uniform images.", NOISE,
          at("blur-latents", "level + 0.002 noise"), "fid_classifier"),
    Claim("000, table 2", "Blur restores with a lower RMSE than DDPM.", BLUR, NOISE, "rmse"),
    Claim("000, table 2", "Blur restores with a higher SSIM than DDPM.", BLUR, NOISE, "ssim"),
    Claim("000, table 2", "Blur restores with a higher PSNR than DDPM.", BLUR, NOISE, "psnr"),
    Claim("000, section 4", "Blur keeps the digit (7 of 8), DDPM does not.", BLUR, NOISE, "class_preservation"),
    Claim("001, figure 6", "Cosine makes better samples than linear.", COSINE, LINEAR),
    Claim("001, figure 6", "Cosine makes better samples than a constant schedule.", COSINE, of("ddpm-constant")),
    Claim("001, figure 6", "Cosine makes better samples than inverse linear.", COSINE, of("ddpm-inverse-linear")),
    Claim("001, figure 6", "Linear makes better samples than a constant schedule.", LINEAR, of("ddpm-constant")),
    Claim("001, figure 6", "Linear makes better samples than inverse linear.", LINEAR, of("ddpm-inverse-linear")),
    Claim("001, section 2.2.2", "A kernel of 3 is better than one of 1.", MORPH, of("cold-morph-cosine-unet-1")),
    Claim("001, figure 12", "Morph with the cosine schedule is better than with the linear one.", MORPH,
          of("cold-morph-linear-unet")),
    Claim("001, figure 14", "Morph makes better samples than DDPM.", MORPH, LINEAR, confounded=NETWORKS),
    Claim("001, section 2.4.1", "DDPM gains by the U-Net.", of("ddpm-linear-unet"), LINEAR),
    Claim("001, figure 15", "With the U-Net, DDPM is better than morph.", of("ddpm-linear-unet"), MORPH),
    Claim("001, section 2.4.2", "Noise of λ = 0.01 on the latent is better than 0.1.",
          at("morph-latents", "image + 0.01 noise"), at("morph-latents", "image + 0.1 noise")),
    Claim("001, section 2.4.2", "Noise of λ = 0.01 on the latent is better than 0.001.",
          at("morph-latents", "image + 0.01 noise"), at("morph-latents", "image + 0.001 noise")),
    Favoured("001, section 2.4.2", "Means of several latents tend to 3 and 8.", "morph-latents",
             ("mean of 5", "mean of 10", "mean of 20"), (3, 8)),
    Claim("002, figure 3", "The cosine schedule has a lower loss than the linear one.", CAPPED, LINEAR, "test_loss",
          confounded=LOSSES),
    Claim("002, figure 4", "Cosine makes better samples than linear.", CAPPED, LINEAR),
    Claim("002, figure 13", "DDPM with the cosine schedule is better than zoom.", CAPPED, ZOOM, "fid_classifier"),
    Claim("002, figure 13", "Zoom is about as good as DDPM with the linear schedule.", ZOOM, LINEAR, "fid_classifier",
          alike=True),
    Favoured("002, section 3.3", "Samples of zoom are mostly 1, 8 and 9.", "zoom-sampling", ("pixels",), (1, 8, 9)),
    Claim("003, conclusion", "A GAN succeeds within a budget in which a DDPM does not.", of("gan-dcgan"),
          of("ddpm-attention-unet"), confounded="its DDPM saw three epochs of a twentieth of the images"),
)  # fmt: skip
"""In the order of the reports; 004 compares nothing."""


def decided(results: Results) -> list[tuple[Claim | Favoured, Decision]]:
    """Every claim whose sides have been measured, with its verdict."""
    return [(claim, decision) for claim in CLAIMS if (decision := claim.decide(results))]


def tally(results: Results) -> str:
    """How many of the claims hold, are within the noise, are the other way round, or were confounded."""
    verdicts = [decision.verdict for _, decision in decided(results)]
    if not verdicts:
        return "None of the systems that the claims are about has been measured against the other."
    count = {word: verdicts.count(word) for word in VERDICTS}
    return (
        f"Of {len(verdicts)} claims of the earlier reports, {count[HOLDS]} hold, {count[WITHIN]} lie within the noise, "
        f"{count[REVERSED]} are the other way round, and {count[CONFOUNDED]} were confounded: more than one thing "
        "differed, or the number does not compare."
    )
