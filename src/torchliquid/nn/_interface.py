"""What a layer, a model or a pack takes: the interface of `nn.LSTM`, with a time for each sample.

All that concerns shapes, layout, types, devices, initial state and time is decided here, once.
"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from torch import Tensor

from torchliquid._checks import (
    autocast_type,
    check_device,
    check_interval,
    check_intervals,
    check_tensor,
)
from torchliquid.errors import TorchliquidError

State = Tensor | tuple[Tensor, Tensor]
"""State of a recurrent cell: one tensor, or the pair ``(h, c)`` of an LSTM."""


def initial_state(h0: Any, hx: Any) -> Any:
    """The initial state of a call, by either of its names."""
    if hx is None:
        return h0
    if h0 is not None:
        raise TorchliquidError("h0 and hx are both given: they are one argument, give one")
    return hx


class BatchFirst(NamedTuple):
    """A call's arguments as cells take them: batch first, lanes before that where a pack runs."""

    x: Tensor
    state: State
    dt: float | Tensor


@dataclass(frozen=True)
class Interface:
    """What calls of one layer must look like.

    Args:
        input_size: I.
        widths: features of each part of the state: one number, or two for an LSTM.
        batch_first: whether x is ``(B, L, I)`` instead of ``(L, B, I)``.
        weight: one of the layer's weights: its dtype and device are those of the layer.
        dt: time between samples where a call gives none; None for a layer without notion of time.
        kind: what to call the layer in messages, e.g. ``"nn.LSTM"``.
        unfolds: into how many sub-steps a dt is divided.
        depth: layers times directions, the leading dimension of a state.
        lanes: S; None where there is one model, without a dimension for it.
    """

    input_size: int
    widths: tuple[int, ...]
    batch_first: bool
    weight: Tensor
    dt: float | None
    kind: str
    unfolds: int = 1
    depth: int = 1
    lanes: int | None = None

    def of_pack(self, lanes: int, weight: Tensor) -> "Interface":
        """The interface of a pack of such layers; ``weight`` is one of its own."""
        return replace(self, lanes=lanes, weight=weight)

    def to_batch_first(self, x: Any, h0: Any, dt: Any) -> BatchFirst:
        """Check a call's arguments and lay them out, states ``(*S, D, B, H)``.

        Raises:
            TorchliquidError: a type, shape, dtype, device or dt that does not fit.
        """
        self._check_x(x)
        dt = self._narrow(dt, x)
        self._check_state_and_dt(x, h0, dt)
        sequence = x.unsqueeze(0) if x.dim() == 2 else x
        if x.dim() > 2 and not self.batch_first:
            sequence = x.transpose(-3, -2)
        return BatchFirst(sequence, self._state(h0, sequence), self._times(dt, x))

    def check(self, x: Any, h0: Any, dt: Any) -> None:
        """What `to_batch_first` raises, for a layer that lays out by itself."""
        self._check_x(x)
        self._check_state_and_dt(x, h0, self._narrow(dt, x))

    def _check_state_and_dt(self, x: Tensor, h0: Any, dt: Any) -> None:
        if h0 is not None:
            self._check_state(h0, x)
        if dt is None:
            return
        if self.dt is None:
            owner = "a model over" if self.lanes is None else "a pack of"
            raise TorchliquidError(
                f"dt was given to {owner} {self.kind}, which has no notion of time: leave it out, "
                "or append it to x as a feature"
            )
        if isinstance(dt, Tensor):
            check_tensor("dt", dt, "or a float")
            if dt.dim():
                self._check_times(dt, x)
            elif dt.device.type != "cpu":
                check_device("dt", dt, x.device, "x")
        else:
            check_interval(dt, self.weight.dtype, self.unfolds)

    def _narrow(self, dt: Any, x: Tensor) -> Any:
        """Without the last dimension of a dt that is laid out like x, with one feature."""
        if not isinstance(dt, Tensor) or dt.is_nested or dt.shape != (*x.shape[:-1], 1):
            return dt
        return dt.squeeze(-1)

    def restore(self, sequence: Tensor, dims: int) -> Tensor:
        """Lay a batch-first result out as the caller's input of ``dims`` dimensions was."""
        if dims == 2:
            return sequence.squeeze(-3)
        laid_out = sequence if self.batch_first else sequence.transpose(-3, -2)
        # callers view a layer's outputs, as those of nn.LSTM; a pack's would cost a copy
        return laid_out.contiguous() if self.lanes is None else laid_out

    def restore_state(self, state: State, dims: int) -> State:
        """The same for a state ``(*S, D, B, H)``: ``(D, H)`` where the input had no batch.

        It is no view: rows may be reset in place, or it detached.
        """
        if isinstance(state, tuple):
            return tuple(self.restore_state(part, dims) for part in state)  # type: ignore[return-value]
        return state.squeeze(-2).clone() if dims == 2 else state

    def _check_x(self, x: Any) -> None:
        inner = "B, L, I" if self.batch_first else "L, B, I"
        sizes = f"with I = {self.input_size}"
        if self.lanes is None:
            expected, dims = f"({inner}) or (L, I) {sizes}", (2, 3)
        else:
            sizes = f"with S = {self.lanes}, I = {self.input_size}"
            expected, dims = f"(S, {inner}) or ({inner}) {sizes}", (3, 4)
        check_tensor("x", x, expected)
        fits = x.dim() in dims and x.shape[-1] == self.input_size
        if not fits or (x.dim() == 4 and x.shape[0] != self.lanes):
            raise TorchliquidError(f"x has shape {tuple(x.shape)}: expected {expected}")
        owner = "the layer" if self.lanes is None else "the pack"
        check_device("x", x, self.weight.device, owner)
        dtype = self.weight.dtype
        if x.dtype != dtype and not (autocast_type(x) and x.is_floating_point()):
            raise TorchliquidError(
                f"x is {x.dtype}, {owner} {dtype}: convert one, e.g. x.to({dtype})"
            )
        if x.shape[-3 if x.dim() > 2 and not self.batch_first else -2] == 0:
            raise TorchliquidError(f"x has shape {tuple(x.shape)}: it holds no sample")

    def _batch(self, x: Tensor) -> int:
        return x.shape[-3 if self.batch_first else -2]

    def _check_state(self, h0: Any, x: Tensor) -> None:
        lead = () if self.lanes is None else (self.lanes,)
        batch = () if x.dim() == 2 else (self._batch(x),)
        shapes = [(*lead, self.depth, *batch, width) for width in self.widths]
        pair = len(shapes) == 2
        parts = h0 if isinstance(h0, tuple) and pair else (h0,)
        if len(parts) != len(shapes) or not all(isinstance(part, Tensor) for part in parts):
            kind = "a pair (h, c) of tensors" if pair else "a tensor"
            advice = ": it has one state, not a pair (h, c)" if isinstance(h0, tuple) else ""
            raise TorchliquidError(
                f"h0 is a {type(h0).__name__}: expected {kind} {shapes[0]} for {self.kind}{advice}"
            )
        for part, shape in zip(parts, shapes, strict=True):
            check_tensor("h0", part, f"{shape}")
            if part.shape != shape:
                note = " (layers times directions lead)" if self.depth > 1 else ""
                raise TorchliquidError(f"h0 has shape {tuple(part.shape)}: expected {shape}{note}")
            check_device("h0", part, x.device, "x")
            # under autocast a layer gives states of its own dtype for an input of another
            mixed = autocast_type(x) and part.is_floating_point()
            if part.dtype != self.weight.dtype and not mixed:
                raise TorchliquidError(
                    f"h0 is {part.dtype}, x {x.dtype}: give both {self.weight.dtype}"
                )

    def _check_times(self, dt: Tensor, x: Tensor) -> None:
        shape = tuple(x.shape[:-1])
        names = "L" if x.dim() == 2 else "B, L" if self.batch_first else "L, B"
        steps = (x.shape[-2 if self.batch_first or x.dim() == 2 else -3],)
        if x.dim() == 2:
            fits, expected = dt.shape == shape, f"a float or (L,) = {shape}"
        elif self.lanes is None:
            fits = dt.shape in (shape, steps)
            expected = f"a float, ({names}) = {shape} or (L,) = {steps} for all rows"
        else:
            shared = shape[-2:]
            fits = dt.shape in ((self.lanes, *shared), shared, steps)
            expected = f"a float, (S, {names}) = {(self.lanes, *shared)}, {shared} or {steps}"
        if not fits:
            raise TorchliquidError(
                f"dt has shape {tuple(dt.shape)}: expected {expected}, one value for each sample "
                f"of x {tuple(x.shape)}"
            )
        check_device("dt", dt, x.device, "x")

    def _state(self, h0: Any, sequence: Tensor) -> State:
        lead = () if self.lanes is None else (self.lanes,)
        D, B, dtype = self.depth, sequence.shape[-3], self.weight.dtype
        if h0 is None:
            parts = [sequence.new_zeros(*lead, D, B, width, dtype=dtype) for width in self.widths]
        else:
            initial = h0 if isinstance(h0, tuple) else (h0,)
            parts = [
                part.to(dtype).reshape(*lead, D, B, width)
                for part, width in zip(initial, self.widths, strict=True)
            ]
        return (parts[0], parts[1]) if len(parts) == 2 else parts[0]

    def _times(self, dt: Any, x: Tensor) -> float | Tensor:
        if not isinstance(dt, Tensor):
            interval = self.dt if dt is None else dt
            if interval is None:
                return 1.0
            return check_interval(interval, self.weight.dtype, self.unfolds)
        if dt.dim() == 0:
            shape = x.shape[:-1] if self.lanes is None else x.shape[-3:-1]
            dt = dt.to(x.device).expand(shape)
        times: Tensor = check_intervals(dt, self.weight.dtype)
        if x.dim() == 2:
            return times.unsqueeze(0)
        if times.dim() == 1:  # the same for all rows
            return times.expand(self._batch(x), len(times))
        return times if self.batch_first else times.transpose(-2, -1)
