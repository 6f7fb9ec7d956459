"""What figures are drawn from, and what they are: `Material` in, `Picture` or `Omitted` out."""

import dataclasses
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from torchliquid.bench.judging.schema import Summary
from torchliquid.bench.run.store import Run, Store
from torchliquid.bench.tasks.task import Task
from torchliquid.messages import plural

Floats = NDArray[np.float64]
STATES = {"carry": "State carried over", "reset": "State reset"}
"""How a model enters the test stretch: the end of a measure's name, and words for it."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Args:
        name: its file name, without suffix.
        title: its heading.
        caption: what is shown, in which units, over how many lanes.
        alt: the same for a reader who cannot see it.
        draw: draws it; its argument says whether wide or narrow.
    """

    name: str
    title: str
    caption: str
    alt: str
    draw: Callable[[bool], Figure]


@dataclasses.dataclass(frozen=True)
class Omitted:
    """A figure that these results do not allow, and why."""

    title: str
    why: str


@dataclasses.dataclass(frozen=True)
class Material:
    """The runs of a store in the summary's order, with the task and the summary itself."""

    summary: Summary
    task: Task
    runs: dict[str, Run]

    @classmethod
    def of(cls, store: Store, summary: Summary) -> "Material":
        """Read what the summary speaks of."""
        runs = {model: store.load(model) for model in summary["models"]}
        return cls(summary, store.load_task(), runs)

    def of_one_series(self) -> "tuple[Material, str]":
        """The same of one series alone, that with the longest test stretch, and its name.

        Of a task of one series, all of it and no name. Holds task and predictions, to be drawn.
        """
        task = self.task
        if task.series_id is None:
            return self, ""
        test = task.steps - task.test
        lines = task.timelines()
        chosen = max(range(len(lines)), key=lambda k: int((lines[k] >= test).sum()))
        line = lines[chosen]
        one = dataclasses.replace(
            task.part(line),
            train=int((line < task.train).sum()),
            valid=int(((line >= task.train) & (line < test)).sum()),
            series_id=None,
            series_names=(),
        )
        slices = {"prediction_carry": line, "prediction_reset": line[line >= test] - test}
        runs = {
            name: dataclasses.replace(
                run,
                arrays=run.arrays | {key: run.arrays[key][:, at] for key, at in slices.items()},
            )
            for name, run in self.runs.items()
        }
        return Material(self.summary, one, runs), task.series_names[chosen]

    @property
    def in_units(self) -> bool:
        """Whether errors are shown as RMSE in the target's unit, as for a user's own table."""
        return not self.summary["task"]["has_clean"]

    @property
    def unit(self) -> str:
        """The unit's name, cut where it is too long for an axis."""
        name = str(self.summary["task"]["unit"])
        return name if len(name) <= 18 else f"{name[:17]}\N{HORIZONTAL ELLIPSIS}"

    @property
    def error_name(self) -> str:
        """Name and unit of what `error` returns."""
        return f"RMSE ({self.unit})" if self.in_units else f"MSE ({self.unit}\N{SUPERSCRIPT TWO})"

    def error(self, mse: ArrayLike) -> Floats:
        """Mean squared errors of the scaled target, as the report shows them."""
        scaled = np.asarray(mse, dtype=float) * self.task.scale**2
        return np.sqrt(scaled) if self.in_units else scaled

    def unscaled(self, values: ArrayLike) -> Floats:
        """Scaled targets, inputs or predictions in the target's unit."""
        return np.asarray(values, dtype=float) * self.task.scale + self.task.offset

    @property
    def when(self) -> Floats:
        """Where each step stands on an axis: its number, its time, or its day since 1970."""
        times = self.task.times
        if times is None:
            return np.arange(self.task.steps, dtype=float)
        return times / 86_400 if self.task.dated else times

    @property
    def when_name(self) -> str:
        """Label of an axis of `when`; dates need none."""
        if self.task.times is None:
            return "step"
        return "" if self.task.dated else str(self.task.spec.get("time") or "time")

    def kind(self, kind: str) -> list[str]:
        """Models of a kind: "liquid", "recurrent" or "classical"."""
        return [name for name, facts in self.summary["models"].items() if facts["kind"] == kind]

    @property
    def rivals(self) -> list[str]:
        """The liquid model and the recurrent one that the article is about, where present."""
        return rivals(self.summary)

    def lanes(self, model: str) -> str:
        """How many lanes a model has, and how many of them diverged."""
        facts = self.summary["models"][model]
        gone = facts["diverged"]
        return plural(facts["lanes"], "lane") + (f", {gone} of them diverged" if gone else "")

    @property
    def all_lanes(self) -> str:
        """The lanes of the whole benchmark, with those that diverged."""
        models = self.summary["models"].items()
        gone = [f"{name} {facts['diverged']}" for name, facts in models if facts["diverged"]]
        note = f" (diverged: {', '.join(gone)})" if gone else ""
        return plural(self.summary["task"]["lanes"], "lane") + note


def rivals(summary: Summary) -> list[str]:
    """LTC-8 and LSTM-16, or whichever liquid and recurrent model come first."""
    chosen: list[str] = []
    for kind, preferred in (("liquid", "LTC-8"), ("recurrent", "LSTM-16")):
        names = [name for name, facts in summary["models"].items() if facts["kind"] == kind]
        chosen += [preferred] if preferred in names else names[:1]
    return chosen
