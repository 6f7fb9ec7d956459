"""Ablated neurons: as if their weights to everybody else were 0."""

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
    with layer.ablate(OUT, place=top):
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
        (4, 0, "neurons is 4: give a whole number from 0 to 3"),
        ([0, -5], 0, "neurons is -5"),
        ([0.5], 0, r"neurons is \[0.5\]"),
        ([True], 0, "or a mask"),
        (0, 1, "place is 1: give a whole number from 0 to 0"),
    ],
)
def test_mistakes_are_said(neurons, place, words):
    with pytest.raises(TorchliquidError, match=words), LTC(1, 4).ablate(neurons, place):
        pass
