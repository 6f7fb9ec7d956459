"""The unit of dt is the commonest mistake: stamps are refused, a wrong unit is said, once."""

import copy
import warnings

import pytest
import torch

from torchliquid import LTC, CfC, Resonator, SequenceModel, TorchliquidError, fit
from torchliquid.errors import TimeUnitWarning
from torchliquid.nn import CTRNN, DecayGRU

STAMPS = 1.7e9 + torch.tensor([[0.0, 61.0, 180.0, 180.0, 300.0]], dtype=torch.float64)


def call(layer, dt):
    size = (*dt.shape[:2], 1) if dt.dim() > 1 else (1, len(dt), 1)
    return layer(torch.zeros(*size, dtype=torch.float64), dt=dt)


@pytest.fixture
def layer():
    return LTC(1, 3, batch_first=True, dtype=torch.float64)


@pytest.mark.parametrize("form", ["rows", "shared", "column", "milliseconds"])
def test_stamps_are_refused(layer, form, backend):
    dt = {"rows": STAMPS, "shared": STAMPS[0], "column": STAMPS[..., None],
          "milliseconds": 1000 * STAMPS}[form]  # fmt: skip
    with pytest.raises(TorchliquidError, match="these are times, not times between"):
        call(layer, dt)


def test_stamps_are_refused_with_time_first_and_in_a_training(layer):
    first = LTC(1, 3, dtype=torch.float64)
    with pytest.raises(TorchliquidError, match="these are times"):
        first(torch.zeros(5, 2, 1, dtype=torch.float64), dt=STAMPS.expand(2, 5).t())
    model = SequenceModel(layer, 1)
    x = torch.zeros(1, 5, 1, dtype=torch.float64)
    with pytest.raises(TorchliquidError, match="these are times"):
        fit(model, x, x, epochs=1, dt=STAMPS)


def test_nanoseconds_and_times_that_fall_are_no_stamps(layer):
    even = torch.full((1, 5), 1e9, dtype=torch.float64)
    uneven = torch.tensor([[1e9, 3e9, 2e9, 5e9]], dtype=torch.float64)
    for dt in (even, uneven):
        with pytest.warns(TimeUnitWarning):
            call(copy.deepcopy(layer), dt)


@pytest.mark.parametrize(("size", "words"), [(5e3, "remembers nothing"), (1e-5, "hardly moves")])
def test_a_unit_far_from_the_time_constants_is_said_once(layer, size, words, backend):
    dt = size * (1 + torch.rand(2, 6, dtype=torch.float64))
    dt[0, 0] = 0
    with pytest.warns(TimeUnitWarning, match=words):
        call(layer, dt)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(layer, dt)


def test_a_model_and_a_training_say_it_too(layer):
    x = torch.zeros(1, 5, 1, dtype=torch.float64)
    dt = torch.full((1, 5), 1e4, dtype=torch.float64)
    with pytest.warns(TimeUnitWarning):
        SequenceModel(copy.deepcopy(layer), 1)(x, dt=dt)
    with pytest.warns(TimeUnitWarning):
        fit(SequenceModel(layer, 1), x, x, epochs=1, dt=dt)


def test_one_sample_within_reach_is_enough(layer):
    dt = torch.tensor([[1e5, 1e5, 1.0]], dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(layer, dt)


@pytest.mark.parametrize("cell", [CfC, DecayGRU, Resonator])
@pytest.mark.parametrize("size", [1e-6, 1e4])
def test_cells_that_gates_or_oscillations_move_say_nothing(cell, size):
    dt = torch.full((1, 5), size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cell(1, 3, batch_first=True)(torch.zeros(1, 5, 1), dt=dt)


def test_compiled_and_transformed_calls_do_not_look(layer):
    x, dt = torch.zeros(1, 5, 1, dtype=torch.float64), torch.full((1, 5), 1e4, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TimeUnitWarning)
        torch.func.vmap(lambda t: layer(x[0], dt=t)[0])(dt)


def test_another_layer_with_a_rate_says_it():
    layer = CTRNN(1, 3, batch_first=True)
    assert layer.tau.shape == (3,)
    with pytest.warns(TimeUnitWarning, match="CTRNN"):
        layer(torch.zeros(1, 5, 1), dt=torch.full((1, 5), 1e5))
