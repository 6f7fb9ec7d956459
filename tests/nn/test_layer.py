"""Ablated neurons: as if their weights to everybody else were 0."""

import contextlib
import copy
import pickle
import threading

import pytest
import torch
from torch.testing import assert_close

from torchliquid import LTC, Pack, SequenceModel, TorchliquidError, save
from torchliquid.nn import CTRNN, DecayGRU

LAYERS = {"LTC": LTC, "CTRNN": CTRNN, "DecayGRU": DecayGRU}
OUT = [0, 3]


def silenced(model, suffix, proj):
    """The model with the weights out of those neurons set to 0, in their layer and above."""
    own = {n: p.detach().clone() for n, p in model.named_parameters()}
    out = f"layer.weight_hr_{suffix}" if proj else "readout.weight"
    own[out][:, OUT] = 0
    if not proj:
        own[f"layer.weight_hh_{suffix}"][:, OUT] = 0
    return own


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("proj_size", [0, 2])
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("name", LAYERS)
def test_nobody_hears_them(name, num_layers, proj_size):
    layer = LAYERS[name](
        2, 5, num_layers, batch_first=True, proj_size=proj_size, dtype=torch.float64
    )
    model = SequenceModel(layer, 3)
    x, dt = torch.randn(3, 6, 2).double(), torch.rand(3, 6).double() + 0.1
    h0 = torch.randn(num_layers, 3, 5).double()
    before = model(x, h0, dt)
    top = num_layers - 1
    expected = torch.func.functional_call(
        model, silenced(model, f"l{top}", proj_size), (x, h0, dt)
    )[0]
    with layer.ablate(OUT, layer_index=top):
        y, h = model(x, h0, dt)
        states, _ = layer(x, h0, dt)
        state = h0 if num_layers > 1 else h0[0]
        for t in range(6):
            state = layer.step(x[:, t], state, dt[:, t])
        with pytest.raises(TorchliquidError, match="leave the `with` first"):
            save(model, "nowhere")
        with layer.ablate(1, place=top):
            assert (layer(x, h0, dt)[1][top][..., [0, 1, 3]] == 0).all()
        y_again, _ = model(x, h0, dt)
    assert_close(y, expected, rtol=1e-12, atol=1e-13)
    assert torch.equal(y, y_again)
    assert (h[top][..., OUT] == 0).all()
    if not proj_size:
        assert (states[..., OUT] == 0).all()
    assert_close(state, h if num_layers > 1 else h[0], rtol=1e-12, atol=1e-13)
    assert not layer.is_ablated
    assert torch.equal(model(x, h0, dt)[0], before[0])
    assert not torch.allclose(y, before[0])


def test_in_a_pack_of_every_lane():
    pack = Pack(lambda seed: SequenceModel(LTC(1, 4), 1), range(3))
    x = torch.randn(5, 2, 1)
    mask = torch.tensor([True, False, False, True])
    with pack.model.layer.ablate(mask):
        y, _ = pack(x)
        states, _ = pack.states(x)
    assert (states[..., mask] == 0).all()
    assert (states[..., ~mask] != 0).all()
    lane = pack.lane(1)
    with lane.layer.ablate(mask):
        assert_close(lane(x)[0], y[1])
    assert not torch.allclose(pack(x)[0], y)


@pytest.mark.parametrize(
    ("neurons", "place", "words"),
    [
        (4, 0, "neurons is 4: give an integer from 0 to 3"),
        ([0, -5], 0, "neurons is -5"),
        ([0.5], 0, r"neurons is \[0.5\]"),
        ([True], 0, "or a mask"),
        (0, 1, "layer_index is 1: give an integer from 0 to 0"),
    ],
)
def test_mistakes_are_said(neurons, place, words):
    with pytest.raises(TorchliquidError, match=words), LTC(1, 4).ablate(neurons, place):
        pass


OBSERVED = torch.tensor([[False, True, True], [False, False, False], [True, True, True]])


@pytest.mark.parametrize("proj_size", [0, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_an_initial_state_is_silent_too(name, bidirectional, proj_size):
    """Before a row's first sample the output is that of the initial state."""
    places = 1 + bidirectional
    layer = LAYERS[name](2, 5, 1, True, True, 0.0, bidirectional, proj_size)
    x, h0 = torch.randn(3, 3, 2), torch.ones(places, 3, 5)
    with contextlib.ExitStack() as stack:
        for place in range(places):
            stack.enter_context(layer.ablate(range(5), place))
        y, last = layer(x, h0, observed=OBSERVED)
        step_free, _ = layer(x, h0, lengths=[3, 1, 2])
    assert not y.any()
    assert not last.any()
    assert not step_free.any()


def test_the_order_in_which_contexts_close_does_not_matter():
    layer, x = LTC(1, 4), torch.randn(5, 1)
    before = layer(x)[0]
    one, other = layer.ablate(0), layer.ablate(1)
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert (layer(x)[0][-1] == 0).tolist() == [False, True, False, False]
    other.__exit__(None, None, None)
    assert torch.equal(layer(x)[0], before)
    assert not layer.is_ablated


def pickled(module):
    return pickle.loads(pickle.dumps(module))  # noqa: S301


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, pickled])
def test_copies_are_whole(duplicate, tmp_path):
    model, x = SequenceModel(LTC(1, 4), 1), torch.randn(5, 1)
    before = model(x)[0]
    with model.layer.ablate(range(4)):
        layer = duplicate(model.layer)
        assert not layer.is_ablated
        copied = SequenceModel(layer, 1)
        copied.readout = model.readout
        assert_close(copied(x)[0], before)
        save(copied, tmp_path)


def test_another_thread_does_not_see_it():
    layer, x, found = LTC(1, 4), torch.randn(5, 1), []
    before = layer(x)[0]
    with layer.ablate(range(4)):
        thread = threading.Thread(target=lambda: found.append(layer(x)[0]))
        thread.start()
        thread.join()
        assert not layer(x)[0].any()
    assert_close(found[0], before)


def test_the_layer_may_change_its_type_meanwhile():
    layer, x = LTC(1, 4), torch.randn(5, 1)
    with layer.ablate([0, 2]):
        y, _ = layer.double()(x.double())
        assert (y[-1] == 0).tolist() == [True, False, True, False]
        y, _ = layer.bfloat16()(x.bfloat16())
        assert (y[-1] == 0).tolist() == [True, False, True, False]


def test_a_compiled_layer_sees_it():
    layer, x = LTC(1, 4), torch.randn(5, 1)
    compiled = torch.compile(layer, backend="aot_eager")
    before = compiled(x)[0]
    with layer.ablate([0, 2]):
        assert (compiled(x)[0][-1] == 0).tolist() == [True, False, True, False]
    assert torch.equal(compiled(x)[0], before)
