"""Numbers at the edges: times that are tiny, huge, zero or too much for a dtype."""

import copy
import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from torchliquid import LTC, Pack, SequenceModel, TorchliquidError, functional
from torchliquid.errors import LongStepWarning
from torchliquid.functional.ltc import decayed

SOLVERS = functional.SOLVERS
EXPLICIT = ("euler", "rk4")


def of_ones(solver="exponential", dtype=torch.float32):
    layer = LTC(1, 1, solver=solver, dtype=dtype)
    with torch.no_grad():
        for p in layer.parameters():
            p.fill_(1.0)
    return layer


# Tiny steps


@pytest.mark.parametrize("dt", [1e-3, 1e-5, 1e-8])
def test_exponential_at_small_dt(backend, dt):
    """At 1e-8 the state did not move in float32; tau's gradient was noise from 1e-4 on."""
    found = []
    for dtype in (torch.float32, torch.float64):
        layer = of_ones(dtype=dtype)
        y, _ = layer(torch.ones(6, 1, dtype=dtype), dt=dt)
        y.sum().backward()
        found.append((y[-1].item(), layer.raw_tau_l0.grad.item()))
    assert found[0] == pytest.approx(found[1], rel=1e-6, abs=0)
    assert found[1] == pytest.approx((5.28e0 * dt, 16.9 * dt * dt), rel=0.01)


@pytest.mark.filterwarnings("ignore::torchliquid.errors.TimeUnitWarning")
@pytest.mark.parametrize("exponent", [-6, -4, -2, -1, 0, 1, 2])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.filterwarnings("ignore::torchliquid.errors.LongStepWarning")
def test_float32_is_float64_to_its_last_places(backend, solver, exponent):
    """Values and every gradient, from steps that hardly move the state to those that forget it."""
    torch.manual_seed(1)
    layer, x = LTC(2, 8, solver=solver), torch.randn(20, 3, 2)
    double = copy.deepcopy(layer).double()
    h0, found = torch.randn(1, 3, 8), []
    for model, dtype in ((layer, torch.float32), (double, torch.float64)):
        dt = torch.full((20, 3), 10.0**exponent, dtype=dtype, requires_grad=True)
        y, _ = model(x.to(dtype), h0.to(dtype), dt)
        y.square().sum().backward()
        found.append([y, dt.grad, *(p.grad for p in model.parameters())])
    for single, exact in zip(*found, strict=True):
        scale = max(exact.abs().max().item(), 1e-3)  # at rest, dt's is 0 but for rounding
        assert_close(single.double() / scale, exact / scale, rtol=0, atol=1e-5)


def test_many_small_steps_add_up():
    """20,000 steps of 1e-7; with 1 - exp(-h) the state was off by 12 %."""
    x = torch.ones(20_000, 1)
    with torch.no_grad():
        _, single = of_ones()(x, dt=1e-7)
        _, exact = of_ones(dtype=torch.float64)(x.double(), dt=1e-7)
    assert single.item() == pytest.approx(exact.item(), rel=1e-3)


def test_decayed_and_its_derivatives():
    rate = torch.tensor([1e-9, 1e-3, 0.3, 0.4999, 0.5, 0.5001, 1.0, 30.0, 800.0]).double()
    assert_close(decayed(1.0, rate), -torch.expm1(-rate) / rate, rtol=1e-14, atol=0)
    rate.requires_grad_()
    h = torch.ones_like(rate, requires_grad=True)
    assert torch.autograd.gradcheck(decayed, (h[1:-1], rate[1:-1]))
    assert torch.autograd.gradgradcheck(decayed, (h[1:-1], rate[1:-1]))
    (slope,) = torch.autograd.grad(decayed(h, rate).sum(), rate)
    assert slope[0].item() == pytest.approx(-0.5, rel=1e-8)
    assert decayed(torch.tensor(1e38), torch.tensor(10.0)).item() == pytest.approx(0.1)


# No time


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("unfolds", [1, 3])
def test_padding_with_no_time_changes_nothing(backend, solver, unfolds):
    layer = LTC(2, 8, solver=solver, unfolds=unfolds, batch_first=True)
    x, dt = torch.randn(3, 9, 2), torch.rand(3, 9) / 2 + 0.1
    lengths = [9, 4, 1]
    for row, length in enumerate(lengths):
        dt[row, length:] = 0
        x[row, length:] = 1e3
    dt.requires_grad_()
    y, h = layer(x, dt=dt)
    for row, length in enumerate(lengths):
        assert torch.equal(h[0, row], y[row, length - 1])
        alone, _ = layer(x[row, :length], dt=dt[row, :length])
        assert_close(h[0, row], alone[-1])
    h.sum().backward()
    gradients = [dt.grad, *(p.grad for p in layer.parameters())]
    assert all(g.isfinite().all() for g in gradients)
    layer.zero_grad()
    total = sum(layer(x[r, :n], dt=dt[r, :n])[1].sum() for r, n in enumerate(lengths))
    total.backward()
    for padded, p in zip(gradients[1:], layer.parameters(), strict=True):
        assert_close(padded, p.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dt", [0, 0.0, np.float32(0.3), np.int64(2), torch.tensor(0.3), 0.3])
def test_one_time_in_many_types(backend, dt):
    layer, x, h0 = LTC(1, 2), torch.ones(4, 3, 1), torch.randn(1, 3, 2)
    y, h = layer(x, h0, dt)
    assert_close(y, layer(x, h0, torch.full((4, 3), float(dt)))[0])
    if dt == 0:
        assert torch.equal(h, h0)


def test_a_time_that_learns():
    layer, x = LTC(1, 2), torch.ones(4, 3, 1)
    dt = torch.tensor(0.3, requires_grad=True)
    everywhere = torch.full((4, 3), 0.3, requires_grad=True)
    layer(x, dt=dt)[0].sum().backward()
    layer(x, dt=everywhere)[0].sum().backward()
    assert_close(dt.grad, everywhere.grad.sum())


# Times that do not fit


@pytest.mark.filterwarnings("ignore::torchliquid.errors.TimeUnitWarning")
@pytest.mark.parametrize(
    ("dtype", "dt", "unfolds"),
    [
        (torch.float32, 1e39, 1),
        (torch.float32, 10**400, 1),
        (torch.float32, 1e-46, 1),
        (torch.float16, 86400.0, 1),
        (torch.float16, 1e-8, 1),
        (torch.float16, 1e-7, 6),
        (torch.bfloat16, 1e39, 1),
        (torch.float64, 1e-323, 12),
    ],
)
def test_a_time_that_the_dtype_cannot_hold(dtype, dt, unfolds):
    layer = LTC(1, 2, unfolds=unfolds, dtype=dtype)
    with pytest.raises(TorchliquidError, match="dt is"):
        layer(torch.ones(3, 1, dtype=dtype), dt=dt)
    if isinstance(dt, float) and unfolds == 1:
        times = torch.full((3,), dt, dtype=torch.float64)
        with pytest.raises(TorchliquidError, match="dt holds values that are"):
            layer(torch.ones(3, 1, dtype=dtype), dt=times)


@pytest.mark.parametrize(
    ("name", "value"),
    [("dt", -1.0), ("dt", 0), ("dt", math.nan), ("dt", "1"), ("unfolds", 0), ("solver", "heun")],
)
def test_options_that_are_set_later_are_checked_too(name, value):
    layer = LTC(1, 2)
    with pytest.raises(TorchliquidError, match=f"{name} is"):
        setattr(layer, name, value)
    layer.dt, layer.unfolds, layer.solver = 0.5, 2, "euler"
    assert layer.config()["dt"] == 0.5


def test_tau_that_all_but_vanishes_has_gradients(backend):
    for solver in SOLVERS:
        for raw in (-10.0, -44.0, -46.0, -80.0, -200.0):
            layer = LTC(1, 2, solver=solver)
            with torch.no_grad():
                layer.raw_tau_l0.fill_(raw)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", LongStepWarning)
                y, _ = layer(torch.ones(4, 1), dt=0.5)
            y.sum().backward()
            assert y.isfinite().all(), (solver, raw)
            assert all(p.grad.isfinite().all() for p in layer.parameters()), (solver, raw)


# Long gaps


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.filterwarnings("ignore::torchliquid.errors.LongStepWarning")
def test_after_a_long_gap_the_state_is_at_rest(backend, solver):
    """Rows a second apart, then a pause of a week: the state forgets, and learning goes on."""
    torch.manual_seed(0)
    layer, x = LTC(2, 4, solver=solver, batch_first=True), torch.randn(2, 9, 2)
    dt = torch.full((2, 9), 0.3)
    dt[:, 4] = 604_800.0
    dt.requires_grad_()
    with torch.no_grad():
        layer.weight_hh_l0.zero_()  # the gate follows the input alone: rest can be written down
    y, _ = layer(x, dt=dt)
    f = torch.sigmoid(x[:, 4] @ layer.weight_ih_l0.T + layer.bias_l0)
    rest = f * layer.target_l0 / (1 / layer.tau + f)
    assert_close(y[:, 4], rest, rtol=1e-4, atol=1e-5)
    y.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
    assert dt.grad.isfinite().all()


@pytest.mark.parametrize("solver", EXPLICIT)
def test_a_step_beyond_the_stable_range_is_named_once(backend, solver):
    layer, x = LTC(1, 2, solver=solver), torch.ones(4, 1)
    limit = {"euler": 2, "rk4": 2.5}[solver] * 1.3133 / 2.3133
    layer(x, dt=limit * 0.99)
    with pytest.warns(LongStepWarning, match=f"dt is up to 60.*stable for dt up to {limit:.3g}"):
        layer(x, dt=torch.tensor([0.1, 60.0, 0.1, 0.1]))
    layer(x, dt=60.0)
    model = SequenceModel(LTC(1, 2, solver=solver, unfolds=4), 1)
    model(torch.ones(4, 1), dt=3.9 * limit)
    with pytest.warns(LongStepWarning, match="with unfolds=4"):
        model(torch.ones(4, 1), dt=4.1 * limit)
    pack = Pack(lambda seed: SequenceModel(LTC(1, 2, solver=solver), 1), range(2))
    with pytest.warns(LongStepWarning):
        pack(torch.ones(4, 3, 1), dt=60.0)


@pytest.mark.parametrize("solver", ["semi_implicit", "exponential"])
def test_solvers_that_are_stable_at_any_step_say_nothing(backend, solver):
    LTC(1, 2, solver=solver)(torch.ones(4, 1), dt=1e8)


# States and dtypes


@pytest.mark.parametrize("kind", ["LTC", "LTC 3 unfolds", "pack LTC", "pack LSTM", "pack GRU"])
@pytest.mark.parametrize("training", [False, True])
def test_a_state_owns_its_memory(backend, kind, training):
    name, *pack = reversed(kind.split()[:2]) if kind.startswith("pack") else (kind,)
    if pack:
        cell = {"LTC": LTC, "LSTM": nn.LSTM, "GRU": nn.GRU}[name]
        module = Pack(lambda s: SequenceModel(cell(1, 4, batch_first=True), 1), range(2))
        run = module.states
    else:
        module = run = LTC(1, 4, unfolds=3 if "3" in kind else 1, batch_first=True)
    with torch.set_grad_enabled(training):
        y, h = run(torch.ones(2, 3, 1))
    before = y.detach().clone()
    for part in h if isinstance(h, tuple) else (h,):
        storage = part.untyped_storage().nbytes()
        assert storage <= 2 * part.numel() * part.element_size()
        part.detach_()
        part[..., 0, :] = 0
    assert torch.equal(y.detach(), before)
    assert y.untyped_storage().nbytes() <= 2 * y.numel() * y.element_size()
    if training:
        y.sum().backward()


@pytest.mark.filterwarnings("ignore::torchliquid.errors.TimeUnitWarning")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_autocast_takes_back_the_state_it_gave(half, bias):
    layer = LTC(2, 3, bias=bias)
    with torch.autocast("cpu", dtype=half):
        y, h = layer(torch.ones(4, 1, 2, dtype=half))
        y, h = layer(torch.ones(4, 1, 2, dtype=half), h)
        far, _ = layer(torch.ones(4, 1, 2), h, dt=86400.0)
        same, _ = layer(torch.ones(4, 1, 2), h, dt=torch.full((4, 1), 86400.0))
    assert (y.dtype, h.dtype) == (half, torch.float32)
    assert far.isfinite().all()
    assert_close(far, same)
    far.sum().backward()
    assert layer.raw_tau_l0.grad.isfinite().all()


def test_an_empty_batch_gives_empty_results(backend):
    layer = LTC(2, 3)
    y, h = layer(torch.ones(4, 0, 2))
    assert (y.shape, h.shape) == ((4, 0, 3), (1, 0, 3))
    for cell in (LTC, nn.LSTM, nn.GRU):
        model = SequenceModel(cell(2, 3, batch_first=True), 1)
        y, _ = model(torch.ones(0, 4, 2))
        assert y.shape == (0, 4, 1)
        y.sum().backward()
        pack = Pack(lambda s: SequenceModel(cell(2, 3, batch_first=True), 1), range(2))  # noqa: B023
        y, _ = pack(torch.ones(0, 4, 2))
        assert y.shape == (2, 0, 4, 1)
        y.sum().backward()


def test_vmap_over_times():
    layer, x, dt = LTC(2, 3, batch_first=True), torch.randn(5, 4, 2), torch.rand(5, 4)
    y = torch.func.vmap(lambda x, dt: layer(x, dt=dt)[0])(x, dt)
    assert_close(y, layer(x, dt=dt)[0])
    with pytest.raises(TorchliquidError, match="negative"):
        torch.func.vmap(lambda dt: layer(x[0], dt=dt)[0])(-dt)
