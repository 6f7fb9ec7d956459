"""The equations as pure functions of tensors: slow, obvious, differentiable. The truth.

Each function takes weights with optional leading *lane* dimensions, written ``*S``: with none it
runs one model, with one it runs a pack of ``S`` models that never mix. Input and output are
batch first: ``(*S, B, L, features)``.
"""

from torchliquid.functional.cfc import cfc
from torchliquid.functional.ctrnn import ctrnn
from torchliquid.functional.decay_gru import decay_gru
from torchliquid.functional.gru import gru
from torchliquid.functional.gru_d import gru_d
from torchliquid.functional.lrcu import lrcu
from torchliquid.functional.lstm import lstm
from torchliquid.functional.ltc import (
    SOLVERS,
    ltc,
    ltc_step,
    ltc_time_constants,
    time_constant,
)
from torchliquid.functional.ode_lstm import ode_lstm
from torchliquid.functional.resonator import resonator
from torchliquid.functional.synaptic import synaptic

__all__ = [
    "SOLVERS",
    "cfc",
    "ctrnn",
    "decay_gru",
    "gru",
    "gru_d",
    "lrcu",
    "lstm",
    "ltc",
    "ltc_step",
    "ltc_time_constants",
    "ode_lstm",
    "resonator",
    "synaptic",
    "time_constant",
]
