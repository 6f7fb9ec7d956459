"""Test errors of a trained model, and its time constants, when the test stretch is shifted."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import Model
from torchliquid.bench.run.scoring import mse, per_lane
from torchliquid.bench.run.windows import along, inputs_for
from torchliquid.bench.tasks.shifts import applies, shifted
from torchliquid.bench.tasks.task import Array, Task
from torchliquid.errors import LongStepWarning
from torchliquid.nn import Pack

Rows = dict[str, NDArray[Any]]


def under_shifts(
    task: Task,
    model: Model,
    protocol: Protocol,
    rows: Mapping[str, NDArray[Any]],
    predict: Callable[[Task], Array],
    pack: Pack | None = None,
) -> Rows:
    """Rows of a model under each of the protocol's shifts that the task can have.

    Args:
        task: as the model was trained on it.
        model: its entry in the comparison.
        protocol: names shifts and severities.
        rows: of the model without a shift: a lane that diverged there did so here.
        predict: predictions ``(S or 1, T)`` of a task, the state carried over.
        pack: of a liquid model, whose time constants are looked at.

    Returns:
        For each shift ``shift_NAME (V, S)``, the test error at each severity; of a pack also
        ``shift_tau_NAME (V, S)``, tau_sys (its mean over test steps and neurons) over that without
        the shift, and ``shift_moved_NAME (V, S)``, how far tau_sys is off that of the same step
        without the shift, as a share of it, on average.
    """
    errors_of: Rows = {}
    plain = None if pack is None or not protocol.shifts else _time_constants(task, model, pack)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LongStepWarning)  # a longer step is the shift's doing
        for name in filter(lambda name: applies(name, task), protocol.shifts):
            errors, levels, moved = [], [], []
            for severity in protocol.severities:
                other, steps = shifted(
                    task,
                    name,
                    severity,
                    lanes=protocol.lanes,
                    seed=protocol.seed,
                    takes_dt=model.takes_dt,
                )
                test = other.steps - other.test
                carry = per_lane(predict(other), protocol.lanes)
                error = mse(carry[:, test:], other.targets[:, test:])
                errors.append(np.where(rows["diverged"], np.inf, error))
                if pack is not None and plain is not None:
                    now = _time_constants(other, model, pack)[:, test:]
                    then = plain[:, steps[test:]]
                    levels.append(now.mean(axis=(1, 2)) / then.mean(axis=(1, 2)))
                    moved.append(np.abs(now / then - 1).mean(axis=(1, 2)))
            errors_of[f"shift_{name}"] = np.stack(errors)
            if levels:
                errors_of[f"shift_tau_{name}"] = np.stack(levels)
                errors_of[f"shift_moved_{name}"] = np.stack(moved)
    return errors_of


@torch.no_grad()
def _time_constants(task: Task, model: Model, pack: Pack) -> NDArray[np.float32]:
    """``(S, T, H)``, the state carried over."""
    x, dt = inputs_for(task, model)
    tau_sys = along(lambda x, dt: pack.time_constants(x, dt=dt), x, dt, task.timelines())
    return np.asarray(tau_sys.numpy())
