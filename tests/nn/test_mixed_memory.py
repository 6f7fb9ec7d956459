"""`MixedMemory` keeps the contract around any layer of one value for each neuron."""

import pytest
import torch
from torch.testing import assert_close

from torchliquid import LTC, Resonator, SequenceModel, TorchliquidError, load, save, wirings
from torchliquid.nn import NCP, CfC, MixedMemory, WiredCfC

from ..laws.contract import Cell, CellContract
from .test_cfc import permute as permute_cfc
from .test_ncp import permute as permute_ncp


def permute(inner):
    def run(layer, order):
        rows = torch.cat([order + k * len(order) for k in range(4)])
        for name in ("memory_ih_l0", "memory_hh_l0", "memory_bias_l0"):
            p = getattr(layer, name)
            p.copy_(p[rows])
        layer.memory_hh_l0.copy_(layer.memory_hh_l0[:, order])
        inner(_Inner(layer), order)

    return run


class _Inner:
    """The weights of the layer behind a memory, as that layer's."""

    def __init__(self, layer):
        self._layer = layer

    def __getattr__(self, name):
        return getattr(self._layer._template[0] if "_l0" not in name else self._layer, name)

    def named_parameters(self):
        return [(n, p) for n, p in self._layer.named_parameters() if not n.startswith("memory")]


KINDS = {"NCP": (NCP, permute_ncp, {}), "CfC": (CfC, permute_cfc, {"backbone_units": 6})}


class TestMixedMemory(CellContract):
    @pytest.fixture(params=[(kind, backend) for kind in KINDS for backend in ("native", "torch")])
    def cell(self, request, monkeypatch):
        name, backend = request.param
        monkeypatch.setenv("TORCHLIQUID_BACKEND", backend)
        kind, inner, fixed = KINDS[name]

        def build(I, H, **options):
            return MixedMemory(kind(I, H, **fixed, **options))

        return Cell(build, permute(inner), blocks=2, rests_at_once=False)


def test_a_memory_of_nn_lstm_before_a_layer():
    """torch's LSTM cell, with the forget gate's bias 1 higher, and then the layer."""
    torch.manual_seed(0)
    inner = CfC(3, 5, batch_first=True, dtype=torch.float64)
    layer = MixedMemory(inner)
    x, dt = torch.randn(2, 6, 3, dtype=torch.float64), torch.rand(2, 6, dtype=torch.float64)
    cell = torch.nn.LSTMCell(3, 5, dtype=torch.float64)
    a, i, f, o = (slice(k * 5, k * 5 + 5) for k in range(4))
    with torch.no_grad():
        for name, held in (("weight_ih", "ih"), ("weight_hh", "hh"), ("bias_ih", "bias")):
            p = getattr(layer, f"memory_{held}_l0")
            getattr(cell, name).copy_(torch.cat([p[i], p[f] + (held == "bias"), p[a], p[o]]))
        cell.bias_hh.zero_()
    h = c = torch.zeros(2, 5, dtype=torch.float64)
    for t in range(6):
        h, c = cell(x[:, t], (h, c))
        before = h
        h = inner(x[:, t : t + 1], h[None], dt[:, t : t + 1])[1][0]
    y, state = layer(x, dt=dt)
    assert_close(state[0], torch.cat([h, c], 1))
    assert_close(y[:, -1], h)
    tau = inner.time_constants(x[:, -1:], before[None], dt[:, -1:])
    assert_close(layer.time_constants(x, dt=dt)[:, -1:], tau)


def test_layers_and_directions_are_those_of_the_layer():
    inner = NCP(3, wirings.AutoNCP(12, 2), num_layers=2, bidirectional=True, batch_first=True)
    layer = MixedMemory(inner)
    x = torch.randn(4, 6, 3)
    y, state = layer(x, lengths=torch.tensor([6, 2, 5, 1]))
    assert (y.shape, state.shape) == ((4, 6, 4), (4, 4, 24))
    assert_close(y[1, :2], layer(x[1:2, :2])[0][0])
    assert all(torch.equal(p, getattr(inner, n)) for n, p in layer.named_parameters()
               if not n.startswith("memory"))  # fmt: skip
    with torch.no_grad():
        layer.w_l0.zero_()
    assert inner.w_l0.abs().min() > 0  # a copy


def test_synapses_are_cut_behind_a_memory():
    layer = MixedMemory(NCP(2, 4, batch_first=True))
    x = torch.randn(1, 5, 2)
    with layer._template[0].cut([(0, 1)]):
        cut = layer(x)[0]
    assert not torch.equal(cut, layer(x)[0])


@pytest.mark.parametrize(
    "inner",
    [
        lambda: NCP(3, wirings.AutoNCP(12, 2), epsilon=1e-3, batch_first=True),
        lambda: WiredCfC(3, 6, masks="ncps", batch_first=True),
        lambda: CfC(3, 4, mode="pure", num_layers=2, dropout=0.5, batch_first=True),
        lambda: LTC(3, 4, solver="euler", unfolds=3, batch_first=True),
    ],
)
def test_saved_and_loaded(tmp_path, inner):
    model = SequenceModel(MixedMemory(inner()), 2).eval()
    save(model, tmp_path / "m")
    again, x = load(tmp_path / "m").eval(), torch.randn(2, 5, 3)
    assert torch.equal(again(x)[0], model(x)[0])
    assert repr(again) == repr(model)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: MixedMemory(torch.nn.LSTM(1, 2)), "layer is a LSTM"),
        (lambda: MixedMemory(Resonator(1, 2)), "a state of 6 values for 2 neurons"),
        (lambda: MixedMemory(LTC(1, 4, proj_size=2)), "proj_size 2"),
        (lambda: MixedMemory(MixedMemory(LTC(1, 4))), "not wrapped yet"),
        (lambda: MixedMemory(type("Mine", (LTC,), {})(1, 4)), "layer is a Mine"),
    ],
)
def test_what_no_memory_goes_before(make, said):
    with pytest.raises(TorchliquidError, match=said):
        make()
