"""AutoETS of statsforecast as a rival, where it is installed: fitted anew at a few origins."""

import numpy as np

from torchliquid.forecast._fitting import Parts
from torchliquid.forecast._history import History, Values
from torchliquid.forecast._ridge_plus import Inputs, Steps

ORIGINS, SERIES, LONGEST, LONGEST_SEASON = 20, 5, 3000, 24


def origins(parts: list[Parts]) -> list[Steps]:
    """Return a few test steps of a few series, evenly spread; of the others none."""
    there = [k for k, part in enumerate(parts) if len(part.test)]
    chosen = {there[int(k)] for k in np.linspace(0, len(there) - 1, min(SERIES, len(there)))}
    each = ORIGINS // len(chosen)
    return [
        part.test[np.unique(np.linspace(0, len(part.test) - 1, each).astype(int))]
        if k in chosen
        else part.test[:0]
        for k, part in enumerate(parts)
    ]


def forecasts(inputs: Inputs, history: History, steps: Steps) -> Values:
    """Return forecasts from some steps ``(N, H)``, each fitted on the values up to it."""
    from statsforecast.models import AutoETS

    fitting = [period for period in inputs.seasons.naive if period <= LONGEST_SEASON]
    model = AutoETS(season_length=fitting[-1] if fitting else 1)
    found = [
        model.forecast(history.held[max(step + 1 - LONGEST, 0) : step + 1], h=inputs.horizon)[
            "mean"
        ]
        for step in steps
    ]
    return np.array(found).reshape(len(steps), inputs.horizon)
