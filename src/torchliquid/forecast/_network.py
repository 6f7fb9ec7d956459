"""A small liquid network whose states are further features of the regression.

An `LTC` goes along a series: it sees the value less its running mean, its change, the calendar and
features up to now. It is trained on what the regression left unexplained, its readout being solved
in every epoch; then the regression is fitted anew on its own features and the states. A network
that adds nothing is shrunk away.

Source: variable projection (Golub and Pereyra, 1973), see `torchliquid.fit` with
``readout="solve"``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from torchliquid.forecast._history import History, Seasons, Values
from torchliquid.forecast._ridge_plus import RidgePlus, Steps
from torchliquid.nn import LTC, SequenceModel
from torchliquid.tables import Grid
from torchliquid.training import fit

NEURONS, EPOCHS, RATE, PENALTY, CLIP = 16, 100, 0.02, 0.03, 1.0
MOST_TARGETS = 8
"""Horizons on whose errors it is trained."""
MOST_ROWS = 30_000
"""Rows on which it is trained, the last ones of the training part of the first series."""
LEAST_ROWS = 1_000
"""Training rows below which none is tried."""
MOST_FEATURES = 8
"""Features up to now that it sees, the first ones."""
LARGEST_CHANGE = 6.0
"""In deviations of a change: larger ones count as this."""


class NetworkState(NamedTuple):
    """What a network carries from row to row.

    Args:
        layer: its state ``(1, H)``.
        mean: running mean of the values.
        last: the last value.
    """

    layer: Tensor
    mean: float
    last: float


@dataclass(frozen=True)
class Network:
    """A trained network without its readout.

    Args:
        layer: H neurons.
        change: deviation of a change from row to row in the training part.
        memory: rows of the running mean.
        seasons: of the table.
    """

    layer: LTC
    change: float
    memory: float
    seasons: Seasons

    @property
    def name(self) -> str:
        """What the comparison calls it."""
        return f"LTC-{self.layer.hidden_size}"

    @torch.no_grad()
    def follow(
        self, history: History, grid: Grid, start: NetworkState | None = None
    ) -> tuple[Values, NetworkState]:
        """Go along a series.

        Args:
            history: in deviations, missing values filled.
            grid: of the table.
            start: what is known before its first row; None: nothing.

        Returns:
            The state after each row ``(N, H)``, and what is known after the last one.
        """
        x, mean = self.inputs(history, grid, start)
        given = torch.from_numpy(x.astype(np.float32))[None]
        states, last = self.layer(given, None if start is None else start.layer)
        return states[0].double().numpy(), NetworkState(last, mean, float(history.held[-1]))

    def inputs(
        self, history: History, grid: Grid, start: NetworkState | None = None
    ) -> tuple[Values, float]:
        """Return what it sees at each row ``(N, I)``, and the running mean after the last one."""
        held = history.held
        mean, last = (held[0], held[0]) if start is None else (start.mean, start.last)
        share = -np.expm1(-1 / self.memory)
        means = np.empty(len(held))
        for row, value in enumerate(held.tolist()):
            mean += share * (value - mean)
            means[row] = mean
        change = np.clip(np.diff(held, prepend=last) / self.change, -LARGEST_CHANGE, LARGEST_CHANGE)
        calendar = self.seasons.first_columns(grid, history.first + np.arange(len(held)) + 1)
        columns = [held - means, change, calendar, history.past[:, :MOST_FEATURES]]
        return np.column_stack(columns), float(mean)


def fit_network(
    ridge: RidgePlus,
    grid: Grid,
    histories: Sequence[History],
    filled: Sequence[Values],
    train: Sequence[Steps],
    valid: Sequence[Steps],
    seed: int,
) -> Network | None:
    """Train a network on what a regression left unexplained; None: there are too few rows.

    Args:
        ridge: fitted on the training rows.
        grid: of the table.
        histories: of each series, in deviations, missing values filled.
        filled: targets of each series ``(N,)``, no NaN.
        train: training steps of each series.
        valid: validation steps of each series: the weights of the best epoch are kept.
        seed: of the first weights.
    """
    if sum(map(len, train)) < LEAST_ROWS or not sum(map(len, valid)):
        return None
    inputs = ridge.inputs
    changes = [np.diff(h.held[: s[-1]]) for h, s in zip(histories, train, strict=True) if len(s)]
    change = float(np.concatenate(changes).std()) or 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = 2 + 2 * len(inputs.seasons.harmonics) + min(inputs.past, MOST_FEATURES)
        layer = LTC(width, NEURONS, batch_first=True)
        horizons = np.unique(np.linspace(0, inputs.horizon - 1, MOST_TARGETS).astype(int))
        model = SequenceModel(layer, len(horizons))
        network = Network(layer, change, 2.0 * max(inputs.seasons.shortest, 2), inputs.seasons)
        seen = [network.inputs(history, grid)[0] for history in histories]
        sets = []
        for steps in (train, valid):
            parts, left = [], MOST_ROWS
            for history, x, values, line in zip(histories, seen, filled, steps, strict=True):
                if left <= 0 or not len(line):
                    continue
                some = line[-left:]
                left -= len(some)
                rest = inputs.targets(values, some) - ridge.predict(history, grid, some)
                parts.append((x, some, rest[:, horizons]))
            sets.append(_windows(parts))
        data, validation = sets
        fit(
            model, data["x"], data["y"], weight=data["weight"], epochs=EPOCHS, lr=RATE,
            schedule="one-cycle", clip=CLIP, readout="solve", penalty=PENALTY,
            validation=validation, seed=seed,
        )  # fmt: skip
    return network


def _windows(parts: Sequence[tuple[Values, Steps, Values]]) -> dict[str, Tensor]:
    """Stretches of series with rows before them from which their states come.

    Args:
        parts: of each series inputs ``(N, I)``, steps that count ``(M,)`` and their targets.
    """
    longest = max(len(x) for x, _, _ in parts)
    length, before = (288, 96) if longest > 3000 else (96, 24)
    found: dict[str, list[Values]] = {"x": [], "y": [], "weight": []}
    for x, steps, targets in parts:
        goal, counts = np.zeros((len(x), targets.shape[1])), np.zeros(len(x))
        goal[steps], counts[steps] = targets, 1.0
        begins = np.arange(steps[0], steps[-1] + 1, length)
        rows = begins[:, None] + np.arange(-before, length)
        inside = (rows >= 0) & (rows <= steps[-1])
        inside[:, :before] = False
        rows = np.clip(rows, 0, len(x) - 1)
        found["x"].extend(x[rows])
        found["y"].extend(goal[rows])
        found["weight"].extend(np.where(inside, counts[rows], 0.0))
    return {k: torch.from_numpy(np.stack(v).astype(np.float32)) for k, v in found.items()}
