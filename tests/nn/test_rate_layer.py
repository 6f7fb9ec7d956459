"""Cells that take time and are not liquid keep the contract, and their equations."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import nn
from torch.testing import assert_close

from torchliquid import SequenceModel, TorchliquidError, load, save, time_constants
from torchliquid.nn import CTRNN, DecayGRU

from ..laws.contract import Cell, CellContract


def permute_ctrnn(layer, order):
    for parameter in layer.parameters():
        parameter.copy_(parameter[order])
    layer.weight_hh_l0.copy_(layer.weight_hh_l0[:, order])


def permute_gru(layer, order):
    rows = torch.cat([order, order + 5, order + 10])
    for name, parameter in layer.named_parameters():
        parameter.copy_(parameter[order if "rate" in name else rows])
    layer.weight_hh_l0.copy_(layer.weight_hh_l0[:, order])


class TestCTRNN(CellContract):
    @pytest.fixture
    def cell(self):
        def bounds(layer):
            tau = nn.functional.softplus(layer.raw_tau_l0)
            return -tau, tau

        return Cell(CTRNN, permute_ctrnn, order=1, bounds=bounds)


class TestDecayGRU(CellContract):
    @pytest.fixture
    def cell(self):
        return Cell(DecayGRU, permute_gru, rests_at_once=False)


def test_ctrnn_solves_its_equation():
    torch.manual_seed(0)
    layer = CTRNN(2, 4, dt=1e-3, dtype=torch.float64)
    u = torch.randn(2, dtype=torch.float64)
    _, h = layer(u.expand(2000, 2))
    W, V, b, tau = (layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_l0,
                    nn.functional.softplus(layer.raw_tau_l0))  # fmt: skip
    W, V, b, tau = (t.detach().numpy() for t in (W, V, b, tau))

    def slope(_, x):
        return -x / tau + np.tanh(W @ u.numpy() + V @ x + b)

    exact = solve_ivp(slope, (0, 2.0), np.zeros(4), rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(h[0].detach().numpy(), exact, atol=2e-3)


@pytest.mark.parametrize("bias", [True, False])
def test_decay_gru_is_a_gru_between_decays(bias):
    torch.manual_seed(0)
    layer = DecayGRU(2, 4, bias=bias, batch_first=True, dtype=torch.float64)
    cell = nn.GRUCell(2, 4, bias=bias, dtype=torch.float64)
    cell.load_state_dict({n.removesuffix("_l0"): p for n, p in layer.state_dict().items()
                          if "rate" not in n})  # fmt: skip
    x, dt = torch.randn(3, 6, 2, dtype=torch.float64), torch.rand(3, 6, dtype=torch.float64) * 9
    rate = nn.functional.softplus(layer.raw_rate_l0)
    h, states = torch.zeros(3, 4, dtype=torch.float64), []
    for k in range(6):
        h = cell(x[:, k], h * torch.exp(-dt[:, k : k + 1] * rate))
        states.append(h)
    assert_close(layer(x, dt=dt)[0], torch.stack(states, 1), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("kind", "tau"), [(CTRNN, 1.3132616), (DecayGRU, 9.9917)])
def test_time_constants_stay_where_they_are(kind, tau):
    found = time_constants(kind(1, 4), torch.randn(7, 2, 1))
    assert found.shape == (7, 2, 4)
    assert_close(found, torch.full_like(found, tau), rtol=2e-3, atol=0)


@pytest.mark.parametrize("kind", [CTRNN, DecayGRU])
def test_saved_and_loaded(kind, tmp_path):
    model = SequenceModel(kind(2, 3, dt=0.3), 1)
    save(model, tmp_path / "m")
    x = torch.randn(5, 2, 2)
    assert torch.equal(load(tmp_path / "m")(x)[0], model(x)[0])
    with pytest.raises(TorchliquidError, match="hidden_size is 0"):
        kind(2, 0)
