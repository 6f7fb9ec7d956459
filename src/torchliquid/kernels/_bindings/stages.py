"""Cells as native kernels know them, and the structs of one layer in one direction."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import gated, ltc
from torchliquid.kernels._library import ABSENT, View


class KernelCell(NamedTuple):
    """A cell as a native kernel knows it.

    Args:
        kernel: ``"ltc"`` or ``"gated"``.
        kind: number of the solver, or of the cell, in the header.
        unfolds: sub-steps of a sample.
        weights: how many a layer has in one direction, absent biases counted.
        stays: whether the state stays where no time passes.
        states: parts of a state: 2 for an LSTM.
    """

    kernel: str
    kind: int
    weights: int
    unfolds: int = 1
    stays: bool = True
    states: int = 1


def ltc_cell(solver: str, unfolds: int) -> KernelCell:
    """The LTC with a solver of `ltc.SOLVERS`: both weights, bias, raw tau, target."""
    return KernelCell("ltc", ltc.SOLVERS.index(solver), 5, unfolds)


CTRNN = KernelCell("ltc", 3, 4)
"""Both weights, bias, raw tau."""
LSTM = KernelCell("gated", 0, 4, stays=False, states=2)
GRU = KernelCell("gated", 1, 4, stays=False)
DECAY_GRU = KernelCell("gated", 2, 5, stays=False)
"""Both weights, both biases, raw rate."""


class Stage(NamedTuple):
    """Views of what one layer in one direction reads and writes; absent ones are `ABSENT`.

    Args:
        x: inputs.
        dt: time before each sample.
        h0: the state before the first.
        c0: its other part, of an LSTM.
        weights: in the cell's order.
        readout: a readout's weight and bias.
        y: states after every sample.
        last: the last one.
        last_c: its other part.
        out: readouts.
        kept: addresses of two buffers that the backward pass reads, or 0.
        outputs: O of the readout, 0 without.
    """

    x: View
    dt: View
    h0: View
    c0: View
    weights: list[View]
    readout: list[View]
    y: View
    last: View
    last_c: View
    out: View
    kept: tuple[int, int]
    outputs: int


class Gradients(NamedTuple):
    """Views of one stage's gradients: of states those of last h and c, then of h0 and c0."""

    y: View = ABSENT
    out: View = ABSENT
    x: View = ABSENT
    dt: View = ABSENT
    states: Sequence[View] = ()
    weights: Sequence[View] = ()
    readout: Sequence[View] = ()

    def of_ltc(self) -> list[View]:
        """In the order of tl_ltc."""
        if not self.weights:
            return []
        weights = self.weights if len(self.weights) == 5 else [*self.weights, ABSENT]
        return [self.y, self.states[0], self.out, self.x, self.dt, self.states[2], *weights,
                *self.readout]  # fmt: skip

    def of_gated(self) -> list[View]:
        """In the order of tl_gated."""
        if not self.weights:
            return []
        rate = self.weights[4:] or [ABSENT]
        return [self.out, self.y, self.states[0], self.states[1], self.x, *self.states[2:],
                *self.weights[:4], self.dt, *rate, *self.readout]  # fmt: skip


NO_GRADIENTS = Gradients()


def packed(
    cell: KernelCell,
    numbers: tuple[int, ...],
    interval: float,
    inputs: Stage,
    gradients: Gradients,
) -> bytes:
    """The struct of one layer in one direction; ``numbers`` are tl_sizes."""
    i, matrices, vectors = inputs, inputs.weights[:2], inputs.weights[2:]
    if cell.kernel == "ltc":
        options = (cell.kind, cell.unfolds, 1, interval)
        vectors = vectors if len(vectors) == 3 else [*vectors, ABSENT]
        views = [i.x, i.dt, i.h0, *matrices, *vectors, *i.readout, i.y, i.last, i.out]
        kept = (*i.kept, i.outputs)
        return ltc.packed(numbers, options, views, kept, gradients.of_ltc())
    rate = vectors[2:] or [ABSENT]
    views = [i.x, i.h0, i.c0, *matrices, *vectors[:2], i.dt, *rate, i.y, i.last, i.last_c]
    heads = [*i.readout, i.out]
    return gated.packed(
        numbers, (cell.kind, 1, interval), views, i.kept[0], heads, i.outputs, gradients.of_gated()
    )


def added(program: library.Program, total: Tensor | None, part: Tensor | None) -> Tensor | None:
    """The sum of gradients that two stages give, both laid out alike."""
    if total is None or part is None:
        return part if total is None else total
    numbers = (total.element_size(), 1, 0, 1, 1, 1, 1, total.numel(), 0)
    addresses = (part.data_ptr(), total.data_ptr())
    program.add("sum", library.arguments(f"{library.SIZES}2q", (*numbers, *addresses), [], 0))
    return total


def mask_view(layout: library.Layout, observed: Tensor | None) -> View:
    """``(B, L)`` or ``(B, L, I)``, the same for all lanes of a pack."""
    if observed is None:
        return ABSENT
    batch, row, *item = observed.stride()
    places = (batch, 0) if layout.shared else (0, batch)
    return (observed.data_ptr(), *places, row, item[0] if item else 0)


def ends_view(layout: library.Layout, ends: Tensor | None) -> View:
    """``(B,)``, the same for all lanes of a pack."""
    if ends is None:
        return ABSENT
    step = ends.stride(0)
    return (ends.data_ptr(), *((step, 0) if layout.shared else (0, step)), 0, 0)
