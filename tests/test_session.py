import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from training_fixtures import Case, Killed, adversarial, assert_same, budget, cnn, interrupt

from thaw.core.tensors import read_tensors
from thaw.errors import ThawError
from thaw.training import augmentation, session
from thaw.training.session import Session, Trained, batches, learning_rate_factor

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


# Trainings of both loops

Make = Callable[[Path], Case]
BUDGET = budget(images=40, batch_size=4)
"""Ten steps: a point of the curve after every second, a milestone after the third."""
CASES: dict[str, Make] = {
    "diffusion": partial(Case, network=cnn, budget=BUDGET),
    "GAN, fixed": partial(adversarial, augmentation="fixed", budget=BUDGET),
    "GAN, adaptive": partial(adversarial, augmentation="adaptive", budget=BUDGET),
}


@pytest.fixture(scope="module", params=CASES)
def made(request: pytest.FixtureRequest, precision: str) -> Iterator[Make]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "TARGET", -1.1)  # so that an adaptive probability rises
        patch.setattr(augmentation, "INTERVAL", 3)  # so that the points of the curve fall between its changes
        yield CASES[request.param]


@pytest.fixture(scope="module")
def uninterrupted(made: Make, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return made(tmp_path_factory.mktemp("uninterrupted") / "seed-0").run()


@pytest.fixture
def case(made: Make, tmp_path: Path) -> Case:
    return made(tmp_path / "checkpoints" / "seed-0")


def test_the_curve_and_the_milestones_are_where_the_budget_says(case: Case) -> None:
    case.budget = budget(images=83, validations=3, milestones=[0.1, 0.5, 1])  # 11 steps, the last one whole
    trained = case.run()
    assert [row["images"] for row in trained.curve] == [8 * 4, 8 * 8, 8 * 11]
    assert list(trained.weights) == ["best", "0.1", "0.5", "1"]


def test_more_points_than_steps_are_one_a_step(case: Case) -> None:
    case.budget = budget(images=24, validations=50)
    assert [row["images"] for row in case.run().curve] == [8, 16, 24]


@pytest.mark.parametrize(
    ("owner", "name", "calls", "written"),
    [
        (Session, "advance", 1, 0),  # before the first checkpoint
        (Session, "record", 0, 0),
        (session.Meter, "update", 2, 1),  # at a milestone
        (Session, "advance", 5, 2),  # past a milestone, between two checkpoints
        (session, "write_tensors", 2, 2),  # with a point of the curve that is not yet written
        (Session, "record", 4, 4),
    ],
    ids=["early", "first point", "at a milestone", "between", "before writing", "last point"],
)
def test_an_interrupted_training_ends_bit_for_bit_like_any_other(
    case: Case, uninterrupted: Trained, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, calls: int, written: int
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, owner, name, calls)
        with pytest.raises(Killed):
            case.run()
    assert case.checkpoint.exists() == (written > 0)
    interrupt(monkeypatch, Session, "record", 5 - written)  # more would be work done twice
    assert_same(case.run(), uninterrupted)


def test_a_training_interrupted_at_every_point_ends_the_same(
    case: Case, uninterrupted: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        with monkeypatch.context() as patch:
            interrupt(patch, Session, "record", 1)
            with pytest.raises(Killed):
                case.run()
    assert_same(case.run(), uninterrupted)


def test_a_checkpoint_that_was_being_written_leaves_the_one_before(
    case: Case, uninterrupted: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = Path.write_bytes, iter([True, True])

    def write(path: Path, content: bytes) -> int:
        if next(written, None) is None:
            real(path, content[:1000])
            raise Killed
        return real(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write)
        with pytest.raises(Killed):
            case.run()
    assert read_tensors(case.checkpoint)[1]["step"] == 4
    assert_same(case.run(), uninterrupted)


def test_a_finished_training_is_not_repeated(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = case.run()
    interrupt(monkeypatch, Session, "advance", 0)
    interrupt(monkeypatch, Session, "record", 0)
    again = case.run()
    assert_same(again, trained)
    assert again.seconds == trained.seconds


def test_a_checkpoint_of_another_training_is_left_alone(case: Case, uninterrupted: Trained) -> None:
    replace(case, seed=1, fingerprint="theirs").run()
    assert_same(case.run(), uninterrupted)


def test_a_truncated_checkpoint_is_left_alone(case: Case, uninterrupted: Trained) -> None:
    case.run()
    case.checkpoint.write_bytes(case.checkpoint.read_bytes()[:-1])
    assert_same(case.run(), uninterrupted)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_named_and_leaves_the_checkpoint(
    case: Case, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    real, points = Session.record, itertools.count(1)

    def record(self: Session, *, best: bool, **values: float) -> None:
        real(self, best=best, **values | ({"any_loss": value} if next(points) == 2 else {}))

    monkeypatch.setattr(Session, "record", record)
    with pytest.raises(ThawError) as caught:
        case.run()
    assert str(caught.value) == (
        f"test: the any loss is {value} after 16 images, so this training has diverged; lower learning_rate in "
        "params.yaml."
    )
    assert read_tensors(case.checkpoint)[1]["step"] == 2
