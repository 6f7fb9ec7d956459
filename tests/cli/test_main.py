"""The command line: every mistake is one line that teaches, and nothing is lost by it."""

import json
import os
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import torchliquid.bench.report
from torchliquid import __version__
from torchliquid.bench.run import runner, windows
from torchliquid.bench.tasks.kinds import KINDS
from torchliquid.cli import main
from torchliquid.install import install_command

QUICK = ("--lanes", "2", "--epochs", "2", "--processes", "0")
SHORT = (*QUICK, "--steps", "60", "--train", "40")
CLASSICAL = ("--models", "ridge-AR,persistence")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)  # they make a terminal of any stream


@pytest.fixture
def plain(monkeypatch):
    """A report that costs nothing: the real one is drawn in one test below."""

    def write(store, summary):
        page = store.folder / "report.html"
        page.write_text(json.dumps(summary))
        return page

    monkeypatch.setattr(torchliquid.bench.report, "write_report", write)


@pytest.fixture
def idle(monkeypatch):
    """Nothing may be trained."""

    def fail(*_):
        raise AssertionError("a model was run")

    monkeypatch.setattr(runner, "job", fail)


@pytest.fixture
def error(capsys):
    """Run a command that must fail: exit code 2, one line, no output. Gives the line."""

    def call(*arguments, output=False):
        assert main([str(argument) for argument in arguments]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("torchliquid: error: ")
        assert captured.err.endswith("\n")
        assert captured.err.count("\n") == 1
        assert "Traceback" not in captured.err
        if not output:
            assert captured.out == ""
        return captured.err.removeprefix("torchliquid: error: ").rstrip("\n")

    return call


def write_table(path, rows=60, **columns):
    """A CSV with a time, a target and a feature that tell something; columns may be replaced."""
    steps = np.arange(rows)
    table = {
        "time": [str(float(step)) for step in steps],
        "y": [f"{np.sin(step / 5) + 20:.4f}" for step in steps],
        "a": [f"{np.cos(step / 3):.4f}" for step in steps],
        "room": [f"room {step}" for step in steps],
    } | columns
    lines = [",".join(table), *(",".join(cells) for cells in zip(*table.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def replaced(place, value, rows=60):
    cells = [f"{np.sin(step / 5) + 20:.4f}" for step in range(rows)]
    cells[place] = value
    return cells


# --- help, version, info ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "bench"),
        (["info"], "info"),
        (["bench"], "sunspots"),
        (["bench", "article"], "--sigma"),
        (["bench", "csv"], "--target"),
        (["bench", "sunspots"], "--horizon"),
    ],
)
def test_help(arguments, named, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--help"])
    assert stopped.value.code == 0
    captured = capsys.readouterr()
    assert named in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("task", ["article", "csv", "sunspots"])
def test_all_tasks_take_the_same_protocol(task, capsys):
    with pytest.raises(SystemExit):
        main(["bench", task, "--help"])
    out = capsys.readouterr().out
    for option in ("--lanes", "--epochs", "--lr", "--models", "--seed", "--processes", "--out",
                   "--resume", "--fresh", "--show-task"):  # fmt: skip
        assert f"  {option}" in out


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_info(capsys):
    assert main(["info"]) == 0
    captured = capsys.readouterr()
    found = dict(line.split(maxsplit=1) for line in captured.out.splitlines())
    assert found["torchliquid"] == __version__
    assert found["torch"] == torch.__version__
    assert found["numpy"] == np.__version__
    assert found["threads"] == str(torch.get_num_threads())
    assert found["cores"] == str(os.cpu_count())
    assert "backend" in found
    assert captured.err == ""


# --- a whole run ------------------------------------------------------------------------------


def test_a_whole_run_with_its_report(tmp_path, capsys):
    out = tmp_path / "out"
    models = ("--models", "LTC-2,persistence")
    assert main(["bench", "article", *SHORT, *models, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""  # not a terminal: no bars
    assert "\x1b" not in captured.out
    assert "\r" not in captured.out
    assert "LTC-2" in captured.out
    assert captured.out.splitlines()[-1] == f"report: {out / 'report.html'}"
    assert "<html" in (out / "report.html").read_text(encoding="utf-8")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert list(summary["models"]) == ["persistence", "LTC-2"]
    assert summary["task"]["lanes"] == 2


def test_results_go_to_a_folder_named_like_the_task(plain, capsys):
    assert main(["bench", "article", *SHORT, *CLASSICAL]) == 0
    assert Path("results/article/summary.json").exists()
    write_table(Path("office.csv"))
    assert main(["bench", "csv", "office.csv", "--target", "y", *QUICK, *CLASSICAL]) == 0
    assert Path("results/office/summary.json").exists()
    assert main(["bench", "sunspots", *QUICK, *CLASSICAL]) == 0
    assert Path("results/sunspots/summary.json").exists()
    assert capsys.readouterr().err == ""


def test_options_reach_the_task_and_the_protocol(plain):
    task = ("--sines", "2:0.5", "--sigma", "0.2", "--steps", "50", "--train", "30", "--span", "10")
    protocol = ("--lanes", "3", "--epochs", "4", "--lr", "0.2", "--seed", "7", "--processes", "0")
    assert main(["bench", "article", *task, *protocol, "--models", "LTC-1,persistence"]) == 0
    summary = json.loads(Path("results/article/summary.json").read_text(encoding="utf-8"))
    found = summary["task"]
    assert found["spec"] == {"task": "article", "sines": [[2.0, 0.5]], "sigma": 0.2, "steps": 50,
                             "train": 30, "span": 10.0}  # fmt: skip
    assert [found[key] for key in ("lanes", "epochs", "learning_rate", "seed")] == [3, 4, 0.2, 7]


def test_the_default_models_are_trained_if_none_are_named(plain, monkeypatch):
    asked = []

    def stop(task, model, *_):
        asked.append(model.name)
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "job", stop)
    assert main(["bench", "article", *SHORT]) == 130
    assert asked == ["LTC-8"]  # the first of them


def test_resume_and_fresh(plain, capsys, monkeypatch):
    done, honest = [], runner.job

    def counted(task, model, *rest):
        done.append(model.name)
        return honest(task, model, *rest)

    monkeypatch.setattr(runner, "job", counted)
    command = ["bench", "article", *SHORT, *CLASSICAL, "--out", "out"]
    assert main(command) == 0
    assert main(command) == 0
    assert main([*command, "--resume"]) == 0
    assert done == ["ridge-AR", "persistence"]
    assert main([*command, "--fresh"]) == 0
    assert done == ["ridge-AR", "persistence"] * 2


@pytest.mark.parametrize("task", ["article", "csv", "sunspots"])
def test_show_task_prints_json_and_trains_nothing(idle, capsys, task):
    table = [str(write_table(Path("t.csv"))), "--target", "y"] if task == "csv" else []
    assert main(["bench", task, *table, "--show-task", "--json", "--out", "out"]) == 0
    spec = json.loads(capsys.readouterr().out)
    assert spec["task"] == ("article" if task == "article" else "table")
    assert not Path("out").exists()
    assert not Path("results").exists()


@pytest.mark.parametrize("task", sorted(set(KINDS) - {"table", "traces"}))
def test_show_task_says_it_of_every_signal(idle, capsys, task):
    assert main(["bench", task, "--show-task"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["prediction"]
    assert "to train on" in lines["steps"]


def test_show_task_says_what_would_happen(idle, capsys):
    assert main(["bench", "article", "--show-task", "--window", "9"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["signal"] == "1 sin t + 0.4 sin 2.5 t + 0.2 sin 10 t"
    assert lines["prediction"].endswith("from the last state of a window of 9 steps")
    assert lines["steps"] == "300: 200 to train on, 100 to test on"
    assert lines["training"] == "24 lanes, 1,000 epochs, seed 0, Adam 0.005"
    assert lines["results"] == "results/article"
    path = str(write_table(Path("t.csv"), a=replaced(7, "")))
    given = ["--target", "y", "--features", "a", "--time", "time", "--show-task"]
    assert main(["bench", "csv", path, *given]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 20
    for words in (
        "y: ",
        "a: ",
        "1 missing",
        "gaps        1 to 1",
        "test from 48",
        "row 3 ",
        "about ",
    ):
        assert words in text
    lines = dict(line.split(maxsplit=1) for line in text.splitlines())
    assert lines["target"] == "y, 1 row ahead; features: a"
    assert lines["time"].startswith("time, targets from ")
    assert "missing" in lines["note"]


def test_json_without_show_task(error):
    assert "give both" in error("bench", "article", "--json")


def test_notes_on_the_data_are_said(plain, capsys):
    write_table(Path("t.csv"), a=replaced(7, ""))
    table = ["t.csv", "--target", "y", "--features", "a", "--time", "time"]
    assert main(["bench", "csv", *table, *QUICK, *CLASSICAL]) == 0
    out = capsys.readouterr().out
    assert "gaps: 1 to 1, median 1\nnote: " in out
    assert "missing" in out.partition("note: ")[2].splitlines()[0]


def test_progress_is_shown_on_a_terminal(plain, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes the stream for a terminal
    monkeypatch.setenv("TERM", "xterm")
    assert main(["bench", "article", *SHORT, "--models", "LTC-1,persistence"]) == 0
    err = capsys.readouterr().err
    assert "LTC-1" in err
    assert "2/2" in err


# --- bad input: the article's task ------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "named", "remedy"),
    [
        (["--sines", "one"], "--sines is 'one'", "1:1,0.5:2.5"),
        (["--sines", "1:2:3"], "--sines is '1:2:3'", "1:1,0.5:2.5"),
        (["--sines", "1"], "--sines is '1'", "1:1,0.5:2.5"),
        (["--sines", ""], "sines is ()", "finite pairs"),
        (["--sines", "nan:1"], "nan", "finite pairs"),
        (["--sines", "0:1"], "sines is ((0.0", "constant"),
        (["--sigma", "-1"], "sigma is -1.0", "at least 0"),
        (["--sigma", "inf"], "sigma is inf", "finite"),
        (["--span", "0"], "span is 0.0", "positive"),
        (["--steps", "25"], "of 25 steps", "at least 20 steps to train on and 10 to test on"),
        (["--train", "5"], "train is 5", "at least 20 steps"),
        (["--lanes", "0"], "--lanes", "at least 1"),
        (["--lanes", "-2"], "--lanes", "at least 1"),
        (["--lanes", "few"], "--lanes: invalid int value: 'few'", "--help"),
        (["--epochs", "0"], "epochs is 0", "at least 1"),
        (["--epochs", "1.5"], "--epochs: invalid int value: '1.5'", "--help"),
        (["--seed", "-1"], "--seed", "at least 0"),
        (["--lr", "0"], "learning rate is 0.0", "positive"),
        (["--lr", "-0.1"], "learning rate is -0.1", "positive"),
        (["--lr", "nan"], "learning rate is nan", "positive"),
        (["--lr", "inf"], "learning rate is inf", "positive"),
        (["--lr", "1e39"], "learning rate is 1e+39", "up to 1e+30"),
        (["--lr", "fast"], "--lr: invalid float value: 'fast'", "--help"),
        (["--processes", "-1"], "processes is -1", "or 0"),
        (["--models", "LTM-8"], "model 'LTM-8' is unknown (nearest: LTC-8)", "LTC-n"),
        (["--models", ""], "model '' is unknown", "LTC-n"),
        (["--models", "LTC-8,"], "model '' is unknown", "LTC-n"),
        (["--models", "LTC-8, GRU-4"], "model ' GRU-4' is unknown (nearest: GRU-4)", "LTC-n"),
        (["--models", "GRU-4,GRU-4"], "GRU-4 is named twice", "once"),
        (["--resume", "--fresh"], "not allowed with argument", "--help"),
        (["--what"], "unrecognized arguments: --what", "--help"),
        (["two\nlines"], "unrecognized arguments: two lines", "--help"),
    ],
)
def test_article_with_bad_options(idle, error, arguments, named, remedy):
    message = error("bench", "article", "--out", "out", *arguments)
    assert named in message
    assert remedy in message
    assert not Path("out").exists()


def test_bare_it_prints_its_help(capsys):
    assert main([]) == 0
    assert "torchliquid bench csv" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["bench"], ["train"], ["bench", "books"], ["bench", "csv", "t.csv"]]
)
def test_commands_that_are_not_whole(error, arguments):
    assert "--help" in error(*arguments)


# --- bad input: a table -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "arguments", "named", "remedy"),
    [
        ({}, ["--target", "Y"], "'Y'", "y"),
        ({}, ["--target", "y", "--features", "a,b"], "'b'", "a"),
        ({}, ["--target", "y", "--time", "when"], "'when'", "time"),
        ({}, ["--target", "room"], "'room'", "number"),
        ({"y": ["3.5"] * 60}, ["--target", "y"], "constant (3.5)", "choose another target"),
        ({"y": [""] * 60}, ["--target", "y"], "'y'", "value"),
        ({"y": replaced(9, "inf")}, ["--target", "y"], "'y'", "inf"),
        ({"y": replaced(9, "1e300")}, ["--target", "y"], "1e+300", "leave cells empty"),
        ({"time": [str(step // 2) for step in range(60)]}, ["--target", "y", "--time", "time"],
         "'time'", "row"),
        ({"time": [str(60 - step) for step in range(60)]}, ["--target", "y", "--time", "time"],
         "'time'", "row"),
        ({"time": ["soon"] * 60}, ["--target", "y", "--time", "time"], "'time'", "soon"),
        ({"time": [*map(str, range(59)), ""]}, ["--target", "y", "--time", "time"], "'time'",
         "60"),
        ({}, ["--target", "y", "--features", "y"], "'y' is both target and feature", "leave it"),
        ({}, ["--target", "y", "--dt", "0"], "dt is 0.0", "positive"),
        ({}, ["--target", "y", "--dt", "-1"], "dt is -1.0", "positive"),
        ({}, ["--target", "y", "--horizon", "0"], "horizon is 0", "at least 1"),
        ({}, ["--target", "y", "--horizon", "50"], "60 rows", "horizon below 50"),
        ({}, ["--target", "y", "--train", "0.9", "--valid", "0.1"], "train is 0.9", "below 1"),
        ({}, ["--target", "y", "--train", "0.1"], "to train (30 needed)", "more rows"),
        ({}, ["--target", "y", "--window", "2"], "window is 2", "at least"),
        ({}, ["--target", "y", "--lanes", "0"], "lanes is 0", "at least 1"),
        ({}, ["--target", "y", "--seed", "-4"], "seed is -4", "at least 0"),
    ],
)  # fmt: skip
def test_table_with_bad_columns_or_options(idle, error, columns, arguments, named, remedy):
    write_table(Path("t.csv"), **columns)
    message = error("bench", "csv", "t.csv", *arguments)
    assert named in message
    assert remedy in message
    assert not Path("results").exists()


def test_tables_that_cannot_be_read(idle, error, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "binary.csv").write_bytes(b"\x00\xff\xfe\x01" * 9)
    (tmp_path / "torn.parquet").write_bytes(b"PAR1" + bytes(30))
    (tmp_path / "notes.docx").write_text("x")
    write_table(tmp_path / "short.csv", rows=12)
    for name, named in (
        ("nowhere.csv", "nowhere.csv does not exist"),
        ("folder", "folder is a folder"),
        ("empty.csv", "empty.csv is empty"),
        ("binary.csv", "binary.csv is not text in UTF-8"),
        ("torn.parquet", "torn.parquet cannot be read"),
        ("notes.docx", "'.docx'"),
        ("short.csv", "short has 12 rows"),
    ):
        assert named in error("bench", "csv", name, "--target", "y")
    assert not Path("results").exists()


# --- bad input: folders and files of results --------------------------------------------------


def article(*more):
    return ["bench", "article", *SHORT, *CLASSICAL, "--out", "out", *more]


def test_folder_with_the_results_of_another_task(plain, error, capsys):
    assert main(article()) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    message = error(*article("--sigma", "0.1"))
    assert "out holds results of another benchmark (task.sigma is 0.02 there, 0.1 here)" in message
    assert "give another --out, or --fresh" in message
    assert "protocol.epochs is 2 there, 9 here" in error(*article("--epochs", "9"))
    message = error("bench", "sunspots", *QUICK, *CLASSICAL, "--out", "out")
    assert "task.task is article there, table here" in message
    assert {path: path.read_bytes() for path in Path("out").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["task.safetensors", "runs/persistence.safetensors"])
def test_damaged_results(plain, error, capsys, name):
    assert main(article()) == 0
    capsys.readouterr()
    file = Path("out") / name
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    message = error(*article())
    assert f"{file} is damaged" in message
    assert "delete it" in message
    file.unlink()  # as the message says
    assert main(article()) == 0


def test_folders_that_cannot_be_written(plain, idle, error):
    Path("file").write_text("mine")
    article_to = ("bench", "article", *SHORT, *CLASSICAL, "--out")
    assert "file is a file" in error(*article_to, "file")
    assert "cannot write to file/out (Not a directory)" in error(*article_to, "file/out")
    assert "File name too long" in error(*article_to, "n" * 300)
    Path("figures").mkdir()
    Path("figures/mine.svg").write_text("x")
    for fresh in ([], ["--fresh"]):
        assert "'figures' that no benchmark made" in error(*article_to, ".", *fresh)
    assert Path("figures/mine.svg").exists()
    assert Path("file").read_text() == "mine"


def test_names_that_look_like_markup(plain, capsys):
    write_table(Path("t.csv"), **{"y[/b]": replaced(7, "")})
    table = ["t.csv", "--target", "y[/b]", *QUICK, *CLASSICAL]
    assert main(["bench", "csv", *table, "--out", "a[/b]"]) == 0
    captured = capsys.readouterr()
    assert "values are missing for y[/b]" in captured.out
    lines = captured.out.splitlines()
    assert f"report: {Path('a[/b]') / 'report.html'}" in lines
    assert any(line.startswith("best: ") and "(y[/b])" in line for line in lines[-4:])
    fit = shlex.split(lines[-1].removeprefix("next command: "))
    assert fit[:5] == ["torchliquid", "fit", "t.csv", "--target", "y[/b]"]
    assert main(fit[1:]) == 0  # it works as it stands
    assert captured.err == ""


# --- a learning rate that explodes ------------------------------------------------------------


def test_all_lanes_diverged(error):
    models = ("--models", "LTC-2-euler,persistence")
    message = error("bench", "article", *SHORT, *models, "--lr", "1e6", "--out", "out", output=True)
    assert "all 2 lanes of LTC-2-euler diverged at --lr 1000000.0: give a smaller one" in message
    assert "LTC-2-euler" in Path("out/report.html").read_text(encoding="utf-8")
    summary = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert summary["models"]["LTC-2-euler"]["diverged"] == 2
    assert summary["models"]["persistence"]["diverged"] == 0


def test_a_pause_of_a_week_kills_no_euler_model(tmp_path, capsys):
    """Rows a second apart and one long gap: it is named, the model goes on learning."""
    times = np.arange(60.0)
    times[30:] += 604_800
    write_table(tmp_path / "t.csv", time=[str(t) for t in times])
    options = (*QUICK, "--time", "time", "--models", "LTC-2-euler,LTC-2", "--dt", "1")
    assert main(["bench", "csv", "t.csv", "--target", "y", "--out", "o", *options]) == 0
    captured = capsys.readouterr()
    assert "The longest gap, 604801 times the median, lies before data row 31" in captured.out
    assert "note: LTC-2-euler: dt is up to 6.048e+05" in captured.out
    assert "note: LTC-2: dt" not in captured.out
    assert captured.err == ""
    summary = json.loads(Path("o/summary.json").read_text())
    assert summary["models"]["LTC-2-euler"]["diverged"] == 0
    assert "dt is up to 6.048e+05" in Path("o/report.html").read_text()


def test_lanes_that_kept_their_untrained_weights_are_named(plain, capsys, tmp_path):
    """A learning rate that makes each epoch worse than the first."""
    write_table(tmp_path / "t.csv")
    options = (*QUICK, "--models", "LTC-2", "--lr", "30")
    assert main(["bench", "csv", "t.csv", "--target", "y", "--out", "o", *options]) in (0, 2)
    assert "2 of 2 lanes of LTC-2 kept their untrained weights" in capsys.readouterr().out


def test_what_no_training_can_mend_is_not_blamed_on_the_learning_rate(
    plain, error, tmp_path, monkeypatch
):
    write_table(tmp_path / "t.csv")

    def broken(task, model, pack):
        full = np.full((2, task.steps), np.nan, dtype=np.float32)
        return full, full[:, task.steps - task.test :]

    nothing = lambda ready, pack: torch.full((len(pack),), torch.nan)  # noqa: E731
    monkeypatch.setattr(windows.Ready, "error", nothing)
    monkeypatch.setattr(runner, "predict", broken)
    options = (*QUICK, "--models", "LTC-2")
    message = error("bench", "csv", "t.csv", "--target", "y", "--out", "o", *options, output=True)
    assert "no finite number before any training" in message
    assert "training standard deviations" in message


def test_one_lane_diverged_is_shown(plain, capsys, monkeypatch):
    honest = runner.predict

    def astray(task, model, pack):
        carry, reset = honest(task, model, pack)
        carry[1] = np.inf
        return carry, reset

    monkeypatch.setattr(runner, "predict", astray)
    assert main(["bench", "article", *SHORT, "--models", "LTC-2,persistence"]) == 0
    captured = capsys.readouterr()
    assert "1 of 2" in captured.out
    assert captured.err == ""


# --- missing extras ---------------------------------------------------------------------------


@pytest.mark.parametrize("package", ["rich", "matplotlib", "jinja2", "pandas", "scipy"])
def test_an_extra_that_is_missing(plain, capsys, monkeypatch, package):
    for name in list(sys.modules):
        if name.partition(".")[0] == package or name.startswith("torchliquid.bench.report"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    if package == "pandas":
        command = ["csv", str(write_table(Path("t.csv"))), "--target", "y"]
    else:
        command = ["article", "--steps", "60", "--train", "40"]
    models = ["--models", "harmonics"] if package == "scipy" else CLASSICAL
    assert main(["bench", *command, *QUICK, *models, "--lanes", "5"]) == 2
    err = capsys.readouterr().err
    hint = f"is not installed: {install_command('bench')}"
    assert err.splitlines() == [f"torchliquid: error: {package} {hint}"]


@pytest.mark.parametrize("package", ["rich", "matplotlib", "jinja2", "pandas", "scipy"])
def test_info_needs_no_extra(capsys, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["info"]) == 0


def test_a_module_of_ours_that_is_missing_is_a_bug(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchliquid.bench.environment", None)
    with pytest.raises(ModuleNotFoundError):
        main(["info"])


# --- interrupts -------------------------------------------------------------------------------


def test_interrupt(plain, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "job", interrupt)
    assert main(article()) == 130
    captured = capsys.readouterr()
    assert captured.err == ("torchliquid: interrupted; what had finished is kept: call again\n")
    assert captured.out == ""


def test_several_series_from_file_to_page(capsys, tmp_path):
    rng = np.random.default_rng(3)
    lines = ["who,y,a"]
    for who in ("Ann & Co", "<b>", "$x$"):
        wave = np.sin(np.arange(70) / 3) + 0.1 * rng.standard_normal(70)
        lines += [f"{who},{v:.4f},{k % 5}" for k, v in enumerate(wave)]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    given = ["bench", "csv", "t.csv", "--target", "y", "--features", "a", "--out", "o", *QUICK]
    models = ["--models", "LTC-2", "LSTM-2", "persistence"]
    assert main([*given, "--series", "who", "--show-task"]) == 0
    assert "3 identified by who, of 69 to 69 steps, split by time" in capsys.readouterr().out
    assert main([*given, *models, "--series", "who"]) == 0
    said = capsys.readouterr().out
    assert "lowest median test RMSE, state carried, of 3 series:" in said
    page = (tmp_path / "o" / "report.html").read_text()
    assert "Each series by itself" in page
    assert "Ann &amp; Co" in page
    assert "&lt;b&gt;</th>" in page
    series = json.loads((tmp_path / "o" / "summary.json").read_text())["series"]
    assert [row["targets"] for row in series] == [14, 14, 14]


def test_a_split_by_series_needs_series(plain, error, tmp_path):
    write_table(tmp_path / "t.csv")
    message = error("bench", "csv", "t.csv", "--target", "y", "--split", "series")
    assert "--split series needs --series" in message
