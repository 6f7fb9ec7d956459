"""`CfC` keeps the contract, and its three backends agree."""

import copy
import functools
import itertools

import pytest
import torch
from torch.testing import assert_close

from torchliquid import Pack, SequenceModel, TorchliquidError, kernels, load, save
from torchliquid.functional import cfc as equation
from torchliquid.functional.cfc import ACTIVATIONS, MODES
from torchliquid.nn import CfC

from ..laws.contract import Cell, CellContract


def permute(layer, order):
    rows = torch.cat([order + k * len(order) for k in range(MODES[layer.mode])])
    for name, p in layer.named_parameters():
        if name in ("rate_l0", "target_l0"):
            p.copy_(p[order])
        elif "heads" in name or not layer.backbone_layers:
            p.copy_(p[rows])
    layer.weight_hh_l0.copy_(layer.weight_hh_l0[:, order])


def bounds(layer):
    most = torch.full((layer.hidden_size,), 2.0 if layer.mode == "no_gate" else 1.0)
    return -most.to(layer.weight_hh_l0), most.to(layer.weight_hh_l0)


FORMS = [
    {"backbone_units": 6},
    {"mode": "no_gate", "backbone_layers": 2, "backbone_units": 4, "activation": "silu"},
    {"mode": "pure", "backbone_layers": 0},
]


class TestCfC(CellContract):
    @pytest.fixture(
        params=[(form, backend) for form in FORMS for backend in ("native", "torch")], ids=str
    )
    def cell(self, request, monkeypatch):
        form, backend = request.param
        monkeypatch.setenv("TORCHLIQUID_BACKEND", backend)
        proven = None if form.get("mode") == "pure" else bounds
        return Cell(functools.partial(CfC, **form), permute, bounds=proven, rests_at_once=False)


@pytest.mark.parametrize(
    ("mode", "layers", "activation"),
    [*itertools.product(MODES, (1, 3), ACTIVATIONS), *((mode, 0, "tanh") for mode in MODES)],
)
def test_backends_agree_in_values_and_all_gradients(mode, layers, activation, monkeypatch):
    torch.manual_seed(0)
    layer = CfC(3, 4, mode=mode, backbone_layers=layers, backbone_units=6, activation=activation,
                batch_first=True, dtype=torch.float64)  # fmt: skip
    x, h0 = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(1, 2, 4, dtype=torch.float64)
    for dt in (0.7, torch.rand(2, 5, dtype=torch.float64)):
        found = {}
        for backend in kernels.BACKENDS:
            monkeypatch.setenv("TORCHLIQUID_BACKEND", backend)
            given = [t.clone().requires_grad_() for t in (x, h0)]
            time = dt.clone().requires_grad_() if isinstance(dt, torch.Tensor) else dt
            y, last = layer(*given, time)
            wanted = [*given, *layer.parameters(), *([time] if time is not dt else [])]
            loss = y.square().sum() + last.sum()
            first = torch.autograd.grad(loss, wanted, create_graph=True)
            second = torch.autograd.grad(sum(g.square().sum() for g in first), wanted)
            found[backend] = [y, last, *first, *second]
        for backend in ("native", "torch"):
            for one, other in zip(found[backend], found["reference"], strict=True):
                assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_the_formula_written_out():
    """The default mode with one layer of backbone, sample by sample."""
    torch.manual_seed(0)
    layer = CfC(2, 3, backbone_units=5, batch_first=True, dtype=torch.float64)
    x, dt = torch.randn(2, 6, 2, dtype=torch.float64), torch.rand(2, 6, dtype=torch.float64)
    h, states, taus = torch.zeros(2, 3, dtype=torch.float64), [], []
    W = torch.cat([layer.weight_ih_l0, layer.weight_hh_l0], 1)
    for k in range(6):
        z = 1.7159 * torch.tanh(0.666 * (torch.cat([x[:, k], h], 1) @ W.T + layer.bias_l0))
        heads = z @ layer.weight_heads_l0.T + layer.bias_heads_l0
        f, g, a, b = heads.split(3, 1)
        s = torch.sigmoid(a * dt[:, k : k + 1] + b)
        h = torch.tanh(f) * (1 - s) + torch.tanh(g) * s
        states.append(h)
        taus.append(1 / a.abs())
    assert_close(layer(x, dt=dt)[0], torch.stack(states, 1))
    assert_close(layer.time_constants(x, dt=dt), torch.stack(taus, 1))


def test_the_pure_mode_decays_at_its_time_constants():
    """Twice the time: the distance from the target shrinks by exp(-dt / tau)."""
    layer = CfC(2, 3, mode="pure", batch_first=True, dtype=torch.float64)
    x = torch.randn(4, 1, 2, dtype=torch.float64)
    one, two = (layer.target_l0 - layer(x, dt=dt)[0] for dt in (0.5, 1.0))
    assert_close(two / one, torch.exp(-0.5 / layer.time_constants(x)))


def test_what_a_backbone_drops():
    layer = CfC(2, 3, backbone_layers=2, backbone_units=64, backbone_dropout=0.5,
                num_layers=2, batch_first=True)  # fmt: skip
    x = torch.randn(3, 7, 2)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    assert torch.equal(layer.time_constants(x), layer.time_constants(x))
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])
    pack = Pack(lambda seed: SequenceModel(copy.deepcopy(layer), 1), [0, 1])
    pack.eval()
    assert torch.equal(pack(x)[0], pack(x)[0])
    pack.train()
    assert not torch.equal(pack(x)[0], pack(x)[0])


@pytest.mark.parametrize("lanes", [(), (3,)])
def test_dropped_values_reach_no_gradient_in_either_backend(lanes, monkeypatch):
    torch.manual_seed(0)
    kept = 2 * (torch.rand(*lanes, 2, 5, 6) > 0.5).double()
    x = torch.randn(*lanes, 2, 5, 3, dtype=torch.float64)
    state = torch.zeros(*lanes, 2, 4, dtype=torch.float64)
    shapes = [(6, 3), (6, 4), (6,), (16, 6), (16,)]
    weights = [torch.randn(*lanes, *s, dtype=torch.float64, requires_grad=True) for s in shapes]
    ih, hh, bias, heads, offset = weights
    found = []
    for backend in ("reference", "torch"):
        monkeypatch.setenv("TORCHLIQUID_BACKEND", backend)
        y, _ = kernels.cfc(x, state, ih, hh, bias, [(heads, offset)], dt=0.5, kept=[kept])
        found.append([y, *torch.autograd.grad(y.square().sum(), weights)])
    for one, other in zip(*found, strict=True):
        assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_saved_and_loaded(tmp_path):
    layer = CfC(3, 4, mode="no_gate", backbone_layers=2, backbone_units=7, activation="gelu",
                num_layers=2, bidirectional=True, batch_first=True)  # fmt: skip
    model = SequenceModel(layer, 2)
    save(model, tmp_path / "m")
    again, x = load(tmp_path / "m"), torch.randn(2, 5, 3)
    assert torch.equal(again(x)[0], model(x)[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "fast"}, "mode is 'fast': expected one of 'default'"),
        ({"mode": None}, "mode is None"),
        ({"activation": "sine"}, "activation is 'sine'"),
        ({"backbone_layers": -1}, "backbone_layers is -1: give an integer of at least 0"),
        ({"backbone_layers": True}, "backbone_layers is True"),
        ({"backbone_units": 0}, "backbone_units is 0"),
        ({"backbone_dropout": 1.5}, "backbone_dropout is 1.5"),
    ],
)
def test_what_is_no_cfc(options, said):
    with pytest.raises(TorchliquidError, match=said):
        CfC(3, 4, **options)


def test_arguments_of_the_equation_that_do_not_fit():
    x, h = torch.zeros(2, 5, 3), torch.zeros(2, 4)
    ih, hh, heads = torch.zeros(6, 3), torch.zeros(6, 4), torch.zeros(16, 6)
    equation(x, h, ih, hh, None, [(heads, None)])
    for given, said in (
        ((x, h, ih, hh, None), "weight_ih has shape"),
        ((x, h, ih, hh, None, [(heads[:8], None)]), r"maps\[0\]\[0\] has shape \(8, 6\)"),
        ((x, h, ih, hh, None, [(heads, torch.zeros(3))]), r"maps\[0\]\[1\] has shape"),
        ((x, h, ih, hh, None, [(heads[:4], None)], None, None, 1.0, "pure"), "rate is a NoneType"),
    ):
        with pytest.raises(TorchliquidError, match=said):
            equation(*given)
    with pytest.raises(TorchliquidError, match="kept has 2 factors: expected 1"):
        equation(x, h, ih, hh, None, [(heads, None)], kept=[torch.zeros(2, 5, 6)] * 2)
