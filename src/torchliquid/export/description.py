"""What an exporter needs to know of a model: numbers and names, and nothing of torch.

Writers of C read this alone; `describe` makes it. All that is trained is here in double precision,
exactly as the model has it; what is constant at a fixed dt is folded by the writers.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from torchliquid.checks import check_interval, count
from torchliquid.errors import TorchliquidError
from torchliquid.functional.ltc_cell import positive_tau
from torchliquid.nn.cells import CELLS
from torchliquid.nn.layer import LiquidLayer
from torchliquid.nn.model import Recurrent, SequenceModel
from torchliquid.nn.saving import layer_name
from torchliquid.nn.scaling import Column, Scaling
from torchliquid.nn.weights import weights_of

Numbers = NDArray[np.float64]

GATES = {"LTC": 1, "LSTM": 4, "GRU": 3, "CTRNN": 1, "DecayGRU": 3}
"""Rows of weights for each neuron, in the order of the equations in `torchliquid.functional`."""


@dataclass(frozen=True)
class Layer:
    """One recurrent layer of H neurons with I inputs and G gates.

    Args:
        cell: a name of `torchliquid.nn.CELLS`.
        w_in: ``(G, H, I)``.
        w_rec: ``(G, H, H)``.
        bias: ``(G, H)``; zeros where the layer has none.
        bias_rec: ``(G, H)``, added to ``w_rec h`` alone (GRU, whose reset gate scales it).
        tau: ``(H,)`` leak time constants (LTC, CTRNN), or None.
        target: A, ``(H,)`` (LTC), or None.
        rate: ``(H,)`` decay between samples (DecayGRU), or None.
        solver: of an LTC layer.
        unfolds: sub-steps for one sample.
    """

    cell: str
    w_in: Numbers
    w_rec: Numbers
    bias: Numbers
    bias_rec: Numbers | None = None
    tau: Numbers | None = None
    target: Numbers | None = None
    rate: Numbers | None = None
    solver: str = ""
    unfolds: int = 1

    @property
    def inputs(self) -> int:
        """I."""
        return int(self.w_in.shape[2])

    @property
    def hidden(self) -> int:
        """H."""
        return int(self.w_in.shape[1])

    @property
    def takes_dt(self) -> bool:
        """Whether time between samples plays a part."""
        return CELLS[self.cell].takes_dt

    def states(self, index: int) -> tuple[str, ...]:
        """Names of its state's arrays as the layer at this place, the output first."""
        first = "x" if self.cell in ("LTC", "CTRNN") else "h"
        names = (first, "c") if self.cell == "LSTM" else (first,)
        return tuple(f"{name}{index}" for name in names)

    def ends(self) -> tuple[Numbers, Numbers]:
        """The least and the largest that each neuron can tell, ``(H,)``, from a state of zero.

        LTC: theorem 2 of Hasani et al. 2021, the state stays between 0 and A; CTRNN: within tau;
        the output of LSTM and GRU is within 1.
        """
        if self.cell == "LTC":
            target = known(self.target)
            return np.minimum(target, 0), np.maximum(target, 0)
        most = known(self.tau) if self.cell == "CTRNN" else np.ones(self.hidden)
        return -most, most

    def bound(self) -> Numbers:
        """The largest ``|state|`` of each neuron, ``(H,)``."""
        return np.maximum(*map(np.abs, self.ends()))


@dataclass(frozen=True)
class Description:
    """A model: layers in turn, and a linear readout.

    Args:
        layers: the first one sees the input.
        w_out: ``(O, H)``, or None where the outputs are the last layer's states.
        b_out: ``(O,)``.
        dt: time between samples where they are evenly spaced.
        scaling: between the model's numbers and physical ones.
        parameters: how many numbers were trained.
        digest: a hash of all of it.
    """

    layers: tuple[Layer, ...]
    w_out: Numbers | None
    b_out: Numbers | None
    dt: float
    scaling: Scaling
    parameters: int
    digest: str

    @property
    def inputs(self) -> int:
        """I, numbers in a sample."""
        return self.layers[0].inputs

    @property
    def outputs(self) -> int:
        """O, numbers told at each sample."""
        return self.layers[-1].hidden if self.w_out is None else len(self.w_out)

    @property
    def takes_dt(self) -> bool:
        """Whether time between samples plays a part in some layer."""
        return any(layer.takes_dt for layer in self.layers)

    @property
    def title(self) -> str:
        """In a few words, such as ``LTC, 1 input, 8 neurons, 1 output``."""
        sizes = " + ".join(f"{layer.cell} of {layer.hidden} neurons" for layer in self.layers)
        return f"{count(self.inputs, 'input')}, {sizes}, {count(self.outputs, 'output')}"


def check_times(description: Description, *, variable_dt: bool) -> None:
    """That a time with each sample means something to the model."""
    if variable_dt and not description.takes_dt:
        raise TorchliquidError(
            "variable_dt is True, but no layer of the model takes a time between samples: leave it "
            "out, or export an LTC"
        )


def describe(model: SequenceModel | Recurrent, dt: float | None = None) -> Description:
    """The description of a model, or of a layer alone.

    Args:
        model: what `torchliquid.save` takes; every layer runs in one direction.
        dt: time between samples; None: the layer's own.

    Raises:
        TorchliquidError: a layer that no exporter knows, or weights that are not finite.
    """
    name = layer_name(model, "export")
    whole = model if isinstance(model, SequenceModel) else None
    layer: Recurrent = model.layer if isinstance(model, SequenceModel) else model
    weights = {
        key.removeprefix("layer."): value.detach().double().cpu().resolve_neg()
        for key, value in weights_of(model).items()
    }
    for key, value in weights.items():
        if not bool(torch.isfinite(value).all()):
            raise TorchliquidError(
                f"{key} holds values that are not finite: the model has diverged, train it anew"
            )
    numbers = {key: np.asarray(value.numpy()) for key, value in weights.items()}
    if name not in GATES:
        raise TorchliquidError(
            f"{name} cannot be exported yet: only {', '.join(GATES)} can; "
            "torch.export writes any layer as a program of torch's operations"
        )
    _check_one_way(name, layer)
    layers = _liquid(name, layer, weights) if isinstance(layer, LiquidLayer) else _gated(
        name, layer, numbers
    )  # fmt: skip
    w_out = numbers["readout.weight"] if whole else None
    b_out = numbers.get("readout.bias", np.zeros(len(w_out))) if w_out is not None else None
    outputs = layers[-1].hidden if w_out is None else len(w_out)
    if dt is None:
        interval = layer.dt if isinstance(layer, LiquidLayer) else 1.0
    else:
        interval = check_interval(dt)
        if interval == 0:
            raise TorchliquidError("dt is 0: give the time between two samples")
        if not CELLS[name].takes_dt:
            raise TorchliquidError(
                f"dt is {interval:g}, but an {name} knows no time between samples: leave it out"
            )
    scaling = (whole.scaling if whole else None) or Scaling(
        tuple(Column(f"input {i}" if layers[0].inputs > 1 else "input") for i in
              range(layers[0].inputs)),
        tuple(Column(f"output {o}" if outputs > 1 else "output") for o in range(outputs)),
    )  # fmt: skip
    scaling.check(layers[0].inputs, outputs)
    _check_columns(scaling)
    digest = hashlib.sha256(repr((name, interval, scaling, _settings(layer))).encode())
    for key in sorted(numbers):
        digest.update(key.encode() + numbers[key].tobytes())
    parameters = sum(value.size for value in numbers.values())
    return Description(layers, w_out, b_out, interval, scaling, parameters, digest.hexdigest())


def _settings(layer: Recurrent) -> Any:
    return layer.config() if isinstance(layer, LiquidLayer) else repr(layer)


def _check_columns(scaling: Scaling) -> None:
    """That exported code, which takes physical units, can compute with these columns."""
    for column in (*scaling.inputs, *scaling.outputs):
        if not (1e-30 <= column.scale <= 1e30 and abs(column.offset) <= 1e30):
            raise TorchliquidError(
                f"column {column.name!r} has an offset of {column.offset:g} and a scale of "
                f"{column.scale:g}, too far for single precision: give it another unit"
            )


def known(numbers: Numbers | None) -> Numbers:
    """Numbers that a layer of this cell has."""
    if numbers is None:
        raise ValueError("the layer has no such numbers")
    return numbers


def _by_gate(numbers: Numbers, gates: int) -> Numbers:
    return numbers.reshape(gates, -1, *numbers.shape[1:])


def _liquid(name: str, layer: LiquidLayer, weights: dict[str, torch.Tensor]) -> tuple[Layer, ...]:
    gates, H = GATES[name], layer.hidden_size

    def take(key: str) -> Numbers | None:
        return np.asarray(weights[key].numpy()) if key in weights else None

    def positive(key: str) -> Numbers | None:
        # as the model has it: in its own precision, which is single at least in what is exported
        if key not in weights:
            return None
        own = getattr(layer, key).dtype
        raw = weights[key].to(own if own == torch.float64 else torch.float32)
        return np.asarray(positive_tau(raw).double().numpy())

    zeros = np.zeros((gates, H))
    layers = []
    for k in range(layer.num_layers):
        bias = take(f"bias_ih_l{k}" if name == "DecayGRU" else f"bias_l{k}")
        bias_rec = take(f"bias_hh_l{k}")
        own = Layer(
            name,
            _by_gate(known(take(f"weight_ih_l{k}")), gates),
            _by_gate(known(take(f"weight_hh_l{k}")), gates),
            zeros if bias is None else _by_gate(bias, gates),
            None if bias_rec is None else _by_gate(bias_rec, gates),
            tau=positive(f"raw_tau_l{k}"),
            target=take(f"target_l{k}"),
            rate=positive(f"raw_rate_l{k}"),
            solver=getattr(layer, "solver", ""),
            unfolds=getattr(layer, "unfolds", 1),
        )
        layers.append(own)
    return tuple(layers)


def _check_one_way(name: str, layer: Recurrent) -> None:
    if layer.bidirectional:
        raise TorchliquidError(
            f"the {name} is bidirectional: a device sees no later samples; train one with "
            "bidirectional=False"
        )
    if layer.proj_size:
        raise TorchliquidError(f"the {name} has proj_size {layer.proj_size}: train one without")


def _gated(name: str, layer: nn.LSTM | nn.GRU, numbers: dict[str, Numbers]) -> tuple[Layer, ...]:
    gates, H = GATES[name], layer.hidden_size
    layers = []
    for k in range(layer.num_layers):
        zeros = np.zeros((gates, H))
        bias = _by_gate(numbers[f"bias_ih_l{k}"], gates) if layer.bias else zeros
        bias_rec = _by_gate(numbers[f"bias_hh_l{k}"], gates) if layer.bias else zeros
        w_in = _by_gate(numbers[f"weight_ih_l{k}"], gates)
        w_rec = _by_gate(numbers[f"weight_hh_l{k}"], gates)
        if name == "LSTM":
            layers.append(Layer(name, w_in, w_rec, bias + bias_rec))
        else:
            layers.append(Layer(name, w_in, w_rec, bias, bias_rec))
    return tuple(layers)
