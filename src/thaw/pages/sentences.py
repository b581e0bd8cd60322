"""Sentences that state results: each is decided by the measurements, and says where they cannot tell."""

from collections.abc import Sequence

import pandas as pd

from thaw.reporting.metrics import METRICS
from thaw.reporting.results import Measurement, Results, differs, join, ranking_sentence, some

HALFWAY = 0.5
"""The severity, as t/T, at which restorations are compared."""


def diversity_sentence(results: Results) -> str:
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


def memorisation_sentence(results: Results) -> str:
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


def severity_sentence(results: Results, metric: str) -> str:
    """Whether restoring step by step or at once is better halfway, by variant; `metric` is one of plots/severity."""
    stepwise, direct, alike = list[Measurement](), list[Measurement](), list[Measurement]()
    known = METRICS[metric]
    for variant in results.variants:
        both = _halfway(results, variant, metric)
        if both is None:
            continue
        steps, once = both
        better = steps.value > once.value if known.better == "higher" else steps.value < once.value
        (alike if not differs(steps, once) else stepwise if better else direct).append(steps)
    if not (stepwise or direct or alike):
        return "Restorations have not been measured by severity yet."
    clauses = [
        f"{how} for {_listed(found)}"
        for how, found in (
            ("better step by step", stepwise),
            ("better at once", direct),
            ("the same within the noise", alike),
        )
        if found
    ]
    return f"By {known.title}, restorations from t = T/2 are {join(clauses)}."


def _halfway(results: Results, variant: str, metric: str) -> tuple[Measurement, Measurement] | None:
    """What a variant's restorations from halfway score, step by step and at once."""
    path = results.artifacts.severity(variant)
    if not path.exists():
        return None
    table = pd.read_csv(path).query("metric == @metric and tau == @HALFWAY").set_index("restoration")
    if not {"iterative", "direct"} <= set(table.index):
        return None
    rows = table.to_dict("index")
    steps, once = (
        Measurement(variant, METRICS[metric], row["value"], row["low"], row["high"], int(row["n"]), 1, None)
        for row in (rows["iterative"], rows["direct"])
    )
    return steps, once


def likelihood_sentence(results: Results) -> str:
    """Who has the lowest bound on the bits per dimension, and what z_T not being normal noise costs."""
    ranked = results.ranked("bits_per_dim")
    if not ranked:
        return "The bound on the likelihood has not been measured yet."
    text = ranking_sentence(ranked, results.differs)
    terms = {
        m.variant: table.groupby("term")["bits"].sum()
        for m in ranked
        if (path := results.artifacts.likelihood(m.variant)).exists() and not (table := pd.read_csv(path)).empty
    }
    if terms:
        last = next(m for m in reversed(ranked) if m.variant in terms)
        text += (
            f" The highest bound is that of `{last.variant}`, {last.show()}, of which $L_0$, the price of the grey "
            f"levels behind $z_1$, is {last.metric.show(terms[last.variant]['L_0'])}."
        )
        worst = max(terms, key=lambda variant: terms[variant]["L_T"])
        text += (
            f" The term $L_T$, what $z_T$ still tells of the image, is largest for `{worst}`: "
            f"{terms[worst]['L_T']:.2g} bits per dimension."
        )
    return text


def loss_sentence(results: Results) -> str:
    """Where the lowest loss stands by FID, in the largest group that shares degradation, target and network."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for variant in results.variants:
        block = results.params.variant(variant).train
        if results.find(variant, "test_loss") and results.find(variant, "fid_classifier"):
            kind = (block.degradation.name, block.target, block.network.name)
            groups.setdefault(kind, []).append(variant)
    degradation, target, network = max(groups, key=lambda kind: len(groups[kind]), default=("", "", ""))
    members = groups.get((degradation, target, network), [])
    if len(members) < 2:
        return "Too few variants share a target and a network for their losses to be set beside their distances."
    losses = {variant: _value(results, variant, "test_loss") for variant in members}
    order = sorted(members, key=lambda variant: _value(results, variant, "fid_classifier"))
    lowest = min(losses, key=lambda variant: losses[variant])
    place = order.index(lowest) + 1
    shown = METRICS["test_loss"].show(losses[lowest])
    return (
        f"Of the {len(members)} variants of `{degradation}` in which a `{network}` predicts the {target}, "
        f"`{lowest}` has the lowest test loss, {shown}; by FID it is number {place}. "
        f"The best by FID, `{order[0]}`, is number {sorted(losses.values()).index(losses[order[0]]) + 1} by the loss."
    )


def _value(results: Results, variant: str, key: str) -> float:
    found = results.find(variant, key)
    return found.value if found else float("nan")


def _listed(measured: Sequence[Measurement]) -> str:
    """The first few in words, and how many follow."""
    return some([f"`{m.variant}` ({m.show()})" for m in measured])
