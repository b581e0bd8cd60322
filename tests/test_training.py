import copy
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate.state import AcceleratorState
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from thaw import hardware
from thaw.data import Dataset, Images
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.degradations.gaussian_noise import GaussianNoise
from thaw.diffusion.degradations.zoom import Zoom
from thaw.diffusion.objectives import TARGETS
from thaw.errors import ThawError
from thaw.networks.cnn import Cnn
from thaw.params import Choice, TrainBudget
from thaw.randomness import generator
from thaw.training import checkpoint as checkpoints
from thaw.training import loop
from thaw.training.checkpoint import read_tensors
from thaw.training.loop import Trained, Validation, batches, learning_rate_factor, train

SHAPE = (1, 8, 8)
CPU = torch.device("cpu")


class Small(nn.Module):
    """z and tau to one convolution of both."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, z: Tensor, tau: Tensor) -> Tensor:
        return self.convolution(torch.cat([z, tau[:, None, None, None].expand_as(z)], dim=1))


def small() -> nn.Module:
    torch.manual_seed(0)
    return Small()


def cnn() -> nn.Module:
    torch.manual_seed(0)
    return Cnn(shape=SHAPE).to(memory_format=torch.channels_last)


def noise() -> Degradation:
    schedule = Choice.model_validate({"name": "linear", "beta_min": 1e-3, "beta_max": 0.3})
    return GaussianNoise(shape=SHAPE, steps=20, schedule=schedule)


def zoom() -> Degradation:
    return Zoom(shape=SHAPE, steps=3)


def images(count: int, seed: int) -> Images:
    """Random black and white patterns."""
    stream = torch.Generator().manual_seed(seed)
    return Images(255 * torch.randint(2, (count, *SHAPE), generator=stream).to(torch.uint8), None)


def budget(**changes: Any) -> TrainBudget:
    """Twenty steps, validated after every fourth."""
    tiny = {
        "images": 160,
        "batch_size": 8,
        "optimizer": "adam",
        "learning_rate": 1e-2,
        "learning_rate_schedule": "cosine",
        "warmup_steps": 3,
        "final_learning_rate": 0.1,
        "seeds": [0],
        "milestones": [0.25, 1],
        "validations": 5,
        "validation_images": 30,
    }
    return TrainBudget.model_validate(tiny | changes)


@dataclass
class Case:
    """One training, which `run` begins or goes on with."""

    checkpoint: Path
    network: Callable[[], nn.Module] = small
    degradation: Degradation = field(default_factory=noise)
    target: str = "noise"
    dataset: Dataset = field(
        default_factory=lambda: Dataset("patterns", images(50, 1), images(30, 2), images(10, 3), 0.5)
    )
    budget: TrainBudget = field(default_factory=budget)
    ema_decay: float = 0.9
    seed: int = 0
    fingerprint: str = "ours"

    def run(self) -> Trained:
        return train(
            self.network(), self.degradation, TARGETS[self.target](self.degradation), self.dataset, self.budget,
            ema_decay=self.ema_decay, seed=self.seed, checkpoint=self.checkpoint, fingerprint=self.fingerprint,
            label="test",
        )  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def exact() -> Iterator[None]:
    """Train in float32 on the processor, whatever this machine has, and forget it afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "1")
        patch.setattr(hardware, "bf16_is_fast", lambda _: False)
        AcceleratorState._reset_state(reset_partial_state=True)
        yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "checkpoints" / "seed-0")


def assert_same(one: Trained, two: Trained) -> None:
    """Bit for bit: every weight at every point, and the curve."""
    assert one.curve == two.curve
    assert one.best_images == two.best_images
    assert one.weights.keys() == two.weights.keys()
    for point, weights in one.weights.items():
        assert weights.keys() == two.weights[point].keys()
        assert all(torch.equal(weights[name], two.weights[point][name]) for name in weights), point


# Batches


def first(batch: Iterator[Tensor], count: int) -> list[list[int]]:
    return [indices.tolist() for indices in itertools.islice(batch, count)]


@given(count=st.integers(1, 40), batch_size=st.integers(1, 90), steps=st.integers(1, 12))
def test_every_epoch_has_every_image_once(count: int, batch_size: int, steps: int) -> None:
    drawn = first(batches(count, batch_size, 0, 0), steps)
    assert all(len(batch) == batch_size for batch in drawn)
    seen = [index for batch in drawn for index in batch]
    epochs = [seen[begin : begin + count] for begin in range(0, len(seen), count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs[:-1])
    assert len(set(epochs[-1])) == len(epochs[-1])
    assert set(epochs[-1]) <= set(range(count))


@given(count=st.integers(1, 40), batch_size=st.integers(1, 90), start=st.integers(0, 30))
def test_starting_at_a_step_is_skipping_the_steps_before(count: int, batch_size: int, start: int) -> None:
    skipped = batches(count, batch_size, 0, 0)
    first(skipped, start)
    assert first(batches(count, batch_size, 0, start), 5) == first(skipped, 5)


def test_the_order_is_another_in_every_epoch_and_for_every_seed() -> None:
    one, two = first(batches(50, 50, 0, 0), 2)
    assert one != two
    assert first(batches(50, 50, 1, 0), 1) != [one]


# Learning rate


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warm_up_is_linear_and_reaches_its_end(schedule: str) -> None:
    settings = budget(learning_rate_schedule=schedule, warmup_steps=10)
    factors = [learning_rate_factor(step, 10**6, settings) for step in range(12)]
    assert factors == pytest.approx([*(k / 10 for k in range(1, 11)), 1, 1], abs=1e-9)


def test_a_constant_rate_stays() -> None:
    settings = budget(learning_rate_schedule="constant", warmup_steps=0)
    assert [learning_rate_factor(step, 50, settings) for step in range(50)] == [1] * 50


def test_a_cosine_ends_at_its_final_share() -> None:
    settings = budget(warmup_steps=0, final_learning_rate=0.02)
    factors = [learning_rate_factor(step, 101, settings) for step in range(101)]
    assert factors[0] == 1
    assert factors[50] == pytest.approx((1 + 0.02) / 2)
    assert factors[100] == pytest.approx(0.02)
    assert factors == sorted(factors, reverse=True)


@given(
    steps=st.integers(1, 200), warmup=st.integers(0, 300), final=st.floats(0, 1),
    schedule=st.sampled_from(["constant", "cosine"]),
)  # fmt: skip
def test_the_factor_is_a_share(steps: int, warmup: int, final: float, schedule: str) -> None:
    settings = budget(learning_rate_schedule=schedule, warmup_steps=warmup, final_learning_rate=final)
    factors = [learning_rate_factor(step, steps, settings) for step in range(steps)]
    assert all(0 <= factor <= 1 + 1e-12 for factor in factors)


# Validation


def test_validation_sees_every_step_of_the_process_equally_often(case: Case) -> None:
    counts = torch.bincount(Validation(case.dataset, zoom(), 30).t)
    assert counts.tolist() == [0, 10, 10, 10]


def test_validation_is_fixed_and_takes_no_more_images_than_there_are(case: Case) -> None:
    torch.manual_seed(1)
    one = Validation(case.dataset, case.degradation, 1000)
    torch.manual_seed(2)
    two = Validation(case.dataset, case.degradation, 1000)
    assert len(one.x) == len(one.t) == 30
    assert one.source is not None
    assert two.source is not None
    assert torch.equal(one.t, two.t)
    assert torch.equal(one.source, two.source)


def test_validation_loss_is_the_mean_squared_error_over_all_parts(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "VALIDATION_BATCH", 7)  # 30 images in parts that are not equal
    validation = Validation(case.dataset, case.degradation, 30)
    network, target = small(), TARGETS["noise"](case.degradation)
    assert validation.source is not None
    z = case.degradation.degrade(validation.x, validation.t, validation.source)
    expected = F.mse_loss(network(z, validation.t / 20), validation.source)
    assert validation.loss(network, target, CPU) == pytest.approx(expected.item(), rel=1e-6)


# The loop


def plain_loop(case: Case) -> tuple[list[dict[str, Tensor]], list[float]]:
    """The same training written down once more: averaged weights and batch loss after every step."""
    network, settings, decay = case.network(), case.budget, case.ema_decay
    steps = math.ceil(settings.images / settings.batch_size)
    order = batches(len(case.dataset.train), settings.batch_size, case.seed, 0)
    adam = torch.optim.Adam(network.parameters())
    averaged: dict[str, np.ndarray] = {}
    weights, errors = [], []
    for step in range(steps):
        stream = generator("step", case.seed, step)
        t = torch.randint(1, case.degradation.steps + 1, (settings.batch_size,), generator=stream)
        source = case.degradation.draw_source(settings.batch_size, stream, "train")
        x = case.dataset.train.pixels[next(order)].float() / 255 - 0.5
        answer = x if case.target == "clean" else source
        assert answer is not None
        error = F.mse_loss(network(case.degradation.degrade(x, t, source), t / case.degradation.steps), answer)
        adam.param_groups[0]["lr"] = settings.learning_rate * learning_rate_factor(step, steps, settings)
        adam.zero_grad()
        error.backward()
        adam.step()
        errors.append(error.item())
        d = 0 if step == 0 else min(decay, (1 + step) / (10 + step))
        now = {name: value.detach().double().numpy().copy() for name, value in network.named_parameters()}
        averaged = {name: d * averaged.get(name, value) + (1 - d) * value for name, value in now.items()}
        weights.append({name: torch.from_numpy(value.copy()) for name, value in averaged.items()})
    return weights, errors


@pytest.mark.parametrize("ema_decay", [0, 0.5, 0.9999])
@pytest.mark.parametrize(("degradation", "target"), [(noise, "noise"), (zoom, "clean")])
def test_training_is_the_plain_loop(
    case: Case, degradation: Callable[[], Degradation], target: str, ema_decay: float
) -> None:
    case = replace(case, degradation=degradation(), target=target, ema_decay=ema_decay)
    trained, (weights, errors) = case.run(), plain_loop(case)
    assert trained.weights.keys() == {"best", "0.25", "1"}
    for point, step in (("0.25", 5), ("1", 20)):
        for name, value in trained.weights[point].items():
            torch.testing.assert_close(value.double(), weights[step - 1][name], rtol=1e-4, atol=1e-5)
    expected = np.reshape(errors, (5, 4)).mean(1)
    assert [row["train_loss"] for row in trained.curve] == pytest.approx(expected, rel=1e-4)


def test_the_curve_and_the_milestones_are_where_the_budget_says(case: Case) -> None:
    case.budget = budget(images=83, validations=3, milestones=[0.1, 0.5, 1])  # 11 steps, the last one whole
    trained = case.run()
    assert [row["images"] for row in trained.curve] == [8 * 4, 8 * 8, 8 * 11]
    assert trained.weights.keys() == {"best", "0.1", "0.5", "1"}
    weights, _ = plain_loop(case)
    for point, step in (("0.1", 2), ("0.5", 6), ("1", 11)):
        found = trained.weights[point]["convolution.weight"]
        torch.testing.assert_close(found.double(), weights[step - 1]["convolution.weight"], rtol=1e-4, atol=1e-5)


def test_milestones_that_fall_on_one_step_are_all_kept(case: Case) -> None:
    case.budget = budget(milestones=[0.01, 0.05, 1])  # the first two after one step of twenty
    weights = case.run().weights
    assert weights.keys() == {"best", "0.01", "0.05", "1"}
    assert all(torch.equal(value, weights["0.05"][name]) for name, value in weights["0.01"].items())


def test_more_validations_than_steps_are_one_a_step(case: Case) -> None:
    case.budget = budget(images=24, validations=50)
    assert [row["images"] for row in case.run().curve] == [8, 16, 24]


def test_the_best_weights_are_those_of_the_lowest_validation_loss(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = iter([5.0, 3.0, 4.0, 3.0, 6.0])
    monkeypatch.setattr(Validation, "loss", lambda *_: next(lost))
    trained = case.run()
    assert trained.best_images == 64  # the first of two as low
    weights, _ = plain_loop(case)
    for name, value in trained.weights["best"].items():
        torch.testing.assert_close(value.double(), weights[7][name], rtol=1e-4, atol=1e-5)


def test_the_best_weights_score_what_the_curve_says(case: Case) -> None:
    trained = case.run()
    network = small()
    network.load_state_dict(trained.weights["best"])
    validation = Validation(case.dataset, case.degradation, 30)
    lowest = min(row["validation_loss"] for row in trained.curve)
    assert validation.loss(network, TARGETS["noise"](case.degradation), CPU) == pytest.approx(lowest, rel=1e-6)
    assert trained.best_images == next(r["images"] for r in trained.curve if r["validation_loss"] == lowest)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_the_training_and_leaves_the_checkpoint(
    case: Case, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    lost = iter([5.0, value])
    monkeypatch.setattr(Validation, "loss", lambda *_: next(lost))
    with pytest.raises(ThawError, match=f"^test: the validation loss is {value} after 64 images.* learning_rate"):
        case.run()
    assert read_tensors(case.checkpoint)[1]["step"] == 4


def test_training_in_bfloat16_keeps_its_weights_in_float32(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    precise = case.run()
    seen = set()

    class Watched(Small):
        def forward(self, z: Tensor, tau: Tensor) -> Tensor:
            answer = super().forward(z, tau)
            seen.add((z.dtype, answer.dtype))
            return answer

    def watched() -> nn.Module:
        torch.manual_seed(0)
        return Watched()

    AcceleratorState._reset_state()  # else the precision of the training before stays
    try:
        monkeypatch.setattr(hardware, "bf16_is_fast", lambda _: True)
        rounded = replace(case, network=watched, checkpoint=tmp_path / "other").run()
    finally:
        AcceleratorState._reset_state()
    assert seen == {(torch.float32, torch.bfloat16)}  # degraded in float32, convolved in bfloat16
    assert {value.dtype for value in rounded.weights["best"].values()} == {torch.float32}
    assert rounded.curve != precise.curve
    for ours, theirs in zip(rounded.curve, precise.curve, strict=True):
        assert ours["validation_loss"] == pytest.approx(theirs["validation_loss"], rel=0.02)


def test_torchs_global_generator_neither_matters_nor_moves(case: Case, tmp_path: Path) -> None:
    network = small()
    case.network = lambda: copy.deepcopy(network)
    torch.manual_seed(1)
    one = case.run()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    two = replace(case, checkpoint=tmp_path / "other").run()
    assert torch.equal(torch.get_rng_state(), before)
    assert_same(one, two)


def test_another_seed_is_another_training_with_the_same_validation(case: Case, tmp_path: Path) -> None:
    one = case.run()
    two = replace(case, seed=1, checkpoint=tmp_path / "other").run()
    assert not torch.equal(one.weights["1"]["convolution.weight"], two.weights["1"]["convolution.weight"])
    assert [row["images"] for row in one.curve] == [row["images"] for row in two.curve]


def test_a_few_images_are_learned_by_heart(case: Case) -> None:
    few = images(4, 1)
    case.dataset = Dataset("few", few, few, few, 0.5)
    case.degradation, case.target, case.network = zoom(), "clean", cnn
    case.budget = budget(images=2400, learning_rate=4e-3, validations=3, validation_images=4)
    x = case.dataset.to_range(few.pixels)
    trivial = (x - x.mean(0)).square().mean().item()  # of whoever always answers the mean image
    assert min(row["validation_loss"] for row in case.run().curve) < 0.05 * trivial


# Interruptions


class Killed(BaseException):
    """Stands for the end of the process."""


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, calls: int) -> None:
    """Let a method work `calls` times and then end the process."""
    real, left = getattr(owner, method), iter(range(calls))

    def counted(*arguments: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(owner, method, counted)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Case(tmp_path_factory.mktemp("uninterrupted") / "seed-0", network=cnn).run()


@pytest.mark.parametrize(
    ("owner", "method", "calls", "validated"),
    [
        (Validation, "loss", 0, 0),
        (Validation, "loss", 1, 1),
        (Validation, "loss", 4, 4),
        (loop.Meter, "update", 9, 2),  # between two checkpoints, past a milestone
        (loop.Meter, "update", 5, 1),
        (loop, "write_tensors", 2, 2),  # validated, and not yet written
    ],
    ids=["first validation", "second", "last", "between", "at a milestone", "before writing"],
)
def test_an_interrupted_training_ends_bit_for_bit_like_any_other(
    case: Case, uninterrupted: Trained, monkeypatch: pytest.MonkeyPatch, owner: Any, method: str, calls: int,
    validated: int,
) -> None:  # fmt: skip
    case.network = cnn
    with monkeypatch.context() as patch:
        interrupt(patch, owner, method, calls)
        with pytest.raises(Killed):
            case.run()
    assert case.checkpoint.exists() == (validated > 0)
    interrupt(monkeypatch, Validation, "loss", 5 - validated)  # more would be work done twice
    assert_same(case.run(), uninterrupted)


def test_a_training_interrupted_at_every_validation_ends_the_same(
    case: Case, uninterrupted: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.network = cnn
    for _ in range(4):
        with monkeypatch.context() as patch:
            interrupt(patch, Validation, "loss", 1)
            with pytest.raises(Killed):
                case.run()
    assert_same(case.run(), uninterrupted)


def test_a_checkpoint_that_was_being_written_leaves_the_one_before(
    case: Case, uninterrupted: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.network = cnn
    real, written = checkpoints.save_file, iter([True, True])

    def save(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
        real(tensors, path, metadata)
        if next(written, None) is None:
            Path(path).write_bytes(Path(path).read_bytes()[:1000])
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_file", save)
        with pytest.raises(Killed):
            case.run()
    assert read_tensors(case.checkpoint)[1]["step"] == 8
    assert_same(case.run(), uninterrupted)


def test_a_finished_training_is_not_repeated(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = case.run()
    interrupt(monkeypatch, Validation, "loss", 0)
    interrupt(monkeypatch, loop, "losses", 0)
    again = case.run()
    assert_same(again, trained)
    assert again.seconds == trained.seconds


def test_a_checkpoint_of_another_training_is_left_alone(case: Case, tmp_path: Path) -> None:
    replace(case, seed=1, fingerprint="theirs").run()
    assert_same(case.run(), replace(case, checkpoint=tmp_path / "fresh").run())


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_a_truncated_checkpoint_is_left_alone(case: Case, tmp_path: Path, kept: int) -> None:
    case.run()
    case.checkpoint.write_bytes(case.checkpoint.read_bytes()[:kept])
    assert_same(case.run(), replace(case, checkpoint=tmp_path / "fresh").run())
