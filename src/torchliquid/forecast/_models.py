"""What a forecast may be made of: a simple one, a regression, a filter; and the mean of some.

Each forecasts from any rows of a series. A filter's state goes along a series, so that it belongs
to its history: `Chosen.prepared` and `Chosen.went_on` put it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from torchliquid.forecast._history import History, Values
from torchliquid.forecast._ridge_plus import Inputs, RidgePlus, Steps
from torchliquid.forecast._structural import Structural
from torchliquid.functional._oscillator_filter import Belief
from torchliquid.tables import Grid


class Model(Protocol):
    """A forecast of all horizons."""

    @property
    def name(self) -> str:
        """What the comparison calls it."""

    def forecasts(self, history: History, grid: Grid, steps: Steps) -> Values:
        """Return forecasts in deviations ``(N, H)`` from some steps of a scaled series."""


@dataclass(frozen=True)
class Simple:
    """The last value, or the value a season before.

    Args:
        inputs: give the horizon.
        period: of the season in rows; 0: the last value.
    """

    inputs: Inputs
    period: int

    @property
    def name(self) -> str:
        """See `Model`."""
        return f"value {self.period} rows before" if self.period else "last value"

    def forecasts(self, history: History, grid: Grid, steps: Steps) -> Values:
        """See `Model`."""
        return self.inputs.bases(history, steps, self.period)


@dataclass
class Regression:
    """A linear regression on lags and calendar.

    Args:
        ridge: the regression.
        streamed: whether it goes on learning.
    """

    ridge: RidgePlus
    streamed: bool = False

    @property
    def name(self) -> str:
        """See `Model`."""
        return "updated ridge" if self.streamed else "ridge"

    def forecasts(self, history: History, grid: Grid, steps: Steps) -> Values:
        """See `Model`."""
        return self.ridge.predict(history, grid, steps)


@dataclass(frozen=True)
class Filter:
    """A structural filter, by itself.

    Args:
        structural: the filter.
        horizon: how far ahead.
    """

    structural: Structural
    horizon: int
    name: str = "filter"

    def forecasts(self, history: History, grid: Grid, steps: Steps) -> Values:
        """See `Model`."""
        return self.structural.forecasts(history, steps, self.horizon)


@dataclass
class Chosen:
    """A forecast in use: the mean of some.

    Args:
        models: one or two.
        filter: goes along each series; None: none does.
        fills: whether what it expects stands in for missing values.
    """

    models: Sequence[Model]
    filter: Structural | None = None
    fills: bool = False

    @property
    def name(self) -> str:
        """What the comparison calls it."""
        names = [model.name for model in self.models]
        return names[0] if len(names) == 1 else f"mean of {' and '.join(names)}"

    @property
    def regressions(self) -> list[Regression]:
        """Those of its models that are one."""
        return [model for model in self.models if isinstance(model, Regression)]

    def forecasts(self, history: History, grid: Grid, steps: Steps) -> Values:
        """See `Model`."""
        found = [model.forecasts(history, grid, steps) for model in self.models]
        return np.asarray(np.mean(found, axis=0))

    def prepared(self, history: History) -> tuple[History, Belief | None]:
        """Return a scaled series with the filter's states, and what is known after it."""
        if self.filter is None or not len(history.y):
            return history, None
        states, values, belief = self.filter.follow(history)
        held = values if self.fills else history.held
        return replace(history, states=states, held=held), belief

    def went_on(
        self, before: History, block: History, belief: Belief | None
    ) -> tuple[History, Belief | None]:
        """Return a prepared series with the rows behind it, and what is known after them.

        Args:
            before: the series.
            block: rows behind its end, positions between being empty.
            belief: what is known after the series.
        """
        block = block.padded(before.end)
        if self.filter is None:
            return before.joined(block), None
        states, values, belief = self.filter.follow(block, belief)
        whole = before.joined(replace(block, states=states))
        if self.fills:
            whole = replace(whole, held=np.concatenate([before.held, values]))
        return whole, belief
