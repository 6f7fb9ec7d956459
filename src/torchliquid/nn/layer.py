"""The one driver that runs any liquid cell over a sequence, behind the interface of `nn.LSTM`."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid.errors import TorchliquidError


class LiquidLayer(nn.Module, ABC):
    """A liquid cell run over a sequence.

    Subclasses own the parameters and give two things: `scan`, the cell over a batch-first
    sequence with the weights it is handed, and `config`, their constructor's arguments. All that
    concerns layout, initial state and time is done here, once.

    Args:
        input_size: I, features of one sample.
        hidden_size: H, neurons.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dt: time between samples where a call gives none; the unit of every time constant.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, batch_first: bool = False, dt: float = 1.0
    ) -> None:
        super().__init__()
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.batch_first = batch_first
        self.dt = check_interval(dt)

    @abstractmethod
    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """The cell over ``x (*S, B, L, I)`` from ``state (*S, B, H)`` with the given weights.

        ``weights`` has the names of this layer's parameters, each with leading lanes ``*S`` where
        a pack runs. ``dt`` is a float or ``(*S, B, L)``. Returns states ``(*S, B, L, H)`` and the
        last state ``(*S, B, H)``.
        """

    @abstractmethod
    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """System time constants ``(*S, B, L, H)`` in the unit of dt; arguments as in `scan`."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The constructor's arguments that build a layer of this shape, JSON types only."""

    def forward(
        self, x: Tensor, h0: Tensor | None = None, dt: float | Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run the layer over a sequence.

        Args:
            x: input ``(L, B, I)``, with ``batch_first`` ``(B, L, I)``, or unbatched ``(L, I)``.
            h0: state before the first sample, ``(1, B, H)``, unbatched ``(1, H)``; zeros if None.
            dt: time before each sample: a float for all, or a tensor ``(L, B)``, with
                ``batch_first`` ``(B, L)``, unbatched ``(L,)``. None takes the layer's ``dt``.

        Returns:
            States after every sample, laid out like ``x`` with H features, and the state after
            the last one, shaped like ``h0``.

        Raises:
            TorchliquidError: a shape, dtype or dt that does not fit.
        """
        sequence, state, step = self.arrange(x, h0, dt)
        states, last = self.scan(dict(self.named_parameters()), sequence, state, step)
        return self.restore(states, x.dim()), last if x.dim() == 2 else last.unsqueeze(0)

    def arrange(
        self, x: Tensor, h0: Tensor | None, dt: float | Tensor | None
    ) -> tuple[Tensor, Tensor, float | Tensor]:
        """Check a call's arguments; give them as `scan` wants them: batch first, h0 ``(B, H)``."""
        layout = "(B, L, I)" if self.batch_first else "(L, B, I)"
        expected = f"{layout} or (L, I) with I = {self.input_size}"
        if not isinstance(x, Tensor):
            raise TorchliquidError(f"x is a {type(x).__name__}: expected a tensor {expected}")
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size:
            raise TorchliquidError(f"x has shape {tuple(x.shape)}: expected {expected}")
        dtype = next(self.parameters()).dtype
        if x.dtype != dtype and not torch.is_autocast_enabled(x.device.type):
            raise TorchliquidError(
                f"x is {x.dtype}, the layer {dtype}: convert one, e.g. x.to({dtype})"
            )
        batched = x.dim() == 3
        sequence = x.unsqueeze(0) if not batched else x if self.batch_first else x.transpose(0, 1)
        B, L = sequence.shape[:2]
        if L == 0 or B == 0:
            raise TorchliquidError(f"x has shape {tuple(x.shape)}: it holds no sample")
        return sequence, self._arrange_state(h0, sequence, batched), self._arrange_dt(dt, x)

    def restore(self, sequence: Tensor, dims: int) -> Tensor:
        """Lay a batch-first result out as the caller's input of ``dims`` dimensions was."""
        if dims == 2:
            return sequence.squeeze(0)
        return sequence if self.batch_first else sequence.transpose(0, 1)

    def _arrange_state(self, h0: Tensor | None, sequence: Tensor, batched: bool) -> Tensor:
        B, H = len(sequence), self.hidden_size
        if h0 is None:
            return sequence.new_zeros(B, H)
        expected = (1, B, H) if batched else (1, H)
        if not isinstance(h0, Tensor):
            raise TorchliquidError(f"h0 is a {type(h0).__name__}: expected a tensor {expected}")
        if h0.shape != expected:
            raise TorchliquidError(f"h0 has shape {tuple(h0.shape)}: expected {expected}")
        if h0.dtype != sequence.dtype:
            raise TorchliquidError(f"h0 is {h0.dtype}, x {sequence.dtype}: give both one dtype")
        return h0.reshape(B, H)

    def _arrange_dt(self, dt: float | Tensor | None, x: Tensor) -> float | Tensor:
        if dt is None:
            return self.dt
        if not isinstance(dt, Tensor):
            return check_interval(dt)
        if dt.shape != x.shape[:-1]:
            layout = {2: "(L,)", 3: "(B, L)" if self.batch_first else "(L, B)"}[x.dim()]
            raise TorchliquidError(
                f"dt has shape {tuple(dt.shape)}: expected a float or {layout} = "
                f"{tuple(x.shape[:-1])}, one value for each sample of x {tuple(x.shape)}"
            )
        dt = check_intervals(dt.to(x.dtype))
        return dt.unsqueeze(0) if x.dim() == 2 else dt if self.batch_first else dt.transpose(0, 1)

    def extra_repr(self) -> str:
        """The constructor's arguments, as ``print(layer)`` shows them."""
        return ", ".join(f"{name}={value!r}" for name, value in self.config().items())


def check_size(name: str, size: int) -> int:
    """The size, if it is one; an error that names it if not."""
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise TorchliquidError(f"{name} is {size!r}: give a whole number of at least 1")
    return size


def check_interval(dt: float) -> float:
    """One dt for all samples, as a float."""
    if isinstance(dt, bool) or not isinstance(dt, int | float):
        raise TorchliquidError(
            f"dt is a {type(dt).__name__}: expected a float, or a tensor with one value a sample"
        )
    if not (dt > 0 and math.isfinite(dt)):
        raise TorchliquidError(f"dt is {dt}: expected a positive, finite time between samples")
    return float(dt)


def check_intervals(dt: Tensor) -> Tensor:
    """One dt for each sample. A compiled model does not look at the values."""
    if not torch.compiler.is_compiling() and not bool(((dt > 0) & dt.isfinite()).all()):
        raise TorchliquidError("dt holds values that are not positive and finite: mend them")
    return dt
