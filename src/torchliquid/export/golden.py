"""A model in whole numbers, run in whole numbers: the C does the same to the bit, on every core."""

from collections.abc import Sequence

import numpy as np

from torchliquid.export.integers import (
    C_BITS,
    C_LAST,
    INTERVAL_BITS,
    LAST,
    ONE,
    Counts,
    IntLayer,
    IntModel,
    table,
)

TABLE = table()


def run(model: IntModel, inputs: Counts) -> Counts:
    """Outputs ``(T, O)`` in counts, from inputs ``(T, I)`` in counts and a state of zero."""
    seen = states(model.layers, inputs)[-1]
    total = model.b_out + seen @ model.w_out.T + inputs[:, :1] * model.w_first
    return _rounded(_within(total), model.shift)


def states(layers: Sequence[IntLayer], inputs: Counts) -> list[Counts]:
    """What rows see of each layer, ``(T, H)`` a layer, in counts."""
    found, below = [], inputs
    for layer in layers:
        state = {name: np.zeros(layer.of.hidden, np.int64) for _, name in layer.states}
        below = np.array([_layer(layer, sample, state) for sample in below])
        found.append(below)
    return found


def _layer(layer: IntLayer, u: Counts, state: dict[str, Counts]) -> Counts:
    """What the next layer sees."""
    name = layer.states[0][1]
    drive = layer.bias + layer.w_in @ u
    for _ in range(layer.of.unfolds):
        if layer.of.cell == "DecayGRU":
            seen = _seen(layer, state[name])
            state[name] = state[name] - _rounded(layer.leak * seen, layer.shift)
        seen = _seen(layer, state[name])
        if layer.of.cell in ("LTC", "CTRNN"):
            gate = _gate(layer, _z(layer, drive + layer.w_rec @ seen)[0])
            between = layer.pull + _rounded(layer.slope * seen, 15)
            change = gate * between - layer.leak * seen
            state[name] = state[name] + _rounded(change, layer.shift + 15 * (not layer.wide))
        elif layer.of.cell == "LSTM":
            i, f, g, o = _z(layer, drive + layer.w_rec @ seen)
            c = state[layer.states[1][1]]
            kept = 2 * (c >> 16) * sigmoid(f) + (((c & 0xFFFF) * sigmoid(f)) >> 15)
            c = kept + _rounded(sigmoid(i) * tangent(g), 30 - C_BITS)
            c = np.clip(c, -(C_LAST << C_BITS), C_LAST << C_BITS)
            state[layer.states[1][1]] = c
            # 2 c in units of z
            state[name] = _rounded(sigmoid(o) * tangent(c >> (C_BITS - 13)), 15)
        else:
            again = layer.w_rec @ seen
            r, z, _ = _z(layer, drive + again)
            own, rest = _z(layer, drive)[2], _z(layer, again + layer.bias_rec)[2]
            share = (rest >> layer.fold) * (sigmoid(r) >> 3)
            n = tangent(own + _rounded(share, 12 - layer.fold))
            state[name] = state[name] + (n - seen) * (ONE - sigmoid(z))
    return _seen(layer, state[name])


def _seen(layer: IntLayer, state: Counts) -> Counts:
    """What rows see of a state: 16 bits."""
    return _rounded(state, 15) if layer.wide else state


def _z(layer: IntLayer, total: Counts) -> Counts:
    """Sums of rows as z, in 1/4096."""
    return _rounded((_within(total) >> layer.before) * layer.factor, layer.after)


def _gate(layer: IntLayer, z: Counts) -> Counts:
    return tangent(z) if layer.of.cell == "CTRNN" else sigmoid(z)


def sigmoid(z: Counts) -> Counts:
    """In 1/32768, of z in 1/4096."""
    distance = np.minimum(np.abs(z), LAST)
    place = distance >> INTERVAL_BITS
    left = TABLE[place]
    part = distance & (2**INTERVAL_BITS - 1)
    value = left + _rounded((TABLE[place + 1] - left) * part, INTERVAL_BITS)
    return np.asarray(np.where(z < 0, ONE - value, value))


def tangent(z: Counts) -> Counts:
    """Tanh in 1/32768, of twice its argument in 1/4096."""
    return np.asarray(2 * sigmoid(z) - ONE)


def _rounded(value: Counts, bits: int | Counts) -> Counts:
    """``value / 2^bits``, halves up."""
    _within(value)
    half = (1 << np.asarray(bits)) >> 1
    return np.asarray((value + half) >> bits)


def _within(value: Counts) -> Counts:
    """That it fits in 32 bits: C would not say so."""
    if np.abs(value).max(initial=0) >= 2**31:
        raise OverflowError("a number does not fit in 32 bits")
    return value
