"""A call from what the caller gave to what the caller gets: for layers and packs, once.

Padding is masked, arguments are laid out, missing samples are skipped; then the stack
runs, and all of it is taken back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from torchliquid import kernels
from torchliquid.nn._interface import Interface, State
from torchliquid.nn._padding import masked
from torchliquid.nn._stack import (
    Cell,
    Stack,
    Timed,
    Weights,
    initial_outputs,
    run,
    run_time_constants,
)
from torchliquid.nn.missing import check_observed, compact_observed


def outputs(
    cell: Cell,
    interface: Interface,
    stack: Stack,
    weights: Weights,
    x: Any,
    h0: Any,
    dt: Any,
    lengths: Any,
    observed: Any,
) -> tuple[Tensor, State]:
    """Outputs laid out like x, 0 at padded steps, and the last state, shaped like h0.

    Args:
        cell: of the layer, or of every lane.
        interface: what the call must look like.
        stack: the layers and directions in which the cell runs.
        weights: of all layers and directions, by name.
        x: see the layer, as all that follow.
        h0: the state before the first sample.
        dt: the time before each sample.
        lengths: how many samples of each row are real.
        observed: which samples, or features, were observed.
    """
    rows = masked(interface, x, h0, dt, lengths)
    call = interface.to_batch_first(rows.x, h0, rows.dt)
    if observed is None:
        y, last = run(cell, stack, weights, call, rows.ends)
    else:
        skipped = compact_observed(call, check_observed(interface, rows.x, observed), rows.ends)
        y, last = run(cell, stack, weights, skipped.given, skipped.ends)
        y = skipped.scatter_back(y, initial_outputs(cell, stack, weights, call))
    dims = x.dim()
    return rows.zero_padding(interface.restore(y, dims)), interface.restore_state(last, dims)


class FastCell(Cell, Protocol):
    """A cell that may have a kernel."""

    def interface(self) -> Interface:
        """What calls must look like."""

    def stack(self, training: bool) -> Stack:
        """Layers and directions."""


def try_fast(
    cell: FastCell,
    kernel: kernels.KernelCell,
    num_layers: int,
    directions: int,
    batch_first: bool,
    names: Sequence[str],
    weights: Mapping[str, Any],
    readout: Mapping[str, Any] | None,
    x: Any,
    h0: Any,
    dt: Any,
    lengths: Any,
    observed: Any,
) -> tuple[Tensor, Any] | None:
    """`outputs`, or their linear readout, in one native call.

    None, and nothing done, where there are no native kernels or an argument is not quite what they
    take.

    Args:
        cell: of the layer, or of every lane.
        kernel: what runs it.
        num_layers: without projections, dropout or muted neurons.
        directions: one or two.
        batch_first: layout of x.
        names: of the weights of all layers and directions, in torch's order.
        weights: parameters by name; those of a pack have lanes.
        readout: a readout's parameters by name, or None.
        x: see the layer, as all that follow.
        h0: the state before the first sample.
        dt: the time before each sample.
        lengths: how many samples of each row are real.
        observed: which samples, or features, were observed.
    """
    if kernels.backend() != "native":
        return None
    head = None if readout is None else (readout.get("weight"), readout.get("bias"))
    slow = partial(_in_steps, cell, names, readout is not None, dt, lengths, observed)
    return kernels.try_fast_layers(
        kernel,
        num_layers,
        directions,
        tuple(map(weights.get, names)),
        head,
        batch_first,
        x,
        h0,
        dt,
        lengths,
        observed,
        slow,
    )


def _in_steps(
    cell: FastCell,
    names: Sequence[str],
    reads: bool,
    interval: Any,
    lengths: Any,
    observed: Any,
    x: Tensor,
    h0: Tensor,
    c0: Tensor | None,
    dt: Tensor | None,
    *weights: Tensor,
) -> tuple[Tensor, ...]:
    """The same from differentiable operations; x, dt and what is returned are batch first."""
    held = {n: w for n, w in zip(names, weights, strict=False) if w is not None}
    interface = replace(cell.interface(), batch_first=True)
    if weights[1].dim() == 3:
        interface = interface.of_pack(len(weights[1]), weights[1])
    if observed is not None and not cell.interface().batch_first:
        observed = observed.transpose(0, 1)
    time = dt if dt is not None else interval if interface.dt is not None else None
    state = h0 if c0 is None else (h0, c0)
    stack = cell.stack(False)
    y, last = outputs(cell, interface, stack, held, x, state, time, lengths, observed)
    if reads:
        y = kernels.linear(y, *weights[-2:])
    return y, *(last if isinstance(last, tuple) else (last,))


def time_constants(
    cell: Timed,
    interface: Interface,
    stack: Stack,
    weights: Weights,
    x: Any,
    h0: Any,
    dt: Any,
    lengths: Any,
    observed: Any,
) -> Tensor:
    """System time constants laid out like x, NaN at padded steps and where nothing was observed.

    Several layers and directions lead, after the lanes. Arguments as of `outputs`.
    """
    rows = masked(interface, x, h0, dt, lengths)
    call = interface.to_batch_first(rows.x, h0, rows.dt)
    if observed is None:
        tau = run_time_constants(cell, stack, weights, call, rows.ends)
    else:
        skipped = compact_observed(call, check_observed(interface, rows.x, observed), rows.ends)
        tau = run_time_constants(cell, stack, weights, skipped.given, skipped.ends)
        tau = skipped.at_samples(tau)
    tau = rows.zero_padding(interface.restore(tau, x.dim()), torch.nan)
    return tau if interface.depth > 1 else tau.squeeze(0 if interface.lanes is None else 1)
