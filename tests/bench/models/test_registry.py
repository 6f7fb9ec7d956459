"""The models of a comparison: names, sizes, and that they are what they are called."""

import pytest
import torch
from torch import nn

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import DEFAULT, find
from torchliquid.bench.run.training import train
from torchliquid.errors import TorchliquidError
from torchliquid.nn import LTC, Pack


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [("LTC-8", 105), ("LTC-8-euler", 105), ("LSTM-16", 1_233), ("LSTM-4", 117), ("GRU-4", 89)],
)
def test_parameter_counts(small, name, count):
    assert parameters(find([name])[0].build(small())) == count


@pytest.mark.parametrize(("name", "kind"), [("LSTM-16", nn.LSTM), ("GRU-4", nn.GRU)])
def test_rivals_are_torchs_own(small, name, kind):
    task, model = small(), find([name])[0]
    built = model.build(task)
    assert type(built.layer) is kind
    assert type(Pack(lambda seed: model.build(task), [1, 2]).lane(1).layer) is kind
    assert built.layer.num_layers == 1
    assert built.layer.batch_first


@pytest.mark.parametrize(
    ("name", "solver"),
    [("LTC-8", "semi_implicit"), ("LTC-3-euler", "euler"), ("LTC-8-exponential", "exponential"),
     ("LTC-8-rk4", "rk4")],
)  # fmt: skip
def test_liquid_models_step_as_named_at_the_tasks_interval(small, name, solver):
    layer = find([name])[0].build(small(span=12.0)).layer
    assert isinstance(layer, LTC)
    assert (layer.solver, layer.unfolds, layer.bias) == (solver, 1, True)
    assert layer.dt == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["LTC-8", "LTC-8-euler", "LSTM-4", "GRU-4"])
def test_a_solved_readout_changes_how_it_is_trained_alone(small, name):
    (model,), (solved,) = find([name]), find([f"{name}-solved"])
    assert (model.readout, solved.readout) == ("train", "solve")
    assert (solved.cell, solved.hidden, solved.variant) == (model.cell, model.hidden, model.variant)
    assert parameters(solved.build(small())) == parameters(model.build(small()))
    assert "solved" in solved.description


def test_irregular_time_is_one_more_input_for_all_but_liquid_models(table):
    task = table()
    sizes = {
        name: find([name])[0].build(task).layer.input_size for name in ("LTC-8", "LSTM-4", "GRU-4")
    }
    assert sizes == {"LTC-8": 2, "LSTM-4": 3, "GRU-4": 3}


def test_weights_are_drawn_from_torchs_generator(small):
    model, task = find(["LTC-8"])[0], small()
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(model.build(task).layer.weight_ih_l0.detach())
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_default_comparison():
    assert DEFAULT == (
        "LTC-8", "LTC-8-euler", "LSTM-16", "LSTM-4", "GRU-4", "ridge-AR", "persistence",
    )  # fmt: skip
    kinds = [model.kind for model in find(DEFAULT)]
    assert kinds == ["liquid"] * 2 + ["recurrent"] * 3 + ["classical"] * 2
    assert all(model.description for model in find(DEFAULT))


def test_order_is_the_callers():
    assert [m.name for m in find(["persistence", "LTC-2"])] == ["persistence", "LTC-2"]


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ltc-8", "LTC-8"),
        ("LSTM16", "LSTM-16"),
        ("persistance", "persistence"),
        ("ridge", "ridge-AR"),
        ("GRU-4x", "GRU-4"),
        ("LTC-8-eular", "LTC-8-euler"),
        ("LTC-0", "LTC-8"),
        ("LTC-8-semi_implicit", "LTC-8-euler"),
        ("LSTM-4-euler", "LTC-8-euler"),
        ("LTC--8", "LTC-8"),
        ("", "LTC-8"),
        ("LTC-8\n", "LTC-8"),
    ],
)
def test_unknown_name(name, nearest):
    with pytest.raises(TorchliquidError) as caught:
        find(["LTC-8", name])
    assert f"model {name!r} is unknown (nearest: {nearest})" in str(caught.value)
    assert "persistence" in str(caught.value).partition(":")[2]  # what may be given
    assert "\n" not in str(caught.value)


def test_named_twice_or_not_at_all():
    with pytest.raises(TorchliquidError, match="LSTM-4 is named twice"):
        find(["LSTM-4", "LTC-8", "LSTM-4"])
    with pytest.raises(TorchliquidError, match="no model was named"):
        find([])


def test_variants_are_options_and_frozen_weights(small):
    task = small()
    opened, fixed = (find([f"Resonator-4-{v}"])[0].build(task).layer for v in ("open", "fixed"))
    assert opened.gate == "open"
    assert not fixed.log_rate_l0.requires_grad
    assert fixed.log_frequency_l0.requires_grad
    (model,) = find(["Resonator-4-fixed-solved"])
    trained = train(task, model, Protocol(lanes=3, epochs=3)).pack.layer
    before = train(task, model, Protocol(lanes=3, epochs=1, learning_rate=1e-12)).pack.layer
    assert torch.equal(trained.log_rate_l0, before.log_rate_l0)
    assert not torch.equal(trained.log_frequency_l0, before.log_frequency_l0)
    with pytest.raises(TorchliquidError, match="Resonator-n also -closed, -open, -fixed"):
        find(["Resonator-4-ajar"])
