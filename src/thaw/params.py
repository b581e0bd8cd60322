"""The schema of params.yaml: everything that decides a result, typed, with no key that nothing reads.

Options of a named choice (a degradation, network, sampler or schedule) are the keyword arguments of the thing it
names; `thaw.choices` checks them, because only the code of that thing knows them.
"""

import difflib
import re
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from thaw.errors import ThawError
from thaw.files import replacing

PARAMS_FILE = "params.yaml"
RENAMED = {"data.size": "data.pixels"}
"""Keys of earlier versions of thaw."""
ESTIMATES = ("noise", "clean")
"""The targets whose best linear estimate preconditioning uses."""
VARIANT_NAME = re.compile(r"(?!.{101})[a-z0-9]+(-[a-z0-9]+)*")
"""Short enough for a file's name, with what stands before and after it."""
MOST = 1_000_000_000
"""Of anything that is counted; more is a slip of the hand, and would run out of memory instead of being refused."""
Count = Annotated[int, Field(ge=1, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _plain(text: str) -> str:
    """Refuse what Markdown, HTML or mathematics would take for more than text."""
    if found := re.search(r"[^\w\s.,:;()/+±×=%&'’!?–—-]|[\n_]", text):
        raise ValueError(f"must do without {found[0]!r}; write it in plain words")
    return text


Title = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_plain)]
"""Plain words, for the report to set as text."""

Shape = tuple[int, int, int]
"""(C, H, W) of an image."""


class Strict(BaseModel):
    """A block of params.yaml in which an unknown key is an error, and `"1"` or `true` is no number."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Choice(BaseModel):
    """A thing chosen by the name of the module that implements it; every other key is one of its options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = Field(max_length=100)

    @property
    def options(self) -> dict[str, Any]:
        """The keys beside `name`."""
        return dict(self.model_extra or {})


class Data(Strict):
    """Which images, and how they are brought to one size, one number of channels and one range.

    The window of SSIM is 11 pixels wide, so no image is smaller.
    """

    dataset: str
    path: str
    pixels: Annotated[int, Field(ge=11, le=1024)]
    """Of the width, which is the height. Not called `size`, since DVC's run cache overlooks keys of that name."""
    channels: Literal[1, 3]
    half_range: Annotated[float, Field(gt=0)]
    validation_fraction: Annotated[float, Field(gt=0, lt=1)]
    seed: Seed

    @property
    def shape(self) -> Shape:
        """(C, H, W) of an image."""
        return (self.channels, self.pixels, self.pixels)


class Train(Strict):
    """What a variant is trained to do; a change here retrains it."""

    degradation: Choice
    target: Literal["noise", "clean", "velocity", "adversarial"]
    network: Choice
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    preconditioned: bool = False
    """Put the network inside the best linear estimate; the budget says so for Gaussian noise and these ESTIMATES."""
    weighting: Literal["uniform", "simple", "variational"] = "simple"
    """How the loss weighs the steps; the budget says so where it says whether to precondition."""
    examples: Count | None = None
    """Train on so many of the training images only."""
    trainings: Count | None = None
    """Train so many of the budget's seeds only."""
    longer: Annotated[Count, Field(ge=2)] | None = None
    """Train on so many times the budget's images."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """In place of the budget's, for a training that diverges with that."""


class Sample(Strict):
    """How a trained variant is sampled; a change here resamples and never retrains."""

    sampler: Choice
    latent: Choice
    seed: Seed


class Variant(Strict):
    """One model of the comparison, with the defaults filled in.

    One that names a `study` exists for that comparison alone and is left out of the main one.
    """

    train: Train
    sample: Sample
    study: str | None = None


Fraction = Annotated[float, Field(gt=0, le=1)]


class TrainBudget(Strict):
    """What training one network costs. Counts are of images, so that they do not depend on the batch size."""

    images: Count
    batch_size: Count
    optimizer: Literal["adam", "muon"]
    learning_rate: Annotated[float, Field(gt=0)]
    learning_rate_schedule: Literal["cosine", "constant"]
    warmup_steps: Annotated[int, Field(ge=0, le=MOST)]
    final_learning_rate: Annotated[float, Field(ge=0, le=1)]
    seeds: Annotated[list[Seed], Field(min_length=1)]
    milestones: Annotated[list[Fraction], Field(min_length=1)]
    validations: Count
    validation_images: Annotated[Count, Field(ge=2)]
    preconditioned: bool = False
    weighting: Literal["uniform", "simple", "variational"] = "simple"
    network: dict[str, Any] = Field(default_factory=dict)
    """Options of the network that set its cost; those of a variant go before them."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds should all differ")
        if self.milestones != sorted(set(self.milestones)) or self.milestones[-1] != 1:
            raise ValueError("milestones should be growing fractions of the training that end with 1")
        if self.images < self.batch_size:
            raise ValueError("images should be at least one batch_size")
        return self


class SampleBudget(Strict):
    """How many images are drawn from a trained variant, in how many steps.

    `reconstructions` test images are restored, and the first `severity_images` of them from each of `severities` steps,
    spread evenly over 1..T. `milestone_images` are drawn at every milestone in `milestone_steps`. Sampling takes
    `steps`, and `steps_with_schedule` where the degradation has a noise schedule: the fewer they are, the more the
    schedules differ by the sampler's error.
    """

    images: Annotated[Count, Field(ge=8)]
    reconstructions: Annotated[Count, Field(ge=2)]
    severities: Annotated[Count, Field(ge=2, multiple_of=2)]
    severity_images: Annotated[Count, Field(ge=2)]
    milestone_images: Annotated[Count, Field(ge=2)]
    milestone_steps: Count
    steps: Count
    steps_with_schedule: Count
    strip_steps: Count


class StudyBudget(Strict):
    """How many images a study draws for each of its conditions."""

    images: Annotated[Count, Field(ge=2)]


class EvaluateBudget(Strict):
    """What measuring the samples costs."""

    resamples: Annotated[Count, Field(ge=20)]


class ObjectiveBudget(Strict):
    """How many test images the training objective and the bound on the likelihood are measured on."""

    test_images: Annotated[Count, Field(ge=2)]
    likelihood_images: Annotated[Count, Field(ge=2)]
    resamples: Annotated[Count, Field(ge=20)]


class Budget(Strict):
    """What sets the cost of a run. `thaw profile NAME` writes this block from profiles/NAME.yaml."""

    profile: str
    train: dict[str, TrainBudget]
    sample: SampleBudget
    objective: ObjectiveBudget
    evaluate: EvaluateBudget
    study: StudyBudget


class Classifier(Strict):
    """Training of the feature network behind fid_classifier and class_preservation."""

    epochs: Count
    batch_size: Annotated[Count, Field(ge=2)]
    learning_rate: Annotated[float, Field(gt=0)]
    seed: Seed


class Readers(Classifier):
    """Training of the ensemble behind `legible`: `count` networks, of seeds from `seed` on."""

    count: Count
    sure: Annotated[float, Field(gt=0.5, lt=1)]
    """The probability at which a reader takes an image for a digit."""


class Evaluation(Strict):
    """What the evaluation measures with."""

    classifier: Classifier
    readers: Readers
    inception: bool
    """Whether to measure in the features of InceptionV3 as well, whose weights have to be downloaded."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)]


class VariantStudy(Choice):
    """A study of a trained variant: `name` is its module in thaw.studies, every other key one of its options."""

    variant: str


class Comparison(Strict):
    """A study that sets variants side by side.

    `about` are the keys in which they are to differ, such as `train.target`, and `confounds` those in which they differ
    beside that, as the report then says.
    """

    title: Title
    about: Annotated[list[str], Field(min_length=1)]
    confounds: list[str] = []
    variants: Annotated[list[str], Field(min_length=2)]


class Studies(Strict):
    """What is asked beyond the main comparison: of a trained variant, of no model at all, and between variants."""

    trained: dict[str, VariantStudy]
    untrained: dict[str, Choice]
    compared: dict[str, Comparison]


class Demo(Strict):
    """A page on which a reader tries models: of each degradation, the variant that it carries."""

    gaussian_noise: str
    blur: str
    zoom: str


class Normality(Strict):
    """The test of z_t against N(0, 1)."""

    images: Count
    draws: Count
    points: Annotated[Count, Field(ge=2)]
    significance: Annotated[float, Field(gt=0, lt=1)]


def _partial(block: type[BaseModel]) -> type[BaseModel]:
    fields: dict[str, Any] = {name: (field.annotation, None) for name, field in block.model_fields.items()}
    return create_model(f"Default{block.__name__}", __config__=ConfigDict(extra="forbid", frozen=True), **fields)


class Defaults(Strict):
    """What every variant has unless it says otherwise."""

    train: _partial(Train) = Field(default_factory=_partial(Train))  # type: ignore[valid-type]
    sample: _partial(Sample) = Field(default_factory=_partial(Sample))  # type: ignore[valid-type]


class Params(Strict):
    """All of params.yaml, with `defaults` merged into every variant."""

    threads: Count
    data: Data
    budget: Budget
    defaults: Defaults
    variants: Annotated[dict[str, Variant], Field(min_length=1)]
    titles: dict[str, Title] = Field(default_factory=dict)
    """What the report calls the variants; one without a title goes by its name."""
    normality: Normality
    evaluation: Evaluation
    studies: Studies
    demos: dict[str, Demo] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _merge_defaults(cls, content: Any) -> Any:
        if not isinstance(content, dict) or not isinstance(content.get("variants"), dict):
            return content
        defaults = content.get("defaults")

        def merge(default: Any, own: Any) -> Any:
            # What is no mapping is left as it is, for the schema to refuse.
            return {**default, **own} if isinstance(default, dict) and isinstance(own, dict) else own

        merged = {
            name: {key: merge(defaults.get(key), block) for key, block in variant.items()}
            if isinstance(variant, dict) and isinstance(defaults, dict)
            else variant
            for name, variant in content["variants"].items()
        }
        for variant in merged.values():
            _with_cost(variant, content.get("budget"))
        return {**content, "variants": merged}

    @property
    def compared(self) -> list[str]:
        """The variants of the main comparison: all but those that exist for one study."""
        return [name for name, variant in self.variants.items() if variant.study is None]

    @property
    def schedule_steps(self) -> dict[str, VariantStudy]:
        """The studies of one sampler's steps, which the report shows together, one a schedule."""
        asked = self.studies.trained.items()
        return {
            key: block
            for key, block in asked
            if block.name == "sampling_steps" and len(block.options.get("samplers", ())) == 1
        }

    def variant(self, name: str) -> Variant:
        """The variant called `name`. Raises ThawError, with the nearest name, where there is none."""
        if name not in self.variants:
            raise ThawError(
                f"{PARAMS_FILE}: variants has no {name}{suggest(name, self.variants)}; "
                f"it has {', '.join(self.variants)}."
            )
        return self.variants[name]

    def title(self, name: str) -> str:
        """What the report calls a variant, which is its name where it has no title."""
        return self.titles.get(name, name)

    def train_budget(self, name: str) -> TrainBudget:
        """The budget of the variant called `name`: its network's, with the seeds, images and rate that it asks for."""
        block = self.variant(name).train
        budget = self.budget.train[block.network.name]
        own = {
            "seeds": budget.seeds[: block.trainings],
            "images": budget.images * (block.longer or 1),
            "learning_rate": block.learning_rate or budget.learning_rate,
        }
        return budget.model_copy(update=own)

    def sampling_steps(self, name: str) -> int:
        """The steps that the variant called `name` is sampled in, if it has as many."""
        budget = self.budget.sample
        scheduled = "schedule" in self.variant(name).train.degradation.options
        return budget.steps_with_schedule if scheduled else budget.steps

    def choices(self, name: str) -> dict[str, Any]:
        """All that decides about the variant called `name`, flat: train.target, train.images, sample.steps."""
        variant, budget = self.variant(name), self.train_budget(name)
        train = variant.train.model_dump() | budget.model_dump(exclude=NO_CHOICES)
        train |= {"trainings": len(budget.seeds)}
        sample = variant.sample.model_dump() | {"steps": self.sampling_steps(name)}
        return _flat({"train": train, "sample": sample})


NO_CHOICES = {"seeds", "network", "preconditioned", "weighting", "validations", "validation_images", "milestones"}
"""What the budget says of a training that the variant says itself, or that only watches the training."""


def _flat(block: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in block.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _with_cost(variant: Any, budget: Any) -> None:
    """Fill in what the budget sets of a variant's network and loss; what is misshapen is left to the schema."""
    try:
        network = variant["train"]["network"]
        of_network = budget["train"][network["name"]]
        filled = {"network": of_network.get("network", {}) | network}
        if variant["train"]["degradation"]["name"] == "gaussian_noise" and variant["train"]["target"] in ESTIMATES:
            filled = {key: of_network[key] for key in ("preconditioned", "weighting") if key in of_network} | filled
        variant["train"] = {**filled, **variant["train"], "network": filled["network"]}
    except (KeyError, TypeError, AttributeError):
        return


def read_params(path: Path = Path(PARAMS_FILE)) -> Params:
    """Read and check params.yaml.

    Raises ThawError, naming the file, the key, the value and what is allowed, at the first thing wrong.
    """
    content = read_yaml(path)
    try:
        params = Params.model_validate(content)
    except ValidationError as error:
        raise ThawError(f"{path.name}: {explain(error, Params)}") from None
    for name, variant in params.variants.items():
        if not VARIANT_NAME.fullmatch(name):
            raise ThawError(
                f"{path.name}: variants.{name} is not a name thaw can use for files; "
                "take at most 100 lower-case letters and digits, with single hyphens between."
            )
        network = variant.train.network.name
        if network not in params.budget.train:
            raise ThawError(
                f"{path.name}: variants.{name}.train.network.name is {network}, for which budget.train has no entry"
                f"{suggest(network, params.budget.train)}; add budget.train.{network} or choose one of "
                f"{', '.join(params.budget.train)}."
            )
        if variant.train.target == "adversarial" and params.budget.train[network].optimizer != "adam":
            raise ThawError(
                f"{path.name}: budget.train.{network}.optimizer is {params.budget.train[network].optimizer}, but "
                f"variants.{name} is adversarial, which is trained by adam alone; write adam."
            )
    _check_studies(path, params)
    _check_demos(path, params)
    _check_fairness(path, params)
    return params


OVERRIDES = ("train.longer", "train.learning_rate", "train.examples", "train.ema_decay")
"""What may not differ between variants of the main comparison that have the same network."""


def _check_fairness(path: Path, params: Params) -> None:
    """Refuse comparisons of variants that differ in more than what the comparison is about."""
    chosen = {name: params.choices(name) for name in params.variants}
    for key, comparison in params.studies.compared.items():
        first, *others = (chosen[name] for name in comparison.variants)
        allowed = (*comparison.about, *comparison.confounds)
        for other in others:
            differing = sorted(k for k in first.keys() | other.keys() if first.get(k) != other.get(k))
            wrong = [k for k in differing if not any(f"{k}.".startswith(f"{a}.") for a in allowed)]
            if wrong:
                name = next(n for n in comparison.variants if chosen[n] is other)
                raise ThawError(
                    f"{path.name}: studies.compared.{key} is about {', '.join(comparison.about)}, but "
                    f"{comparison.variants[0]} and {name} differ in {', '.join(wrong)} too; make them the same, or "
                    f"list the keys under studies.compared.{key}.confounds, which the report states."
                )
    by_network: dict[str, str] = {}
    for name in params.compared:
        other_name = by_network.setdefault(params.variants[name].train.network.name, name)
        for k in OVERRIDES:
            if chosen[name].get(k) != chosen[other_name].get(k):
                raise ThawError(
                    f"{path.name}: variants.{name}.{k} is {chosen[name].get(k)}, but {chosen[other_name].get(k)} for "
                    f"{other_name}, which has the same network and stands in the same comparison; make them the same, "
                    f"or give {name} a study of its own (variants.{name}.study)."
                )


def _check_studies(path: Path, params: Params) -> None:
    """Refuse names of variants and of comparisons that nothing has, and a name used twice."""
    named = [(f"studies.trained.{key}.variant", study.variant) for key, study in params.studies.trained.items()]
    for key, comparison in params.studies.compared.items():
        named += [(f"studies.compared.{key}.variants", name) for name in comparison.variants]
    for key, name in named:
        if name not in params.variants:
            raise ThawError(
                f"{path.name}: {key} is {name}, which is no variant{suggest(name, params.variants)}; "
                f"there are {', '.join(params.variants)}."
            )
    for name, variant in params.variants.items():
        if variant.study is not None and variant.study not in params.studies.compared:
            raise ThawError(
                f"{path.name}: variants.{name}.study is {variant.study}, for which studies.compared has no entry"
                f"{suggest(variant.study, params.studies.compared)}; add it there, or remove the key."
            )
    for key in (*params.studies.trained, *params.studies.untrained, *params.studies.compared):
        if not VARIANT_NAME.fullmatch(key):
            raise ThawError(
                f"{path.name}: studies has {key}, which is not a name thaw can use for files; "
                "take at most 100 lower-case letters and digits, with single hyphens between."
            )
    if twice := sorted(set(params.studies.trained) & set(params.studies.untrained)):
        raise ThawError(f"{path.name}: studies has {twice[0]} both in trained and in untrained; rename one of them.")
    if both := sorted({*params.variants} & {*params.studies.trained, *params.studies.untrained}):
        raise ThawError(f"{path.name}: {both[0]} names a variant and a study; rename one of them.")


def _check_demos(path: Path, params: Params) -> None:
    """Refuse a demo of a variant that there is not, or that has another degradation, and a name that is no demo's."""
    taken = {*params.variants, *params.studies.trained, *params.studies.untrained}
    for key, demo in params.demos.items():
        if key in taken or not VARIANT_NAME.fullmatch(key):
            raise ThawError(
                f"{path.name}: demos has {key}, which names a variant or a study, or is not a name thaw can use for "
                "files; take other lower-case letters and digits, with single hyphens between."
            )
        for degradation, name in demo:
            fitting = [n for n, v in params.variants.items() if v.train.degradation.name == degradation]
            if name not in fitting:
                raise ThawError(
                    f"{path.name}: demos.{key}.{degradation} is {name}, which is no variant with that degradation"
                    f"{suggest(name, fitting)}; take {' or '.join(fitting) or 'one, once there is one'}, or remove "
                    f"demos.{key}."
                )


def read_yaml(path: Path) -> Any:
    """The plain content of a YAML 1.2 file, where 1e-4 is a number. Raises ThawError where it cannot be read."""
    try:
        return YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ThawError(
            f"{path.name} is not in {path.parent.resolve()}; run thaw from a folder of a thaw project."
        ) from None
    except UnicodeDecodeError:
        raise ThawError(f"{path.name} is not text in UTF-8; save it in that encoding.") from None
    except ValueError:  # Python reads no integer of more
        raise ThawError(f"{path.name} has a number of more than 4300 digits; shorten it.") from None
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not YAML"
        raise ThawError(f"{path.name}{where}: {problem}; mend the YAML there.") from None


def write_profile(params: Path, profile: Path) -> None:
    """Replace what stands below `budget:` in `params` by what stands below it in `profile`, and touch nothing else.

    The budget that goes may be of an earlier version of thaw. Raises ThawError where the profile or anything else in
    `params` is not valid; then nothing is written.
    """
    content = read_yaml(profile)
    if not isinstance(content, dict) or list(content) != ["budget"]:
        raise ThawError(f"{profile.name}: the one key of a profile is budget; move everything below it.")
    try:
        Budget.model_validate(content["budget"])
    except ValidationError as error:
        raise ThawError(f"{profile.name}: {explain(error, Budget, 'budget')}") from None
    before = read_yaml(params)
    if not isinstance(before, dict) or "budget" not in before:
        raise ThawError(f"{params.name}: the key budget is missing; add `budget:` on a line of its own.")
    lines, new = params.read_text().splitlines(), profile.read_text().splitlines()
    start, end = _block(params, lines)
    block = new[slice(*_block(profile, new))]
    # What stands on the key's own line stays where it is a comment, and goes where it is a value.
    key = lines[start - 1] if re.match(r"budget:\s*(#|$)", lines[start - 1]) else "budget:"
    with replacing(params) as temporary:
        temporary.write_text("\n".join([*lines[: start - 1], key, *block, *lines[end:]]) + "\n")
        temporary.chmod(params.stat().st_mode)
        read_params(temporary)


def _block(path: Path, lines: list[str]) -> tuple[int, int]:
    """The lines below the top-level key `budget`, without the blank lines and comments that lead to the next key."""
    document = YAML().load(path.read_text())
    start = document.lc.key("budget")[0] + 1
    end = min((line for key in document if (line := document.lc.key(key)[0]) >= start), default=len(lines))
    while end > start and (not lines[end - 1].strip() or lines[end - 1].startswith("#")):
        end -= 1
    return start, end


def suggest(word: str, known: Iterable[str]) -> str:
    """A clause that names the nearest of the known words, or nothing where none is near."""
    near = difflib.get_close_matches(word.replace("-", "_"), [k.replace("-", "_") for k in known], n=1, cutoff=0.5)
    match = [k for k in known if near and k.replace("-", "_") == near[0]]
    return f" (did you mean {match[0]}?)" if match else ""


def explain(error: ValidationError, model: type[BaseModel], prefix: str = "") -> str:
    """One sentence on the first thing that pydantic found wrong."""
    # An unknown key explains the missing one beside it, so it is the one to name.
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    key = ".".join([*([prefix] if prefix else []), *(str(part) for part in first["loc"])])
    if first["type"] == "extra_forbidden":
        if key in RENAMED:
            return f"{key} is called {RENAMED[key]} now; rename it."
        known = _keys_at(model, first["loc"][:-1])
        word = str(first["loc"][-1])
        return f"{key} is not a key that thaw knows{suggest(word, known)}; allowed here: {', '.join(known)}."
    if first["type"] == "missing":
        return f"the key {key} is missing; add it (profiles/ and docs/ show every key)."
    if first["type"] in ("model_type", "dict_type", "model_attributes_type"):
        return f"{key or 'the file'} is not a block of keys; write them below it (profiles/ and docs/ show every key)."
    if first["type"] == "too_short":
        return f"{key} is empty; give it at least one entry."
    if first["type"] == "string_type" and "[key]" in key:
        return f"{key.removesuffix('.[key]')} is a key that YAML does not read as text; put it in quotes."
    value = first["input"]
    shown = f" is {reprlib.repr(value)}" if not isinstance(value, Mapping | list) else ""
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    nearest = ""
    if first["type"] == "literal_error" and isinstance(value, str):
        nearest = suggest(value, re.findall(r"'([^']+)'", message))
    return f"{key}{shown}, but {'it ' if shown else ''}{message}{nearest}."


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the schema allows at a place."""
    here: Any = model
    for part in location:
        if isinstance(here, type) and issubclass(here, BaseModel):
            here = here.model_fields[str(part)].annotation
        else:
            here = here.__args__[-1]  # dict[str, X] at one of its keys
        while hasattr(here, "__metadata__"):
            here = here.__origin__
    return list(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []
