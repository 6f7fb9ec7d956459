"""The example in plain PyTorch gives the library's numbers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.training import train
from torchliquid.bench.run.windows import predict
from torchliquid.bench.tasks.presets import ARTICLE
from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines

PATH = Path(__file__).parents[1] / "examples" / "article.py"


@pytest.fixture(scope="module")
def article():
    spec = importlib.util.spec_from_file_location("article", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_can_be_read_in_one_sitting():
    assert len(PATH.read_text().splitlines()) <= 80


@pytest.mark.parametrize(("name", "ours"), [("liquid", "LTC-8-euler"), ("LSTM", "LSTM-16")])
def test_data_weights_and_errors_are_the_librarys(article, name, ours):
    lanes, epochs = 2, 10
    task = article_task(SumOfSines.of_preset(ARTICLE), lanes, 0)
    protocol = Protocol(lanes, epochs, 0.005, 0)
    (model,) = find([ours])
    pack = train(task, model, protocol).pack
    errors = (predict(task, model, pack)[0] - task.targets).astype(np.float64) ** 2
    for lane, seed in enumerate(protocol.weight_seeds()):
        values = article.signal(lane)
        np.testing.assert_allclose(values[:-1], task.inputs[lane, :, 0], atol=1e-6)
        torch.manual_seed(seed)
        made = article.train(article.MODELS[name](), values, epochs)
        expected = errors[lane, : task.train].mean(), errors[lane, task.train :].mean()
        np.testing.assert_allclose(made, expected, rtol=1e-4)
