"""The models a benchmark compares, by name.

Names are ``LTC-8`` (liquid, 8 neurons, semi-implicit step), ``LTC-8-euler`` (another solver),
``LSTM-16``, ``GRU-4``, ``CTRNN-8``, ``DecayGRU-4``, and those of
`torchliquid.bench.models.methods`; any number of neurons may stand there. ``-solved`` behind a
network's name: its readout is solved in every epoch (`torchliquid.fit`, ``readout="solve"``);
``-interpolated``: it is fed interpolated samples (`torchliquid.bench.run.interpolated`).
"""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torchliquid.bench.models.methods import METHODS, TAKES_DT
from torchliquid.bench.tasks.task import Task
from torchliquid.errors import TorchliquidError
from torchliquid.functional import SOLVERS
from torchliquid.nn import CELLS, Column, Scaling, SequenceModel

DEFAULT = ("LTC-8", "LTC-8-euler", "LSTM-16", "LSTM-4", "GRU-4", "ridge-AR", "persistence")
"""Models of a default run, in the order in which tables show them."""
DEFAULT_OF_TABLES = (*DEFAULT, "mean", "seasonal")
REFERENCES = ("persistence", "mean", "seasonal")
"""What skill is measured against: the best of them."""

_SIZES = r"-([1-9]\d{0,3})(?:-([a-z0-9_]+?))??(-solved)?(-interpolated)?"


def name_pattern() -> str:
    """Return a regular expression for the names of models in a text."""
    return rf"\b(?:(?:{'|'.join(CELLS)}){_SIZES}|{'|'.join(METHODS)})\b"


@dataclass(frozen=True)
class Model:
    """One entry of a comparison.

    Args:
        name: as the user types it.
        kind: ``"liquid"``, ``"recurrent"`` or ``"classical"``.
        description: one line for the reader of a table.
        cell: a name of `torchliquid.nn.CELLS`; empty for a classical model.
        hidden: H, neurons; 0 for a classical model.
        solver: of a liquid model.
        readout: ``"train"``, or ``"solve"``: see `torchliquid.fit`.
        input: ``"samples"``, or ``"interpolated"``: windows of samples interpolated onto an even
            grid.
    """

    name: str
    kind: str
    description: str
    cell: str = ""
    hidden: int = 0
    solver: str = ""
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
        if self.solver:
            options["solver"] = self.solver
        layer = CELLS[self.cell].layer(inputs.shape[2], self.hidden, **options)
        return SequenceModel(layer, 1)

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
    match = re.fullmatch(rf"({'|'.join(CELLS)}){_SIZES}", name)
    if match:
        cell, size, solver = match[1], int(match[2]), match[3]
        readout = "solve" if match[4] else "train"
        how = "readout solved in every epoch" if match[4] else "linear readout"
        fed = "interpolated" if match[5] else "samples"
        how += ", interpolated samples" if match[5] else ""
        if not CELLS[cell].is_liquid and not solver:
            text = f"{CELLS[cell].about}, {size} units, {how}"
            return Model(name, "recurrent", text, cell, size, "", readout, fed)
        if CELLS[cell].is_liquid and (solver is None or solver in SOLVERS[1:]):
            solver = solver or SOLVERS[0]
            step = {"semi_implicit": "the paper's semi-implicit", "euler": "the article's Euler"}
            text = f"liquid, {size} neurons, {step.get(solver, solver)} step, {how}"
            # the time constants of a network that is fed windows are not looked at
            kind = "recurrent" if match[5] else "liquid"
            return Model(name, kind, text, cell, size, solver, readout, fed)
    sizes = [f"{cell}-n" for cell in CELLS]
    near = difflib.get_close_matches(name, DEFAULT, n=1, cutoff=0.4) or DEFAULT[:1]
    raise TorchliquidError(
        f"model {name!r} is unknown (nearest: {near[0]}): give {', '.join(sizes)}, "
        f"{', '.join(METHODS)}; LTC-n also with a solver: -euler, -exponential or -rk4; "
        "networks also with -solved and -interpolated"
    )
