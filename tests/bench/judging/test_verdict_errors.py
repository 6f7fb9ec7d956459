"""How often a verdict is wrong where nothing is going on, and right where something is: simulated.

Lanes are log ratios around a true one. The rates that stand in docs/method.md are printed.
"""

import numpy as np
import pytest

from torchliquid.bench.judging.statistics import holm, median_interval, sign_flip
from torchliquid.bench.suites.verdicts import judge

LANES, SUITES = 24, 400


LAWS = ("normal", "heavy tails", "skew")


def draws(shape, ratio, spread, law, rng):
    """Ratios whose logarithms have the median log(ratio) and the deviation spread."""
    noise = {
        "normal": rng.standard_normal,
        "heavy tails": lambda shape: rng.standard_t(3, shape) / np.sqrt(3),
        "skew": lambda shape: rng.standard_exponential(shape) - np.log(2),
    }[law](shape)
    return ratio * np.exp(spread * noise)


def verdicts(ratios):
    """Of contrasts of one suite, each a row of lanes."""
    ps = holm([sign_flip(row) for row in ratios])
    return [verdict(row, len(ratios), p) for row, p in zip(ratios, ps, strict=True)]


def verdict(row, tests, p):
    one, every = median_interval(row), median_interval(row, tests)
    return judge((one.low, one.high), (every.low, every.high), 0.1, p)


def has_difference(ratios):
    """Whether any verdict of a suite is lower or higher; intervals where the test allows it."""
    ps = holm([sign_flip(row) for row in ratios])
    rows = [(row, p) for row, p in zip(ratios, ps, strict=True) if p < 0.05]
    return any(verdict(row, len(ratios), p).startswith(("lower", "higher")) for row, p in rows)


@pytest.mark.parametrize("law", LAWS)
def test_false_alarms_of_a_single_contrast(law, capsys):
    rng = np.random.default_rng(1)
    found = [verdicts(draws((1, LANES), 1.0, 0.5, law, rng))[0] for _ in range(SUITES)]
    wrong = np.mean([v in ("lower", "higher") for v in found])
    with capsys.disabled():
        print(f"\nfalse alarms, {law}: {100 * wrong:.1f} %")
    assert 0.005 <= wrong <= 0.07  # the standard error is 1.1 %


def false_alarms(suites, lanes, law, seed):
    """How many suites of twenty contrasts of equal models have any wrong verdict."""
    rng = np.random.default_rng(seed)
    found = [has_difference(draws((20, lanes), 1.0, 0.5, law, rng)) for _ in range(suites)]
    return np.mean(found)


def test_false_alarms_of_a_suite_of_twenty():
    """Holm keeps the chance of any wrong verdict, not of each, below its level."""
    assert false_alarms(SUITES // 4, LANES, "normal", 2) <= 0.12


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("lanes", [30, 64])
def test_the_whole_rule_on_simulated_suites(lanes, law, capsys):
    wrong = false_alarms(SUITES, lanes, law, 5)
    rng = np.random.default_rng(6)
    found = {
        spread: np.mean([verdicts(draws((1, lanes), 0.8, spread, law, rng))[0].startswith("lower")
                         for _ in range(SUITES)])
        for spread in (0.3, 0.5)
    }  # fmt: skip
    with capsys.disabled():
        power = ", ".join(f"at spread {s} in {100 * p:.0f} %" for s, p in found.items())
        print(f"\n{lanes} lanes, {law}: false alarms in {100 * wrong:.1f} %; a fifth {power}")
    assert wrong <= 0.08
    assert found[0.5] >= 0.3


@pytest.mark.parametrize(("lanes", "spread", "least"),
                         [(24, 0.2, 0.95), (24, 0.3, 0.75), (24, 0.5, 0.3)])  # fmt: skip
def test_a_difference_of_twenty_per_cent_is_found(lanes, spread, least, capsys):
    rng = np.random.default_rng(3)
    found = [verdicts(draws((1, lanes), 0.8, spread, "normal", rng))[0] for _ in range(SUITES // 2)]
    power = np.mean([v == "lower" for v in found])
    with capsys.disabled():
        print(f"\na ratio of 0.8, spread {spread}: found in {100 * power:.0f} %")
    assert power >= least
    assert "higher" not in found


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("lanes", range(6, 16))
def test_intervals_of_few_lanes_hold_the_median(lanes, law):
    rng = np.random.default_rng(7)
    rows = draws((400, lanes), 1.0, 0.5, law, rng)
    estimates = [median_interval(row) for row in rows]
    held = np.mean([e.low <= 1 <= e.high for e in estimates])
    assert held >= 0.93  # 95 % less two standard errors


def test_equal_models_are_called_equal_where_lanes_tell():
    rng = np.random.default_rng(4)
    found = [verdicts(draws((1, LANES), 1.0, 0.08, "normal", rng))[0] for _ in range(100)]
    assert np.mean([v == "as good as" for v in found]) > 0.95
