"""What the pages of the report call: each function prints Markdown made of artifacts.

A page imports this module and little else of thaw. Where an artifact is missing, or was made with
other parameters than params.yaml has now, its place in the report says so and names what makes it.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from thaw.params import Comparison, VariantStudy
from thaw.reporting import statements
from thaw.reporting.appendix import costs, environment, parameters, word_count
from thaw.reporting.claims import decided
from thaw.reporting.epochs import epoch_times
from thaw.reporting.freshness import STUDY_STAGES, VARIANT_STAGES, in_words, outdated
from thaw.reporting.illustrations import animation, figure
from thaw.reporting.metrics import METRICS
from thaw.reporting.provenance import provenance
from thaw.reporting.results import Results, join, pictures, ranking_sentence, results
from thaw.reporting.tables import (
    best_cell,
    describe,
    interval,
    percent,
    placeholder,
    plain_cell,
    table,
    value,
    warning,
)  # fmt: skip

__all__ = [
    "animation", "claims", "classifier_sentence", "comparison", "confidence", "costs", "definitions", "description",
    "diversity", "environment", "epoch_times", "everything", "figure", "floor_sentence", "likelihood", "losses",
    "measurements", "memorisation", "missing", "parameters", "provenance", "ranking", "results", "severity", "studies",
    "table", "uniqueness", "variants", "word_count",
]  # fmt: skip

UNIQUENESS = {
    "distinct": "like no other at 8 bits",
    "nearest_image": "nearest to its own image",
    "nearest_class": "nearest neighbour of its class",
}
"""The columns of plots/uniqueness/VARIANT.csv that are shown."""


def confidence() -> str:
    """The confidence of every interval, for a sentence: `evaluation.confidence` in per cent."""
    return percent(results().params.evaluation.confidence)


def ranking(key: str) -> None:
    """Print the sentence that ranks the variants by one metric."""
    print(ranking_sentence(results().ranked(key), results().differs) + "\n")


def diversity() -> None:
    """Print whose samples repeat themselves, or lack classes, more than real images do."""
    _say(statements.diversity_sentence)


def memorisation() -> None:
    """Print whose samples are nearer to the training images than new images are."""
    _say(statements.memorisation_sentence)


def severity(metric: str) -> None:
    """Print for whom restoring step by step is better than at once, from t = T/2, by a metric of plots/severity."""
    _say(lambda found: statements.severity_sentence(found, metric))


def likelihood() -> None:
    """Print the ranking by bits per dimension, and what the end of the chain costs."""
    _say(statements.likelihood_sentence)


def losses() -> None:
    """Print where the lowest test loss stands by FID."""
    _say(statements.loss_sentence)


def _say(sentence: Callable[[Results], str]) -> None:
    print(sentence(results()) + "\n")


def claims() -> None:
    """Print a table of what the earlier reports found, and whether it holds here."""
    rows = [
        [f"`{claim.better}`", f"`{claim.worse}`", claim.source,
         f"{METRICS[claim.metric].title} {better.show()} against {worse.show()}: {verdict}"]
        for claim, better, worse, verdict in decided(results())
    ]  # fmt: skip
    if not rows:
        placeholder("tbl-claims", "none of the variants that the earlier reports compared has been measured.")
        return
    header = ["the better", "the worse", "claimed in", "here"]
    table(header, rows, "tbl-claims", "What the earlier reports found, and whether it holds here.", ":--")
    provenance([results().artifacts.summary], "summarize")


def missing() -> None:
    """Print a warning that names the variants and studies without results, or whose results are out of date."""
    found = results()
    if names := found.missing():
        listed = join([f"`{name}`" for name in names])
        warning(
            "Results are missing",
            f"`params.yaml` asks for {listed}, of which there are none: `make report` makes them.",
        )
    asked = found.params.studies
    old = [
        *(name for name in found.params.variants if outdated(found.artifacts, VARIANT_STAGES, name)),
        *(name for name in (*asked.trained, *asked.untrained) if outdated(found.artifacts, STUDY_STAGES, name)),
    ]
    if old:
        listed = join([f"`{name}`" for name in old])
        warning("Results are out of date", f"{listed} ran with other parameters than `params.yaml` has now. {RENEW}")


RENEW = "`make report` brings them up to date."


def _warn_if_outdated(stages: Sequence[str], name: str) -> None:
    """Print which parameters of a variant or a study have changed since it ran, where any have."""
    if changes := outdated(results().artifacts, stages, name):
        listed = "; ".join(map(in_words, changes))
        warning("Out of date", f"What stands here was made with other parameters: {listed}. {RENEW}")


def comparison(keys: Sequence[str], label: str, caption: str) -> None:
    """Print a table of all variants, one column a metric, with intervals and the best of each column in bold.

    Real images have a row where they can be measured in the same way; a dagger marks distances of few images.
    """
    _compare(results().variants, keys, label, caption)


def everything() -> None:
    """Print one table of all that was measured of all variants, which a reader of the HTML can sort by any column."""
    print("::: {.sortable}\n")
    _compare(
        list(results().params.variants), list(METRICS), "tbl-everything",
        f"Everything that was measured of every variant, with {confidence()} intervals; the best of each column among "
        "the variants of the main comparison is bold. @tbl-definitions says what each metric is.",
    )  # fmt: skip
    print(":::\n")


def _compare(variants: Sequence[str], keys: Sequence[str], label: str, caption: str) -> None:
    found = results()
    used = [key for key in keys if any(found.find(variant, key) for variant in variants)]
    if not used:
        placeholder(label, "none of its metrics has been measured; `make report` measures them.")
        return
    best = {key: ranked[0] for key in used if (ranked := found.ranked(key))}
    old = {variant for variant in variants if outdated(found.artifacts, VARIANT_STAGES, variant)}
    header = ["variant", *(METRICS[key].title for key in used)]
    rows = [
        [
            f"`{variant}`{'‡' if variant in old else ''}",
            *(best_cell(found.find(variant, key), best.get(key)) for key in used),
        ]
        for variant in variants
    ]
    real = [found.real(key) for key in used]
    if any(real):
        rows.append(["*real images*", *(measurement.show() if measurement else "–" for measurement in real)])
    table(header, rows, label, caption)
    if old:
        print("‡ Made with other parameters than `params.yaml` has now.\n")
    provenance([found.artifacts.summary, *([found.artifacts.real] if any(real) else [])], "summarize")


def measurements(variant: str) -> None:
    """Print a table of every metric of one variant, with what it was measured on."""
    found = results()
    present = [m for key in METRICS if (m := found.find(variant, key))]
    if not present:
        placeholder(f"tbl-{variant}", f"`dvc repro evaluate@{variant}` measures it.")
        return
    rows = [[m.metric.title, m.show(), interval(m), str(m.n), str(m.trainings or "–")] for m in present]
    header = ["metric", "value", f"{confidence()} interval", "n", "trainings"]
    table(header, rows, f"tbl-{variant}", f"What was measured of `{variant}`.")
    provenance([found.artifacts.metrics(variant), found.artifacts.intervals(variant)], "evaluate")


def description(variant: str) -> None:
    """Print the four choices of a variant as a sentence."""
    block = results().params.variant(variant)
    print(
        f"Degradation {describe(block.train.degradation)}; predicts *{block.train.target}*; network "
        f"{describe(block.train.network)}; sampler {describe(block.sample.sampler)} from the latent "
        f"{describe(block.sample.latent)}.\n"
    )


def variants() -> None:
    """Print one section for every variant of params.yaml, in its order: choices, metrics and pictures."""
    for variant in results().variants:
        print(f"## {variant} {{#sec-{variant}}}\n")
        _warn_if_outdated(VARIANT_STAGES, variant)
        description(variant)
        measurements(variant)
        for name in pictures(results().params, variant):
            figure(f"{name}-{variant}")


def studies() -> None:
    """Print one section for every study of params.yaml: its figure, and its table or that of its variants."""
    asked = results().params.studies
    for key, block in {**asked.trained, **asked.untrained}.items():
        print(f"## {_heading(key)} {{#sec-study-{key}}}\n")
        _warn_if_outdated(STUDY_STAGES, key)
        if isinstance(block, VariantStudy):
            print(f"Study {describe(block)} of `{block.variant}`.\n")
        figure(f"study-{key}")
        _study_table(key)
    for key, compared in asked.compared.items():
        print(f"## {_heading(key)} {{#sec-study-{key}}}\n")
        figure(f"study-{key}")
        _compared_table(key, compared)


def _compared_table(key: str, compared: Comparison) -> None:
    """Print the metrics of the variants that a study sets side by side, one row a metric."""
    found = results()
    for variant in compared.variants:
        _warn_if_outdated(VARIANT_STAGES, variant)
    rows = [
        [METRICS[metric].title, *(plain_cell(found.find(variant, metric)) for variant in compared.variants)]
        for metric in METRICS
        if any(found.find(variant, metric) for variant in compared.variants)
    ]
    if not rows:
        placeholder(f"tbl-study-{key}", "none of its variants has been measured; `make report` measures them.")
        return
    caption = f"{_heading(compared.title)}, with {confidence()} intervals."
    table(["metric", *(f"`{variant}`" for variant in compared.variants)], rows, f"tbl-study-{key}", caption)
    provenance([found.artifacts.summary], "summarize")


def _heading(key: str) -> str:
    words = key.replace("-", " ")
    return words[0].upper() + words[1:]


def _study_table(key: str) -> None:
    """Print the table of a study; the shares of classes stand in its figure."""
    path = results().artifacts.study(key) / "table.csv"
    if not path.exists():
        return
    found = pd.read_csv(path)
    shown = [name for name in map(str, found.columns) if not name.removeprefix("class_").isdigit()]
    rows = [[value(row[name]) for name in shown] for row in found.to_dict("records")]
    header = [name.replace("_", " ") for name in shown]
    table(header, rows, f"tbl-study-{key}", f"{_heading(key)}: the numbers.")
    provenance([path], "study")


def uniqueness() -> None:
    """Print how much of an image its z_T still tells, by degradation."""
    found = results()
    first: dict[str, str] = {}
    for variant in found.variants:
        if found.artifacts.uniqueness(variant).exists():
            first.setdefault(found.params.variant(variant).train.degradation.model_dump_json(), variant)
    if not first:
        placeholder("tbl-uniqueness", "`dvc repro normality` measures it.")
        return
    sources = [found.artifacts.uniqueness(variant) for variant in first.values()]
    measured: list[dict[str, Any]] = [dict(pd.read_csv(path).iloc[0]) for path in sources]
    shown = {name: title for name, title in UNIQUENESS.items() if any(name in values for values in measured)}
    rows = [
        [f"`{variant}`", *(value(values.get(name)) for name in shown)]
        for variant, values in zip(first.values(), measured, strict=True)
    ]
    caption = "How much of an image its $z_T$ still tells, as shares of test images."
    table(["degradation of", *shown.values()], rows, "tbl-uniqueness", caption)
    provenance(sources, "normality")


def definitions() -> None:
    """Print what each metric that was measured is, and which way is better."""
    words = {"lower": "lower is better", "higher": "higher is better", None: "neither lower nor higher is better"}
    measured = {key for _, key in results().measured}
    rows = [
        [metric.title, f"{metric.meaning}; {words[metric.better]}"]
        for metric in METRICS.values()
        if metric.key in measured or not measured
    ]
    table(["metric", "what it is"], rows, "tbl-definitions", "The metrics.", ":--")


def floor_sentence() -> None:
    """Print how far the best Frechet distance is from what real images score."""
    ranked = results().ranked("fid_classifier")
    best = ranked[0] if ranked else None
    if best and best.floor:
        print(
            f"As many real images as there are samples, {best.n}, score {best.metric.show(best.floor)}: the best "
            f"variant, `{best.variant}`, is at {best.value / best.floor:.0f} times that floor.\n"
        )


def classifier_sentence() -> None:
    """Print how good the classifier is, what it tells apart, and which one it is."""
    path = results().artifacts.classifier_metrics
    if not path.exists():
        print("The classifier has not been trained yet; `dvc repro classifier` trains it.\n")
        return
    entry = json.loads(path.read_text())
    task = (
        "by how much they were turned, as the images have no labels" if entry.get("task") == "rotation" else "by class"
    )
    print(
        f"The classifier tells images apart {task}. It is right about {100 * entry['test_accuracy']:.2f} % of "
        f"{entry['test_images']} test images (weights with SHA-256 `{entry['sha256'][:12]}…`); every number that "
        "depends on it was computed with it.\n"
    )
