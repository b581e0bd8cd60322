"""What report/coursework.qmd calls: the book's figures, tables and sentences, about a few variants alone.

The page calls `about` first. From then on the functions here and those of `thaw.pages.show` print what they know of
these variants, and nothing of the others.
"""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt

from thaw.errors import ThawError
from thaw.figures.catalogue import OVERVIEWS
from thaw.figures.drawing import STYLE
from thaw.figures.families import representatives
from thaw.files import replacing
from thaw.pages import sentences, show
from thaw.pages.claims import decided
from thaw.pages.illustrations import MADE_BY, print_figure
from thaw.pages.prose import count_words
from thaw.pages.tables import placeholder, warning
from thaw.params import suggest
from thaw.results.layout import Artifacts
from thaw.results.measurements import Results, results
from thaw.results.wording import join

WORDS = 3000
"""The most words that such a report may have."""
METHODS = "_methods"
"""The folder, beside the page, of what is told of each choice: KIND/NAME.md."""
DEPARTURES = {
    "longer": "{} times as many images",
    "learning_rate": "a learning rate of {:g}",
    "examples": "{} of the training images only",
    "trainings": "{} of these trainings only",
}
"""What the training of a variant may have of its own, by its key, in words."""

_said: list[str] = []


class CourseworkError(ThawError):
    """What a notebook shows as one sentence, without the way to it."""

    def _render_traceback_(self) -> list[str]:
        return [f"coursework.qmd: {self}"]


def page(artifacts: Artifacts) -> Path:
    """The source of the report."""
    return artifacts.report / "coursework.qmd"


def chosen(found: Results, variants: str) -> list[str]:
    """The variants that `variants` names, with commas between them; of an empty one, the best of each kind by FID.

    Raises ThawError, with the nearest name, where params.yaml has no such variant.
    """
    names = list(dict.fromkeys(name.strip() for name in variants.split(",") if name.strip()))
    for name in names:
        found.params.variant(name)
    return names or list(representatives(found.artifacts, found.params, "samples").values()) or found.variants


def about(variants: str) -> None:
    """Make these variants, named with commas between them, all that is known from here on."""
    found = results()
    try:
        names = chosen(found, variants)
    except ThawError as error:
        raise CourseworkError(str(error)) from None
    # One that was trained for a study is as good as any other where it is asked for by its name.
    asked = {name: found.params.variant(name).model_copy(update={"study": None}) for name in names}
    found.params = found.params.model_copy(update={"variants": asked})
    found.variants = names
    found.measured = {of: measurement for of, measurement in found.measured.items() if of[0] in names}
    _said.clear()


def _say(text: str) -> None:
    """Print a paragraph that counts as text."""
    print(f"{text}\n")
    _said.append(text)


def yours(task: str) -> None:
    """Print a box that marks where the author's own words go; they take the place of the cell that calls this."""
    print(f"::: {{.callout-note}}\n## Your words\n\n{task}\n\n:::\n")


def figure(name: str) -> None:
    """Draw one of the book's overview figures of these variants alone, and print it, labelled `fig-NAME`.

    Raises CourseworkError where there is no such figure.
    """
    if not _draw(name):
        placeholder(f"fig-{name}", MADE_BY)


def figure_if_any(name: str, sentence: str) -> None:
    """Print a sentence and the figure that it is about, or neither where these variants have nothing to show in it."""
    _draw(name, sentence)


def _draw(name: str, sentence: str = "") -> bool:
    """Whether there is anything to show in the figure, which then is printed below the sentence."""
    if name not in OVERVIEWS:
        known = join(list(OVERVIEWS))
        raise CourseworkError(f"there is no figure {name}{suggest(name, OVERVIEWS)}; there are {known}.")
    mpl.use("agg")
    with plt.style.context(STYLE):
        drawing = OVERVIEWS[name](results().artifacts, results().params)
        if drawing is None:
            return False
        suffix = "svg" if drawing.is_chart else "png"
        picture = results().artifacts.report / "figures" / f"coursework-{name}.{suffix}"
        with replacing(picture) as temporary:
            drawing.figure.savefig(temporary, format=suffix)
        plt.close(drawing.figure)
    if sentence:
        _say(sentence)
    print_figure(name, f"figures/{picture.name}", drawing.caption, drawing.alt, drawing.sources)
    return True


def models() -> None:
    """Print which models are compared, and the choices that make each."""
    names, named = results().variants, results().named
    compared = f"This report compares {len(names)} models: {join([*map(named, names)])}."
    _say(compared if len(names) > 1 else f"This report is about one model, {named(names[0])}.")
    for name in names:
        print(f"**{named(name)}.** ", end="")
        show.description(name)


def methods(kind: str) -> None:
    """Print what is told of every `degradation`, `target` or `sampler` of these models, each once."""
    found = results()
    blocks = [found.params.variant(name) for name in found.variants]
    choices: dict[str, list[str]] = {
        "degradation": [block.train.degradation.name for block in blocks],
        "target": [block.train.target for block in blocks],
        "sampler": [block.sample.sampler.name for block in blocks],
    }
    for choice in dict.fromkeys(choices[kind]):
        text = page(found.artifacts).parent / METHODS / kind / f"{choice}.md"
        if text.exists():
            _say(text.read_text(encoding="utf-8").strip())
        else:
            yours(f"Explain the {kind} `{choice}`, for which thaw has no text.")


def training() -> None:
    """Print what the trainings of these models cost by params.yaml, one sentence a network, and who departs from it."""
    params, named = results().params, results().named
    networks: dict[str, list[str]] = {}
    for name in results().variants:
        networks.setdefault(params.variant(name).train.network.name, []).append(name)
    for network, names in networks.items():
        budget = params.budget.train[network]
        falls = f", which falls along a cosine to {budget.final_learning_rate:g} of that"
        _say(
            f"The `{network}` ({join([*map(named, names)])}) sees {budget.images} images in batches of "
            f"{budget.batch_size} and is trained by {budget.optimizer.capitalize()}, with a learning rate of "
            f"{budget.learning_rate:g} after {budget.warmup_steps} steps of warm-up"
            f"{falls if budget.learning_rate_schedule == 'cosine' else ''}; trainings from different seeds: "
            f"{len(budget.seeds)}."
        )
    for name in results().variants:
        departures = [words.format(value) for key, words in DEPARTURES.items()
                      if (value := getattr(params.variant(name).train, key)) is not None]  # fmt: skip
        if departures:
            _say(f"{named(name)} has {join(departures)}.")


def comparison() -> None:
    """Print the table of the headline numbers, and the sentences that rank the models by them."""
    show.comparison(
        [
            "fid_infinite",
            "legible",
            "precision",
            "recall",
            "class_preservation_matched",
            "rmse_matched",
            "bits_per_dim",
        ],
        "tbl-comparison",
        f"The models, with {show.confidence()} intervals; the best of each column is bold.",
    )
    for key in ("fid_infinite", "class_preservation_matched", "bits_per_dim"):
        if len(ranked := results().ranked(key)) > 1:
            _say(sentences.ranking_sentence(ranked))


def earlier_claims() -> None:
    """Print what earlier reports found about these models, where they did, and whether it holds here."""
    if decided(results()):
        _say("@tbl-claims sets what earlier reports found by comparing two of these models beside what was found here.")
        show.claims()


def diversity() -> None:
    """Print whether the samples are as diverse as real images, and whether they are new."""
    _say(sentences.diversity(results()))
    _say(sentences.memorisation(results()))


def severity() -> None:
    """Print for which of these models restoring step by step is better than at once, where any restores."""
    if results().ranked("class_preservation_matched"):
        _say(sentences.severity(results(), "class_preservation"))


def words() -> None:
    """Print how many words the report has, with those that its cells printed, and a warning where they are too many."""
    source = page(results().artifacts).read_text(encoding="utf-8")
    total = count_words(source) + sum(count_words(text) for text in _said)
    places = source.count("coursework.yours(")
    print(
        f"This report has [{total}]{{.word-count}} words of at most {WORDS}, without its abstract, captions, tables, "
        f"formulas and references. Places that still wait for the author's own words: {places}.\n"
    )
    if total > WORDS:
        warning("The report is too long", f"It has {total - WORDS} words more than the {WORDS} it may have.")
