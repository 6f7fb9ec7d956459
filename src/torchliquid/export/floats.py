"""What the C of a model in single precision holds: all that is constant at its dt, folded.

A gate is computed from ``t``, a multiple of its argument z, folded into weights and bias:

- *float32*: ``exp(-z) = 2^t`` as a quotient of two numbers, ``t = -z log2(e)``, so that a gate
  costs one division, and an LTC neuron one in all. For tanh, ``t = -2 z log2(e)``.
- *float32-table*: sigmoid between entries of a table, ``t`` in entries, and
  ``tanh(z) = 2 sigmoid(2z) - 1``.

An LTC step takes one of two forms, the same number either way (`torchliquid.functional.ltc_cell`
has the equation):

- quotient (semi-implicit): ``x' = ((1 + e) x + dt A) / ((1 + e) (1 + dt / tau) + dt)`` with
  e = exp(-z);
- blend (semi-implicit with dt fixed and a table; Euler): ``x' = x + g (slope x + pull) - leak x``.
  The semi-implicit step is one: with c = 1 + dt / tau and g = sigmoid(z + log((c + dt) / c)),
  ``x' = g (x + dt A) / (c + dt) + (1 - g) x / c``, which needs no division at all.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.export.description import Description, Layer, Numbers, known

LOG2E = math.log2(math.e)
LARGEST_T = 94.0
"""Of ``2^t`` in single precision, with room for a factor of 1e9."""
LARGEST_FACTOR = 1e9
"""Of a dt that may be any, times the fastest rate: beyond it a step is one to rest."""
ENTRIES, REACH = 128, 10.0
"""Of the table: intervals, and up to which z; beyond it the last entry stands, 4.5e-5 off."""
FAR = 8.0
"""Scales that an input may always be from its mean and still count for what it is."""
FARTHEST = 1e6


@dataclass(frozen=True)
class Array:
    """A constant array of the C: its values, and what its indices are."""

    name: str
    values: Numbers
    indices: str


@dataclass(frozen=True)
class FloatLayer:
    """A layer as the template wants it.

    Args:
        of: the layer it is.
        index: its place, from 0.
        arrays: its constants.
        form: of an LTC step: ``"quotient"``, ``"blend"``, or ``"fused"``, ``"euler"``,
            ``"exponential"``, which follow the equation; of other layers their cell.
        step: time of a sub-step, where it is fixed; else None.
        columns: whether weights are ordered [from][to], which wide registers want.
    """

    of: Layer
    index: int
    arrays: tuple[Array, ...]
    form: str
    step: float | None
    columns: bool

    @property
    def gates(self) -> int:
        """G."""
        return int(self.of.w_in.shape[0])

    @property
    def states(self) -> tuple[str, ...]:
        """Names of its state's arrays, the output first."""
        return self.of.states(self.index)


def table(intervals: int = ENTRIES, width: float = REACH / ENTRIES) -> Numbers:
    """Entries ``(intervals + 1,)`` of sigmoid from z = 0 on, for straight lines between them.

    Sigmoid is bent one way there: half of what a chord is off by in its middle is added to every
    entry, so that lines are as far above it as below.
    """
    z = width * np.arange(intervals + 1)
    values = 1 / (1 + np.exp(-z))
    sag = 1 / (1 + np.exp(-(z[:-1] + width / 2))) - (values[:-1] + values[1:]) / 2
    lifted = values + 0.5 * np.concatenate([sag[:1], (sag[:-1] + sag[1:]) / 2, sag[-1:]])
    lifted[0] = 0.5  # so that both halves meet
    return np.asarray(lifted)


def unit(gate_table: bool) -> float:
    """By what z is multiplied to make t."""
    return ENTRIES / REACH if gate_table else -LOG2E


def fold(
    description: Description, *, gate_table: bool, variable_dt: bool, columns: bool
) -> tuple[FloatLayer, ...]:
    """All layers, folded.

    Raises:
        TorchliquidError: a layer whose step cannot be taken so.
    """
    dt = None if variable_dt else description.dt
    scales = np.array([column.scale for column in description.scaling.inputs])
    layers = []
    for index, layer in enumerate(description.layers):
        w_in = layer.w_in / scales if index == 0 else layer.w_in
        layers.append(_fold(layer, index, w_in, dt, gate_table, columns))
    return tuple(layers)


def _fold(
    layer: Layer, index: int, w_in: Numbers, dt: float | None, gate_table: bool, columns: bool
) -> FloatLayer:
    factor = np.full((layer.w_in.shape[0], 1), unit(gate_table))
    factor[tanh_gates(layer)] *= 2
    h = None if dt is None else dt / layer.unfolds
    form, own, shift = _own(layer, h, gate_table)
    bias = layer.bias + shift
    arrays = [
        Array("bias", bias * factor, "gate, neuron"),
        Array("w_in", w_in * factor[..., None], "gate, neuron, input"),
        Array("w_rec", layer.w_rec * factor[..., None], "gate, neuron, from"),
    ]
    if layer.cell in ("GRU", "DecayGRU"):
        bias_rec = np.zeros_like(layer.bias) if layer.bias_rec is None else layer.bias_rec
        # of reset and update gate both are added: only the candidate's stands alone
        arrays[0] = Array("bias", (bias + bias_rec * [[1], [1], [0]]) * factor, "gate, neuron")
        own.append(Array("bias_rec", (bias_rec * factor)[2], "neuron"))
    return FloatLayer(
        layer, index, tuple(_ordered(a, columns) for a in (*arrays, *own)), form, h, columns
    )


def _ordered(array: Array, columns: bool) -> Array:
    """In the order in which the C walks through it."""
    values, names = array.values, array.indices.split(", ")
    order: tuple[int, ...] = (0,)
    if values.ndim == 3:
        order = (2, 0, 1) if columns else (1, 0, 2)  # [from][gate][to] or [to][gate][from]
    elif values.ndim == 2:
        order = (0, 1) if columns else (1, 0)
    values = np.transpose(values, order)
    names = [names[place] for place in order]
    if "gate" in names and values.shape[names.index("gate")] == 1:
        values = values.squeeze(names.index("gate"))
        names.remove("gate")
    return Array(array.name, np.ascontiguousarray(values), "".join(f"[{name}]" for name in names))


def _own(layer: Layer, h: float | None, gate_table: bool) -> tuple[str, list[Array], Any]:
    """The form of a layer's step, its own constants, and what is added to z."""
    if layer.cell == "LTC":
        return _ltc(layer, h, gate_table)
    if layer.cell == "CTRNN":
        tau = known(layer.tau)
        if h is None:
            return "CTRNN", [Array("rate", 1 / tau, "neuron")], 0.0
        c = 1 + h / tau
        leak = Array("leak", h / tau / c, "neuron")
        return "CTRNN", [leak, Array("gain", h / c, "neuron")], 0.0
    if layer.cell == "DecayGRU":
        rate = known(layer.rate)
        if h is None:
            values = rate * LOG2E
            return "DecayGRU", [Array("rate", values, "neuron")], 0.0
        return "DecayGRU", [Array("keep", np.exp(-h * rate), "neuron")], 0.0
    return layer.cell, [], 0.0


def _ltc(layer: Layer, h: float | None, gate_table: bool) -> tuple[str, list[Array], Any]:
    tau, target = known(layer.tau), known(layer.target)
    check_solver(layer)
    if h is None or layer.solver == "exponential" or is_cut(layer, h):
        forms = {"semi_implicit": "fused" if gate_table else "quotient"}
        form = forms.get(layer.solver, layer.solver)
        return form, [Array("rate", 1 / tau, "neuron"), Array("target", target, "neuron")], 0.0
    if layer.solver == "semi_implicit" and not gate_table:
        leak = Array("leak", 1 + h / tau, "neuron")
        return "quotient", [leak, Array("pull", h * target, "neuron")], 0.0
    keep, slope, pull, shift = blend(layer, h)
    # as differences: 1 less a small leak, rounded, would be another leak
    named = {"leak": 1 - keep, "slope": slope, "pull": pull}
    return "blend", [Array(name, values, "neuron") for name, values in named.items()], shift


def check_solver(layer: Layer) -> None:
    """That an exporter knows the layer's step."""
    if layer.solver == "rk4":
        raise TorchliquidError(
            "solver 'rk4' has no closed step to export: set model.layer.solver = 'semi_implicit', "
            "and measure the model's error again before you ship it"
        )


def is_cut(layer: Layer, h: float) -> bool:
    """Whether a sub-step of Euler's may be longer than a time constant, where it is cut.

    Raises:
        TorchliquidError: it is longer than twice that, where Euler's step is unstable.
    """
    if layer.solver != "euler":
        return False
    tau = known(layer.tau)
    fastest = float((tau / (1 + tau)).min())
    if h > 2 * fastest:
        raise TorchliquidError(
            f"an Euler step of dt {h * layer.unfolds:g} is unstable: it is longer than twice the "
            f"fastest neuron's time constant ({2 * fastest * layer.unfolds:.3g} is the most); give "
            "a smaller dt, more unfolds, or set model.layer.solver = 'semi_implicit'"
        )
    return h > fastest


def blend(layer: Layer, h: float) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Keep, slope and pull ``(H,)`` of a sub-step ``x' = keep x + g (slope x + pull)`` of time h.

    The gate g is ``sigmoid(z + shift)`` in an LTC, ``tanh(z)`` in a CTRNN; the last of the four is
    the shift.

    Raises:
        TorchliquidError: the solver's step is not of this form, or unstable.
    """
    tau = known(layer.tau)
    none = np.zeros_like(tau)
    c = 1 + h / tau
    if layer.cell == "CTRNN":
        return 1 / c, none, h / c, none
    check_solver(layer)
    target = known(layer.target)
    if layer.solver == "exponential":
        raise TorchliquidError(
            "a step of solver 'exponential' is not straight in the state: export float32, or set "
            "model.layer.solver = 'semi_implicit' and measure the model's error again"
        )
    if layer.solver == "euler":
        if is_cut(layer, h):
            raise TorchliquidError(
                f"an Euler step of dt {h * layer.unfolds:g} may be longer than the fastest "
                "neuron's time constant, where it is cut: export float32, or give a smaller dt, "
                "more unfolds, or solver = 'semi_implicit' (and measure the model's error again)"
            )
        return 1 - h / tau, none - h, h * target, none
    keep = 1 / c
    return keep, 1 / (c + h) - keep, h * target / (c + h), np.log1p(h / c)


def limits(description: Description, *, variable_dt: bool = False) -> tuple[float, bool]:
    """How far inputs may be from their mean, in scales, and whether each t must be kept in bounds.

    ``2^t`` is neither to overflow nor to fall below the least exponent. Weights tell how far t can
    go while inputs are within the limit, as states are bounded; where that leaves too little room
    for inputs, the C bounds each t.
    """
    reach = FARTHEST
    for index, layer in enumerate(description.layers):
        low, high = layer.ends()
        positive, negative = np.maximum(layer.w_rec, 0), np.minimum(layer.w_rec, 0)
        least = layer.bias + positive @ low + negative @ high
        most = layer.bias + positive @ high + negative @ low
        if layer.bias_rec is not None:
            least, most = least - np.abs(layer.bias_rec), most + np.abs(layer.bias_rec)
        if index:
            below = np.maximum(*map(np.abs, description.layers[index - 1].ends()))
            spread = np.abs(layer.w_in) @ below
            least, most = least - spread, most + spread
        factor = np.full((len(least), 1), LOG2E)
        factor[tanh_gates(layer)] *= 2
        times = LARGEST_FACTOR if variable_dt else _largest_factor(layer, description.dt)
        largest = 126 - math.log2(3.4 * times)
        room = np.minimum(124 / factor - most, largest / factor + least)
        width = np.abs(layer.w_in).sum(2) if index == 0 else np.zeros_like(room)
        if room.min() <= 0:
            return FARTHEST, True
        if width.any():
            reach = min(reach, float((room[width > 0] / width[width > 0]).min()))
    return (float(f"{reach:.3g}"), False) if reach >= FAR else (FARTHEST, True)


def tanh_gates(layer: Layer) -> list[int]:
    """Which gates of a layer are tanh."""
    return {"LSTM": [2], "GRU": [2], "DecayGRU": [2], "CTRNN": [0]}.get(layer.cell, [])


def longest_dt(description: Description) -> float:
    """Up to which a dt that comes with each sample counts: then even slow neurons are at rest."""
    rates = [1 / layer.tau for layer in description.layers if layer.tau is not None]
    rates += [layer.rate for layer in description.layers if layer.rate is not None]
    return LARGEST_FACTOR / float(np.concatenate([*rates, [1.0]]).max())


def _largest_factor(layer: Layer, dt: float) -> float:
    """The largest number that an LTC step of this dt multiplies a power of two by."""
    if layer.cell != "LTC":
        return 2.0
    h = dt / layer.unfolds
    largest = np.abs(known(layer.target)).max() * max(1.0, h)
    return float(max(2.0, h, largest, (1 + h / known(layer.tau)).max()))
