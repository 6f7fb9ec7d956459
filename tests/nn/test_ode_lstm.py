"""`ODELSTM` keeps the contract; its LSTM is torch's, its equation is solved."""

import functools

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch.testing import assert_close

from torchliquid import SequenceModel, TorchliquidError, load, save
from torchliquid.functional.ode_lstm import METHODS
from torchliquid.nn import ODELSTM

from ..laws.contract import Cell, CellContract


def permute(layer, order):
    rows = torch.cat([order + k * len(order) for k in range(4)])
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_l0"):
        p = getattr(layer, name)
        p.copy_(p[rows])
    layer.weight_hh_l0.copy_(layer.weight_hh_l0[:, order])
    layer.weight_in_l0.copy_(layer.weight_in_l0[:, order])
    layer.weight_out_l0.copy_(layer.weight_out_l0[order])
    layer.bias_out_l0.copy_(layer.bias_out_l0[order])


class TestODELSTM(CellContract):
    @pytest.fixture(params=METHODS)
    def cell(self, request):
        build = functools.partial(ODELSTM, method=request.param)
        return Cell(build, permute, blocks=2, rests_at_once=False)


def run(layer, x, dt):
    """torch's LSTM cell, and SciPy for the equation."""
    H = layer.hidden_size
    cell = torch.nn.LSTMCell(x.shape[-1], H, dtype=torch.float64)
    with torch.no_grad():
        for name, held in (("weight_ih", "weight_ih"), ("weight_hh", "weight_hh"),
                           ("bias_ih", "bias")):  # fmt: skip
            getattr(cell, name).copy_(getattr(layer, f"{held}_l0"))
        cell.bias_hh.zero_()
    A, b, C, d = (
        getattr(layer, f"{n}_l0").detach().numpy()
        for n in ("weight_in", "bias_in", "weight_out", "bias_out")
    )
    h = c = torch.zeros(1, H, dtype=torch.float64)
    outputs, taus = [], []
    for t in range(x.shape[1]):
        h, c = cell(x[:, t], (h, c))
        y = h[0].detach().numpy()
        slopes = np.diag(C @ np.diag(1 - np.tanh(A @ y + b) ** 2) @ A)
        taus.append(1 / np.abs(slopes))
        solved = solve_ivp(lambda _, v: C @ np.tanh(A @ v + b) + d, (0, float(dt[0, t])), y,
                           rtol=1e-11, atol=1e-13)  # fmt: skip
        h = torch.from_numpy(solved.y[:, -1])[None]
        outputs.append(h[0])
    return torch.stack(outputs), np.stack(taus)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2), ("rk4", 4)])
def test_its_equation_is_solved_at_the_methods_order(method, order):
    torch.manual_seed(0)
    layer = ODELSTM(2, 4, method=method, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for name in ("weight_in_l0", "weight_out_l0"):
            getattr(layer, name).mul_(3)  # an equation that moves: an error to measure
    x, dt = torch.randn(1, 3, 2, dtype=torch.float64), torch.tensor([[0.5, 1.5, 1.0]]).double()
    truth, taus = run(layer, x, dt)
    errors = []
    for unfolds in (4, 8):
        layer.unfolds = unfolds
        errors.append((layer(x, dt=dt)[0][0] - truth).abs().max().item())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.5)
    layer.unfolds = 200
    np.testing.assert_allclose(layer.time_constants(x, dt=dt)[0].detach(), taus, rtol=2e-2)


def test_rows_have_their_own_times():
    layer = ODELSTM(2, 4, batch_first=True, dtype=torch.float64)
    x, dt = torch.randn(3, 5, 2, dtype=torch.float64), torch.rand(3, 5, dtype=torch.float64)
    rows = torch.cat([layer(x[b : b + 1], dt=dt[b : b + 1])[0] for b in range(3)])
    assert_close(layer(x, dt=dt)[0], rows)


def test_a_muted_neuron_reaches_nothing():
    layer = ODELSTM(2, 4, batch_first=True)
    x, rest = torch.randn(2, 6, 2), [0, 2, 3]
    with layer.ablate([1]):
        muted = layer(x)[0]
    with torch.no_grad():
        layer.weight_hh_l0[:, 1] = 0
        layer.weight_in_l0[:, 1] = 0
    assert_close(layer(x)[0][..., rest], muted[..., rest])
    assert (muted[..., 1] == 0).all()


def test_saved_and_loaded(tmp_path):
    layer = ODELSTM(3, 4, num_layers=2, bias=False, method="heun", unfolds=2, batch_first=True)
    save(SequenceModel(layer, 2), tmp_path / "m")
    x = torch.randn(2, 5, 3)
    assert torch.equal(load(tmp_path / "m").layer(x)[0], layer(x)[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "dopri5"}, "method is 'dopri5': expected one of 'euler'"),
        ({"unfolds": 0}, "unfolds is 0"),
        ({"proj_size": 2}, "proj_size is 2: the equation moves all H outputs"),
    ],
)
def test_what_is_no_ode_lstm(options, said):
    with pytest.raises(TorchliquidError, match=said):
        ODELSTM(3, 4, **options)
