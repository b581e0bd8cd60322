import copy
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from torch import Tensor, nn
from training_fixtures import SHAPE, Case, Small, assert_same, autocast, budget, cnn, images, inside, noise, small

from thaw.core.randomness import generator
from thaw.data import Dataset
from thaw.degradations.zoom import Zoom
from thaw.diffusion.degradation import Degradation
from thaw.diffusion.objectives import TARGETS, Objective, Weighting
from thaw.diffusion.preconditioning import Preconditioned
from thaw.errors import ThawError
from thaw.training import loop
from thaw.training.loop import Validation
from thaw.training.session import batches, learning_rate_factor

CPU = torch.device("cpu")


def zoom() -> Degradation:
    return Zoom(shape=SHAPE, steps=3)


@pytest.fixture
def case(precision: str, tmp_path: Path) -> Case:
    return Case(tmp_path / "checkpoints" / "seed-0")


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


def test_validation_loss_is_the_mean_squared_error_over_all_parts(
    case: Case, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "VALIDATION_BATCH", 7)  # 30 images in parts that are not equal
    validation = Validation(case.dataset, case.degradation, 30)
    network = small()
    assert validation.source is not None
    z = case.degradation.degrade(validation.x, validation.t, validation.source)
    with autocast(precision):
        output = network(z, validation.t / 20)
    expected = F.mse_loss(output.float(), validation.source)
    assert validation.loss(network, objective(case, network), CPU) == pytest.approx(expected.item(), rel=1e-6)


def objective(case: Case, network: nn.Module) -> Objective:
    return Objective(network, case.degradation, TARGETS[case.target](case.degradation), case.weighting)


def test_validation_loss_is_weighted_as_in_training(case: Case, precision: str) -> None:
    case.weighting = "variational"
    validation, network = Validation(case.dataset, case.degradation, 30), small()
    minimised = objective(case, network)
    with torch.no_grad(), autocast(precision):
        expected = minimised.losses(network, validation.x, validation.t, validation.source).mean()
    assert validation.loss(network, minimised, CPU) == pytest.approx(expected.item(), rel=1e-6)


# The loop


def plain_loop(case: Case, precision: str) -> tuple[list[dict[str, Tensor]], list[float]]:
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
        z, answer = asked(case, network, x, t, source)
        with autocast(precision):
            output = getattr(network, "network", network)(z, t / case.degradation.steps)
        error = F.mse_loss(output.float(), answer)
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


def asked(case: Case, network: nn.Module, x: Tensor, t: Tensor, source: Tensor | None) -> tuple[Tensor, Tensor]:
    """What the network, or that inside it, sees, and what it is to answer."""
    z = case.degradation.degrade(x, t, source)
    if not isinstance(network, Preconditioned):
        answer = x if case.target == "clean" else source
        assert answer is not None
        return z, answer
    pixels = case.dataset.train.pixels.double().numpy() / 255 - 0.5
    alpha_bar = network.degradation.alpha_bar[t].view(-1, 1, 1, 1)
    deviation = (alpha_bar * pixels.var() + 1 - alpha_bar).sqrt()  # of z
    image, noise = (x - pixels.mean()) / pixels.std(), source
    answer = (alpha_bar.sqrt() * pixels.std() * noise - (1 - alpha_bar).sqrt() * image) / deviation
    return ((z - alpha_bar.sqrt() * pixels.mean()) / deviation).float(), answer.float()


@pytest.mark.parametrize("ema_decay", [0, 0.5, 0.9999])
@pytest.mark.parametrize(
    ("network", "degradation", "target", "weighting"),
    [
        (small, noise, "noise", "simple"),
        (small, zoom, "clean", "simple"),
        (inside, noise, "noise", "uniform"),
    ],
    ids=["noise", "clean", "preconditioned"],
)
def test_training_is_the_plain_loop(
    case: Case, precision: str, network: Callable[[], nn.Module], degradation: Callable[[], Degradation], target: str,
    weighting: Weighting, ema_decay: float,
) -> None:  # fmt: skip
    case = replace(case, network=network, degradation=degradation(), target=target, weighting=weighting)
    case.ema_decay = ema_decay
    trained, (weights, errors) = case.run(), plain_loop(case, precision)
    assert trained.weights.keys() == {"best", "0.25", "1"}
    for point, step in (("0.25", 5), ("1", 20)):
        for name, value in weights[step - 1].items():
            torch.testing.assert_close(trained.weights[point][name].double(), value, rtol=1e-4, atol=1e-5)
    expected = np.reshape(errors, (5, 4)).mean(1)
    assert [row["train_loss"] for row in trained.curve] == pytest.approx(expected, rel=1e-4)


def test_the_weights_of_a_milestone_are_the_averages_of_its_step(case: Case, precision: str) -> None:
    case.budget = budget(images=83, validations=3, milestones=[0.1, 0.5, 1])  # 11 steps, the last one whole
    trained, (weights, _) = case.run(), plain_loop(case, precision)
    for point, step in (("0.1", 2), ("0.5", 6), ("1", 11)):
        found = trained.weights[point]["convolution.weight"]
        torch.testing.assert_close(found.double(), weights[step - 1]["convolution.weight"], rtol=1e-4, atol=1e-5)


def test_milestones_that_fall_on_one_step_are_all_kept(case: Case) -> None:
    case.budget = budget(milestones=[0.01, 0.05, 1])  # the first two after one step of twenty
    weights = case.run().weights
    assert weights.keys() == {"best", "0.01", "0.05", "1"}
    assert all(torch.equal(value, weights["0.05"][name]) for name, value in weights["0.01"].items())


def test_the_best_weights_are_those_of_the_lowest_validation_loss(
    case: Case, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = iter([5.0, 3.0, 4.0, 3.0, 6.0])
    monkeypatch.setattr(Validation, "loss", lambda *_: next(lost))
    trained = case.run()
    assert trained.best_images == 64  # the first of two as low
    weights, _ = plain_loop(case, precision)
    for name, value in trained.weights["best"].items():
        torch.testing.assert_close(value.double(), weights[7][name], rtol=1e-4, atol=1e-5)


def test_the_best_weights_score_what_the_curve_says(case: Case) -> None:
    trained = case.run()
    network = small()
    network.load_state_dict(trained.weights["best"])
    validation = Validation(case.dataset, case.degradation, 30)
    lowest = min(row["validation_loss"] for row in trained.curve)
    assert validation.loss(network, objective(case, network), CPU) == pytest.approx(lowest, rel=1e-6)
    assert trained.best_images == next(r["images"] for r in trained.curve if r["validation_loss"] == lowest)


def test_a_training_that_diverges_ends(case: Case) -> None:
    case.budget = budget(learning_rate=1e30)
    with pytest.raises(ThawError, match=r"^test: the train loss is (nan|inf) after 32 images.* learning_rate"):
        case.run()
    assert not case.checkpoint.exists()


def test_all_steps_are_equally_likely(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    case.budget = budget(images=16_000, batch_size=80, validations=1)
    seen: list[Tensor] = []
    degrade = case.degradation.degrade

    def watched(x: Tensor, t: Tensor, source: Tensor | None) -> Tensor:
        seen.append(t)
        return degrade(x, t, source)

    monkeypatch.setattr(case.degradation, "degrade", watched)
    case.run()
    counts = torch.bincount(torch.cat([t for t in seen if len(t) == 80]), minlength=21)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:].numpy()).pvalue > 0.001


def test_weights_are_float32_and_products_in_the_precision(case: Case, precision: str) -> None:
    seen = set()

    class Watched(Small):
        def forward(self, z: Tensor, tau: Tensor) -> Tensor:
            answer = super().forward(z, tau)
            seen.add((z.dtype, answer.dtype))
            return answer

    def watched() -> nn.Module:
        torch.manual_seed(0)
        return Watched()

    trained = replace(case, network=watched).run()
    assert seen == {(torch.float32, {"fp32": torch.float32, "bf16": torch.bfloat16}[precision])}
    assert {value.dtype for value in trained.weights["best"].values()} == {torch.float32}
    _, errors = plain_loop(case, "fp32")
    found, exact = [row["train_loss"] for row in trained.curve], np.reshape(errors, (5, 4)).mean(1)
    assert found == pytest.approx(exact, rel=0.02)
    assert (found == pytest.approx(exact, rel=1e-5)) == (precision == "fp32")


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
    case.budget = budget(images=1200, batch_size=4, learning_rate=4e-3, validations=3, validation_images=4)
    x = case.dataset.to_range(few.pixels)
    trivial = (x - x.mean(0)).square().mean().item()  # of whoever always answers the mean image
    assert min(row["validation_loss"] for row in case.run().curve) < 0.05 * trivial
