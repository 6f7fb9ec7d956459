"""A model: a recurrent layer and a linear readout."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

from torchliquid import kernels
from torchliquid._checks import autocast_type, check_size
from torchliquid.errors import TorchliquidError
from torchliquid.nn._interface import Interface, State, initial_state
from torchliquid.nn._stack import run_and_read
from torchliquid.nn._torch_cells import interface_of as interface_of_torch
from torchliquid.nn._torch_cells import output_size_of
from torchliquid.nn.io.scaling import Scaling
from torchliquid.nn.layer import LiquidLayer

Recurrent = LiquidLayer | nn.LSTM | nn.GRU


class SequenceModel(nn.Module):
    """A recurrent layer and a linear readout at every step: ``y_t = W h_t + b``.

    Args:
        layer: a liquid layer, `torch.nn.LSTM` or `torch.nn.GRU`.
        output_size: O, values predicted at each step.

    Attributes:
        scaling: what inputs and outputs mean, where it is known (a benchmark sets it). It
            changes nothing here; `save` keeps it, and exported code takes and gives those units.

    >>> import torch
    >>> from torchliquid import LTC
    >>> model = SequenceModel(LTC(1, 8, batch_first=True), output_size=1)
    >>> sum(p.numel() for p in model.parameters())
    105
    >>> y, h = model(torch.zeros(2, 10, 1))
    >>> y.shape
    torch.Size([2, 10, 1])
    """

    def __init__(self, layer: Recurrent, output_size: int) -> None:
        super().__init__()
        if not isinstance(layer, LiquidLayer | nn.LSTM | nn.GRU):
            raise TorchliquidError(
                f"layer is a {type(layer).__name__}: expected a liquid layer, nn.LSTM or nn.GRU"
            )
        one = layer.output_size if isinstance(layer, LiquidLayer) else output_size_of(layer)
        width = one * (2 if layer.bidirectional else 1)
        output_size = check_size("output_size", output_size)
        weight = interface_of(layer).weight
        self.layer = layer
        self.scaling: Scaling | None = None
        try:
            self.readout = nn.Linear(width, output_size, device=weight.device, dtype=weight.dtype)
        except (RuntimeError, MemoryError) as error:
            reason = str(error).splitlines()[0][:160]
            raise TorchliquidError(
                f"cannot make a readout of {output_size} x {width} weights: {reason}"
            ) from error

    def extra_repr(self) -> str:
        """Return what goes in and comes out, where it is known."""
        return "" if self.scaling is None else self.scaling.words()

    def forward(
        self,
        x: Any,
        h0: State | None = None,
        dt: Any = None,
        lengths: Any = None,
        observed: Any = None,
        *,
        hx: State | None = None,
    ) -> tuple[Any, State]:
        """Run the model over a sequence.

        Args:
            x: input as the layer takes it, e.g. ``(B, L, I)`` with ``batch_first``, or packed.
            h0: the layer's initial state; zeros if None.
            dt: time before each sample, liquid layers only (see `LiquidLayer.forward`).
            lengths: of a padded batch, liquid layers only; predictions at padded steps are those
                of a state of zero, and mean nothing.
            observed: which samples, or features, were observed; liquid layers only.
            hx: h0 by the name that `nn.LSTM` has for it.

        Returns:
            Predictions laid out like ``x`` with O features, and the layer's last state.
        """
        h0 = initial_state(h0, hx)
        if isinstance(x, PackedSequence):
            return self._ragged(x, h0, dt, lengths, observed)
        layer: nn.Module = self.layer
        exporting = torch.compiler.is_exporting()  # into a program of operations, not of kernels
        unwatched = isinstance(layer, LiquidLayer) and not exporting and self._unwatched(layer)
        if isinstance(layer, LiquidLayer) and unwatched:
            readout = self.readout._parameters
            done = layer.try_fast_forward(layer._parameters, readout, x, h0, dt, lengths, observed)
            if done is not None:
                layer.notify(x, h0, dt, lengths, observed)
                return done
        if lengths is not None or observed is not None:
            return self._ragged(x, h0, dt, lengths, observed)
        dtype = self.readout.weight.dtype
        interface = interface_of(self.layer)
        if isinstance(layer, LiquidLayer) and unwatched and self._one_kernel(interface):
            call = interface.to_batch_first(x, h0, dt)
            stack = layer.stack(layer.training)
            y, last = run_and_read(
                layer, stack, layer.weights(), call, self.readout.weight, self.readout.bias
            )
            layer.notify(x, h0, dt)
            return interface.restore(y, x.dim()), interface.restore_state(last, x.dim())
        if isinstance(layer, LiquidLayer):
            states, h = layer(x, h0, dt)
        else:
            interface.check(x, h0, dt)
            states, h = layer(x, h0)
        if states.dtype != dtype and not autocast_type(states):
            raise TorchliquidError(
                f"the readout is {dtype}, the layer {interface.weight.dtype}: convert one, e.g. "
                f"model.to({dtype})"
            )
        return self.readout(states), h

    def _ragged(self, x: Any, h0: Any, dt: Any, lengths: Any, observed: Any) -> tuple[Any, State]:
        layer: nn.Module = self.layer
        mine = {"lengths": lengths, "observed": observed, "dt": dt}
        named = [name for name, value in mine.items() if value is not None]
        if isinstance(layer, LiquidLayer):
            states, h = layer(x, h0, dt, lengths, observed)
        elif named:
            raise TorchliquidError(
                f"{named[0]} was given to a model over {interface_of(self.layer).kind}, which "
                "takes rows of unlike lengths packed and has no notion of time: leave it out, and "
                "pack x"
            )
        else:
            states, h = layer(x, h0)
        if isinstance(states, PackedSequence):
            return states._replace(data=self.readout(states.data)), h
        return self.readout(states), h

    def _one_kernel(self, interface: Interface) -> bool:
        """Whether a kernel can do layer and readout at once; the states may not be wanted."""
        return (
            kernels.backend() == "native"
            and self.readout.weight.dtype == interface.weight.dtype
            and not autocast_type(self.readout.weight)
        )

    def _unwatched(self, layer: LiquidLayer) -> bool:
        """Whether layer and readout are what they seem, and no hook listens to their calls."""
        return (
            type(layer).forward is LiquidLayer.forward
            and type(self.readout) is nn.Linear
            and not has_extras(layer)
            and not has_extras(self.readout)
            and not has_global_hooks()
        )


def has_extras(module: nn.Module) -> bool:
    """Whether a hook listens to the module's calls, or they are replaced."""
    attributes = vars(module)
    return "forward" in attributes or any(attributes[name] for name in HOOKS)


def has_global_hooks() -> bool:
    """Whether a hook listens to the calls of all modules."""
    attributes = vars(nn.modules.module)
    return any(attributes[f"_global{name}"] for name in HOOKS)


HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Where a module keeps who listens to its calls."""


def interface_of(layer: Recurrent) -> Interface:
    """What calls of a layer must look like."""
    return layer.interface() if isinstance(layer, LiquidLayer) else interface_of_torch(layer)
