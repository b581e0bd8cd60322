"""What each study asks, and the answer that its numbers give, in a sentence or two."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from thaw.files import read_csv
from thaw.metrics import METRICS
from thaw.pages.findings import HEADLINE, best_and_next, of, versus, within
from thaw.params import Comparison
from thaw.results.differences import differs
from thaw.results.measurements import Measurement, Results
from thaw.results.wording import join, some

Rows = list[dict[str, str]]
JUMP = 0.5
"""The share of a walk between two latents from which one step of it is called a jump."""


@dataclass(frozen=True)
class Asked:
    """A study's question, which may name the {model} that it is about, its group, and how it is answered."""

    group: str
    question: str
    answer: Callable[[Rows], str]


def measured(row: dict[str, str], key: str, named: str) -> Measurement:
    """A row of a study's table as a measurement of one of its conditions."""
    value, low, high = (float(row[name]) for name in (key, "low", "high"))
    return Measurement(named, METRICS[key], value, low, high, int(row["n"]), 1, title=named)


def conditions(rows: Rows, key: str = "fid_classifier") -> list[Measurement]:
    """The conditions of a study, best first; its first column has their names."""
    found = [measured(row, key, next(iter(row.values()))) for row in rows]
    return sorted(found, key=lambda m: m.value)


def told(measurement: Measurement) -> str:
    """A condition and its value."""
    return f"*{measurement.variant}* ({measurement.show()})"


def ranked(rows: Rows) -> str:
    """Which condition has the lowest distance, what is within its noise, and which is the worst."""
    best, near, far = best_and_next(conditions(rows))
    text = f"The lowest distance is that of {told(best)}"
    text += f", within the noise of {some([told(m) for m in near], 4)}" if near else ""
    return text + (f"; the highest is that of {told(far[-1])}, beyond the noise." if far else ".")


def steps(rows: Rows) -> str:
    """From how many steps on more of them gain nothing beyond the noise, for each sampler."""
    chains: dict[str, list[Measurement]] = {}
    for row in rows:
        sampler, _, count = row["sampler"].rpartition(", ")
        chains.setdefault(sampler, []).append(measured(row, "fid_classifier", count))
    parts = []
    for sampler, found in chains.items():
        best = min(found, key=lambda m: m.value)
        enough = next(m for m in found if not differs(m, best))
        few, many = found[0], found[-1]
        parts.append(
            f"*{sampler}* needs no more than {enough.variant}: {few.show()} with {few.variant}, {enough.show()} with "
            f"{enough.variant} and {many.show()} with {many.variant}"
            if enough is not few
            else f"*{sampler}* gains nothing beyond the noise by more than {few.variant} "
            f"({few.show()}; {many.show()} with {many.variant})"
        )
    return "; ".join(parts) + "."


def clamping(rows: Rows) -> str:
    """Whether the clamp changes the distance of any sampler beyond the noise."""
    found = {row["sampler"]: measured(row, "fid_classifier", row["sampler"]) for row in rows}
    better: list[tuple[str, Measurement, Measurement]] = []
    worse: list[tuple[str, Measurement, Measurement]] = []
    for label, with_clamp in found.items():
        without = found.get(label.removesuffix(", clamp") + ", no clamp")
        if without and without is not with_clamp and differs(with_clamp, without):
            group = better if with_clamp.value < without.value else worse
            group.append((label.removesuffix(", clamp"), with_clamp, without))
    if not better and not worse:
        return "No: with and without it, the distance of every sampler is the same within the noise."
    parts = [
        f"it {verb} {join([f'*{name}* ({a.show()} with it, {b.show()} without)' for name, a, b in group])}"
        for verb, group in (("helps", better), ("harms", worse))
        if group
    ]
    return f"Beyond the noise {' and '.join(parts)}."


def restoration(rows: Rows) -> str:
    """Which way of restoring errs least and which keeps the digit most often, from the most severe step shown."""
    last = rows[-1]["restoration"].rpartition(" = ")[2]
    here = [row for row in rows if row["restoration"].endswith(f" = {last}")]
    names = [row["restoration"].partition(" from ")[0] for row in here]
    errors = sorted((measured(row, "rmse", name) for row, name in zip(here, names, strict=True)), key=lambda m: m.value)
    best, near, _ = best_and_next(errors)
    text = f"From t = {last}, *{best.variant}* has the lowest RMSE, {best.show()}"
    text += f", within the noise of {join([told(m) for m in near])}" if near else ""
    sharp = min(zip(here, names, strict=True), key=lambda pair: abs(float(pair[0]["sharpness"]) - 1))
    text += f"; nearest to the originals in sharpness is *{sharp[1]}* ({float(sharp[0]['sharpness']):.2f} of theirs)"
    if "class_preservation" in here[0]:
        kept = [f"{name} {100 * float(row['class_preservation']):.0f} %" for row, name in zip(here, names, strict=True)]
        text += f". The digit is kept by {join(kept)}"
    return text + "."


def evolution(rows: Rows) -> str:
    """How the error of one prediction grows with the level."""
    first, last = rows[0], rows[-1]
    return (
        f"The further, the worse, and evenly so: RMSE {float(first['rmse']):.3f} from {first['level']}, "
        f"{float(last['rmse']):.3f} from {last['level']}"
        + (
            f", where {100 * float(last['class_preservation']):.0f} % still show their digit"
            if last.get("class_preservation")
            else ""
        )
        + "."
    )


def exact(rows: Rows) -> str:
    """Which schedules leave samples off the data even with the exact denoiser, and whether all steps mend it."""
    reached = [row for row in rows if row["off_data_T"]]
    off = [row for row in reached if float(row["off_data"]) > 0]
    still = [row["schedule"] for row in reached if float(row["off_data_T"]) > 0]
    if not off:
        text = "None: with the exact denoiser, every schedule ends on the data"
    else:
        named = [f"*{row['schedule']}* ({100 * float(row['off_data']):.1f} %)" for row in off]
        text = f"With {off[0]['steps']} steps some samples miss the data under {join(named)}"
    more = f"; at all T steps {'still under ' + join([f'*{name}*' for name in still]) if still else 'none does'}"
    return text + more + ". What a schedule fails by beyond that, its network fails by."


def trivial(rows: Rows) -> str:
    """Between which losses an answer lies that needs no network."""
    order = sorted(rows, key=lambda row: float(row["best_multiple"]))
    low, high = order[0], order[-1]
    return (
        f"By answering with the best multiple of $z_t$, {float(low['best_multiple']):.3f} under *{low['schedule']}* "
        f"and {float(high['best_multiple']):.3f} under *{high['schedule']}*: a loss tells the schedule more than the "
        "model."
    )


def noise(rows: Rows) -> str:
    """What training adds to the prediction of noise, at the first and at the last t."""
    first, last = rows[0], rows[-1]
    before, after = (float(first[f"correlation_{when}"]) for when in ("before", "after"))
    return (
        f"Where little noise is, almost all: at t = {first['t']} the correlation with the true noise is {before:.2f} "
        f"before training and {after:.2f} after; at t = {last['t']}, where z_t is noise, it is "
        f"{float(last['correlation_before']):.2f} even before."
    )


def interpolation(rows: Rows) -> str:
    """How much of the way between two samples is gone in the largest step."""
    largest = max(float(row["largest_share"]) for row in rows)
    how = "with a jump" if largest > JUMP else "without a jump"
    return (
        f"Yes, {how}: of the way between two samples, one of the steps covers at most {100 * largest:.0f} %, over "
        f"{len(rows)} pairs."
    )


def augmentation(rows: Rows) -> str:
    """Whether augmented images still show their digit."""
    last = rows[-1]
    kept = last.get("class_preservation")
    text = f"It moves an image by {float(last['distance']):.2f} in grey values at p = {last['p']}"
    return text + (f" and {100 * float(kept):.0f} % still show their digit." if kept else ".")


ASKED = {
    "exact_denoiser": Asked("Schedules", "Which schedule would fail even a perfect network?", exact),
    "trivial_losses": Asked("Schedules", "How low can a loss be that nobody learned?", trivial),
    "predicted_noise": Asked("Training", "What does training add to the prediction of noise?", noise),
    "augmentation": Asked("Training", "What does augmentation do to a digit?", augmentation),
    "sampling_steps": Asked("Sampling", "How many steps does {model} need?", steps),
    "clamping": Asked("Sampling", "Does it help to clamp the estimate? ({model})", clamping),
    "cold_samplers": Asked("Sampling", "Which cold sampler draws best with {model}?", ranked),
    "terminal_mismatch": Asked("Sampling", "What does it cost {model} to start from pure noise?", ranked),
    "zoom_sampling": Asked("Latents", "Where should zoom start from?", ranked),
    "blur_latents": Asked("Latents", "Where should blur start from?", ranked),
    "morph_latents": Asked("Latents", "Where can new latents for morph come from?", ranked),
    "latent_interpolation": Asked("Latents", "Does {model} pass from one digit to another evenly?", interpolation),
    "restoration": Asked("Restoration", "At once, or step by step? ({model})", restoration),
    "zoom_evolution": Asked("Restoration", "How does one prediction fare at each level of zoom?", evolution),
}
"""By the name of the study."""
GROUPS = tuple(dict.fromkeys(asked.group for asked in ASKED.values()))


def asked(results: Results, key: str) -> Asked | None:
    """What thaw knows of the kind of a study of one model or of none."""
    studies = results.params.studies
    block = studies.trained.get(key) or studies.untrained.get(key)
    return ASKED.get(block.name) if block else None


def group(results: Results, key: str) -> str:
    """The group that a study stands in; a comparison's is what its variants differ in."""
    if known := asked(results, key):
        return known.group
    compared = results.params.studies.compared
    about = compared[key].about if key in compared else []
    for found, block in (("Schedules", "train.degradation"), ("Sampling", "sample")):
        if about and all(path.startswith(block) for path in about):
            return found
    return "Training"


def question(results: Results, key: str) -> str:
    """The title of a study: its question, that of a comparison, or its key where thaw knows neither."""
    studies = results.params.studies
    if known := asked(results, key):
        block = studies.trained.get(key)
        return known.question.format(model=results.params.title(block.variant) if block else "")
    title = studies.compared[key].title if key in studies.compared else key.replace("-", " ")
    return title[0].upper() + title[1:]


def answer(results: Results, key: str) -> str:
    """What a study found, or nothing where it has not run or thaw does not know its kind."""
    if comparison := results.params.studies.compared.get(key):
        return compared(results, comparison)
    known, rows = asked(results, key), read_csv(results.artifacts.study(key) / "table.csv")
    return known.answer(rows) if known and rows else ""


def compared(results: Results, comparison: Comparison) -> str:
    """Which of the variants that are set side by side is best by the headline, and by how much."""
    found = [m for variant in comparison.variants if (m := results.find(variant, HEADLINE))]
    if len(found) < 2:
        return ""
    best, near, far = best_and_next(sorted(found, key=lambda m: m.value))
    text = f"{of(best)} has the lowest {best.metric.name}"
    text += within(near)
    if far:
        text += f"; {_behind(best, far)}"
    return text + "."


def schedule_steps(results: Results) -> str:
    """How the schedules stand at all of their steps, and for which of them few steps are too few."""
    first, last = [], []
    for key, block in results.params.schedule_steps.items():
        rows = read_csv(results.artifacts.study(key) / "table.csv")
        title = results.params.title(block.variant)
        found = [replace(measured(row, "fid_classifier", title), variant=block.variant) for row in rows]
        first += found[:1]
        last += found[-1:]
    if len(last) < 2:
        return ""
    best, near, far = best_and_next(sorted(last, key=lambda m: m.value))
    text = f"At all of its steps, {of(best)} is best"
    text += within(near)
    text += (
        f"; behind, beyond the noise, {'is' if len(far) == 1 else 'are'} {join([of(m) for m in far])}" if far else ""
    )
    helped = [f"{b.named} (from {a.show()} to {b.show()})" for a, b in zip(first, last, strict=True) if differs(a, b)]
    gain = f"More steps help {join(helped)} beyond the noise" if helped else "More steps help none of them"
    return f"{text}. {gain}, so {'the rest of ' if helped else ''}their order is the schedule's and not the sampler's."


def _behind(best: Measurement, far: Sequence[Measurement]) -> str:
    if len(far) == 1:
        return f"{of(far[0])} is behind by {versus(far[0], best).removeprefix('a difference of ')}"
    return f"{join([of(m) for m in far])} are behind, beyond the noise"
