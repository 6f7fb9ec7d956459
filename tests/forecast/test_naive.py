"""A season is found where there is one, and nowhere else."""

import numpy as np
import pytest

from torchliquid.forecast.naive import season


def waves(period, rows=400, trend=0.0, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    shape = rng.standard_normal(period)
    shape = (shape - shape.mean()) / shape.std()
    at = np.arange(rows)
    return shape[at % period] + trend * at + noise * rng.standard_normal(rows)


@pytest.mark.parametrize("period", [2, 4, 7, 12, 24])
@pytest.mark.parametrize("trend", [0.0, 0.05])
def test_a_season_is_found(period, trend):
    assert season(waves(period, trend=trend)[:240]) == period


@pytest.mark.parametrize("seed", range(5))
def test_noise_and_a_walk_have_no_season(seed):
    noise = np.random.default_rng(seed).standard_normal(600)
    assert season(noise) is None
    assert season(np.cumsum(noise)) is None
    assert season(np.zeros(50)) is None
    assert season(noise[:5]) is None
