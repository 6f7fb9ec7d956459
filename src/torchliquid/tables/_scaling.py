"""Mean and deviation of each column, learnt on training rows: of all series, or of each its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.messages import plural
from torchliquid.tables._rows import Rows, rows_of
from torchliquid.tables._values import Numbers
from torchliquid.tables.reader import Series

SCALES = ("auto", "series", "all")
UNLIKE = 10.0
"""Series whose typical sizes, or deviations, differ so many times are scaled each by its own."""
LEAST_OWN = 10
"""Values in its training rows from which a series has a deviation of its own."""
CUT = 10.0
"""Deviations at which inputs of a column with wild cells are cut."""
WILD = 3.0
"""Cells are wild where they make a column's deviation so many times as large."""
FEW = 1000
"""One cell of so many may be wild."""
FURTHEST = 24
"""Rows ahead that are looked at, at least."""
SAMPLED = 1000
LEAST_COPIED = 30
COPIED = 0.99
CHANGES = 0.1
"""Share of rows in which a target changes, from which a column that equals it is a copy."""


class Scaling(NamedTuple):
    """What a column's values are less its mean, by its scale."""

    mean: float
    scale: float
    wild: tuple[int, ...] = ()

    @property
    def is_constant(self) -> bool:
        """Whether all values are the same: then they are shifted, not scaled."""
        return self.scale == 0


def scaling_of(values: Numbers) -> Scaling:
    """Mean and deviation of the values that are there, without wild cells; NaN where none is.

    ``wild`` holds their rows.
    """
    rows = np.flatnonzero(~np.isnan(values))
    seen = values[rows]
    if not len(seen):
        return Scaling(np.nan, np.nan)
    if seen.min() == seen.max():
        return Scaling(float(seen[0]), 0.0)
    wild = _wild(seen)
    kept = np.delete(seen, wild)
    with np.errstate(over="ignore", invalid="ignore"):
        return Scaling(float(kept.mean()), float(kept.std()), tuple(rows[np.sort(wild)].tolist()))


def _wild(seen: Numbers) -> NDArray[np.int64]:
    """The fewest cells, furthest out, without which the deviation is a third or less."""
    with np.errstate(over="ignore", invalid="ignore"):
        distance = seen - np.median(seen)
        order = np.argsort(np.abs(distance), kind="stable")
        inner = distance[order]
        count = np.arange(1, len(seen) + 1)
        variance = np.cumsum(inner**2) / count - (np.cumsum(inner) / count) ** 2
    if not np.isfinite(variance[-1]):
        return np.empty(0, dtype=np.int64)
    for cells in range(1, max(1, len(seen) // FEW) + 1):
        rest = variance[-1 - cells] if cells < len(seen) else 0.0
        # where the rest hardly varies the few cells are what the column is about: an event
        if rest > 1e-12 * variance[-1] and variance[-1] > WILD**2 * rest:
            return order[-cells:]
    return np.empty(0, dtype=np.int64)


def check_scale(scale: str, split: str) -> None:
    """That series can be scaled as was asked for.

    Raises:
        TorchliquidError: there is no such way, or series to test on have no training rows.
    """
    if scale not in SCALES:
        raise TorchliquidError(f"scale is {scale!r}: give {', '.join(SCALES)}")
    if scale == "series" and split == "series":
        raise TorchliquidError(
            "`scale=series` learns from training rows of each series, and with `split=series` "
            "those to test on have none: give `scale=all` or `split=time`"
        )


def are_unlike(trained: Sequence[Numbers]) -> bool:
    """Whether the target of some series is of another size: its typical value or its deviation."""
    known = [values[~np.isnan(values)] for values in trained]
    known = [values for values in known if len(values) >= LEAST_OWN]
    sizes = np.array([(np.median(np.abs(values)), values.std()) for values in known]).reshape(-1, 2)
    for column in sizes.T:
        above = column[column > 0]
        if len(above) > 1 and above.max() > UNLIKE * above.min():
            return True
    return False


def own_scaling(
    rows: Sequence[Rows], training: Sequence[NDArray[np.bool_]], common: Sequence[Scaling]
) -> tuple[dict[str, tuple[Scaling, ...]], list[str]]:
    """Scaling of each series by its own training rows, and a note on those that have too few.

    A column of 0 and 1 is scaled as that of all series: it may say which series it is. A series
    with few values, or the same value throughout, takes the median scale of the others.
    """
    seen = [part.values[: len(mask)][mask] for part, mask in zip(rows, training, strict=True)]
    found = [[scaling_of(values[:, k]) for k in range(len(common))] for values in seen]
    weak: dict[str, None] = {}
    for k, shared in enumerate(common):
        every = np.concatenate([values[:, k] for values in seen])
        if np.isin(every[~np.isnan(every)], (0, 1)).all():
            for one in found:
                one[k] = shared
            continue
        counts = [int((~np.isnan(values[:, k])).sum()) for values in seen]
        strong = [
            one[k].scale
            for one, n in zip(found, counts, strict=True)
            if n >= LEAST_OWN and one[k].scale > 0
        ]
        typical = float(np.median(strong)) if strong else shared.scale
        for part, one, n in zip(rows, found, counts, strict=True):
            if n < LEAST_OWN or one[k].is_constant:
                weak[part.label] = None
                mean = shared.mean if n == 0 else one[k].mean
                one[k] = one[k]._replace(mean=mean, scale=typical)
    notes = []
    if weak:
        names = ", ".join(list(weak)[:5]) + (", ..." if len(weak) > 5 else "")
        notes.append(
            f"{len(weak)} series with few training rows, or the same "
            f"value in all of them ({names}), take the median deviation of the others."
        )
    return {part.label: tuple(one) for part, one in zip(rows, found, strict=True)}, notes


def common_scaling(series: Series, rows: Numbers) -> tuple[list[Scaling], list[str]]:
    """Scaling of each column by all training rows, and notes on constant features.

    Raises:
        TorchliquidError: a feature has no value there, or the target is constant.
    """
    found, notes = [], []
    for k, name in enumerate(series.columns):
        one = scaling_of(rows[:, k])
        if np.isnan(one.mean):
            raise TorchliquidError(
                f"feature {name!r} has no value in the training part ({plural(len(rows), 'row')}): "
                "leave it out, or give train a larger fraction"
            )
        if one.is_constant and k == 0:
            raise TorchliquidError(
                f"target {name!r} is constant ({one.mean:g}) in the training part ("
                f"{plural(len(rows), 'row')}): nothing to learn; choose another target or a larger "
                "fraction for train"
            )
        if one.is_constant:
            notes.append(
                f"Feature {name!r} is constant ({one.mean:g}) in the training part: it is shifted "
                "to 0 there, not scaled."
            )
            one = one._replace(scale=1.0)
        if k == 0 and one.wild:  # the target is what it is; a note says so
            seen = rows[:, 0][~np.isnan(rows[:, 0])]
            one = one._replace(mean=float(seen.mean()), scale=float(seen.std()))
        found.append(one)
    return found, notes


def wild_notes(series: Series) -> list[str]:
    """Notes on cells that alone make a column's deviation several times as large."""
    notes, parts = [], rows_of(series)
    for k, name in enumerate(series.columns):
        if len(parts) > 1 and are_unlike([part.values[:, k] for part in parts]):
            continue
        values = series.values[:, k]
        one = scaling_of(values)
        if not one.wild:
            continue
        cells = values[list(one.wild)]
        shown = ", ".join(f"{value:g}" for value in np.unique(cells)[:3])
        ratio = np.nanstd(values) / one.scale
        effect = (
            "it counts as it is"
            if k == 0
            else "mean and deviation are those without, and inputs of this column are cut at "
            f"{CUT:g} deviations"
        )
        notes.append(
            f"{name} is {shown} in {plural(len(cells), 'cell')} (data row {one.wild[0] + 1}), "
            f"which makes its deviation {ratio:.0f} times as large: {effect}. If it stands for a "
            f"missing value, give `missing={cells[0]:g}`."
        )
    return notes


def copies_notes(series: Series, horizon: int) -> list[str]:
    """Notes on features that are the target itself, some rows on: they give the answer away."""
    notes = []
    ids = np.zeros(len(series.values)) if series.series_id is None else series.series_id
    for k, name in enumerate(series.columns[1:], start=1):
        first = 0 if name in series.future else 1
        for ahead in range(first, max(horizon, FURTHEST) + 1):
            # most features are told apart by their first rows
            if all(
                _is_copy(series.values[:rows, 0], series.values[:rows, k], ids[:rows], ahead)
                for rows in (ahead + SAMPLED, len(ids))
            ):
                rows_on = plural(ahead, "row") + " on" if ahead else "of the same row"
                notes.append(
                    f"Feature {name!r} is the target {rows_on}: it gives the answer away. Leave it "
                    "out, unless it is known by then."
                )
                break
    return notes


def _is_copy(target: Numbers, feature: Numbers, ids: NDArray[Any], ahead: int) -> bool:
    """Whether a feature is the target so many rows on, in nearly all rows that hold both."""
    rows = max(len(target) - ahead, 0)
    now, then = feature[:rows], target[ahead : ahead + rows]
    there = ~np.isnan(now) & ~np.isnan(then) & (ids[:rows] == ids[ahead : ahead + rows])
    now, then = now[there], then[there]
    if len(then) < LEAST_COPIED or not (np.diff(then) != 0).mean() > CHANGES:
        return False  # equal by chance, where the target hardly changes
    return bool((now == then).mean() > COPIED)
