"""Checks of a forecaster's arguments."""

from typing import Any

from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr

LARGEST = 1e300


def _is_number(value: Any) -> bool:
    """Whether a value is a finite real number."""
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return plain and abs(value) <= LARGEST


def checked_levels(intervals: Any) -> tuple[float, ...]:
    """Return coverages, each above 0 and below 1; an error that says so if not."""
    if isinstance(intervals, (list, tuple)) and all(
        _is_number(level) and 0 < level < 1 for level in intervals
    ):
        return tuple(float(level) for level in intervals)
    raise TorchliquidError(
        f"intervals is {short_repr(intervals)}: expected coverages between 0 and 1, such as (0.9,)"
    )


def checked_bounds(bounds: Any) -> tuple[float | None, float | None]:
    """Return the lowest and the highest value, None for none; an error if it is no such pair."""
    if bounds is None:
        return None, None
    if isinstance(bounds, (list, tuple)) and len(bounds) == 2:
        low, high = (None if end is None else end for end in bounds)
        if all(end is None or _is_number(end) for end in (low, high)) and (
            low is None or high is None or low < high
        ):
            return (None if low is None else float(low), None if high is None else float(high))
    raise TorchliquidError(
        f"bounds is {short_repr(bounds)}: expected a lower and an upper end, such as (0, None)"
    )
