"""Muon, beside torch's own and the singular values that it is defined by."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from image_fixtures import stream
from torch import Tensor, nn

from thaw.networks.convnext_unet import ConvnextUnet
from thaw.training.muon import COEFFICIENTS, ITERATIONS, Muon, optimizers, orthogonalized


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=stream(seed))


@given(st.integers(1, 4), st.integers(2, 40), st.integers(2, 90), st.integers(0, 1000))
def test_the_iteration_maps_singular_values_by_its_polynomial(count: int, rows: int, columns: int, seed: int) -> None:
    matrices = draw(count, rows, columns, seed=seed)
    left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    values /= values.norm(dim=1, keepdim=True)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        values = a * values + b * values**3 + c * values**5
    expected = (left * values[:, None]) @ right
    torch.testing.assert_close(orthogonalized(matrices).double(), expected, rtol=0, atol=2e-3)


def test_all_singular_values_come_near_to_one() -> None:
    values = torch.linalg.svdvals(orthogonalized(draw(3, 64, 576)))
    assert values.min() > 0.6
    assert values.max() < 1.25


def test_no_gradient_moves_nothing() -> None:
    assert orthogonalized(torch.zeros(2, 3, 5)).eq(0).all()


@pytest.mark.parametrize(("rows", "columns"), [(6, 20), (20, 6)])
def test_steps_are_torch_s(rows: int, columns: int) -> None:
    start = draw(rows, columns)
    ours = nn.Parameter(start.clone().view(rows, columns // 2, 2, 1))
    theirs = nn.Parameter(start.clone())
    updates = Muon([ours], 0.1), torch.optim.Muon([theirs], 0.1, weight_decay=0)
    for step in range(5):
        gradient = draw(rows, columns, seed=step + 1)
        ours.grad, theirs.grad = gradient.clone().view_as(ours), gradient
        for update in updates:
            update.step()
    # torch iterates in bfloat16.
    torch.testing.assert_close(ours.view_as(theirs), theirs, rtol=0, atol=0.02)
    assert (theirs - start).abs().max() > 0.2


def test_every_weight_has_one_optimizer_and_matrices_of_convolutions_have_muon() -> None:
    network = ConvnextUnet(shape=(1, 8, 8), widths=[4, 8], patch=1)
    found = optimizers(network, "muon", 1e-3)
    held = [w for optimizer in found.values() for group in optimizer.param_groups for w in group["params"]]
    assert sorted(map(id, held)) == sorted(map(id, network.parameters()))
    of_muon = [w for group in found["muon"].param_groups for w in group["params"]]
    assert of_muon
    assert all(w.ndim == 4 and min(w.shape[:2]) > 1 for w in of_muon)
    assert set(optimizers(network, "adam", 1e-3)) == {"adam"}


def test_weights_of_one_shape_are_changed_as_if_alone() -> None:
    weights = [nn.Parameter(draw(4, 3, 3, 3, seed=k)) for k in range(3)]
    alone = [nn.Parameter(w.detach().clone()) for w in weights]
    for k, (weight, single) in enumerate(zip(weights, alone, strict=True)):
        weight.grad = draw(4, 3, 3, 3, seed=10 + k)
        single.grad = weight.grad.clone()
        Muon([single], 0.1).step()
    Muon(weights, 0.1).step()
    for weight, single in zip(weights, alone, strict=True):
        torch.testing.assert_close(weight, single, rtol=0, atol=1e-6)
