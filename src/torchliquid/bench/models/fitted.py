"""What a model without training by epochs says, and how it is asked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.tasks.task import Array, StepIndex, Task

Values = NDArray[np.float64]


class Forecast(NamedTuple):
    """What a model without training says: predictions ``(S or 1, T)`` with the past at hand.

    ``reset`` ``(S or 1, N)`` are those of the test stretch without anything before it.
    """

    carry: Array
    reset: Array
    parameters: int = 0
    notes: tuple[str, ...] = ()


Method = Callable[[Task], Forecast]
"""A model that is fitted to a task: it forecasts that task, or one whose test part is another."""


def lanes_of(task: Task) -> list[tuple[Values, Values]]:
    """Return the inputs ``(T, I)`` and targets ``(T,)`` of each lane with its own data."""
    inputs, targets = (a.astype(np.float64) for a in (task.timed_inputs(), task.targets))
    lanes = []
    for lane in range(max(len(inputs), len(targets))):
        x, y = inputs[min(lane, len(inputs) - 1)], targets[min(lane, len(targets) - 1)]
        lanes.append((x, y if task.change is None else y - x[:, 0]))
    return lanes


def lines_of_test(task: Task) -> list[StepIndex]:
    """The test steps of each series."""
    return [line[line >= task.steps - task.test] for line in task.timelines()]


def parts_to_fit(task: Task) -> tuple[int, int]:
    """Up to which step a method is fitted to choose its settings, and up to which it is judged.

    On the validation steps; a task without them gives the last fifth of its training steps.
    """
    fit = task.train if task.valid else task.train - task.train // 5
    return fit, task.train + task.valid
