"""A whole training by the native kernels: forward and backward pass, loss, AdamW, validation.

What a step needs is laid out once: programs of kernels (`layers.Run`) and the arrays that they read
and write. `Training.advance` then takes any number of epochs in one native call. Lanes of a pack
never mix, so they are cut into blocks whose buffers stay in a cache; threads share the blocks.
"""

import ctypes
from collections.abc import Mapping, Sequence
from ctypes import c_char_p, c_double, c_int64, c_void_p
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchliquid.errors import TorchliquidError
from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import gated
from torchliquid.kernels._bindings.layers import InvalidValueError, Plan, Run
from torchliquid.kernels._bindings.stages import KernelCell

LOSSES = ("mse", "cross_entropy")
"""In the order of the header's numbers."""
TRAINING, ENDED, STOPPED, DIVERGED = range(4)
"""What became of a lane."""
CACHE = 3 * 2**18
"""Bytes of buffers that a block of lanes should not exceed: most of a core's second cache."""
BETAS, EPSILON = (0.9, 0.999), 1e-8
"""Of AdamW, as in torch."""


class Rows(NamedTuple):
    """Data as the kernels read it, batch first; every tensor with lanes ``S`` or without.

    Args:
        x: ``(B, L, I)``, nothing missing.
        times: ``(B, L)``, or None where the plan's interval is that of every sample.
        back: the same read backwards, for two directions.
        target: ``(B, L, O)``; of classes 1 for the right one, else 0.
        weight: ``(B, L)``, 0 for samples that do not count.
    """

    x: Tensor
    times: Tensor | None
    back: Tensor | None
    target: Tensor
    weight: Tensor

    def of_lanes(self, lanes: slice) -> "Rows":
        """The same for some of the lanes."""
        dims = (4, 3, 3, 4, 3)
        parts = (
            t[lanes] if t is not None and t.dim() == dim else t
            for t, dim in zip(self, dims, strict=True)
        )
        return Rows(*parts)  # type: ignore[arg-type]


@dataclass
class Lanes:
    """Of every lane ``(S,)``: settings, and what became of it."""

    decays: NDArray[np.float64]
    clips: NDArray[np.float64]
    most_epochs: NDArray[np.int64]
    patience: NDArray[np.int64]
    states: NDArray[np.int64] = field(init=False)
    end_epoch: NDArray[np.int64] = field(init=False)
    best_epoch: NDArray[np.int64] = field(init=False)
    best: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        S = len(self.decays)
        self.states = np.zeros(S, np.int64)
        self.end_epoch, self.best_epoch = np.zeros(S, np.int64), np.zeros(S, np.int64)
        self.best = np.full(S, np.inf)

    def state(self) -> dict[str, Tensor]:
        """What became of the lanes, by name."""
        names = ("states", "end_epoch", "best_epoch", "best")
        return {name: torch.from_numpy(getattr(self, name).copy()) for name in names}

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Go on from there."""
        for name in self.state():
            getattr(self, name)[:] = values[name].numpy()


class _Sizes(ctypes.Structure):
    _fields_ = [(name, c_int64) for name in
                ("real", "threads", "shared", "lanes", "batch", "steps", "inputs", "hidden", "rows")
               ]  # fmt: skip


class _View(ctypes.Structure):
    _fields_ = [("data", c_void_p), *((n, c_int64) for n in ("lane", "batch", "row", "item"))]


class _Parameter(ctypes.Structure):
    _fields_ = [(n, c_void_p) for n in ("value", "gradient", "mean", "square", "best")] + [
        ("size", c_int64)
    ]


class _Copy(ctypes.Structure):
    _fields_ = [("source", _View), ("to", _View), ("steps", c_int64), ("items", c_int64)]


class _Batch(ctypes.Structure):
    _fields_ = [
        ("forward", c_char_p),
        ("backward", c_char_p),
        ("out", c_void_p),
        ("grad_out", c_void_p),
        ("target", c_void_p),
        ("weight", c_void_p),
        ("size", c_int64),
        ("rows", c_int64),
        ("first", c_int64),
        ("copies", c_int64),
        ("copy", ctypes.POINTER(_Copy)),
    ]


class _Fit(ctypes.Structure):
    _fields_ = [
        ("sizes", _Sizes),
        *((n, c_int64) for n in ("lanes_inner", "loss", "epochs", "epoch", "step", "count")),
        ("parameters", ctypes.POINTER(_Parameter)),
        ("batches", c_int64),
        ("batch", ctypes.POINTER(_Batch)),
        ("validation", ctypes.POINTER(_Batch)),
        *((n, c_void_p) for n in ("order", "rates", "decays", "clips")),
        *((n, c_double) for n in ("beta1", "beta2", "epsilon")),
        *((n, c_void_p) for n in ("most_epochs", "patience", "states", "end_epoch", "best_epoch")),
        *((n, c_void_p) for n in ("best", "losses", "validation_losses", "done")),
    ]


class Training:
    """A model's or a pack's training.

    Args:
        plan: what runs; it reads out.
        weights: parameters of all layers and directions and the readout, in the plan's order; None
            for absent biases. With lanes ``(S, ...)`` those of a pack.
        lanes: settings of every lane; its results are written as training goes on.
        rows: the data.
        validation: rows of a validation, or None.
        batch_size: rows of a step; None: all.
        loss: one of `LOSSES`.
    """

    def __init__(
        self,
        plan: Plan,
        weights: Sequence[Tensor | None],
        lanes: Lanes,
        rows: Rows,
        validation: Rows | None,
        batch_size: int | None,
        loss: str,
    ) -> None:
        self.weights, self.lanes = weights, lanes
        self.epoch = self.step = 0
        first = weights[1]
        assert first is not None  # noqa: S101 - for the type checker
        packed = first.dim() == 3
        parts = [slice(0, 1)]
        if packed:
            size = _block(plan, first, rows, batch_size)
            parts = [slice(s, min(s + size, len(first))) for s in range(0, len(first), size)]
        threads = torch.get_num_threads() if len(parts) == 1 else 1
        options = (plan, lanes, batch_size, LOSSES.index(loss), threads)
        self.blocks = []
        for part in parts:
            own = [w[part] if packed and w is not None else w for w in weights]
            valid = None if validation is None else validation.of_lanes(part)
            block = _Block(own, rows.of_lanes(part), valid, part, *options)
            self.blocks.append(block)

    def advance(
        self, rates: NDArray[np.float64], order: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Train for some epochs, fewer where every lane has ended.

        Args:
            rates: learning rates ``(epochs, S)``.
            order: of the rows in each epoch ``(epochs, S, B)``, where there is a batch size.

        Returns:
            Losses ``(epochs, S)`` of the weights before each epoch's steps, and on the validation
            rows of those after them, NaN without.
        """
        S, library_ = rates.shape[1], library.loaded()
        for block in self.blocks:
            block.prepare(self.epoch, self.step, rates, order)
        library_.fit([block.fit for block in self.blocks], torch.get_num_threads())
        done = max(int(block.done[0]) for block in self.blocks)
        losses, valid = np.full((done, S), np.nan), np.full((done, S), np.nan)
        for block in self.blocks:
            few = int(block.done[0])
            losses[:few, block.part] = block.losses[:few]
            if block.fit.validation:
                valid[:few, block.part] = block.valid[:few]
        self.epoch += done
        self.step += done * self.blocks[0].fit.batches
        return losses, valid

    @torch.no_grad()
    def give_weights(self, *, best: bool) -> None:
        """Write the weights into the parameters: of the best validation, or the last ones."""
        for block in self.blocks:
            for own, parameter in zip(block.own, self._given(), strict=True):
                to = parameter[block.part] if block.packed else parameter
                to.copy_(own.best if best else own.value)

    def _given(self) -> list[Tensor]:
        return [w for w in self.weights if w is not None]

    def state(self) -> dict[str, Tensor]:
        """All that a training goes on from, by name."""
        values = self.lanes.state()
        values["counts"] = torch.tensor([self.epoch, self.step])
        for b, block in enumerate(self.blocks):
            for k, own in enumerate(block.own):
                for name in ("value", "mean", "square", "best"):
                    values[f"{b}.{k}.{name}"] = getattr(own, name).contiguous().clone()
        return values

    def load(self, values: dict[str, Tensor]) -> None:
        """Go on from there."""
        self.lanes.load(values)
        self.epoch, self.step = values["counts"].tolist()
        for b, block in enumerate(self.blocks):
            for k, own in enumerate(block.own):
                for name in ("value", "mean", "square", "best"):
                    getattr(own, name).copy_(values[f"{b}.{k}.{name}"])


def training_bytes(cell: KernelCell, states: int, size: int) -> int:
    """Bytes of what a training keeps between passes, with so many states of ``size`` bytes."""
    return (gated.KEPT if cell.kernel == "gated" else 2) * states * size


def read_times(
    plan: Plan,
    weights: Sequence[Tensor | None],
    x: Tensor,
    times: Tensor | None,
    observed: Tensor | None,
    lengths: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Data as `Rows` wants them: x without what is missing, and dt as either direction reads it.

    Args:
        plan: what will run.
        weights: see `Training`.
        x: ``(*S, B, L, I)``.
        times: dt ``(*S, B, L)``, or None.
        observed: ``(B, L)`` or ``(B, L, I)``, or None.
        lengths: ``(B,)``, or None.

    Raises:
        TorchliquidError: a dt or a length that is not valid.
    """
    given = (x, x, None, times, observed, lengths)  # the state plays no part
    try:
        return Run(plan, given, weights, keep=False).read_times()
    except InvalidValueError:
        raise TorchliquidError(
            f"dt or lengths do not fit x {tuple(x.shape)}: give times that are not negative, and "
            "lengths from 1 to the number of samples"
        ) from None


class _Own(NamedTuple):
    """A parameter in training, and what goes with it."""

    value: Tensor
    gradient: Tensor
    mean: Tensor
    square: Tensor
    best: Tensor


def _block(plan: Plan, weight_hh: Tensor, rows: Rows, batch_size: int | None) -> int:
    """Lanes of a block. It follows from sizes alone: threads must change no bit."""
    width = library.loaded().width[weight_hh.element_size()]
    rows_layout = library.in_rows(plan.cell.kernel, rows.x, weight_hh)
    least = 4 if rows_layout else width
    B, L = rows.x.shape[-3:-1]
    B = min(B, batch_size or B)
    states = B * L * weight_hh.shape[-1] * plan.layers * plan.directions
    kept = training_bytes(plan.cell, states, weight_hh.element_size())
    return max(least, CACHE // kept // least * least)


class _Block:
    """Some lanes of a training, with copies of their weights as the kernels like them best."""

    def __init__(
        self,
        weights: Sequence[Tensor | None],
        rows: Rows,
        validation: Rows | None,
        part: slice,
        plan: Plan,
        lanes: Lanes,
        batch_size: int | None,
        loss: int,
        threads: int,
    ) -> None:
        self.part, self.plan, self.threads = part, plan, threads
        first = weights[1]
        assert first is not None  # noqa: S101 - for the type checker
        self.packed = first.dim() == 3
        self.S = len(first) if self.packed else 1
        in_rows = library.in_rows(plan.cell.kernel, rows.x, first)
        self.inner = self.packed and not in_rows
        self.weights = [None if w is None else self._copied(w) for w in weights]
        self.gradients = [None if w is None else torch.empty_like(w) for w in self.weights]
        self.own = [
            _Own(w, g, torch.zeros_like(w), torch.zeros_like(w), w.clone())
            for w, g in zip(self.weights, self.gradients, strict=True)
            if w is not None and g is not None
        ]
        self.alive: list[Any] = [rows, validation]
        B, outputs = rows.x.shape[-3], rows.target.shape[-1]
        firsts = range(0, B, batch_size or B)
        self.batches = (_Batch * len(firsts))()
        for k, start in enumerate(firsts):
            self._lay_out(self.batches[k], rows, start, min(batch_size or B, B - start), loss,
                          shuffled=batch_size is not None)  # fmt: skip
        self.validation = _Batch()
        if validation is not None:
            V = validation.x.shape[-3]
            self._lay_out(self.validation, validation, 0, V, loss, shuffled=False, learns=False)
        self.parameters = (_Parameter * len(self.own))(
            *(_Parameter(*(t.data_ptr() for t in own), own.value.numel()) for own in self.own)
        )
        self.done = np.zeros(1, np.int64)
        of_lanes = [getattr(lanes, n)[part] for n in
                    ("decays", "clips", "most_epochs", "patience", "states", "end_epoch",
                     "best_epoch", "best")]  # fmt: skip
        decays, clips, *integers, best = (a.ctypes.data for a in of_lanes)
        size = first.element_size()
        self.fit = _Fit(
            _Sizes(size, threads, 0, self.S, B, 1, 1, outputs, 0),
            *(self.inner, loss, 0, 0, 0, len(self.own)),
            self.parameters,
            len(firsts),
            self.batches,
            ctypes.pointer(self.validation) if validation is not None else None,
            *(None, None, decays, clips),
            *(*BETAS, EPSILON),
            *integers,
            *(best, None, None, self.done.ctypes.data),
        )

    def prepare(
        self, epoch: int, step: int, rates: NDArray[np.float64], order: NDArray[np.int64] | None
    ) -> None:
        """Say what the next call does."""
        self.rates = np.ascontiguousarray(rates[:, self.part])
        self.losses, self.valid = np.empty_like(self.rates), np.empty_like(self.rates)
        fit = self.fit
        fit.epochs, fit.epoch, fit.step = len(rates), epoch, step
        fit.rates, fit.losses = self.rates.ctypes.data, self.losses.ctypes.data
        fit.validation_losses = self.valid.ctypes.data
        if order is not None:
            self.order = np.ascontiguousarray(order[:, self.part])
            fit.order = self.order.ctypes.data

    def _copied(self, weight: Tensor) -> Tensor:
        """A copy, the lane innermost in memory where the kernels want it so."""
        weight = weight.detach()
        if not self.inner:
            return weight.clone(memory_format=torch.contiguous_format)
        S, *shape = weight.shape
        copy = weight.new_empty(*shape, S).movedim(-1, 0)
        return copy.copy_(weight)

    def _lay_out(
        self,
        batch: _Batch,
        rows: Rows,
        start: int,
        count: int,
        loss: int,
        *,
        shuffled: bool,
        learns: bool = True,
    ) -> None:
        """Programs and arrays of one batch: of all rows, or of some that are copied each time."""
        copies: list[_Copy] = []
        x, times, back = rows.x, rows.times, rows.back
        if shuffled:
            L, I = x.shape[-2:]
            lead = (self.S,) if self.packed else ()
            x = x.new_empty(*lead, count, L, I)
            copies.append(_copy(rows.x, x, I))
            if times is not None:
                times = times.new_empty(*lead, count, L)
                copies.append(_copy(_with_item(rows.times), times.unsqueeze(-1), 1))
            if back is not None:
                back = back.new_empty(*lead, count, L)
                copies.append(_copy(_with_item(rows.back), back.unsqueeze(-1), 1))
        run = self._run(x, times, back, learns)
        forward, outputs_of_run = run.forward_program()
        out = outputs_of_run[0]
        target, weight = torch.empty_like(out), torch.empty_like(out)
        if shuffled:
            O = out.shape[-1]
            copies.append(_copy(rows.target, target, O))
            copies.append(_copy(rows.weight.unsqueeze(-1).expand(*rows.weight.shape, O), weight, O))
        else:
            target.copy_(rows.target)
            total = rows.weight.sum(dim=(-2, -1), keepdim=True)
            outputs = 1 if loss else out.shape[-1]
            weight.copy_((rows.weight / (total * outputs)).unsqueeze(-1))
        grad_out = backward = None
        if learns:
            grad_out = torch.empty_like(out)
            needs = (False,) * 4 + (True,) * len(self.weights)
            program, _ = run.backward_program((grad_out, None), needs)
            backward = program.packed()
        listed = (_Copy * len(copies))(*copies)
        texts = [forward.packed(), backward]
        self.alive += [run, outputs_of_run, target, weight, grad_out, listed, texts, x, times, back]
        batch.forward, batch.backward = texts
        batch.out, batch.target, batch.weight = (t.data_ptr() for t in (out, target, weight))
        batch.grad_out = None if grad_out is None else grad_out.data_ptr()
        batch.size, batch.rows, batch.first = out.numel(), count, start
        batch.copies, batch.copy = len(copies), listed

    def _run(self, x: Tensor, times: Tensor | None, back: Tensor | None, learns: bool) -> Run:
        plan = self.plan
        depth, H = plan.layers * plan.directions, self.weights[1].shape[-1]  # type: ignore[union-attr]
        lead = (self.S,) if self.packed else ()
        h0 = x.new_zeros(*lead, depth, x.shape[-3], H)
        c0 = h0 if plan.cell.states == 2 else None
        given = (x, h0, c0, times, None, None)
        run = Run(plan, given, self.weights, keep=learns, threads=self.threads)
        if times is not None:
            run.take_times(times, back)
        run.gradients = self.gradients
        return run


def _with_item(times: Tensor | None) -> Tensor:
    assert times is not None  # noqa: S101 - for the type checker
    return times.unsqueeze(-1)


def _copy(source: Tensor, to: Tensor, items: int) -> _Copy:
    """Rows ``(*S, B, L, F)`` to a batch of them."""
    return _Copy(_view(source), _view(to), source.shape[-2], items)


def _view(t: Tensor) -> _View:
    lane, (batch, row, item) = (t.stride(0) if t.dim() == 4 else 0), t.stride()[-3:]
    return _View(t.data_ptr(), lane, batch, row, item)
