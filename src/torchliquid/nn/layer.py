"""The one driver that runs any liquid cell over a sequence, behind the interface of `nn.LSTM`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from torchliquid import kernels
from torchliquid.checks import check_flag, check_interval, check_size, check_tensor, shown
from torchliquid.errors import TorchliquidError
from torchliquid.nn.interface import Interface
from torchliquid.nn.ragged import run_packed, run_padded


class LiquidLayer(nn.Module, ABC):
    """A liquid cell run over a sequence.

    Subclasses own the parameters and give `weight_names`, their parameters' names; `scan`, the
    cell over a batch-first sequence with the weights it is handed; and `config`, their
    constructor's arguments. All that concerns layout, initial state and time is done in
    `torchliquid.nn.interface`, once.

    Weights are read as attributes, as `nn.LSTM` reads its own: pruning, parametrisations, weight
    norm or a hypernetwork may put a computed tensor where a parameter was.

    Args:
        input_size: I, features of one sample.
        hidden_size: H, neurons.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dt: time between samples where a call gives none; the unit of every time constant.
    """

    weight_names: ClassVar[tuple[str, ...]]
    """Names of the weights in the order of the constructor; a weight may be None."""
    kernel: ClassVar[str | None] = "ltc"
    """Of which kind its kernel is, for `torchliquid.kernels.lanes_innermost`; None: it has none."""

    def __init__(
        self, input_size: int, hidden_size: int, *, batch_first: bool = False, dt: float = 1.0
    ) -> None:
        super().__init__()
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.batch_first = check_flag("batch_first", batch_first)
        self.dt = dt

    def __setattr__(self, name: str, value: Any) -> None:
        # a module keeps modules and parameters in lists of its own, past the checks of a property
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def dt(self) -> float:
        """Time between samples where a call gives none."""
        return self._dt

    @dt.setter
    def dt(self, value: float) -> None:
        checked = check_interval(value)
        if checked == 0:
            raise TorchliquidError("dt is 0: a layer's own dt must be positive")
        self._dt = checked

    @abstractmethod
    def scan(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """The cell over ``x (*S, B, L, I)`` from ``state (*S, B, H)`` with the given weights.

        ``weights`` has the names of this layer's parameters, each with leading lanes ``*S`` where
        a pack runs; without those that are None. ``dt`` is a float or ``(*S, B, L)``. Returns
        states ``(*S, B, L, H)`` and the last state ``(*S, B, H)``.
        """

    def scan_and_read(
        self,
        weights: Mapping[str, Tensor],
        x: Tensor,
        state: Tensor,
        dt: float | Tensor,
        readout: Tensor,
        readout_bias: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """`scan` and a linear readout of every state: readouts ``(*S, B, L, O)``, last state.

        ``readout`` is ``(*S, O, H)``, ``readout_bias`` ``(*S, O)`` or None. A layer whose kernel
        does both at once overrides it.
        """
        states, last = self.scan(weights, x, state, dt)
        return kernels.linear(states, readout, readout_bias), last

    @abstractmethod
    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """System time constants ``(*S, B, L, H)`` in the unit of dt; arguments as in `scan`."""

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The constructor's arguments that build a layer of this shape, JSON types only."""

    def weights(self) -> dict[str, Tensor]:
        """The weights by name, as `scan` wants them."""
        return {n: w for n in self.weight_names if (w := getattr(self, n)) is not None}

    def interface(self) -> Interface:
        """What calls must look like."""
        return Interface(
            self.input_size,
            (self.hidden_size,),
            self.batch_first,
            getattr(self, self.weight_names[0]),
            self.dt,
            type(self).__name__,
            unfolds=getattr(self, "unfolds", 1),
        )

    def forward(
        self,
        x: Any,
        h0: Tensor | None = None,
        dt: Any = None,
        lengths: Any = None,
    ) -> tuple[Any, Tensor]:
        """Run the layer over a sequence.

        Args:
            x: input ``(L, B, I)``, with ``batch_first`` ``(B, L, I)``, or unbatched ``(L, I)``; or
                rows of unlike lengths as a `torch.nn.utils.rnn.PackedSequence`.
            h0: state before the first sample, ``(1, B, H)``, unbatched ``(1, H)``; zeros if None.
            dt: time before each sample: a number for all, or a tensor ``(L, B)``, with
                ``batch_first`` ``(B, L)``, unbatched ``(L,)``; one more dimension of 1 at the end
                does no harm. None takes the layer's ``dt``. Where it is 0 no time has passed and
                the state stays. Of a packed x it may be packed alike.
            lengths: of a padded batch: how many samples of each row are real, ``(B,)``. A padded
                step is none: it is 0 in the output, and whatever stands there, NaN too, reaches
                no output and no gradient.

        Returns:
            States after every sample, laid out (or packed) like ``x`` with H features, and the
            state after the last real one, shaped like ``h0``. Under autocast both have the weights'
            dtype.

        Raises:
            TorchliquidError: a type, shape, dtype, device or dt that does not fit.
        """
        if lengths is not None or isinstance(x, PackedSequence):
            return self._ragged(x, h0, dt, lengths)
        done = self.quick_call(self._parameters, None, x, h0, dt)
        if done is not None:
            return done
        interface = self.interface()
        given = interface.arrange(x, h0, dt)
        assert isinstance(given.state, Tensor)  # noqa: S101 - for the type checker
        states, last = self.scan(self.weights(), given.x, given.state, given.dt)
        h = interface.restore_state(last, x.dim())
        assert isinstance(h, Tensor)  # noqa: S101 - for the type checker
        return interface.restore(states, x.dim()), h

    def _ragged(self, x: Any, h0: Any, dt: Any, lengths: Any) -> tuple[Any, Tensor]:
        if not isinstance(x, PackedSequence):
            return run_padded(self.forward, self.interface(), x, h0, dt, lengths)
        if lengths is not None:
            raise TorchliquidError("x is packed already, with its lengths: leave lengths out")
        return run_packed(self.forward, self.interface(), x, h0, dt)

    def step(
        self,
        x: Tensor,
        state: Tensor | None = None,
        dt: float | None = None,
        out: Tensor | None = None,
    ) -> Tensor:
        """One sample of a stream, or of each of B streams: the state after it, without autograd.

        Args:
            x: the sample ``(I,)``, or one of each stream ``(B, I)``.
            state: before it, ``(H,)`` or ``(B, H)``; zeros if None.
            dt: time since the previous sample; None takes the layer's ``dt``.
            out: where to write the state, e.g. ``state`` itself; a new tensor if None.

        Returns:
            The state ``(H,)`` or ``(B, H)``; no gradient flows through it.

        Raises:
            TorchliquidError: a type, shape, dtype, device or dt that does not fit.

        >>> import torchliquid as tl
        >>> layer, state = tl.LTC(1, 8), None
        >>> for sample in torch.zeros(5, 1):
        ...     state = layer.step(sample, state, dt=0.1)
        >>> state.shape
        torch.Size([8])
        """
        interval = self._dt if dt is None else dt
        if isinstance(x, Tensor) and not isinstance(interval, Tensor):
            done = self._quick_step(x, state, interval, out)
            if done is not None:
                return done
        with torch.no_grad():
            return self._careful_step(x, state, interval, out)

    def step_many(self, x: Tensor, states: Tensor, dt: float | Tensor | None = None) -> Tensor:
        """One sample of each of B streams, their states updated in place; no autograd.

        Args:
            x: the samples ``(B, I)``.
            states: ``(B, H)``, overwritten with the states after them.
            dt: time since each stream's previous sample: a number, or ``(B,)``.

        Returns:
            ``states``.

        Raises:
            TorchliquidError: a type, shape, dtype, device or dt that does not fit.
        """
        check_tensor("states", states, f"(B, H) with H = {self.hidden_size}")
        if not isinstance(dt, Tensor):
            return self.step(x, states, dt, out=states)
        with torch.no_grad():
            return self._careful_step(x, states, dt, states)

    def quick_call(
        self, weights: Mapping[str, Any], readout: Any, x: Any, h0: Any, dt: Any
    ) -> tuple[Tensor, Tensor] | None:
        """`forward` by a kernel, for a layer that has one and arguments that are beyond doubt.

        None, and nothing done, otherwise. ``weights`` are this layer's parameters, or a pack's by
        the same names; with the parameters of a ``readout`` the call is that of a model.
        """
        return None

    def _quick_step(
        self, x: Tensor, state: Tensor | None, dt: Any, out: Tensor | None
    ) -> Tensor | None:
        """`step` by a kernel, for a layer that has one and arguments that are beyond doubt."""
        return None

    def _careful_step(self, x: Any, state: Any, dt: Any, out: Any) -> Tensor:
        I, H = self.input_size, self.hidden_size
        check_tensor("x", x, f"(I,) or (B, I) with I = {I}")
        if x.dim() not in (1, 2) or x.shape[-1] != I:
            raise TorchliquidError(
                f"x has shape {tuple(x.shape)}: expected one sample (I,) or (B, I) with I = {I}"
            )
        shape = (*x.shape[:-1], H)
        for name, given in (("state", state), ("out", out)):
            if given is None:
                continue
            check_tensor(name, given, f"{shape}")
            if given.shape != shape or given.dtype != x.dtype or given.device != x.device:
                raise TorchliquidError(
                    f"{name} is {tuple(given.shape)} of {given.dtype} on {given.device}: expected "
                    f"{shape} of {x.dtype} on {x.device}"
                )
        time = 1 if self.batch_first and x.dim() == 2 else 0
        if isinstance(dt, Tensor) and dt.dim():
            check_tensor("dt", dt, f"{shape[:-1]}")
            if dt.shape != x.shape[:-1] or not dt.dim():
                raise TorchliquidError(
                    f"dt has shape {tuple(dt.shape)}: expected a number or {shape[:-1]}"
                )
            dt = dt.unsqueeze(time)
        _, last = LiquidLayer.forward(
            self, x.unsqueeze(time), None if state is None else state.unsqueeze(0), dt
        )
        return last.squeeze(0) if out is None else out.copy_(last.squeeze(0))

    def time_constants(
        self, x: Tensor, h0: Tensor | None = None, dt: float | Tensor | None = None
    ) -> Tensor:
        """tau_sys as each sample arrives, laid out like ``x`` with H features; arguments as above.

        In the unit of dt. See `torchliquid.time_constants`.
        """
        interface = self.interface()
        given = interface.arrange(x, h0, dt)
        assert isinstance(given.state, Tensor)  # noqa: S101 - for the type checker
        found = self.scan_time_constants(self.weights(), given.x, given.state, given.dt)
        return interface.restore(found, x.dim())

    def extra_repr(self) -> str:
        """The constructor's arguments, as ``print(layer)`` shows them."""
        return ", ".join(f"{name}={value!r}" for name, value in self.config().items())


DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def new_parameter(name: str, shape: tuple[int, ...], device: Any, dtype: Any) -> nn.Parameter:
    """A parameter that is still to be initialised, or an error that says what was wrong."""
    kind = torch.get_default_dtype() if dtype is None else dtype
    if not isinstance(kind, torch.dtype) or kind not in DTYPES:
        raise TorchliquidError(
            f"dtype is {shown(dtype)}: give a floating-point type of torch, e.g. torch.float32"
        )
    try:
        return nn.Parameter(torch.empty(*shape, device=device, dtype=kind))
    except (RuntimeError, TypeError, ValueError, AssertionError, MemoryError) as error:
        # RuntimeError: no memory, or no such device; AssertionError: a build without it
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TorchliquidError(
            f"cannot make {name} {shape} on device {shown(device)}: {reason[:160]}"
        ) from error
