"""An echo state network: a ring of units that is not trained, and a linear readout that is.

    s' = (1 - a) s + a tanh(r s_before + v (u_0 w_0 + u_1 w_1 + ...))

where s_before is the state of each unit's neighbour and w are signs. Ring weight r, input weight v
and leak a are the only settings. Source: Rodan and Tino, "Minimum complexity echo state network",
2011, which finds such rings as good as random reservoirs.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.models.fitted import (
    Forecast,
    Method,
    lanes_of,
    lines_of_test,
    parts_to_fit,
)
from torchliquid.bench.tasks.task import Array, StepIndex, Task

UNITS = 100
RINGS, INPUTS, LEAKS = (0.5, 0.8, 0.95, 1.0), (0.1, 0.5, 1.0), (0.3, 1.0)
PENALTIES = (1e-9, 1e-7, 1e-5, 1e-3, 1e-1)
"""Ridge penalties of the readout, in units of the number of training rows."""
BLOCK = 2**22
"""Numbers of state that are in memory at a time."""

_Values = NDArray[np.float64]


class _Settings(NamedTuple):
    """Of C reservoirs, ``(C, 1, 1)`` each."""

    ring: _Values
    input: _Values
    leak: _Values

    @classmethod
    def all(cls) -> "_Settings":
        """Every combination of the grid."""
        grid = np.array(list(itertools.product(RINGS, INPUTS, LEAKS)))
        return cls(*grid.T[:, :, None, None])

    def of(self, index: int) -> "_Settings":
        """The combination at this index."""
        return _Settings(*(values[index : index + 1] for values in self))


def fit_reservoir(task: Task) -> Method:
    """Settings, penalty and readout from the training part, for each lane with data of its own."""
    fit, end = parts_to_fit(task)
    tried = _Settings.all()
    fitted: list[tuple[_Settings, _Values]] = []
    for x, y in lanes_of(task):
        early, late = _Moments.zeros(len(tried.ring), x), _Moments.zeros(len(tried.ring), x)
        for line in task.timelines():
            for steps, rows in _rows(x, line[line < end], tried):
                for moments, chosen in ((early, steps < fit), (late, steps >= fit)):
                    there = chosen & ~np.isnan(y[steps])
                    moments.add(rows[:, there], y[steps[there]])
        weights = np.stack([early.fit(penalty) for penalty in PENALTIES], axis=1)
        errors = late.errors(weights)
        index, penalty = np.unravel_index(np.argmin(errors), errors.shape)
        whole = early if task.valid else early.plus(late)
        readout = whole.of(int(index)).fit(PENALTIES[int(penalty)])[0]
        fitted.append((tried.of(int(index)), readout))

    def forecast(task: Task) -> Forecast:
        test = task.steps - task.test
        carried: list[Array] = []
        reset: list[Array] = []
        for lane, (x, _) in enumerate(lanes_of(task)):
            settings, readout = fitted[min(lane, len(fitted) - 1)]
            base = 0.0 if task.change is None else x[:, 0]
            for lines, predictions in ((task.timelines(), carried), (lines_of_test(task), reset)):
                prediction = np.zeros(task.steps)
                for line in lines:
                    for steps, rows in _rows(x, line, settings):
                        prediction[steps] = rows[0] @ readout
                predictions.append((base + prediction).astype(np.float32))
        note = (
            f"{len(fitted[0][1]):,} parameters are fitted; the ring has 3 more, and its inputs "
            "fixed random signs"
        )
        parameters = len(fitted[0][1]) + 3
        return Forecast(np.stack(carried), np.stack(reset)[:, test:], parameters, (note,))

    return forecast


def _rows(x: _Values, line: StepIndex, settings: _Settings) -> Iterator[tuple[StepIndex, _Values]]:
    """Blocks of a series' steps, with ``[state, input, 1]`` after each ``(C, n, K)``."""
    ring, weight, leak = (values[:, 0] for values in settings)
    signs = np.where(np.random.default_rng(0).random((x.shape[1], UNITS)) < 0.5, -1.0, 1.0)
    state = np.zeros((len(ring), UNITS))
    size = max(1, BLOCK // (len(ring) * (UNITS + x.shape[1] + 1)))
    for start in range(0, len(line), size):
        steps = line[start : start + size]
        rows = np.ones((len(ring), len(steps), UNITS + x.shape[1] + 1))
        rows[:, :, UNITS:-1] = x[steps]
        for k, drive in enumerate(x[steps] @ signs):
            new = np.tanh(ring * np.roll(state, 1, axis=1) + weight * drive)
            state = rows[:, k, :UNITS] = (1 - leak) * state + leak * new
        yield steps, rows


class _Moments:
    """Products among the regressors of C reservoirs and with the target, summed over rows."""

    def __init__(self, among: _Values, with_target: _Values, square: float, rows: int) -> None:
        self.among, self.with_target, self.square, self.rows = among, with_target, square, rows

    @classmethod
    def zeros(cls, count: int, x: _Values) -> "_Moments":
        size = UNITS + x.shape[1] + 1
        return cls(np.zeros((count, size, size)), np.zeros((count, size)), 0.0, 0)

    def add(self, rows: _Values, y: _Values) -> None:
        self.among += rows.mT @ rows
        self.with_target += rows.mT @ y
        self.square += float(y @ y)
        self.rows += len(y)

    def plus(self, other: "_Moments") -> "_Moments":
        return _Moments(
            self.among + other.among,
            self.with_target + other.with_target,
            self.square + other.square,
            self.rows + other.rows,
        )

    def of(self, index: int) -> "_Moments":
        part = slice(index, index + 1)
        return _Moments(self.among[part], self.with_target[part], self.square, self.rows)

    def fit(self, penalty: float) -> _Values:
        """Weights ``(C, K)``; the intercept is not shrunk."""
        shrink = penalty * max(self.rows, 1) * np.eye(self.among.shape[1])
        shrink[-1, -1] = 1e-12
        return np.asarray(np.linalg.solve(self.among + shrink, self.with_target[..., None])[..., 0])

    def errors(self, weights: _Values) -> _Values:
        """Sums of squared errors of weights ``(C, P, K)``."""
        quadratic = np.einsum("cpi,cij,cpj->cp", weights, self.among, weights)
        return np.asarray(
            quadratic - 2 * np.einsum("cpi,ci->cp", weights, self.with_target) + self.square
        )
