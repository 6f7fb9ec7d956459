"""The models a benchmark compares, by name.

Names are ``LTC-8`` (liquid, 8 neurons, semi-implicit step), ``LTC-8-euler`` (another solver),
``Resonator-12``, ``Resonator-12-open`` (with a gate), ``LSTM-16``, ``GRU-4``, ``CTRNN-8``,
``DecayGRU-4``, ``NCP-8`` (fully wired), ``CfC-8``, ``LRCU-8``, ``ODELSTM-8``, and those of
`torchliquid.bench.models.methods`; any number of neurons may stand there. ``-solved`` behind a
network's name: its readout is solved in every epoch (`torchliquid.fit`, ``readout="solve"``);
``-interpolated``: it is fed interpolated samples (`torchliquid.bench.run.interpolated`).
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from torchliquid.bench.models.methods import METHODS, TAKES_DT
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import TorchliquidError
from torchliquid.nn import CELLS, LTC, Column, Scaling, SequenceModel

DEFAULT = ("LTC-8", "LTC-8-euler", "LSTM-16", "LSTM-4", "GRU-4", "ridge-AR", "persistence")
"""Models of a default run, in the order in which tables show them."""
DEFAULT_OF_TABLES = (*DEFAULT, "mean", "seasonal")
START = 20.0
"""Steps in a time constant to start from, of cells with frequencies."""
REFERENCES = ("persistence", "mean", "seasonal")
"""What skill is measured against: the best of them."""

_SIZES = r"-([1-9]\d{0,3})(?:-([a-z0-9_]+?))??(-solved)?(-interpolated)?"


def _cells() -> list[str]:
    return [name for name, cell in CELLS.items() if cell.sized]


def name_pattern() -> str:
    """Return a regular expression for the names of models in a text."""
    return rf"\b(?:(?:{'|'.join(_cells())}){_SIZES}|{'|'.join(METHODS)})\b"


@dataclass(frozen=True)
class Model:
    """One entry of a comparison.

    Args:
        name: as the user types it.
        kind: ``"liquid"``, ``"recurrent"`` or ``"classical"``.
        description: one line for the reader of a table.
        cell: a name of `torchliquid.nn.CELLS`; empty for a classical model.
        hidden: H, neurons; 0 for a classical model.
        variant: of the cell, a key of `torchliquid.nn.CellType.variants`.
        readout: ``"train"``, or ``"solve"``: see `torchliquid.fit`.
        input: ``"samples"``, or ``"interpolated"``: windows of samples interpolated onto an even
            grid.
    """

    name: str
    kind: str
    description: str
    cell: str = ""
    hidden: int = 0
    variant: str = ""
    readout: str = "train"
    input: str = "samples"

    @property
    def takes_dt(self) -> bool:
        """Whether it gets the time between samples as such."""
        return CELLS[self.cell].takes_dt if self.cell else self.name in TAKES_DT

    def build(self, task: Task) -> SequenceModel:
        """The network for a task, its weights drawn from torch's generator."""
        inputs = task.inputs if self.takes_dt else task.timed_inputs()
        options: dict[str, Any] = {"batch_first": True}
        if self.takes_dt:
            options["dt"] = task.layer_dt or 1.0
        cell = CELLS[self.cell]
        variant = cell.variants[self.variant]
        options |= variant.options
        if cell.log_frequencies:
            options |= self._frequencies(task)
        layer = cell.layer(inputs.shape[2], self.hidden, **options)
        for name in variant.frozen:
            layer.get_parameter(name).requires_grad_(False)
        return SequenceModel(layer, 1)

    def _frequencies(self, task: Task) -> dict[str, float]:
        """Where frequencies and time constants start: as far as a training sequence can show."""
        length = min(task.window or task.train, task.train)
        gaps = [task.gaps(lane)[: task.train].mean() for lane in range(len(task.inputs))]
        step = float(np.mean(gaps))
        return {
            "slowest": 2 * np.pi / (length * step),
            "fastest": np.pi / step,
            "initial_tau": START * step,
        }

    def scaling(self, task: Task) -> Scaling:
        """What the network's inputs and outputs mean on a task."""
        target = Column(task.unit, task.offset, task.scale)
        known = [Column(*column) for column in task.columns] or [target]
        features = task.inputs.shape[2]
        inputs = [*known, *(Column(f"input {k}") for k in range(len(known), features))]
        sees_gaps = self.input == "samples" and not self.takes_dt
        if sees_gaps and task.timed_inputs().shape[2] > features:
            inputs.append(Column("log gap"))
        return Scaling(tuple(inputs), (target,), task.change)


def find(names: Sequence[str]) -> list[Model]:
    """The models of these names.

    Raises:
        TorchliquidError: a name is unknown or given twice.
    """
    if not names:
        raise TorchliquidError(f"no model was named: give some of {', '.join(DEFAULT)}")
    twice = {name for name in names if list(names).count(name) > 1}
    if twice:
        raise TorchliquidError(f"model {sorted(twice)[0]} is named twice: name it once")
    return [_find(name) for name in names]


def _find(name: str) -> Model:
    if name in METHODS:
        return Model(name, "classical", METHODS[name][0])
    match = re.fullmatch(rf"({'|'.join(_cells())}){_SIZES}", name)
    if match:
        cell, size, variant = CELLS[match[1]], int(match[2]), match[3] or ""
        readout = "solve" if match[4] else "train"
        how = "readout solved in every epoch" if match[4] else "linear readout"
        fed = "interpolated" if match[5] else "samples"
        how += ", interpolated samples" if match[5] else ""
        if variant in cell.variants:
            about = "liquid" if cell.is_liquid else cell.about
            units = f"{size} neurons" if cell.is_liquid else f"{size} units"
            text = ", ".join(filter(None, (about, units, cell.variants[variant].about, how)))
            # whose time constants are looked at: those of LTC, where it is not fed windows
            kind = "liquid" if cell.layer is LTC and not match[5] else "recurrent"
            return Model(name, kind, text, cell.name, size, variant, readout, fed)
    sizes = [f"{cell}-n" for cell in _cells()]
    near = difflib.get_close_matches(name, DEFAULT, n=1, cutoff=0.4) or DEFAULT[:1]
    raise TorchliquidError(
        f"model {name!r} is unknown (nearest: {near[0]}): give {', '.join(sizes)}, "
        f"{', '.join(METHODS)}; {_variants()}; networks also with -solved and -interpolated"
    )


def _variants() -> str:
    """What else may stand behind the names of networks, in words."""
    named = {cell.name: [f"-{v}" for v in cell.variants if v] for cell in CELLS.values()}
    return "; ".join(f"{cell}-n also {', '.join(more)}" for cell, more in named.items() if more)
