"""What a trained layer does: its time constants, and how they answer to jumps in the input."""

from numbers import Integral
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from torchliquid.checks import shown
from torchliquid.errors import TorchliquidError
from torchliquid.nn import LTC, LiquidLayer, SequenceModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@torch.no_grad()
def time_constants(
    layer: LiquidLayer | SequenceModel,
    x: Tensor,
    h0: Tensor | None = None,
    dt: float | Tensor | None = None,
    lengths: Any = None,
    observed: Any = None,
) -> Tensor:
    """System time constant tau_sys of every neuron as each sample arrives.

    For `LTC`, ``tau_sys = tau / (1 + tau f)`` (LTC paper, equation 2) with the gate f of the sample
    and of the state before it.

    Args:
        layer: a liquid layer, or a model over one.
        x: input as the layer takes it.
        h0: initial state; zeros if None.
        dt: time before each sample, as in the layer's call.
        lengths: of a padded batch, as in the layer's call.
        observed: which samples, or features, arrived, as in the layer's call.

    Returns:
        tau_sys in the unit of dt, laid out like ``x`` with H features; NaN at padded steps and at
        samples that did not arrive. Of several layers or directions, ``D`` of them, the places lead
        as in a state: l0, l0_reverse, l1, ..., so that ``found[0]`` is the first layer's. A neuron
        that runs backwards stands at the sample that it saw.

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
    return found.time_constants(x, h0, dt, lengths, observed)


def plot_time_constants(
    layer: LiquidLayer | SequenceModel,
    x: Tensor,
    h0: Tensor | None = None,
    dt: float | Tensor | None = None,
    *,
    place: int = 0,
) -> "Figure":
    """Draw one sequence and what its time constants do: input, mean tau_sys, every neuron.

    Time runs along the axis as dt says. A neuron's row of the map goes from 0 % at
    ``tau / (1 + tau)`` to 100 % at ``tau``, the limits that the gate in (0, 1) sets it, so that the
    map shows movement; the neuron that moves most is on top.

    Args:
        layer: an `LTC`, or a model over one.
        x: one sequence as the layer takes it, ``(L, I)`` or a batch of one.
        h0: initial state; zeros if None.
        dt: time before each sample, as in the layer's call.
        place: whose neurons are drawn where there are several layers or directions; they are
            numbered as in a state.

    Returns:
        A matplotlib figure, for ``figure.savefig(...)`` or a notebook.

    Raises:
        TorchliquidError: more than one sequence, another kind of layer, or no matplotlib.

    >>> from torchliquid import LTC
    >>> figure = plot_time_constants(LTC(1, 8, dt=0.1), torch.randn(50, 1))
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['Input', 'Mean tau_sys over 8 neurons']
    """
    tau_sys = time_constants(layer, x, h0, dt)
    found = layer.layer if isinstance(layer, SequenceModel) else layer
    if not isinstance(found, LTC):
        raise TorchliquidError(
            f"plot_time_constants was given a {type(found).__name__}: only an LTC has a tau that "
            "tau_sys stays below"
        )
    if x.dim() == 3:
        batch = 0 if found.batch_first else 1
        if x.shape[batch] != 1:
            raise TorchliquidError(
                f"x has shape {tuple(x.shape)}, {x.shape[batch]} sequences: give one, such as "
                f"{'x[:1]' if found.batch_first else 'x[:, :1]'}"
            )
        x, tau_sys = x.squeeze(batch), tau_sys.squeeze(batch - 3)
    places = found.interface().depth
    whole = isinstance(place, Integral) and not isinstance(place, bool)
    if not whole or not -places <= place < places:
        raise TorchliquidError(
            f"place is {shown(place)}: give a whole number, 0 to {places - 1}, of layers times "
            "directions"
        )
    if places > 1:
        tau_sys = tau_sys[place]
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise TorchliquidError(
            "plot_time_constants needs matplotlib: pip install 'torchliquid[bench]'"
        ) from error
    given = found.dt if dt is None else dt
    steps = given.detach() if isinstance(given, Tensor) else torch.tensor(float(given))
    time = steps.double().flatten().expand(len(x)).cumsum(0).cpu().numpy()
    tau = found.tau.detach().view(places, -1)[place]
    share = (100 * (tau_sys - tau / (1 + tau)) / (tau - tau / (1 + tau))).double().cpu()
    order = share.std(dim=0, correction=0).argsort()

    figure = Figure(figsize=(8, 6), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    top.plot(time, x.detach().double().cpu().numpy())
    top.set_title("Input")
    middle.plot(time, tau_sys.double().mean(dim=1).cpu().numpy())
    middle.set_title(f"Mean tau_sys over {len(tau)} neurons")
    image = bottom.pcolormesh(
        time, range(len(tau)), share[:, order].T.numpy(), vmin=0, vmax=100, shading="nearest"
    )
    bottom.set_yticks(range(len(tau)), [str(int(neuron)) for neuron in order])
    bottom.set_title("Every neuron within its limits")
    bottom.set_ylabel("neuron")
    bottom.set_xlabel("time, unit of dt")
    figure.colorbar(image, ax=bottom, label="% from tau/(1+tau) to tau")
    return figure
