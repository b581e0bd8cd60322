"""What the report finds: sentences about the variants, each decided by the measurements.

A finding whose measurements are missing is left out.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from thaw.figures.families import family, kind
from thaw.files import read_csv
from thaw.params import Train
from thaw.results.differences import BETTER, difference, differs
from thaw.results.measurements import Measurement, Results
from thaw.results.runs import read_run
from thaw.results.wording import join, many

HEADLINE = "fid_infinite"
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NETWORKS = {"cnn": "CNN", "convnext_unet": "U-Net", "attention_unet": "attention U-Net", "dcgan": "DCGAN"}
"""What readers call the networks."""


def of(measurement: Measurement) -> str:
    """A variant and its value, for a list."""
    return f"{measurement.named} ({measurement.show()})"


def best_and_next(ranked: Sequence[Measurement]) -> tuple[Measurement, list[Measurement], list[Measurement]]:
    """The first of a ranking, those it cannot be told apart from, and the rest."""
    best = ranked[0]
    near = [m for m in ranked[1:] if not differs(best, m)]
    return best, near, [m for m in ranked[1:] if m not in near]


def within(near: Sequence[Measurement]) -> str:
    """Whom a measurement cannot be told apart from, as the end of a clause."""
    return f", within the noise of {join([of(m) for m in near])}" if near else ""


def versus(better: Measurement, worse: Measurement) -> str:
    """The difference between two measurements and its interval, or that it is within the noise."""
    found = difference(worse, better)
    if found.gap is None or not found.beyond_noise:
        return "a difference within the noise"
    value, bounds = found.gap.show(better.metric)
    return f"a difference of {value} \\{bounds[:-1]}\\]".replace("-", "−").replace("+", "")


def chosen(results: Results, **wanted: str) -> list[Measurement]:
    """The ranking of the variants of the main comparison whose train block has these names, by the headline."""

    def fits(train: Train) -> bool:
        names = {"network": train.network.name, "degradation": train.degradation.name, "target": train.target}
        return all(names[key] == value for key, value in wanted.items())

    return [m for m in results.ranked(HEADLINE) if fits(results.params.variant(m.variant).train)]


def cold(results: Results) -> list[Measurement]:
    """The ranking of cold diffusion."""
    return [m for m in chosen(results, target="clean") if kind(results.params, m.variant) != "gaussian"]


def winner(results: Results) -> str:
    """Which model is best, by how much, and how far it is from real digits."""
    ranked = results.ranked(HEADLINE)
    if not ranked:
        return ""
    best, near, far = best_and_next(ranked)
    text = f"{best.named} makes the best digits: {best.metric.name} {best.show_interval()}"
    if real := results.real(HEADLINE):
        text += f", where real images have {real.show()} and 0 is perfect"
    legible, genuine = results.find(best.variant, "legible"), results.real("legible")
    if legible:
        text += f"; {100 * legible.value:.0f} % of its samples are legible"
        text += f", of real digits {100 * genuine.value:.0f} %" if genuine else ""
    if near:
        text += f". It cannot be told apart from {join([of(m) for m in near])}"
    if far:
        text += f". Next comes {of(far[0])}: {versus(best, far[0])}"
    return text + "."


def schedules(results: Results) -> str:
    """What the noise schedule does, with one network."""
    ranked = chosen(results, network="cnn", degradation="gaussian_noise")
    if len(ranked) < 2:
        return ""
    best, near, far = best_and_next(ranked)
    text = f"Of {_number(len(ranked))} noise schedules with the same network and budget, {of(best)} is best"
    text += within(near)
    if far:
        last = ranked[-1]
        text += f"; the worst, {of(last)}, is {last.value / best.value:.1f} times as far from real digits"
    linear = next((m for m in ranked if m.variant == "ddpm-linear"), None)
    if linear and linear is not best and linear in far:
        text += f". The linear schedule has {linear.show()}: {versus(best, linear)}"
    return text + "."


def networks(results: Results) -> str:
    """What the network does, under one schedule."""
    ranked = [m for m in chosen(results, degradation="gaussian_noise") if _schedule(results, m) == "linear"]
    if len({results.params.variant(m.variant).train.network.name for m in ranked}) < 2:
        return ""
    best, near, far = best_and_next(ranked)
    text = f"Under the linear schedule, {of(best)} is best"
    text += within(near)
    if far:
        text += f"; beyond the noise follow{'s' if len(far) == 1 else ''} {join([of(m) for m in far])}"
    return text + "."


def cold_against_noise(results: Results) -> str:
    """How cold diffusion does beside DDPM with the same network."""
    ranked, noise = cold(results), chosen(results, network="convnext_unet", degradation="gaussian_noise")
    if not ranked or not noise:
        return ""
    first, reference = ranked[0], noise[0]
    if difference(reference, first).verdict == BETTER:
        text = f"Cold diffusion draws better than DDPM: {of(first)} beats {of(reference)} with the same network"
    elif not differs(reference, first):
        text = f"The best cold diffusion, {of(first)}, is within the noise of {of(reference)} with the same network"
    else:
        text = f"No cold diffusion draws as well as DDPM: the best, {of(first)}, stays behind {of(reference)}"
    text += f" ({versus(*sorted((first, reference), key=lambda m: m.value))})"
    return text + (f"; the worst is {of(ranked[-1])}" if len(ranked) > 1 else "") + "."


def adversarial(results: Results) -> str:
    """Where the GAN stands, and what it costs to draw from."""
    gan, ranked = chosen(results, target="adversarial"), results.ranked(HEADLINE)
    if not gan or len(ranked) < 2:
        return ""
    place = ranked.index(gan[0]) + 1
    text = f"The GAN, {of(gan[0])}, is number {place} of {len(ranked)}"
    best = next(m for m in ranked if m.variant != gan[0].variant)
    times = [_seconds(results, m.variant) for m in (gan[0], best)]
    if all(times):
        text += f" and draws 1000 digits in {_duration(times[0])}, for which {best.named} takes {_duration(times[1])}"
    return text + "."


def restorations(results: Results) -> str:
    """Which cold degradation is undone best, from where as much is left of the image."""
    key = "class_preservation_matched"
    ranked = [m for m in results.ranked(key) if family(results.params, m.variant) == "cold diffusion"]
    if len(ranked) < 2:
        return ""
    best, near, far = best_and_next(ranked)
    text = f"Of the cold degradations, {of(best)} keeps the digit most often"
    text += within(near)
    return text + (f"; least often {of(far[-1])}" if far else "") + "."


def what_mattered(results: Results) -> str:
    """By how much each thing that was varied alone changes the distance, the largest first."""
    spans = []
    for comparison in results.params.studies.compared.values():
        found = [m for v in comparison.variants if (m := results.find(v, HEADLINE))]
        if len(found) == len(comparison.variants):
            low, high = (pick(found, key=lambda m: m.value) for pick in (min, max))
            spans.append((high.value / low.value, comparison.title, differs(low, high)))
    if not spans:
        return ""
    told = [f"{title} (a factor of {factor:.1f})" for factor, title, told in sorted(spans, reverse=True) if told]
    same = [title for _, title, told in sorted(spans, reverse=True) if not told]
    parts = [f"What changes the distance most between its best and its worst: {join(told)}."] if told else []
    return " ".join(parts + ([f"Within the noise: {join(same)}."] if same else []))


def findings(results: Results) -> list[str]:
    """The findings of the first screen."""
    told = {
        "The best": winner, "What decides": what_decides, "Schedules": schedules, "Networks": networks,
        "Cold diffusion": cold_against_noise, "GAN": adversarial,
    }  # fmt: skip
    return [f"**{about}.** {sentence}" for about, find in told.items() if (sentence := find(results))]


def budget(results: Results) -> str:
    """What the results cost to make, in a line."""
    params = results.params
    epochs = _per_network(results)
    runs = [_run(results, variant) for variant in params.variants]
    seconds = sum(run[stage]["seconds"] for run in runs for stage in ("train", "sample", "evaluate") if stage in run)
    trainings = sum(len(params.train_budget(variant).seeds) for variant in params.variants)
    text = f"{many(trainings, 'training')} of {many(len(params.variants), 'variant')}: {join(epochs)}"
    steps = sorted({params.sampling_steps(variant) for variant in results.variants} - {1})
    text += f"; sampled in at most {steps[-1]} steps, {params.budget.sample.images} images a training" if steps else ""
    return text + (f"; {seconds / 3600:.1f} hours of one processor core in all." if seconds else ".")


def limits(results: Results) -> list[str]:
    """What these results cannot say, as far as it follows from the parameters and the measurements."""
    params = results.params
    single = [m for m in results.ranked(HEADLINE) if m.trainings == 1]
    several = len(results.ranked(HEADLINE)) - len(single)
    found = [
        f"**One data set.** All images are of `{params.data.dataset}`, {params.data.pixels} × {params.data.pixels} "
        "pixels each: what decides here need not decide for photographs.",
        f"**Few trainings.** {len(single)} of {len(single) + several} variants were trained once. Their intervals are "
        "of the samples, not of the training, so a small difference may be the seed's.",
        "**Small networks, short trainings.** "
        + join(_per_network(results))
        + ". An order that holds at this budget may change at ten times as much.",
        "**One judge.** The distances are taken in the features of a classifier of the same digits, and the share of "
        "legible samples by others; both see what classifiers see.",
    ]
    return found if results.ranked(HEADLINE) else []


def conclusion(results: Results) -> str:
    """What to take from all of it."""
    ranked = results.ranked(HEADLINE)
    if not ranked:
        return "Nothing has been measured yet, so there is nothing to conclude."
    return f"To draw digits with a budget like this one, take {of(ranked[0])}. {what_decides(results)}".strip()


def what_decides(results: Results) -> str:
    """Which of the choices changes the distance most, from its best to its worst."""
    effects = [_spread(chosen(results, network="cnn", degradation="gaussian_noise"), "schedule")]
    linear = [m for m in chosen(results, degradation="gaussian_noise") if _schedule(results, m) == "linear"]
    effects.append(_spread(linear, "network"))
    effects.append(_spread([*cold(results), *chosen(results, network="convnext_unet")], "degradation"))
    known = sorted((effect for effect in effects if effect), reverse=True)
    if known:
        order = [f"the {what} (from best to worst a factor of {factor:.1f})" for factor, what in known]
        return f"What to choose with most care is {order[0]}{f', then {join(order[1:])}' if order[1:] else ''}."
    return ""


def _spread(found: Sequence[Measurement], what: str) -> tuple[float, str] | None:
    values = [m.value for m in found]
    return (max(values) / min(values), what) if len(values) > 1 and min(values) > 0 else None


def _schedule(results: Results, measurement: Measurement) -> str:
    options: dict[str, Any] = results.params.variant(measurement.variant).train.degradation.options
    return str(options.get("schedule", {}).get("name", ""))


def _per_network(results: Results) -> list[str]:
    """The images that each kind of network of the main comparison sees."""
    used = dict.fromkeys(results.params.variant(v).train.network.name for v in results.variants)
    images = training_images(results)
    found = []
    for name in used:
        seen = results.params.budget.train[name].images
        found.append(
            f"{seen / 1000:g} 000 images {f'({seen / images:.2g} epochs) ' if images else ''}for each "
            f"{NETWORKS.get(name, f'`{name}`')}"
        )
    return found


def training_images(results: Results) -> int:
    """How many images training sees; 0 where the stage `reference` has not counted them."""
    data = results.params.data
    levels = read_csv(results.artifacts.reference("levels.csv"))
    return sum(int(row["count"]) for row in levels) // (data.channels * data.pixels**2)


def _run(results: Results, variant: str) -> dict[str, Any]:
    return read_run(results.artifacts.run(variant))


def _seconds(results: Results, variant: str) -> float:
    """How long 1000 images took, as far as that is known."""
    run = _run(results, variant).get("sample", {})
    return 1000 * float(run["seconds"]) / int(run["images"]) if run.get("images") else 0.0


def _duration(seconds: float) -> str:
    return f"{seconds:.2g} seconds" if seconds < 90 else f"{seconds / 60:.2g} minutes"


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def listed(sentences: Iterable[str]) -> str:
    """Sentences as a list."""
    return "\n".join(f"- {sentence}" for sentence in sentences)
