"""What a forecast may be made of: a simple one, a regression, a filter; and the mean of some.

Each forecasts from any rows of a series. States of a filter and of a network go along a series, so
that they belong to its history: `Chosen.prepared` and `Chosen.went_on` put them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from torchliquid.forecast._history import History, Values
from torchliquid.forecast._network import Network, NetworkState
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
        beside: the network whose states are among its features; empty: there is none.
    """

    ridge: RidgePlus
    streamed: bool = False
    beside: str = ""

    @property
    def name(self) -> str:
        """See `Model`."""
        name = "updated ridge" if self.streamed else "ridge"
        return f"{name} with {self.beside}" if self.beside else name

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


class Carried(NamedTuple):
    """What is known of a series after its last row; None: there is no filter, or no network."""

    belief: Belief | None = None
    network: NetworkState | None = None


@dataclass
class Chosen:
    """A forecast in use: the mean of some.

    Args:
        models: one or more.
        filter: goes along each series; None: none does.
        fills: whether what it expects stands in for missing values.
        network: goes along each series; None: none does.
    """

    models: Sequence[Model]
    filter: Structural | None = None
    fills: bool = False
    network: Network | None = None

    @property
    def name(self) -> str:
        """What the comparison calls it."""
        names = [model.name for model in self.models]
        if len(names) == 1:
            return names[0]
        return f"mean of {', '.join(names[:-1])} and {names[-1]}"

    @property
    def regressions(self) -> list[Regression]:
        """Those of its models that are one."""
        return [model for model in self.models if isinstance(model, Regression)]

    def drop_unused(self) -> None:
        """Forget a filter and a network that no model needs."""
        if not self.fills and not any(isinstance(model, Filter) for model in self.models):
            self.filter = None
        if not any(one.beside for one in self.regressions):
            self.network = None

    def without_unused(self, history: History, carried: Carried) -> tuple[History, Carried]:
        """Return a series, and what is known after it, without what is not there any more."""
        none = np.zeros((0, 0))
        if self.filter is None:
            history, carried = replace(history, states=none), carried._replace(belief=None)
        if self.network is None:
            history, carried = replace(history, memory=none), carried._replace(network=None)
        return history, carried

    def forecasts(self, history: History, grid: Grid, steps: Steps) -> Values:
        """See `Model`."""
        found = [model.forecasts(history, grid, steps) for model in self.models]
        return np.asarray(np.mean(found, axis=0))

    def prepared(self, history: History, grid: Grid) -> tuple[History, Carried]:
        """Return a scaled series with states, and what is known after it."""
        return self._followed(history, grid, 0, Carried())

    def went_on(
        self, before: History, block: History, grid: Grid, carried: Carried
    ) -> tuple[History, Carried]:
        """Return a prepared series with the rows behind it, and what is known after them.

        Args:
            before: the series.
            block: rows behind its end, positions between being empty.
            grid: of the table.
            carried: what is known after the series.
        """
        whole = before.joined(block.padded(before.end))
        whole = replace(whole, states=before.states, memory=before.memory)
        return self._followed(whole, grid, len(before.y), carried)

    def _followed(
        self, whole: History, grid: Grid, known: int, carried: Carried
    ) -> tuple[History, Carried]:
        """Add states of all rows but the first ones, and fill missing values."""
        if not len(whole.y[known:]):
            return whole, carried
        if self.filter is not None:
            states, values, belief = self.filter.follow(whole.part(known), carried.belief)
            if known:
                states = np.concatenate([whole.states, states])
            held = np.concatenate([whole.held[:known], values]) if self.fills else whole.held
            whole, carried = (
                replace(whole, states=states, held=held),
                carried._replace(belief=belief),
            )
        return self.remembered(whole, grid, known, carried)

    def remembered(
        self, whole: History, grid: Grid, known: int, carried: Carried
    ) -> tuple[History, Carried]:
        """Add a network's states of all rows but the first ones, missing values being filled."""
        if self.network is None:
            return whole, carried
        found, memory = self.network.follow(whole.part(known), grid, carried.network)
        if known:
            found = np.concatenate([whole.memory, found])
        return replace(whole, memory=found), carried._replace(network=memory)
