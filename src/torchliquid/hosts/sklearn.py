"""A regressor of scikit-learn on windows of lags, as skforecast asks for (needs scikit-learn).

A row of X is a window of the last values of one series. A regressor whose state went from row to
row of X cannot keep scikit-learn's rules: rows may come in any order, alone, or split over folds,
and each prediction must be the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import check_is_fitted, validate_data

import torchliquid


class LagWindowRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A liquid network that runs over each row of X, from the oldest lag to the newest.

    It predicts the change from the newest lag. For skforecast:
    ``ForecasterRecursive(LagWindowRegressor(), lags=24)``, whose columns begin with the newest.

    Args:
        layer: name of a layer of torchliquid: LTC, CTRNN or Resonator; or LSTM, GRU.
        hidden_size: neurons.
        epochs: of training, all rows at once.
        lr: highest learning rate.
        newest_first: whether the first column is the newest lag.
        random_state: seed of the weights; None: 0.
    """

    def __init__(
        self, layer: str = "LTC", hidden_size: int = 16, epochs: int = 200, lr: float = 0.02,
        newest_first: bool = True, random_state: int | None = None,
    ) -> None:  # fmt: skip
        self.layer, self.hidden_size, self.epochs, self.lr = layer, hidden_size, epochs, lr
        self.newest_first, self.random_state = newest_first, random_state

    def fit(self, X: Any, y: Any) -> LagWindowRegressor:
        """Train on rows of lags and what followed each."""
        X, y = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        self.mean_, self.scale_ = float(X.mean()), float(X.std()) or 1.0
        x, last = self._windows(X)
        target = torch.tensor((y - self.mean_) / self.scale_ - last, dtype=torch.float32)
        self.change_ = float(target.std(correction=0)) or 1.0
        seed = self.random_state
        if seed is None:
            seed = 0
        elif not isinstance(seed, (int, np.integer)):
            seed = int(seed.randint(2**31))
        make = getattr(torchliquid.nn, self.layer, None) or getattr(torch.nn, self.layer)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(seed))
            model = torchliquid.SequenceModel(make(1, self.hidden_size, batch_first=True), 1)
            torchliquid.fit(
                model, x, (target / self.change_)[:, None], epochs=self.epochs, lr=self.lr,
                schedule="one-cycle", clip=1.0,
            )  # fmt: skip
        self.model_ = model
        return self

    def predict(self, X: Any) -> Any:
        """Return what follows each row of lags."""
        check_is_fitted(self)
        x, last = self._windows(validate_data(self, X, reset=False, dtype=np.float64))
        with torch.no_grad():
            change = self.model_(x)[0][:, -1, 0].double().numpy()
        return self.mean_ + self.scale_ * (last + self.change_ * change)

    def __sklearn_tags__(self) -> Any:
        """Say that columns are a series: on columns in no order it is no good regressor."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags

    def _windows(self, X: Any) -> tuple[Any, Any]:
        """Scaled windows ``(N, L, 1)``, the oldest lag first, and the newest one ``(N,)``."""
        scaled = (X - self.mean_) / self.scale_
        if self.newest_first:
            scaled = scaled[:, ::-1].copy()
        x = torch.tensor(scaled, dtype=torch.float32)
        return x[..., None], scaled[:, -1]
