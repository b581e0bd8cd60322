"""What the pages call to say how far numbers can be trusted: paired differences, wrong protocols, published numbers."""

import numpy as np
import pandas as pd

from thaw.evaluation.intervals import Interval
from thaw.reporting.metrics import METRICS
from thaw.reporting.pairs import excludes_zero, paired
from thaw.reporting.protocol import NAMES, PROTOCOLS, audits, moved, published
from thaw.reporting.provenance import provenance
from thaw.reporting.results import join, results
from thaw.reporting.tables import bracketed, interval, percent, placeholder, table


def differences(metric: str) -> None:
    """Print, for every variant that restores images, its difference to the best one on the same images."""
    found = results()
    ranked, confidence = found.ranked(metric), found.params.evaluation.confidence
    gaps = {
        other: gap
        for other in ranked[1:]
        if (gap := paired(found.artifacts, other.variant, ranked[0].variant, metric, confidence))
    }
    if not gaps:
        placeholder(f"tbl-paired-{metric}", "no two variants have restored the same images.")
        return
    best = ranked[0]
    rows = []
    for other, gap in gaps.items():
        single = 1 in (best.trainings, other.trainings)
        verdict = "no" if not excludes_zero(gap) else "yes, for these trainings" if single else "yes"
        rows.append([f"`{other.variant}`", _signed(gap, metric), verdict])
    title = METRICS[metric].title
    table(
        ["variant", f"{title} minus that of `{best.variant}`", "more than noise"], rows, f"tbl-paired-{metric}",
        f"Differences of {title} to the best variant, `{best.variant}`, in pairs: both restored the same test images, "
        f"so an image that is hard for both does not count. Each interval, of {percent(confidence)}, is for one "
        "comparison; of so many, with the best chosen from the same data, a few lie outside theirs.",
    )  # fmt: skip
    provenance([found.artifacts.restorations(m.variant) for m in (*gaps, best)], "evaluate")


def _signed(gap: Interval, metric: str) -> str:
    digits = METRICS[metric].digits
    return f"{gap.value:+.{digits}f} {bracketed(f'[{gap.low:+.{digits}f}, {gap.high:+.{digits}f}]')}"


def audit() -> None:
    """Print what each faulty protocol did to the scores of the same images, as a table and in sentences."""
    found = results()
    scored = audits(found.artifacts, found.variants)
    changes = moved(scored)
    if not changes:
        placeholder("tbl-audit", "the audit has not been run; `thaw repro` runs it.")
        return
    rows = []
    for change in changes:
        values = np.array(list(change.changes.values()))
        rows.append([
            PROTOCOLS[change.fault], NAMES[change.metric], str(len(values)), change.show(float(np.median(values))),
            f"{change.show(values.min())} to {change.show(values.max())}", str(change.places), f"`{change.best}`",
            f"`{change.faulty_best}`",
        ])  # fmt: skip
    table(
        ["protocol", "metric", "variants", "median change", "range", "places", "best", "best by it"],
        rows, "tbl-audit",
        "The same images under the faulty protocols: how each changes a score, over the variants (a factor for FID and "
        "RMSE, else a difference), by how many places a variant moves at most, and who is best before and after.",
    )  # fmt: skip
    for change in changes:
        print(f"- {change.sentence()}")
    print()
    _single_curves(scored)
    sources = [found.artifacts.audit(variant) for variant in found.variants]
    provenance([source for source in sources if source.exists()], "audit")


def _single_curves(scored: pd.DataFrame) -> None:
    """Print where the normality test of single images would have put the first accepted step."""
    rows = []
    for row in scored[scored["metric"] == "ks_first_t"].to_dict("records"):
        first, low, high = ("never" if pd.isna(row[key]) else f"{row[key]:.0f}" for key in ("faulty", "low", "high"))
        rows.append([f"`{row['variant']}`", f"{row['right']:.0f}", first, f"{low} to {high}"])
    if rows:
        table(
            ["variant", "first t, median", "of the first image", "of any one image"], rows, "tbl-audit-ks",
            "The step from which the Kolmogorov–Smirnov test stays accepted: by the median over all images and draws, "
            "and by the curve of one image and one draw, as far as that is accepted at all.",
        )  # fmt: skip


def published_numbers() -> None:
    """Print the numbers of the earlier reports beside those measured here."""
    found = results()
    rows = []
    for number in published(found.artifacts).to_dict("records"):
        ours = found.find(number["variant"], number["metric"])
        if ours is None and number["metric"] == "fid_inception":
            ours = found.find(number["variant"], "fid_classifier")
        if ours is None:
            continue
        count = "–" if pd.isna(number["n"]) else f"{number['n']:.0f}"
        rows.append([
            f"{number['report']}, {number['place']}", f"`{number['variant']}`", METRICS[number["metric"]].title,
            f"{number['value']:g}", count, f"{ours.show()} {bracketed(interval(ours))}".strip(), str(ours.n),
        ])  # fmt: skip
    if not rows:
        placeholder("tbl-published", "no variant that an earlier report measured has been measured here.")
        return
    table(
        ["where", "variant here", "metric there", "there", "n", "here", "n"], rows, "tbl-published",
        "Numbers of the earlier reports beside ours. Where ours is not in the features of InceptionV3 but in those of "
        "the classifier, only orders compare; most of their models were trained for 50 epochs or more.",
    )  # fmt: skip
    provenance([found.artifacts.published, found.artifacts.summary], "summarize")


def few_images_note() -> None:
    """Print which Fréchet distances come from fewer images than ten for each feature, where there are any."""
    found = results()
    few = [m for metric in METRICS.values() for m in found.ranked(metric.key) if m.of_few_images]
    if few:
        print(
            f"† From fewer than ten images for each of the {join(sorted({str(m.metric.features) for m in few}))} "
            f"features ({min(m.n for m in few)}): compare such distances with the floor and with each other, or take "
            "the extrapolated ones.\n"
        )


def study_floor() -> None:
    """Print what as many real images score as a study measures a condition with."""
    found = results()
    if not found.artifacts.floor.exists():
        return
    count = found.params.budget.study.images
    floors = pd.read_csv(found.artifacts.floor).set_index("n")["fid_classifier"]
    if count in floors:
        print(f"As many real images as a condition has samples, {count}, score {floors[count]:.1f}.\n")
