"""One sample of a stream as a sequence of one: where no kernel takes the step."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from torchliquid._checks import check_tensor
from torchliquid.errors import TorchliquidError
from torchliquid.nn._interface import Interface

Run = Callable[[Tensor, Tensor | None, Any], tuple[Tensor, Tensor]]


def step_through(
    steppers: Sequence[Callable[..., Tensor | None] | None],
    shape: tuple[int, ...],
    x: Tensor,
    state: Any,
    dt: Any,
    out: Any,
) -> Tensor | None:
    """One sample through the layers' steppers; None where one of them does not take it."""
    for tensor in (x, state, out):
        if tensor is not None and (not isinstance(tensor, Tensor) or tensor.is_nested):
            return None
    if state is None:
        state = x.new_zeros(shape)
    if out is None:
        out = torch.empty_like(state)
    if None in steppers or not state.shape == out.shape == shape:
        return None
    for layer, stepper in enumerate(steppers):
        written = stepper(x, state[layer], dt, out[layer])  # type: ignore[misc]
        if written is None:
            return None
        x = written
    return out  # type: ignore[no-any-return]


def step(
    interface: Interface,
    bidirectional: bool,
    run: Run,
    x: Any,
    state: Any,
    dt: Any,
    out: Any,
) -> Tensor:
    """Run one sample and return the state after it; see `LiquidLayer.step`.

    ``run`` is the layer over sequences, as its call is; ``dt`` may be one for each stream.
    """
    I, (H,), D = interface.input_size, interface.widths, interface.depth
    check_tensor("x", x, f"(I,) or (B, I) with I = {I}")
    if x.dim() not in (1, 2) or x.shape[-1] != I:
        raise TorchliquidError(
            f"x has shape {tuple(x.shape)}: expected one sample (I,) or (B, I) with I = {I}"
        )
    if bidirectional:
        raise TorchliquidError(
            "the layer is bidirectional: it needs the samples to come, call it with the whole "
            "sequence, or build it with bidirectional=False"
        )
    shape = (*(() if D == 1 else (D,)), *x.shape[:-1], H)
    for name, tensor in (("state", state), ("out", out)):
        if tensor is None:
            continue
        check_tensor(name, tensor, f"{shape}")
        if tensor.shape != shape or tensor.dtype != x.dtype or tensor.device != x.device:
            raise TorchliquidError(
                f"{name} is {tuple(tensor.shape)} of {tensor.dtype} on {tensor.device}: expected "
                f"{shape} of {x.dtype} on {x.device}"
            )
    time = 1 if interface.batch_first and x.dim() == 2 else 0
    if isinstance(dt, Tensor) and dt.dim():
        check_tensor("dt", dt, f"{tuple(x.shape[:-1])}")
        if dt.shape != x.shape[:-1]:
            raise TorchliquidError(
                f"dt has shape {tuple(dt.shape)}: expected a number or {tuple(x.shape[:-1])}"
            )
        dt = dt.unsqueeze(time)
    if state is not None:
        state = state.reshape(D, *shape[-x.dim() :])
    _, last = run(x.unsqueeze(time), state, dt)
    last = last.view(shape)
    return last if out is None else out.copy_(last)
