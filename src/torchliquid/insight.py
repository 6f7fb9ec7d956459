"""What a trained layer does: its time constants, and how they answer to jumps in the input."""

import itertools
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from torchliquid._checks import check_index, check_size
from torchliquid.errors import TorchliquidError
from torchliquid.install import install_command
from torchliquid.nn import LTC, LiquidLayer, Pack, Resonator, SequenceModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["plot_time_constants", "time_constants", "watch"]


@torch.no_grad()
def time_constants(
    layer: LiquidLayer | SequenceModel,
    x: Tensor,
    h0: Tensor | None = None,
    dt: float | Tensor | None = None,
    lengths: Any = None,
    observed: Any = None,
) -> Tensor:
    """System time constant tau_sys of every neuron at each sample.

    For `LTC`, ``tau_sys = tau / (1 + tau f)`` (LTC paper, equation 2) with the gate f of the sample
    and of the state before it.

    Args:
        layer: a liquid layer, or a model over one.
        x: input as the layer takes it.
        h0: initial state; zeros if None.
        dt: time before each sample, as in the layer's call.
        lengths: of a padded batch, as in the layer's call.
        observed: which samples, or features, were observed, as in the layer's call.

    Returns:
        tau_sys in the unit of dt, laid out like ``x`` with H features; NaN at padded steps and at
        missing samples. Of several layers or directions, ``D`` of them, these lead
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
    inner = layer.layer if isinstance(layer, SequenceModel) else layer
    if not isinstance(inner, LiquidLayer):
        raise TorchliquidError(
            f"time_constants was given a {type(inner).__name__}: only liquid layers have tau_sys"
        )
    return inner.time_constants(x, h0, dt, lengths, observed)


def plot_time_constants(
    layer: LiquidLayer | SequenceModel,
    x: Tensor,
    h0: Tensor | None = None,
    dt: float | Tensor | None = None,
    *,
    layer_index: int = 0,
) -> "Figure":
    """Draw one sequence and what its time constants do: input, mean tau_sys, every neuron.

    Time runs along the axis as dt says. A neuron's row of the map goes from 0 % at
    ``tau / (1 + tau)`` to 100 % at ``tau``, the limits that the gate in (0, 1) sets it, so that the
    map shows movement; the neuron that moves most is on top. Of cells without such limits a row
    goes from a neuron's least to its largest here, in logarithms, and the middle curve is the
    neurons' median: one that hardly moves has a time constant without bound.

    Args:
        layer: a layer whose time constants move, or a model over one.
        x: one sequence as the layer takes it, ``(L, I)`` or a batch of one.
        h0: initial state; zeros if None.
        dt: time before each sample, as in the layer's call.
        layer_index: of which layer and direction, numbered as in a state.

    Returns:
        A matplotlib figure, for ``figure.savefig(...)`` or a notebook.

    Raises:
        TorchliquidError: more than one sequence, time constants that do not move, or no
            matplotlib.

    >>> from torchliquid import LTC
    >>> figure = plot_time_constants(LTC(1, 8, dt=0.1), torch.randn(50, 1))
    >>> [axes.get_title() for axes in figure.axes[:2]]
    ['Input', 'Mean tau_sys over 8 neurons']
    """
    tau_sys = time_constants(layer, x, h0, dt)
    inner = layer.layer if isinstance(layer, SequenceModel) else layer
    assert isinstance(inner, LiquidLayer)  # noqa: S101 - `time_constants` takes no other
    if x.dim() == 3:
        batch = 0 if inner.batch_first else 1
        if x.shape[batch] != 1:
            raise TorchliquidError(
                f"x has shape {tuple(x.shape)}, {x.shape[batch]} sequences: give one, such as "
                f"{'x[:1]' if inner.batch_first else 'x[:, :1]'}"
            )
        x, tau_sys = x.squeeze(batch), tau_sys.squeeze(batch - 3)
    depth = inner.interface().depth
    layer_index = check_index("layer_index", layer_index, depth)
    if depth > 1:
        tau_sys = tau_sys[layer_index]
    tau_sys = tau_sys.double().cpu()
    if len(tau_sys) > 1 and bool((tau_sys == tau_sys[0]).all()):
        raise TorchliquidError(
            f"plot_time_constants was given a {type(inner).__name__} whose time constants do not "
            "move; give an LTC, an NCP, a CfC, or a Resonator with a gate"
        )
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise TorchliquidError(
            f"plot_time_constants needs matplotlib: {install_command('bench')}"
        ) from error
    interval = inner.dt if dt is None else dt
    steps = interval.detach() if isinstance(interval, Tensor) else torch.tensor(float(interval))
    time = steps.double().flatten().expand(len(x)).cumsum(0).cpu().numpy()
    share, within, middle_of = _within_limits(inner, tau_sys, layer_index)
    order, H = share.std(dim=0, correction=0).argsort(), tau_sys.shape[1]

    figure = Figure(figsize=(8, 6), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    top.plot(time, x.detach().double().cpu().resolve_neg().numpy())
    top.set_title("Input")
    curve = tau_sys.mean(1) if middle_of == "Mean" else tau_sys.median(1).values
    middle.plot(time, curve.numpy())
    middle.set_title(f"{middle_of} tau_sys over {H} neurons")
    image = bottom.pcolormesh(
        time, range(H), share[:, order].T.numpy(), vmin=0, vmax=100, shading="nearest"
    )
    shown = range(0, H, -(-H // 8))  # as many numbers as are read at this height
    bottom.set_yticks(shown, [str(int(order[k])) for k in shown])
    bottom.set_title("Every neuron within its limits")
    bottom.set_ylabel("neuron")
    bottom.set_xlabel("time, unit of dt")
    figure.colorbar(image, ax=bottom, label=f"% {within}")
    return figure


def _within_limits(
    layer: LiquidLayer, tau_sys: Tensor, layer_index: int
) -> tuple[Tensor, str, str]:
    """Where each neuron is within its limits, in per cent ``(L, H)``; their words; a middle."""
    if isinstance(layer, LTC | Resonator):
        tau = layer.tau.detach().double().cpu().view(layer.interface().depth, -1)[layer_index]
        low = tau / (1 + tau)
        return 100 * (tau_sys - low) / (tau - low), "of its range", "Mean"
    finite = tau_sys.clamp(1e-30, 1e30).log()
    low, high = finite.amin(0), finite.amax(0)
    share = 100 * (finite - low) / (high - low).clamp(min=1e-12)
    return share, "of its range here", "Median"


class Watch:
    """What `watch` gives: records so far, and the end of it.

    Args:
        model: see `watch`.
        every: see `watch`.
    """

    def __init__(self, model: nn.Module, every: int) -> None:
        self.records: list[dict[str, Any]] = []
        """One for each recorded call, layer, suffix, and lane of a pack; see `watch`."""
        self._every, self._token, self._warned = every, object(), False
        # what runs calls its watchers, fused or not, whatever modules around it do to their input
        self._watched: dict[str, Any] = {
            name: module for name, module in model.named_modules() if _is_liquid(module)
        }
        for name, module in self._watched.items():
            module._watchers[self._token] = self._listener(name, module)
        if not self._watched:
            raise TorchliquidError(
                f"watch was given a {type(model).__name__} without a liquid layer: only they have "
                "time constants"
            )

    def _listener(self, name: str, module: Any) -> Callable[..., None]:
        calls = itertools.count()

        def listen(*arguments: Any) -> None:
            call = next(calls)
            if call % self._every:
                return
            try:
                with torch.no_grad():
                    self._record(name, module, call, module.time_constants(*arguments))
            except Exception as error:  # a training of hours does not end because it is watched
                if not self._warned:
                    self._warned = True
                    warnings.warn(f"watch could not record a call: {error}", stacklevel=2)

        return listen

    def _record(self, name: str, module: Any, call: int, tau_sys: Tensor) -> None:
        layer: Any = module.model.layer if isinstance(module, Pack) else module
        lanes = tau_sys if isinstance(module, Pack) else tau_sys.unsqueeze(0)
        for lane, tau in enumerate(lanes):
            of_place = tau.reshape(layer.interface().depth, -1, layer.hidden_size)
            for suffix, values in zip(layer.stack(False).suffixes(), of_place, strict=True):
                real = values[~values[:, 0].isnan()]
                if not len(real):
                    continue  # nothing was observed in this call
                record: dict[str, Any] = {"call": call, "layer": name}
                if isinstance(module, Pack):
                    record["lane"] = lane
                spread = real.std(0, correction=0) / real.mean(0)
                record |= {"place": suffix, "mean": real.mean().item(), "min": real.min().item()}
                record |= {"max": real.max().item(), "moves": spread.mean().item()}
                self.records.append(record)

    def remove(self) -> None:
        """Stop watching; the records stay."""
        for module in self._watched.values():
            module._watchers.pop(self._token, None)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def _is_liquid(module: nn.Module) -> bool:
    """Whether the module runs a liquid cell."""
    if isinstance(module, Pack):
        return isinstance(module.model.layer, LiquidLayer)
    return isinstance(module, LiquidLayer)


def watch(model: nn.Module, every: int = 1) -> Watch:
    """Record the time constants of every liquid layer of a model while it trains.

    Args:
        model: any module with liquid layers in it, or a pack.
        every: record every n-th call of a layer in training; with an epoch's number of batches
            there is one record an epoch. A call is recorded where the layer runs, with the input
            that it sees there. Calls in evaluation are not counted.

    Returns:
        An object whose ``records`` are a plain list of dictionaries with numbers: ``call``, its
        number from 0; ``layer``, its name in the model; ``place``, such as ``l0`` or
        ``l1_reverse``; in a pack the ``lane``; the ``mean``, ``min`` and ``max`` of tau_sys over
        samples and neurons, in the unit of dt; and ``moves``, a neuron's deviation over samples
        as a share of its mean, the mean of all neurons. It stops with ``remove()``, or at the end
        of a ``with``. Recording runs the layer again, without a graph; where that fails, a
        warning says so once and training goes on. A call without any observed sample has no record.

    Raises:
        TorchliquidError: a model without liquid layers.

    ``pandas.DataFrame(watching.records)`` is a table; for TensorBoard call
    ``writer.add_scalar(f"{r['layer']}.{r['place']}", r["mean"], r["call"])`` for each record r.

    >>> from torchliquid import LTC, SequenceModel
    >>> model = SequenceModel(LTC(1, 8), 1)
    >>> with watch(model, every=2) as watching:
    ...     for _ in range(4):
    ...         y, _ = model(torch.randn(10, 1))
    >>> [(r["call"], r["layer"], r["place"]) for r in watching.records]
    [(0, 'layer', 'l0'), (2, 'layer', 'l0')]
    """
    if not isinstance(model, nn.Module):
        raise TorchliquidError(f"model is a {type(model).__name__}: give a module")
    return Watch(model, check_size("every", every))
