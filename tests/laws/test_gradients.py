"""Every gradient of the liquid cell against finite differences, in float64."""

import pytest
import torch
from torch.autograd import gradcheck

from torchliquid.functional import SOLVERS, ltc, ltc_time_constants


def arguments(*lanes: int) -> list[torch.Tensor]:
    """x, h0, weight_ih, weight_hh, bias, tau, target, dt; odd sizes B, L, I, H = 2, 3, 2, 3."""
    shapes = [(2, 3, 2), (2, 3), (3, 2), (3, 3), (3,), (3,), (3,), (2, 3)]
    drawn = [torch.randn(*lanes, *shape, dtype=torch.float64) for shape in shapes]
    drawn[5] = drawn[5].abs() + 0.4
    drawn[7] = torch.rand_like(drawn[7]) * 0.4 + 0.1  # within the explicit solvers' stability
    return [tensor.requires_grad_() for tensor in drawn]


@pytest.mark.parametrize("unfolds", [1, 3])
@pytest.mark.parametrize("solver", SOLVERS)
def test_gradcheck(solver, unfolds):
    assert gradcheck(lambda *a: ltc(*a, solver=solver, unfolds=unfolds), arguments())


@pytest.mark.parametrize("solver", SOLVERS)
def test_gradcheck_with_lanes(solver):
    assert gradcheck(lambda *a: ltc(*a, solver=solver), arguments(2))


def test_gradcheck_of_the_time_constants():
    assert gradcheck(lambda *a: ltc_time_constants(*a, unfolds=2), arguments())


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_argument_matters(solver):
    """A gradient of zero would pass a finite difference of zero: none may be."""
    given = arguments()
    weight = torch.randn(2, 3, 3, dtype=torch.float64)
    loss = (ltc(*given, solver=solver)[0] * weight).sum()
    for gradient in torch.autograd.grad(loss, given):
        assert gradient.abs().min() > 1e-6
