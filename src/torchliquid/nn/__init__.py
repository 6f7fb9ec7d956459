"""Layers, models and packs: parameters, initialisation and the interface of `torch.nn.LSTM`.

Modules without an underscore hold what users call. Each cell has one, which registers it.
"""

import importlib
import pkgutil

from torchliquid.nn._registry import CELLS, CellType, register
from torchliquid.nn.cfc import CfC
from torchliquid.nn.citations import citations
from torchliquid.nn.ctrnn import CTRNN
from torchliquid.nn.decay_gru import DecayGRU
from torchliquid.nn.gru_d import GRUD
from torchliquid.nn.io.saving import load, save
from torchliquid.nn.io.scaling import Column, Scaling
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.lrcu import LRCU
from torchliquid.nn.ltc import LTC
from torchliquid.nn.missing import fill_missing
from torchliquid.nn.mixed_memory import MixedMemory
from torchliquid.nn.model import SequenceModel
from torchliquid.nn.ncp import NCP
from torchliquid.nn.ncps import from_ncps
from torchliquid.nn.ode_lstm import ODELSTM
from torchliquid.nn.packs.pack import Pack
from torchliquid.nn.resonator import Resonator
from torchliquid.nn.timestamps import dt_from_timestamps
from torchliquid.nn.wired_cfc import WiredCfC

__all__ = [
    "CELLS",
    "CTRNN",
    "GRUD",
    "LRCU",
    "LTC",
    "NCP",
    "ODELSTM",
    "CellType",
    "CfC",
    "Column",
    "DecayGRU",
    "LiquidLayer",
    "MixedMemory",
    "Pack",
    "Resonator",
    "Scaling",
    "SequenceModel",
    "WiredCfC",
    "citations",
    "dt_from_timestamps",
    "fill_missing",
    "from_ncps",
    "load",
    "register",
    "save",
]

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    importlib.import_module(_module.name)  # every cell registers itself, also a new one
