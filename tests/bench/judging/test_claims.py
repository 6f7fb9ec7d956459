"""Claims and their verdicts, on rows invented so that each is true, false, or hard to say."""

import dataclasses
import json

import numpy as np
import pytest
from torch import nn

from torchliquid.bench.judging import statistics
from torchliquid.bench.judging.analytic_claims import settled_claims
from torchliquid.bench.judging.claims import article_claims
from torchliquid.bench.run.probe import AFTER, BEFORE
from torchliquid.bench.run.store import Run
from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines

LANES, NEURONS = 24, 8
PARAMETERS = {"LTC-8": 105, "LTC-8-euler": 105, "LTC-2": 15, "LSTM-16": 1233, "LSTM-4": 117,
              "ridge-AR": 33, "persistence": 0}  # fmt: skip
MEASURES = ("train_mse", "test_mse_reset", "test_mse_carry")
WOBBLE = np.exp(0.2 * np.random.default_rng(0).standard_normal((3, LANES)))
BOTH = ("LTC-8-euler", "LTC-8")


@pytest.fixture(autouse=True)
def _fewer_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 499)


def run(model, lanes=LANES, parameters=None, diverged=(), **given):
    """A run whose errors are 1 in every lane, its time constants steady, but for what is given."""
    kind = "liquid" if model.startswith("LTC") else "recurrent"
    facts = {"kind": kind, "description": f"about {model}", "lanes": lanes,
             "parameters": parameters or PARAMETERS[model]}  # fmt: skip
    arrays = {name: np.ones(lanes) for name in MEASURES}
    arrays["diverged"] = np.isin(np.arange(lanes), diverged)
    if kind == "liquid":
        probes = ("control", "jump_up", "jump_down", "spike_up", "spike_down")
        arrays |= {f"probe_{name}": np.full((lanes, BEFORE + AFTER), 0.7) for name in probes}
        arrays["tau"] = np.full((lanes, NEURONS), 1.5)
        arrays["lowest_share"] = np.full(lanes, 0.4)
        arrays["smooth_contrast"] = np.zeros(lanes)
    for name, value in given.items():
        arrays[name] = arrays[name] * value
    for name in MEASURES:
        arrays[name] = np.where(arrays["diverged"], np.inf, arrays[name])
    return Run(model, facts, arrays)


def comparison(lanes=LANES, models=(*BOTH, "LSTM-16", "LSTM-4", "ridge-AR"), **given):
    """Runs by name; ``LTC_8={"test_mse_carry": 2.0}`` gives a model's own rows."""
    return {
        name: run(name, lanes, **given.get(name.replace("-", "_"), {}))
        for name in (*models, "persistence")
    }


def judged(runs, claim, liquid="LTC-8"):
    found = [row for row in article_claims(runs) if row["id"] == f"{claim}:{liquid}"]
    assert len(found) == 1, (claim, liquid)
    return found[0]


def after_jump(change, events=("jump_up", "jump_down"), where=slice(BEFORE, None)):
    """Time constants changed by a share from a planted event on."""
    factor = np.ones((LANES, BEFORE + AFTER))
    factor[:, where] += change
    return {f"probe_{event}": factor for event in events}


# --- each claim, three ways -------------------------------------------------------------------

W = WOBBLE[0] / np.median(WOBBLE[0])  # a median of 1, and lanes on both sides of it
CASES = [
    # claim, what the liquid model does, what its rivals do, verdict, figure
    ("learns-comparably", {"train_mse": 1.1}, {}, "holds", 1.1),
    ("learns-comparably", {"train_mse": 2.0}, {}, "does not hold", 2.0),
    ("learns-comparably", {"train_mse": 0.5}, {}, "does not hold", 0.5),
    ("learns-comparably", {"train_mse": 1.25 * W}, {}, "inconclusive", 1.25),
    ("learns-comparably", {"train_mse": 0.8 * W}, {}, "inconclusive", 0.8),
    ("generalisation-gap-reset", {}, {"test_mse_reset": 3 * W}, "holds", 3.0),
    ("generalisation-gap-reset", {"test_mse_reset": 3.0}, {}, "does not hold", 1 / 3),
    ("generalisation-gap-reset", {}, {"test_mse_reset": W}, "inconclusive", 1.0),
    ("generalisation-gap-reset", {"train_mse": 5.0}, {}, "holds", 5.0),
    ("generalisation-gap-carry", {}, {"test_mse_carry": 3 * W}, "holds", 3.0),
    ("generalisation-gap-carry", {"test_mse_carry": 3.0}, {}, "does not hold", 1 / 3),
    ("generalisation-gap-carry", {}, {"train_mse": W}, "inconclusive", 1.0),
    ("lower-test-error-reset", {"test_mse_reset": 0.5 * W}, {}, "holds", 0.5),
    ("lower-test-error-reset", {"test_mse_reset": 2.0 * W}, {}, "does not hold", 2.0),
    ("lower-test-error-reset", {"test_mse_reset": W}, {}, "inconclusive", 1.0),
    ("lower-test-error-carry", {"test_mse_carry": 0.5 * W}, {}, "holds", 0.5),
    ("lower-test-error-carry", {"test_mse_carry": 2.0 * W}, {}, "does not hold", 2.0),
    ("lower-test-error-carry", {"test_mse_carry": W}, {}, "inconclusive", 1.0),
    ("sceptic-LSTM-4", {}, {"test_mse_carry": 4.0}, "holds", 0.25),
    ("sceptic-LSTM-4", {}, {"test_mse_carry": 0.25}, "does not hold", 4.0),
    ("sceptic-LSTM-4", {}, {"test_mse_carry": W}, "inconclusive", 1.0),
    ("sceptic-ridge-AR", {}, {"test_mse_carry": 4.0}, "holds", 0.25),
    ("sceptic-ridge-AR", {}, {"test_mse_carry": 0.25}, "does not hold", 4.0),
    ("sceptic-ridge-AR", {}, {"test_mse_carry": W}, "inconclusive", 1.0),
    ("tau-falls-at-jumps", after_jump(-0.2), {}, "holds", -20.0),
    ("tau-falls-at-jumps", after_jump(+0.2), {}, "does not hold", 20.0),
    ("tau-falls-at-jumps", after_jump(-0.04), {}, "does not hold", -4.0),
    ("tau-falls-at-jumps", after_jump(-0.2, ["jump_up"]), {}, "holds", -10.0),
    ("tau-falls-at-jumps", after_jump(-0.9, ["spike_up", "spike_down"]), {}, "does not hold", 0.0),
    ("tau-high-when-smooth", {"smooth_contrast": 0}, {}, "does not hold", 0.0),
]  # fmt: skip
RIVAL = {"sceptic-LSTM-4": "LSTM_4", "sceptic-ridge-AR": "ridge_AR"}


@pytest.mark.parametrize(("claim", "own", "rivals", "verdict", "figure"), CASES)
def test_verdict_follows_the_rows(claim, own, rivals, verdict, figure):
    runs = comparison(**{"LTC_8_euler": own, RIVAL.get(claim, "LSTM_16"): rivals})
    found = judged(runs, claim, "LTC-8-euler")
    assert found["verdict"] == verdict
    assert found["figure"] == pytest.approx(figure, rel=1e-4, abs=1e-9)
    low, high = found["interval"]
    assert low <= found["figure"] <= high


@pytest.mark.parametrize(
    ("contrast", "verdict"),
    [(0.3, "holds"), (0.04, "does not hold"), (-0.3, "does not hold"), (0.05, "inconclusive")],
)
def test_smooth_input(contrast, verdict):
    runs = comparison()
    runs["LTC-8"].arrays["smooth_contrast"] = contrast + 0.02 * np.log(W)
    found = judged(runs, "tau-high-when-smooth")
    assert found["verdict"] == verdict
    assert found["figure"] == pytest.approx(100 * contrast, abs=0.5)


def test_jumps_that_fall_in_half_of_the_lanes_cannot_tell():
    change = np.where(np.arange(LANES) % 2, -0.2, 0.1)[:, None]
    runs = comparison(LTC_8=after_jump(change))
    assert judged(runs, "tau-falls-at-jumps")["verdict"] == "inconclusive"


def test_only_the_samples_soon_after_a_jump_count():
    late, before = slice(BEFORE + 5, None), slice(0, BEFORE)
    for where in (late, before):
        runs = comparison(LTC_8=after_jump(-0.9, where=where))
        assert judged(runs, "tau-falls-at-jumps")["figure"] == pytest.approx(0, abs=1e-9)
    runs = comparison(LTC_8=after_jump(-0.9, where=slice(BEFORE, BEFORE + 1)))
    assert judged(runs, "tau-falls-at-jumps")["figure"] == pytest.approx(-18)


def test_a_jump_is_measured_against_its_own_lanes_control():
    level = np.linspace(0.1, 10, LANES)[:, None]
    fall = after_jump(-0.2)
    runs = comparison(
        LTC_8={name: level * factor for name, factor in fall.items()} | {"probe_control": level}
    )
    found = judged(runs, "tau-falls-at-jumps")
    np.testing.assert_allclose([found["figure"], *found["interval"]], -20, rtol=1e-4)


def test_pairs_are_lanes():
    # errors differ a hundredfold from lane to lane, yet in each the liquid model is a tenth better
    hard = np.exp(2 * np.random.default_rng(3).standard_normal(LANES))
    runs = comparison(LTC_8={"test_mse_carry": 0.9 * hard}, LSTM_16={"test_mse_carry": hard})
    found = judged(runs, "lower-test-error-carry")
    assert found["verdict"] == "holds"
    np.testing.assert_allclose([found["figure"], *found["interval"]], 0.9, rtol=1e-4)
    assert "better in 24 of 24 lanes" in found["detail"]


# --- equal, lost, few -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "claim", ["lower-test-error-reset", "lower-test-error-carry", "sceptic-LSTM-4",
              "sceptic-ridge-AR", "generalisation-gap-reset", "generalisation-gap-carry"],
)  # fmt: skip
def test_exactly_equal_is_neither_lower_nor_more(claim):
    assert judged(comparison(), claim)["verdict"] == "does not hold"


ALL = tuple(range(LANES))


@pytest.mark.parametrize(
    "claim", ["learns-comparably", "lower-test-error-reset", "lower-test-error-carry",
              "generalisation-gap-reset", "generalisation-gap-carry"],
)  # fmt: skip
def test_two_models_that_diverged_tell_nothing(claim):
    lost = {"diverged": ALL}
    found = judged(comparison(LTC_8=lost, LSTM_16=lost), claim)
    assert (found["verdict"], found["figure"]) == ("inconclusive", None)
    assert found["interval"] == [None, None]


def test_a_model_that_diverged_is_worse_than_one_that_did_not():
    runs = comparison(LTC_8={"diverged": ALL})
    for claim in ("lower-test-error-carry", "lower-test-error-reset", "learns-comparably",
                  "sceptic-LSTM-4"):  # fmt: skip
        assert judged(runs, claim)["verdict"] == "does not hold"
    # errors that are infinite in training do not grow towards the test
    assert judged(runs, "generalisation-gap-carry")["verdict"] == "inconclusive"
    runs = comparison(LSTM_16={"diverged": ALL})
    assert judged(runs, "lower-test-error-carry")["verdict"] == "holds"
    assert judged(runs, "generalisation-gap-carry")["verdict"] == "inconclusive"


def test_one_lane_that_diverged_is_counted_and_decides_nothing():
    runs = comparison(LTC_8={"test_mse_carry": 0.5, "diverged": (3,)}, LSTM_16={"diverged": (3, 4)})
    found = judged(runs, "lower-test-error-carry")
    assert found["verdict"] == "holds"
    assert "better in 23 of 24 lanes" in found["detail"]
    runs = comparison(LTC_8={"diverged": (3,)}, LSTM_16={"test_mse_reset": 3.0})
    assert judged(runs, "generalisation-gap-reset")["verdict"] == "holds"


def test_time_constants_that_are_not_numbers_are_not_spoken_of():
    runs = comparison()
    for name in ("tau", "lowest_share", "smooth_contrast", "probe_jump_up", "probe_control"):
        runs["LTC-8"].arrays[name][5] = np.nan
    for claim in ("tau-falls-at-jumps", "tau-high-when-smooth"):
        found = judged(runs, claim)
        assert found["verdict"] == "inconclusive"
        assert "nan" not in found["detail"].lower()


def test_few_lanes_cannot_tell():
    rows = article_claims(comparison(lanes=4, LSTM_16={"test_mse_carry": 10.0}))
    assert {row["verdict"] for row in rows} == {"inconclusive"}


# --- what a reader gets -----------------------------------------------------------------------


def test_every_claim_says_all_it_should():
    rows = article_claims(comparison())
    for row in rows:
        assert set(row) == {"id", "group", "claimant", "claim", "verdict", "figure",
                            "interval", "unit", "rule", "detail"}  # fmt: skip
        assert row["claim"]
        assert row["unit"]
        assert "holds if" in row["rule"]
        assert row["verdict"] in ("holds", "does not hold", "inconclusive")
        liquid = row["id"].partition(":")[2]
        assert row["group"].startswith(liquid)
    assert len({row["id"] for row in rows}) == len(rows) == 18
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_claims_come_for_both_steps_the_articles_first():
    rows = article_claims(comparison(models=("LTC-8", "LSTM-16", "LTC-8-euler")))
    order = [row["id"].partition(":")[2] for row in rows]
    assert order == ["LTC-8-euler"] * (len(rows) // 2) + ["LTC-8"] * (len(rows) // 2)


def test_details_say_which_way_each_jump_goes():
    up, down = after_jump(-0.2, ["jump_up"]), after_jump(0.3, ["jump_down"])
    found = judged(comparison(LTC_8=up | down), "tau-falls-at-jumps")
    assert found["figure"] == pytest.approx(5.0)
    assert "Jumps up: -20.0 %, jumps down: +30.0 %" in found["detail"]


def test_details_give_both_gaps():
    found = judged(
        comparison(LSTM_16={"test_mse_reset": 6.7}, LTC_8={"test_mse_reset": 1.14}),
        "generalisation-gap-reset",
    )
    assert "LSTM 6.70, liquid 1.14" in found["detail"]


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (("LTC-8",), {"tau-falls-at-jumps", "tau-high-when-smooth"}),
        (("LTC-8", "LSTM-4"), {"sceptic-LSTM-4", "tau-falls-at-jumps", "tau-high-when-smooth"}),
        (("LSTM-16", "ridge-AR"), set()),
        ((), set()),
    ],
)  # fmt: skip
def test_missing_models_leave_out_their_claims(models, expected):
    rows = article_claims(comparison(models=models))
    assert {row["id"].partition(":")[0] for row in rows} == expected


def test_another_liquid_model_stands_in():
    rows = article_claims(comparison(models=("LTC-2", "LSTM-16")))
    assert {row["id"].partition(":")[2] for row in rows} == {"LTC-2"}


# --- what a formula settles --------------------------------------------------------------------


def settled(models=(*BOTH, "LSTM-16"), kind="article", **given):
    task = dataclasses.replace(article_task(SumOfSines(), 1, 0), spec={"task": kind})
    return settled_claims(task, comparison(models=models, **given))


def test_formulas_settle_the_articles_claims():
    told = {row["claim"]: row for row in settled()}
    verdicts = {claim: row["verdict"] for claim, row in told.items()}
    assert verdicts.pop("About 12 times fewer parameters than the LSTM") == "holds"
    assert set(verdicts.values()) == {"does not hold"}
    assert len(verdicts) == 4
    sizes = told["The LSTM of 1,233 parameters has 8 units"]["proof"]
    count = {
        units: sum(p.numel() for p in nn.LSTM(1, units).parameters()) + units + 1
        for units in (8, 16)
    }
    assert count[16] == 1233
    assert f"8 units and their readout have {count[8]}" in sizes
    assert all(set(row) == {"claimant", "claim", "verdict", "proof"} for row in told.values())


def test_the_time_constants_bound_is_what_was_met():
    proof = next(row["proof"] for row in settled() if "toward zero" in row["claim"])
    assert "The lowest met here is 0.40 of tau" in proof
    lost = {"lowest_share": np.nan}
    proof = next(
        row["proof"] for row in settled(LTC_8=lost, LTC_8_euler=lost) if "zero" in row["claim"]
    )
    assert "lowest" not in proof


def test_nothing_is_settled_about_models_that_are_not_there_or_another_task():
    assert settled(kind="table") == []
    assert [row["claim"][:8] for row in settled(models=("LSTM-16",))] == ["The test"]
