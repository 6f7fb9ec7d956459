"""`LRCU` keeps the contract, and is the cell of its paper."""

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from torchliquid import SequenceModel, load, save, wirings
from torchliquid.nn import LRCU

from ..laws.contract import Cell, CellContract


def permute(layer, order):
    H = len(order)
    for name, p in layer.named_parameters():
        if name.startswith("sensory"):
            p.copy_(p.view(-1, H)[:, order].reshape(-1))
        elif name[:-3] in ("sigma", "mu", "w", "k"):
            p.copy_(p.view(H, H)[order][:, order].reshape(-1))
        else:
            p.copy_(p[order])
    layer.weight_hh_l0.copy_(layer.weight_hh_l0[:, order])


class TestLRCU(CellContract):
    @pytest.fixture
    def cell(self):
        return Cell(LRCU, permute, order=1)


def numpy_weights(layer):
    own = {n.removesuffix("_l0"): p.detach() for n, p in layer.named_parameters()}
    for name in ("w", "sensory_w", "gleak", "shift"):
        own[name] = softplus(own[name])
    return {name: value.numpy() for name, value in own.items()}


@pytest.mark.parametrize("dt", [1.0, 0.2])
def test_the_papers_step_written_out(dt):
    """One explicit step a sample, synapse by synapse, and the time constants."""
    wiring = wirings.AutoNCP(9, 2)
    layer = LRCU(3, wiring, batch_first=True, dtype=torch.float64)
    own = numpy_weights(layer)
    x = torch.randn(1, 4, 3, dtype=torch.float64)
    found, taus = layer.states(x, dt=dt), layer.time_constants(x, dt=dt)
    v = np.zeros(9)

    def sig(z):
        return 1 / (1 + np.exp(-z))

    for t in range(4):
        u = x[0, t].numpy()
        f, z = own["gleak"].copy(), own["gleak"].copy()
        for table, values, start in (
            (wiring.recurrent, v, ""), (wiring.sensory(3), u, "sensory_"),
        ):  # fmt: skip
            for e, (i, j) in enumerate(np.argwhere(table)):
                r = sig(own[f"{start}sigma"][e] * (values[i] - own[f"{start}mu"][e]))
                f[j] += own[f"{start}w"][e] * r
                z[j] += own[f"{start}k"][e] * r
        q = own["weight_ih"] @ u + own["weight_hh"] @ v + own["bias"]
        e = sig(q + own["shift"]) - sig(q - own["shift"])
        np.testing.assert_allclose(taus[0, t].detach(), 1 / (e * sig(f)), rtol=1e-12)
        v = v + dt * e * (np.tanh(z) * own["vleak"] - sig(f) * v)
        np.testing.assert_allclose(found[0, t].detach(), v, rtol=1e-12, atol=1e-14)


def test_a_long_step_ends_at_the_equilibrium():
    layer = LRCU(2, 5, batch_first=True, dtype=torch.float64)
    x = torch.randn(3, 30, 2, dtype=torch.float64)
    states = layer(x, dt=1e6)[0]
    own = numpy_weights(layer)
    assert states.isfinite().all()
    assert states.abs().max() <= 2 * np.abs(own["vleak"]).max()  # sigmoid(f) is above a half


def test_a_muted_neuron_reaches_nothing():
    layer = LRCU(2, 5, batch_first=True)
    x = torch.randn(2, 6, 2)
    with layer.ablate([1]):
        muted = layer(x)[0]
    changed = layer(x, torch.zeros(1, 2, 5))[0]
    with torch.no_grad():
        source = torch.arange(25) // 5
        layer.w_l0[source == 1] = -1e4
        layer.k_l0[source == 1] = 0
        layer.weight_hh_l0[:, 1] = 0
    rest = [0, 2, 3, 4]
    torch.testing.assert_close(layer(x)[0][..., rest], muted[..., rest])
    assert not torch.equal(changed[..., rest], muted[..., rest])


def test_saved_and_loaded(tmp_path):
    model = SequenceModel(LRCU(3, wirings.Random(7, 2, 0.5), unfolds=2, batch_first=True), 2)
    save(model, tmp_path / "m")
    x = torch.randn(2, 5, 3)
    assert torch.equal(load(tmp_path / "m")(x)[0], model(x)[0])
