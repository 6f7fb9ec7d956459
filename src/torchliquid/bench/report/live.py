"""The trained networks of a benchmark, to run in a page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from torchliquid import load
from torchliquid.bench.models.classical import ridge_of
from torchliquid.bench.run.store import Store
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import TorchliquidError
from torchliquid.nn import Column, LiquidLayer, Scaling
from torchliquid.play import Panel, Regression, Signal, make_panel

RIDGE = "ridge-AR"
ROWS = 700
"""The last so many rows of a benchmark's series run through the page."""


def panel_of(store: Store) -> Panel | None:
    """Return the report's panel; None where no trained network is there, or has JavaScript."""
    try:
        models, signal = live(store)
        return make_panel(models, signal)
    except TorchliquidError:
        return None


def live(
    store: Store, names: Sequence[str] = (), lane: int | None = None
) -> tuple[dict[str, Any], Signal]:
    """Return trained networks by name, and their signal.

    Args:
        store: of the benchmark.
        names: of the networks; none: the first liquid one, the largest other one, and ridge-AR
            where the benchmark has it.
        lane: None: each network's lane whose test error is the median.

    Raises:
        TorchliquidError: a model that is not there, or is no network.
    """
    task, facts = store.load_task(), {}
    for name in store.models():
        run = store.load(name)
        if store.has_models(run) and store.model_folder(name).exists():
            facts[name] = run.facts
    for name in names:
        if name not in facts and not (name == RIDGE and RIDGE in store.models()):
            raise TorchliquidError(
                f"{store.folder} holds no trained network {name!r}: give "
                f"{', '.join(facts) or 'another folder'}"
            )
    if not names:
        liquid = [name for name in facts if facts[name]["kind"] == "liquid"]
        others = sorted(set(facts) - set(liquid), key=lambda name: facts[name]["parameters"])
        names = [*liquid[:1], *others[-1:]]
        if names and RIDGE in store.models() and task.observed is None:
            names.append(RIDGE)
    if not names:
        raise TorchliquidError(f"{store.folder} holds no trained network: give another folder")
    shown = int(facts.get(names[0], {"demo_lane": 0})["demo_lane"]) if lane is None else lane
    models: dict[str, Any] = {}
    for name in names:
        if name == RIDGE:
            ridge = ridge_of(task, shown)
            weights = np.asarray(ridge.weights[-1])
            rows = weights[:-1].reshape(ridge.order, -1)
            models[name] = Regression(rows, float(weights[-1]), _scaling(task))
            continue
        own = int(facts[name]["demo_lane"]) if lane is None else lane
        model = load(store.model_folder(name) / f"lane-{own:03}")
        layer = getattr(model, "layer", None)
        if task.layer_dt is None and isinstance(layer, LiquidLayer):
            # times of their own, whose scale the run may have tuned
            tuned = store.load(name).arrays.get("dt_scale")
            scale = 1.0 if tuned is None else float(tuned[own])
            layer.dt = float(np.median(task.gaps(own))) * scale
        models[name] = model
    return models, signal_of(task, shown)


def signal_of(task: Task, lane: int) -> Signal:
    """Return the end of a task's series, without its noise where that is known."""
    line = max(task.timelines(), key=len)[-ROWS:]
    own = task.inputs[min(lane, len(task.inputs) - 1)][line].astype(np.float64)
    if task.clean is not None:
        # targets are ahead by the horizon: what is seen now was the target then
        ahead = int(task.spec.get("horizon", 1))
        clean = task.clean[min(lane, len(task.clean) - 1)][line].astype(np.float64)
        own = own[ahead:]
        own[:, 0] = clean[:-ahead]
    inputs = _scaling(task).inputs
    offset, scale = np.array([(column.offset, column.scale) for column in inputs]).T
    names = tuple(column.name for column in inputs)
    return Signal(names, offset + scale * own, int(task.spec.get("horizon", 1)))


def _scaling(task: Task) -> Scaling:
    """What the columns of a task's inputs mean, as its networks have it."""
    target = Column(task.unit, task.offset, task.scale)
    known = [Column(*column) for column in task.columns] or [target]
    more = [Column(f"input {k}") for k in range(len(known), task.inputs.shape[2])]
    return Scaling((*known, *more), (target,), task.change)
