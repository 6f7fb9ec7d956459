"""Statistics over lanes: by hand, and by a thousand invented benchmarks."""

import json

import numpy as np
import pytest

from torchliquid.bench.judging import statistics
from torchliquid.bench.judging.statistics import (
    BOUND,
    Estimate,
    finite,
    holm,
    median_interval,
    paired_ratio,
    quantiles,
    sign_flip,
    verdict,
)

NAN, INF = np.nan, np.inf


# --- quantiles --------------------------------------------------------------------------------


def test_quantiles_by_hand():
    assert quantiles(np.arange(11.0)) == {"median": 5.0, "q10": 1.0, "q90": 9.0}
    assert quantiles([4.0]) == {"median": 4.0, "q10": 4.0, "q90": 4.0}
    assert quantiles([0.0, 1.0]) == {"median": 0.5, "q10": 0.1, "q90": 0.9}


@pytest.mark.parametrize("lost", [INF, NAN])
def test_a_lane_that_diverged_counts_as_infinite(lost):
    assert quantiles([lost, 1.0, 2.0]) == {"median": 2.0, "q10": 1.2, "q90": None}
    assert quantiles([lost, lost, 1.0]) == {"median": None, "q10": None, "q90": None}
    # one of 24: the tail stays finite
    found = quantiles([*range(1, 24), lost])
    assert found == {"median": 12.5, "q10": 3.3, "q90": 21.7}
    assert quantiles([lost] * 3) == dict.fromkeys(("median", "q10", "q90"))


@pytest.mark.parametrize("name", ["median", "q10", "q90"])
def test_more_lost_lanes_never_look_better(name):
    values = np.random.default_rng(0).uniform(1, 2, 24)
    found = [quantiles([*[INF] * lost, *values[lost:]])[name] for lost in range(25)]
    seen = [INF if value is None else value for value in found]
    assert seen == sorted(seen)
    assert seen[0] < 2
    assert seen[-1] == INF


def test_numbers_for_json_are_rounded_and_finite():
    assert finite(0.123456789) == 0.123457
    assert finite(123456789.0) == 123457000.0
    assert [finite(v) for v in (NAN, INF, -INF)] == [None] * 3
    json.dumps(quantiles([INF, NAN, 1e-30]), allow_nan=False)


# --- ratios -----------------------------------------------------------------------------------


def test_paired_ratio_by_hand():
    np.testing.assert_allclose(paired_ratio([1.0, 6.0, 0.5], [2.0, 3.0, 0.5]), [0.5, 2.0, 1.0])


@pytest.mark.parametrize("lost", [INF, NAN])
def test_paired_ratio_of_lanes_that_diverged(lost):
    found = paired_ratio([lost, 1.0, lost, 0.0], [1e-3, lost, lost, 1.0])
    assert found.tolist() == [BOUND, 1 / BOUND, 1.0, 1 / BOUND]


def test_paired_ratio_pairs_lane_by_lane():
    a, b = np.array([1.0, 10.0, 100.0]), np.array([2.0, 20.0, 200.0])
    assert paired_ratio(a, b).tolist() == [0.5] * 3
    assert paired_ratio(a, b[::-1]).tolist() == [0.005, 0.5, 50.0]


# --- intervals --------------------------------------------------------------------------------


def test_interval_is_that_of_resampled_medians():
    values = np.random.default_rng(1).lognormal(0, 0.5, 24)
    found = median_interval(values)
    rng = np.random.default_rng(99)
    medians = np.median(rng.choice(values, (40_000, 24)), axis=1)
    assert found.figure == np.median(values)
    np.testing.assert_allclose([found.low, found.high], np.quantile(medians, [0.025, 0.975]), 0.03)
    assert found.low < found.figure < found.high


def test_interval_is_the_same_every_time():
    values = np.random.default_rng(1).lognormal(0, 0.5, 24)
    assert median_interval(values) == median_interval(values.copy())


def test_one_lane_in_a_dozen_that_diverged_does_not_decide():
    values = np.random.default_rng(2).lognormal(-1, 0.2, 24)
    with_lost = values.copy()
    with_lost[0] = BOUND
    assert verdict(median_interval(values), 0, 1) == "holds"
    assert verdict(median_interval(with_lost), 0, 1) == "holds"
    assert median_interval(with_lost).high < 1


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_few_lanes_cannot_tell(lanes):
    found = median_interval([0.001] * lanes)
    assert found.figure == 0.001
    assert np.isnan([found.low, found.high]).all()
    assert verdict(found, 0, 1) == "inconclusive"
    assert verdict(found, -INF, INF) == "inconclusive"


def test_six_lanes_are_enough_for_an_interval():
    assert verdict(median_interval([0.1, 0.2, 0.3, 0.2, 0.1, 0.2]), 0, 1) == "holds"
    assert np.isnan(median_interval([0.1] * 5).low)


@pytest.mark.parametrize("lanes", range(6, 16))
def test_few_lanes_have_the_shortest_interval_of_order_statistics(lanes):
    from scipy.stats import binom

    found = median_interval(np.random.default_rng(0).permutation(lanes).astype(float))
    outside = int(found.low)
    assert found.high == lanes - 1 - outside
    assert 1 - 2 * binom.cdf(outside, lanes, 0.5) >= 0.95
    assert 1 - 2 * binom.cdf(outside + 1, lanes, 0.5) < 0.95


@pytest.mark.parametrize("lost", [INF, NAN])
def test_what_is_not_finite_has_no_interval(lost):
    found = median_interval([1.0] * 20 + [lost])
    assert np.isnan([found.figure, found.low, found.high]).all()
    assert verdict(found, 0, 2) == "inconclusive"


# --- verdicts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.5, 0.9, "holds"),
        (1.1, 1.9, "does not hold"),
        (-0.9, -0.1, "does not hold"),
        (0.9, 1.1, "inconclusive"),
        (-0.1, 0.1, "inconclusive"),
        (-1.0, 2.0, "inconclusive"),
        (0.0, 1.0, "holds"),
        (1.0, 2.0, "inconclusive"),
        (NAN, NAN, "inconclusive"),
    ],
)
def test_verdict(low, high, expected):
    assert verdict(Estimate((low + high) / 2, low, high), 0, 1) == expected


# --- thousands of benchmarks ------------------------------------------------------------------


def verdicts(median, benchmarks, spread=0.5, lanes=24):
    """Verdicts on "the ratio is below 1" where lane by lane it has this median."""
    rng = np.random.default_rng(12)
    made = median * np.exp(spread * rng.standard_normal((benchmarks, lanes)))
    told = [verdict(median_interval(ratios), 0, 1) for ratios in made]
    return {word: told.count(word) / benchmarks for word in set(told)}


def test_verdicts_on_models_that_do_not_differ(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 499)
    told = verdicts(1.0, 600)
    # nominal: 2.5 % each. 600 benchmarks tell 2.5 % to within 0.64 % (one deviation)
    assert 0.005 < told["holds"] < 0.055
    assert 0.005 < told["does not hold"] < 0.055
    assert told["holds"] + told["does not hold"] < 0.09


def test_verdicts_on_models_that_differ(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 499)
    assert verdicts(0.5, 60)["holds"] > 0.95
    assert verdicts(2.0, 60)["does not hold"] > 0.95


# --- many contrasts ---------------------------------------------------------------------------


def test_holm_by_hand():
    assert holm([0.001, 0.01, 0.02, 0.8]) == pytest.approx([0.004, 0.03, 0.04, 0.8])
    assert holm([0.5, 0.4, 0.001]) == pytest.approx([0.8, 0.8, 0.003])
    assert holm([]) == []
    assert holm([float("nan"), 0.01]) == pytest.approx([1.0, 0.02])


def test_equal_models_are_rarely_called_different():
    """Interval and signed ranks together, at 5 %: 400 comparisons of 24 lanes of two equals."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(400):
        ratio = np.exp(0.5 * rng.standard_normal(24))
        estimate = median_interval(ratio)
        alarms += (estimate.low > 1 or estimate.high < 1) and sign_flip(ratio) < 0.05
    assert alarms / 400 < 0.06


def test_a_planted_difference_is_found():
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(100):
        ratio = 0.8 * np.exp(0.3 * rng.standard_normal(24))
        estimate = median_interval(ratio)
        found += estimate.high < 1 and sign_flip(ratio) < 0.05
    assert found >= 75


def test_one_lane_that_diverged_does_not_decide():
    ratio = np.r_[np.full(23, 0.7) * np.linspace(0.9, 1.1, 23), 1e12]
    assert sign_flip(ratio) < 0.001


@pytest.mark.parametrize("lanes", [16, 24, 31])
def test_the_interval_is_scipys(lanes):
    from scipy.stats import bootstrap

    values = np.exp(np.random.default_rng(lanes).standard_normal(lanes))
    found = median_interval(values)
    wanted = bootstrap((values,), np.median, n_resamples=9_999, method="percentile",
                       rng=np.random.default_rng(0)).confidence_interval  # fmt: skip
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), rel=1e-12)
