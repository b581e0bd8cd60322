"""Two variants, or two revisions of the project, side by side: parameters, metrics, and what lies beyond the noise."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from thaw.artifacts import Artifacts
from thaw.errors import ThawError
from thaw.params import read_params, read_yaml, suggest
from thaw.pipeline.parameters import Parameter, parameters_that_differ
from thaw.reporting.revisions import WORKSPACE, extracted, find_revision
from thaw.reporting.snapshots import ABSENT, SAME, Difference, Side, Snapshot, chance, differences

READ = ("params.yaml", "plots", "reference", "sheets")
"""What a comparison reads of a revision."""
NAMED = 3
"""How many variants a sentence names before it counts them."""


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
        names = dict.fromkeys((self.before.variant, self.after.variant))
        return " and ".join(names)


@dataclass(frozen=True)
class Comparison:
    """All that differs between two sides, whose names are `before` and `after`."""

    before: str
    after: str
    confidence: float
    parameters: list[Parameter]
    pairs: list[Pair]

    def notes(self) -> list[str]:
        """Sentences on how to take the verdicts."""
        found = [difference for pair in self.pairs for difference in pair.differences]
        notes = [chance(found, self.confidence)]
        if any(difference.gap and difference.gap.paired for difference in found):
            notes.append("What restored images are measured by was compared image by image: both sides restored the "
                         "same ones.")  # fmt: skip
        notes.append(single_trainings(self.pairs))
        for reason in dict.fromkeys(difference.reason for difference in found if difference.reason):
            titles = dict.fromkeys(difference.metric.title for difference in found if difference.reason == reason)
            notes.append(f"Not compared: {', '.join(titles)}; {reason}.")
        for label, there in ((self.before, "before"), (self.after, "after")):
            alone = [d.metric.title for d in found if d.verdict == ABSENT and getattr(d, there) is not None]
            if alone:
                notes.append(f"Only {label} has {', '.join(dict.fromkeys(alone))}.")
        return [note for note in notes if note]


def single_trainings(pairs: Sequence[Pair]) -> str:
    """A sentence that names the variants with one training, where any of their differences is beyond the noise."""
    single = [
        side.variant
        for pair in pairs
        if any(difference.gap and difference.gap.beyond_noise for difference in pair.differences)
        for side in (pair.before, pair.after)
        if any(estimate.trainings == 1 for estimate in side.snapshot.estimates(side.variant).values())
    ]
    if not single:
        return ""
    names = [f"`{name}`" for name in dict.fromkeys(single)]
    which = f"{len(names)} of these variants" if len(names) > NAMED else " and ".join(names)
    return f"Of {which} there is one training: a difference is one of this training, not yet of the method."


@contextmanager
def comparing(artifacts: Artifacts, names: Sequence[str], kind: str) -> Iterator[Comparison]:
    """The comparison that was asked for: of two `variants`, or of two `revisions` and the variants named after them.

    Raises ThawError where there are not two of them.
    """
    if kind == "variants" and len(names) == 2:
        yield compare_variants(artifacts, *names)
    elif kind == "revisions" and len(names) >= 2:
        with compare_revisions(artifacts, names[0], names[1], names[2:]) as comparison:
            yield comparison
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
    snapshot = Snapshot(WORKSPACE, artifacts, read_yaml(artifacts.params))
    sides = Side(snapshot, a), Side(snapshot, b)
    for side in sides:
        if not snapshot.estimates(side.variant):
            raise ThawError(f"{side.variant} has no results yet; `make report` makes them.")
    if a == b:
        raise ThawError(f"{a} is compared with itself; name another variant, or two revisions with --rev.")
    pair = Pair(*sides, differences(*sides))
    return Comparison(a, b, snapshot.confidence, parameters_that_differ(chosen[0], chosen[1]), [pair])


@contextmanager
def compare_revisions(artifacts: Artifacts, a: str, b: str, variants: Sequence[str]) -> Iterator[Comparison]:
    """Two revisions, of all variants that differ or of those named; their files are there until the block ends.

    `workspace` is the working tree. Raises ThawError where a revision or a variant is not known.
    """
    with ExitStack() as stack:
        before, after = (stack.enter_context(snapshot_at(artifacts, name)) for name in (a, b))
        known = list(dict.fromkeys((*before.variants, *after.variants)))
        for name in variants:
            if name not in known:
                raise ThawError(
                    f"neither {before.label} nor {after.label} has a variant {name}{suggest(name, known)}; "
                    f"they have {', '.join(known)}."
                )
        pairs = []
        for name in variants or known:
            sides = Side(before, name), Side(after, name)
            found = differences(*sides)
            if variants or any(difference.verdict != SAME for difference in found):
                pairs.append(Pair(*sides, found))
        parameters = parameters_that_differ(before.params, after.params)
        yield Comparison(before.label, after.label, after.confidence, parameters, pairs)


@contextmanager
def snapshot_at(artifacts: Artifacts, name: str, names: Sequence[str] = READ) -> Iterator[Snapshot]:
    """The results at a revision, or those of the working tree where the name is `workspace`."""
    if name == WORKSPACE:
        yield Snapshot(WORKSPACE, artifacts, read_yaml(artifacts.params))
        return
    revision = find_revision(artifacts.root, name)
    with extracted(artifacts.root, revision, names) as there:
        yield Snapshot(revision.label, there, read_yaml(there.params))


def shown(value: object) -> str:
    """A parameter's value as YAML has it, and a dash for none."""
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        flat = not any(isinstance(inner, Mapping) for inner in value.values())
        return f"{{{', '.join(f'{key}: {shown(inner)}' for key, inner in value.items())}}}" if flat else "{…}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return f"[{', '.join(shown(item) for item in value)}]" if isinstance(value, list) else str(value)
