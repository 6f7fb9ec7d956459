"""A fitted forecaster as it is now, and how it goes on as rows arrive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from torchliquid.forecast._fitting import Row, targets_of
from torchliquid.forecast._history import History, Values
from torchliquid.forecast._intervals import Intervals
from torchliquid.forecast._models import Carried, Chosen
from torchliquid.forecast._ridge_plus import Inputs
from torchliquid.tables import Grid

LEAST_WIDTH = 24
"""Rows after which weights are solved for anew, or a season, if that is longer."""


@dataclass
class State:
    """A fitted forecaster as it is now.

    Args:
        chosen: the forecast in use.
        inputs: what its features are.
        rows: of the comparison.
        coverage: share of test errors that each level covered.
        sentence: the outcome in words.
        notes: on the table, and on intervals.
        histories: the last rows of each series, scaled.
        intervals: of each series.
        carried: what a filter and a network know of each series after its last row.
        pending: forecasts made at the last H rows of each series ``(H, H)``, in deviations.
        since_solved: rows learnt since the regression was solved.
        most_missing: missing targets up to which a row is learnt from.
    """

    chosen: Chosen
    inputs: Inputs
    rows: list[Row]
    coverage: tuple[float, ...]
    sentence: str
    notes: list[str]
    histories: dict[str, History]
    intervals: dict[str, Intervals]
    carried: dict[str, Carried]
    pending: dict[str, Values]
    since_solved: int = 0
    most_missing: float = 0.0

    @property
    def width(self) -> int:
        """Rows that are taken in at a time, and learnt from before weights are solved for anew."""
        return max(self.inputs.seasons.shortest, LEAST_WIDTH)

    def path(self, history: History, grid: Grid, rows: int) -> Values:
        """Return forecasts of the next rows ``(N,)``; beyond the horizon each from those before.

        Args:
            history: a series as it is kept, plans reaching as far.
            grid: of the table.
            rows: N.
        """
        found: list[Values] = []
        carried = self.carried[history.label]
        while rows > 0:
            last = np.array([len(history.y) - 1])
            found.append(self.chosen.forecasts(history, grid, last)[0, :rows])
            rows -= len(found[-1])
            if rows > 0:  # what was forecast counts as seen
                now, new = len(history.y), len(found[-1])
                past = np.repeat(history.past[-1:], new, axis=0)
                known = history.known[now:]
                block = History(history.label, history.end, found[-1], found[-1], past, known)
                history, carried = self.chosen.went_on(history, block, grid, carried)
        return np.concatenate(found)

    def take(self, later: History, grid: Grid) -> None:
        """Take new rows of a series in, a season at a time.

        Args:
            later: rows behind the last one that is known, scaled.
            grid: of the table.
        """
        width = self.width
        for start in range(0, len(later.y), width):
            stop = start + width
            # plans may go on behind the last row
            self._take_block(later.part(start, stop if stop < len(later.y) else None), grid)

    def _take_block(self, block: History, grid: Grid) -> None:
        label, horizon = block.label, self.inputs.horizon
        before = self.histories[label]
        whole, carried = self.chosen.went_on(before, block, grid, self.carried[label])
        new = len(whole.y) - len(before.y)
        steps = np.arange(len(before.y), len(whole.y))
        made = np.concatenate([self.pending[label], self.chosen.forecasts(whole, grid, steps)])
        # of the forecasts made 1 ... H before each new row, what they were wrong by
        errors = np.full((new, horizon), np.nan)
        for k in range(horizon):
            origin = len(made) - new - 1 - k + np.arange(new)
            there = origin >= 0
            errors[there, k] = made[origin[there], k] - whole.y[steps[there]]
        self.intervals[label].follow(errors)
        self.pending[label] = made[-horizon:]
        self._learn(whole, grid, len(before.y))
        self.carried[label] = carried
        self.histories[label] = whole.last(self.inputs.needs + 2 * horizon)

    def _learn(self, whole: History, grid: Grid, known: int) -> None:
        """Learn from steps whose targets have come since the first rows alone were known."""
        learning = [one.ridge for one in self.chosen.regressions if one.streamed]
        if not learning:
            return
        horizon = self.inputs.horizon
        steps = np.arange(max(known - horizon, 0), len(whole.y) - horizon)
        missing = np.isnan(whole.y[steps[:, None] + np.arange(1, horizon + 1)]).sum(axis=1)
        targets = targets_of(whole, fills=self.chosen.fills)
        for ridge in learning:
            ridge.learn(whole, grid, targets, steps[missing <= self.most_missing])
        self.since_solved += len(whole.y) - known
        if self.since_solved >= self.width:
            for ridge in learning:
                ridge.solve()
            self.since_solved = 0
