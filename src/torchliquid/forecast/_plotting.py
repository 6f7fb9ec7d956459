"""A forecast drawn behind the end of its series, with its intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from torchliquid.errors import TorchliquidError

if TYPE_CHECKING:
    from torchliquid.forecast.forecaster import Forecaster

SHADES = (0.30, 0.18, 0.10)
BARS, WIDTH = " ▁▂▃▄▅▆▇█", 72
"""Of the terminal: heights of a bar, and how many of them."""
MOST_LINES = 6
"""Series that are drawn there, the first ones."""


def plot_forecast(
    forecaster: Forecaster, label: str | None = None, rows: Any = None, axes: Any = None
) -> Any:
    """Draw the last rows of a series and its forecast (needs matplotlib).

    Args:
        forecaster: fitted.
        label: which series; None: the first one.
        rows: what `Forecaster.forecast` returned; None: as far as the horizon.
        axes: what to draw on; None: a new figure's.

    Returns:
        The axes.

    Raises:
        TorchliquidError: it is not fitted, or has no series of that name.
    """
    import matplotlib.pyplot as plt
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    contract, state = forecaster._ready()
    histories = state.histories
    label = next(iter(histories)) if label is None else label
    if label not in histories:
        raise TorchliquidError(
            f"label is {label!r}: expected one of {', '.join(map(repr, list(histories)[:5]))}"
        )
    history, (mean, scale) = histories[label], contract.moments_of(label)
    ahead = forecaster.forecast() if rows is None else rows
    if contract.shown.series is not None:
        ahead = ahead[ahead[contract.shown.series] == label]
    times = ahead[contract.shown.time or "row"].to_numpy()
    shown = history.last(max(3 * forecaster.horizon, 48))
    before = contract.grid.times(shown.first + np.arange(len(shown.y)))
    if axes is None:
        _, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
    if getattr(before, "tz", None) is not None:
        before, times = before.tz_localize(None), ahead.iloc[:, 0 if contract.is_one else 1]
        times = times.dt.tz_localize(None).to_numpy()
    axes.plot(
        np.asarray(before), shown.y * scale + mean, color="0.35", linewidth=1.2, label="table"
    )
    (line,) = axes.plot(
        times, ahead[contract.shown.target], color="C0", linewidth=2, label="forecast"
    )
    if np.issubdtype(np.asarray(before).dtype, np.datetime64):
        locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    levels = sorted(forecaster.levels)
    for level, shade in zip(levels, SHADES, strict=False):
        low, high = (ahead[f"{end}-{100 * level:g}"] for end in ("lo", "hi"))
        axes.fill_between(
            times, low, high, color=line.get_color(), alpha=shade, linewidth=0,
            label=f"{100 * level:g} %",
        )  # fmt: skip
    of = f" of {label}" if label else ""
    title = f"{contract.shown.target}{of}: the next {len(ahead)} rows"
    axes.set_title(title, loc="left", fontsize=10)
    axes.margins(x=0.01)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=5)
    return axes


def lines_of(forecaster: Forecaster, rows: Any = None) -> list[str]:
    """Return a forecast drawn in characters: each series a line, its last rows, and what follows.

    Args:
        forecaster: fitted.
        rows: what `Forecaster.forecast` returned; None: as far as the horizon.
    """
    contract, state = forecaster._ready()
    ahead = forecaster.forecast() if rows is None else rows
    found = []
    for label, history in list(state.histories.items())[:MOST_LINES]:
        mean, scale = contract.moments_of(label)
        mine = ahead if contract.is_one else ahead[ahead[contract.shown.series] == label]
        later = mine[contract.shown.target].to_numpy()[: WIDTH // 2]
        before = history.last(WIDTH - len(later)).y * scale + mean
        values = np.concatenate([before, later])
        low, high = np.nanmin(values), np.nanmax(values)
        level = (values - low) / ((high - low) or 1.0) * (len(BARS) - 2) + 1
        bars = [BARS[0] if np.isnan(x) else BARS[round(float(x))] for x in level]
        of = f"{label}: " if label else ""
        found.append(f"{of}{''.join(bars[: len(before)])}|{''.join(bars[len(before) :])}")
        found.append(f"{of}from {low:.4g} to {high:.4g}; what follows | is the forecast")
    return found
