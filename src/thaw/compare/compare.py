"""Two variants, or two revisions of the project, side by side: parameters, metrics, and what lies beyond the noise."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, read_params, suggest
from thaw.pipeline.parameters import Parameter, parameters_that_differ
from thaw.results.differences import ABSENT, SAME, Difference, Side, State, chance, differences
from thaw.results.history import WORKSPACE, Revision, extracted, find_revision, present
from thaw.results.layout import Artifacts
from thaw.results.wording import NAMED, code, join

RESULTS, EARLIER = "results", ("metrics", "plots")
"""Where results are, and where an earlier version of thaw kept them."""


@dataclass(frozen=True)
class Pair:
    """A variant on each side, every metric that either has, and the pictures that were drawn of both."""

    before: Side
    after: Side
    differences: list[Difference]
    pictures: list[Path] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What is compared: one variant with itself at another time, or two variants."""
        return " and ".join(dict.fromkeys((self.before.variant, self.after.variant)))


@dataclass(frozen=True)
class Comparison:
    """All that differs between two sides, whose names are `before` and `after`.

    `unreadable` says why results are not compared; it is empty where they are.
    """

    before: str
    after: str
    confidence: float
    parameters: list[Parameter]
    pairs: list[Pair]
    unreadable: str = ""

    @property
    def differences(self) -> list[Difference]:
        """Those of all pairs."""
        return [difference for pair in self.pairs for difference in pair.differences]

    def notes(self) -> list[str]:
        """Sentences on how to take the verdicts."""
        found = self.differences
        notes = [self.unreadable, chance(found, self.confidence)]
        if any(difference.gap and difference.gap.paired for difference in found):
            notes.append("What restored images are measured by was compared image by image: both sides restored the "
                         "same ones.")  # fmt: skip
        notes.append(_single_trainings(self.pairs))
        for reason in dict.fromkeys(difference.reason for difference in found if difference.reason):
            notes.append(f"Not compared: {_titles(d for d in found if d.reason == reason)}; {reason}.")
        for label, there in ((self.before, "before"), (self.after, "after")):
            if alone := [d for d in found if d.verdict == ABSENT and getattr(d, there) is not None]:
                notes.append(f"Only {label} has {_titles(alone)}.")
        return [note for note in notes if note]


def _titles(found: Iterable[Difference]) -> str:
    return join(list(dict.fromkeys(difference.metric.title for difference in found)))


def _single_trainings(pairs: Sequence[Pair]) -> str:
    """A sentence that names the variants with one training, where any of their differences is beyond the noise."""
    beyond = [pair for pair in pairs if any(difference.beyond_noise for difference in pair.differences)]
    sides = [side for pair in beyond for side in (pair.before, pair.after)]
    single = [side.variant for side in sides if any(m.trainings == 1 for m in side.measured.values())]
    if not single:
        return ""
    names = code(dict.fromkeys(single))
    which = f"{len(names)} of these variants" if len(names) > NAMED else " and ".join(names)
    return f"Of {which} there is one training: a difference is one of this training, not yet of the method."


@contextmanager
def comparing(artifacts: Artifacts, names: Sequence[str], kind: str) -> Iterator[Comparison]:
    """The comparison that was asked for: of two `variants`, or of two `revisions` and the variants named after them.

    The files of revisions are there until the block ends; `workspace` is the working tree. Raises ThawError where
    there are not two of them, or one is not known or has no results.
    """
    if kind == "variants" and len(names) == 2:
        yield compare_variants(artifacts, *names)
    elif kind == "revisions" and len(names) >= 2:
        revisions = [None if name == WORKSPACE else find_revision(artifacts.root, name) for name in names[:2]]
        with state_at(artifacts, revisions[0]) as before, state_at(artifacts, revisions[1]) as after:
            known = list(dict.fromkeys((*before.variants, *after.variants)))
            if name := next((name for name in names[2:] if name not in known), None):
                raise ThawError(f"neither {before.label} nor {after.label} has a variant {name}{suggest(name, known)}; "
                                f"they have {', '.join(known)}.")  # fmt: skip
            yield compare_states(before, after, names[2:] or known, all_of_them=len(names) > 2)
    else:
        raise ThawError(
            f"{len(names)} {'name was' if len(names) == 1 else 'names were'} given; name two variants, or with --rev "
            f"two revisions (the working tree is called {WORKSPACE}) and then, if not all, the variants to compare."
        )


def compare_variants(artifacts: Artifacts, a: str, b: str) -> Comparison:
    """Two variants of the working tree. Raises ThawError where there is no such variant, or it has no results."""
    params = read_params(artifacts.params)
    chosen = []
    for name in (a, b):
        block = params.variant(name).model_dump(exclude={"study"})
        chosen.append({**block, "budget": {"train": params.train_budget(name).model_dump(exclude={"network"})}})
    state = State(WORKSPACE, artifacts)
    sides = Side(state, a), Side(state, b)
    for side in sides:
        if not side.measured:
            raise ThawError(f"{side.variant} has no results yet; `make report` makes them.")
    if a == b:
        raise ThawError(f"{a} is compared with itself; name another variant, or two revisions with --rev.")
    pair = Pair(*sides, differences(*sides))
    return Comparison(a, b, state.confidence, parameters_that_differ(chosen[0], chosen[1]), [pair])


def compare_states(before: State, after: State, variants: Iterable[str], *, all_of_them: bool = False) -> Comparison:
    """Each variant at two states of the project, where any of its results differs, or all of them."""
    unreadable = " ".join(filter(None, (before.unreadable, after.unreadable)))
    pairs = []
    for name in variants if not unreadable else ():
        sides = Side(before, name), Side(after, name)
        found = differences(*sides)
        if all_of_them or any(difference.verdict != SAME for difference in found):
            pairs.append(Pair(*sides, found))
    parameters = parameters_that_differ(before.params, after.params)
    return Comparison(before.label, after.label, after.confidence, parameters, pairs, unreadable)


@contextmanager
def state_at(artifacts: Artifacts, revision: Revision | None, *more: str) -> Iterator[State]:
    """The parameters, the results and `more` at a revision, or those of the working tree where there is none."""
    if revision is None:
        yield State(WORKSPACE, artifacts)
        return
    found = present(artifacts.root, revision, (RESULTS, *EARLIER))
    earlier = f"The results of {revision.label} lie in the layout of an earlier version of thaw and cannot be read."
    with extracted(artifacts.root, revision, (PARAMS_FILE, RESULTS, *more)) as there:
        yield State(revision.label, there, earlier if found and RESULTS not in found else "")
