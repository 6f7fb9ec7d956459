"""`NCP` keeps the contract; see also test_from_ncps.py."""

import copy

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from torchliquid import SequenceModel, TorchliquidError, load, save, wirings
from torchliquid.nn import NCP

from ..laws.contract import Cell, CellContract


def permute(layer, order):
    H = len(order)
    for name, p in layer.named_parameters():
        if name.startswith("sensory"):
            p.copy_(p.view(-1, H)[:, order].reshape(-1))
        elif name[:-3] in ("sigma", "mu", "w", "erev"):
            p.copy_(p.view(H, H)[order][:, order].reshape(-1))
        elif not name.startswith("input"):
            p.copy_(p[order])


def bounds(layer):
    """States stay between the lowest and the highest polarity, leak and 0."""
    H = layer.hidden_size
    rows = [layer.erev_l0.view(H, H), layer.sensory_erev_l0.view(-1, H), layer.vleak_l0[None]]
    rows = torch.cat([*rows, torch.zeros_like(layer.vleak_l0)[None]])
    return rows.amin(0), rows.amax(0)


class TestNCP(CellContract):
    @pytest.fixture(params=["reference", "native"])
    def cell(self, request, monkeypatch):
        monkeypatch.setenv("TORCHLIQUID_BACKEND", request.param)
        return Cell(NCP, permute, order=1, bounds=bounds)


def draw(B, H, dtype=torch.float64, L=9):
    g = torch.Generator().manual_seed(1)
    x, h0 = torch.randn(B, L, 5, generator=g), 0.3 * torch.randn(B, H, generator=g)
    return x.to(dtype), h0.to(dtype), (0.1 + torch.rand(B, L, generator=g)).to(dtype)


def test_motors_are_outputs_and_all_states_are_there():
    layer = NCP(5, wirings.AutoNCP(16, 3), batch_first=True, dtype=torch.float64)
    x, h0, times = draw(4, 16)
    y, last = layer(x, h0[None], times)
    states = layer.states(x, h0[None], times)
    assert (y.shape, states.shape) == ((4, 9, 3), (4, 9, 16))
    assert_close(states[:, -1], last[0])
    assert_close(states[..., :3] * layer.output_w_l0 + layer.output_b_l0, y)
    with pytest.raises(TorchliquidError, match="run them one by one"):
        NCP(5, 8, num_layers=2).states(x)


def test_cut_synapses_are_gone_for_a_while():
    layer = NCP(2, wirings.Random(6, 2, 0.4), batch_first=True, dtype=torch.float64)
    x = torch.randn(3, 7, 2, dtype=torch.float64)
    whole = layer(x)[0]
    edges = [tuple(map(int, pair)) for pair in np.argwhere(layer.wiring.recurrent)]
    seen = [tuple(map(int, pair)) for pair in np.argwhere(layer.wiring.sensory(2))]
    left, kept = layer.wiring.recurrent.copy(), [k for k in range(len(edges)) if k not in (1, 4)]
    for k in (1, 4):
        left[edges[k]] = 0
    smaller = NCP(2, wirings.from_adjacency(left, layer.wiring.sensory(2), 2), batch_first=True,
                  dtype=torch.float64)  # fmt: skip
    with torch.no_grad():
        for name, p in smaller.named_parameters():
            value = getattr(layer, name)
            p.copy_(value if p.shape == value.shape else value[kept])
    with layer.cut([edges[1]]), layer.cut([edges[4]]):
        assert torch.equal(copy.deepcopy(layer)(x)[0], whole)
        torch.testing.assert_close(layer(x)[0], smaller(x)[0])
        torch.testing.assert_close(layer.time_constants(x), smaller.time_constants(x))
    with layer.cut(sensory=seen):  # nothing is heard
        torch.testing.assert_close(layer(x)[0], layer(0 * x)[0])
    assert torch.equal(layer(x)[0], whole)
    missing = next((i, j) for i in range(6) for j in range(6) if (i, j) not in edges)
    with pytest.raises(TorchliquidError, match="has no synapse"), layer.cut([missing]):
        pass


def test_time_constants_are_the_equations():
    layer = NCP(2, wirings.Random(6, 2, 0.4), batch_first=True, dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 2, generator=g, dtype=torch.float64)
    found = layer.time_constants(x, dt=0.3)[0].detach().numpy()
    states = torch.cat([torch.zeros(1, 6), layer.states(x, dt=0.3)[0, :-1]]).detach().numpy()
    own = {k: v.detach().numpy() for k, v in layer._acting(layer.weights()).items()}
    for t in range(4):
        total = own["gleak"].copy()
        inputs = x[0, t].numpy() * own["input_w"] + own["input_b"]
        tables = (
            (layer.wiring.recurrent, states[t], ""),
            (layer.wiring.sensory(2), inputs, "sensory_"),
        )
        for table, values, start in tables:
            for k, (i, j) in enumerate(np.argwhere(table)):
                w, s, m = (own[f"{start}{name}"][k] for name in ("w", "sigma", "mu"))
                total[j] += w / (1 + np.exp(-s * (values[i] - m)))
        np.testing.assert_allclose(found[t], own["cm"] / total, rtol=1e-6)


def test_gates_of_standardised_inputs_are_seldom_saturated_at_the_start():
    torch.manual_seed(0)
    layer = NCP(8, wirings.FullyConnected(32))
    x = torch.randn(400, 8)
    source = np.argwhere(layer.wiring.sensory(8))[:, 0]
    gates = torch.sigmoid(layer.sensory_sigma_l0 * (x[:, source] - layer.sensory_mu_l0))
    share = ((gates < 0.02) | (gates > 0.98)).float().mean()
    assert share < 0.12
    assert torch.nn.functional.softplus(layer.w_l0).max() <= 1.0 + 1e-5


@pytest.mark.parametrize("wiring", [wirings.AutoNCP(12, 2), 7], ids=str)
def test_saved_and_loaded(tmp_path, wiring):
    layer = NCP(3, wiring, batch_first=True, input_map=None, unfolds=3, epsilon=1e-6, num_layers=2)
    model = SequenceModel(layer, 2)
    save(model, tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.layer.wiring == layer.wiring
    x = torch.randn(2, 5, 3)
    assert torch.equal(again(x)[0], model(x)[0])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: NCP(3, 8, proj_size=2), "proj_size is 2"),
        (lambda: NCP(3, 8, bias=False), "bias is False"),
        (lambda: NCP(3, "auto"), "units is 'auto'"),
        (lambda: NCP(3, 8, input_map="cubic"), "input_map is 'cubic'"),
        (lambda: NCP(3, 8, epsilon=0.0), "epsilon is 0.0"),
        (lambda: NCP(4, wirings.from_adjacency(np.eye(2), np.ones((3, 2)))), "given for 3 inputs"),
    ],
)
def test_what_is_no_ncp(make, said):
    with pytest.raises(TorchliquidError, match=said):
        make()
