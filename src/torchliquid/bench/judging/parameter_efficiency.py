"""How many parameters one family of models needs to do what a series_id of another does.

A family is one cell at several sizes, a ladder. Its curve goes through the median log errors of its
rungs, straight between them over the logarithm of the number of parameters. What counts is where it
first comes down to the error of the other family's rung. For the interval lanes are drawn
again, the same ones for all models. Beyond the ends of a ladder nothing is known: fewer than its
smallest rung, or more than its largest.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.judging.statistics import BOUND, LEVEL
from torchliquid.bench.run.store import Run

RESAMPLES = 2_000

_Values = NDArray[np.float64]


def equal_error(rung: Run, ladder: Sequence[Run], measure: str) -> dict[str, Any]:
    """Parameters that a ladder needs for the error of a model.

    Args:
        rung: the model to be equalled.
        ladder: models of the other family.
        measure: the errors, ``"test_mse_carry"`` or ``"test_mse_reset"``.

    Returns:
        ``parameters`` of the rung; ``needed``, the parameters, None where they are below or above
        the ladder; ``times``, needed / parameters; ``interval`` of times, None at an end where it
        is beyond the ladder; ``beyond``, ``"below"``, ``"above"`` or empty, of needed;
        ``smallest`` and ``largest`` of the ladder.
    """
    ladder = sorted(ladder, key=lambda run: run.facts["parameters"])
    sizes = np.log([run.facts["parameters"] for run in ladder])
    first, theirs = _logs(rung, measure), np.stack([_logs(run, measure) for run in ladder])
    rng, lanes = np.random.default_rng(0), len(first)
    needed = _reach(sizes, np.median(theirs, axis=1), float(np.median(first)))
    draws = [
        _reach(sizes, np.median(theirs[:, chosen], axis=1), float(np.median(first[chosen])))
        for chosen in rng.integers(0, lanes, (RESAMPLES, lanes))
    ]
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    parameters = int(rung.facts["parameters"])

    def times(value: float) -> float | None:
        return float(f"{np.exp(value) / parameters:.3g}") if np.isfinite(value) else None

    return {
        "model": rung.model,
        "parameters": parameters,
        "needed": round(float(np.exp(needed))) if np.isfinite(needed) else None,
        "beyond": "" if np.isfinite(needed) else "above" if needed > 0 else "below",
        "times": times(needed),
        "interval": [times(float(low)), times(float(high))],
        "smallest": int(ladder[0].facts["parameters"]),
        "largest": int(ladder[-1].facts["parameters"]),
    }


def _logs(run: Run, measure: str) -> _Values:
    errors = np.nan_to_num(run.arrays[measure].astype(np.float64), nan=np.inf)
    return np.log(np.clip(errors, 1 / BOUND, BOUND))


def _reach(sizes: _Values, errors: _Values, error: float) -> float:
    """Log parameters at which the curve first comes down to an error; infinite beyond the ends."""
    if errors[0] <= error:
        return -np.inf
    for k in np.flatnonzero(errors <= error)[:1]:
        share = (errors[k - 1] - error) / (errors[k - 1] - errors[k])
        return float(sizes[k - 1] + share * (sizes[k] - sizes[k - 1]))
    return np.inf


def words(row: Mapping[str, Any]) -> str:
    """The same for a reader.

    >>> row = {"parameters": 100, "times": 3.2, "interval": [2.0, None], "beyond": "",
    ...        "smallest": 110, "largest": 5000}
    >>> words(row)
    '3.2 times [2, > 50]'
    >>> words(row | {"times": None, "beyond": "below", "interval": [None, None]})
    '< 1.1 times'
    """
    least, most = (f"{row[end] / row['parameters']:.2g}" for end in ("smallest", "largest"))
    if row["times"] is None:
        return f"< {least} times" if row["beyond"] == "below" else f"> {most} times"
    low, high = row["interval"]
    lower = f"< {least}" if low is None else f"{low:.2g}"
    upper = f"> {most}" if high is None else f"{high:.2g}"
    return f"{row['times']:.2g} times [{lower}, {upper}]"
