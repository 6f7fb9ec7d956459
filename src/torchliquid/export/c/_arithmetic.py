"""Arithmetic in integers of 32 bits, as the C does it: the same to the bit on every core."""

import numpy as np

from torchliquid.export.cells.base import Counts, IntLayer, Numbers

ONE = 32768
"""1 of a gate, and of what rows see of a state."""
Z_BITS = 12
"""z is in units of 2^-12."""
INTERVAL_BITS = 8
"""An interval of the table is 2^8 of them: z in sixteenths."""
LAST = 160 * 256 - 1
"""The table ends at z = 10."""


def sigmoid_table(intervals: int, width: float) -> Numbers:
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


def table() -> Counts:
    """Sigmoid from z = 0 to 10 in sixteenths, and one entry more, in 1/32768."""
    entries = np.rint(sigmoid_table(LAST // 256 + 1, 1 / 16) * ONE)
    return np.minimum(entries, ONE - 1).astype(np.int64)


TABLE = table()


def sigmoid(z: Counts) -> Counts:
    """In 1/32768, of z in 1/4096."""
    distance = np.minimum(np.abs(z), LAST)
    entry = distance >> INTERVAL_BITS
    left = TABLE[entry]
    part = distance & (2**INTERVAL_BITS - 1)
    value = left + rounded((TABLE[entry + 1] - left) * part, INTERVAL_BITS)
    return np.asarray(np.where(z < 0, ONE - value, value))


def tangent(z: Counts) -> Counts:
    """Tanh in 1/32768, of twice its argument in 1/4096."""
    return np.asarray(2 * sigmoid(z) - ONE)


def rounded(value: Counts, bits: int | Counts) -> Counts:
    """``value / 2^bits``, halves up."""
    within(value)
    half = (1 << np.asarray(bits)) >> 1
    return np.asarray((value + half) >> bits)


def within(value: Counts) -> Counts:
    """Return a value that fits in 32 bits; C would not say where one does not."""
    if np.abs(value).max(initial=0) >= 2**31:
        raise OverflowError("a number does not fit in 32 bits")
    return value


def seen(layer: IntLayer, state: Counts) -> Counts:
    """What rows see of a state: 16 bits."""
    return rounded(state, 15) if layer.wide else state


def z_of(layer: IntLayer, total: Counts) -> Counts:
    """Sums of rows as z, in 1/4096."""
    return rounded((within(total) >> layer.before) * layer.factor, layer.after)


def rounded_c(value: str, bits: int) -> str:
    """The same as C: ``((value) + half) >> bits``."""
    return f"(({value}) + {2 ** (bits - 1)}) >> {bits}" if bits else value
