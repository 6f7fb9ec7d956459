"""Models: parameter counts, readout, dt, and what torch expects of any module."""

import copy
import io

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.testing import assert_close

from torchliquid import LTC, SequenceModel

LAYERS = {
    "LTC": lambda **options: LTC(1, 8, batch_first=True, **options),
    "LSTM": lambda **options: nn.LSTM(1, 16, batch_first=True, **options),
    "GRU": lambda **options: nn.GRU(1, 4, batch_first=True, **options),
}


@pytest.fixture(params=LAYERS)
def model(request):
    return SequenceModel(LAYERS[request.param](), output_size=1)


def weights(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (LTC(1, 8), 105),
        (nn.LSTM(1, 16), 1233),
        (nn.LSTM(1, 4), 117),
        (nn.GRU(1, 4), 89),
    ],
)
def test_parameter_counts_of_the_article(layer, count):
    assert weights(SequenceModel(layer, 1)) == count


@pytest.mark.parametrize(("I", "H", "O"), [(1, 8, 1), (3, 5, 2), (17, 32, 4)])
def test_parameter_count_by_formula(I, H, O):
    model = SequenceModel(LTC(I, H), O)
    assert weights(model) == H * (I + H) + 3 * H + O * (H + 1)


def test_readout_is_linear_at_every_step(model):
    x = torch.randn(3, 7, 1)
    states, last = model.layer(x)
    y, h = model(x)
    assert y.shape == (3, 7, 1)
    by_hand = states @ model.readout.weight.T + model.readout.bias
    assert_close(y, by_hand, rtol=1e-6, atol=1e-6)
    for ours, layers in zip(h, last, strict=True):
        assert torch.equal(ours, layers)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("proj_size", [0, 3])
def test_any_width_of_nn_lstm(bidirectional, proj_size):
    layer = nn.LSTM(2, 5, proj_size=proj_size, bidirectional=bidirectional, batch_first=True)
    x = torch.randn(2, 6, 2, dtype=torch.float64)  # in float32 torch warns of projections
    y, _ = SequenceModel(layer.double(), 4)(x)
    assert y.shape == (2, 6, 4)


def test_state_is_carried_over(model):
    x = torch.randn(2, 9, 1)
    y, h = model(x)
    first, middle = model(x[:, :4])
    second, last = model(x[:, 4:], middle)
    assert_close(torch.cat([first, second], 1), y, rtol=1e-5, atol=1e-6)
    assert_close(last, h, rtol=1e-5, atol=1e-6)


def test_dt_reaches_the_layer():
    model = SequenceModel(LTC(1, 8, batch_first=True, dt=0.1), 1)
    x, dt = torch.randn(4, 4, 1), torch.rand(4, 4) + 0.1
    constant = torch.full((4, 4), 0.1)
    assert_close(model(x, dt=constant)[0], model(x)[0], rtol=0, atol=1e-7)
    assert torch.equal(model(x, dt=0.1)[0], model(x)[0])
    states = model.layer(x, dt=dt)[0]
    assert_close(model(x, dt=dt)[0], model.readout(states), rtol=0, atol=1e-6)
    assert not torch.allclose(model(x, dt=dt)[0], model(x)[0])


def test_readout_has_the_layers_dtype(model):
    assert model.readout.weight.dtype == torch.float32
    double = SequenceModel(LTC(1, 8, dtype=torch.float64), 1)
    y, h = double(torch.randn(5, 1, dtype=torch.float64))
    assert y.dtype == h.dtype == double.readout.weight.dtype == torch.float64
    y, _ = model.double()(torch.randn(2, 5, 1, dtype=torch.float64))
    assert y.dtype == torch.float64


def test_copies_give_the_same_numbers(model):
    x = torch.randn(2, 9, 1)
    expected = model(x)[0]
    assert torch.equal(copy.deepcopy(model)(x)[0], expected)
    twin = SequenceModel(copy.deepcopy(model.layer), 1)
    assert not torch.equal(twin(x)[0], expected)
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(x)[0], expected)
    file = io.BytesIO()
    torch.save(model, file)  # pickles the whole module, as users do
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x)[0], expected)
    weights = {name: value.clone() for name, value in model.named_parameters()}
    other = SequenceModel(copy.deepcopy(model.layer), 1)
    assert torch.equal(functional_call(other, weights, (x,))[0], expected)


def test_names_follow_nn_lstm():
    """Code that picks weights by name finds those of the gate where nn.LSTM has its own."""
    ours = {name for name, _ in LTC(2, 3).named_parameters()}
    assert ours == {"weight_ih_l0", "weight_hh_l0", "bias_l0", "raw_tau_l0", "target_l0"}
    assert {"weight_ih_l0", "weight_hh_l0"} <= set(dict(nn.LSTM(2, 3).named_parameters()))


def test_every_parameter_learns(model):
    x = torch.randn(2, 9, 1)
    model(x)[0].square().mean().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


# torch's own words on tracing: that it is old, and that checks of the input are not in the trace
@pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore:.torch.jit:DeprecationWarning"
)
def test_traced_and_saved(tmp_path):
    model, x = SequenceModel(LTC(2, 3, batch_first=True), 1), torch.randn(4, 5, 2)
    traced = torch.jit.trace(model, (x,))
    torch.jit.save(traced, tmp_path / "model.pt")
    back = torch.jit.load(tmp_path / "model.pt")
    assert_close(back(x)[0], model(x)[0], rtol=1e-6, atol=1e-6)


def test_exported_graph_equals_eager():
    """The checks of the input are no obstacle to export."""
    model = SequenceModel(LTC(2, 3, batch_first=True), 1)
    x, dt = torch.randn(4, 5, 2), torch.rand(4, 5) + 0.1
    batch = torch.export.Dim("batch", min=1, max=99)
    dynamic = {"x": {0: batch}, "dt": {0: batch}}
    exported = torch.export.export(model, (x,), {"dt": dt}, dynamic_shapes=dynamic).module()
    for size in (4, 1, 7):
        x, dt = torch.randn(size, 5, 2), torch.rand(size, 5) + 0.1
        assert_close(exported(x, dt=dt)[0], model(x, dt=dt)[0], rtol=1e-6, atol=1e-6)
