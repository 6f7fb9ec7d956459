"""Weights that live elsewhere: pruned, parametrised, computed, replicated. As `nn.LSTM` allows."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.testing import assert_close

from torchliquid import LTC, Pack, SequenceModel, TorchliquidError, kernels, time_constants

NAMES = LTC.weight_names
X = torch.linspace(-1, 1, 6).reshape(3, 2, 1)


@pytest.fixture(params=kernels.BACKENDS[1:], autouse=True)
def backend(request, monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, request.param)


@pytest.fixture
def layer():
    torch.manual_seed(0)
    made = LTC(1, 2)
    with torch.no_grad():
        made.bias_l0.fill_(2.0)
    return made


class Doubled(nn.Module):
    def forward(self, w):
        return 2 * w


@pytest.mark.parametrize("name", NAMES)
def test_pruning_nothing_changes_nothing(layer, name):
    y, tau = layer(X)[0], time_constants(layer, X)
    prune.identity(layer, name)
    assert_close(layer(X)[0], y)
    assert_close(time_constants(layer, X), tau)
    layer(X)[0].sum().backward()
    assert getattr(layer, f"{name}_orig").grad.abs().sum() > 0
    prune.remove(layer, name)
    assert_close(layer(X)[0], y)


@pytest.mark.parametrize("name", NAMES)
def test_a_parametrised_weight_is_the_one_that_counts(layer, name):
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        getattr(twin, name).mul_(2)
    parametrize.register_parametrization(layer, name, Doubled())
    assert_close(layer(X)[0], twin(X)[0])
    assert_close(time_constants(layer, X), time_constants(twin, X))
    assert_close(layer.tau, twin.tau)
    layer(X)[0].sum().backward()
    twin(X)[0].sum().backward()
    raw = getattr(layer.parametrizations, name).original
    assert_close(raw.grad, 2 * getattr(twin, name).grad)


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0"])
def test_weight_norm(layer, name):
    y = layer(X)[0]
    parametrizations.weight_norm(layer, name)
    assert_close(layer(X)[0], y)
    (layer(X)[0]).sum().backward()
    assert getattr(layer.parametrizations, name).original0.grad.abs().sum() > 0


def test_weight_drop(layer):
    """As AWD-LSTM does: the parameter is moved away, a masked tensor put in its place."""
    raw = layer.weight_hh_l0
    del layer._parameters["weight_hh_l0"]
    layer.register_parameter("weight_hh_l0_raw", raw)
    layer.weight_hh_l0 = raw * torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    layer(X)[0].sum().backward()
    assert raw.grad[0, 0] == 0
    assert raw.grad[0, 1] != 0


def test_a_hypernetwork_gives_the_weights(layer):
    """Plain tensors that were computed by something else, which learns."""
    source = nn.Parameter(torch.ones(()))
    for name in NAMES:
        value = getattr(layer, name).detach()
        del layer._parameters[name]
        setattr(layer, name, value * source)
    layer(X)[0].sum().backward()
    assert source.grad != 0


def test_a_replica_without_parameters():
    """What DataParallel runs on each device: `_parameters` is empty, weights are attributes."""
    torch.manual_seed(0)
    model = SequenceModel(LTC(1, 2), 1)
    y = model(X)[0]
    replica = copy.deepcopy(model)
    for part in (replica.layer, replica.readout):
        values = dict(part.named_parameters())
        part._parameters = {}
        for name, value in values.items():
            object.__setattr__(part, name, value.detach())
    assert_close(replica(X)[0], y)


def test_functional_call_over_stacked_weights(layer):
    stacked = {name: torch.stack([getattr(layer, name).detach()] * 3) for name in NAMES}

    def run(weights):
        return torch.func.functional_call(layer, weights, (X,))[0]

    y = torch.func.vmap(run)(stacked)
    assert_close(y[1], layer(X)[0])


def test_reset_of_a_pruned_layer_keeps_the_mask(layer):
    prune.l1_unstructured(layer, "weight_hh_l0", 2)
    layer.reset_parameters()
    layer(X)
    assert (layer.weight_hh_l0 == 0).sum() == 2


@pytest.mark.parametrize("harm", ["prune", "parametrize", "weight_norm"])
def test_a_pack_refuses_what_it_would_not_train(harm):
    def make(seed):
        model = SequenceModel(LTC(1, 2), 1)
        if harm == "prune":
            prune.identity(model.layer, "weight_hh_l0")
        elif harm == "parametrize":
            parametrize.register_parametrization(model.layer, "bias_l0", Doubled())
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.nn.utils.weight_norm(model.readout)
        return model

    with pytest.raises(TorchliquidError, match="does not run"):
        Pack(make, [0])
