"""The resonator keeps the contract, its equation, and what a bank of resonators promises."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch.testing import assert_close

import torchliquid as tl
from torchliquid import Resonator, SequenceModel, TorchliquidError, functional, kernels

from ..laws.contract import Cell, CellContract


def permute(layer, order):
    for parameter in layer.parameters():
        parameter.copy_(parameter[order])


class TestResonator(CellContract):
    @pytest.fixture(params=[None, "closed", "open"], ids=str)
    def cell(self, request):
        def build(*sizes, **options):
            return Resonator(*sizes, gate=request.param, **options)

        return Cell(build, permute, blocks=3, held=1)


def arguments(gate, lanes=(), B=2, L=9, I=2, H=3, dtype=torch.float64, seed=0):
    """Arguments of `functional.resonator`, with gradients."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*lanes, *shape, generator=generator, dtype=torch.float64)

    values = [normal(B, L, I), normal(B, 3 * H), normal(H).exp(), normal(H).exp(), normal(H, I)]
    values += [normal(H, I), normal(H)] if gate else []
    values = [value.to(dtype).requires_grad_() for value in values]
    dt = torch.rand(*lanes, B, L, generator=generator, dtype=torch.float64).to(dtype) * 2
    return values + ([] if gate else [None, None]) + [dt.requires_grad_()]


@pytest.mark.parametrize("gate", [False, True])
def test_it_solves_its_equation(gate):
    x, h0, w, rate, weight, W, b, dt = arguments(gate)
    y, _ = functional.resonator(x, h0, w, rate, weight, W, b, dt)
    x, h0, w, rate, weight, dt = (t.detach().numpy() for t in (x, h0, w, rate, weight, dt))
    for row in range(2):
        z = h0[row, :3] + 1j * h0[row, 3:6]
        before = h0[row, 6:]
        for t in range(9):
            decay, now, step = rate.copy(), weight @ x[row, t], dt[row, t]
            if gate:
                a = W.detach().numpy() @ x[row, t] + b.detach().numpy()
                decay += 1 / (1 + np.exp(-a))

            def slope(s, z, decay=decay, now=now, step=step, before=before):
                return (-decay + 1j * w) * z + before + (now - before) * s / step

            z = solve_ivp(slope, (0, step), z, rtol=1e-11, atol=1e-12).y[:, -1]
            before = now
            found = y[row, t].detach().numpy()
            np.testing.assert_allclose(found, [*z.real, *z.imag, *now], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("backend", ["torch", "native"])
@pytest.mark.parametrize("lanes", [(), (3,)])
@pytest.mark.parametrize("L", [1, 2, 13])
@pytest.mark.parametrize("even", [False, True])
def test_kernels_equal_the_loop_in_values_and_every_gradient(backend, lanes, L, even, monkeypatch):
    for gate in (False, True):
        *given, dt = arguments(gate, lanes, L=L)
        given.append(0.3 if even else dt)
        wanted = [t for t in given if isinstance(t, torch.Tensor)]
        expected = functional.resonator(*given)
        monkeypatch.setenv("TORCHLIQUID_BACKEND", backend)
        found = kernels.resonator(*given)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other, rtol=1e-12, atol=1e-13)
        seeds = [torch.randn_like(value) for value in expected]
        for one, other in zip(
            torch.autograd.grad(found, wanted, seeds),
            torch.autograd.grad(expected, wanted, seeds),
            strict=True,
        ):
            assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_the_held_integrals_are_right_at_every_size():
    # longdouble where the formula is right, the series' first terms where it cancels
    for size in 10.0 ** np.arange(-9, 3.1, 0.25):
        for angle in (0.51, 0.6, 0.75, 0.9, 0.999):
            turn = complex(size * np.exp(1j * np.pi * angle))
            found = functional.resonator(
                torch.tensor([[[1.0]]], dtype=torch.float64),
                torch.zeros(1, 3, dtype=torch.float64),
                torch.tensor([turn.imag], dtype=torch.float64),
                torch.tensor([-turn.real], dtype=torch.float64),
            )[1][0]
            wide = np.clongdouble(turn)
            ramp = (np.expm1(wide) / wide - 1) / wide
            if size < 1e-3:
                ramp = 0.5 + wide / 6 + wide**2 / 24 + wide**3 / 120
            assert abs(complex(found[0], found[1]) - ramp) < 4e-15 * abs(ramp), (size, angle)


def test_two_steps_along_a_ramp_are_one():
    layer = Resonator(1, 5, dtype=torch.float64)
    ramp = torch.tensor([[0.0], [0.4], [1.0]], dtype=torch.float64) * 3
    start = layer.step(ramp[0], None, 1e-9)
    half = layer.step(ramp[1], start, 0.4 * 2)
    assert_close(layer.step(ramp[2], half, 0.6 * 2), layer.step(ramp[2], start, 2.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gate", [None, "closed", "open"])
def test_states_are_bounded_for_any_dt(gate, dtype):
    torch.manual_seed(0)
    layer = Resonator(1, 6, gate=gate, dtype=dtype, batch_first=True)
    tau = layer.log_rate_l0.detach().exp().reciprocal()
    for dt in (1e-30, 1e-6, 0.3, 1.0, 77.7, 1e9, 1e30):
        for size in (1.0, 1e6):
            x = size * torch.randn(3, 50, 1, dtype=dtype)
            y, _ = layer(x, None, dt)
            assert (y.view(3, 50, 2, 6).norm(dim=2) <= 1.001 * tau * x.abs().max()).all()
            gradient = torch.autograd.grad(y.sum(), list(layer.parameters()))
            assert all(g.isfinite().all() for g in gradient)


def test_a_gate_that_is_shut_is_none():
    torch.manual_seed(0)
    gated = Resonator(2, 4, gate="closed", dtype=torch.float64)
    plain = Resonator(2, 4, dtype=torch.float64)
    with torch.no_grad():
        gated.bias_gate_l0.fill_(-60)
        for name, parameter in plain.named_parameters():
            parameter.copy_(gated.get_parameter(name))
    x = torch.randn(9, 3, 2, dtype=torch.float64)
    assert_close(gated(x)[0], plain(x)[0], rtol=1e-12, atol=1e-13)


def test_a_step_of_no_time_changes_nothing():
    layer = Resonator(2, 4, gate="open")
    state = torch.randn(12)
    assert torch.equal(layer.step(torch.randn(2), state, 0.0), state)
    many = torch.randn(3, 12)
    expected = layer.step(torch.ones(3, 2), many[:, :], 0.5)
    moved = layer.step_many(torch.ones(3, 2), many.clone(), torch.tensor([0.5, 0.0, 0.5]))
    assert torch.equal(moved[1], many[1])
    assert_close(moved[[0, 2]], expected[[0, 2]])


def test_samples_that_were_not_observed_are_interpolated_over():
    layer = Resonator(1, 4, batch_first=True, dtype=torch.float64)
    x, dt = torch.randn(2, 9, 1).double(), torch.rand(2, 9).double() + 0.1
    seen = torch.rand(2, 9) < 0.6
    seen[:, 0] = seen[:, -1] = True
    y, last = layer(x, None, dt, observed=seen)
    for row in range(2):
        time, kept = dt[row].cumsum(0), seen[row]
        gaps = time[kept].diff(prepend=time.new_zeros(1))
        alone, end = layer(x[row, kept], None, gaps)
        assert_close(y[row, kept], alone, rtol=1e-12, atol=1e-13)
        assert_close(last[:, row], end, rtol=1e-12, atol=1e-13)


def test_it_recovers_the_frequency_of_a_sine():
    torch.manual_seed(0)
    time = torch.rand(1, 1000).mul(0.2).cumsum(1)
    dt = time.diff(dim=1, prepend=time.new_zeros(1, 1))
    # as much noise as signal: without any, every frequency answers a sine by that sine
    x = torch.sin(2.5 * time).unsqueeze(-1) + torch.randn(1, 1000, 1)
    y = torch.sin(2.5 * (time + 0.1)).unsqueeze(-1)
    layer = Resonator(1, 1, slowest=2.0, fastest=2.0, initial_tau=4.0, batch_first=True)
    weight = (time > 5).float()  # the start is no steady state
    fitted = SequenceModel(layer, 1)
    tl.fit(fitted, x, y, dt=dt, epochs=400, lr=0.01, readout="solve", weight=weight)
    assert layer.log_frequency_l0.detach().exp().item() == pytest.approx(2.5, rel=0.01)


def test_it_has_as_many_parameters_as_it_says_and_starts_where_it_says():
    torch.manual_seed(0)
    sizes = {None: 49, "open": 73, "closed": 73}
    for gate, size in sizes.items():
        model = SequenceModel(Resonator(1, 12, gate=gate), 1)
        assert sum(p.numel() for p in model.parameters()) == size
    layer = Resonator(1, 500, dt=0.1, gate="closed")
    low, high = layer.log_frequency_l0.detach().exp().aminmax()
    assert math.pi / 10 <= low < 0.32
    assert 31.2 < high <= math.pi * 10
    assert layer.log_rate_l0.mean().item() == pytest.approx(-math.log(2), abs=0.05)
    assert layer.weight_gate_l0.std().item() == pytest.approx(0.3, rel=0.1)
    tau = layer.time_constants(torch.zeros(4, 1))
    assert tau.shape == (4, 500)
    expected = 1 / (layer.log_rate_l0.exp() + torch.sigmoid(torch.tensor(-3.0)))
    assert_close(tau, expected.detach().expand(4, 500))


def test_saved_and_loaded(tmp_path):
    layer = Resonator(2, 3, 2, gate="open", slowest=0.5, dt=0.3)
    tl.save(SequenceModel(layer, 1), tmp_path / "m")
    x = torch.randn(5, 2, 2)
    loaded = tl.load(tmp_path / "m")
    assert loaded.layer.config() == layer.config()
    assert torch.equal(loaded.layer(x)[0], layer(x)[0])
    assert "gate='open', slowest=0.5" in repr(layer)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gate": "ajar"}, "gate is 'ajar': expected None, 'closed', 'open'"),
        ({"gate": True}, "gate is True"),
        ({"initial_tau": 0}, "initial_tau is 0: give a finite number above 0"),
        ({"slowest": "2"}, "slowest is '2'"),
        ({"slowest": 3, "fastest": 2}, "slowest is 3, fastest 2: give the lower"),
        ({"proj_size": 2}, "proj_size is 2: resonators feed nothing back"),
    ],
)
def test_what_cannot_be_built_is_refused(options, message):
    with pytest.raises(TorchliquidError, match=message):
        Resonator(1, 4, **options)


def test_muted_resonators_are_silent():
    layer = Resonator(1, 4)
    x = torch.randn(6, 2, 1)
    y, h = layer(x)
    with layer.ablate([1, 3]):
        muted, last = layer(x)
    silent = [1, 3, 5, 7]
    assert (muted[..., silent] == 0).all()
    assert torch.equal(muted[..., ::2], y[..., ::2])
    assert (last[..., [*silent, 9, 11]] == 0).all()
    assert torch.equal(last[..., ::2], h[..., ::2])


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "gate": "open"}])
def test_steps_are_the_sequence(options):
    layer = Resonator(2, 5, dt=0.3, **options)
    for rows in ((), (4,)):
        x, dt = torch.randn(7, *rows, 2), torch.rand(7, *rows) + 0.1
        _, last = layer(x, dt=dt)
        state = None
        for sample, gap in zip(x, dt, strict=True):
            state = layer.step(sample, state, gap if rows else float(gap))
        assert_close(state, last.detach().view(state.shape))


@pytest.mark.parametrize("options", [{}, {"gate": "open"}, {"gate": "closed", "bias": False}])
@pytest.mark.parametrize("features", [1, 3])
def test_a_step_by_the_kernel_is_that_of_the_sequence(options, features, monkeypatch):
    layer = Resonator(features, 5, **options)
    for rows in ((), (4,)):
        x, state = torch.randn(*rows, features), torch.randn(*rows, 15)
        fast = layer.step(x, state, 0.3)
        assert not fast.requires_grad
        monkeypatch.setattr(Resonator, "_try_fast_step", lambda *arguments: None)
        assert_close(layer.step(x, state, 0.3), fast)
        first = layer.step(x, None, 0.3)
        monkeypatch.undo()
        assert_close(layer.step(x, None, 0.3), first)
        assert layer.step(x, state, 0.3, out=state) is state
        assert torch.equal(state, fast)
        with torch.no_grad():
            layer.log_rate_l0 += 0.1
        assert not torch.equal(layer.step(x, None, 0.3), first)  # it reads weights as they are


@pytest.mark.parametrize("readout", ["train", "solve"])
def test_lanes_train_as_their_models_do(readout):
    def make(seed):
        torch.manual_seed(seed)
        layer = Resonator(2, 4, 2, bidirectional=True, gate="closed", batch_first=True)
        return SequenceModel(layer.double(), 1)

    x, dt = torch.randn(3, 9, 2).double(), torch.rand(3, 9).double() + 0.1
    y = torch.randn(3, 9, 1).double()
    options = {"dt": dt, "lengths": [9, 5, 7], "epochs": 5, "lr": 0.05, "readout": readout}
    pack = tl.Pack(make, (3, 8))
    tl.fit(pack, x, y, **options)
    for lane, seed in enumerate((3, 8)):
        alone = make(seed)
        tl.fit(alone, x, y, **options)
        for one, other in zip(pack.lane(lane).parameters(), alone.parameters(), strict=True):
            assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.skipif(kernels.backend() != "native", reason="no native kernels")
@pytest.mark.parametrize("H", [1, 3, 16, 23])
def test_single_precision_by_the_native_kernel(H, monkeypatch):
    """Angles from next to nothing to far beyond a turn, times from 0.001 to 1,000."""
    torch.manual_seed(H)
    values = [torch.randn(2, 40, 1), torch.randn(2, 3 * H), (2 * torch.randn(H)).exp()]
    values += [(2 * torch.randn(H)).exp(), torch.randn(H, 1), torch.randn(H, 1), torch.randn(H)]
    values.append((2.5 * torch.randn(2, 40)).exp())
    seed = torch.randn(2, 40, 3 * H)

    def errors(backend):
        monkeypatch.setenv("TORCHLIQUID_BACKEND", backend)
        found = []
        for dtype in (torch.float32, torch.float64):
            given = [v.to(dtype).requires_grad_() for v in values]
            y = kernels.resonator(*given)[0]
            found.append([y, *torch.autograd.grad(y, given, seed.to(dtype))])
        return [(a - b).norm() / b.norm() for a, b in zip(*found, strict=True)]

    for one, other in zip(errors("native"), errors("torch"), strict=True):
        assert one < max(3 * other, 3e-6)


def test_threads_change_no_bit():
    torch.manual_seed(0)
    model = tl.Pack(lambda seed: SequenceModel(Resonator(2, 13, gate="open"), 1), range(9))
    x, dt = torch.randn(9, 300, 3, 2), torch.rand(9, 300, 3)
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        model.zero_grad()
        y, h = model(x, dt=dt)
        (y.square().sum() + h.sum()).backward()
        found.append([y, h, *(p.grad for p in model.parameters())])
    torch.set_num_threads(1)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_its_time_constants_are_drawn_where_they_move():
    layer = Resonator(1, 6, 2, gate="open", batch_first=True)
    assert layer.tau.shape == layer.frequency.shape == (2, 6)
    figure = tl.plot_time_constants(layer, torch.randn(1, 40, 1), layer_index=1)
    assert figure.axes[1].get_title() == "Mean tau_sys over 6 neurons"
    with pytest.raises(TorchliquidError, match="a Resonator whose time constants do not move"):
        tl.plot_time_constants(Resonator(1, 6), torch.randn(40, 1))
    with tl.watch(SequenceModel(layer, 1)) as watching:
        watching._watched["layer"](torch.randn(3, 9, 1))
    assert [r["place"] for r in watching.records] == ["l0", "l1"]
    assert all(r["max"] < layer.tau.max() for r in watching.records)
