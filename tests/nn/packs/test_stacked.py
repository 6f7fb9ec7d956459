"""A pack reads its weights as a layer does: as attributes, replaced, pruned or parametrised."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, parametrize, prune, vector_to_parameters
from torch.testing import assert_close

from torchliquid import LTC, Pack, SequenceModel, TorchliquidError
from torchliquid.nn import CTRNN, DecayGRU

S, B, L, I, H = 3, 2, 6, 3, 4
CELLS = [LTC, CTRNN, DecayGRU, nn.LSTM, nn.GRU]
WEIGHTS = [(cell, name) for cell in CELLS for name, _ in cell(I, H).named_parameters()]
each_weight = pytest.mark.parametrize(("cell", "name"), WEIGHTS)


def pack_of(cell, **options):
    return Pack(lambda seed: SequenceModel(cell(I, H, batch_first=True, **options), 1), range(S))


class Twice(nn.Module):
    def forward(self, w):
        return 2 * w


def pruned(part, name):
    prune.random_unstructured(part, name, amount=0.5)


def parametrised(part, name):
    parametrize.register_parametrization(part, name, Twice())


def replaced(part, name):
    value = getattr(part, name).detach() + 0.5
    delattr(part, name)
    setattr(part, name, value)


@pytest.mark.parametrize("change", [pruned, parametrised, replaced])
@each_weight
def test_a_changed_weight_counts_as_it_counts_in_each_lane(cell, name, change):
    pack, x = pack_of(cell), torch.randn(B, L, I)
    torch.manual_seed(0)
    change(pack.layer, name)
    y, _ = pack(x)
    for index in range(S):
        alone = pack.lane(index)  # its weights are those computed
        assert_close(getattr(alone.layer, name), getattr(pack.layer, name)[index])
        assert_close(alone(x)[0], y[index])


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_changed_readout_counts(name):
    pack, x = pack_of(LTC), torch.randn(B, L, I)
    pruned(pack.readout, name)
    assert_close(pack.lane(1)(x)[0], pack(x)[0][1])
    with torch.no_grad():
        getattr(pack.readout, f"{name}_orig").add_(1.0)
    assert_close(pack(x)[0][1], pack.lane(1)(x)[0])  # the mask is applied again at every call


@each_weight
def test_pruned_packs_train(cell, name):
    pack = pack_of(cell)
    prune.identity(pack.layer, name)
    for _ in range(2):  # the second call computes the weight again
        pack(torch.randn(B, L, I))[0].square().sum().backward()
    assert getattr(pack.layer, f"{name}_orig").grad.abs().sum() > 0


def test_tied_weights_count_once_and_for_both():
    pack, x = pack_of(CTRNN), torch.randn(B, L, I)
    pack.layer.raw_tau_l0 = pack.layer.bias_l0
    pack(x)[0].sum().backward()
    assert_close(pack.lane(2)(x)[0], pack(x)[0][2])


def test_a_deleted_weight_is_named():
    pack = pack_of(LTC)
    del pack.layer["bias_l0"]
    with pytest.raises(TorchliquidError, match="bias_l0"):
        pack(torch.randn(B, L, I))
    pack.layer.bias_l0 = torch.zeros(S, H)
    pack(torch.randn(B, L, I))


@pytest.mark.parametrize("cell", CELLS)
def test_parameters_come_in_a_lanes_order_and_contiguous(cell):
    pack = pack_of(cell)
    names = [name for name, _ in pack.named_parameters()]
    assert names == [name for name, _ in pack.lane(0).named_parameters()]
    assert all(p.is_contiguous() for p in pack.parameters())
    flat = parameters_to_vector(pack.parameters())
    vector_to_parameters(flat + 0, pack.parameters())
    assert_close(parameters_to_vector(pack.parameters()), flat)


def test_lbfgs_lowers_the_loss():
    pack, x = pack_of(LTC), torch.randn(B, L, I)
    optimizer = torch.optim.LBFGS(pack.parameters(), max_iter=5)

    def closure():
        optimizer.zero_grad()
        loss = (pack(x)[0] - 1).square().mean()
        loss.backward()
        return loss

    before = float(optimizer.step(closure).detach())
    assert float(closure().detach()) < 0.5 * before


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_that_is_changed_on_the_model_counts(cell):
    pack, x = pack_of(cell, num_layers=2), torch.randn(B, L, I)
    assert torch.equal(pack(x)[0], pack(x)[0])
    pack.model.layer.dropout = 0.9
    assert not torch.equal(pack(x)[0], pack(x)[0])
    pack.eval()
    assert torch.equal(pack(x)[0], pack(x)[0])


def test_dropout_inside_a_cell_follows_train_and_eval():
    class Noisy(LTC):
        def scan(self, weights, x, state, dt):
            x = nn.functional.dropout(x, 0.5, self.training)
            return super().scan(weights, x, state, dt)

    pack, x = pack_of(Noisy), torch.randn(B, L, I)
    assert not torch.equal(pack(x)[0], pack(x)[0])
    pack.eval()
    assert torch.equal(pack(x)[0], pack(x)[0])
    pack.train()
    assert not torch.equal(pack(x)[0], pack(x)[0])


def pickled(pack):
    return pickle.loads(pickle.dumps(pack))  # noqa: S301


@pytest.mark.parametrize("duplicate", [copy.deepcopy, pickled])
@pytest.mark.parametrize("cell", CELLS)
def test_copies_are_packs_of_their_own(cell, duplicate):
    pack, x = pack_of(cell, num_layers=2), torch.randn(B, L, I)
    other = duplicate(pack)
    assert torch.equal(other(x)[0], pack(x)[0])
    other.model.layer.dropout = 0.9
    assert torch.equal(pack(x)[0], pack(x)[0])
    assert not torch.equal(other(x)[0], other(x)[0])
    with torch.no_grad():
        other.layer.weight_hh_l0.zero_()
    other.model.layer.dropout = 0.0
    assert not torch.equal(other(x)[0], pack(x)[0])
