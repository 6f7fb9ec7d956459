"""Small tasks: as many steps as a test needs, and no more."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines
from torchliquid.bench.tasks.task import Task
from torchliquid.forecast import fit_oscillators


@pytest.fixture(autouse=True)
def _few_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oscillators are fitted in a few epochs: what is tested here is how they are used."""
    few = functools.partial(fit_oscillators, epochs=5)
    monkeypatch.setattr("torchliquid.bench.models.oscillators.fit_oscillators", few)


@pytest.fixture
def small() -> Callable[..., Task]:
    """The article's task, shorter."""

    def make(lanes: int = 3, seed: int = 0, **series: Any) -> Task:
        return article_task(SumOfSines(**{"steps": 60, "train": 40} | series), lanes, seed)

    return make


@pytest.fixture
def table() -> Callable[..., Task]:
    """One series for all lanes: two features, irregular time, windows, a validation part, gaps."""

    def make(steps: int = 100, train: int = 50, valid: int = 25, **given: Any) -> Task:
        rng = np.random.default_rng(7)
        wave = np.sin(0.3 * np.arange(steps + 1)) + 0.1 * rng.standard_normal(steps + 1)
        inputs = np.stack([wave[:-1], rng.standard_normal(steps)], axis=1)
        targets = wave[1:].astype(np.float32)
        targets[[3, 17]] = np.nan
        fields: dict[str, Any] = {
            "name": "table",
            "spec": {"task": "table", "source": "made up"},
            "inputs": inputs[None].astype(np.float32),
            "targets": targets[None],
            "clean": None,
            "dt": (0.1 * rng.uniform(0.5, 2.0, steps)).astype(np.float32),
            "train": train,
            "valid": valid,
            "window": 16,
            "offset": 10.0,
            "scale": 3.0,
            "unit": "degrees",
        }
        return Task(**fields | given)

    return make
