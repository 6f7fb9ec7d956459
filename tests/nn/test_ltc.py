"""The liquid time-constant layer keeps the contract, with every solver."""

import functools

import pytest
import torch
from torch import nn

from torchliquid import LTC
from torchliquid.functional import SOLVERS, ltc

from ..laws.contract import Cell, CellContract

PROVEN = ("semi_implicit", "euler", "exponential")


def permute(layer, order):
    for parameter in layer.parameters():
        parameter.copy_(parameter[order])
    layer.weight_hh_l0.copy_(layer.weight_hh_l0[:, order])


def bounds(layer):
    """Theorem 2 of the LTC paper."""
    return layer.target_l0.clamp(max=0), layer.target_l0.clamp(min=0)


@pytest.mark.filterwarnings("ignore::torchliquid.errors.LongStepWarning")
class TestLTC(CellContract):
    @pytest.fixture(params=SOLVERS)
    def solver(self, request):
        return request.param

    @pytest.fixture(params=[1, 3], ids=["K1", "K3"])
    def cell(self, solver, request):
        return Cell(
            functools.partial(LTC, solver=solver, unfolds=request.param),
            permute,
            order=4 if solver == "rk4" else 1,
            bounds=bounds if solver in PROVEN else None,
        )


@pytest.mark.parametrize("unfolds", [1, 3])
@pytest.mark.parametrize("solver", SOLVERS)
def test_layer_is_the_function_with_its_parameters(solver, unfolds):
    layer = LTC(3, 5, solver=solver, unfolds=unfolds, batch_first=True, dt=0.4, dtype=torch.float64)
    with torch.no_grad():
        layer.raw_tau_l0.copy_(torch.linspace(0, 2, 5))
    x = torch.randn(2, 7, 3, dtype=torch.float64)
    h0 = torch.randn(1, 2, 5, dtype=torch.float64)
    gate = (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_l0)
    tau = torch.log1p(torch.exp(layer.raw_tau_l0))
    expected, _ = ltc(x, h0[0], *gate, tau, layer.target_l0, 0.4, solver, unfolds)
    torch.testing.assert_close(layer(x, h0)[0], expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(layer.tau, tau, rtol=1e-12, atol=0)


def test_the_articles_step_without_a_cut_leaves_the_bounds():
    """That the contract's test of the bounds can fail."""
    layer = LTC(3, 5, solver="euler")
    low, high = bounds(layer)
    f = torch.sigmoid(torch.randn(40, 5))
    x = 30.0 * f * layer.target_l0
    x = x + 30.0 * (f * layer.target_l0 - x * (1 / layer.tau + f))
    assert not ((x >= low) & (x <= high)).all()


def test_tau_starts_at_softplus_of_one():
    layer = LTC(2, 4)
    assert layer.tau.tolist() == pytest.approx([1.3132616875] * 4, rel=1e-6)
    with torch.no_grad():
        layer.raw_tau_l0.fill_(-20.0)
    assert (layer.tau > 0).all()


def test_initial_values():
    layer = LTC(6, 300)
    bound = (6 + 300) ** -0.5
    for drawn in (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_l0):
        assert drawn.abs().max() <= bound
        assert drawn.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)
        assert abs(drawn.mean().item()) < 0.15 * bound
    assert layer.target_l0.std().item() == pytest.approx(1, rel=0.15)
    assert abs(layer.target_l0.mean().item()) < 0.2
    assert (layer.raw_tau_l0 == 1).all()


def test_reset_parameters_draws_anew():
    layer = LTC(2, 4)
    before = {name: p.detach().clone() for name, p in layer.named_parameters()}
    torch.manual_seed(1)
    layer.reset_parameters()
    torch.manual_seed(1)
    again = dict(LTC(2, 4).named_parameters())
    for name, parameter in layer.named_parameters():
        assert torch.equal(parameter, again[name])
        assert torch.equal(parameter, before[name]) == (name == "raw_tau_l0")


def test_without_bias():
    layer = LTC(3, 5, bias=False, batch_first=True, dtype=torch.float64)
    assert sum(p.numel() for p in layer.parameters()) == 5 * (3 + 5 + 2)
    with_zero = LTC(3, 5, batch_first=True, dtype=torch.float64)
    nn.init.zeros_(with_zero.bias_l0)
    with_zero.load_state_dict(layer.state_dict(), strict=False)
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[0], with_zero(x)[0], rtol=1e-14, atol=1e-14)


def test_default_solver_is_the_papers():
    assert LTC(1, 1).solver == "semi_implicit"
    assert repr(LTC(1, 2)) == "LTC(input_size=1, hidden_size=2)"
    told = repr(LTC(1, 2, 3, dropout=0.1, solver="euler"))
    assert told == "LTC(input_size=1, hidden_size=2, num_layers=3, dropout=0.1, solver='euler')"
