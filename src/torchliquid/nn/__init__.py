"""Layers, models and packs: parameters, initialisation and the interface of `torch.nn.LSTM`."""

from torchliquid.nn.cells import CELLS
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.ltc import LTC
from torchliquid.nn.missing import fill_missing
from torchliquid.nn.model import SequenceModel
from torchliquid.nn.pack import Pack
from torchliquid.nn.rivals import CTRNN, DecayGRU
from torchliquid.nn.saving import load, save
from torchliquid.nn.scaling import Column, Scaling
from torchliquid.nn.timestamps import dt_from_timestamps

__all__ = [
    "CELLS",
    "CTRNN",
    "LTC",
    "Column",
    "DecayGRU",
    "LiquidLayer",
    "Pack",
    "Scaling",
    "SequenceModel",
    "dt_from_timestamps",
    "fill_missing",
    "load",
    "save",
]
