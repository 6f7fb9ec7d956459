"""tau_sys as the equations say, in every layout."""

import math
import sys

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from torchliquid import (
    LTC,
    Pack,
    SequenceModel,
    TorchliquidError,
    plot_time_constants,
    time_constants,
)
from torchliquid.functional import SOLVERS
from torchliquid.nn import CTRNN, NCP, CfC, DecayGRU, MixedMemory, Resonator

EXACT = {"rtol": 1e-12, "atol": 1e-14}


def layer(solver="semi_implicit", **options):
    torch.manual_seed(3)
    return LTC(2, 5, solver=solver, dt=0.3, dtype=torch.float64, **options)


def draw(B=4, L=4):
    x = torch.randn(B, L, 2, dtype=torch.float64)
    h0 = torch.randn(1, B, 5, dtype=torch.float64)
    return x, h0, torch.rand(B, L, dtype=torch.float64) + 0.05


def by_hand(layer, x, h0, dt):
    """One row ``(L, 2)``: tau / (1 + tau f), f of the sample and of the state before it."""
    tau = torch.log1p(torch.exp(layer.raw_tau_l0))
    state, found = h0, []
    for t in range(len(x)):
        z = layer.weight_ih_l0 @ x[t] + layer.weight_hh_l0 @ state[0] + layer.bias_l0
        found.append(tau / (1 + tau / (1 + torch.exp(-z))))
        state = layer(x[t : t + 1], state, dt[t : t + 1])[1]
    return torch.stack(found)


@pytest.mark.parametrize("unfolds", [1, 3])
@pytest.mark.parametrize("solver", SOLVERS)
def test_equals_the_formula_step_by_step(solver, unfolds):
    cell = layer(solver, unfolds=unfolds, batch_first=True)
    x, h0, dt = draw()
    got = time_constants(cell, x, h0, dt)
    for b in range(4):
        assert_close(got[b], by_hand(cell, x[b], h0[:, b], dt[b]).detach(), **EXACT)


def test_one_neuron_on_paper():
    """tau = 2, f = sigmoid(ln 3) = 3/4: tau_sys = 2 / (1 + 3/2) = 0.8."""
    cell = LTC(1, 1, dtype=torch.float64)
    with torch.no_grad():
        cell.weight_ih_l0.fill_(math.log(3))
        cell.weight_hh_l0.zero_()
        cell.bias_l0.zero_()
        cell.raw_tau_l0.fill_(math.log(math.e**2 - 1))
    x = torch.tensor([[1.0], [0.0], [-1.0]], dtype=torch.float64)
    expected = [2 / (1 + 2 * f) for f in (3 / 4, 1 / 2, 1 / 4)]
    assert time_constants(cell, x).flatten().tolist() == pytest.approx(expected, rel=1e-12)


def test_layouts_agree():
    x, h0, dt = draw()
    batch_first = time_constants(layer(batch_first=True), x, h0, dt)
    assert batch_first.shape == (4, 4, 5)
    time_first = time_constants(layer(), x.transpose(0, 1), h0, dt.transpose(0, 1))
    assert_close(time_first.transpose(0, 1), batch_first, **EXACT)
    row = time_constants(layer(), x[2], h0[:, 2], dt[2])
    assert row.shape == (4, 5)
    assert_close(row, batch_first[2], **EXACT)


def test_what_is_left_out_is_as_in_the_layers_call():
    cell = layer(batch_first=True)
    x, h0, dt = draw()
    assert torch.equal(time_constants(cell, x), time_constants(cell, x, torch.zeros_like(h0), 0.3))
    constant = torch.full_like(dt, 0.3)
    assert_close(time_constants(cell, x, h0), time_constants(cell, x, h0, constant), **EXACT)
    assert not torch.allclose(time_constants(cell, x, h0), time_constants(cell, x, h0, dt))
    assert torch.equal(
        time_constants(SequenceModel(cell, 3), x, h0, dt), time_constants(cell, x, h0, dt)
    )


@pytest.mark.parametrize("solver", SOLVERS)
def test_bounds_of_the_paper(solver):
    """Theorem 1: tau / (1 + tau) < tau_sys < tau. It cannot fall to zero while tau is large."""
    cell = layer(solver, batch_first=True)
    with torch.no_grad():
        cell.raw_tau_l0.copy_(torch.linspace(-3, 8, 5))
    x, h0, _ = draw(8, 50)
    tau = cell.tau.detach()
    tau_sys = time_constants(cell, x, h0, 0.02)
    assert (tau_sys > tau / (1 + tau)).all()
    assert (tau_sys < tau).all()
    extreme = time_constants(cell, 1e6 * x, h0, 0.02)  # the gate rounds to 0 or 1
    assert (extreme >= tau / (1 + tau) * (1 - 1e-15)).all()
    assert (extreme <= tau).all()
    reached = (extreme.amax((0, 1)), extreme.amin((0, 1)))
    assert_close(reached, (tau, tau / (1 + tau)), rtol=1e-12, atol=0)


def test_with_the_gate_shut_it_is_tau_in_the_unit_of_dt():
    cell = layer()
    x, h0, _ = draw()
    with torch.no_grad():
        cell.bias_l0.fill_(-800.0)
    for raw in (1.0, 1000.0):
        nn.init.constant_(cell.raw_tau_l0, raw)
        tau = cell.tau.detach().expand(4, 4, 5)
        for dt in (0.3, 300.0):
            assert_close(time_constants(cell, x, h0, dt), tau, **EXACT)


def test_a_pack_gives_the_same_lane_by_lane():
    pack = Pack(lambda seed: SequenceModel(LTC(2, 5, batch_first=True), 1), range(3))
    x, h0, dt = (part.float() for part in draw())
    together = pack.time_constants(x, h0.expand(3, 1, 4, 5), dt)
    for i in range(3):
        assert_close(together[i], time_constants(pack.lane(i), x, h0, dt), rtol=1e-6, atol=1e-6)


def test_no_graph_is_kept():
    assert not time_constants(layer(), torch.zeros(4, 2).double()).requires_grad


@pytest.mark.parametrize("other", [nn.LSTM(2, 5), SequenceModel(nn.GRU(2, 5), 1), nn.Linear(2, 5)])
def test_layers_without_time_constants(other):
    with pytest.raises(TorchliquidError, match="only liquid layers have tau_sys"):
        time_constants(other, torch.zeros(4, 2))


# --- the picture --------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("times", [True, False])
def test_the_picture_shows_input_mean_and_every_neuron_within_its_limits(batch_first, times):
    cell = layer(batch_first=batch_first)
    x, h0, dt = draw(B=1, L=9)
    turn = (lambda t: t) if batch_first else (lambda t: t.transpose(0, 1))
    model = SequenceModel(cell, 1)
    figure = plot_time_constants(model, turn(x), h0, turn(dt) if times else None)
    top, middle, bottom, _ = figure.axes
    along = dt[0].cumsum(0) if times else 0.3 * torch.arange(1, 10)
    tau_sys = time_constants(cell, turn(x), h0, turn(dt) if times else None).reshape(9, 5)
    for feature in (0, 1):
        assert_close(torch.tensor(top.lines[feature].get_ydata()), x[0, :, feature])
        assert_close(torch.tensor(top.lines[feature].get_xdata()), along.double())
    assert_close(torch.tensor(middle.lines[0].get_ydata()), tau_sys.mean(1))
    image = torch.tensor(bottom.collections[0].get_array()).reshape(5, 9)
    tau = cell.tau.detach()
    share = 100 * (tau_sys - tau / (1 + tau)) / (tau - tau / (1 + tau))
    order = [int(label.get_text()) for label in bottom.get_yticklabels()]
    assert sorted(order) == list(range(5))
    assert_close(image, share[:, order].T)
    assert (image.std(dim=1).diff() >= 0).all()
    assert ((image > 0) & (image < 100)).all()
    figure.canvas.draw()


@pytest.mark.parametrize("place", [0, 2, -1])
def test_the_picture_of_one_of_several_places(place):
    cell = LTC(2, 5, 2, bidirectional=True, batch_first=True, dtype=torch.float64)
    x, _, _ = draw(B=1, L=9)
    figure = plot_time_constants(cell, x, layer_index=place)
    tau_sys = time_constants(cell, x)[place, 0]
    assert_close(torch.tensor(figure.axes[1].lines[0].get_ydata()), tau_sys.mean(1))
    image = torch.tensor(figure.axes[2].collections[0].get_array())
    assert ((image > 0) & (image < 100)).all()
    with pytest.raises(TorchliquidError, match="layer_index is 4: give an integer from 0 to 3"):
        plot_time_constants(cell, x, layer_index=4)


def test_the_picture_is_of_one_sequence_of_an_ltc():
    x, _, _ = draw()
    with pytest.raises(TorchliquidError, match=r"4 sequences: give one, such as x\[:1\]"):
        plot_time_constants(layer(batch_first=True), x)
    with pytest.raises(TorchliquidError, match="only liquid layers have tau_sys"):
        plot_time_constants(nn.LSTM(2, 5), x)


@pytest.mark.parametrize("cell", [NCP(2, 5), CfC(2, 5), MixedMemory(CfC(2, 5, mode="pure"))])
def test_the_picture_of_a_cell_without_limits(cell):
    x = torch.randn(20, 2)
    figure = plot_time_constants(cell, x, dt=0.3)
    tau_sys = time_constants(cell, x, dt=0.3)
    assert figure.axes[1].get_title() == "Median tau_sys over 5 neurons"
    curve = torch.tensor(figure.axes[1].lines[0].get_ydata())
    assert_close(curve, tau_sys.double().median(1).values)
    image = torch.tensor(figure.axes[2].collections[0].get_array())
    assert_close(image.amin(1), torch.zeros(5).double())
    assert_close(image.amax(1), torch.full((5,), 100.0).double())


@pytest.mark.parametrize("cell", [CTRNN(2, 5), DecayGRU(2, 5), Resonator(2, 5)])
def test_no_picture_of_time_constants_that_stay(cell):
    with pytest.raises(TorchliquidError, match="whose time constants do not move"):
        plot_time_constants(cell, torch.randn(20, 2))


def test_the_picture_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(TorchliquidError, match="needs matplotlib: pip install"):
        plot_time_constants(layer(), torch.zeros(3, 2, dtype=torch.float64))
