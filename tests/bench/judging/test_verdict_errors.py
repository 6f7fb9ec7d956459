"""How often a verdict is wrong where nothing is going on, and right where something is: simulated.

Lanes are log ratios around a true one. The rates that stand in docs/method.md are printed.
"""

import numpy as np
import pytest

from torchliquid.bench.judging.statistics import holm, median_interval, sign_flip
from torchliquid.bench.suites.verdicts import judge

LANES, SUITES = 24, 400


def draws(shape, ratio, spread, tails, rng):
    noise = rng.standard_t(3, shape) / np.sqrt(3) if tails else rng.standard_normal(shape)
    return ratio * np.exp(spread * noise)


def verdicts(ratios):
    """Of contrasts of one suite, each a row of lanes."""
    estimates = [median_interval(row) for row in ratios]
    ps = holm([sign_flip(row) for row in ratios])
    return [judge(e.low, e.high, len(row), 0.1, p)
            for e, row, p in zip(estimates, ratios, ps, strict=True)]  # fmt: skip


@pytest.mark.parametrize("tails", [False, True], ids=["normal", "heavy tails"])
def test_false_alarms_of_a_single_contrast(tails, capsys):
    rng = np.random.default_rng(1)
    found = [verdicts(draws((1, LANES), 1.0, 0.5, tails, rng))[0] for _ in range(SUITES)]
    wrong = np.mean([verdict in ("lower", "higher") for verdict in found])
    with capsys.disabled():
        print(f"\nfalse alarms, {'heavy tails' if tails else 'normal'}: {100 * wrong:.1f} %")
    assert 0.01 <= wrong <= 0.07  # the standard error is 1.1 %


def test_false_alarms_of_a_suite_of_twenty(capsys):
    """Holm keeps the chance of any wrong verdict, not of each, below its level."""
    rng = np.random.default_rng(2)
    suites = [verdicts(draws((20, LANES), 1.0, 0.5, False, rng)) for _ in range(SUITES // 8)]
    wrong = np.mean([any(v in ("lower", "higher") for v in suite) for suite in suites])
    with capsys.disabled():
        print(f"\nany false alarm among twenty: {100 * wrong:.1f} %")
    assert wrong <= 0.12


@pytest.mark.parametrize(("spread", "least"), [(0.2, 0.95), (0.3, 0.75), (0.5, 0.3)])
def test_a_difference_of_twenty_per_cent_is_found(spread, least, capsys):
    rng = np.random.default_rng(3)
    found = [verdicts(draws((1, LANES), 0.8, spread, False, rng))[0] for _ in range(SUITES // 2)]
    power = np.mean([verdict == "lower" for verdict in found])
    with capsys.disabled():
        print(f"\na ratio of 0.8, spread {spread}: found in {100 * power:.0f} %")
    assert power >= least
    assert "higher" not in found


def test_equal_models_are_called_equal_where_lanes_tell():
    rng = np.random.default_rng(4)
    found = [verdicts(draws((1, LANES), 1.0, 0.08, False, rng))[0] for _ in range(100)]
    assert np.mean([verdict == "as good as" for verdict in found]) > 0.95
