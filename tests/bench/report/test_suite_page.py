"""The page of a suite, from a small one that really ran."""

import csv
import json
import re

import numpy as np
import pytest

from torchliquid.bench.report import write_suite_report
from torchliquid.bench.report.suite_answers import headlines, who_wins
from torchliquid.bench.report.suite_figures import ladder_figure, overall_figure, shift_figure
from torchliquid.bench.run.store import Store
from torchliquid.bench.suites.planned import planned
from torchliquid.bench.suites.run_suite import Execution, run_suite
from torchliquid.bench.suites.suite import read_suite

SUITE = """
title = "Small & <quick>"
models = ["LTC-2", "LTC-3", "LSTM-1", "LSTM-2", "ridge-AR", "persistence"]
[protocol]
lanes = 6
epochs = 4
trials = 2
[shifts]
kinds = ["noise", "gaps"]
severities = [1, 5]
[tasks.article]
steps = 60
train = 40
[tasks.sunspots]
[tasks.lorenz]
steps = 60
train = 40
models = ["LTC-2", "persistence"]
[tasks.gone]
kind = "table"
file = "gone.csv"
target = "y"
[[contrasts]]
first = "LTC-2"
second = "LSTM-2"
[[contrasts]]
first = "LTC-2"
second = "ridge-AR"
shifts = ["all"]
of = "growth"
[[ladders]]
first = "LTC"
second = "LSTM"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    (folder / "small.toml").write_text(SUITE)
    result = run_suite(read_suite(folder / "small.toml"), folder / "out", Execution(0))
    return result, write_suite_report(folder / "out", result)


def test_the_page_stands_alone_and_says_all(made):
    result, page = made
    text = page.read_text()
    assert "<h1>Small &amp; &lt;quick&gt;</h1>" in text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', text)
    assert "<script" not in text
    for link in re.findall(r'href="([^"#][^"]*)"', text):
        if not link.startswith("data:"):
            assert (page.parent / link).exists(), link
    assert "gone failed:" in text
    assert "count as exploratory" in text
    for row in result["contrasts"]:
        assert row["verdict"] in text
    assert text.count("suite unfinished") >= len(result["contrasts"])
    assert "Not shown: no two models ran on every task." in text
    for name in ("ladder-parameters", "ladder-seconds", "shifts-article", "shifts-sunspots"):
        assert f'id="{name}"' in text
        assert (page.parent / "figures" / f"{name}.png").exists()
    assert "Left to their own predictions" in text  # lorenz runs free
    assert "LTC-2 on article" in re.sub(r"<[^>]*>", "", text)


def test_rows_are_those_of_the_stores(made):
    result, page = made
    with (page.parent / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # two states and two shifts at two severities, six lanes
    assert len(rows) == (6 + 6 + 2) * 6 * (2 + 4)
    store = Store.existing(page.parent / result["tasks"]["article"]["folder"])
    arrays = store.load("LTC-2").arrays
    own = [r for r in rows if (r["task"], r["model"]) == ("article", "LTC-2")]
    for state in ("carry", "reset"):
        kept = [r for r in own if (r["state"], r["shift"], r["severity"]) == (state, "", "0")]
        found = [float(r["mse"]) for r in kept]
        np.testing.assert_allclose(found, arrays[f"test_mse_{state}"], rtol=1e-6)
    for place, severity in enumerate(("1", "5")):
        found = [float(r["mse"]) for r in own if (r["shift"], r["severity"]) == ("gaps", severity)]
        np.testing.assert_allclose(found, arrays["shift_gaps"][place], rtol=1e-6)


def test_at_a_glance(made):
    result, page = made
    assert result["pivot"] == "LSTM-2"
    assert result["overall"] == []  # on lorenz it did not run
    store = Store.existing(page.parent / result["tasks"]["article"]["folder"])
    ours, theirs = (store.load(n).arrays["test_mse_carry"] for n in ("LTC-2", "LSTM-2"))
    cell = result["matrix"]["article"]["LTC-2"]
    assert cell["ratio"] == pytest.approx(np.median(ours / theirs), rel=1e-5)
    assert cell["parameters"] == 15
    assert result["matrix"]["article"]["LSTM-2"]["interval"] == [1.0, 1.0]
    shift = result["shifts"]["article"]["noise"]["LTC-2"]
    assert len(shift["growth"]) == len(shift["tau"]) == len(shift["moved"]) == 2
    growth = store.load("LTC-2").arrays["shift_noise"] / ours
    np.testing.assert_allclose(shift["growth"], np.median(growth, axis=1), rtol=1e-5)
    assert "tau" not in result["shifts"]["article"]["noise"]["ridge-AR"]


def test_words_follow_from_the_verdicts(made):
    result, _ = made
    rows = [dict(row, verdict="lower" if row["task"] == "article" else "inconclusive")
            for row in result["contrasts"]]  # fmt: skip
    (first, second, verdicts), *_ = who_wins(rows)
    assert (first, second) == ("LTC-2", "LSTM-2")
    assert verdicts == [("lower", "article"), ("inconclusive", "sunspots")]
    common = {
        "tasks": 3,
        "iqm_interval": [0.4, 0.6],
        "iqm_tasks_interval": [0.3, 0.8],
        "better": 0.9,
        "better_interval": [0.8, 1.0],
    }
    overall = [{"model": "ridge-AR", "iqm": 0.2} | common, {"model": "LTC-2", "iqm": 0.5} | common]
    first, *said = headlines({**result, "contrasts": rows, "overall": overall})
    assert first.startswith("This suite is not finished")  # the table of one task is gone
    assert said[0].startswith("Over 3 tasks together, LTC-2's test MSE is 0.500 times LSTM-2's")
    assert "it is lower in 90 % of the lanes" in said[0]
    assert said[1].startswith("The lowest of those that ran everywhere: ridge-AR, 0.200 times")
    assert "growth of its error" in said[2]
    assert said[3].startswith("Parameters that LSTM needs for the error of LTC-2: article ")


def test_figures_that_cannot_be_drawn_say_why(made):
    result, _ = made
    bare = {**result, "overall": [], "shifts": {}}
    assert "no two models ran" in overall_figure(bare).why
    assert "no shift" in shift_figure(bare, "article").why
    lone = {"article": {"LTC-2": result["matrix"]["article"]["LTC-2"]}}
    assert "several sizes" in ladder_figure({**bare, "matrix": lone}, "parameters").why


# --- planned beforehand -------------------------------------------------------------------------


def test_what_git_knows(tmp_path):
    import subprocess

    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b",
                        *words], check=True, capture_output=True)  # fmt: skip

    path = tmp_path / "s.toml"
    path.write_text("a = 1\n")
    assert planned(path, None) == {
        "commit": None, "committed": None, "first_run": None, "label": "exploratory"}  # fmt: skip
    git("init")
    git("add", "s.toml")
    assert planned(path, None)["label"] == "exploratory"
    git("commit", "-m", "plan")
    found = planned(path, "2999-01-01T00:00:00Z")
    assert found["label"] == "planned"
    assert len(found["commit"]) == 12
    assert planned(path, "2000-01-01T00:00:00Z")["label"] == "exploratory"  # it ran before
    path.write_text("a = 2\n")
    assert planned(path, "2999-01-01T00:00:00Z")["label"] == "exploratory"  # changed since


def test_the_result_is_json(made):
    result, page = made
    assert json.loads((page.parent / "suite.json").read_text()) == json.loads(json.dumps(result))
