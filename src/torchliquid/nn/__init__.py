"""Layers, models and packs: parameters, initialisation and the interface of `torch.nn.LSTM`."""

from torchliquid.nn.cells import CELLS
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.ltc import LTC
from torchliquid.nn.model import SequenceModel
from torchliquid.nn.pack import Pack
from torchliquid.nn.rivals import CTRNN, DecayGRU
from torchliquid.nn.saving import load, save

__all__ = [
    "CELLS",
    "CTRNN",
    "LTC",
    "DecayGRU",
    "LiquidLayer",
    "Pack",
    "SequenceModel",
    "load",
    "save",
]
