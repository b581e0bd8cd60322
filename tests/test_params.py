import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from thaw import cli
from thaw.errors import ThawError
from thaw.params import PARAMS_FILE, Budget, Params, read_params, read_yaml, suggest, write_profile
from thaw.variant import check

PROJECT = Path(__file__).parents[1]
PROFILES = sorted((PROJECT / "profiles").glob("*.yaml"))
SMOKE = PROJECT / "profiles" / "smoke.yaml"
COMMITTED = (PROJECT / PARAMS_FILE).read_text()
NOISY, ZOOMED = "variants.noisy", "variants.zoomed"

TEXT = """\
# A comment at the top.
threads: 1 # of a process
data: {dataset: mnist, path: raw, pixels: 12, channels: 1, half_range: 0.5, validation_fraction: 0.2, seed: 0}

budget: # what sets the cost
  profile: tiny
  train:
    cnn:
      images: 640
      batch_size: 32
      optimizer: adam
      learning_rate: 4e-3 # of Adam
      learning_rate_schedule: cosine
      warmup_steps: 5
      final_learning_rate: 0.02
      seeds: [0, 1]
      milestones: [0.5, 1]
      validations: 4
      validation_images: 64
  sample:
    {images: 20, reconstructions: 20, severities: 4, severity_images: 10, milestone_images: 15, milestone_steps: 3,
     steps: 4, steps_with_schedule: 6, strip_steps: 20}
  objective: {test_images: 100, likelihood_images: 10, resamples: 20}
  evaluate: {resamples: 20}
  study: {images: 20}
defaults: # of every variant
  train: {target: clean, network: {name: cnn}, ema_decay: 0.99}
  sample: {seed: 7} # overridden below
variants:
  noisy: # the first
    train:
      degradation: {name: gaussian_noise, steps: 10, schedule: {name: linear, beta_min: 1e-4, beta_max: 0.02}}
      target: noise
    sample:
      sampler: {name: ancestral}
      latent: {name: normal}
      seed: 3
  zoomed:
    train:
      degradation: {name: zoom, steps: 5}
    sample:
      sampler: {name: cold_naive}
      latent: {name: pixels}
normality: {images: 4, draws: 2, points: 11, significance: 0.05} # no training
evaluation:
  classifier: {epochs: 1, batch_size: 128, learning_rate: 3e-3, seed: 0}
  readers: {count: 2, epochs: 1, batch_size: 128, learning_rate: 3e-3, seed: 9, sure: 0.9}
  inception: false
  confidence: 0.95
studies:
  {trained: {}, untrained: {}, compared: {t: {title: two, about: [train, sample], variants: [noisy, zoomed]}}} # one
"""

Write = Callable[..., Path]


def loaded(text: str = TEXT) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write params.yaml as above, but with values put (or, given `...`, taken out) at dotted keys."""

    def written(*changes: tuple[str, Any], text: str = TEXT) -> Path:
        path = tmp_path / PARAMS_FILE
        path.write_text(text)
        if changes:
            content = loaded(text)
            for key, value in changes:
                *above, last = key.split(".")
                place = content
                for part in above:
                    place = place[part]
                place[last] = value
                if value is ...:
                    del place[last]
            with path.open("w") as file:
                YAML(typ="safe", pure=True).dump(content, file)
        return path

    return written


def refusal(path: Path) -> str:
    """The sentence with which reading and checking `path` ends."""
    with pytest.raises(ThawError) as caught:
        check(read_params(path))
    sentence = str(caught.value)
    assert sentence.startswith(PARAMS_FILE)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    return sentence


# What is read


def test_the_committed_parameters_go_together() -> None:
    params = read_params(PROJECT / PARAMS_FILE)
    check(params)
    assert {"ddpm-linear", "ddpm-cosine", "cold-zoom-cnn"} <= set(params.variants)


def test_numbers_with_an_exponent_are_numbers(write: Write) -> None:
    params = read_params(write())
    assert params.variants["noisy"].train.degradation.options["schedule"]["beta_min"] == 1e-4
    assert params.train_budget("noisy").learning_rate == 4e-3


def test_defaults_stand_where_a_variant_says_nothing_else(write: Write) -> None:
    params = read_params(write())
    noisy, zoomed = params.variant("noisy"), params.variant("zoomed")
    assert (noisy.train.target, noisy.sample.seed) == ("noise", 3)
    assert (zoomed.train.target, zoomed.sample.seed) == ("clean", 7)
    assert noisy.train.network.name == zoomed.train.network.name == "cnn"
    assert noisy.train.ema_decay == zoomed.train.ema_decay == 0.99


def test_a_choice_of_a_variant_replaces_the_default_with_its_options(write: Write) -> None:
    default = ("defaults.sample.sampler", {"name": "ddim", "eta": 0.5})
    params = read_params(write(default, (f"{NOISY}.sample.sampler", ...), (f"{ZOOMED}.sample.sampler.name", "direct")))
    assert params.variant("noisy").sample.sampler.options == {"eta": 0.5}
    assert params.variant("zoomed").sample.sampler.options == {}
    check(params)


def test_a_variant_that_is_not_there_is_named_with_its_nearest(write: Write) -> None:
    params = read_params(write())
    with pytest.raises(ThawError) as caught:
        params.variant("noissy")
    assert str(caught.value) == "params.yaml: variants has no noissy (did you mean noisy?); it has noisy, zoomed."


def test_parameters_cannot_be_changed(write: Write) -> None:
    params = read_params(write())
    with pytest.raises(ValueError, match="frozen"):
        params.threads = 2


# Unknown keys

UNKNOWN = [
    ("thread", "threads", "normality"),
    ("data.pixel", "pixels", "half_range"),
    ("budget.trian", "train", "evaluate"),
    ("budget.train.cnn.image", "images", "validations"),
    ("budget.sample.imagse", "images", "strip_steps"),
    ("budget.sample.severity", "severities", "images"),
    ("budget.sample.step_with_schedule", "steps_with_schedule", "milestone_steps"),
    ("budget.train.cnn.precondition", "preconditioned", "weighting"),
    ("budget.objective.likelihood", "likelihood_images", "resamples"),
    ("budget.evaluate.resample", "resamples", "resamples"),
    ("defaults.trian", "train", "sample"),
    ("defaults.train.ema", "ema_decay", "network"),
    ("defaults.sample.sede", "seed", "latent"),
    (f"{NOISY}.trains", "train", "sample"),
    (f"{NOISY}.train.taget", "target", "degradation"),
    (f"{NOISY}.train.long", "longer", "trainings"),
    (f"{NOISY}.train.weights", "weighting", "preconditioned"),
    (f"{NOISY}.sample.lattent", "latent", "sampler"),
    ("normality.drawz", "draws", "points"),
    ("evaluation.confidenc", "confidence", "classifier"),
    ("evaluation.inceptoin", "inception", "classifier"),
    ("evaluation.classifier.epoch", "epochs", "seed"),
    ("evaluation.readers.counts", "count", "sure"),
    ("studies.compared.t.confound", "confounds", "about"),
    (f"{NOISY}.train.degradation.step", "steps", "schedule"),
    (f"{NOISY}.train.degradation.schedule.beta-min", "beta_min", "beta_max"),
    (f"{NOISY}.sample.sampler.varience", "variance", "clamp"),
    (f"{ZOOMED}.sample.sampler.sourse", "source", "source"),
]


@pytest.mark.parametrize(("key", "nearest", "allowed"), UNKNOWN, ids=[row[0] for row in UNKNOWN])
def test_an_unknown_key_is_named_with_its_nearest_and_what_is_allowed(
    key: str, nearest: str, allowed: str, write: Write
) -> None:
    sentence = refusal(write((key, 1)))
    assert sentence.startswith(f"params.yaml: {key} is not a key that thaw knows (did you mean {nearest}?)")
    assert allowed in sentence.partition("allowed here: ")[2]


@pytest.mark.parametrize(
    ("key", "choice"),
    [
        (f"{NOISY}.train.network.width", "cnn"),
        (f"{NOISY}.sample.latent.noise", "normal"),
        (f"{ZOOMED}.sample.latent.noise", "pixels"),
    ],
)
def test_a_choice_without_options_takes_none(key: str, choice: str, write: Write) -> None:
    path = write(("variants.noisy.train.network", {"name": "cnn"}), (key, 1))
    assert refusal(path) == f"params.yaml: {key} is not a key that thaw knows: {choice} has no options; remove it."


SUPPLIED = [f"sample.sampler.{key}" for key in ("noise", "callback", "half_range", "degradation")]


@pytest.mark.parametrize("given", ["train.degradation.shape", "train.degradation.key", *SUPPLIED])
def test_what_thaw_supplies_itself_is_no_option(given: str, write: Write) -> None:
    assert f"{given} is not a key that thaw knows" in refusal(write((f"{NOISY}.{given}", 1)))


# Missing keys

MISSING = [
    "threads", "budget", "defaults", "variants", "studies", "data.pixels", "budget.train.cnn.images",
    "budget.objective", "budget.objective.resamples", "budget.sample.severities", "budget.sample.steps_with_schedule",
    "budget.sample.severity_images", "budget.sample.milestone_steps", "evaluation.inception", "evaluation.readers",
    "evaluation.readers.sure", "studies.compared.t.about", "evaluation.classifier.seed",
    f"{NOISY}.train.degradation", f"{NOISY}.train.degradation.name",
    f"{NOISY}.train.degradation.steps", f"{NOISY}.train.degradation.schedule",
    f"{NOISY}.train.degradation.schedule.name", f"{NOISY}.train.degradation.schedule.beta_max",
    f"{ZOOMED}.sample.latent",
]  # fmt: skip


@pytest.mark.parametrize("key", MISSING)
def test_a_missing_key_is_named(key: str, write: Write) -> None:
    assert refusal(write((key, ...))).startswith(f"params.yaml: the key {key} is missing; add it")


def test_a_missing_key_is_explained_by_the_unknown_one_beside_it(write: Write) -> None:
    sentence = refusal(write(("data.pixels", ...), ("data.pixls", 8)))
    assert sentence.startswith("params.yaml: data.pixls is not a key that thaw knows (did you mean pixels?)")


# Wrong values

WRONG: list[tuple[str, Any, str]] = [
    ("threads", 0, "threads is 0, but it should be greater than or equal to 1"),
    ("threads", "two", "threads is 'two', but it should be a valid integer"),
    ("threads", 1.5, "threads is 1.5, but it should be a valid integer"),
    ("data", None, "data is not a block of keys; write them below it"),
    ("data.dataset", 5, "data.dataset is 5, but it should be a valid string"),
    ("data.pixels", 10, "data.pixels is 10, but it should be greater than or equal to 11"),
    ("data.channels", 2, "data.channels is 2, but it should be 1 or 3"),
    ("data.half_range", float("inf"), "data.half_range is inf, but it should be a finite number"),
    ("data.half_range", float("nan"), "data.half_range is nan, but it should be"),
    ("data.validation_fraction", 1, "data.validation_fraction is 1, but it should be less than 1"),
    ("budget", 3, "budget is not a block of keys; write them below it"),
    ("budget.train.cnn.optimizer", "adamw", "is 'adamw', but it should be 'adam' or 'muon' (did you mean adam?)"),
    ("budget.train.cnn.learning_rate_schedule", "cosin", "should be 'cosine' or 'constant' (did you mean cosine?)"),
    ("budget.train.cnn.learning_rate", "fast", "budget.train.cnn.learning_rate is 'fast', but it should be"),
    ("budget.train.cnn.seeds", [], "budget.train.cnn.seeds is empty; give it at least one entry"),
    ("budget.train.cnn.seeds", [0, 0], "seeds should all differ"),
    ("budget.train.cnn.seeds", 3, "budget.train.cnn.seeds is 3, but it should be a valid list"),
    ("budget.train.cnn.seeds", [0, -1], "budget.train.cnn.seeds.1 is -1, but it should be"),
    ("budget.train.cnn.milestones", [0.5, 0.2, 1], "milestones should be growing fractions"),
    ("budget.train.cnn.milestones", [0.2, 0.5], "milestones should be growing fractions"),
    ("budget.train.cnn.milestones", [0.5, 1.5], "milestones.1 is 1.5, but it should be less than or equal to 1"),
    ("budget.train.cnn.milestones", [True], "milestones.0 is True, but it should be a valid number"),
    ("budget.train.cnn.images", 31, "images should be at least one batch_size"),
    ("variants", {}, "variants is empty; give it at least one entry"),
    ("variants.noisy", None, "variants.noisy is not a block of keys; write them below it"),
    (
        f"{NOISY}.train.target",
        "epsilon",
        "is 'epsilon', but it should be 'noise', 'clean', 'velocity' or 'adversarial'.",
    ),
    (f"{NOISY}.train.target", "velocty", "(did you mean velocity?)"),
    (f"{NOISY}.train.target", "a\nb", "target is 'a\\nb', but it should be"),
    (f"{NOISY}.train.ema_decay", 1, "ema_decay is 1, but it should be less than 1"),
    (f"{NOISY}.train.degradation", "zoom", "degradation is not a block of keys; write them below it"),
    (f"{NOISY}.train.degradation.name", 5, "degradation.name is 5, but it should be a valid string"),
    (f"{NOISY}.train.degradation.steps", 0, "degradation.steps is 0, but it should be greater than or equal to 1"),
    (f"{NOISY}.train.degradation.steps", "many", "degradation.steps is 'many', but it should be a valid integer"),
    (f"{NOISY}.train.degradation.schedule", "linear", "schedule is not a block of keys; write them below it"),
    (f"{NOISY}.train.degradation.schedule.beta_min", 0, "schedule.beta_min is 0, but it should be greater than 0"),
    (f"{NOISY}.train.degradation.schedule.beta_max", 1, "schedule.beta_max is 1, but it should be less than 1"),
    (f"{NOISY}.sample.seed", -1, "sample.seed is -1, but it should be greater than or equal to 0"),
    (f"{NOISY}.sample.sampler.variance", "uper", "should be 'lower' or 'upper' (did you mean upper?)"),
    (f"{NOISY}.sample.sampler.clamp", "maybe", "sampler.clamp is 'maybe', but it should be a valid boolean"),
    (f"{NOISY}.sample.sampler", {"name": "ddim", "eta": 2}, "sampler.eta is 2, but it should be less than or equal"),
    (f"{ZOOMED}.sample.latent", {"name": "centres", "noise": -1}, "latent.noise is -1, but it should be greater"),
    (f"{ZOOMED}.sample.sampler", {"name": "cold_naive", "source": "hold"}, "(did you mean held?)"),
    (f"{ZOOMED}.train.degradation.steps", 12, "zoomed by at most 11 rows; take a smaller number"),
    ("normality.significance", 0, "normality.significance is 0, but it should be greater than 0"),
    ("evaluation.confidence", 0.3, "evaluation.confidence is 0.3, but it should be greater than 0.5"),
    ("evaluation.inception", "no", "evaluation.inception is 'no', but it should be a valid boolean"),
    ("budget.sample.severities", 3, "budget.sample.severities is 3, but it should be a multiple of 2"),
    ("budget.sample.severities", 0, "budget.sample.severities is 0, but it should be greater than or equal to 2"),
    ("budget.objective.likelihood_images", 1, "budget.objective.likelihood_images is 1, but it should be greater than"),
    (f"{NOISY}.train.longer", 1, "train.longer is 1, but it should be greater than or equal to 2"),
    (f"{NOISY}.train.longer", 2.5, "train.longer is 2.5, but it should be a valid integer"),
    (f"{NOISY}.train.weighting", "simpel", "'uniform', 'simple' or 'variational' (did you mean simple?)"),
    (f"{NOISY}.train.preconditioned", 1, "train.preconditioned is 1, but it should be a valid boolean"),
    ("budget.train.cnn.weighting", "uniforn", "'uniform', 'simple' or 'variational' (did you mean uniform?)"),
    ("budget.sample.milestone_steps", 0, "milestone_steps is 0, but it should be greater than or equal to 1"),
    ("evaluation.readers.sure", 1, "evaluation.readers.sure is 1, but it should be less than 1"),
    ("studies.compared.t.about", [], "studies.compared.t.about is empty; give it at least one entry"),
    ("studies.compared.t.variants", ["noisy"], "studies.compared.t.variants is empty"),
    ("studies", None, "studies is not a block of keys; write them below it"),
    ("threads", True, "threads is True, but it should be a valid integer"),
    ("threads", "1", "threads is '1', but it should be a valid integer"),
    ("data.pixels", "28", "data.pixels is '28', but it should be a valid integer"),
    ("defaults", 3, "defaults is not a block of keys; write them below it"),
    ("defaults.train", 3, "defaults.train is not a block of keys; write them below it"),
    (f"{NOISY}.train", "x", "train is not a block of keys; write them below it"),
    (f"{NOISY}.sample", [1], "sample is not a block of keys; write them below it"),
    (f"{NOISY}.train.degradation.steps", True, "degradation.steps is True, but it should be a valid integer"),
    (f"{NOISY}.train.degradation.steps", 2**31, "degradation.steps is 2147483648, but it should be less than"),
    ("budget.sample.images", 10**40, "but it should be less than or equal to 1000000000"),
    (
        "titles",
        {"noisy": "<script>alert(1)</script>"},
        "alert(1)</script>', but it must do without '<'",
    ),
    ("studies.compared.t.title", "[x](javascript:alert(1))", "but it must do without '['; write it in plain words"),
    ("budget.sample.images", "x" * 5000, "xxx', but it should be a valid integer"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG, ids=[f"{row[0]}={row[1]!r:.40}" for row in WRONG])
def test_a_wrong_value_is_named_with_what_is_allowed(key: str, value: Any, said: str, write: Write) -> None:
    sentence = refusal(write((key, value)))
    assert said in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize("name", ["Ddpm", "a_b", "a--b", "-a", "a-", "a b", "a/b", "..", "a" * 101])
def test_a_name_that_is_no_good_for_files_is_refused(name: str, write: Write) -> None:
    sentence = refusal(write(("variants", {name: loaded()["variants"]["noisy"]})))
    assert sentence.startswith(f"params.yaml: variants.{name} is not a name thaw can use for files")


def test_a_number_that_is_too_long_to_be_read_is_refused(write: Write) -> None:
    assert "more than 4300 digits" in refusal(write(text=f"{TEXT}\nmore: {'9' * 5000}\n"))


# What does not go together, or does not exist

NAMES = [
    ("noisy.train.degradation.name", "gaussian-noise", "no degradation of thaw (did you mean gaussian_noise?); there"),
    ("noisy.train.degradation.schedule.name", "linar", "no schedule of thaw (did you mean linear?); there are linear,"),
    ("noisy.sample.sampler.name", "cold-naive", "no sampler of thaw (did you mean cold_naive?); there are ancestral, "),
    ("noisy.sample.sampler.name", "_walk", "no sampler of thaw"),
    ("noisy.sample.latent.name", "pixels", "no latent of gaussian_noise; there are normal"),
    ("zoomed.sample.latent.name", "pixel", "no latent of zoom (did you mean pixels?); there are pixels, centres"),
]


@pytest.mark.parametrize(("key", "value", "said"), NAMES, ids=[f"{row[0]}={row[1]}" for row in NAMES])
def test_a_name_of_nothing_is_refused_with_its_nearest(key: str, value: str, said: str, write: Write) -> None:
    sentence = refusal(write((f"variants.{key}", value)))
    assert sentence.startswith(f"params.yaml: variants.{key} is {value!r}, which is {said}")


SOURCELESS = [
    ("train.target", "noise", "that is mixed into the image, but zoom has none; take clean"),
    ("train.target", "velocity", ""),
    ("sample.sampler.name", "ancestral", "mixed into the image, but zoom has none; take cold_naive"),
    ("sample.sampler.name", "ddim", "mixed into the image"),
]


@pytest.mark.parametrize(("key", "value", "said"), SOURCELESS)
def test_what_needs_a_source_is_refused_where_there_is_none(key: str, value: str, said: str, write: Write) -> None:
    sentence = refusal(write((f"{ZOOMED}.{key}", value)))
    assert sentence.startswith(f"params.yaml: {ZOOMED}.{key} is {value}, which needs a source {said}")


def test_a_network_without_a_budget_or_a_module_is_refused(write: Write) -> None:
    sentence = refusal(write((f"{NOISY}.train.network", {"name": "cnnn"})))
    assert "network.name is cnnn, for which budget.train has no entry (did you mean cnn?); add budget.tra" in sentence
    budget = loaded()["budget"]["train"]["cnn"]
    sentence = refusal(write(("budget.train.cnnn", budget), (f"{NOISY}.train.network", {"name": "cnnn"})))
    assert "train.network.name is 'cnnn', which is no network of thaw (did you mean cnn?)" in sentence


COLD = ["direct", "cold_naive", "cold_improved"]


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", *COLD])
@pytest.mark.parametrize("target", ["noise", "clean", "velocity"])
def test_gaussian_noise_takes_every_target_and_sampler(target: str, sampler: str, write: Write) -> None:
    check(read_params(write((f"{NOISY}.train.target", target), (f"{NOISY}.sample.sampler", {"name": sampler}))))


@pytest.mark.parametrize("latent", ["pixels", "centres"])
@pytest.mark.parametrize("sampler", COLD)
def test_zoom_takes_the_cold_samplers(sampler: str, latent: str, write: Write) -> None:
    changes = (f"{ZOOMED}.sample.sampler", {"name": sampler}), (f"{ZOOMED}.sample.latent", {"name": latent})
    check(read_params(write(*changes)))


def test_the_nearest_word_takes_hyphens_for_underscores_and_may_be_none() -> None:
    assert suggest("cold-naive", ["ddim", "cold_naive"]) == " (did you mean cold_naive?)"
    assert suggest("zzz", ["ddim", "cold_naive"]) == ""


# Files that are not YAML

BROKEN = [
    ("threads: 1\n\tdata: 2\n", " line 2: found a tab character"),
    ("threads: 1\ndata: {pixels: 12\nbudget: 3\n", " line 3: did not find expected ',' or '}'"),
    ("threads: 1\nthreads: 2\n", " line 2: found duplicate key"),
    ("threads: 1\ndata: *here\n", " line 2: found undefined alias"),
    ("threads: !!python/object/apply:os.getcwd []\n", " line 1: could not determine a constructor"),
]


@pytest.mark.parametrize(("text", "said"), BROKEN, ids=["tab", "bracket", "duplicate", "alias", "tag"])
def test_a_fault_of_the_yaml_is_named_with_its_line(text: str, said: str, write: Write) -> None:
    sentence = refusal(write(text=text))
    assert sentence.startswith(f"params.yaml{said}")
    assert sentence.endswith("; mend the YAML there.")


def test_a_missing_file_is_named_with_its_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path / PARAMS_FILE) == (
        f"params.yaml is not in {tmp_path.resolve()}; run thaw from a folder of a thaw project."
    )


# Profiles


def test_there_are_the_four_profiles() -> None:
    assert [path.stem for path in PROFILES] == ["paper", "quick", "smoke", "standard"]


@pytest.mark.parametrize("profile", PROFILES, ids=[path.stem for path in PROFILES])
def test_every_profile_makes_valid_parameters(profile: Path, write: Write) -> None:
    path = write(text=COMMITTED)
    before = read_yaml(path)
    write_profile(path, profile)
    after = read_params(path)
    check(after)
    assert after.budget.profile == profile.stem
    assert after.budget == Budget.model_validate(read_yaml(profile)["budget"])
    assert read_yaml(path) == before | read_yaml(profile), "nothing but the budget is another"


def test_a_profile_keeps_comments_and_order_of_all_else(write: Write) -> None:
    path = write()
    write_profile(path, SMOKE)
    text = path.read_text()
    assert list(read_yaml(path)) == list(loaded())
    for comment in ("# A comment at the top.\n", "threads: 1 # of a process\n", "budget: # what sets the cost\n",
                    "defaults: # of every variant\n", "# overridden below\n", "noisy: # the first\n",
                    "# no training\n", "variants: [noisy, zoomed]}}} # one\n"):  # fmt: skip
        assert comment in text
    assert "beta_min: 1e-4" in text, "numbers stay as they were written"
    assert "seeds: [0, 1]\n" in text
    write_profile(path, SMOKE)
    assert path.read_text() == text


START, END = COMMITTED.index("budget:"), COMMITTED.index("\ndefaults:")


@pytest.mark.parametrize(
    "budget",
    [
        "budget: # of an earlier version\n  profile: old\n  train: {cnn: {images: 0}}\n  gone: 1\n",
        "budget:\n",
        "budget: standard\n",
        "budget: {profile: old,\n  train: {}}\n",
    ],
    ids=["keys that are no more", "nothing", "a word", "in braces"],
)
def test_an_invalid_budget_is_replaced(budget: str, write: Write) -> None:
    path = write(text=COMMITTED[:START] + budget + COMMITTED[END:])
    with pytest.raises(ThawError):
        read_params(path)
    write_profile(path, SMOKE)
    assert read_yaml(path)["budget"] == read_yaml(SMOKE)["budget"]
    after = path.read_text()
    assert after.startswith(f"{COMMITTED[:START]}budget:")
    assert after.endswith(COMMITTED[END:])
    assert ("# of an earlier version" in after) == ("# of an earlier version" in budget), "a comment stays"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (COMMITTED.replace("threads: 1", "treads: 1"), "treads is not a key .*did you mean threads"),
        (COMMITTED[:START] + COMMITTED[END:], "the key budget is missing; add"),
    ],
    ids=["a misspelled key", "no budget"],
)
def test_a_profile_is_written_only_where_all_else_is_right(text: str, said: str, write: Write) -> None:
    path = write(text=text)
    with pytest.raises(ThawError, match=rf"^params\.yaml: {said}"):
        write_profile(path, SMOKE)
    assert path.read_text() == text


def test_an_invalid_profile_changes_nothing(write: Write, tmp_path: Path) -> None:
    path, profile = write(), tmp_path / "broken.yaml"
    profile.write_text(SMOKE.read_text().replace("batch_size: 32", "batch_size: 0"))
    with pytest.raises(ThawError, match=r"budget\.train\.cnn\.batch_size is 0, but it should be greater"):
        write_profile(path, profile)
    assert path.read_text() == TEXT
    assert sorted(found.name for found in tmp_path.iterdir()) == ["broken.yaml", PARAMS_FILE]


@pytest.mark.parametrize("content", ["threads: 2\n", "budget: {}\nthreads: 2\n", "- budget\n", ""], ids=repr)
def test_a_profile_has_nothing_beside_its_budget(content: str, write: Write, tmp_path: Path) -> None:
    path, profile = write(), tmp_path / "odd.yaml"
    profile.write_text(content)
    with pytest.raises(ThawError, match=r"^odd\.yaml: the one key of a profile is budget"):
        write_profile(path, profile)
    assert path.read_text() == TEXT


# The command line


@pytest.fixture
def thaw(write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command line in a project of the above parameters, and give the one line with which it refuses."""

    def ran(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["thaw", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        assert caught.value.code == 2
        return capsys.readouterr().err.removesuffix("\n")

    project = write().parent
    (project / "dvc.yaml").touch()
    monkeypatch.chdir(project)
    return ran


def test_the_command_refuses_in_one_sentence(thaw: Callable[..., str], write: Write) -> None:
    said = "thaw: params.yaml: variants has no nosy (did you mean noisy?); it has noisy, zoomed."
    assert thaw("train", "nosy") == said
    write((f"{ZOOMED}.sample.sampler.name", "ddim"))
    assert thaw("train", "noisy").startswith("thaw: params.yaml: variants.zoomed.sample.sampler.name is ddim")


def test_a_profile_that_is_not_there_is_named_with_its_nearest(thaw: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "profiles").mkdir()
    for name in ("smoke", "quick"):
        (tmp_path / "profiles" / f"{name}.yaml").touch()
    assert thaw("profile", "smoky") == (
        "thaw: profiles/smoky.yaml does not exist (did you mean smoke?); there are quick, smoke."
    )


def test_the_installed_command_ends_with_status_2_and_no_traceback(write: Write) -> None:
    project = write(("threads", 0)).parent
    (project / "dvc.yaml").touch()
    command = Path(sys.executable).with_name("thaw")
    ended = subprocess.run([command, "sample", "noisy"], cwd=project, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "thaw: params.yaml: threads is 0, but it should be greater than or equal to 1.\n"
    assert ended.stdout == ""


# Studies, and what the budget says of networks

ALONE = (f"{ZOOMED}.study", "t")
"""Leaves noisy alone in the main comparison."""


def test_the_budget_sets_options_of_the_network_and_a_variant_goes_before_it(write: Write) -> None:
    budget = {**loaded()["budget"]["train"]["cnn"], "network": {"widths": [4, 8], "kernel": 1}}
    network = {"name": "convnext_unet", "kernel": 5}
    path = write(("budget.train.convnext_unet", budget), (f"{NOISY}.train.network", network))
    assert read_params(path).variant("noisy").train.network.options == {"widths": [4, 8], "kernel": 5}
    check(read_params(path))


def test_an_unknown_option_in_the_budget_is_refused(write: Write) -> None:
    sentence = refusal(write(("budget.train.cnn.network", {"widht": 4})))
    assert "variants.noisy.train.network.widht is not a key that thaw knows" in sentence


@pytest.mark.parametrize(
    ("asked", "budgeted"),
    [
        ({"trainings": 1}, {"seeds": [0]}),
        ({"longer": 3}, {"images": 3 * 640}),
        ({"longer": 3, "trainings": 1}, {"images": 3 * 640, "seeds": [0]}),
        ({"learning_rate": 1e-5}, {"learning_rate": 1e-5}),
    ],
)
def test_what_a_variant_asks_of_its_training_goes_before_the_budget(
    asked: dict[str, float], budgeted: dict[str, Any], write: Write
) -> None:
    changes = ((f"{NOISY}.train.{key}", value) for key, value in asked.items())
    params = read_params(write(ALONE, *changes))
    usual = params.budget.train["cnn"]
    assert (usual.images, usual.seeds, usual.learning_rate) == (640, [0, 1], 4e-3)
    assert params.train_budget("zoomed") == usual
    assert params.train_budget("noisy").model_dump() == usual.model_dump() | budgeted, "the rest is of the network"


def test_a_gan_is_trained_by_adam_alone(write: Write) -> None:
    erased = {"degradation": {"name": "erase"}, "target": "adversarial", "network": {"name": "cnn"}}
    wrong = write((f"{NOISY}.train", erased | {"ema_decay": 0.9}), ("budget.train.cnn.optimizer", "muon"))
    assert refusal(wrong).endswith("is adversarial, which is trained by adam alone; write adam.")


def test_variants_of_one_study_are_left_out_of_the_comparison(write: Write) -> None:
    params = read_params(write((f"{ZOOMED}.study", "t")))
    assert params.compared == ["noisy"]


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("studies.trained", {"a": {"name": "x", "variant": "nosy"}}, "nosy, which is no variant (did you mean noisy?)"),
        ("studies.compared.t.variants", ["noisy", "zoom"], "is zoom, which is no variant (did you mean zoomed?)"),
        (f"{ZOOMED}.study", "targets", "variants.zoomed.study is targets, for which studies.compared has no entry"),
        ("studies.untrained", {"A b": {"name": "x"}}, "studies has A b, which is not a name thaw can use for files"),
        (f"{ZOOMED}.train.weighting", "variational", "weights are those of the noise"),
        (f"{NOISY}.train.weighting", "uniform", "weighting is uniform, which weighs the answer of a preconditioned"),
        (f"{ZOOMED}.train.preconditioned", True, "preconditioned is true, which takes noise that is drawn"),
        (f"{ZOOMED}.train.target", "adversarial", "adversarial goes with erase"),
    ],
)
def test_studies_and_weights_that_mean_nothing_are_refused(write: Write, key: str, value: Any, why: str) -> None:
    assert why in refusal(write((key, value)))


def test_a_name_is_one_study_or_variant(write: Write) -> None:
    trained = ("studies.trained", {"a": {"name": "x", "variant": "noisy"}})
    twice = write(trained, ("studies.untrained", {"a": {"name": "x"}}))
    assert "has a both in trained and in untrained" in refusal(twice)
    both = write(("studies.untrained", {"noisy": {"name": "x"}}))
    assert "noisy names a variant and a study; rename one of them" in refusal(both)


# What the budget says of the loss

INSIDE = ("budget.train.cnn.preconditioned", True), ("budget.train.cnn.weighting", "uniform")


def loss_of(params: Params, variant: str) -> tuple[bool, str]:
    block = params.variant(variant).train
    return block.preconditioned, block.weighting


def test_without_a_word_of_the_budget_the_loss_is_plain(write: Write) -> None:
    params = read_params(write())
    assert loss_of(params, "noisy") == loss_of(params, "zoomed") == (False, "simple")


@pytest.mark.parametrize("target", ["noise", "clean", "velocity"])
def test_the_budget_preconditions_gaussian_noise_where_noise_or_clean_is_predicted(target: str, write: Write) -> None:
    params = read_params(write(*INSIDE, (f"{NOISY}.train.target", target)))
    check(params)
    assert loss_of(params, "noisy") == ((False, "simple") if target == "velocity" else (True, "uniform"))
    assert loss_of(params, "zoomed") == (False, "simple"), "a degradation without a source has the plain loss"


def test_a_morph_and_a_gan_are_not_preconditioned() -> None:
    params = read_params(PROJECT / PARAMS_FILE)
    for name, variant in params.variants.items():
        if variant.train.degradation.name != "gaussian_noise":
            assert loss_of(params, name) == (False, "simple"), name


def test_a_variant_goes_before_the_budget_s_loss(write: Write) -> None:
    changes = (f"{NOISY}.train.weighting", "simple"), (f"{NOISY}.train.preconditioned", False)
    assert loss_of(read_params(write(*INSIDE, changes[0])), "noisy") == (True, "simple")
    assert loss_of(read_params(write(*INSIDE, *changes)), "noisy") == (False, "simple")
    path = write(*INSIDE, changes[1])
    assert "variants.noisy.train.weighting is uniform" in refusal(path)


# How many steps


def test_sampling_takes_the_steps_of_a_schedule_where_there_is_one(write: Write) -> None:
    params = read_params(write())
    assert params.sampling_steps("noisy") == params.choices("noisy")["sample.steps"] == 6
    assert params.sampling_steps("zoomed") == params.choices("zoomed")["sample.steps"] == 4


# Comparisons are fair


def two(write: Write, *changes: tuple[str, Any], about: list[str], confounds: list[str] | None = None) -> Path:
    """Parameters in which noisy and a second variant like it are compared, with changes to the second, `other`."""
    noisy = loaded()["variants"]["noisy"]
    compared = {"t": {"title": "two", "about": about, "confounds": confounds or [], "variants": ["noisy", "other"]}}
    return write(("variants.other", noisy | {"study": "t"}), ("studies.compared", compared), *changes)


LOUDER = ("variants.other.train.degradation.schedule.beta_max", 0.03)
DIFFERENCES: list[tuple[tuple[str, Any], str]] = [
    (("variants.other.train.target", "clean"), "train.target"),
    (("variants.other.train.trainings", 1), "train.trainings"),
    (("variants.other.train.longer", 2), "train.images, train.longer"),
    (("variants.other.train.learning_rate", 1e-3), "train.learning_rate"),
    (("variants.other.train.examples", 100), "train.examples"),
    (("variants.other.train.ema_decay", 0.9), "train.ema_decay"),
    (("variants.other.train.preconditioned", True), "train.preconditioned"),
    (("variants.other.train.weighting", "variational"), "train.weighting"),
    (("variants.other.train.degradation.steps", 20), "train.degradation.steps"),
    (("variants.other.sample.sampler.variance", "upper"), "sample.sampler.variance"),
    (("variants.other.sample.sampler.name", "ddim"), "sample.sampler.name"),
    (("variants.other.sample.seed", 9), "sample.seed"),
]


def test_variants_that_differ_in_what_a_comparison_is_about_are_compared(write: Write) -> None:
    for about in ("train", "train.degradation", "train.degradation.schedule", "train.degradation.schedule.beta_max"):
        assert read_params(two(write, LOUDER, about=[about])).studies.compared["t"].about == [about]


@pytest.mark.parametrize(("change", "keys"), DIFFERENCES, ids=[keys for _, keys in DIFFERENCES])
def test_a_comparison_of_variants_that_differ_in_more_is_refused(
    change: tuple[str, Any], keys: str, write: Write
) -> None:
    assert refusal(two(write, LOUDER, change, about=["train.degradation.schedule"])) == (
        "params.yaml: studies.compared.t is about train.degradation.schedule, but noisy and other differ in "
        f"{keys} too; make them the same, or list the keys under studies.compared.t.confounds, which the report states."
    )
    path = two(write, LOUDER, change, about=["train.degradation.schedule"], confounds=keys.split(", "))
    assert read_params(path).studies.compared["t"].confounds == keys.split(", ")


def test_a_network_s_own_budget_is_a_difference(write: Write) -> None:
    other = {"images": 960, "batch_size": 16, "seeds": [0], "network": {"widths": [8]}, "validations": 3}
    wide = loaded()["budget"]["train"]["cnn"] | other
    changes = ("budget.train.convnext_unet", wide), ("variants.other.train.network", {"name": "convnext_unet"})
    sentence = refusal(two(write, *changes, about=["train.network"]))
    assert "noisy and other differ in train.batch_size, train.images, train.trainings too" in sentence
    confounds = ["train.batch_size", "train.images", "train.trainings"]
    check(read_params(two(write, *changes, about=["train.network"], confounds=confounds)))


def test_the_number_of_steps_of_a_degradation_without_a_schedule_is_a_difference(write: Write) -> None:
    every = ["train", "sample.sampler", "sample.latent", "sample.seed"]
    sentence = refusal(write(("studies.compared.t.about", every)))
    assert "noisy and zoomed differ in sample.steps too" in sentence


def test_a_key_s_name_is_not_the_beginning_of_another(write: Write) -> None:
    sentence = refusal(two(write, ("variants.other.train.target", "clean"), about=["train.targ"]))
    assert "differ in train.target too" in sentence


OVERRIDDEN = [("longer", 2), ("learning_rate", 1e-3), ("examples", 100), ("ema_decay", 0.9)]


@pytest.mark.parametrize(("key", "value"), OVERRIDDEN)
def test_a_training_of_its_own_has_no_place_in_the_main_comparison(key: str, value: float, write: Write) -> None:
    change = (f"{ZOOMED}.train.{key}", value)
    sentence = refusal(write(change))
    assert sentence.startswith(f"params.yaml: variants.zoomed.train.{key} is {value}, but ")
    assert "for noisy, which has the same network and stands in the same comparison" in sentence
    read_params(write(change, ALONE))
    unet = ("budget.train.convnext_unet", loaded()["budget"]["train"]["cnn"])
    read_params(write(change, unet, (f"{ZOOMED}.train.network", {"name": "convnext_unet"})))


def test_a_name_without_end_is_not_recited(write: Write) -> None:
    said = refusal(write((f"{ZOOMED}.sample.sampler.name", "a" * 5000)))
    assert "should have at most 100 characters" in said
    assert len(said) < 200
