"""Models let loose: for how long they stay near the truth, where the answer is known."""

import dataclasses

import numpy as np
import pytest
import torch

from torchliquid import Pack
from torchliquid.bench.config import Protocol
from torchliquid.bench.models.classical import persistence
from torchliquid.bench.models.fitted import Forecast
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.free_run import FAR, STEPS, of_method, of_pack, runs_free
from torchliquid.bench.run.runner import compute
from torchliquid.bench.tasks.attractors import Attractor
from torchliquid.bench.tasks.signal_task import article_task, attractor_task
from torchliquid.bench.tasks.sines import SumOfSines


@pytest.fixture
def lorenz():
    return attractor_task(Attractor("lorenz", sigma=0.0, steps=120, train=80), 3, 0)


def test_persistence_stays_until_the_series_has_gone_away(lorenz):
    first = lorenz.inputs[:, 80, 0]
    off = np.abs(lorenz.clean[:, 80:] - first[:, None]) > FAR * lorenz.clean[:, :80].std()
    wanted = [int(np.argmax(row)) if row.any() else 40 for row in off]
    np.testing.assert_array_equal(of_method(lorenz, persistence, 3), wanted)


def test_one_who_knows_the_future_stays_for_ever(lorenz):
    def oracle(task):
        return Forecast(lorenz.clean[:, : task.inputs.shape[1]], lorenz.clean[:, 80:])

    np.testing.assert_array_equal(of_method(lorenz, oracle, 3), 40)
    longer = attractor_task(Attractor("lorenz", sigma=0.0, steps=400, train=80), 2, 0)

    def other(task):
        return Forecast(longer.clean[:, : task.inputs.shape[1]], longer.clean[:, 80:])

    np.testing.assert_array_equal(of_method(longer, other, 2), STEPS)


@pytest.mark.parametrize("name", ["LTC-3", "LSTM-2", "CTRNN-2"])
def test_a_pack_eats_what_it_says(lorenz, name):
    """Step by step by hand: one model alone, its prediction appended to what it has seen."""
    (model,) = find([name])
    pack = Pack(lambda seed: model.build(lorenz), range(3))
    found = of_pack(lorenz, model, pack)
    for lane in range(3):
        alone, x, steps = pack.lane(lane), torch.from_numpy(lorenz.inputs[lane, :81]), 0
        for k in range(40):
            with torch.no_grad():
                y = alone(x[None])[0][0, -1]
            if abs(float(y) - lorenz.clean[lane, 80 + k]) > FAR * lorenz.clean[:, :80].std():
                break
            steps += 1
            x = torch.cat([x, y[None]])
        assert found[lane] == steps


def test_what_diverges_stays_nowhere(lorenz):
    def wild(task):
        return Forecast(np.full((3, task.inputs.shape[1]), np.nan, dtype=np.float32), np.zeros(0))

    np.testing.assert_array_equal(of_method(lorenz, wild, 3), 0)


def test_who_runs_free(lorenz):
    assert runs_free(lorenz)
    assert not runs_free(article_task(SumOfSines(), 1, 0))
    assert not runs_free(attractor_task(Attractor("lorenz"), 1, 0, missing=0.1))
    assert not runs_free(attractor_task(Attractor("lorenz"), 1, 0, sampling="irregular"))
    assert not runs_free(dataclasses.replace(lorenz, clean=None))


@pytest.mark.parametrize("name", ["LTC-2", "ridge-AR", "ESN-100", "mean"])
def test_in_a_run(lorenz, name):
    run, _ = compute(lorenz, find([name])[0], Protocol(3, 3), lambda epoch: None)
    valid = run.arrays["valid_time"] / (0.05 * 0.906)
    assert valid.shape == (3,)
    np.testing.assert_allclose(valid, np.round(valid), atol=1e-9)
