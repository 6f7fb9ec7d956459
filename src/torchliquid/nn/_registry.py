"""The registry of cells: saving, packs, exports, benchmarks and reports read it.

A cell registers itself where its layer is defined. A new one is four files: its equation in
`torchliquid.functional`, its layer with the call of `register`, its export in
`torchliquid.export.cells`, and a test that inherits the contract class.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from torchliquid.errors import TorchliquidError

Options = dict[str, Any]

TORCH_OPTIONS: Options = {
    "input_size": int,
    "hidden_size": int,
    "num_layers": int,
    "bias": bool,
    "batch_first": bool,
    "dropout": float,
    "bidirectional": bool,
}
"""Arguments that every recurrent layer takes."""
LIQUID_OPTIONS: Options = TORCH_OPTIONS | {"proj_size": int, "dt": float}
"""Arguments that every `torchliquid.LiquidLayer` takes."""


@dataclass(frozen=True)
class Variant:
    """One of several forms of a cell in benchmarks.

    Args:
        options: of the constructor.
        about: half a line for the reader of a table.
        frozen: weights that are not trained.
    """

    options: Options
    about: str
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellType:
    """A kind of recurrent layer.

    Args:
        name: what configurations, benchmarks and reports call it.
        layer: its class.
        is_liquid: whether its time constants depend on the input, whatever its options.
        takes_dt: whether it takes a time for each sample.
        options: arguments of its constructor that a saved model keeps, and a function that makes
            each from its JSON value; for plain JSON types, the type. A class other than those has
            ``to_json``, and its function is its ``from_json``.
        about: half a line for the reader of a table.
        variants: by the name that stands for them behind a benchmark's model, as in
            ``LTC-8-euler``; ``""`` is the plain one.
        log_frequencies: weights that are logarithms of frequencies.
        sized: whether numbers of inputs and neurons build it, as benchmarks' names of models give.
        papers: behind it, by their keys in `torchliquid.nn.citations`.
    """

    name: str
    layer: type[Any]
    is_liquid: bool
    takes_dt: bool
    options: Options
    about: str
    variants: Mapping[str, Variant] = field(default_factory=lambda: {"": Variant({}, "")})
    log_frequencies: tuple[str, ...] = ()
    sized: bool = True
    papers: tuple[str, ...] = ()


CELLS: dict[str, CellType] = {}
"""The registered cells, by name."""


def register(cell: CellType) -> None:
    """Add a cell to `CELLS`.

    Raises:
        TorchliquidError: another layer has its name.
    """
    if cell.name in CELLS and CELLS[cell.name].layer is not cell.layer:
        raise TorchliquidError(f"a cell named {cell.name!r} is registered already: rename yours")
    CELLS[cell.name] = cell


register(
    CellType(
        name="LSTM",
        papers=("hochreiter1997long",),
        layer=nn.LSTM,
        is_liquid=False,
        takes_dt=False,
        options=TORCH_OPTIONS | {"proj_size": int},
        about="torch's nn.LSTM",
    )
)
register(
    CellType(
        name="GRU",
        papers=("cho2014learning",),
        layer=nn.GRU,
        is_liquid=False,
        takes_dt=False,
        options=TORCH_OPTIONS,
        about="torch's nn.GRU",
    )
)
