"""`fit`: a model or a pack is trained in one call; `Trainer`, where it is to go on step by step."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from torchliquid import kernels
from torchliquid._checks import check_flag
from torchliquid.errors import TorchliquidError, TrainingWarning
from torchliquid.messages import short_repr
from torchliquid.nn import LiquidLayer, Pack, SequenceModel
from torchliquid.signals import signals_kept
from torchliquid.training._checkpoint import Checkpoint, check_seconds
from torchliquid.training._data import Data, Form, data_of, named, single_of
from torchliquid.training._native_training import native_training, why_not
from torchliquid.training._progress import Progress
from torchliquid.training._settings import lane_numbers, settings_of
from torchliquid.training._solved_readout import SolvedTraining, check_solvable
from torchliquid.training._torch_training import TorchTraining, cross_entropy, squared_error
from torchliquid.training.history import History, history_of

SECONDS = 0.2
"""About as long a native call runs, until it is asked whether to stop."""


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    epochs: Any,
    lr: Any = 1e-2,
    dt: Any = None,
    lengths: Any = None,
    observed: Tensor | None = None,
    weight: Tensor | None = None,
    validation: Any = None,
    patience: Any = None,
    schedule: Any = "constant",
    weight_decay: Any = 0.0,
    clip: Any = None,
    batch_size: int | None = None,
    loss: str | Callable[[Tensor, Tensor], Tensor] = "mse",
    warm_up: int = 0,
    dt_scale: Any = 1.0,
    readout: str = "train",
    penalty: Any = 1e-4,
    progress: bool = False,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
) -> History:
    """Train a model, or all lanes of a pack, in place.

    It is this loop, for each lane of a pack as if it were alone::

        optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
        for epoch in range(epochs):
            optimiser.zero_grad()
            predictions, _ = model(x, dt=dt, lengths=lengths, observed=observed)
            ((predictions - y).square() * weight).sum().div(weight.sum()).backward()
            optimiser.step()

    Where every part of the model has a native kernel (LTC but for ``rk4``, CTRNN, DecayGRU,
    `nn.LSTM` and `nn.GRU` with biases, of any depth and direction, without dropout or projection,
    and a linear readout), many epochs are one native call; else torch's autograd runs the loop.
    Which one it was, and why, `History.engine` says.

    Args:
        model: a `SequenceModel`, a `Pack`, or a module that is called like one.
        x: rows ``(B, L, I)``, laid out as the model takes them; a leading S is a series for each
            lane of a pack.
        y: ``(B, L, O)``, a target for every sample, or ``(B, O)``, for the last one of each row
            (with ``lengths``, the last real one); laid out like predictions. For cross entropy
            integers ``(B, L)`` or ``(B,)``. A leading S is one for each lane.
        epochs: passes through the data; one number, or one for each lane.
        lr: learning rate, or one for each lane.
        dt: time before each sample, as in a call; None takes the layer's.
        lengths: real samples of each row, ``(B,)``; the others do not count.
        observed: which samples, or features of them, were observed, as in a call.
        weight: what each sample counts for, ``(B, L)``, or each row, ``(B,)``; not negative, 0 or
            False for those that do not count. A leading S is one for each lane.
        validation: ``(x, y)``, or a dict of x, y, dt, lengths, observed and weight: the loss on it
            is computed after every epoch, and each lane ends with the weights of its best one.
        patience: a lane stops after so many epochs without a better validation; or one for each.
        schedule: ``"constant"`` or ``"one-cycle"``, along which the rate moves from epoch to epoch
            (`torch.optim.lr_scheduler.OneCycleLR`); or one for each lane.
        weight_decay: of AdamW, or one for each lane.
        clip: largest norm of a lane's gradient, or one for each lane; None for none.
        batch_size: rows of a step, drawn in another order each epoch, and by each lane in its own;
            None takes all rows for one step an epoch.
        loss: ``"mse"``, the mean over samples and outputs; ``"cross_entropy"``; or a function
            ``loss(predictions, y)`` that gives one for each sample (``reduction="none"``).
        warm_up: samples at the start of each row that do not count: the state starts at zero.
        dt_scale: factor of every dt, or one for each lane.
        readout: ``"train"``, or ``"solve"``: in every epoch the linear readout is the ridge
            regression of y on the states, in closed form, and AdamW moves the rest. It takes 3 to
            10 times fewer epochs, and overfits sooner: give a validation. For squared error and
            all rows in one step.
        penalty: of that regression, in units of the mean variance of a state; or one for each lane.
        progress: whether to write a line with the time left to stderr.
        seed: of the rows' order.
        checkpoint: file to which the training is written now and then, and from which a call with
            the same arguments goes on, to the bit.
        checkpoint_seconds: how often.

    Returns:
        What the training was like. Ctrl-C ends it after the epoch, as patience would, with the best
        weights so far; a second Ctrl-C is raised at once.

    Raises:
        TorchliquidError: an argument that does not fit.

    Source: Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019 (AdamW);
    Golub and Pereyra, "The differentiation of pseudo-inverses and nonlinear least squares problems
    whose variables separate", 1973 (solved readouts).

    >>> import torch, torchliquid as tl
    >>> x = torch.linspace(0, 20, 200).sin().view(1, 200, 1)
    >>> model = tl.SequenceModel(tl.LTC(1, 8, batch_first=True), output_size=1)
    >>> history = tl.fit(model, x[:, :-1], x[:, 1:], epochs=200, lr=0.02)
    >>> bool(history.loss[-1] < 0.1 * history.loss[0])
    True
    """
    options = Options(
        epochs=epochs,
        lr=lr,
        dt=dt,
        lengths=lengths,
        observed=observed,
        weight=weight,
        validation=validation,
        patience=patience,
        schedule=schedule,
        weight_decay=weight_decay,
        clip=clip,
        batch_size=batch_size,
        loss=loss,
        warm_up=warm_up,
        dt_scale=dt_scale,
        readout=readout,
        penalty=penalty,
        seed=seed,
    )
    check_seconds(checkpoint_seconds)
    check_flag("progress", progress)
    trainer = Trainer(model, x, y, options)
    kept = None
    if checkpoint is not None:
        kept = Checkpoint(checkpoint, checkpoint_seconds, trainer, [x, y, asdict(options)])
    return trainer.run(Progress(trainer.settings.epochs) if progress else None, kept)


_FUNCTIONS = {"mse": squared_error, "cross_entropy": cross_entropy}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Arguments of `fit`; see there."""

    epochs: Any
    lr: Any = 1e-2
    dt: Any = None
    lengths: Any = None
    observed: Tensor | None = None
    weight: Tensor | None = None
    validation: Any = None
    patience: Any = None
    schedule: Any = "constant"
    weight_decay: Any = 0.0
    clip: Any = None
    batch_size: int | None = None
    loss: str | Callable[[Tensor, Tensor], Tensor] = "mse"
    warm_up: int = 0
    dt_scale: Any = 1.0
    readout: str = "train"
    penalty: Any = 1e-4
    seed: int = 0


class Trainer:
    """A training that goes on as far as it is told; `fit` is one that goes to its end.

    The model has its weights after `give_weights`, not before.

    Args:
        model: see `fit`, like x and y.
        x: inputs.
        y: targets.
        options: see `fit`.

    Raises:
        TorchliquidError: an argument that does not fit.
    """

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor, options: Options) -> None:
        if not isinstance(model, nn.Module):
            raise TorchliquidError(
                f"model is a {type(model).__name__}: give a SequenceModel or a Pack"
            )
        _check_plain(options)
        if options.readout == "solve":
            check_solvable(model, options.loss, options.batch_size)
        seeds = model.seeds if isinstance(model, Pack) else None
        self.model, self.batch_size = model, options.batch_size
        self.settings = settings_of(
            seeds,
            options.epochs,
            options.lr,
            options.weight_decay,
            options.clip,
            options.schedule,
            options.patience,
            options.seed,
        )
        self.validates = options.validation is not None
        self.losses: list[NDArray[np.float64]] = []
        self.valid: list[NDArray[np.float64]] = []
        self.seconds = 0.0
        self._chunk, self._whole = 1, True
        form = _form(model, options.loss, options.warm_up)
        count = None if seeds is None else len(seeds)
        scale = lane_numbers("dt_scale", options.dt_scale, count)
        self.penalties = lane_numbers("penalty", options.penalty, count)
        own = _own_dt(model)
        given = {"x": x, "y": y, "dt": options.dt, "lengths": options.lengths,
                 "observed": options.observed, "weight": options.weight}  # fmt: skip
        data = [_scaled(data_of(form, "", given), scale, own, form)]
        layer = getattr(model, "layer", None)
        if isinstance(layer, LiquidLayer) and isinstance(options.dt, Tensor):
            layer.look_at_times(options.dt * float(scale[0]))
        if self.validates:
            valid = data_of(form, "validation's ", named(options.validation))
            data.append(_scaled(valid, scale, own, form))
        with _in_training(model):
            for rows in data:
                _check_call(model, form, rows)
        self.rows = data[0].x.shape[-3]
        self.training = self._engine(
            form, data[0], data[1] if self.validates else None, options, own
        )

    def _engine(
        self, form: Form, data: Data, validation: Data | None, options: Options, own: float | None
    ) -> kernels.Training | TorchTraining:
        """The native kernels' training, or torch's."""
        loss, lanes = options.loss, self.settings.lanes
        solves = options.readout == "solve"
        why = (
            "the readout is solved" if solves else why_not(self.model, loss, data, self.batch_size)
        )
        self.engine = f"torch: {why}" if why else "native"
        if why:
            function = _FUNCTIONS[loss] if isinstance(loss, str) else loss
            layout = form.batch_first
            arguments = (self.model, layout, lanes, data, validation, self.batch_size, function)
            if solves:
                return SolvedTraining(self.penalties, *arguments)
            return TorchTraining(*arguments)
        interval = data.dt if isinstance(data.dt, float) else own or 1.0
        return native_training(
            self.model, lanes, data, validation, self.batch_size, str(loss), interval
        )

    @property
    def epoch(self) -> int:
        """Epochs that were done."""
        return self.training.epoch

    @property
    def ended(self) -> bool:
        """Whether every lane has ended."""
        lanes = self.settings.lanes
        running = (lanes.states == kernels.TRAINING) & (self.epoch < lanes.most_epochs)
        return not running.any()

    def advance(self, epochs: int) -> None:
        """Train for some epochs, or to the end.

        Ctrl-C waits until they are whole; a second one does not, and leaves a training that is of
        no more use.
        """
        with signals_kept(second_at_once=True):
            self._whole = False
            self._advance(epochs)
            self._whole = True

    def _advance(self, epochs: int) -> None:
        rates = self.settings.rates_of(self.epoch, epochs)
        order = None
        if self.batch_size is not None:
            order = self.settings.order_of(self.epoch, epochs, self.rows)
        start = time.perf_counter()
        first, before = self.epoch, self.settings.lanes.states.copy()
        with _in_training(self.model):
            losses, valid = self.training.advance(rates, order)
        self.seconds += time.perf_counter() - start
        self.losses.append(losses)
        self.valid.append(valid)
        self._mask_ended(first)
        self._warn(before)

    def epochs_until(self, epoch: int) -> Iterator[int]:
        """Train up to an epoch, or to the end; gives the epochs done every so often."""
        while self.epoch < epoch and not self.ended:
            start = time.perf_counter()
            count = min(self._chunk, epoch - self.epoch)
            self.advance(count)
            taken = time.perf_counter() - start
            self._chunk = max(1, min(2 * count, int(count * SECONDS / max(taken, 1e-6))))
            yield self.epoch

    def give_weights(self) -> None:
        """Write the weights into the model: the best ones where there is a validation."""
        self.training.give_weights(best=self.validates)

    def run(self, progress: Progress | None, checkpoint: Checkpoint | None) -> History:
        """Go to the end, or to Ctrl-C."""
        try:
            for epoch in self.epochs_until(self.settings.epochs):
                if progress is not None:
                    progress.show(epoch, self.losses[-1], self.valid[-1])
                if checkpoint is not None:
                    checkpoint.save_if_due()
        except KeyboardInterrupt:
            if not self._whole:
                raise
        finally:
            if progress is not None:
                progress.close()
        if checkpoint is not None:
            checkpoint.save()
        self.give_weights()
        return self.history()

    def history(self) -> History:
        """What it has been like so far."""
        valid = self.valid if self.validates else None
        single = not isinstance(self.model, Pack)
        return history_of(self.settings.lanes, single, self.epoch, self.losses, valid,
                          self.engine, self.seconds)  # fmt: skip

    def _mask_ended(self, first: int) -> None:
        """No losses of epochs after a lane's end."""
        lanes = self.settings.lanes
        for lane in np.flatnonzero(lanes.states != kernels.TRAINING):
            last = int(lanes.end_epoch[lane]) - first
            shown = max(last + (lanes.states[lane] == kernels.DIVERGED), 0)
            self.losses[-1][shown:, lane] = np.nan
            self.valid[-1][max(last, 0) :, lane] = np.nan

    def _warn(self, before: NDArray[np.int64]) -> None:
        lanes = self.settings.lanes
        now = (lanes.states == kernels.DIVERGED) & (before != kernels.DIVERGED)
        if not now.any():
            return
        first = int(np.flatnonzero(now)[0])
        many = f"{int(now.sum())} lanes, the first" if now.sum() > 1 else "lane"
        what = "the loss" if not isinstance(self.model, Pack) else f"the loss of {many} {first}"
        others = "" if not isinstance(self.model, Pack) else "; the other lanes go on"
        warnings.warn(
            f"{what} is not finite in epoch {int(lanes.end_epoch[first])}: the weights stay as "
            f"they were before it{others}. Give a smaller lr, or clip=1.0",
            TrainingWarning,
            stacklevel=2,
        )


def _check_plain(options: Options) -> None:
    loss = options.loss
    if not callable(loss) and not (isinstance(loss, str) and loss in kernels.LOSSES):
        known = " or ".join(map(repr, kernels.LOSSES))
        raise TorchliquidError(f"loss is {short_repr(loss)}: give {known}, or a function")
    if not (isinstance(options.readout, str) and options.readout in ("train", "solve")):
        raise TorchliquidError(
            f"readout is {short_repr(options.readout)}: give 'train', or 'solve'"
        )
    counts: tuple[tuple[str, Any, int], ...] = (
        ("batch_size", options.batch_size, 1),
        ("warm_up", options.warm_up, 0),
    )
    for name, value, least in counts:
        if name == "batch_size" and value is None:
            continue
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if not (whole and least <= int(value) < 2**31):
            raise TorchliquidError(
                f"{name} is {short_repr(value)}: give an integer of at least {least}"
            )
    if options.patience is not None and options.validation is None:
        raise TorchliquidError("patience is given without a validation: give validation=(x, y)")


@contextmanager
def _in_training(model: nn.Module) -> Iterator[None]:
    """The model in training mode, and then as it was."""
    was_training = model.training
    model.train()
    try:
        yield
    finally:
        model.train(was_training)


def _form(model: nn.Module, loss: Any, warm_up: int) -> Form:
    parameters = list(model.parameters())
    if not parameters:
        raise TorchliquidError("the model has no parameters: there is nothing to train")
    single = single_of(model)
    lanes = len(model) if isinstance(model, Pack) else None
    outputs = single.readout.out_features if isinstance(single, SequenceModel) else 0
    batch_first = bool(getattr(getattr(single, "layer", None), "batch_first", True))
    return Form(lanes, outputs, batch_first, parameters[0], loss == "cross_entropy", warm_up)


def _own_dt(model: nn.Module) -> float | None:
    """The layer's own time between samples; None where it knows no time."""
    layer = getattr(single_of(model), "layer", None)
    return layer.dt if isinstance(layer, LiquidLayer) else None


def _scaled(data: Data, scale: NDArray[np.float64], own: float | None, form: Form) -> Data:
    """Data with every dt times the lane's factor."""
    if (scale == 1).all():
        return data
    if own is None:
        raise TorchliquidError("dt_scale was given to a model that knows no time: leave it out")
    dt = own if data.dt is None else data.dt
    if form.lanes is None or (scale == scale[0]).all():
        return data._replace(dt=dt * float(scale[0]))
    B, L = data.x.shape[-3:-1]
    factors = torch.as_tensor(scale, dtype=form.weight.dtype, device=form.weight.device)
    dt = torch.as_tensor(dt, dtype=form.weight.dtype, device=form.weight.device)
    return data._replace(dt=(dt * factors.view(-1, 1, 1)).expand(form.lanes, B, L))


@torch.no_grad()
def _check_call(model: nn.Module, form: Form, data: Data) -> None:
    """Call the model with a row: it says itself what it does not take."""
    x, given = data.rows(slice(0, 1)).arguments(batch_first=form.batch_first)
    with torch.random.fork_rng(devices=[]) if model.training else nullcontext():
        y = model(x, **given)
    y = y[0] if isinstance(y, tuple) else y
    features = form.outputs if form.classes else data.target.shape[-1]
    expected = (*x.shape[-3:-1], features)
    if features and y.shape[-3:] != expected:
        raise TorchliquidError(
            f"the model predicts {tuple(y.shape)} for x {tuple(x.shape)}: expected {expected}, one "
            "for every sample"
        )
