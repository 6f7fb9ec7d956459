"""Where models predict the change from the current value, that is what they learn and add."""

import dataclasses

import numpy as np
import pytest
import torch

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.classical import fit_ridge_ar
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.training import train
from torchliquid.bench.run.windows import predict
from torchliquid.bench.tasks.sunspots import sunspots
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.nn import Pack


@pytest.fixture
def task():
    return table_task(sunspots())


@pytest.mark.parametrize("name", ["LTC-2", "LSTM-2"])
def test_a_silent_network_is_persistence(task, name):
    model = find([name])[0]
    pack = Pack(lambda seed: model.build(task), range(2))
    with torch.no_grad():
        for parameter in pack.readout.values():
            parameter.zero_()
    carry, reset = predict(task, model, pack)
    np.testing.assert_array_equal(carry, np.repeat(task.inputs[:, :, 0], 2, axis=0))
    np.testing.assert_array_equal(reset, carry[:, task.steps - task.test :])


def test_the_loss_is_that_of_the_change(task):
    task = dataclasses.replace(task, valid=0, train=task.train + task.valid, window=None)
    model = find(["LTC-2"])[0]
    protocol = Protocol(lanes=1, epochs=20)
    trained = train(task, model, protocol)
    torch.manual_seed(protocol.weight_seeds()[0])
    alone = model.build(task)
    optimiser = torch.optim.Adam(alone.parameters(), lr=protocol.learning_rate)
    x = torch.from_numpy(task.inputs[0, : task.train])
    change = (torch.from_numpy(task.targets[0, : task.train]) - x[:, 0]) / task.change
    there = ~change.isnan()
    for _ in range(protocol.epochs):
        optimiser.zero_grad()
        y, _ = alone(x)
        (y[:, 0] - change)[there].square().mean().backward()
        optimiser.step()
    lane = trained.pack.lane(0)
    for name, parameter in alone.named_parameters():
        torch.testing.assert_close(lane.get_parameter(name), parameter, atol=1e-5, rtol=0)


def test_ridge_shrinks_towards_persistence(task, monkeypatch):
    monkeypatch.setattr("torchliquid.forecast.ridge.PENALTIES", (1e9,))
    carry, reset = fit_ridge_ar(task)(task)[:2]
    mean = np.nanmean((task.targets - task.inputs[:, :, 0])[:, : task.train])
    expected = task.inputs[:, :, 0] + mean
    np.testing.assert_allclose(carry, expected, atol=0.02)
    np.testing.assert_allclose(reset, expected[:, task.steps - task.test :], atol=0.02)
