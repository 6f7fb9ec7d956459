"""`nn.LSTM` and `nn.GRU` as cells: the same interface and `scan` as a liquid layer's."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from torchliquid import kernels
from torchliquid.nn import _forward as calls
from torchliquid.nn._interface import Interface, State
from torchliquid.nn._stack import Stack

Torch = nn.LSTM | nn.GRU


def interface_of(layer: Torch) -> Interface:
    """What calls of one of torch's layers must look like, whatever its depth."""
    widths: tuple[int, ...] = (layer.hidden_size,)
    if isinstance(layer, nn.LSTM):
        widths = (layer.proj_size or layer.hidden_size, layer.hidden_size)
    return Interface(
        layer.input_size,
        widths,
        layer.batch_first,
        getattr(layer, weight_names_of(layer)[0]),
        None,
        f"nn.{'LSTM' if isinstance(layer, nn.LSTM) else 'GRU'}",
        depth=layer.num_layers * (2 if layer.bidirectional else 1),
    )


def output_size_of(layer: Torch) -> int:
    """Features that one direction of the layer outputs."""
    return layer.proj_size or layer.hidden_size


def weight_names_of(layer: Torch) -> tuple[str, ...]:
    """Names of the layer's weights, in torch's order."""
    return tuple(name for names in layer._all_weights for name in names)


class TorchCell:
    """The cell of an `nn.LSTM` or `nn.GRU` without projection, run by our kernels.

    torch's own module cannot run a pack of models side by side.
    """

    def __init__(self, layer: Torch) -> None:
        # the layer itself is not kept: torch.compile refuses to look at one; its options are, so
        # that one that is changed counts
        self.weight_names = tuple(layer._all_weights[0])
        self._every_name = weight_names_of(layer)
        self._is_lstm = isinstance(layer, nn.LSTM)
        self._interface = interface_of(layer)
        self._options = vars(layer)

    def interface(self) -> Interface:
        """See `LiquidLayer.interface`."""
        return replace(self._interface, batch_first=self._options["batch_first"])

    def stack(self, training: bool) -> Stack:
        """See `LiquidLayer.stack`."""
        options = self._options
        dropout = options["dropout"] if training else 0.0
        return Stack(options["num_layers"], dropout, options["bidirectional"])

    def try_fast_forward(
        self,
        weights: Mapping[str, Any],
        readout: Mapping[str, Any] | None,
        x: Any,
        h0: Any,
        dt: Any,
        lengths: Any = None,
        observed: Any = None,
    ) -> tuple[Tensor, Any] | None:
        """See `LiquidLayer.try_fast_forward`; there is no dt."""
        if torch.compiler.is_compiling() or not (dt is lengths is observed is None):
            return None
        if any(w is None for w in map(weights.get, self._every_name)):
            return None  # a weight is somewhere else
        options = self._options
        kernel = kernels.LSTM if self._is_lstm else kernels.GRU
        if not options["bias"] or (options["training"] and options["dropout"]):
            return None  # without biases names are fewer than the kernel's weights
        return calls.try_fast(
            self,
            kernel,
            options["num_layers"],
            2 if options["bidirectional"] else 1,
            options["batch_first"],
            self._every_name,
            weights,
            readout,
            x,
            h0,
            1.0,
            None,
            None,
        )

    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: State, dt: float | Tensor
    ) -> tuple[Tensor, State]:
        """See `LiquidLayer.scan`; dt plays no part."""
        values = [weights[name] for name in self.weight_names]
        if isinstance(state, tuple):
            return kernels.lstm(x, *state, *values)
        return kernels.gru(x, state, *values)

    scan_dropping = scan

    def emit(self, weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """See `LiquidLayer.emit`."""
        return states

    def mute(self, weights: Mapping[str, Tensor], kept: Tensor) -> Mapping[str, Tensor]:
        """See `LiquidLayer.mute`; torch's layers have no ablations."""
        raise NotImplementedError

    def scan_and_read(
        self,
        weights: Mapping[str, Tensor],
        x: Tensor,
        state: State,
        dt: float | Tensor,
        readout: Tensor,
        readout_bias: Tensor | None,
    ) -> tuple[Tensor, State]:
        """See `LiquidLayer.scan_and_read`."""
        ih, hh, *biases = (weights[name] for name in self.weight_names)
        bias_ih, bias_hh = biases or (None, None)
        return kernels.gated_model(x, state, (ih, hh, bias_ih, bias_hh), readout, readout_bias)
