"""Models to export, one of each kind."""

import json

import torch
from torch import nn

from torchliquid import LTC, Resonator, SequenceModel, wirings
from torchliquid.export.verify._host import Exported
from torchliquid.nn import CTRNN, NCP, CfC, DecayGRU

MODELS = {
    "ltc": lambda: SequenceModel(LTC(1, 8), 1),
    "ltc-6": lambda: SequenceModel(LTC(1, 8, unfolds=6), 1),
    "ltc-3": lambda: SequenceModel(LTC(2, 4, num_layers=3, dt=0.3), 2),
    "ltc-no-bias": lambda: SequenceModel(LTC(2, 3, bias=False, dt=0.01), 2),
    "one-neuron": lambda: SequenceModel(LTC(1, 1, bias=False), 1),
    "euler": lambda: SequenceModel(LTC(3, 5, solver="euler", dt=0.1), 2),
    "euler-4": lambda: SequenceModel(LTC(1, 5, solver="euler", unfolds=4, dt=0.5), 1),
    "euler-cut": lambda: SequenceModel(LTC(1, 6, solver="euler", dt=0.6), 1),
    "exponential": lambda: SequenceModel(LTC(2, 5, solver="exponential", dt=0.001), 1),
    "layer-alone": lambda: LTC(2, 5),
    "lstm": lambda: SequenceModel(nn.LSTM(1, 16), 1),
    "lstm-2": lambda: SequenceModel(nn.LSTM(2, 5, num_layers=2), 3),
    "gru": lambda: SequenceModel(nn.GRU(2, 7), 1),
    "gru-2-no-bias": lambda: SequenceModel(nn.GRU(2, 4, num_layers=2, bias=False), 1),
    "ctrnn": lambda: SequenceModel(CTRNN(2, 5, dt=0.3), 1),
    "resonator": lambda: SequenceModel(Resonator(1, 12, initial_tau=0.3, dt=0.125), 1),
    "resonator-3": lambda: SequenceModel(Resonator(3, 5, initial_tau=0.5, dt=0.25), 2),
    "decay-gru": lambda: SequenceModel(DecayGRU(2, 5, dt=0.3), 1),
    "ncp": lambda: SequenceModel(NCP(2, wirings.AutoNCP(9, 2), dt=0.3, unfolds=3), 2),
    "ncp-2": lambda: SequenceModel(NCP(1, 4, num_layers=2, input_map=None, implicit=False), 1),
    "ncp-alone": lambda: NCP(2, wirings.Random(5, 3, 0.5), output_map="linear", epsilon=1e-3),
    "cfc": lambda: SequenceModel(CfC(2, 5, backbone_units=7, dt=0.3), 1),
    "cfc-2": lambda: SequenceModel(CfC(2, 4, backbone_layers=0, bias=False, num_layers=2), 2),
    "cfc-pure": lambda: SequenceModel(
        CfC(1, 4, mode="pure", backbone_layers=2, backbone_units=6), 1
    ),
    "cfc-relu": lambda: CfC(
        2, 4, mode="no_gate", backbone_layers=3, backbone_units=5, activation="relu"
    ),
    "cfc-silu": lambda: SequenceModel(CfC(1, 3, backbone_units=5, activation="silu", dt=2.0), 1),
}
OWN = [name for name in MODELS if name.startswith(("ncp", "cfc"))]
"""Cells that write their step themselves: single precision and rolled loops alone."""
TIMED = [n for n in MODELS if "lstm" not in n and not n.startswith(("gru", "resonator"))]


def made(name):
    """A model whose weights are of the size that training gives them."""
    torch.manual_seed(0)
    model = MODELS[name]()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if "weight" in key:
                # three maps of a CfC one after the other, doubled each, are chaos
                weight.mul_(1.2 if name.startswith("cfc") else 2)
            elif "tau" in key or "rate" in key:
                weight.add_(torch.randn_like(weight))
    return model


def opened(folder):
    return Exported(folder, json.loads((folder / "report.json").read_text()))
