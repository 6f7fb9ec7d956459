"""Simple forecasts: the value a season before, where a series has a season."""

import numpy as np
from numpy.typing import NDArray

LEAST_SEASON, NEARLY = 0.3, 0.85
"""Autocorrelation of changes from which a season counts, and as a share of the highest."""


def season(x: NDArray[np.floating]) -> int | None:
    """Return the season of a series ``(T,)`` in steps: where its changes repeat themselves best.

    A lag counts where the autocorrelation of the changes has a peak, of at least `LEAST_SEASON`
    and beyond twice its standard error (Bartlett's, as for the lags before it). The highest wins,
    or a shorter one nearly as high (`NEARLY`). It is at most a third of the series.

    >>> season(np.tile([0.0, 3.0, 1.0, -2.0, 2.0], 20))
    5
    """
    changes = np.diff(np.asarray(x, dtype=np.float64))
    longest = len(x) // 3
    if longest < 3 or changes.min() == changes.max():
        return None
    changes = changes - changes.mean()
    spectrum = np.fft.rfft(changes, 2 * len(changes))
    products = np.fft.irfft(np.abs(spectrum) ** 2)[: longest + 2]
    likeness = products / products[0]  # less for long lags: a season wins over its multiples
    error = np.sqrt((1 + 2 * np.cumsum(likeness[1:] ** 2)) / len(changes))
    lags = np.arange(2, longest + 1)
    here = likeness[lags]
    peak = (here >= likeness[lags - 1]) & (here >= likeness[lags + 1])
    counts = peak & (here >= LEAST_SEASON) & (here > 2 * error[lags - 2])
    if not counts.any():
        return None
    # a multiple of the season may be higher by chance
    return int(lags[counts & (here > NEARLY * here[counts].max())][0])
