"""`torchliquid fit`, `forecast`, `predict` and `update`, as one types them."""

import json

import numpy as np
import pandas as pd
import pytest

from torchliquid.cli.main import main

pytest.importorskip("rich")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    t = np.arange(430)
    frame = pd.DataFrame(
        {
            "day": pd.date_range("2020-01-01", periods=430).strftime("%d.%m.%Y"),
            "load": (20 + 3 * np.sin(2 * np.pi * t / 7) + 0.2 * rng.normal(size=430)).round(3),
            "open": (rng.random(430) < 0.3).astype(int),
        }
    )
    frame["load"] += 5 * frame["open"]
    frame[:400].to_csv("old.csv", index=False, sep=";", decimal=",")
    frame[400:].to_csv("new.csv", index=False, sep=";", decimal=",")
    frame[400:].drop(columns="load").to_csv("plan.csv", index=False, sep=";")
    return tmp_path


FIT = ("fit", "old.csv", "--target", "load", "--time", "day", "--horizon", "7", "--out", "m")


def test_from_a_table_to_a_forecast(folder, capsys):
    assert main([*FIT, "--intervals", "0.9"]) == 0
    out = capsys.readouterr().out
    assert "value 7 rows before" in out
    assert "chosen" in out
    assert "Its error on the test part is" in out
    assert "intervals covered, on the test part: 90 %: " in out
    assert out.splitlines()[-1] == "next command: torchliquid forecast m --plot f.svg"

    assert main(["forecast", "m", "--steps", "3", "--out", "f.csv", "--plot", "f.svg"]) == 0
    rows = pd.read_csv("f.csv")
    assert rows.columns.tolist() == ["day", "load", "lo-90", "hi-90"]
    assert rows["day"].tolist() == ["2021-02-04", "2021-02-05", "2021-02-06"]
    assert "<svg" in (folder / "f.svg").read_text()

    assert main(["predict", "m", "new.csv", "--ahead", "1", "--out", "p.parquet"]) == 0
    assert len(pd.read_parquet("p.parquet")) == 29
    assert main(["update", "m", "new.csv"]) == 0
    capsys.readouterr()
    assert main(["forecast", "m", "--until", "2021-03-07"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("2021-03-06,")
    assert len(lines) == 3


def test_a_person_reads_a_table_and_a_program_csv(folder, capsys, monkeypatch):
    assert main([*FIT, "--intervals", "0.9"]) == 0
    plan = ("forecast", "m")
    capsys.readouterr()
    assert main([*plan]) == 0
    piped = capsys.readouterr().out
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main([*plan]) == 0
    shown = capsys.readouterr().out
    header, *lines = shown.splitlines()
    assert header.split() == piped.splitlines()[0].split(",") == ["day", "load", "lo-90", "hi-90"]
    assert len(lines) == len(piped.splitlines()) - 1 == 7
    for line, row in zip(lines, piped.splitlines()[1:], strict=True):
        for told, exact in zip(line.split()[1:], row.split(",")[1:], strict=True):
            assert len(told) <= 6
            assert abs(float(told) - float(exact)) <= 0.005


def test_json_and_the_terminals_own_plot(folder, capsys):
    assert main([*FIT, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"model", "compared", "sentence", "coverage", "notes", "saved"} == set(said)
    assert sum(row["chosen"] for row in said["compared"]) == 1
    assert main(["forecast", "m", "--at", "2021-02-05,2021-02-08", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["day"][:10] for row in rows] == ["2021-02-05", "2021-02-08"]
    assert main(["forecast", "m", "--out", "f.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "f.csv"
    assert main(["update", "m", "new.csv", "--plot"]) == 0
    bars, words, saved = capsys.readouterr().out.splitlines()
    assert 7 < bars.index("|") == len(bars) - 8
    assert "is the forecast" in words
    assert saved.startswith("saved: ")
    assert main(["predict", "m", "new.csv", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) == 23


def test_a_plan(folder, capsys):
    assert main([*FIT, "--known", "open", "--lowest", "0"]) == 0
    capsys.readouterr()
    assert main(["forecast", "m"]) == 2
    assert "open are known 0 of 7 rows ahead" in capsys.readouterr().err
    assert main(["forecast", "m", "--plan", "plan.csv", "--out", "f.csv"]) == 0
    plan, rows = pd.read_csv("plan.csv", sep=";"), pd.read_csv("f.csv")
    opened = plan["open"][:7].to_numpy() == 1
    assert opened.any()
    week = 20 + 3 * np.sin(2 * np.pi * np.arange(400, 407) / 7)
    np.testing.assert_allclose(rows["load"] - week, 5 * opened, atol=1)


def test_columns_of_nixtlas_names_need_not_be_named(folder, capsys):
    days = pd.date_range("2020-01-01", periods=200)
    frames = [
        pd.DataFrame({"unique_id": name, "ds": days, "y": k + np.arange(200) % 7.0})
        for k, name in enumerate(("007", "7"))
    ]
    pd.concat(frames).to_csv("n.csv", index=False)
    assert main(["fit", "n.csv", "--target", "y", "--horizon", "2", "--out", "n"]) == 0
    assert "in deviations of each series" in capsys.readouterr().out
    assert main(["forecast", "n", "--out", "n.out.csv"]) == 0
    rows = pd.read_csv("n.out.csv", dtype={"unique_id": str})
    assert rows["unique_id"].tolist() == ["007", "007", "7", "7"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "none.csv", "--target", "y", "--out", "m"], "none.csv does not exist"),
        ([*FIT, "--model", "magic"], "model is 'magic'"),
        ([*FIT, "--intervals", "ninety"], "intervals is 'ninety'"),
        ([*FIT, "--horizon", "300"], "a --horizon below 300"),
        ([*FIT, "--target", "nothing"], "no column 'nothing'"),
        ([*FIT, "--plot", "f.gif"], "expected .svg, .png, .pdf"),
        (["forecast", "m", "--at", "2021", "--steps", "2"], "m holds no forecaster"),
        (["forecast", "nowhere"], "nowhere holds no forecaster"),
        (["predict", "nowhere", "old.csv"], "nowhere holds no forecaster"),
        (["update", "nowhere", "old.csv"], "nowhere holds no forecaster"),
    ],
)
def test_mistakes_are_one_line(folder, capsys, arguments, said):
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert not (folder / "m").exists()


def test_files_to_write_are_checked(folder, capsys):
    assert main([*FIT]) == 0
    for arguments in (["--out", "f.xlsx"], ["--plot", "f.gif"]):
        assert main(["forecast", "m", *arguments]) == 2
        assert "expected ." in capsys.readouterr().err
    assert main(["update", "m", "old.csv"]) == 2
    assert "expected later ones" in capsys.readouterr().err
