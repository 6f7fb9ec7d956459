"""Liquid neural networks for PyTorch.

Recurrent layers defined by differential equations whose time constant follows the input, used like
`torch.nn.LSTM`. Start with `LTC` and `SequenceModel`; see what the time constants do with
`time_constants` and `plot_time_constants`; train many seeds at once with `Pack`; keep a model with
`save` and `load`, and ship it as C with `export`. `Forecaster` goes from a table to a forecast.
From the package ncps come `NCP` and `CfC`, and with `from_ncps` what was trained there. The
equations as pure functions are in `torchliquid.functional`.
"""

import importlib
import typing

from torchliquid import functional
from torchliquid.errors import TorchliquidError
from torchliquid.insight import plot_time_constants, time_constants, watch
from torchliquid.nn import (
    GRUD,
    LRCU,
    LTC,
    NCP,
    ODELSTM,
    CfC,
    LiquidLayer,
    MixedMemory,
    Pack,
    Resonator,
    SequenceModel,
    WiredCfC,
    citations,
    dt_from_timestamps,
    fill_missing,
    from_ncps,
    load,
    save,
)
from torchliquid.training import History, fit

if typing.TYPE_CHECKING:
    from torchliquid import export, play, wirings
    from torchliquid.bench.comparing import compare
    from torchliquid.forecast import Forecaster, load_forecaster

__version__ = "0.2.0"

__all__ = [
    "GRUD",
    "LRCU",
    "LTC",
    "NCP",
    "ODELSTM",
    "CfC",
    "Forecaster",
    "History",
    "LiquidLayer",
    "MixedMemory",
    "Pack",
    "Resonator",
    "SequenceModel",
    "TorchliquidError",
    "WiredCfC",
    "citations",
    "compare",
    "dt_from_timestamps",
    "export",
    "fill_missing",
    "fit",
    "from_ncps",
    "functional",
    "load",
    "load_forecaster",
    "play",
    "plot_time_constants",
    "save",
    "time_constants",
    "watch",
    "wirings",
]


def __getattr__(name: str) -> typing.Any:
    # imported where it is used: most who train never export
    if name in ("export", "play", "wirings"):
        return importlib.import_module(f"torchliquid.{name}")
    if name in ("Forecaster", "load_forecaster"):
        return getattr(importlib.import_module("torchliquid.forecast"), name)
    if name == "compare":
        try:
            return importlib.import_module("torchliquid.bench.comparing").compare
        except ModuleNotFoundError as error:
            install_command = importlib.import_module("torchliquid.install").install_command
            raise TorchliquidError(
                f"compare needs {error.name}: {install_command('bench')}"
            ) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
