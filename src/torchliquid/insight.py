"""What a trained layer does: its time constants, and how they answer to jumps in the input."""

import torch
from torch import Tensor

from torchliquid.errors import TorchliquidError
from torchliquid.nn import LiquidLayer, SequenceModel


@torch.no_grad()
def time_constants(
    layer: LiquidLayer | SequenceModel,
    x: Tensor,
    h0: Tensor | None = None,
    dt: float | Tensor | None = None,
) -> Tensor:
    """System time constant tau_sys of every neuron as each sample arrives.

    For `LTC`, ``tau_sys = tau / (1 + tau f)`` (LTC paper, equation 2) with the gate f of the sample
    and of the state before it.

    Args:
        layer: a liquid layer, or a model over one.
        x: input as the layer takes it.
        h0: initial state; zeros if None.
        dt: time before each sample, as in the layer's call.

    Returns:
        tau_sys in the unit of dt, laid out like ``x`` with H features.

    >>> from torchliquid import LTC
    >>> layer = LTC(1, 8)
    >>> tau_sys = time_constants(layer, torch.zeros(20, 1))
    >>> tau_sys.shape
    torch.Size([20, 8])
    >>> bool((tau_sys < layer.tau).all())
    True
    """
    found = layer.layer if isinstance(layer, SequenceModel) else layer
    if not isinstance(found, LiquidLayer):
        raise TorchliquidError(
            f"time_constants was given a {type(found).__name__}: only liquid layers have tau_sys"
        )
    return found.time_constants(x, h0, dt)
