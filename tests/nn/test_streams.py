"""Single samples of a stream: the same states as the sequence call."""

import copy

import pytest
import torch
from torch.nn.utils import prune
from torch.testing import assert_close

from torchliquid import LTC, SequenceModel, functional, kernels
from torchliquid.nn import CTRNN, DecayGRU

pytestmark = pytest.mark.usefixtures("backend")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("unfolds", [1, 3])
@pytest.mark.parametrize("solver", functional.SOLVERS)
def test_steps_are_the_sequence(solver, unfolds, bias, dtype):
    layer = LTC(2, 9, bias=bias, solver=solver, unfolds=unfolds, dt=0.3, dtype=dtype)
    x = torch.randn(12, 2, dtype=dtype)
    y, h = layer(x)
    state = None
    for sample, right in zip(x, y, strict=True):
        state = layer.step(sample, state)
        assert state.shape == (9,)
        assert_close(state, right.detach())
    assert_close(state, h[0].detach())
    assert not state.requires_grad


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("make", [CTRNN, DecayGRU])
@pytest.mark.parametrize("hidden", [5, 40])
def test_steps_of_other_cells_are_the_sequence(make, bias, layers, hidden):
    layer = make(2, hidden, layers, bias=bias, dt=0.3)
    for rows in ((), (3,), (40,)):
        x = torch.randn(6, *rows, 2)
        _, last = layer(x, dt=0.3)
        state = None
        for sample in x:
            state = layer.step(sample, state)
        assert_close(state, last.detach().view(state.shape))
    if kernels.backend() == "native":
        assert all(stepper is not None for stepper in layer._steppers)
    first = layer.step(x[0], None)
    with torch.no_grad():
        layer.weight_hh_l0.copy_(layer.weight_hh_l0 * 2)
        layer.weight_ih_l0.copy_(layer.weight_ih_l0 * 2)
    assert not torch.equal(layer.step(x[0], None), first)  # it reads the weights as they are


@pytest.mark.parametrize("batch_first", [True, False])
def test_many_streams(batch_first):
    layer = LTC(2, 5, batch_first=batch_first)
    x, dt = torch.randn(7, 4, 2), torch.rand(7, 4)
    sequence, times = (x.transpose(0, 1), dt.T) if batch_first else (x, dt)
    _, right = layer(sequence, dt=times)
    states = torch.zeros(4, 5)
    for sample, gap in zip(x, dt, strict=True):
        assert layer.step_many(sample, states, gap) is states
    assert_close(states, right[0].detach())
    _, right = layer(sequence, dt=0.2)
    states = torch.zeros(4, 5)
    for sample in x:
        layer.step_many(sample, states, 0.2)
    assert_close(states, right[0].detach())


def test_where_the_state_is_written():
    layer, x = LTC(1, 4), torch.randn(3, 1)
    state = torch.zeros(3, 4)
    new = layer.step(x, state)
    assert (state == 0).all()
    out = torch.empty(3, 4)
    assert layer.step(x, state, out=out) is out
    assert torch.equal(out, new)
    assert layer.step(x, state, out=state) is state
    assert torch.equal(state, new)
    wide = torch.zeros(3, 8)
    view = wide[:, ::2]
    layer.step(x, view, out=view)  # not contiguous: still the same numbers
    assert_close(view, new)
    assert (wide[:, 1::2] == 0).all()


def test_no_time_and_other_numbers_of_time():
    layer, x, state = LTC(1, 4), torch.randn(1), torch.randn(4)
    assert torch.equal(layer.step(x, state, 0.0), state)
    assert_close(layer.step(x, state, 2), layer.step(x, state, 2.0))
    assert_close(layer.step(x, state, torch.tensor(0.3)), layer.step(x, state, 0.3))


def test_weights_that_change():
    """A cached address must never outlive the weights that lie there."""
    layer, x, state = LTC(1, 4), torch.randn(1), torch.randn(4)
    layer.step(x, state)

    def check(layer, x=x, state=state):
        right = layer(x.unsqueeze(0), state.unsqueeze(0))[1][0].detach()
        assert_close(layer.step(x, state), right)

    with torch.no_grad():
        layer.target_l0.mul_(2)
    check(layer)
    layer.weight_hh_l0.data = torch.randn(4, 4)
    check(layer)
    layer.bias_l0 = torch.nn.Parameter(torch.randn(4))
    check(layer)
    layer.load_state_dict(LTC(1, 4).state_dict())
    check(layer)
    check(copy.deepcopy(layer))
    layer.solver, layer.unfolds = "exponential", 3
    check(layer)
    layer.double()
    check(layer, x.double(), state.double())
    layer.float()
    check(layer)
    prune.random_unstructured(layer, "weight_hh_l0", 0.5)
    check(layer)


def test_a_layer_that_has_stepped_is_saved_and_copied(tmp_path):
    layer, x = LTC(1, 4), torch.randn(1)
    right = layer.step(x)
    torch.save(layer, tmp_path / "layer.pt")
    back = torch.load(tmp_path / "layer.pt", weights_only=False)
    assert torch.equal(back.step(x), right)


def test_hooks_see_the_states_of_a_model():
    model, x, seen = SequenceModel(LTC(1, 4), 1), torch.randn(5, 1), []
    y = model(x)[0]
    model.layer.register_forward_hook(lambda *a: seen.append(a[-1][0].shape))
    assert_close(model(x)[0], y)
    assert seen == [(5, 4)]
