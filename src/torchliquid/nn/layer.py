"""The one driver that runs any liquid cell over a sequence, behind the interface of `nn.LSTM`."""

import contextlib
import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from torchliquid import kernels
from torchliquid._checks import (
    autocast_type,
    check_flag,
    check_index,
    check_interval,
    check_layers,
    check_neurons,
    check_probability,
    check_proj_size,
    check_size,
    check_tensor,
)
from torchliquid.errors import TorchliquidError
from torchliquid.nn import _forward as calls
from torchliquid.nn import _streams as streams
from torchliquid.nn._interface import Interface, initial_state
from torchliquid.nn._padding import packed_like, unpacked
from torchliquid.nn._parameters import new_parameter
from torchliquid.nn._stack import Stack, name_at
from torchliquid.nn._unit_of_time import check_no_stamps, readable, warn_of_unit

_ABLATED: ContextVar[frozenset[object]] = ContextVar("ablated", default=frozenset())
"""Which ablations are in force in this thread or task; see `LiquidLayer.ablate`."""


class Watched:
    """What `torchliquid.watch` can watch: a layer or a pack, which shows its calls in training."""

    _watchers: dict[object, Callable[..., None]]
    training: bool

    def notify(self, *arguments: Any) -> None:
        """Show the arguments of a call to those who watch."""
        if self._watchers and self.training:
            for listen in list(self._watchers.values()):
                listen(*arguments)


class LiquidLayer(Watched, nn.Module, ABC):
    """A liquid cell run over a sequence.

    A subclass says what one layer in one direction is: `weight_names` and `shapes` of its weights,
    how they start (`draw`), and `scan`, the cell over a batch-first sequence with the weights it is
    handed. Layers, directions and projections are run in `torchliquid.nn._stack`, layout, initial
    state and time in `torchliquid.nn._interface`, each once for every cell.

    Weights are read as attributes, as `nn.LSTM` reads its own: pruning, parametrisations, weight
    norm or a hypernetwork may put a computed tensor where a parameter was.

    Args:
        input_size: I, features of one sample.
        hidden_size: H, neurons of a layer in one direction.
        num_layers: each but the first runs over the outputs of the one below.
        bias: whether there is one.
        batch_first: whether batched input is ``(B, L, I)`` instead of ``(L, B, I)``.
        dropout: share of the outputs of each layer but the last that is dropped in training, in
            [0, 1].
        bidirectional: whether every layer also runs backwards, with weights of its own; outputs of
            both directions stand side by side.
        proj_size: if not 0, outputs of a direction are P values ``weight_hr x`` of its state x, and
            they, not x, feed back through ``weight_hh (.., P)``; P is less than H. States stay H
            wide, where `nn.LSTM` has h of P and c of H.
        dt: time between samples where a call gives none; the unit of every time constant.
        device: where the parameters live.
        dtype: the parameters' type.

    Parameters have torch's names, ``_l0``, ``_l0_reverse``, ``_l1``, ... at their end.
    """

    weight_names: tuple[str, ...]
    """Names of the weights of the first layer, in the order of `shapes`; a weight may be None."""

    _times_seen = False
    """Whether `look_at_times` has."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        *,
        dt: float = 1.0,
        device: Any = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.input_size = check_size("input_size", input_size)
        self.hidden_size = check_size("hidden_size", hidden_size)
        self.num_layers = check_layers(num_layers)
        self.bias = check_flag("bias", bias)
        self.batch_first = check_flag("batch_first", batch_first)
        self.dropout = dropout
        self.bidirectional = check_flag("bidirectional", bidirectional)
        self.proj_size = check_proj_size(proj_size, self.hidden_size)
        self.dt = dt
        if self.dropout and self.num_layers == 1:
            warnings.warn(
                f"dropout is {self.dropout:g} and num_layers 1: it is between layers, so that with "
                "one layer nothing is dropped",
                stacklevel=3,
            )
        self._is_single = self.num_layers == 1 and not (self.bidirectional or self.proj_size)
        self._forget_contexts()
        suffixes = list(self.stack(False).suffixes())
        self._steppers: list[kernels.Stepper | None] = [None] * self.num_layers
        self._step_names = [tuple(name_at(n, s) for n in self.weight_names) for s in suffixes]
        self.every_name = tuple(name_at(n, s) for s in suffixes for n in self.weight_names)
        self._register(device, dtype)
        self.reset_parameters()

    def _forget_contexts(self) -> None:
        self._ablations: dict[object, Tensor] = {}
        self._watchers = {}

    def __getstate__(self) -> dict[str, Any]:
        """What is copied or pickled: a copy belongs to no context of the original."""
        contexts = ("_ablations", "_watchers")
        return {name: value for name, value in vars(self).items() if name not in contexts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """As of every module."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._forget_contexts()

    @property
    def _is_plain(self) -> bool:
        """Whether one kernel can run it as it is now."""
        return self._is_single and not self._ablations

    @property
    def _kept(self) -> Tensor | None:
        """0 for what is ablated here and now, else 1, ``(D, state_size)``; None: nothing is."""
        if not self._ablations:
            return None
        active = _ABLATED.get()
        kept = [mask for token, mask in list(self._ablations.items()) if token in active]
        return torch.stack(kept).prod(0) if kept else None

    def _register(self, device: Any, dtype: torch.dtype | None) -> None:
        outputs = self.output_size * (2 if self.bidirectional else 1)
        for suffix in self.stack(self.training).suffixes():
            features = self.input_size if suffix.startswith("l0") else outputs
            shapes = self.shapes(features, self.proj_size or self.hidden_size)
            if self.proj_size:
                shapes["weight_hr_l0"] = (self.proj_size, self.hidden_size)
            for name in dict.fromkeys((*self.weight_names, *shapes)):
                held, shape = name_at(name, suffix), shapes.get(name)
                if shape is None or (name.startswith("bias") and not self.bias):
                    self.register_parameter(held, None)
                else:
                    self.register_parameter(held, new_parameter(held, shape, device, dtype))

    @property
    def output_size(self) -> int:
        """Features that one direction outputs: P where they are projected, else H."""
        return self.proj_size or self.hidden_size

    @property
    def state_size(self) -> int:
        """Values of one direction's state: H, but of a cell that keeps more than its neurons."""
        return self.hidden_size

    def indices_in_state(self, neurons: list[int]) -> list[int]:
        """Return where these neurons stand in a state ``(state_size,)``: at their own numbers.

        A cell whose state holds more than one value a neuron overrides it.
        """
        return neurons

    @abstractmethod
    def shapes(self, features: int, recurrent_size: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights of one layer in one direction, by the names of the first.

        It takes ``features`` inputs, and ``recurrent_size`` of its outputs feed back: H, or P where
        they are projected. Without ``bias`` those named ``bias...`` are None, and so is a name of
        `weight_names` that has no shape here.
        """

    @abstractmethod
    def draw(self, weights: Mapping[str, Tensor]) -> None:
        """Initialise the weights of one layer in one direction, named as in `shapes`."""

    def reset_parameters(self) -> None:
        """Draw the parameters again, as the class says."""
        for suffix in self.stack(self.training).suffixes():
            of_index = {
                name: weight
                for name in (*self.weight_names, "weight_hr_l0")
                if (weight := getattr(self, name_at(name, suffix), None)) is not None
            }
            if any(weight.is_meta for weight in of_index.values()):
                return  # no memory to draw into
            projection = of_index.pop("weight_hr_l0", None)
            self.draw(of_index)
            if projection is not None:
                bound = self.hidden_size**-0.5
                nn.init.uniform_(projection, -bound, bound)

    def flatten_parameters(self) -> None:
        """Do nothing: code written for `nn.LSTM` calls it. There is no cuDNN to please."""

    @property
    def dropout(self) -> float:
        """Share of the outputs between two layers that is dropped in training."""
        return self._dropout

    @dropout.setter
    def dropout(self, value: float) -> None:
        self._dropout = check_probability("dropout", value)

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The weights of every layer and direction in torch's order, as `nn.LSTM` gives them."""
        held = self.weights()
        return [
            [held[name] for name in self._names_at(suffix) if name in held]
            for suffix in self.stack(self.training).suffixes()
        ]

    def _names_at(self, suffix: str) -> list[str]:
        names = (*self.weight_names, "weight_hr_l0") if self.proj_size else self.weight_names
        return [name_at(name, suffix) for name in names]

    def stack(self, training: bool) -> Stack:
        """The layers and directions in which the cell runs, in training or evaluation."""
        return Stack(
            self.num_layers,
            self._dropout if training else 0.0,
            self.bidirectional,
            self.proj_size > 0,
            self._kept,
            training and self.drops_within,
        )

    @property
    def drops_within(self) -> bool:
        """Whether the cell drops values within itself in training; see `scan_dropping`."""
        return False

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

    def scan_dropping(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> tuple[Tensor, Tensor]:
        """`scan` in training, of a cell that drops values within itself."""
        return self.scan(weights, x, state, dt)

    def behind_memory(
        self, weights: Mapping[str, Tensor], x: Tensor
    ) -> tuple[kernels.Behind, Tensor, tuple[Tensor | None, ...]] | None:
        """The cell as a kernel runs it behind a `MixedMemory`; None where none does.

        Returns the kernel's cell, x as it takes it, and weights as it lists them.
        """
        return None

    def emit(self, weights: Mapping[str, Tensor], states: Tensor) -> Tensor:
        """Return the outputs ``(*S, B, L, F)`` of states ``(*S, B, L, H)``.

        Here they are the states. A cell that outputs something else overrides it, and
        `output_size` with it.
        """
        return states

    def mute(self, weights: Mapping[str, Tensor], kept: Tensor) -> Mapping[str, Tensor]:
        """Return weights with which neurons whose ``kept (state_size,)`` is 0 feed nothing back.

        Here columns of ``weight_hh_l0`` become 0. A cell whose neurons act on each other otherwise
        overrides it.
        """
        hh = weights["weight_hh_l0"]
        return {**weights, "weight_hh_l0": hh * kept.to(hh)}

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
        return kernels.linear(self.emit(weights, states), readout, readout_bias), last

    @abstractmethod
    def scan_time_constants(
        self, weights: Mapping[str, Tensor], x: Tensor, state: Tensor, dt: float | Tensor
    ) -> Tensor:
        """System time constants ``(*S, B, L, H)`` in the unit of dt; arguments as in `scan`."""

    def config(self) -> dict[str, Any]:
        """The constructor's arguments that build a layer of this shape, JSON types only."""
        values = {name: getattr(self, name) for name in _options_of(type(self))}
        return {n: v.to_json() if hasattr(v, "to_json") else v for n, v in values.items()}

    def weights(self) -> dict[str, Tensor]:
        """The weights of all layers and directions by name."""
        names = self.weight_names
        if not self._is_single:
            names = tuple(
                n for s in self.stack(self.training).suffixes() for n in self._names_at(s)
            )
        return {n: w for n in names if (w := getattr(self, n)) is not None}

    def _by_layer(self, name: str) -> Tensor:
        """One weight of every layer and direction, ``(D, H)``, or ``(H,)`` of a single one."""
        held = self.weights()
        values = [held[name_at(name, suffix)] for suffix in self.stack(False).suffixes()]
        return values[0] if len(values) == 1 else torch.stack(values)

    def interface(self) -> Interface:
        """What calls must look like."""
        return Interface(
            self.input_size,
            (self.state_size,),
            self.batch_first,
            getattr(self, self.weight_names[0]),
            self.dt,
            type(self).__name__,
            unfolds=getattr(self, "unfolds", 1),
            depth=self.num_layers * (2 if self.bidirectional else 1),
        )

    def forward(
        self,
        x: Any,
        h0: Tensor | None = None,
        dt: Any = None,
        lengths: Any = None,
        observed: Any = None,
        *,
        hx: Tensor | None = None,
    ) -> tuple[Any, Tensor]:
        """Run the layer over a sequence.

        Args:
            x: input ``(L, B, I)``, with ``batch_first`` ``(B, L, I)``, or unbatched ``(L, I)``; or
                rows of unlike lengths as a `torch.nn.utils.rnn.PackedSequence`.
            h0: state before the first sample, ``(D, B, H)``, unbatched ``(D, H)``, where D is
                layers times directions; zeros if None.
            dt: time before each sample: a number for all, or a tensor ``(L, B)``, with
                ``batch_first`` ``(B, L)``, unbatched ``(L,)``; one more dimension of 1 at the end
                does no harm. None takes the layer's ``dt``. Where it is 0 no time has passed: the
                state of a cell that solves an equation stays, one that jumps at a sample takes it
                in (its class says so). Of a packed x it may be packed alike.
            lengths: of a padded batch: how many samples of each row are real, ``(B,)``. A padded
                step is none: it is 0 in the output, and whatever stands there, NaN too, reaches
                no output and no gradient.
            observed: which samples were observed, booleans laid out like dt, or which features of
                them, laid out like ``x``; of a packed x they may be packed alike. A missing
                sample is skipped: state and output stay, and its dt counts towards the next one
                that did. A missing feature holds the row's last value of it, 0 before the first
                (see `torchliquid.fill_missing`). What stands where nothing was observed, NaN too,
                reaches no output and no gradient.
            hx: h0 by the name that `nn.LSTM` has for it.

        Returns:
            Outputs after every sample, laid out (or packed) like ``x`` with H features (P where
            they are projected), twice as many of both directions; and the state after the last real
            sample, shaped like ``h0``. Under autocast outputs have its dtype, as those of
            `nn.LSTM`; the state keeps that of the weights, in which it was computed.

        Raises:
            TorchliquidError: a type, shape, dtype, device or dt that does not fit.
        """
        h0 = initial_state(h0, hx)
        if isinstance(x, PackedSequence):
            padded = unpacked(x, dt, lengths, observed, self.batch_first)
            outputs, last = self.forward(padded.x, h0, padded.dt, padded.lengths, padded.observed)
            return packed_like(x, outputs, padded.lengths, self.batch_first), last
        result = self._run(x, h0, dt, lengths, observed)
        self.notify(x, h0, dt, lengths, observed)
        return result

    def _run(
        self, x: Any, h0: Tensor | None, dt: Any, lengths: Any = None, observed: Any = None
    ) -> tuple[Any, Tensor]:
        """`forward` of padded sequences, unseen by those who watch."""
        done = self.try_fast_forward(self._parameters, None, x, h0, dt, lengths, observed)
        if done is not None:
            return done
        stack, weights = self.stack(self.training), self.weights()
        outputs, h = calls.outputs(
            self, self.interface(), stack, weights, x, h0, dt, lengths, observed
        )
        assert isinstance(h, Tensor)  # noqa: S101 - for the type checker
        lower = autocast_type(outputs)
        if lower is not None and outputs.dtype != torch.float64:
            outputs = outputs.to(lower)
        return outputs, h

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
            state: before it, ``(H,)`` or ``(B, H)``, with a leading num_layers where there are
                several; zeros if None.
            dt: time since the previous sample; None takes the layer's ``dt``.
            out: where to write the state, e.g. ``state`` itself; a new tensor if None.

        Returns:
            The state, shaped as before it; no gradient flows through it.

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
            done = self._try_fast_step(x, state, interval, out)
            if done is not None:
                return done
        with torch.no_grad():
            return self._step(x, state, interval, out)

    def step_many(self, x: Tensor, states: Tensor, dt: float | Tensor | None = None) -> Tensor:
        """One sample of each of B streams, their states updated in place; no autograd.

        Args:
            x: the samples ``(B, I)``.
            states: ``(B, H)``, with a leading num_layers where there are several, overwritten with
                the states after them.
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
            return self._step(x, states, dt, states)

    def _step(self, x: Any, state: Any, dt: Any, out: Any) -> Tensor:
        return streams.step(self.interface(), self.bidirectional, self._run, x, state, dt, out)

    def kernel_cell(self) -> kernels.KernelCell | None:
        """The native kernel that runs the cell as it is now; None where there is none."""
        return None

    def leaks(self) -> Tensor | None:
        """Time constants within which the whole state moves and is forgotten; None: there are none.

        A state that gates move at every sample has none, whatever it forgets in between.
        """
        return None

    def look_at_times(self, dt: Tensor) -> None:
        """Look once at the times that a layer is given: their unit is the commonest mistake.

        Raises:
            TorchliquidError: they are time stamps.
        """
        if self._times_seen or not readable(dt):
            return
        self._times_seen = True
        held = dt.detach().to("cpu", next(self.parameters()).dtype)
        if not bool(held.isfinite().all()):
            return  # refused by what reads it next
        times = dt.detach().to("cpu", torch.float64)
        if times.dim():
            flat = times.squeeze(-1) if times.dim() == 3 and times.shape[-1] == 1 else times
            check_no_stamps(flat, -1 if self.batch_first or flat.dim() == 1 else -2)
        tau = self.leaks()
        if tau is not None and readable(tau):
            warn_of_unit(held.double(), tau.detach().to("cpu", torch.float64), type(self).__name__)

    def try_fast_forward(
        self,
        weights: Mapping[str, Any],
        readout: Any,
        x: Any,
        h0: Any,
        dt: Any,
        lengths: Any = None,
        observed: Any = None,
    ) -> tuple[Tensor, Tensor] | None:
        """`forward` by a kernel, for a layer that has one and arguments that are validated.

        None, and nothing done, otherwise. ``weights`` are this layer's parameters, or a pack's by
        the same names; with the parameters of a ``readout`` the call is that of a model.
        """
        if torch.compiler.is_compiling():
            return None
        if isinstance(dt, Tensor):
            self.look_at_times(dt)
        kernel = self.kernel_cell()
        if kernel is None:
            return None
        names = self.every_name
        if self.bias and any(w is None for w in map(weights.get, names)):
            return None  # a weight is somewhere else
        if self.proj_size or (self.training and self._dropout) or self._kept is not None:
            return None
        return calls.try_fast(
            self,
            kernel,
            self.num_layers,
            2 if self.bidirectional else 1,
            self.batch_first,
            names,
            weights,
            readout,
            x,
            h0,
            self._dt if dt is None else dt,
            lengths,
            observed,
        )

    def _try_fast_step(
        self, x: Tensor, state: Tensor | None, dt: Any, out: Tensor | None
    ) -> Tensor | None:
        """`step` by a kernel, for a layer that has one and arguments that are validated."""
        if self._is_plain:
            stepper = self._stepper_of(0)
            return None if stepper is None else stepper(x, state, dt, out)
        if self.bidirectional or self.proj_size or self.is_ablated:
            return None
        steppers = [self._stepper_of(layer) for layer in range(self.num_layers)]
        shape = (self.num_layers, *x.shape[:-1], self.state_size) if not x.is_nested else ()
        return streams.step_through(steppers, shape, x, state, dt, out)

    def _stepper_of(self, layer: int) -> kernels.Stepper | None:
        weights = tuple(map(self._parameters.get, self._step_names[layer]))
        cell, stepper = self.kernel_cell(), self._steppers[layer]
        if cell is None or (stepper is None and kernels.backend() != "native"):
            return None
        if stepper is None or not stepper.fits(cell, weights):
            if kernels.backend() != "native":
                return None
            stepper = self._steppers[layer] = kernels.stepper(cell, weights)
        return stepper

    def time_constants(
        self,
        x: Any,
        h0: Tensor | None = None,
        dt: Any = None,
        lengths: Any = None,
        observed: Any = None,
    ) -> Tensor:
        """tau_sys at each sample, in the unit of dt; arguments as in the call.

        Laid out like ``x`` with H features. Where there are several layers or directions, their D
        places lead, as in a state: ``(D, L, B, H)``, with ``batch_first`` ``(D, B, L, H)``, and a
        neuron that runs backwards stands at the sample that it saw. It is NaN at padded steps and
        at missing samples. Of a packed x it is padded.
        Nothing is dropped, in training either. See `torchliquid.time_constants`.
        """
        if isinstance(x, PackedSequence):
            x, dt, lengths, observed = unpacked(x, dt, lengths, observed, self.batch_first)
        stack, weights = self.stack(False), self.weights()
        return calls.time_constants(
            self, self.interface(), stack, weights, x, h0, dt, lengths, observed
        )

    @contextlib.contextmanager
    def ablate(
        self, neurons: Any, layer_index: int = 0, *, place: int | None = None
    ) -> Iterator[None]:
        """Mute neurons within a ``with``: neither the others nor the caller see them.

        They feed nothing back and are 0 in outputs and states, so that a drop in accuracy shows
        what they were good for. Nothing is trained or saved differently; contexts may be nested.
        Other threads, and copies of the layer, do not see it.

        Args:
            neurons: numbers of neurons, one or several, or a mask ``(H,)``.
            layer_index: of which layer and direction, numbered as in a state.
            place: the old name of ``layer_index``.

        Raises:
            TorchliquidError: a neuron or a layer that does not exist.

        >>> import torchliquid as tl
        >>> layer = tl.LTC(1, 4)
        >>> with layer.ablate([0, 3]):
        ...     y, _ = layer(torch.randn(5, 1))
        >>> (y[-1] == 0).tolist()
        [True, False, False, True]
        """
        weight = getattr(self, self.weight_names[0])
        depth, H = self.interface().depth, self.hidden_size
        layer_index = layer_index if place is None else place
        check_index("layer_index", layer_index, depth)
        kept = torch.ones(depth, self.state_size, device=weight.device, dtype=weight.dtype)
        kept[layer_index, self.indices_in_state(check_neurons(neurons, H))] = 0
        token = object()
        self._ablations[token] = kept
        _ABLATED.set(_ABLATED.get() | {token})
        try:
            yield
        finally:  # whatever other contexts were opened or closed meanwhile
            _ABLATED.set(_ABLATED.get() - {token})
            del self._ablations[token]

    @property
    def is_ablated(self) -> bool:
        """Whether some neurons are unheard just now; see `ablate`."""
        return self._kept is not None

    def extra_repr(self) -> str:
        """Sizes and what differs from the constructor's defaults, as ``print(layer)`` shows it."""
        for owner in type(self).__mro__:  # a subclass may take anything: then its base is shown
            defaults = _options_of(owner)
            if all(hasattr(self, name) for name in defaults):
                break
        values = {name: getattr(self, name) for name in defaults}
        return ", ".join(f"{n}={v!r}" for n, v in values.items() if v != defaults[n])


def _options_of(layer: type) -> dict[str, Any]:
    """Arguments of a layer's constructor and their defaults, but where and of what type it is."""
    arguments = inspect.signature(layer).parameters
    return {n: p.default for n, p in arguments.items() if n not in ("device", "dtype")}
