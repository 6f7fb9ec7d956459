"""A model in integers: for cores without a float unit, and the least flash.

Everything is a count of a fixed unit:

- an input is 16 bits wide, its unit from the range of the calibration;
- a weight is 8 or 16 bits wide. Each row (a gate of a neuron) has a unit of its own, and the units
  of what it multiplies are folded into its weights, so a row is one sum of products in 32 bits. It
  cannot overflow: the unit is chosen by the row's sum;
- the sum, by a factor of the row's own, becomes z in 1/4096, where a table has sigmoid in 1/32768;
- states need no calibration: |x| <= |A| for LTC, tau for CTRNN, 1 for GRU and LSTM (theorem 2 of
  Hasani et al. 2021). What rows see of a state is 16 bits. What is kept is 32 bits where a sample
  moves the state by so little that 16 bits would stand still, as they do at a small dt.

An LTC or CTRNN step is taken as a difference, ``x' - x = g (slope x + pull) - leak x``, all three
in the largest unit of ``2^-shift`` that fits: then nothing is lost however small dt is.

Weights are rounded together, not one by one: a row's error is what it does to z over the
calibration (run twice, of which the second time counts), and each weight in turn takes the
neighbour that makes it least. The bias takes up what is left of the mean.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.export._simulate import states
from torchliquid.export.c._arithmetic import ONE, Z_BITS
from torchliquid.export.cells.base import NO_COUNTS, Counts, IntLayer, Layer, Numbers
from torchliquid.export.description import Description

MARGIN = 1.02
"""Of a state's range, for what rounding adds."""
STILL = 2e-4
"""Of a state's range: how far off 16 bits may be from rounding alone; beyond it 32 are kept."""
WIDEST = 30.0
"""Training deviations: calibration beyond it is a mistake, not a range."""


@dataclass(frozen=True)
class IntModel:
    """A model in counts.

    Args:
        of: what it was.
        bits: of a weight.
        layers: in turn.
        input_unit: ``(I,)``, scaled deviations in a count.
        w_out: ``(O, H)``.
        w_first: ``(O,)``, of the first input, for a model that outputs its change; else zeros.
        b_out: ``(O,)``, 32 bits.
        shift: an output is ``sum >> shift``.
        output_unit: ``(O,)``, scaled deviations in a count.
        middle: ``(O,)``, scaled deviations where the count is 0.
    """

    of: Description
    bits: int
    layers: tuple[IntLayer, ...]
    input_unit: Numbers
    w_out: Counts
    w_first: Counts
    b_out: Counts
    shift: int
    output_unit: Numbers
    middle: Numbers

    def to_counts(self, inputs: Any) -> Counts:
        """Inputs ``(T, I)``, physical, in counts; what is too far is the farthest count."""
        offset, unit = self.input_lines()
        # in single precision, as the header's functions do it
        with np.errstate(over="ignore"):
            scaled = (np.asarray(inputs, np.float32) - np.float32(offset)) * np.float32(1 / unit)
        clipped = np.clip(np.where(np.isnan(scaled), 0, scaled), -ONE + 1, ONE - 1)
        halves_away = np.trunc(clipped + np.copysign(np.float32(0.5), clipped))
        return np.asarray(halves_away, dtype=np.int64)

    def of_scaled(self, inputs: Numbers) -> Counts:
        """Inputs ``(T, I)``, scaled as in training, in counts."""
        counts = np.clip(np.rint(inputs / self.input_unit), -ONE + 1, ONE - 1)
        return np.asarray(counts, dtype=np.int64)

    def to_numbers(self, outputs: Counts) -> Numbers:
        """Outputs ``(T, O)`` from counts, physical."""
        offset, unit = self.output_lines()
        return np.asarray(offset + unit * outputs)

    def lines(self) -> dict[str, list[dict[str, float]]]:
        """What a count of each input and output is: ``physical = offset + unit count``."""
        sides = {"inputs": self.input_lines(), "outputs": self.output_lines()}
        return {
            side: [{"offset": float(o), "unit": float(u)} for o, u in zip(*lines, strict=True)]
            for side, lines in sides.items()
        }

    def input_lines(self) -> tuple[Numbers, Numbers]:
        """Offsets and units ``(I,)`` of inputs, physical."""
        columns = self.of.scaling.inputs
        scale = np.array([column.scale for column in columns])
        return np.array([column.offset for column in columns]), scale * self.input_unit

    def output_lines(self) -> tuple[Numbers, Numbers]:
        """The same ``(O,)`` of outputs."""
        columns = self.of.scaling.outputs
        scale = np.array([column.scale for column in columns])
        offset = np.array([column.offset for column in columns]) + scale * self.middle
        return offset, scale * self.output_unit


def quantise(
    description: Description, inputs: Numbers, bits: int, least_reach: float = 0.0
) -> IntModel:
    """The model in counts.

    Args:
        description: of the model.
        inputs: ``(T, I)``, scaled as in training: the calibration.
        bits: of a weight, 8 or 16.
        least_reach: scales from its mean that an input may be at least, whatever was seen.

    Raises:
        TorchliquidError: inputs that training cannot have met, or a solver without such a step.
    """
    reach = np.abs(inputs).max(0)
    if reach.max() > WIDEST:
        column = int(reach.argmax())
        name = description.scaling.inputs[column].name
        raise TorchliquidError(
            f"calibration holds {name} {reach[column]:.3g} scales from its mean, far outside what "
            "the model was trained on: cut such rows out"
        )
    # a tenth more than was seen; a constant input still needs a unit
    reach = np.maximum(np.where(reach > 0, 1.1 * reach, 1.0), least_reach)
    input_unit = reach / (ONE - 1)
    # run over it twice, and look at the second time: a state of zero is not where it works
    outputs = [one[len(inputs) :] for one in states(description, np.concatenate([inputs, inputs]))]
    below, unit_below = inputs, input_unit
    layers = []
    for index, layer in enumerate(description.layers):
        made = _layer(layer, index, description.dt, below, outputs[index], unit_below, bits)
        layers.append(made)
        below, unit_below = outputs[index], made.unit
    return _readout(description, bits, tuple(layers), inputs, outputs[-1], input_unit)


def _layer(
    layer: Layer,
    index: int,
    dt: float,
    inputs: Numbers,
    outputs: Numbers,
    input_unit: Numbers,
    bits: int,
) -> IntLayer:
    cell, (G, H, I) = layer.cell, layer.w_in.shape
    unit = np.ones(H) / ONE
    if cell.is_blend:
        unit = np.maximum(layer.state_bound(), 1e-6) * MARGIN / ONE
    bias, step = _step(layer, dt, unit)
    # what rows see: the inputs, and the state before each sample, both in counts
    before = np.concatenate([np.zeros((1, H)), outputs[:-1]])
    fading = cell.log_decay(layer, dt)
    if fading is not None:
        before = before * np.exp(fading)
    seen = np.concatenate([inputs / input_unit, before / unit], axis=1)
    weights = np.concatenate([layer.w_in * input_unit, layer.w_rec * unit], axis=2)
    counts, offsets, sizes = np.zeros_like(weights, dtype=np.int64), np.zeros((G, H)), bias * 0
    for g in range(G):
        split = cell.split_candidate and g == G - 1
        for j in range(H):
            row = _row(weights[g, j], bias[g, j], seen, bits, apart=split, first_products=I)
            counts[g, j], offsets[g, j], sizes[g, j] = row
    bias_rec = NO_COUNTS
    if cell.split_candidate:
        extra = np.zeros(H) if layer.bias_rec is None else layer.bias_rec[-1]
        bias_rec = np.rint(extra / sizes[-1]).astype(np.int64)
    # the sum of a row, shifted down to 15 bits, times a factor of 15 bits, is z
    whole = np.rint(offsets).astype(np.int64)
    most = int((np.abs(counts).sum(2) * ONE + np.abs(whole)).max())
    down = max(0, most.bit_length() - 15)
    whole += (1 << down) >> 1  # so that >> rounds
    bias_rec = bias_rec + ((1 << down) >> 1)
    factors = sizes * 2.0 ** (Z_BITS + down)
    factors[list(cell.tanh_gates)] *= 2  # tanh(z) = 2 sigmoid(2 z) - 1
    after = int(np.floor(np.log2((ONE - 1) / factors.max())))
    if after < 0:
        raise TorchliquidError(
            f"weights of layer {index} make gates of z = {factors.max() * ONE / 2**Z_BITS:.3g}: "
            "too far for integers; export float32"
        )
    after = min(after, 15)
    whole_factors = np.rint(factors * 2.0**after).astype(np.int64)
    fold = 0
    if cell.split_candidate:
        input_part, state_part = (
            ((part.sum(1) + np.abs(added)) // 2**down + 1) * whole_factors[-1] // 2**after + 1
            for part, added in (
                (np.abs(counts[-1, :, :I]) * ONE, whole[-1]),
                (np.abs(counts[-1, :, I:]) * ONE, bias_rec),
            )
        )
        fold = _fold(index, input_part, state_part)
    return IntLayer(
        layer, index, counts[..., :I], counts[..., I:], whole, bias_rec,
        whole_factors, down, after, unit=unit, fold=fold, **step,
    )  # fmt: skip


def _step(layer: Layer, dt: float, unit: Numbers) -> tuple[Numbers, dict[str, Any]]:
    """The biases of all gates, and what an `IntLayer` holds of the step itself."""
    cell, bias = layer.cell, layer.bias.copy()
    if layer.bias_rec is not None:
        bias[:-1] += layer.bias_rec[:-1]
    step: dict[str, Any] = dict.fromkeys(("slope", "pull", "leak"), NO_COUNTS)
    step |= {"shift": 0, "wide": cell.split_candidate}
    fading = cell.log_decay(layer, dt)
    if cell.is_blend:
        blend = cell.blend(layer, dt / layer.unfolds)
        leak = 1 - blend.keep
        bias[0] += blend.shift
        shift, (leak_counts, slope, pull) = _in_unit(leak, blend.slope, blend.pull / (unit * ONE))
        # what rounding to 16 bits leaves, over what draws a state back in one sub-step
        wide = bool((0.5 / ONE / leak).max() > STILL)
        step |= {"slope": slope, "pull": pull, "leak": leak_counts, "shift": shift, "wide": wide}
    elif fading is not None:
        step["shift"], (step["leak"],) = _in_unit(-np.expm1(fading))
    return bias, step


def _fold(index: int, input_part: Counts, state_part: Counts) -> int:
    """Bits that the state's part of a candidate gives up, so that the product fits in 32 bits."""
    fold = max(0, int(state_part.max()).bit_length() - 19)
    if fold > 12 or int((input_part + state_part).max()) >= 2**31:
        raise TorchliquidError(
            f"weights of layer {index} make a candidate of z = {state_part.max() / 2**Z_BITS:.3g}: "
            "too far for integers; export float32"
        )
    return fold


def _in_unit(*parts: Numbers) -> tuple[int, tuple[Counts, ...]]:
    """Numbers in the smallest unit 2^-(15 + shift) in which all are below 2^15."""
    most = max(float(np.abs(part).max()) for part in parts)
    shift = int(np.clip(np.floor(np.log2(0.99 / max(most, 1e-9))), 0, 15))
    if most * 2.0**shift >= 1:
        raise TorchliquidError(
            f"a step moves a neuron by {most:.3g} of its range: too far for integers; give a "
            "smaller dt, more unfolds, or export float32"
        )
    unit = ONE * 2.0**shift
    return shift, tuple(np.rint(part * unit).astype(np.int64) for part in parts)


def _row(
    weights: Numbers,
    bias: float,
    seen: Numbers,
    bits: int,
    *,
    apart: bool = False,
    first_products: int = 0,
    unit: float | None = None,
) -> tuple[Counts, float, float]:
    """Counts, bias in counts and unit of a row that errs as little as it can over what was seen.

    Args:
        weights: ``(N,)``, for counts.
        bias: of the row.
        seen: ``(T, N)``, counts.
        bits: of a weight.
        apart: whether the first products are summed separately, so that a bias cannot make up for
            both.
        first_products: see there.
        unit: of the row, where it is given.
    """
    top = 2 ** (bits - 1) - 1
    widest = float(np.abs(weights).max()) / top
    room = (float(np.abs(weights).sum()) * ONE + abs(bias)) / (2**31 - 2**17)
    least = max(widest, room, 1e-12)
    mean = seen.mean(0)
    spread = (seen - mean).T @ (seen - mean) / len(seen)
    # as if every count moved a little by itself too: the calibration is not all there is
    spread += np.eye(len(weights)) * (0.1 * np.trace(spread) / len(weights) + 1e-9)
    best: tuple[float, Counts, float] | None = None
    several = least * np.linspace(1.0, 1.3, 16 if bits == 8 else 1)
    for size in several if unit is None else [unit]:
        counts = _rounded(weights / size, spread, top)
        off = counts * size - weights
        error = float(off @ spread @ off)
        if best is None or error < best[0]:
            best = error, counts, float(size)
    assert best is not None  # noqa: S101 - there is one unit at least
    _, counts, size = best
    off = counts * size - weights
    drift = float(off[:first_products] @ mean[:first_products]) if apart else float(off @ mean)
    return counts, (bias - drift) / size, float(size)


def _rounded(exact: Numbers, spread: Numbers, top: int) -> Counts:
    """Integers near to these whose joint error is least: in turn, until none moves."""
    counts = np.clip(np.rint(exact), -top, top)
    for _ in range(20):
        moved = False
        for k in range(len(exact)):
            off = counts - exact
            others = spread[k] @ off - spread[k, k] * off[k]
            wanted = exact[k] - others / spread[k, k]
            new = np.clip(np.rint(wanted), -top, top)
            # no farther than the neighbours: the calibration is not all there is
            new = np.clip(new, np.floor(exact[k]), np.ceil(exact[k]))
            new = np.clip(new, -top, top)
            moved = moved or new != counts[k]
            counts[k] = new
        if not moved:
            break
    return counts.astype(np.int64)


def _readout(
    description: Description,
    bits: int,
    layers: tuple[IntLayer, ...],
    inputs: Numbers,
    outputs: Numbers,
    input_unit: Numbers,
) -> IntModel:
    unit = layers[-1].unit
    H, O = layers[-1].of.hidden, description.outputs
    w_out = np.eye(H) if description.w_out is None else description.w_out
    b_out = np.zeros(O) if description.b_out is None else description.b_out
    first = np.zeros(O)
    if description.scaling.change is not None:
        w_out, b_out = w_out * description.scaling.change, b_out * description.scaling.change
        first = np.ones(O)
    seen = np.concatenate([inputs[:, :1] / input_unit[0], outputs / unit], axis=1)
    # the farthest an output can be: LTC states lie between 0 and A, so that is one-sided
    low, high = layers[-1].of.state_range()
    least = b_out + np.minimum(w_out * low, w_out * high).sum(1)
    most = b_out + np.maximum(w_out * low, w_out * high).sum(1)
    seen_first = (ONE - 1) * input_unit[0] * first
    middle, size = (least + most) / 2, (most - least) / 2 + seen_first
    output_unit = np.maximum(size, 1e-12) * MARGIN / (ONE - 1)
    weights = np.concatenate([(first * input_unit[0])[:, None], w_out * unit], axis=1)
    offsets = b_out - middle
    room = ((np.abs(weights).sum(1) * ONE + np.abs(offsets)) / (2**31 - 2**17)).max()
    room = max(float(room), float(np.abs(weights).max()) / (ONE - 1))
    shift = int(np.clip(np.floor(np.log2(output_unit.min() / room)), 0, 16))
    rows = [
        # 16 bits whatever the others have: a readout's error is the output's own
        _row(weights[o], float(offsets[o]), seen, 16, unit=float(output_unit[o] / 2.0**shift))
        for o in range(O)
    ]
    counts = np.array([row[0] for row in rows])
    whole = np.rint([row[1] for row in rows]).astype(np.int64)
    return IntModel(
        description, bits, layers, input_unit, counts[:, 1:], counts[:, 0], whole, shift,
        output_unit, middle,
    )  # fmt: skip
