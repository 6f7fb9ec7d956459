"""The cells that models are made of, one entry each: saving, benchmarks and reports read it here.

A new cell is an entry here, a layer, its equation in `torchliquid.functional`, and the contract
class in the tests.
"""

from typing import NamedTuple

from torch import nn

from torchliquid.nn.ltc import LTC
from torchliquid.nn.model import Recurrent

Options = dict[str, type]

_TORCH: Options = {
    "input_size": int,
    "hidden_size": int,
    "num_layers": int,
    "bias": bool,
    "batch_first": bool,
    "dropout": float,
    "bidirectional": bool,
}
_LTC: Options = {
    "input_size": int,
    "hidden_size": int,
    "solver": str,
    "unfolds": int,
    "bias": bool,
    "batch_first": bool,
    "dt": float,
}


class Cell(NamedTuple):
    """A kind of recurrent layer.

    Args:
        layer: its class.
        is_liquid: whether it takes dt, has solvers and time constants.
        options: arguments of its constructor that a saved model keeps, with their JSON types.
    """

    layer: type[Recurrent]
    is_liquid: bool
    options: Options


CELLS: dict[str, Cell] = {
    "LTC": Cell(LTC, True, _LTC),
    "LSTM": Cell(nn.LSTM, False, _TORCH | {"proj_size": int}),
    "GRU": Cell(nn.GRU, False, _TORCH),
}
"""By the name that configurations, benchmarks and reports call it."""
