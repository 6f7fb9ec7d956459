"""Models without training by epochs, by name."""

from collections.abc import Callable

from torchliquid.bench.models.classical import (
    fit_interpolated_ar,
    fit_ridge_ar,
    mean,
    persistence,
    seasonal,
)
from torchliquid.bench.models.fitted import Method
from torchliquid.bench.models.harmonics import fit_harmonics
from torchliquid.bench.models.oscillators import fit_oscillator_filter
from torchliquid.bench.models.reservoir import fit_reservoir
from torchliquid.bench.tasks.task import Task

METHODS: dict[str, tuple[str, Callable[[Task], Method]]] = {
    "ridge-AR": (
        "ridge regression on the last p inputs, p and penalty chosen on training or validation "
        "steps",
        fit_ridge_ar,
    ),
    "interpolated-AR": (
        "ridge-AR on samples interpolated onto an even grid that ends now",
        fit_interpolated_ar,
    ),
    "ESN-100": (
        "echo state network: a ring of 100 units, settings chosen on validation steps",
        fit_reservoir,
    ),
    "harmonics": ("sines of unknown frequencies, fitted and extrapolated", fit_harmonics),
    "filter-6": (
        "6 damped oscillators that correct themselves by their error (Kalman), by likelihood",
        fit_oscillator_filter,
    ),
    "persistence": ("the next value is the current one", lambda _: persistence),
    "mean": ("the mean of the training targets, always", lambda _: mean),
    "seasonal": (
        "the value a season before, where the training part has a season",
        lambda _: seasonal,
    ),
}
"""A line for the reader of a table, and what fits the method to a task."""
TAKES_DT = frozenset(["harmonics", "interpolated-AR", "filter-6"])
"""Those that get the time between samples as such."""
