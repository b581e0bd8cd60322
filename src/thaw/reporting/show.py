"""What the pages of the report call: each function prints Markdown made of artifacts.

A page imports this module and nothing else of thaw. Where an artifact is missing, its place in the report says so, and
names the command that makes it.
"""

import functools
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from thaw.artifacts import Artifacts, find_root
from thaw.params import Choice, VariantStudy
from thaw.reporting.claims import decided
from thaw.reporting.metrics import METRICS
from thaw.reporting.results import Measurement, Results, join, pictures, ranking_sentence

UNIQUENESS = {
    "distinct": "like no other at 8 bits",
    "nearest_image": "nearest to its own image",
    "nearest_class": "nearest neighbour of its class",
}
"""The columns of plots/uniqueness/VARIANT.csv that are shown."""


@functools.cache
def results() -> Results:
    """The results of the project that the report stands in."""
    return Results(Artifacts(find_root()))


def _artifacts() -> Artifacts:
    return results().artifacts


def figure(name: str) -> None:
    """Print a figure with its caption, its alternative text, its label `fig-NAME` and its provenance."""
    captions = _artifacts().figures / "captions.json"
    known: dict[str, Any] = json.loads(captions.read_text()) if captions.exists() else {}
    if name not in known:
        print(f"::: {{#fig-{name}}}\n\n*This figure is not there yet: `thaw repro` makes what it is drawn from.*\n")
        print(f"Missing: {name}.\n\n:::\n")
        return
    entry = known[name]
    # Quarto copies what stands below report/, and nothing beside it.
    copies = _artifacts().report / "figures"
    copies.mkdir(exist_ok=True)
    shutil.copyfile(_artifacts().figures / f"{name}.png", copies / f"{name}.png")
    alt = entry["alt"].replace('"', "'")
    print(f'![{entry["caption"]}](figures/{name}.png){{#fig-{name} fig-alt="{alt}"}}\n')
    provenance([_artifacts().root / source for source in entry["sources"]], "figures")


def provenance(sources: Sequence[Path], stage: str) -> None:
    """Print where a figure or table came from: its stage, its artifacts, and the revision that last changed them."""
    root = _artifacts().root
    names = [source.relative_to(root).as_posix() for source in sources]
    folders = sorted({name.rsplit("/", 1)[0] if len(names) > 1 else name for name in names})
    if len(folders) > 4:
        folders = sorted({name.split("/", 1)[0] for name in names})
    listed = join([f"`{name}`" for name in folders])
    print(f"::: {{.provenance}}\nStage `{stage}`, from {listed} at {_revision(root, names)}.\n:::\n")


def _revision(root: Path, names: list[str]) -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments, "--", *names], cwd=root, capture_output=True, text=True)
        return done.stdout.strip()

    try:
        revision = git("log", "-1", "--format=%h")
        changed = git("status", "--porcelain")
    except FileNotFoundError:
        return "an unknown revision"
    if not revision:
        return "no revision yet"
    return f"revision `{revision}`" + (" with changes that are not committed" if changed else "")


def ranking(key: str) -> None:
    """Print the sentence that ranks the variants by one metric."""
    print(ranking_sentence(results().ranked(key), results().differs) + "\n")


def claims() -> None:
    """Print a table of what the earlier reports found, and whether it holds here."""
    rows = [
        [f"`{claim.better}`", f"`{claim.worse}`", claim.source,
         f"{METRICS[claim.metric].title} {better.show()} against {worse.show()}: {verdict}"]
        for claim, better, worse, verdict in decided(results())
    ]  # fmt: skip
    if rows:
        header = ["the better", "the worse", "claimed in", "here"]
        table(header, rows, "tbl-claims", "What the earlier reports found, and whether it holds here.", ":--")
        provenance([_artifacts().summary], "summarize")


def missing() -> None:
    """Print a warning that names the variants without results, where there are any."""
    if names := results().missing():
        print("::: {.callout-warning}\n## Results are missing\n")
        print(
            f"{join([f'`{name}`' for name in names])} of `params.yaml` has no results yet; `make report` makes them.\n"
        )
        print(":::\n")


def comparison(keys: Sequence[str], label: str, caption: str) -> None:
    """Print a table of all variants, one column a metric, with intervals and the best of each column in bold.

    Real images have a row where they can be measured in the same way; a dagger marks distances of few images.
    """
    found = results()
    used = [key for key in keys if found.ranked(key)]
    header = ["variant", *(METRICS[key].title for key in used)]
    rows = [[f"`{variant}`", *(_cell(found, variant, key) for key in used)] for variant in found.variants]
    real = [found.real(key) for key in used]
    if any(real):
        rows.append(["*real images*", *(measurement.show() if measurement else "–" for measurement in real)])
    table(header, rows, label, caption)
    provenance([found.artifacts.summary, *([found.artifacts.real] if any(real) else [])], "summarize")


def _cell(found: Results, variant: str, key: str) -> str:
    measurement = found.find(variant, key)
    if measurement is None:
        return "–"
    text = measurement.show()
    if METRICS[key].better and measurement == found.ranked(key)[0]:
        text = f"**{text}**"
    if measurement.of_few_images:
        text += "†"
    return f"{text} {bracketed(interval(measurement))}".strip()


def bracketed(bounds: str) -> str:
    """An interval in brackets as the page styles it: small, and its brackets no link."""
    return f"[\\{bounds[:-1]}\\]]{{.interval}}" if bounds else ""


def interval(measurement: Measurement) -> str:
    """The 95 % interval in brackets, or nothing for what is not estimated from a sample."""
    if measurement.low == measurement.high:
        return ""
    return f"[{measurement.metric.show(measurement.low)}, {measurement.metric.show(measurement.high)}]"


def measurements(variant: str) -> None:
    """Print a table of every metric of one variant, with what it was measured on."""
    found = results()
    present = [m for key in METRICS if (m := found.find(variant, key))]
    if not present:
        print(f"`{variant}` has no results yet; `dvc repro evaluate@{variant}` makes them.\n")
        return
    rows = [[m.metric.title, m.show(), interval(m), str(m.n), str(m.trainings or "–")] for m in present]
    header = ["metric", "value", "95 % interval", "n", "trainings"]
    table(header, rows, f"tbl-{variant}", f"What was measured of `{variant}`.")
    provenance([found.artifacts.metrics(variant), found.artifacts.intervals(variant)], "evaluate")


def description(variant: str) -> None:
    """Print the four choices of a variant as a sentence."""
    block = results().params.variant(variant)
    print(
        f"Degradation {_choice(block.train.degradation)}; predicts *{block.train.target}*; network "
        f"{_choice(block.train.network)}; sampler {_choice(block.sample.sampler)} from the latent "
        f"{_choice(block.sample.latent)}.\n"
    )


def _choice(choice: Choice) -> str:
    def show(value: Any) -> str:
        if isinstance(value, dict):
            return _choice(Choice.model_validate(value))
        return (
            str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
        )

    options = ", ".join(f"{name} {show(value)}" for name, value in choice.options.items())
    return f"`{choice.name}`" + (f" ({options})" if options else "")


def variants() -> None:
    """Print one section for every variant of params.yaml, in its order: choices, metrics and pictures."""
    for variant in results().variants:
        print(f"## {variant} {{#sec-{variant}}}\n")
        description(variant)
        measurements(variant)
        for name in pictures(results().params, variant):
            figure(f"{name}-{variant}")


def studies() -> None:
    """Print one section for every study of params.yaml: its figure, and its table or that of its variants."""
    found = results()
    asked = found.params.studies
    for key in (*asked.trained, *asked.untrained):
        print(f"## {_heading(key)} {{#sec-study-{key}}}\n")
        block = {**asked.untrained, **asked.trained}[key]
        if isinstance(block, VariantStudy):
            print(f"Study {_choice(block)} of `{block.variant}`.\n")
        figure(f"study-{key}")
        _study_table(key)
    for key, comparison in asked.compared.items():
        print(f"## {_heading(key)} {{#sec-study-{key}}}\n")
        figure(f"study-{key}")
        used = [metric for metric in METRICS if any(found.find(variant, metric) for variant in comparison.variants)]
        rows = [
            [METRICS[metric].title, *(_plain_cell(found, variant, metric) for variant in comparison.variants)]
            for metric in used
        ]
        caption = f"{comparison.title[0].upper()}{comparison.title[1:]}, with 95 % intervals."
        table(["metric", *(f"`{variant}`" for variant in comparison.variants)], rows, f"tbl-study-{key}", caption)
        provenance([found.artifacts.summary], "summarize")


def _heading(key: str) -> str:
    words = key.replace("-", " ")
    return words[0].upper() + words[1:]


def _plain_cell(found: Results, variant: str, key: str) -> str:
    measurement = found.find(variant, key)
    return f"{measurement.show()} {interval(measurement)}".strip() if measurement else "–"


def _study_table(key: str) -> None:
    """Print the table of a study; the shares of classes stand in its figure."""
    path = _artifacts().study(key) / "table.csv"
    if not path.exists():
        return
    found = pd.read_csv(path)
    shown = [name for name in map(str, found.columns) if not name.removeprefix("class_").isdigit()]
    rows = [[_value(row[name]) for name in shown] for row in found.to_dict("records")]
    header = [name.replace("_", " ") for name in shown]
    table(header, rows, f"tbl-study-{key}", f"{_heading(key)}: the numbers.")
    provenance([path], "study")


def _value(value: Any) -> str:
    if pd.isna(value):
        return "–"
    if isinstance(value, str):
        return value
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}"


def uniqueness() -> None:
    """Print how much of an image its z_T still tells, by degradation."""
    found = results()
    rows, sources, seen = [], [], set[str]()
    for variant in found.variants:
        degradation = found.params.variant(variant).train.degradation
        path = found.artifacts.uniqueness(variant)
        if path.exists() and degradation.model_dump_json() not in seen:
            seen.add(degradation.model_dump_json())
            values = pd.read_csv(path).to_dict("records")[0]
            sources.append(path)
            rows.append([f"`{variant}`", *(_value(values.get(name)) for name in UNIQUENESS)])
    if rows:
        table(
            ["degradation of", *UNIQUENESS.values()], rows, "tbl-uniqueness",
            "How much of an image its $z_T$ still tells, as shares of test images.",
        )  # fmt: skip
        provenance(sources, "normality")


def costs() -> None:
    """Print what each variant cost, on the machine it ran on."""
    found = results()
    rows = []
    for variant in found.params.variants:
        path = found.artifacts.run(variant)
        entries: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        train = entries.get("train", {})
        minutes = [
            f"{entries[s]['seconds'] / 60:.1f}" if s in entries else "–" for s in ("train", "sample", "evaluate")
        ]
        size = [f"{train[k] / 1e6:.{d}f}" if k in train else "–" for k, d in (("parameters", 2), ("multiply_adds", 0))]
        each = [
            f"{1000 * entries[s]['seconds'] / entries[s]['images']:.1f}" if s in entries else "–"
            for s in ("train", "sample")
        ]
        machine = f"{train['device']}, {train['precision']}" if train else "–"
        rows.append([f"`{variant}`", *size, *minutes, *each, machine])
    header = [
        "variant", "parameters, M", "multiply–adds, M", "train, min", "sample, min", "evaluate, min",
        "train 1000, s", "sample 1000, s", "machine",
    ]  # fmt: skip
    table(
        header, rows, "tbl-costs",
        "What each variant cost: all of its trainings, one process a variant; multiply–adds of one forward pass; "
        "seconds for 1000 images seen in training, and for 1000 sampled, restorations and strips included.",
    )  # fmt: skip
    provenance([found.artifacts.run(variant) for variant in found.params.variants], "train, sample, evaluate")


def parameters() -> None:
    """Print the parameters of the run, as params.yaml has them."""
    text = _artifacts().params.read_text()
    print(f"```yaml\n{text}```\n")


def definitions() -> None:
    """Print what each metric is, and which way is better."""
    words = {"lower": "lower is better", "higher": "higher is better", None: "neither lower nor higher is better"}
    rows = [[metric.title, f"{metric.meaning}; {words[metric.better]}"] for metric in METRICS.values()]
    table(["metric", "what it is"], rows, "tbl-definitions", "The metrics.", ":--")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], label: str, caption: str, align: str = "--:") -> None:
    """Print a Markdown table with a label and a caption; all columns but the first are aligned as `align` says."""
    print("| " + " | ".join(header) + " |")
    print("|" + "|".join([":--", *[align] * (len(header) - 1)]) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(f"\n: {caption} {{#{label}}}\n")


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
    """Print how good the classifier is, and which one it is."""
    path = _artifacts().classifier_metrics
    if not path.exists():
        print("The classifier has not been trained yet; `dvc repro classifier` trains it.\n")
        return
    entry = json.loads(path.read_text())
    print(
        f"The classifier is right about {100 * entry['test_accuracy']:.2f} % of {entry['test_images']} test images "
        f"(weights with SHA-256 `{entry['sha256'][:12]}…`); every number that depends on it was computed with it.\n"
    )
