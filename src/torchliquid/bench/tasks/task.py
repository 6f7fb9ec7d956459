"""A task: data, split and protocol. All that a model may see, and what it is judged on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
StepIndex = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """A series to predict, lane by lane.

    T steps: first those for training, then those for validation (if any), then those for testing,
    each in time order. A model sees ``inputs`` up to step t and predicts ``targets`` at t. Inputs
    and targets are scaled; ``targets * scale + offset`` is in the unit of the target.

    Of several series, each part holds one series after the other; ``series_id`` numbers them. A
    state, a window or a lag never runs from one series into another.

    Args:
        name: what the report calls it.
        spec: all that defines the task, JSON types; two tasks are the same if their specs are.
        inputs: ``(S, T, I)``, or ``(1, T, I)`` where all lanes see the same series. The first
            feature is the target's own current value. No NaN.
        targets: ``(S or 1, T)``; NaN where the target is missing: it counts in no loss or error.
        clean: targets without their noise, where the generator knows them.
        dt: time before each step as liquid layers get it: a float, or ``(T,)`` where the spacing is
            irregular, or ``(S, T)`` where each lane has its own; the other models then get its
            logarithm as one more feature, 0 at the median of the training part.
        ahead: time from a step to its target, in the unit of dt; None: the horizon, in median gaps.
        dt_scale: what models that take dt get is dt times this, or times each lane's own ``(S,)``.
        train: number of steps for training.
        valid: number of steps for validation; the epoch is chosen there. 0: the last epoch counts.
        window: training sequences are at most this long, each from a zero state; None: one
            sequence.
        last_only: windows slide step by step, in training and testing, and only the prediction
            after a window's last step counts: the model never remembers more than a window.
        change: where set, models predict the change from the target's current value, in units of
            this: ``prediction = inputs[..., 0] + change * output``. None: they predict the value.
        offset: see above.
        scale: see above.
        unit: name of the target.
        columns: name, offset and scale of each input, where they are known.
        notes: rules that were applied, to be said in the output.
        times: ``(T,)``, when each target is, for axes; None where there is only an order.
        observed: which inputs were observed ``(S, T)``, where a sample that was not is held
            from the last one; None: all. Networks do not get it.
        dated: whether ``times`` are moments in UTC, in seconds since 1970.
        series_id: ``(T,)``, which series each step is of; None: there is one.
        series_names: names of the series.
        recipe: what made the inputs of a table's rows (`torchliquid.tables.Recipe`), JSON types.
        reading: how the table was read: arguments of `torchliquid.tables.read_table` and
            `CsvDialect`, and the words of each text, JSON types.
        faster: gives the same draws with the signal running so many times as fast from the start of
            the test stretch on. None: they cannot be drawn.
    """

    name: str
    spec: dict[str, Any]
    inputs: Array
    targets: Array
    clean: Array | None
    dt: float | Array
    train: int
    valid: int = 0
    dt_scale: float | NDArray[np.float64] = 1.0
    ahead: float | None = None
    window: int | None = None
    last_only: bool = False
    change: float | None = None
    offset: float = 0.0
    scale: float = 1.0
    unit: str = "signal"
    columns: tuple[tuple[str, float, float], ...] = ()
    notes: tuple[str, ...] = field(default=())
    times: NDArray[np.float64] | None = None
    observed: NDArray[np.bool_] | None = None
    dated: bool = False
    series_id: StepIndex | None = None
    series_names: tuple[str, ...] = ()
    recipe: dict[str, Any] | None = None
    reading: dict[str, Any] | None = None
    faster: "Callable[[float], Task] | None" = None

    def timelines(self) -> list[StepIndex]:
        """The steps of each series, in time order."""
        if self.series_id is None:
            return [np.arange(self.steps)]
        order = np.argsort(self.series_id, kind="stable")
        ends = np.cumsum(np.bincount(self.series_id, minlength=len(self.series_names)))
        return np.split(order, ends[:-1])

    def part(self, steps: slice | StepIndex) -> "Task":
        """Return the same at some steps alone; which of them are for training stays to be set."""

        def some(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[..., steps]

        return replace(
            self,
            inputs=self.inputs[:, steps],
            targets=some(self.targets),
            clean=some(self.clean),
            observed=some(self.observed),
            dt=self.dt if isinstance(self.dt, float) else some(self.dt),
            times=some(self.times),
            series_id=some(self.series_id),
        )

    def gaps(self, lane: int = 0) -> NDArray[np.float64]:
        """Return the time before each step of a lane ``(T,)``, in the unit of `dt`."""
        dt = np.asarray(self.dt, dtype=np.float64)
        if dt.ndim == 2:
            dt = dt[lane]
        return np.broadcast_to(dt, (self.steps,))

    def horizon(self, lane: int = 0) -> float:
        """Return how far a lane's targets are ahead, in the unit of dt."""
        if self.ahead is not None:
            return self.ahead
        return float(np.median(self.gaps(lane)[: self.train]) * self.spec.get("horizon", 1))

    def scale_of(self, lane: int) -> float:
        """Return what a lane's dt is multiplied by."""
        return float(self.dt_scale[lane] if np.ndim(self.dt_scale) else self.dt_scale)  # type: ignore[index]

    def clock(self, lane: int = 0) -> NDArray[np.float64]:
        """Return when each step of a lane is ``(T,)``, from the start of its series."""
        dt = self.gaps(lane)
        clock = np.empty(self.steps)
        for line in self.timelines():
            clock[line] = np.cumsum(dt[line])
        return clock

    @property
    def layer_dt(self) -> float | None:
        """What one step of all lanes counts as to a layer; None where steps or lanes differ."""
        if isinstance(self.dt, float) and isinstance(self.dt_scale, float):
            return self.dt * self.dt_scale
        return None

    @property
    def steps(self) -> int:
        """T, the number of steps."""
        return int(self.targets.shape[1])

    @property
    def test(self) -> int:
        """Number of steps for testing, the last ones."""
        return self.steps - self.train - self.valid

    @property
    def is_articles(self) -> bool:
        """Whether it is the article's task, whose claims can be judged on it."""
        return self.spec.get("task") == "article"

    def timed_inputs(self) -> Array:
        """Inputs for models without a notion of time: dt appended where it is irregular."""
        if not isinstance(self.dt, np.ndarray):
            return self.inputs
        # the logarithm: one gap of a thousand medians would drown a network in its raw value
        dt = np.atleast_2d(self.dt)
        middle = np.median(dt[:, : self.train], axis=1, keepdims=True)
        gaps = np.log(dt / middle).astype(np.float32)
        feature = np.broadcast_to(gaps[..., None], (*self.inputs.shape[:2], 1))
        return np.concatenate([self.inputs, feature], axis=2)
