"""A training by torch's autograd: what `fit` is defined as, and what runs where no kernel does."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from torchliquid.errors import TorchliquidError
from torchliquid.kernels import BETAS, DIVERGED, ENDED, EPSILON, STOPPED, TRAINING, Lanes
from torchliquid.nn import Pack
from torchliquid.training._data import Data, single_of

LARGEST = 2**24
"""Numbers of state (lanes x rows x samples x neurons) that one call may hold."""
Loss = Callable[[Tensor, Tensor], Tensor]
Floats = NDArray[np.float64]


class TorchTraining:
    """A model's or a pack's training; the interface is that of `torchliquid.kernels.Training`.

    Args:
        model: called with x and what else there is, gives predictions, or a tuple of them first.
        batch_first: its layout; data are batch first.
        lanes: settings of every lane; its results are written as training goes on.
        data: what to learn from.
        validation: what to choose epochs by, or None.
        batch_size: rows of a step; None: all.
        loss: ``loss(predictions, y)`` of every sample, ``(*S, B, L)`` or with features.
    """

    def __init__(
        self,
        model: nn.Module,
        batch_first: bool,
        lanes: Lanes,
        data: Data,
        validation: Data | None,
        batch_size: int | None,
        loss: Loss,
    ) -> None:
        self.model, self.batch_first, self.lanes = model, batch_first, lanes
        self.data, self.validation, self.loss = data, validation, loss
        self.rows, self.batch_size = data.x.shape[-3], batch_size
        self.packed = isinstance(model, Pack)
        self.width = _width(model)
        if self.packed and batch_size and (data.lengths is not None or data.observed is not None):
            raise TorchliquidError(
                "batch_size with lengths or observed of a pack needs the native kernels: leave "
                "batch_size out, or train its models one by one"
            )
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.mean, self.square = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
        self.best = [p.detach().clone() for p in self.parameters]
        self.epoch = self.step = 0

    def advance(
        self, rates: Floats, order: NDArray[np.int64] | None = None
    ) -> tuple[Floats, Floats]:
        """See `torchliquid.kernels.Training.advance`."""
        losses, valid = [], []
        for e, rate in enumerate(rates):
            for lane in np.flatnonzero(self.lanes.states == TRAINING):
                if self.epoch >= self.lanes.most_epochs[lane]:
                    self._end(lane, ENDED)
            if not (self.lanes.states == TRAINING).any():
                break
            losses.append(self._epoch(rate, None if order is None else order[e]))
            self.epoch += 1
            valid.append(self._validate())
        shape = (len(losses), rates.shape[1])
        return np.reshape(losses, shape), np.reshape(valid, shape)

    def _epoch(self, rate: Floats, order: NDArray[np.int64] | None) -> Floats:
        totals, sums = np.zeros(len(rate)), np.zeros(len(rate))
        size = self.batch_size or self.rows
        for start in range(0, self.rows, size):
            data = self.data
            if order is not None:
                data = _taken(data, torch.from_numpy(order[:, start : start + size]), self.packed)
            self.model.zero_grad(set_to_none=True)
            found, counted = self._backward(data)
            wrong = (self.lanes.states == TRAINING) & ~np.isfinite(found)
            for lane in np.flatnonzero(wrong):
                self._end(lane, DIVERGED)
            idle = (self.lanes.states != TRAINING) | (counted <= 0)
            self.step += 1
            self._update(rate, idle)
            weights = counted if order is not None else np.ones_like(counted)
            totals += found * weights
            sums += weights
        with np.errstate(invalid="ignore"):
            return np.asarray(totals / sums)

    @torch.enable_grad()
    def _backward(self, data: Data) -> tuple[Floats, Floats]:
        """Mean loss of each lane and what counted for it; gradients in the parameters."""
        whole = data.weight.sum(dim=(-2, -1))
        loss: Any = 0.0
        for part in self._parts(data):
            mean, weight = self._losses(part)
            share = mean * (weight / whole.clamp_min(torch.finfo(whole.dtype).tiny))
            share.sum().backward()
            loss = loss + share.detach()
        counted = whole.expand(loss.shape)
        return _flat(loss), _flat(counted)

    def _parts(self, data: Data) -> list[Data]:
        """Rows in as few parts as `LARGEST` allows."""
        rows, L = data.x.shape[-3:-1]
        size = max(1, LARGEST // (self.width * L))
        if rows <= size:
            return [data]
        return [data.rows(slice(start, start + size)) for start in range(0, rows, size)]

    def _losses(self, data: Data) -> tuple[Tensor, Tensor]:
        """Mean loss and sum of weights of each lane, ``(S,)`` or of no dimension."""
        x, given = data.arguments(batch_first=self.batch_first)
        y = self.model(x, **given)
        y = y[0] if isinstance(y, tuple) else y
        y = y if self.batch_first else y.transpose(-3, -2)
        own = data.target.shape[-data.target_dims :]
        values = self.loss(y, data.target.expand(*y.shape[:-3], *own))
        if not isinstance(values, Tensor) or values.dim() < y.dim() - 1:
            raise TorchliquidError(
                "loss returned one number: it must give one for each sample (reduction='none'), so "
                "that weights and lanes count"
            )
        if values.dim() == y.dim():
            values = values.mean(-1)
        weight = data.weight.expand(values.shape)
        total = weight.sum(dim=(-2, -1))
        # where the weight is 0 the value plays no part, NaN neither
        counted = torch.where(weight > 0, values, 0.0) * weight
        return counted.sum(dim=(-2, -1)) / total.clamp_min(torch.finfo(total.dtype).tiny), total

    @torch.no_grad()
    def _update(self, rate: Floats, idle: NDArray[np.bool_]) -> None:
        """A step of AdamW in each lane that is not idle: torch's single-tensor formulas."""
        first, second = BETAS
        shrink, root = 1 - first**self.step, math.sqrt(1 - second**self.step)
        scale = self._clipped()
        kept, length = 1 - rate * self.lanes.decays, rate / shrink
        moves = torch.from_numpy(~idle)
        states = zip(self.parameters, self.mean, self.square, strict=True)
        for parameter, mean, square in states:
            if parameter.grad is None:
                continue
            grad = parameter.grad * self._by_lane(scale, parameter)
            new_mean = torch.lerp(mean, grad, 1 - first)
            new_square = (square * second).addcmul_(grad, grad, value=1 - second)
            step = new_mean / ((new_square.sqrt() / root) + EPSILON)
            new = parameter * self._by_lane(kept, parameter)
            new -= step * self._by_lane(length, parameter)
            where = self._by_lane(moves, parameter)
            for old, now in ((mean, new_mean), (square, new_square), (parameter, new)):
                old.copy_(torch.where(where, now, old))

    def _clipped(self) -> Floats:
        """What each lane's gradient is multiplied by, as `torch.nn.utils.clip_grad_norm_` does."""
        if np.isinf(self.lanes.clips).all():
            return np.ones_like(self.lanes.clips)
        squares = torch.zeros(len(self.lanes.clips), dtype=torch.float64)
        for parameter in self.parameters:
            if parameter.grad is not None:
                each = parameter.grad.double().square().cpu()
                squares += each.flatten(1).sum(1) if self.packed else each.sum()
        return np.minimum(1.0, self.lanes.clips / (squares.sqrt().numpy() + 1e-6))

    def _by_lane(self, values: Any, parameter: Tensor) -> Tensor:
        t = torch.as_tensor(values).to(parameter.device)
        t = t if t.dtype == torch.bool else t.to(parameter.dtype)
        return t.reshape(-1, *[1] * (parameter.dim() - 1)) if self.packed else t.reshape(())

    @torch.no_grad()
    def _validate(self) -> Floats:
        lanes = self.lanes
        if self.validation is None:
            return np.full(len(lanes.best), np.nan)
        sums: Any = 0.0
        whole = self.validation.weight.sum(dim=(-2, -1))
        for part in self._parts(self.validation):
            mean, weight = self._losses(part)
            sums = sums + mean * (weight / whole)
        found = _flat(sums)
        training = lanes.states == TRAINING
        better = training & (found < lanes.best)
        lanes.best[better], lanes.best_epoch[better] = found[better], self.epoch
        where = torch.from_numpy(better)
        for best, parameter in zip(self.best, self.parameters, strict=True):
            best.copy_(torch.where(self._by_lane(where, parameter), parameter, best))
        waited = self.epoch - lanes.best_epoch >= lanes.patience
        for lane in np.flatnonzero(training & ~better & (lanes.patience > 0) & waited):
            self._end(lane, STOPPED)
        return found

    def _end(self, lane: Any, how: int) -> None:
        self.lanes.states[lane], self.lanes.end_epoch[lane] = how, self.epoch

    @torch.no_grad()
    def give_weights(self, *, best: bool) -> None:
        """See `torchliquid.kernels.Training.give_weights`."""
        if best:
            for parameter, value in zip(self.parameters, self.best, strict=True):
                parameter.copy_(value)

    def state(self) -> dict[str, Tensor]:
        """See `torchliquid.kernels.Training.state`."""
        values = self.lanes.state()
        values["counts"] = torch.tensor([self.epoch, self.step])
        for name, tensors in self._tensors().items():
            values |= {f"{name}.{k}": t.detach().clone() for k, t in enumerate(tensors)}
        return values

    @torch.no_grad()
    def load(self, values: dict[str, Tensor]) -> None:
        """See `torchliquid.kernels.Training.load`."""
        self.lanes.load(values)
        self.epoch, self.step = values["counts"].tolist()
        for name, tensors in self._tensors().items():
            for k, t in enumerate(tensors):
                t.copy_(values[f"{name}.{k}"])

    def _tensors(self) -> dict[str, list[Any]]:
        return {"value": self.parameters, "mean": self.mean, "square": self.square,
                "best": self.best}  # fmt: skip


def _width(model: nn.Module) -> int:
    """States of a step, of all lanes; of another module's 1."""
    layer = getattr(single_of(model), "layer", None)
    hidden = getattr(layer, "hidden_size", 1) * getattr(layer, "num_layers", 1)
    return int(hidden) * (len(model) if isinstance(model, Pack) else 1)


def _flat(values: Tensor) -> Floats:
    return np.asarray(values.detach().double().reshape(-1).cpu().numpy())


def _taken(data: Data, order: Tensor, packed: bool) -> Data:
    """Some rows, of each lane its own: ``order (S, rows)``."""
    if not packed:
        rows = order[0].to(data.x.device)
        parts: list[Any] = [t.index_select(0, rows) if isinstance(t, Tensor) else t for t in data]
        return Data(*parts)

    def of_lanes(t: Any, dims: int) -> Any:
        if not isinstance(t, Tensor):
            return t
        t = t if t.dim() == dims else t.expand(len(order), *t.shape)
        index = order.to(t.device).view(*order.shape, *[1] * (t.dim() - 2))
        return t.gather(1, index.expand(*order.shape, *t.shape[2:]))

    target = of_lanes(data.target, 1 + data.target_dims)
    return Data(
        of_lanes(data.x, 4), of_lanes(data.dt, 3), None, None, target, of_lanes(data.weight, 3)
    )


def squared_error(predictions: Tensor, y: Tensor) -> Tensor:
    """Of every output."""
    return (predictions - y).square()


def cross_entropy(predictions: Tensor, y: Tensor) -> Tensor:
    """Of every sample: ``predictions (..., C)``, ``y (...)``."""
    return -predictions.log_softmax(-1).gather(-1, y.unsqueeze(-1)).squeeze(-1)
