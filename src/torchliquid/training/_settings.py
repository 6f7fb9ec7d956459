"""What a training is told of each lane, checked."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from torchliquid._checks import check_seed, check_tensor
from torchliquid.errors import TorchliquidError
from torchliquid.kernels import Lanes
from torchliquid.messages import short_repr
from torchliquid.training.schedules import check_schedule, cycled

MOST_EPOCHS = 2**31


@dataclass(frozen=True)
class Settings:
    """One value a lane ``(S,)``: rates, and the schedule along which each moves."""

    rates: NDArray[np.float64]
    schedules: tuple[str, ...]
    lanes: Lanes
    seed: int
    lane_seeds: tuple[int, ...]

    @property
    def epochs(self) -> int:
        """Of the lane that has most."""
        return int(self.lanes.most_epochs.max())

    def rates_of(self, first: int, count: int) -> NDArray[np.float64]:
        """Learning rates ``(count, S)`` of some epochs."""
        rates = np.tile(self.rates, (count, 1))
        for lane, schedule in enumerate(self.schedules):
            if schedule == "one-cycle":
                whole = int(self.lanes.most_epochs[lane])
                shares = [cycled(min(e, whole - 1), whole) for e in range(first, first + count)]
                rates[:, lane] *= shares
        return rates

    def order_of(self, first: int, count: int, rows: int) -> NDArray[np.int64]:
        """The order of the rows ``(count, S, rows)`` in some epochs: each lane has its own."""
        order = np.empty((count, len(self.rates), rows), np.int64)
        for k in range(count):
            for lane, lane_seed in enumerate(self.lane_seeds):
                generator = np.random.default_rng([self.seed, lane_seed, first + k])
                order[k, lane] = generator.permutation(rows)
        return order


def settings_of(
    lane_seeds: Sequence[int] | None,
    epochs: Any,
    lr: Any,
    weight_decay: Any,
    clip: Any,
    schedule: Any,
    patience: Any,
    seed: Any,
) -> Settings:
    """The settings of every lane.

    Args:
        lane_seeds: of a pack; None for a model.
        epochs: see `torchliquid.fit`, as all that follow.
        lr: the learning rate.
        weight_decay: of AdamW.
        clip: largest norm, or None.
        schedule: a name.
        patience: epochs, or None.
        seed: of the rows' order.
    """
    seeds = (0,) if lane_seeds is None else tuple(lane_seeds)
    S = None if lane_seeds is None else len(seeds)
    most = _lane_values("epochs", epochs, S, _whole, "an integer of at least 1")
    rates = _lane_values("lr", lr, S, lambda v: _number(v, 0, 1e308), "a number of at least 0")
    decays = _lane_values(
        "weight_decay", weight_decay, S, lambda v: _number(v, 0, 10), "a number from 0 to 10"
    )
    clips = _lane_values(
        "clip", clip, S, lambda v: v is None or (_number(v, 0, 1e300) and v > 0),
        "a positive number, or None",
    )  # fmt: skip
    waits = _lane_values(
        "patience", patience, S, lambda v: v is None or _whole(v), "a number of epochs, or None"
    )
    schedules = _lane_values("schedule", schedule, S, lambda _: True, "a name")
    for name in schedules:
        check_schedule(name)
    seed = check_seed(seed)
    lanes = Lanes(
        np.array(decays, np.float64),
        np.array([np.inf if c is None else c for c in clips], np.float64),
        np.array(most, np.int64),
        np.array([w or 0 for w in waits], np.int64),
    )
    return Settings(np.array(rates, np.float64), tuple(schedules), lanes, seed, seeds)


def lane_numbers(name: str, value: Any, lanes: int | None) -> NDArray[np.float64]:
    """Positive numbers, one for all lanes or one each."""
    fits = lambda v: _number(v, 1e-30, 1e30)  # noqa: E731
    expected = "a positive number from 1e-30 to 1e30"
    return np.array(_lane_values(name, value, lanes, fits, expected), np.float64)


def _lane_values(name: str, value: Any, lanes: int | None, fits: Any, expected: str) -> list[Any]:
    """One value a lane; the same for all where one was given."""
    if isinstance(value, Tensor):
        check_tensor(name, value, f"of {expected}, one for each lane")
        if value.is_meta:
            raise TorchliquidError(f"{name} is on the meta device: give {expected}")
    if isinstance(value, Tensor | np.ndarray | np.generic):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        values = [value] * (lanes or 1)
    elif len(value) != (lanes or 1):
        of_what = "a model has one" if lanes is None else f"one for each of {lanes} lanes"
        raise TorchliquidError(
            f"{name} has {len(value)} values: give {expected}, or {of_what}"
            if lanes is not None
            else f"{name} is {short_repr(value)}: {of_what}: give {expected}"
        )
    else:
        values = list(value)
    for lane, one in enumerate(values):
        if not fits(one):
            where = f" of lane {lane}" if isinstance(value, list | tuple) else ""
            raise TorchliquidError(f"{name}{where} is {short_repr(one)}: give {expected}")
    return values


def _whole(value: Any) -> bool:
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    return whole and 1 <= int(value) < MOST_EPOCHS


def _number(value: Any, least: float, most: float) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return least <= float(value) <= most
    except OverflowError:
        return False
