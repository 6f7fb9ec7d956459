"""Where ncps 1.0.1 does otherwise: each line of docs/from-ncps.md, run."""

import pytest
import torch

from torchliquid import TorchliquidError, wirings
from torchliquid.nn import NCP

pytest.importorskip("ncps")
from ncps import wirings as theirs
from ncps.torch import LTC

H = 6


def ours(inputs=3):
    torch.manual_seed(0)
    return NCP(inputs, wirings.FullyConnected(H), batch_first=True)


def draw(B=4, L=5):
    torch.manual_seed(1)
    return torch.rand(B, L, 3), torch.rand(B, L) + 0.1


def test_times_of_a_batch():
    x, times = draw()
    with pytest.raises(RuntimeError):
        LTC(3, H)(x, timespans=times)
    x, times = draw(B=H)
    module = LTC(3, H)
    batch = module(x, timespans=times)[0]
    alone = torch.cat([module(x[b : b + 1], timespans=times[b : b + 1])[0] for b in range(H)])
    assert (batch - alone).abs().max() > 0.01  # in silence
    layer = ours()
    batch = layer(x, dt=times)[0]
    alone = torch.cat([layer(x[b : b + 1], dt=times[b : b + 1])[0] for b in range(H)])
    torch.testing.assert_close(batch, alone)


def test_a_number_for_all():
    x, _ = draw()
    with pytest.raises(TypeError):
        LTC(3, H)(x, timespans=0.5)
    assert ours()(x, dt=0.5)[0].isfinite().all()


def test_a_time_of_0_and_a_negative_one():
    x, _ = draw(B=1, L=2)
    assert LTC(3, H)(x, timespans=torch.tensor([[1.0, 0.0]]))[0].isnan().any()
    layer = ours()
    states = layer.states(x, dt=torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(states[:, 1], states[:, 0])
    assert LTC(3, H)(x, timespans=torch.tensor([[1.0, -3.0]]))[0].isfinite().all()
    with pytest.raises(TorchliquidError, match="dt"):
        layer(x, dt=torch.tensor([[1.0, -3.0]]))


def test_other_features_and_the_state_of_lstm():
    x, _ = draw()
    assert LTC(3, H)(x[..., :1])[0].shape == (4, 5, H)
    with pytest.raises(TorchliquidError):
        ours()(x[..., :1])
    with pytest.raises(RuntimeError):
        LTC(3, H)(x, torch.zeros(1, 4, H))
    assert ours()(x, torch.zeros(1, 4, H))[1].shape == (1, 4, H)


def test_masks_and_parameters():
    module = LTC(5, theirs.AutoNCP(32, 4)).requires_grad_(True)
    mask = module.rnn_cell.sparsity_mask
    assert isinstance(mask, torch.nn.Parameter)
    before = mask.detach().clone()
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.01)
    module(torch.rand(2, 4, 5))[0].square().sum().backward()
    optimiser.step()
    assert (mask != before).all()
    layer = NCP.from_ncps(LTC(5, theirs.AutoNCP(32, 4)))
    acting = sum(p.numel() for p in layer.parameters())
    trainable = sum(
        p.numel() for p in LTC(5, theirs.AutoNCP(32, 4)).parameters() if p.requires_grad
    )
    assert trainable > 4000
    assert acting < 1000
    assert {p.numel() for n, p in layer.named_parameters() if "erev" in n} <= {
        layer.wiring.synapses, int((layer.wiring.sensory(5) != 0).sum()),
    }  # fmt: skip


def test_weights_from_elsewhere_are_used():
    x, _ = draw()
    module, layer = LTC(3, H), ours()
    zeros = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    same = torch.func.functional_call(module, zeros, (x,))[0]
    assert torch.equal(same, module(x)[0])
    zeros = {name: torch.zeros_like(p) for name, p in layer.named_parameters()}
    assert not torch.equal(torch.func.functional_call(layer, zeros, (x,))[0], layer(x)[0])


def test_one_wiring_for_two_layers_and_two_input_sizes():
    wiring = theirs.FullyConnected(H)
    LTC(3, wiring)
    with pytest.raises(ValueError, match=r"[Cc]onflicting"):
        LTC(4, wiring)
    wiring = theirs.NCP(8, 6, 3, 4, 4, 6, 4)
    LTC(3, wiring)
    before = wiring.synapse_count
    LTC(3, wiring)
    assert wiring.synapse_count != before
    wiring = wirings.NCP(8, 6, 3, 4, 4, 6, 4)
    before = wiring.synapses
    for inputs in (3, 3, 4):
        NCP(inputs, wiring)
    assert wiring.synapses == before


def test_a_wiring_kept():
    wiring = theirs.NCP(8, 6, 3, 4, 4, 6, 4)
    with pytest.raises(Exception):  # noqa: B017 - whatever it raises
        theirs.NCP.from_config(wiring.get_config())
    wiring = wirings.NCP(8, 6, 3, 4, 4, 6, 4)
    assert wirings.from_json(wiring.to_json()) == wiring
