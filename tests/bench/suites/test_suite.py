"""Suite files: read strictly, run task by task, resumed, and judged as planned."""

import dataclasses
import json

import numpy as np
import pytest
from scipy.stats import wilcoxon

from torchliquid.bench.run.runner import settings_of
from torchliquid.bench.run.store import Store
from torchliquid.bench.suites.rows import COLUMNS
from torchliquid.bench.suites.run_suite import Execution, run_suite, status
from torchliquid.bench.suites.suite import read_suite
from torchliquid.bench.suites.verdicts import judge
from torchliquid.cli import main
from torchliquid.errors import TorchliquidError

SUITE = """
title = "A small one"
models = ["LTC-2", "ridge-AR", "persistence"]
[protocol]
lanes = 8
epochs = 3
trials = 2
[shifts]
kinds = ["noise", "rate"]
severities = [1, 5]
[tasks.article]
steps = 60
train = 40
[tasks.sunspots]
horizon = 2
[tasks.mine]
kind = "table"
file = "mine.csv"
target = "y"
features = ["all"]
[[contrasts]]
first = "LTC-2"
second = "persistence"
[[contrasts]]
first = "persistence"
second = "LTC-2"
tasks = ["sunspots"]
state = "reset"
margin = 0.5
"""


@pytest.fixture
def write(tmp_path):
    def call(text=SUITE, rows=90):
        rng = np.random.default_rng(0)
        lines = [f"{a:.4f},{b:.4f}" for a, b in rng.standard_normal((rows, 2)).cumsum(axis=0)]
        (tmp_path / "mine.csv").write_text("y,a\n" + "\n".join(lines) + "\n")
        path = tmp_path / "small.toml"
        path.write_text(text)
        return path

    return call


# --- reading ----------------------------------------------------------------------------------


def test_what_a_file_says(write):
    suite = read_suite(write())
    assert (suite.name, suite.title) == ("small", "A small one")
    assert suite.models == ("LTC-2", "ridge-AR", "persistence")
    assert (suite.protocol.lanes, suite.protocol.trials) == (8, 2)
    assert [(t.name, t.kind) for t in suite.tasks] == [
        ("article", "article"), ("sunspots", "sunspots"), ("mine", "table")]  # fmt: skip
    assert suite.contrasts[0].tasks is None
    assert suite.contrasts[1].margin == 0.5
    article, sunspots, mine = (entry.build(suite.protocol) for entry in suite.tasks)
    assert (article.steps, article.train) == (60, 40)
    assert sunspots.spec["horizon"] == 2
    assert mine.spec["features"] == ["a"]


def test_the_shipped_suites_can_be_read():
    from pathlib import Path

    files = sorted((Path(__file__).parents[3] / "suites").glob("*.toml"))
    assert files
    for path in files:
        suite = read_suite(path)
        assert suite.contrasts


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title", "titel", "no key 'titel' .did you mean 'title'"),
        ('"LTC-2", ', '"LTC2", ', "model 'LTC2' is unknown"),
        ('models = ["LTC-2", "ridge-AR", "persistence"]', "models = []", "at least one"),
        ('models = ["LTC-2", "ridge-AR", "persistence"]', "models = 3", "give a list of names"),
        ('"ridge-AR"', '"LTC-2"', "named twice"),
        ("lanes = 8", "lane = 6", r"\[protocol\] has no key 'lane' .did you mean 'lanes'"),
        ("lanes = 8", 'lanes = "six"', "lanes of .protocol. is 'six': give an integer"),
        ("lanes = 8", 'tuned = ["dts"]', "tuned of .protocol. has 'dts' .did you mean 'dt'"),
        ("lanes = 8", "tuned = []", "at least one"),
        (
            "lanes = 8",
            'schedule = "cosine"',
            "schedule of .* is 'cosine': give constant or one-cycle",
        ),
        ("lanes = 8", "weight_decay = -1", "weight_decay is -1"),
        ("[tasks.mine]", "[tasks.sunspots]", "is no TOML"),
        ('kind = "table"', 'kind = "tabel"', "kind 'tabel' .did you mean 'table'"),
        ('kind = "table"', "", "kind 'mine'"),
        ("horizon = 2", "horizont = 2", "did you mean 'horizon'"),
        ("horizon = 2", 'models = ["LTC-3"]', "'sunspots' names 'LTC-3', no model of the suite"),
        ("horizon = 2", "models = []", "at least one"),
        ("horizon = 2", 'models = ["LTC-2"]', "contrast of persistence names task 'sunspots'"),
        ('target = "y"', "", "'mine' has no target: give it"),
        ('features = ["all"]', 'features = "all"', "features of task 'mine'.*list of names"),
        ('tasks = ["sunspots"]', 'tasks = ["sunspot"]', "did you mean 'sunspots'"),
        ('tasks = ["sunspots"]', "tasks = []", "at least one"),
        ('state = "reset"', 'state = "rest"', "give carry or reset"),
        ("margin = 0.5", "margin = -1", "margin is -1"),
        ("margin = 0.5", "margins = 1", "did you mean 'margin'"),
        ('first = "LTC-2"', 'first = "LTC-3"', "no model of the suite .did you mean 'LTC-2'"),
        ('first = "LTC-2"', 'first = "persistence"', "compares persistence with itself"),
        ("[tasks.mine]", '[tasks."../mine"]', "names are of letters"),
        (
            "[tasks.mine]",
            '[[ladders]]\nfirst = "LTC"\n[tasks.mine]',
            "'LTC', of which the suite has",
        ),
        ("[tasks.mine]", '[[ladders]]\nfist = "LTC"\n[tasks.mine]', "did you mean 'first'"),
        ("severities = [1, 5]", "severities = [1, 9]", "severity is 9"),
        ("severities = [1, 5]", "severities = 9", "severities of .shifts. is 9: give a list"),
        ("severities", "severity", "did you mean 'severities'"),
        ('kinds = ["noise", "rate"]', "kinds = []", "at least one"),
        ('kinds = ["noise", "rate"]', 'kinds = ["nois"]', "did you mean 'noise'"),
        ('kinds = ["noise", "rate"]', "", "kinds of .shifts. is None"),
        ("margin = 0.5", 'shifts = ["gaps"]', "names shift 'gaps', which .shifts. does not"),
        ("margin = 0.5", 'shifts = ["noise"]', "its state is always carry"),
        ("margin = 0.5", 'of = "growth"', "'of' but no shifts"),
        ("margin = 0.5", 'shifts = ["noise"]\nof = "gain"', "is of 'gain': give error or growth"),
    ],
)
def test_mistakes_in_a_file(write, old, new, said):
    assert old in SUITE
    with pytest.raises(TorchliquidError, match=said) as caught:
        read_suite(write(SUITE.replace(old, new, 1)))
    assert "small.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_task_and_no_file(write, tmp_path):
    with pytest.raises(TorchliquidError, match="there is no task"):
        read_suite(write('models = ["LTC-2"]\n'))
    with pytest.raises(TorchliquidError, match=r"cannot read .*none.toml"):
        read_suite(tmp_path / "none.toml")


# --- running ----------------------------------------------------------------------------------


def test_a_suite_runs_resumes_and_keeps_changed_runs_apart(write, tmp_path, monkeypatch):
    suite, out = read_suite(write()), tmp_path / "out"
    heard = []
    first = run_suite(suite, out, Execution(0), notify=heard.append)
    assert [line.partition(", ")[0] for line in heard] == [f"{k} of 9" for k in range(1, 10)]
    assert sum(": ok" in line for line in heard) == 9
    assert {name: task["status"] for name, task in first["tasks"].items()} == {
        "article": "ok", "sunspots": "ok", "mine": "ok"}  # fmt: skip
    assert json.loads((out / "suite.json").read_text()) == first
    for name, folder, done, reason in status(suite, out):
        assert folder.name == first["tasks"][name]["folder"]
        assert done == list(suite.models)
        assert not reason
        assert (folder / "summary.json").exists()

    from torchliquid.bench.suites import run_suite as drive

    def fail(*_):
        raise AssertionError("a finished run was repeated")

    with monkeypatch.context() as patched:
        patched.setattr(drive, "job", fail)
        assert run_suite(suite, out, Execution(0))["contrasts"] == first["contrasts"]
    longer = dataclasses.replace(suite, protocol=dataclasses.replace(suite.protocol, epochs=4))
    second = run_suite(longer, out, Execution(0))
    for name, task in second["tasks"].items():
        assert task["folder"] != first["tasks"][name]["folder"]
        assert (out / first["tasks"][name]["folder"]).exists()


def test_a_table_with_other_numbers_is_another_run(write, tmp_path):
    suite = read_suite(write())
    before = status(suite, tmp_path)[2][1]
    write(rows=91)
    assert status(suite, tmp_path)[2][1] != before


def test_a_task_that_fails_leaves_the_others(write, tmp_path):
    suite, out = read_suite(write()), tmp_path / "out"
    (tmp_path / "mine.csv").write_text("y,a\n1,2\n")
    result = run_suite(suite, out, Execution(0))
    assert result["tasks"]["mine"]["status"] == "error"
    assert "1 rows, which leave 0 targets" in result["tasks"]["mine"]["reason"]
    assert result["tasks"]["sunspots"]["status"] == "ok"
    assert {row["task"] for row in result["contrasts"]} == {"article", "sunspots"}
    assert "1 rows" in status(suite, out)[2][3]
    write()
    assert run_suite(suite, out, Execution(0))["tasks"]["mine"]["status"] == "ok"


def test_contrasts_are_those_of_the_summaries(write, tmp_path):
    suite, out = read_suite(write()), tmp_path / "out"
    result = run_suite(suite, out, Execution(0))
    rows = {(r["task"], r["first"]): r for r in result["contrasts"]}
    assert set(rows) == {
        ("article", "LTC-2"), ("sunspots", "LTC-2"), ("mine", "LTC-2"),
        ("sunspots", "persistence")}  # fmt: skip
    (_, folder, _, _) = status(suite, out)[1]
    task = suite.tasks[1].build(suite.protocol)
    store = Store(folder, settings_of(task, suite.protocol))
    pair = [store.load(name).arrays for name in ("LTC-2", "persistence")]
    for first, state, margin in (("LTC-2", "carry", 0.1), ("persistence", "reset", 0.5)):
        errors = [arrays[f"test_mse_{state}"] for arrays in pair]
        ratio = errors[0] / errors[1] if first == "LTC-2" else errors[1] / errors[0]
        row = rows["sunspots", first]
        assert row["ratio"] == pytest.approx(np.median(ratio), rel=1e-5)
        assert row["interval"][0] <= row["ratio"] <= row["interval"][1]
        assert row["p"] == pytest.approx(wilcoxon(np.log(ratio)).pvalue, rel=1e-5)
        assert row["p"] <= row["p_holm"] <= min(1, 4 * row["p"])
        assert row["verdict"] == judge(row["interval"], row["interval_all"], margin, row["p_holm"])
    assert {row["lanes"] for row in result["contrasts"]} == {8}


def test_a_suite_that_can_never_speak_says_so(write, tmp_path):
    suite, heard = read_suite(write(SUITE.replace("lanes = 8", "lanes = 7"))), []
    result = run_suite(suite, tmp_path / "out", Execution(0), notify=heard.append)
    assert "4 planned comparisons need 8 lanes" in heard[0]
    assert {row["verdict"] for row in result["contrasts"]} == {"too few lanes"}


# --- from the command line ----------------------------------------------------------------------


def test_commands(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = str(write())
    assert main(["bench", "list", "."]) == 0
    assert capsys.readouterr().out == "small.toml: A small one (3 tasks, 3 models)\n"
    assert main(["bench", "status", path]) == 0
    assert "sunspots         0 of 3 models finished" in capsys.readouterr().out
    monkeypatch.setattr(
        "torchliquid.bench.report.write_report", lambda store, summary: store.folder
    )
    assert main(["bench", "run", path, "--processes", "0"]) == 0
    said = capsys.readouterr().out
    assert "planned contrasts" in said
    assert "results: results/small/suite.json" in said
    assert main(["bench", "status", path]) == 0
    assert "sunspots         3 of 3 models finished, results/small/" in capsys.readouterr().out


def test_commands_that_fail_say_why_in_a_line(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "torchliquid.bench.report.write_report", lambda store, summary: store.folder
    )
    path = str(write(SUITE.replace("mine.csv", "gone.csv")))
    assert main(["bench", "run", path, "--processes", "0"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("torchliquid: error: 1 of 3 tasks failed (mine)")
    assert len(err.splitlines()) == 1
    (tmp_path / "empty").mkdir()
    for command in (["run", "none.toml"], ["status", "none.toml"], ["list", "empty"]):
        assert main(["bench", *command]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


# --- shifts -------------------------------------------------------------------------------------


def test_contrasts_under_shifts(write, tmp_path):
    planned = """
[[contrasts]]
first = "LTC-2"
second = "ridge-AR"
shifts = ["all"]
of = "growth"
[[contrasts]]
first = "LTC-2"
second = "ridge-AR"
shifts = ["noise"]
tasks = ["sunspots"]
"""
    suite, out = read_suite(write(SUITE + planned)), tmp_path / "out"
    assert [(c.shift, c.of) for c in suite.contrasts[2:]] == [
        ("noise", "growth"), ("rate", "growth"), ("noise", "error")]  # fmt: skip
    result = run_suite(suite, out, Execution(0))
    rows = {(r["task"], r["shift"], r["of"]): r for r in result["contrasts"] if r["shift"]}
    assert set(rows) == {  # nobody can draw sunspots or a table again
        ("article", "noise", "growth"), ("article", "rate", "growth"),
        ("sunspots", "noise", "growth"), ("mine", "noise", "growth"),
        ("sunspots", "noise", "error")}  # fmt: skip
    (_, folder, _, _) = status(suite, out)[1]
    store = Store.existing(folder)
    ours, theirs = (store.load(name).arrays for name in ("LTC-2", "ridge-AR"))
    error = [np.sqrt(a["shift_noise"].prod(axis=0)) for a in (ours, theirs)]
    growth = [e / a["test_mse_carry"] for e, a in zip(error, (ours, theirs), strict=True)]
    for of, (a, b) in (("error", error), ("growth", growth)):
        assert rows["sunspots", "noise", of]["ratio"] == pytest.approx(np.median(a / b), rel=1e-5)


def test_a_task_may_run_fewer_models(write, tmp_path):
    text = SUITE.replace("steps = 60", 'steps = 60\nmodels = ["persistence", "ridge-AR"]')
    suite, out = read_suite(write(text)), tmp_path / "out"
    assert suite.tasks[0].models == ("ridge-AR", "persistence")
    result = run_suite(suite, out, Execution(0))
    assert status(suite, out)[0][2] == ["ridge-AR", "persistence"]
    assert {row["task"] for row in result["contrasts"]} == {"sunspots", "mine"}


def test_shifts_belong_to_what_defines_a_run(write, tmp_path):
    suite = read_suite(write())
    folder = status(suite, tmp_path)[1][1]
    other = dataclasses.replace(suite.protocol, severities=(1, 4))
    assert status(dataclasses.replace(suite, protocol=other), tmp_path)[1][1] != folder


def test_ladders(write, tmp_path):
    text = """
models = ["LTC-2", "LTC-4", "LSTM-1", "LSTM-2", "LSTM-3"]
[protocol]
lanes = 8
epochs = 2
[tasks.sunspots]
[tasks.article]
steps = 60
train = 40
models = ["LTC-2", "LSTM-2"]
[[ladders]]
first = "LTC"
second = "LSTM"
"""
    suite, out = read_suite(write(text)), tmp_path / "out"
    result = run_suite(suite, out, Execution(0))
    assert [(r["task"], r["model"], r["against"]) for r in result["ladders"]] == [
        ("sunspots", "LTC-2", "LSTM"), ("sunspots", "LTC-4", "LSTM")]  # fmt: skip
    assert not result["contrasts"]
    for row in result["ladders"]:
        assert row["smallest"] < row["largest"]


# --- afterwards ---------------------------------------------------------------------------------


def test_compare_and_export(write, tmp_path, monkeypatch, capsys):
    import pandas as pd

    monkeypatch.chdir(tmp_path)
    path = str(write())
    for out in ("a", "b"):
        run_suite(read_suite(path), tmp_path / out, Execution(0))
    assert main(["bench", "compare", "a", "b"]) == 0
    assert capsys.readouterr().out == (
        "9 of 9 pairs of a task and a model are equal in every lane\n")  # fmt: skip
    text = (tmp_path / "b" / "rows.csv").read_text().splitlines()
    place = next(k for k, row in enumerate(text) if row.startswith("sunspots,LTC-2"))
    text[place] = text[place].rpartition(",")[0] + ",77"
    (tmp_path / "b" / "rows.csv").write_text("\n".join(text))
    assert main(["bench", "compare", "a", "b"]) == 0
    said = capsys.readouterr().out
    assert "8 of 9 pairs" in said
    assert "sunspots" in said
    assert main(["bench", "export", path, "--out", "a", "--parquet", "a.parquet"]) == 0
    assert "rows: a.parquet" in capsys.readouterr().out
    table = pd.read_parquet("a.parquet")
    assert list(table.columns) == list(COLUMNS)
    plain = table[(table["shift"] == "") & (table.state == "carry") & (table.model == "LTC-2")]
    assert len(plain) == 3 * 8
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "rows.csv").write_text("task,model\nx,y\n")
    for command in (["compare", "a", "none"], ["compare", "a", "c"],
                    ["export", path, "--out", "none", "--parquet", "x.parquet"],
                    ["export", path, "--out", "a", "--parquet", "no/such/x.parquet"]):  # fmt: skip
        assert main(["bench", *command]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
