"""What the pages of the report call: each function prints Markdown made of artifacts.

A page imports this module and little else of thaw. Where an artifact is missing, or was made with
other parameters than params.yaml has now, its place in the report says so and names what makes it.
"""

import functools
from collections.abc import Callable, Sequence

from thaw.figures.families import by_family, different, gallery_page, kind, short_titles, table_paths
from thaw.files import read_csv, read_json
from thaw.metrics import METRICS
from thaw.pages import answers, sentences
from thaw.pages import findings as find
from thaw.pages.appendix import costs, environment, epoch_times, parameters, word_count
from thaw.pages.cards import cards
from thaw.pages.claims import decided, tally
from thaw.pages.evidence import audit, few_images_note, published_numbers, study_floor
from thaw.pages.illustrations import animation, demo, figure, stepper, typeset
from thaw.pages.tables import COLUMNS, best_cell, describe, provenance, table, value, warning
from thaw.params import Choice, Comparison, VariantStudy
from thaw.pipeline.why import in_words, parameters_since
from thaw.results.measurements import pictures, results
from thaw.results.wording import code, many, percent, shown, some

__all__ = [
    "adversarial", "animation", "audit", "budgets", "cards", "claims", "classifier_sentence", "cold_against_noise",
    "comparison", "conclusion", "confidence", "costs", "data", "definitions", "demo", "description",
    "diversity", "environment", "epoch_times", "everything", "few_images_note", "figure", "findings",
    "gallery", "likelihood", "limits", "losses", "measurements", "members", "memorisation",
    "missing", "networks", "parameters", "provenance", "published_numbers", "ranking", "restorations", "results",
    "schedule_steps", "schedules", "severity", "stepper", "studies", "study_floor", "table", "tally", "uniqueness",
    "what_mattered", "word_count",
]  # fmt: skip

ONE_SIDED = ("precision", "density", "unique_fraction", "bits_per_dim")
"""The metrics whose best value a model can have that is not good."""
RENEW = "`make report` brings them up to date."
UNIQUENESS = {
    "distinct": "like no other at 8 bits",
    "nearest_image": "nearest to its own image",
    "nearest_class": "nearest neighbour of its class",
}
"""The columns of a variant's uniqueness.csv that are shown."""


def confidence() -> str:
    """The confidence of every interval, for a sentence: `evaluation.confidence` in per cent."""
    return percent(results().params.evaluation.confidence)


def _printing(sentence: Callable[..., str]) -> Callable[..., None]:
    """The function that prints a sentence on the results."""

    @functools.wraps(sentence)
    def say(*arguments: str) -> None:
        print(f"{sentence(results(), *arguments)}\n")

    return say


adversarial = _printing(find.adversarial)
cold_against_noise = _printing(find.cold_against_noise)
conclusion = _printing(find.conclusion)
networks = _printing(find.networks)
restorations = _printing(find.restorations)
schedule_steps = _printing(answers.schedule_steps)
schedules = _printing(find.schedules)
what_mattered = _printing(find.what_mattered)
ranking = _printing(sentences.ranking)
diversity = _printing(sentences.diversity)
memorisation = _printing(sentences.memorisation)
severity = _printing(sentences.severity)
likelihood = _printing(sentences.likelihood)
losses = _printing(sentences.losses)


def claims() -> None:
    """Print the scorecard: what the earlier reports found, whether it holds here, and by which numbers."""
    rows = [
        [claim.source, claim.text, f"**{decision.verdict}**", decision.because]
        for claim, decision in decided(results())
    ]  # fmt: skip
    table(
        ["claimed in", "claim", "verdict", "because"], rows, "tbl-claims",
        "What the earlier reports found, and whether it holds here.", ":--",
        absent="none of the systems that the earlier reports compared has been measured.",
        note="\\* Of single trainings: it may be the seed's.",
        sources=[results().artifacts.summary], stage="summarize",
    )  # fmt: skip


def data() -> None:
    """Print which images these are, and how many."""
    found = results()
    block, images = found.params.data, find.training_images(found)
    text = f"The images are those of `{block.dataset}`, {block.pixels} × {block.pixels} pixels with "
    text += f"{many(block.channels, 'channel')}, their values spread over ±{block.half_range:g}"
    text += f". Training sees {images} of them; " if images else ". "
    print(f"{text}{percent(block.validation_fraction)} of the training images are kept for validation, and the test "
          "images are for measuring alone.\n")  # fmt: skip


def budgets() -> None:
    """Print what training each network and sampling from it costs."""
    params = results().params
    used = dict.fromkeys(params.variant(variant).train.network.name for variant in params.variants)
    rows = []
    for name in used:
        block = params.budget.train[name]
        rows.append([
            f"`{name}`", f"{block.images}", f"{block.batch_size}", block.optimizer, f"{block.learning_rate:g}",
            "yes" if block.preconditioned else "no", shown(block.network) if block.network else "–",
        ])  # fmt: skip
    sample = params.budget.sample
    table(
        ["network", "images seen", "batch", "optimiser", "learning rate", "preconditioned", "options"], rows,
        "tbl-budget", f"The budget of each network, and of all: {sample.images} samples a training, in at most "
        f"{max(sample.steps, sample.steps_with_schedule)} steps; {sample.reconstructions} restored test images.",
    )  # fmt: skip


def members(family: str) -> list[str]:
    """The variants of a family of the main comparison."""
    return by_family(results().params, results().variants).get(family, [])


def limits() -> None:
    """Print what these results cannot say."""
    print(f"{find.listed(find.limits(results()))}\n")


def missing() -> None:
    """Print a warning that names the variants and studies without results, or whose results are out of date."""
    found = results()
    if names := found.missing():
        missed = f"`params.yaml` asks for {some(code(names))}, of which there are none: `make report` makes them."
        warning("Results are missing", missed)
    asked = (*found.params.variants, *found.params.studies.trained, *found.params.studies.untrained)
    if old := [name for name in asked if parameters_since(found.artifacts, name)]:
        changed = f"{some(code(old))} ran with other parameters than `params.yaml` has now. {RENEW}"
        warning("Results are out of date", changed)


def _warn_if_outdated(name: str) -> None:
    """Print which parameters of a variant or a study have changed since it ran, where any have."""
    if changes := parameters_since(results().artifacts, name):
        listed = "; ".join(in_words(change, "`") for change in changes)
        warning("Out of date", f"What stands here was made with other parameters: {listed}. {RENEW}")


def everything() -> None:
    """Print one table of all that was measured of all variants, which a reader of the HTML can sort by any column."""
    comparison(
        list(METRICS), "tbl-everything",
        f"Everything that was measured of every variant, with {confidence()} intervals; the best of each column among "
        "the variants of the main comparison is bold. @tbl-definitions says what each metric is.",
        list(results().params.variants),
    )  # fmt: skip


def comparison(keys: Sequence[str], label: str, caption: str, of: Sequence[str] = ()) -> None:
    """Print a table of variants, one column a metric, with intervals and the best of each column in bold.

    The variants are those of the main comparison, or `of`, and the best is the best of them; where few or collapsed
    samples can score best without being good, none is. Real images have a row where they can be measured in the same
    way; a dagger marks distances of few images.
    """
    found = results()
    variants = of or found.variants
    used = [key for key in keys if any(found.find(variant, key) for variant in variants)]
    best = {
        key: ranked[0]
        for key in used
        if key not in ONE_SIDED and (ranked := [m for m in found.ranked(key) if m.variant in variants])
    }
    old = {variant for variant in variants if parameters_since(found.artifacts, variant)}
    rows = []
    for variant in variants:
        cells = [best_cell(found.find(variant, key), best.get(key)) for key in used]
        rows.append([f"{found.named(variant)}{'‡' if variant in old else ''}", *cells])
    real = [found.real(key) for key in used]
    if any(real):
        rows.append(["*real images*", *(measurement.show() if measurement else "–" for measurement in real)])
    table(
        ["variant", *(METRICS[key].title for key in used)], rows if used else [], label, caption,
        absent="none of its metrics has been measured; `make report` measures them.",
        note="‡ Made with other parameters than `params.yaml` has now." if old else "",
        sources=[found.artifacts.summary, *([found.artifacts.reference("real.csv")] if any(real) else [])],
        stage="summarize",
    )  # fmt: skip


def measurements(variant: str) -> None:
    """Print a table of every metric of one variant, with what it was measured on."""
    found = results()
    present = [m for key in METRICS if (m := found.find(variant, key))]
    rows = [[m.metric.title, m.show(), m.bounds, str(m.n), str(m.trainings or "–")] for m in present]
    table(
        ["metric", "value", f"{confidence()} interval", "n", "trainings"], rows, f"tbl-{variant}",
        f"What was measured of {found.named(variant)}.", absent=f"`dvc repro evaluate@{variant}` measures it.",
        sources=[found.artifacts.metrics(variant), found.artifacts.table(variant, "intervals")], stage="evaluate",
    )  # fmt: skip


def description(variant: str) -> None:
    """Print the four choices of a variant as a sentence."""
    block = results().params.variant(variant)
    print(
        f"Degradation {describe(block.train.degradation)}; predicts *{block.train.target}*; network "
        f"{describe(block.train.network)}; sampler {describe(block.sample.sampler)} from the latent "
        f"{describe(block.sample.latent)}.\n"
    )


def gallery(page: str) -> None:
    """Print a page of the gallery: of each family its animations, and of each variant a tab of choices and results."""
    params, moving = results().params, set[str]()
    shown = [variant for variant in results().variants if gallery_page(params, variant) == page]
    for name, variants in by_family(params, shown).items():
        print(f"## {name[0].upper()}{name[1:]}\n")
        kinds = dict.fromkeys(kind(params, variant) for variant in variants)
        for of_kind in (k for k in kinds if k not in moving):
            animation(of_kind)
        moving |= {*kinds}
        print("::: {.panel-tabset}\n")
        for variant, called in short_titles(params, variants).items():
            print(f"### {called} {{.unnumbered}}\n")
            print(f"::: {{#model-{variant}}}\n")  # which a heading of a tab would lose
            _warn_if_outdated(variant)
            description(variant)
            print(":::\n")
            for picture in pictures(params, variant):
                figure(f"{picture}-{variant}")
            measurements(variant)
        print(":::\n")


def study_list() -> None:
    """Print what all studies ask, each a link to its answer."""
    for group in answers.GROUPS:
        if asked := _asked(group):
            print(f"**{group}**\n")
            print("".join(f"- [{answers.question(results(), key)}](#sec-study-{key})\n" for key in asked))


def studies(*groups: str) -> None:
    """Print the studies of some groups: question, answer, figure and table of each."""
    kinds = set[str]()
    for key, block in (item for group in groups for item in _asked(group).items()):
        name = "" if isinstance(block, Comparison) else block.name
        _study(key, block, repeated=name in kinds)
        kinds |= {name} - {""}


def _asked(group: str) -> dict[str, Choice | VariantStudy | Comparison]:
    found, asked = results(), results().params.studies
    every: dict[str, Choice | VariantStudy | Comparison] = {**asked.trained, **asked.untrained, **asked.compared}
    shown = [key for key in every if key not in found.params.schedule_steps]
    return {key: every[key] for key in shown if answers.group(found, key) == group}


def _study(key: str, block: Choice | VariantStudy | Comparison, *, repeated: bool) -> None:
    """Print a study; on paper its answer says what its table has, and one that was asked before has no figure."""
    found = results()
    print(f"## {answers.question(found, key)} {{#sec-study-{key}}}\n")
    _warn_if_outdated(key)
    if answer := answers.answer(found, key):
        print(f"{typeset(answer)}\n")
    if not repeated:
        figure(f"study-{key}")
    print('::: {.content-visible when-format="html"}\n')
    if repeated:
        figure(f"study-{key}")
    if isinstance(block, Comparison):
        _compared_table(key, block)
    else:
        _study_table(key)
    print(":::\n")


def findings() -> None:
    """Print what the report finds, and what it cost, for its first screen."""
    found = results()
    told = find.findings(found)
    print(f"{find.listed(told)}\n" if told else "Nothing has been measured yet; `make report` says what is missing.\n")
    print(f"*Budget.* {find.budget(found)}\n")


def _compared_table(key: str, compared: Comparison) -> None:
    """Print the metrics of the variants that a study sets side by side, one row a metric."""
    found, rows = results(), []
    for variant in compared.variants:
        _warn_if_outdated(variant)
    for metric in METRICS.values():
        measured = [found.find(variant, metric.key) for variant in compared.variants]
        if any(measured):
            rows.append([metric.title, *map(best_cell, measured)])
    table(
        ["metric", *map(found.named, compared.variants)], rows, f"tbl-study-{key}",
        f"{answers.question(found, key)}, with {confidence()} intervals.",
        absent="none of its variants has been measured; `make report` measures them.",
        sources=[found.artifacts.summary], stage="summarize",
    )  # fmt: skip


def _study_table(key: str) -> None:
    """Print the table of a study, in which the commonest class stands for the shares of all."""
    path = results().artifacts.study(key) / "table.csv"
    if not (found := read_csv(path)):
        return
    classes = [name for name in found[0] if name.removeprefix("class_").isdigit()]
    shown = [name for name in found[0] if name not in classes]
    rows = [[typeset(value(row[name])) for name in shown] for row in found]
    called = {name: metric.title for name, metric in METRICS.items()} | COLUMNS
    header = [called.get(name, value(name.replace("_", " "))) for name in shown]
    if classes:
        header.append("commonest class")
        for cells, row in zip(rows, found, strict=True):
            most = max(classes, key=lambda name: float(row[name] or 0))
            cells.append(f"{most.removeprefix('class_')} ({100 * float(row[most]):.0f} %)" if row[most] else "–")
    caption = f"{answers.question(results(), key)} The numbers."
    table(header, rows, f"tbl-study-{key}", caption, sources=[path], stage="study")


def uniqueness() -> None:
    """Print how much of an image its z_T still tells, by degradation."""
    found = results()
    sources = table_paths(found.artifacts, found.params, "uniqueness")
    sources = different(found.params, sources, lambda train: train.degradation)
    measured = {variant: read_csv(path)[0] for variant, path in sources.items()}
    shown = {name: title for name, title in UNIQUENESS.items() if any(name in row for row in measured.values())}
    rows = [[found.named(variant), *(value(row.get(name, "")) for name in shown)] for variant, row in measured.items()]
    table(
        ["degradation of", *shown.values()], rows, "tbl-uniqueness",
        "How much of an image its $z_T$ still tells, as shares of test images.",
        absent="`dvc repro forward` measures it.", sources=list(sources.values()), stage="forward",
    )  # fmt: skip


def definitions() -> None:
    """Print what each metric that was measured is, and which way is better."""
    measured = {key for _, key in results().measured} or METRICS
    rows = [
        [metric.title, f"{metric.meaning}; {metric.better or 'neither lower nor higher'} is better"]
        for metric in METRICS.values()
        if metric.key in measured
    ]
    table(["metric", "what it is"], rows, "tbl-definitions", "The metrics.", ":--")


def classifier_sentence() -> None:
    """Print how good the classifier is, what it tells apart, and which one it is."""
    path = results().artifacts.reference("classifier.json")
    if not path.exists():
        print("The classifier has not been trained yet; `dvc repro classifier` trains it.\n")
        return
    entry = read_json(path)
    turned = "by how much they were turned, as the images have no labels"
    task = turned if entry.get("task") == "rotation" else "by class"
    print(
        f"The classifier tells images apart {task}. It is right about {100 * entry['test_accuracy']:.2f} % of "
        f"{entry['test_images']} test images (weights with SHA-256 `{entry['sha256'][:12]}…`); every number that "
        "depends on it was computed with it.\n"
    )
