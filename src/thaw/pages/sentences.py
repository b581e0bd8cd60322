"""Sentences that state results: each is decided by the measurements, and says where they cannot tell."""

from collections.abc import Sequence

from thaw.files import read_csv
from thaw.metrics import METRICS
from thaw.results.differences import BETTER, WORSE, difference, differs
from thaw.results.measurements import Measurement, Results
from thaw.results.wording import join, some

HALFWAY = 0.5
"""The severity, as t/T, at which restorations are compared."""
ALIKE = "the same within the noise"


def ranking_sentence(ranked: Sequence[Measurement]) -> str:
    """State the best of a ranking, its uncertainty, and which of the others it cannot be told apart from."""
    if not ranked:
        return "No variant has been measured yet."
    best = ranked[0]
    word = {"lower": "lowest", "higher": "highest"}[best.metric.better or "lower"]
    sentence = f"{best.named} has the {word} {best.metric.phrase or best.metric.title}, {best.show_interval()}"
    far = [m for m in ranked[1:] if differs(best, m)]
    near = [m for m in ranked[1:] if m not in far]
    if near:
        sentence += f"; its difference to {join([_named(m) for m in near])} is within the noise"
    if far:
        follow = "follow" if len(far) > 1 else "follows"
        sentence += f"{', and' if near else ';'} {_listed(far)} {follow} beyond it"
    return sentence + "."


def ranking(results: Results, key: str) -> str:
    """The sentence that ranks the variants by one metric."""
    return ranking_sentence(results.ranked(key))


def diversity(results: Results) -> str:
    """Whose samples are more alike, or whose classes less even, than real images beyond the noise."""
    parts = []
    for key, less in (("unique_fraction", "more alike"), ("class_entropy", "less even in their classes")):
        real, measured = results.real(key), results.ranked(key)
        if real is None or not measured:
            continue
        below = sorted((m for m in measured if m.value < real.value and differs(m, real)), key=lambda m: m.value)
        whose = f"The samples of {_listed(below)} are" if below else "No variant has samples that are"
        parts.append(f"{whose} {less} than real images ({METRICS[key].title} {real.show()}) beyond the noise.")
    return " ".join(parts) or "The diversity of the samples has not been measured yet."


def memorisation(results: Results) -> str:
    """Whose samples are nearer to training images than new real images are, beyond the noise."""
    key = "memorized_fraction"
    real, measured = results.real(key), results.ranked(key)
    if real is None or not measured:
        return "How near the samples are to the training images has not been measured yet."
    above = sorted((m for m in measured if m.value > real.value and differs(m, real)), key=lambda m: -m.value)
    if not above:
        return (
            f"No variant has more samples that near to a training image than as many new real images, {real.show()}, "
            "beyond the noise: there is no sign that any learned its images by heart."
        )
    return (
        f"New real images come that near to a training image in {real.show()} of cases; {_listed(above)} more often, "
        "beyond the noise. Whether these are copies, or only blurred and thin, their pictures tell."
    )


def severity(results: Results, metric: str) -> str:
    """Whether restoring step by step or at once is better halfway, by variant; `metric` is one of severity.csv.

    Of degradations without a schedule, in which t/T means the same for all.
    """
    groups: dict[str, list[Measurement]] = {"better step by step": [], "better at once": [], ALIKE: []}
    words = {BETTER: "better step by step", WORSE: "better at once"}
    for variant in results.variants:
        if "schedule" in results.params.variant(variant).train.degradation.options:
            continue  # at one t/T, schedules leave different shares of an image
        halfway = {}
        for row in read_csv(results.artifacts.table(variant, "severity")):
            if row["metric"] == metric and float(row["tau"]) == HALFWAY:
                value, low, high = (float(row[name]) for name in ("value", "low", "high"))
                title = results.params.title(variant)
                found = Measurement(variant, METRICS[metric], value, low, high, int(row["n"]), 1, title=title)
                halfway[row["restoration"]] = found
        if {"iterative", "direct"} <= set(halfway):
            verdict = difference(halfway["direct"], halfway["iterative"]).verdict
            groups[words.get(verdict, ALIKE)].append(halfway["iterative"])
    clauses = [f"{how} for {_listed(members)}" for how, members in groups.items() if members]
    if not clauses:
        return "Restorations have not been measured by severity yet."
    return f"By {METRICS[metric].title}, restorations from t = T/2 are {join(clauses)}."


def likelihood(results: Results) -> str:
    """Who has the lowest bound on the bits per dimension, and what z_T not being normal noise costs."""
    ranked = results.ranked("bits_per_dim")
    if not ranked:
        return "The bound on the likelihood has not been measured yet."
    tables = {m.variant: read_csv(results.artifacts.table(m.variant, "likelihood")) for m in ranked}
    first, final = (
        {v: sum(float(row["bits"]) for row in rows if row["term"] == term) for v, rows in tables.items() if rows}
        for term in ("L_0", "L_T")
    )
    if not first:
        return ranking_sentence(ranked)
    last = next(m for m in reversed(ranked) if m.variant in first)
    worst = max(final, key=final.__getitem__)
    return (
        f"{ranking_sentence(ranked)} The highest bound is that of {last.named}, {last.show()}, of which $L_0$, the "
        f"price of the grey levels behind $z_1$, is {last.metric.show(first[last.variant])}. The term $L_T$, what "
        f"$z_T$ still tells of the image, is largest for {results.named(worst)}: {final[worst]:.2g} bits per dimension."
    )


def losses(results: Results) -> str:
    """Where the lowest loss stands by FID, in the largest group that shares degradation, target and network."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for variant in results.variants:
        block = results.params.variant(variant).train
        if results.find(variant, "test_loss") and results.find(variant, "fid_infinite"):
            kind = (block.degradation.name, block.target, block.network.name)
            groups.setdefault(kind, []).append(variant)
    degradation, target, network = max(groups, key=lambda kind: len(groups[kind]), default=("", "", ""))
    members = groups.get((degradation, target, network), [])
    if len(members) < 2:
        return "Too few variants share a target and a network for their losses to be set beside their distances."
    keys = "test_loss", "fid_infinite"
    losses, distances = ({variant: results.measured[variant, key].value for variant in members} for key in keys)
    order = sorted(members, key=lambda variant: distances[variant])
    lowest = min(losses, key=lambda variant: losses[variant])
    place = order.index(lowest) + 1
    shown = METRICS["test_loss"].show(losses[lowest])
    return (
        f"Of the {len(members)} variants of `{degradation}` in which a `{network}` predicts the {target}, "
        f"{results.named(lowest)} has the lowest test loss, {shown}; by FID it is number {place}. "
        f"The best by FID, {results.named(order[0])}, is number "
        f"{sorted(losses.values()).index(losses[order[0]]) + 1} by the loss."
    )


def _named(measurement: Measurement) -> str:
    return f"{measurement.named} ({measurement.show()})"


def _listed(measured: Sequence[Measurement]) -> str:
    """The first few in words, and how many follow."""
    return some([_named(m) for m in measured])
