"""What users of `nn.LSTM` do without a thought: views, `hx=`, print, long times, subclasses."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from torchliquid import LTC, Pack, SequenceModel, TorchliquidError, functional, kernels
from torchliquid.bench.models import registry as models
from torchliquid.bench.tasks.sunspots import sunspots
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.export import describe
from torchliquid.nn import CELLS, CTRNN, CfC, DecayGRU, register

LAYERS = [LTC, CTRNN, DecayGRU, CfC]
each_layer = pytest.mark.parametrize("cell", LAYERS)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "options", [{}, {"bidirectional": True}, {"num_layers": 2}, {"proj_size": 2}]
)
@each_layer
def test_outputs_can_be_viewed(cell, options, batch_first, transposed):
    layer = cell(2, 3, batch_first=batch_first, **options)
    x = torch.randn(4, 5, 2)
    x = x.transpose(0, 1).contiguous().transpose(0, 1) if transposed else x
    for model in (layer, SequenceModel(layer, 1)):
        for more in ({}, {"lengths": [2] * (4 if batch_first else 5)}, {"dt": torch.rand(4, 5)}):
            y, h = model(x, **more)
            y.view(-1, y.shape[-1])
            h.view(-1)


@each_layer
def test_the_initial_state_is_called_hx_too(cell):
    layer, x, h0 = cell(2, 3), torch.randn(4, 5, 2), torch.randn(1, 5, 3)
    model = SequenceModel(layer, 1)
    pack = Pack(lambda seed: SequenceModel(cell(2, 3), 1), range(2))
    state = h0.expand(2, 1, 5, 3)
    for module, given in ((layer, h0), (model, h0), (pack, state)):
        assert torch.equal(module(x, hx=given)[0], module(x, given)[0])
        with pytest.raises(TorchliquidError, match="h0 and hx are both given"):
            module(x, given, hx=given)
    packed = nn.utils.rnn.pack_sequence([x[:, 0], x[:2, 1]])
    assert torch.equal(layer(packed, hx=h0[:, :2])[1], layer(packed, h0[:, :2])[1])


def test_any_subclass_can_be_printed():
    class Variadic(LTC):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    class Configured(LTC):
        def __init__(self, cfg):
            super().__init__(*cfg)

    assert repr(Variadic(2, 3, dt=0.5)) == "Variadic(input_size=2, hidden_size=3, dt=0.5)"
    assert repr(Configured((2, 3))) == "Configured(input_size=2, hidden_size=3)"


@pytest.mark.filterwarnings("ignore::torchliquid.errors.TimeUnitWarning")
@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("unfolds", [1, 4])
@pytest.mark.parametrize("dt", [2e37, 5e37, 1e38, 3e38])
@pytest.mark.parametrize("solver", ["semi_implicit", "exponential"])
def test_times_near_the_largest_number(solver, dt, unfolds):
    layer = LTC(2, 3, solver=solver, unfolds=unfolds)
    truth = LTC(2, 3, solver=solver, unfolds=unfolds, dtype=torch.float64)
    truth.load_state_dict(layer.state_dict())
    x = torch.randn(4, 5, 2)
    right = truth(x.double(), dt=dt)[0]
    stepped = layer.step(x[0], None, dt)
    assert_close(stepped.double(), right[0], rtol=1e-5, atol=1e-6)
    for given in (dt, torch.full((4, 5), dt)):
        y, _ = layer(x, dt=given)
        assert_close(y.double(), right, rtol=1e-5, atol=1e-6)
        gradients = torch.autograd.grad(y.sum(), layer.parameters(), allow_unused=True)
        assert all(g.isfinite().all() for g in gradients)
    arguments = (torch.randn(1, 5, 2), torch.zeros(1, 3), *list(layer.weights().values())[:3])
    states, _ = functional.ltc(*arguments, layer.tau, layer.target_l0, dt, solver, unfolds)
    assert states.isfinite().all()


@each_layer
@pytest.mark.parametrize("dt", [2e37, 3e38])
def test_long_times_of_other_cells(cell, dt):
    layer, truth = cell(2, 3), cell(2, 3, dtype=torch.float64)
    truth.load_state_dict(layer.state_dict())
    x = torch.randn(4, 5, 2)
    assert_close(layer(x, dt=dt)[0].double(), truth(x.double(), dt=dt)[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("run", [functional.synaptic, kernels.synaptic])
def test_synapses_of_all_pairs_are_made_where_the_weights_are(run):
    shapes = ((2, 4, 2), (2, 3), *[9] * 4, *[6] * 4, *[3] * 3)
    y, last = run(*(torch.zeros(shape, device="meta") for shape in shapes))
    assert (y.shape, last.shape, y.device.type) == ((2, 4, 3), (2, 3), "meta")


@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="torch 2.7 drops assertions from compiled graphs; between it and 2.13 is not tried",
)
@pytest.mark.parametrize("lengths", [[0, 4], [-2, 4], [9, 4]])
def test_a_compiled_layer_checks_lengths_as_it_runs(lengths):
    compiled = torch.compile(LTC(1, 2, batch_first=True), backend="aot_eager")
    compiled(torch.randn(2, 4, 1), lengths=torch.tensor([3, 4]))
    with pytest.raises(RuntimeError, match="lengths: expected 2 integers from 1 to 4"):
        compiled(torch.randn(2, 4, 1), lengths=torch.tensor(lengths))


def test_all_may_be_dropped():
    layer = LTC(1, 2, 2, dropout=1.0)
    layer(torch.randn(4, 1))
    with pytest.raises(TorchliquidError, match="give a number from 0 to 1"):
        LTC(1, 2, 2, dropout=1.5)


def test_a_cell_that_is_registered_but_has_no_export(monkeypatch):
    class MGU(CTRNN):
        pass

    made = dataclasses.replace(CELLS["CTRNN"], name="MGU", layer=MGU)
    monkeypatch.setitem(CELLS, "MGU", made)
    with pytest.raises(TorchliquidError, match="MGU cannot be exported yet: only"):
        describe(SequenceModel(MGU(1, 2), 1))
    with pytest.raises(TorchliquidError, match="cannot export a Sub"):
        describe(SequenceModel(type("Sub", (LTC,), {})(1, 2), 1))
    assert models.find(["CTRNN-4"])
    assert isinstance(models.find(["MGU-4"])[0].build(table_task(sunspots())).layer, MGU)
    with pytest.raises(TorchliquidError, match="a cell named 'CTRNN' is registered already"):
        register(dataclasses.replace(made, name="CTRNN"))


def test_fx_is_told_to_leave_the_layer_whole():
    with pytest.raises(TorchliquidError, match="make the layer a leaf of your Tracer"):
        torch.fx.symbolic_trace(LTC(1, 2), concrete_args={"h0": None, "hx": None, "dt": None})
