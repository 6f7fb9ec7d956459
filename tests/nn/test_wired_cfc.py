"""`WiredCfC` keeps the contract, and its weights are the wiring's synapses."""

import functools

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from torchliquid import SequenceModel, TorchliquidError, load, save, wirings
from torchliquid.functional.cfc import MODES
from torchliquid.nn import CfC, WiredCfC

from ..laws.contract import Cell, CellContract


def permute(layer, order):
    H, heads = len(order), MODES[layer.mode]
    rows = torch.cat([order + k * H for k in range(heads)])
    for name, p in layer.named_parameters():
        table = p.view(heads * H, -1) if name.startswith(("w_", "sensory")) else p
        if name in ("rate_l0", "target_l0"):
            p.copy_(p[order])
        elif name == "w_l0":
            p.copy_(table[rows][:, order].reshape(-1))
        else:
            p.copy_(table[rows].reshape(p.shape))


class TestWiredCfC(CellContract):
    @pytest.fixture(params=["default", "pure"])
    def cell(self, request):
        return Cell(functools.partial(WiredCfC, mode=request.param), permute, rests_at_once=False)


WIRING = wirings.NCP(inter=(6, 5), command=4, motor=2)


def test_fully_connected_it_is_a_cfc_without_a_backbone():
    torch.manual_seed(0)
    wired = WiredCfC(3, 5, batch_first=True, dtype=torch.float64)
    plain = CfC(3, 5, backbone_layers=0, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        plain.weight_ih_l0.copy_(wired.sensory_w_l0.view(20, 3))
        plain.weight_hh_l0.copy_(wired.w_l0.view(20, 5))
        plain.bias_l0.copy_(wired.bias_l0)
    x, dt = torch.randn(4, 7, 3, dtype=torch.float64), torch.rand(4, 7, dtype=torch.float64)
    for one, other in zip(wired(x, dt=dt), plain(x, dt=dt), strict=True):
        assert_close(one, other)
    assert_close(wired.time_constants(x, dt=dt), plain.time_constants(x, dt=dt))
    bounds = [p.abs().max() / (6 / (8 + 5)) ** 0.5 for p in (wired.w_l0, wired.sensory_w_l0)]
    assert 0.9 < min(bounds) <= max(bounds) <= 1  # as Glorot's rule has it for the plain one


@pytest.mark.parametrize("mode", MODES)
def test_neurons_act_where_the_wiring_says_and_when(mode):
    """Of each neuron and sample, which states a change of another state or input reaches."""
    torch.manual_seed(0)
    layer = WiredCfC(3, WIRING, mode=mode, batch_first=True, dtype=torch.float64)
    H = WIRING.units
    level = np.empty(H, int)
    for k, units in enumerate(WIRING.layers):
        level[list(units)] = k

    def states(x, h):
        return layer.scan(layer.weights(), x, h, 0.7)[0]

    x, h = torch.randn(1, 1, 3, dtype=torch.float64), torch.randn(1, H, dtype=torch.float64)
    seen, before = torch.autograd.functional.jacobian(states, (x, h))
    reached = (before[0, 0, :, 0] != 0).numpy().T  # from, to
    within = level[:, None] == level[None, :]
    direct = (WIRING.recurrent != 0) & within
    forward = (WIRING.recurrent != 0) & ~within
    wanted = direct.copy()
    for _ in range(len(WIRING.layers)):
        wanted |= wanted @ forward
    np.testing.assert_array_equal(reached, wanted)
    wanted = WIRING.sensory(3) != 0
    for _ in range(len(WIRING.layers)):
        wanted |= wanted @ forward
    np.testing.assert_array_equal((seen[0, 0, :, 0, 0] != 0).numpy().T, wanted)
    synapses = WIRING.synapses + np.count_nonzero(WIRING.sensory(3))
    own = 2 * H if mode == "pure" else 0
    assert sum(p.numel() for p in layer.parameters()) == MODES[mode] * (synapses + H) + own


def test_a_muted_neuron_reaches_nothing():
    layer = WiredCfC(3, WIRING, batch_first=True)
    x = torch.randn(2, 6, 3)
    inter = WIRING.layers[0][1]
    with layer.ablate([inter]):
        muted = layer(x)[0]
    assert not torch.equal(muted, layer(x)[0])
    with torch.no_grad():
        places = layer._places(3, x.device).recurrent
        layer.w_l0[places % WIRING.units == inter] = 0
    assert_close(layer(x)[0], muted)


@pytest.mark.parametrize("wiring", [WIRING, 7], ids=str)
def test_saved_and_loaded(tmp_path, wiring):
    layer = WiredCfC(3, wiring, batch_first=True, mode="no_gate", masks="ncps", num_layers=2)
    model = SequenceModel(layer, 2)
    save(model, tmp_path / "m")
    again, x = load(tmp_path / "m"), torch.randn(2, 5, 3)
    assert torch.equal(again(x)[0], model(x)[0])


BACKWARDS = wirings.from_adjacency(
    [[0, 1, 0], [0, 0, 0], [0, 1, 0]], [[1, 1, 1]], 1, ["motor", "command", "inter"]
)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: WiredCfC(3, 8, proj_size=2), "proj_size is 2"),
        (lambda: WiredCfC(3, 8, masks="none"), "masks is 'none'"),
        (lambda: WiredCfC(3, 8, mode="fast"), "mode is 'fast'"),
        (lambda: WiredCfC(1, BACKWARDS), "a synapse from neuron 0 to 1"),
    ],
)
def test_what_is_no_wired_cfc(make, said):
    with pytest.raises(TorchliquidError, match=said):
        make()
