"""A model: a recurrent layer and a linear readout."""

from typing import Any

from torch import Tensor, nn

from torchliquid.errors import TorchliquidError
from torchliquid.nn.layer import LiquidLayer, check_size

Recurrent = LiquidLayer | nn.LSTM | nn.GRU


class SequenceModel(nn.Module):
    """A recurrent layer and a linear readout at every step: ``y_t = W h_t + b``.

    Args:
        layer: a liquid layer, `torch.nn.LSTM` or `torch.nn.GRU`.
        output_size: O, values predicted at each step.

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
        width = layer.hidden_size
        if not isinstance(layer, LiquidLayer):
            width = (layer.proj_size or width) * (2 if layer.bidirectional else 1)
        check_size("output_size", output_size)
        weight = next(layer.parameters())
        self.layer = layer
        self.readout = nn.Linear(width, output_size, device=weight.device, dtype=weight.dtype)

    def forward(
        self, x: Tensor, h0: Any = None, dt: float | Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """Run the model over a sequence.

        Args:
            x: input as the layer takes it, e.g. ``(B, L, I)`` with ``batch_first``.
            h0: the layer's initial state; zeros if None.
            dt: time before each sample, liquid layers only (see `LiquidLayer.forward`).

        Returns:
            Predictions laid out like ``x`` with O features, and the layer's last state.
        """
        if isinstance(self.layer, LiquidLayer):
            states, h = self.layer(x, h0, dt)
        elif dt is not None:
            raise TorchliquidError(
                f"dt was given to a model over nn.{type(self.layer).__name__}, which has no notion "
                "of time: leave it out, or append it to x as a feature"
            )
        else:
            states, h = self.layer(x, h0)
        return self.readout(states), h
