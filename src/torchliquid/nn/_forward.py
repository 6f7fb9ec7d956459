"""A call from what the caller gave to what the caller gets: for layers and packs, once.

Padding is masked, arguments are laid out, missing samples are skipped; then the stack
runs, and all of it is taken back.
"""

from typing import Any

import torch
from torch import Tensor

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
