"""Where ncps 1.0.1 does otherwise: each line of the second table of docs/from-ncps.md, run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import pack_sequence
from torch.testing import assert_close

from torchliquid import TorchliquidError, wirings
from torchliquid.nn import NCP, CfC, MixedMemory, WiredCfC, from_ncps

pytest.importorskip("ncps")
from ncps import torch as ncps
from ncps import wirings as theirs

H = 6
PAIRS = [(ncps.LTC, NCP), (ncps.CfC, CfC)]
TESTED = set()


def row(*names):
    """The test is that of these rows of the table."""
    TESTED.update(names)
    return lambda test: test


def draw(B=4, L=5):
    torch.manual_seed(1)
    return torch.rand(B, L, 3), torch.rand(B, L) + 0.1


def ours(kind=NCP, **options):
    torch.manual_seed(0)
    return kind(3, H, batch_first=True, **options)


@row("a time for each sample of a batch, `(B, L)`")
@pytest.mark.parametrize(("kind", "mine"), PAIRS)
def test_times_of_a_batch(kind, mine):
    x, times = draw()
    with pytest.raises(RuntimeError):
        kind(3, H)(x, timespans=times)
    x, times = draw(B=H)
    module = kind(3, H)
    batch = module(x, timespans=times)[0]
    alone = torch.cat([module(x[b : b + 1], timespans=times[b : b + 1])[0] for b in range(H)])
    assert (batch - alone).abs().max() > 0.01  # in silence
    layer = ours(mine)
    batch = layer(x, dt=times)[0]
    alone = torch.cat([layer(x[b : b + 1], dt=times[b : b + 1])[0] for b in range(H)])
    assert_close(batch, alone)


@row("the same as `(B, L, 1)`", "times `(L,)` for all rows", "one number for all")
@pytest.mark.parametrize(("kind", "mine"), PAIRS)
def test_other_forms_of_times(kind, mine):
    x, times = draw()
    for given, error in (
        (times[..., None], RuntimeError),
        (0.5, TypeError),
        (times[0], IndexError),
    ):
        with pytest.raises(error):
            kind(3, H)(x, timespans=given)
        assert ours(mine)(x, dt=given)[0].isfinite().all()


@row("a time of 0", "a time of 1e-39")
def test_no_time():
    x, _ = draw(B=1, L=2)
    layer = ours()
    for time in (0.0, 1e-39):
        times = torch.tensor([[1.0, time]])
        assert ncps.LTC(3, H)(x, timespans=times)[0].isnan().any()
        states = layer.states(x, dt=times)
        assert_close(states[:, 1], states[:, 0])


@row("a negative time")
@pytest.mark.parametrize(("kind", "mine"), PAIRS)
def test_a_negative_time(kind, mine):
    x, _ = draw(B=1, L=2)
    times = torch.tensor([[1.0, -3.0]])
    assert kind(3, H)(x, timespans=times)[0].isfinite().all()
    with pytest.raises(TorchliquidError, match="dt"):
        ours(mine)(x, dt=times)


@row("x with 1 feature for a layer of 3", "h0 of one row for a batch")
def test_shapes_that_broadcast():
    x, _ = draw()
    assert ncps.LTC(3, H)(x[..., :1])[0].shape == (4, 5, H)
    assert ncps.LTC(3, H)(x, torch.zeros(1, H))[0].shape == (4, 5, H)
    with pytest.raises(TorchliquidError, match="x has shape"):
        ours()(x[..., :1])
    with pytest.raises(TorchliquidError, match="h0 has shape"):
        ours()(x, torch.zeros(1, 1, H))


@row("h0 as `nn.LSTM` gives it, `(1, B, H)`", "packed rows")
@pytest.mark.parametrize(("kind", "mine"), PAIRS)
def test_what_nn_lstm_takes(kind, mine):
    x, _ = draw()
    with pytest.raises(RuntimeError):
        kind(3, H)(x, torch.zeros(1, 4, H))
    assert ours(mine)(x, torch.zeros(1, 4, H))[1].shape == (1, 4, H)
    rows = pack_sequence([x[0], x[1, :2]])
    with pytest.raises(AttributeError):
        kind(3, H)(rows)
    assert len(ours(mine)(rows)[0].data) == 7


@row("the last output of an unbatched sequence, time first")
def test_the_last_output_unbatched():
    x, _ = draw()
    module = ncps.LTC(3, H, batch_first=False, return_sequences=False)
    assert module(x[0])[0].shape == (1, H)
    assert NCP(3, H)(x[0])[0][-1].shape == (H,)


@row("mixed memory in double precision, without h0", "CfC in bfloat16", "LTC in bfloat16")
def test_other_precisions():
    x, _ = draw()
    with pytest.raises(RuntimeError):
        ncps.LTC(3, H, mixed_memory=True).double()(x.double())
    assert MixedMemory(ours()).double()(x.double())[0].dtype == torch.float64
    with pytest.raises(RuntimeError):
        ncps.CfC(3, H).bfloat16()(x.bfloat16())
    assert ncps.LTC(3, H).bfloat16()(x.bfloat16())[0].dtype == torch.float32
    for kind in (NCP, CfC):
        assert ours(kind).bfloat16()(x.bfloat16())[0].dtype == torch.bfloat16


@row("masks of synapses")
def test_masks():
    module = ncps.LTC(5, theirs.AutoNCP(32, 4)).requires_grad_(True)
    mask = module.rnn_cell.sparsity_mask
    assert isinstance(mask, torch.nn.Parameter)
    before = mask.detach().clone()
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.01)
    module(torch.rand(2, 4, 5))[0].square().sum().backward()
    optimiser.step()
    assert (mask != before).all()


@row("parameters of `LTC(5, AutoNCP(32, 4))`")
def test_parameters_that_act():
    module = ncps.LTC(5, theirs.AutoNCP(32, 4))
    layer = from_ncps(module)
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == 4850
    synapses = layer.wiring.synapses + np.count_nonzero(layer.wiring.sensory(5))
    assert (
        sum(p.numel() for p in layer.parameters()) == 4 * synapses + 3 * 32 + 2 * 5 + 2 * 4 < 1000
    )


@row("`functional_call` with other weights", "`load_state_dict(..., assign=True)`",
     "a parametrisation")  # fmt: skip
def test_weights_from_elsewhere_are_used():
    x, _ = draw()

    class Zero(torch.nn.Module):
        def forward(self, w):
            return 0 * w

    for make, place, used in (
        (lambda: ncps.LTC(3, H), lambda m: (m.rnn_cell, "mu"), False),
        (ours, lambda m: (m, "mu_l0"), True),
    ):
        module = make()
        y = module(x)[0]
        zeros = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
        other = torch.func.functional_call(module, zeros, (x,))[0]
        assert torch.equal(other, y) != used
        parametrize.register_parametrization(*place(module), Zero())
        assert torch.equal(module(x)[0], y) != used
        module = make()
        y = module(x)[0]
        module.load_state_dict({n: 0.5 * v for n, v in module.state_dict().items()}, assign=True)
        assert torch.equal(module(x)[0], y) != used


@row("one wiring in two layers", "one wiring, another input size")
def test_one_wiring_for_two_layers_and_two_input_sizes():
    wiring = theirs.FullyConnected(H)
    ncps.LTC(3, wiring)
    with pytest.raises(ValueError, match=r"[Cc]onflicting"):
        ncps.LTC(4, wiring)
    wiring = theirs.NCP(8, 6, 3, 4, 4, 6, 4)
    ncps.LTC(3, wiring)
    before = wiring.synapse_count
    ncps.LTC(3, wiring)
    assert wiring.synapse_count != before
    wiring = wirings.NCP(8, 6, 3, 4, 4, 6, 4)
    before = wiring.synapses
    for inputs in (3, 3, 4):
        NCP(inputs, wiring)
    assert wiring.synapses == before


@row("`from_config(get_config())` of a wiring")
def test_a_wiring_kept():
    wiring = theirs.NCP(8, 6, 3, 4, 4, 6, 4)
    with pytest.raises(Exception):  # noqa: B017 - whatever it raises
        theirs.NCP.from_config(wiring.get_config())
    wiring = wirings.NCP(8, 6, 3, 4, 4, 6, 4)
    assert wirings.from_json(wiring.to_json()) == wiring


@row("`sensory_synapse_count` of an LTC")
def test_the_count_of_sensory_synapses():
    module = ncps.LTC(5, theirs.AutoNCP(16, 4))
    there = int(np.abs(module._wiring.sensory_adjacency_matrix).sum())
    assert module.sensory_synapse_count == module.synapse_count != there
    assert np.count_nonzero(from_ncps(module).wiring.sensory(5)) == there


@row("limits of `AutoNCP`'s sparsity")
def test_limits_of_sparsity():
    theirs.AutoNCP(16, 4, sparsity_level=1.0)
    with pytest.raises(ValueError, match=r"between 0.0 and 0.9"):
        theirs.AutoNCP(16, 4, sparsity_level=0.05)
    for sparsity in (0.05, 1.0):
        with pytest.raises(TorchliquidError, match=r"a share from 0.1 to 0.9"):
            wirings.AutoNCP(16, 4, sparsity)


@row("gate heads of a wired CfC", "recurrence of a wired CfC")
def test_masks_of_a_wired_cfc():
    module = ncps.CfC(3, theirs.AutoNCP(12, 3)).double()
    layer = from_ncps(module)
    wiring = layer.wiring
    strict = WiredCfC(3, wiring, batch_first=True, dtype=torch.float64)
    inter = wiring.layers[0]
    silent = np.argwhere(wiring.sensory(3)[:, list(inter)] == 0)[0]
    for cell, reached in ((layer, True), (strict, False)):
        x = torch.zeros(1, 1, 3, dtype=torch.float64, requires_grad=True)
        state = cell.states(x)[0, 0, inter[silent[1]]]
        slope = torch.autograd.grad(state, x)[0][0, 0, silent[0]]
        assert (slope != 0) == reached
        h = torch.zeros(1, 1, 12, dtype=torch.float64, requires_grad=True)
        state = cell.states(x.detach(), h)[0, 0, inter[0]]
        among = torch.autograd.grad(state, h)[0][0, 0, list(inter)]
        assert bool(among.any()) == reached  # no inter neuron has a synapse to another one
    assert not wiring.recurrent[np.ix_(inter, inter)].any()


@row("outputs of a wired CfC over `FullyConnected(8, 3)`")
def test_outputs_of_a_wired_cfc():
    x, _ = draw()
    module = ncps.CfC(3, theirs.FullyConnected(8, 3))
    assert (module.output_size, module(x)[0].shape[-1]) == (3, 8)
    with pytest.raises(RuntimeError):
        ncps.CfC(3, theirs.FullyConnected(8, 3), proj_size=2)(x)
    layer = WiredCfC(3, wirings.FullyConnected(8, 3), batch_first=True)
    assert layer(x)[0].shape[-1] == layer.output_size == 3


@row("an activation that does not exist, wired")
def test_an_activation_that_does_not_exist():
    ncps.CfC(3, theirs.AutoNCP(12, 3), activation="no such thing")
    with pytest.raises(TypeError, match="activation"):
        WiredCfC(3, wirings.AutoNCP(12, 3), activation="no such thing")
    with pytest.raises(TorchliquidError, match="activation"):
        CfC(3, 8, activation="no such thing")


@row("`backbone_dropout`")
def test_backbone_dropout():
    x, _ = draw()
    module = ncps.CfC(3, H, backbone_layers=1, backbone_dropout=0.9)
    assert torch.equal(module(x)[0], module(x)[0])
    many = ncps.CfC(3, H, backbone_layers=3, backbone_dropout=0.5).modules()
    assert sum(isinstance(m, torch.nn.Dropout) for m in many) == 2
    layer = ours(CfC, backbone_dropout=0.9)
    assert not torch.equal(layer(x)[0], layer(x)[0])


@row("A and w_tau of the pure mode at the start")
def test_the_pure_mode_at_the_start():
    cell = ncps.CfC(3, H, mode="pure").rnn_cell
    assert cell.A.std() > 0.1 and cell.w_tau.std() > 0.1  # noqa: PT018
    layer = ours(CfC, mode="pure")
    assert (layer.target_l0 == 1).all()
    assert ((layer.rate_l0 > 0) & (layer.rate_l0 < 1)).all()


@row("conductances without `implicit_param_constraints`")
def test_explicit_constraints():
    x, _ = draw()
    module = ncps.LTC(3, H, implicit_param_constraints=False)
    with torch.no_grad():
        module.rnn_cell.w.fill_(-0.5)
    assert not torch.equal(module(x)[0], from_ncps(module)(x)[0])
    layer = from_ncps(module)
    with torch.no_grad():
        layer.w_l0.zero_()
    assert_close(from_ncps(module)(x)[0], layer(x)[0])  # cut at 0


@row("conductances and capacitances at the start")
def test_what_acts_at_the_start():
    softplus = torch.nn.functional.softplus
    cell = ncps.LTC(3, 32).rnn_cell
    w, cm = softplus(cell.w), softplus(cell.cm)
    assert w.min() > 0.69 and cm.min() > 0.91  # noqa: PT018 - drawn from 0.001 to 1, 0.4 to 0.6
    layer = NCP(3, 32)
    w, cm = softplus(layer.w_l0), softplus(layer.cm_l0)
    assert w.min() < 0.05 and w.max() < 1.001 and 0.399 < cm.min() < cm.max() < 0.601  # noqa: PT018


@row("gates of standardised inputs at the start")
def test_saturated_gates():
    torch.manual_seed(0)
    x, shares = torch.randn(400, 8), []
    cell, layer = ncps.LTC(8, 32).rnn_cell, NCP(8, 32)
    source = torch.arange(8).repeat_interleave(32)
    for sigma, mu in (
        (cell.sensory_sigma.flatten(), cell.sensory_mu.flatten()),
        (layer.sensory_sigma_l0, layer.sensory_mu_l0),
    ):
        gates = torch.sigmoid(sigma * (x[:, source] - mu))
        shares.append(((gates < 0.02) | (gates > 0.98)).float().mean().item())
    assert shares == pytest.approx([0.52, 0.11], abs=0.015)


def test_every_row_of_the_table_has_its_test():
    page = (Path(__file__).parents[2] / "docs/from-ncps.md").read_text()
    table = page[page.index("## Where ncps 1.0.1 does otherwise") :].split("\n\n")[2]
    rows = [line.strip("| ").split(" | ")[0] for line in table.splitlines()[2:]]
    assert len(rows) == len(set(rows)) >= 30
    assert set(rows) == TESTED
