"""`GRUD` keeps the contract, and its decays are those of its paper."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from torchliquid import SequenceModel, TorchliquidError, fill_missing, load, save
from torchliquid.nn import GRUD

from ..laws.contract import Cell, CellContract, H


class CellOfMasks(Cell):
    """As many values as neurons, so that a state has two blocks; masks of 0 and 1."""

    def draw(self, B, L, seed=100):
        _, h0, dt = super().draw(B, L, seed)
        generator = torch.Generator().manual_seed(seed + 1)
        values = torch.randn(B, L, H, generator=generator, dtype=torch.float64)
        masks = (torch.rand(B, L, H, generator=generator) < 0.6).to(values)
        h0[..., H:] = h0[..., H:].abs()
        return torch.cat([values, masks], -1), h0, dt


def build(_, hidden, **options):
    layer = GRUD(2 * H, hidden, **options)
    with torch.no_grad():  # decays that are seen
        layer.input_rate_l0.mul_(20)
        layer.weight_decay_l0.mul_(10)
    return layer


class TestGRUD(CellContract):
    @pytest.fixture
    def cell(self):
        return CellOfMasks(build, None, rests_at_once=False, blocks=2)

    def test_permuting_the_neurons_permutes_the_state(self, cell):
        layer, renumbered = cell.make(), cell.make()
        order = torch.tensor([3, 0, 4, 1, 2])
        rows = torch.cat([order + k * H for k in range(3)])
        with torch.no_grad():
            for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
                p = getattr(renumbered, name)
                p.copy_(p[rows])
            renumbered.weight_hh_l0.copy_(renumbered.weight_hh_l0[:, order])
            for name in ("weight_decay_l0", "bias_decay_l0"):
                p = getattr(renumbered, name)
                p.copy_(p[order])
        x, h0, dt = cell.draw(4, 7)
        _, h = layer(x, h0, dt)
        places = torch.cat([order, torch.arange(H, 2 * H)])  # values keep their numbers
        _, other = renumbered(x, h0[..., places], dt)
        assert_close(other, h[..., places])
        assert not torch.allclose(other, h)


def test_the_papers_equations_written_out():
    torch.manual_seed(0)
    layer = build(0, 4, batch_first=True, dtype=torch.float64)
    values = torch.randn(2, 7, H, dtype=torch.float64)
    seen = torch.rand(2, 7, H) < 0.5
    x = fill_missing(values, seen, indicator=True, batch_first=True)
    dt = torch.rand(2, 7, dtype=torch.float64)
    cell = nn.GRUCell(2 * H, 4, dtype=torch.float64)
    cell.load_state_dict({n.removesuffix("_l0"): p for n, p in layer.state_dict().items()
                          if "decay" not in n and "input" not in n})  # fmt: skip
    h, last, since = torch.zeros(2, 4).double(), torch.zeros(2, H).double(), torch.zeros(2, H)
    states, taus = [], []
    for t in range(7):
        m = seen[:, t].double()
        before = seen[:, t - 1].double() if t else torch.ones(2, H)
        since = dt[:, t : t + 1] + (1 - before) * since
        last = torch.where(seen[:, t], values[:, t], last)
        decay = torch.exp(-torch.relu(layer.input_rate_l0 * since + layer.input_bias_l0))
        u = m * values[:, t].nan_to_num() + (1 - m) * decay * last
        exponent = torch.relu(since @ layer.weight_decay_l0.T + layer.bias_decay_l0)
        h = cell(torch.cat([u, m], 1), torch.exp(-exponent) * h)
        states.append(h)
        taus.append(dt[:, t : t + 1] / exponent)
    y, state = layer(x, dt=dt)
    assert_close(y, torch.stack(states, 1))
    assert_close(state[0, :, :4], h)
    assert_close(state[0, :, 4:], (1 - seen[:, -1].double()) * since)
    assert_close(layer.time_constants(x, dt=dt), torch.stack(taus, 1))


def test_without_decay_time_constants_are_infinite():
    layer = GRUD(2, 3)
    with torch.no_grad():
        layer.weight_decay_l0.zero_()
    assert layer.time_constants(torch.rand(5, 2), dt=0.5).isinf().all()
    assert layer.time_constants(torch.rand(5, 2), dt=0.0).isinf().all()


def test_both_ways_and_muted():
    layer = GRUD(4, 3, bidirectional=True, batch_first=True)
    x = torch.cat([torch.randn(2, 5, 2), torch.ones(2, 5, 2)], -1)
    y, state = layer(x, lengths=torch.tensor([5, 2]))
    assert (y.shape, state.shape) == ((2, 5, 6), (2, 2, 5))
    with layer.ablate([1]):
        assert (layer(x)[0][..., 1] == 0).all()


def test_saved_and_loaded(tmp_path):
    model = SequenceModel(GRUD(4, 3, batch_first=True), 2)
    save(model, tmp_path / "m")
    x = torch.randn(2, 5, 4)
    assert torch.equal(load(tmp_path / "m")(x)[0], model(x)[0])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: GRUD(3, 4), "input_size is 3: give twice the number of features"),
        (lambda: GRUD(4, 4, num_layers=2), "num_layers is 2: a GRUD reads masks"),
        (lambda: GRUD(4, 4, proj_size=2), "proj_size is 2"),
    ],
)
def test_what_is_no_gru_d(make, said):
    with pytest.raises(TorchliquidError, match=said):
        make()
