"""The cells that models are made of, one entry each: saving, benchmarks and reports read it here.

A new cell is an entry here, a layer, its equation in `torchliquid.functional`, and the contract
class in the tests.
"""

from typing import NamedTuple

from torch import nn

from torchliquid.nn.ltc import LTC
from torchliquid.nn.model import Recurrent
from torchliquid.nn.rivals import CTRNN, DecayGRU

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
_LIQUID: Options = _TORCH | {"proj_size": int, "dt": float}
_LTC: Options = _LIQUID | {"solver": str, "unfolds": int}


class Cell(NamedTuple):
    """A kind of recurrent layer.

    Args:
        layer: its class.
        is_liquid: whether its time constants follow the input; it has solvers then, and takes dt.
        takes_dt: whether it takes a time for each sample.
        options: arguments of its constructor that a saved model keeps, with their JSON types.
    """

    layer: type[Recurrent]
    is_liquid: bool
    takes_dt: bool
    options: Options


CELLS: dict[str, Cell] = {
    "LTC": Cell(LTC, True, True, _LTC),
    "LSTM": Cell(nn.LSTM, False, False, _TORCH | {"proj_size": int}),
    "GRU": Cell(nn.GRU, False, False, _TORCH),
    "CTRNN": Cell(CTRNN, False, True, _LIQUID),
    "DecayGRU": Cell(DecayGRU, False, True, _LIQUID),
}
"""By the name that configurations, benchmarks and reports call it."""
