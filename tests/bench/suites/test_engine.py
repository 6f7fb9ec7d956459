"""The engine, and suites on it: workers that die, hang, fail; shards; a real Dask cluster."""

import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from torchliquid.bench.report.suite_answers import headlines, verdict_words
from torchliquid.bench.run.store import Store
from torchliquid.bench.suites import engine
from torchliquid.bench.suites import run_suite as drive
from torchliquid.bench.suites.engine import (
    Outcome,
    attempt,
    in_this_process,
    on_cores,
    on_dask,
    shard,
)
from torchliquid.bench.suites.run_suite import Execution, run_suite, status
from torchliquid.bench.suites.suite import read_suite
from torchliquid.cli import main
from torchliquid.errors import TorchliquidError

OK = functools.partial(Outcome, "ok")
PATIENCE = 900
"""Seconds after which something hangs, however busy the machine is."""
SUITE = """
models = ["LTC-2", "LSTM-2", "ridge-AR", "persistence"]
[protocol]
lanes = 7
epochs = 3
[tasks.article]
steps = 60
train = 40
[tasks.sunspots]
[[contrasts]]
first = "LTC-2"
second = "persistence"
"""


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SUITE)
    return read_suite(path)


def jobs(*calls):
    return {("task", str(k)): call for k, call in enumerate(calls)}


# --- what may become of a job -------------------------------------------------------------------


def test_each_end_is_an_outcome_and_the_others_go_on():
    calls = [OK] * 3 + [
        functools.partial(os._exit, 3),
        functools.partial(time.sleep, 900),
        functools.partial(int, "seven"),
        functools.partial(os.kill, 0, 0),  # returns None, which is no outcome
        *[OK] * 5,
    ]
    found = {int(key[1]): end for key, end in on_cores(jobs(*calls), 2, limit=6.0)}
    assert [found[k] for k in (0, 1, 2, 7, 8, 9, 10, 11)] == [Outcome("ok")] * 8
    assert found[3] == Outcome("crashed", "its process died (out of memory, or killed)")
    assert found[4] == Outcome("timeout", "it took more than 6 s")
    assert found[5].status == "error"
    assert found[5].reason.startswith("ValueError: invalid literal")


def test_in_this_process_an_exception_is_an_outcome_too():
    found = dict(in_this_process(jobs(OK, functools.partial(int, "x"))))
    assert [end.status for end in found.values()] == ["ok", "error"]
    refused = attempt(functools.partial(read_suite, "none.toml"))
    assert refused.status == "error"
    assert "cannot read none.toml" in refused.reason


def test_what_cannot_be_pickled_is_an_error():
    found = dict(on_cores(jobs(lambda: Outcome("ok"), OK), 1))
    assert [end.status for end in found.values()] == ["error", "ok"]


def test_nothing_is_left_when_the_caller_stops():
    calls = jobs(OK, *[functools.partial(time.sleep, 900)] * 3)
    before = set(children_of(os.getpid()))
    ends = on_cores(calls, 2)
    next(ends)
    assert set(children_of(os.getpid())) - before
    ends.close()
    assert not set(children_of(os.getpid())) - before


@pytest.mark.parametrize("many", [1, 2, 3, 5, 9])
def test_shards_are_all_jobs_and_none_twice(many):
    every = jobs(*[OK] * 7)
    parts = [shard(every, f"{k}/{many}") for k in range(1, many + 1)]
    assert sorted(key for part in parts for key in part) == sorted(every)
    assert shard(every, None) == every


@pytest.mark.parametrize("part", ["0/3", "4/3", "1", "a/b", "-1/3", "1/0", "1/2/3"])
def test_no_such_shard(part):
    with pytest.raises(TorchliquidError, match="give i/N"):
        shard(jobs(OK), part)


# --- a suite ------------------------------------------------------------------------------------


def errors_of(suite, out):
    return {
        (name, model): Store.existing(folder).load(model).arrays["test_mse_carry"]
        for name, folder, done, _ in status(suite, out)
        for model in done
    }


def test_processes_give_what_one_gives(suite, tmp_path):
    run_suite(suite, tmp_path / "one", Execution(0))
    result = run_suite(suite, tmp_path / "many", Execution(2))
    one, many = (errors_of(suite, tmp_path / name) for name in ("one", "many"))
    assert set(one) == set(many)
    assert len(one) == 8
    for key, value in one.items():
        np.testing.assert_array_equal(value, many[key])
    assert {m["status"] for t in result["tasks"].values() for m in t["models"].values()} == {"ok"}


def test_a_shard_that_was_killed_goes_on_with_its_own_share(suite, tmp_path):
    def runs(out):
        return {(path.parent.parent.name.partition("-")[0], path.stem)
                for path in out.glob("*/runs/*.safetensors")}  # fmt: skip

    parts = [tmp_path / "1", tmp_path / "2"]
    for k, out in enumerate(parts, start=1):
        run_suite(suite, out, Execution(0, shard=f"{k}/2"))
    shares = [runs(out) for out in parts]
    assert not shares[0] & shares[1]
    lost = sorted(parts[0].glob("*/runs/*.safetensors"))[::2]
    for path in lost:
        path.unlink()  # as if it was killed before
    said = []
    run_suite(suite, parts[0], Execution(0, shard="1/2"), notify=said.append)
    assert len(said) == len(lost)
    assert runs(parts[0]) == shares[0]


def test_verdicts_of_an_unfinished_suite_say_so(suite, tmp_path):
    """Holm counts all planned contrasts, run or not."""
    whole = run_suite(suite, tmp_path / "whole", Execution(0))
    assert not any(row["unfinished"] for row in whole["contrasts"])
    (_, folder, _, _) = status(suite, tmp_path / "whole")[0]
    shutil.rmtree(folder / "runs")

    def stop(*_):
        raise MemoryError

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(drive, "job", stop)
        result = run_suite(suite, tmp_path / "whole", Execution(0))
    (row,) = result["contrasts"]
    (before,) = [r for r in whole["contrasts"] if r["task"] == row["task"]]
    assert row["unfinished"]
    assert row["p_holm"] == pytest.approx(min(1.0, 2 * row["p"]))  # of two, one was run
    assert row["ratio"] == before["ratio"]
    assert "not finished" in headlines(result)[0]
    assert verdict_words(row).endswith("(suite unfinished)")


def test_shards_merge_by_copying(suite, tmp_path):
    whole = run_suite(suite, tmp_path / "whole", Execution(0))
    for k in (1, 2, 3):
        out = tmp_path / f"part{k}"
        found = run_suite(suite, out, Execution(0, shard=f"{k}/3"))
        assert not (out / "suite.json").exists()
        assert any(m["status"] == "missing" for t in found["tasks"].values()
                   for m in t["models"].values())  # fmt: skip
        shutil.copytree(out, tmp_path / "merged", dirs_exist_ok=True)
    said = []
    merged = run_suite(suite, tmp_path / "merged", Execution(0), notify=said.append)
    assert not said  # there was nothing left to do
    assert merged["contrasts"] == whole["contrasts"]
    for key, value in errors_of(suite, tmp_path / "whole").items():
        np.testing.assert_array_equal(value, errors_of(suite, tmp_path / "merged")[key])


def test_a_job_that_is_lost_leaves_its_task_and_is_tried_again(suite, tmp_path, monkeypatch):
    from torchliquid.bench.suites import run_suite as drive

    real = drive.job

    def fail(task, model, *rest):
        if model.name == "LTC-2" and task.is_articles:
            raise MemoryError("no room")
        real(task, model, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(drive, "job", fail)
        result = run_suite(suite, tmp_path / "out", Execution(0))
    article = result["tasks"]["article"]
    assert article["status"] == "incomplete"
    assert article["models"]["LTC-2"] == {"status": "error", "reason": "MemoryError: no room"}
    assert article["models"]["LSTM-2"]["status"] == "ok"
    assert [row["task"] for row in result["contrasts"]] == ["sunspots"]
    assert "LTC-2" not in result["matrix"]["article"]
    again = run_suite(suite, tmp_path / "out", Execution(0))
    assert again["tasks"]["article"]["status"] == "ok"
    assert [row["task"] for row in again["contrasts"]] == ["article", "sunspots"]


def test_lanes_that_diverge_are_said(tmp_path):
    path = tmp_path / "wild.toml"
    path.write_text(SUITE.replace("epochs = 3", "epochs = 30\nlearning_rate = 1e8"))
    result = run_suite(read_suite(path), tmp_path / "out", Execution(0))
    found = result["tasks"]["article"]["models"]
    assert found["LSTM-2"]["status"] == "diverged"
    assert "of 7 lanes" in found["LSTM-2"]["reason"]
    assert result["tasks"]["article"]["status"] == "ok"


@pytest.mark.parametrize("how", ["damaged", "models"])
def test_a_damaged_result_is_made_anew(suite, tmp_path, how):
    run_suite(suite, tmp_path / "out", Execution(0))
    before = errors_of(suite, tmp_path / "out")
    (_, folder, _, _) = status(suite, tmp_path / "out")[1]
    if how == "damaged":
        (folder / "runs" / "LTC-2.safetensors").write_bytes(b"no result")
    else:
        shutil.rmtree(folder / "models" / "LTC-2")
    said = []
    run_suite(suite, tmp_path / "out", Execution(0), notify=said.append)
    assert len(said) == 1
    assert "sunspots, LTC-2: ok" in said[0]
    for key, value in errors_of(suite, tmp_path / "out").items():
        np.testing.assert_array_equal(value, before[key])


def test_a_worker_that_is_killed_is_a_crash(suite, tmp_path):
    """For real: SIGKILL in the middle of a job, to the second worker once the first is replaced."""
    path = tmp_path / "long.toml"
    path.write_text(SUITE.replace("epochs = 3", "epochs = 6000000").replace(
        'models = ["LTC-2", "LSTM-2", "ridge-AR", "persistence"]', 'models = ["LTC-2", "mean"]'
    ).replace("persistence", "mean"))  # fmt: skip
    out = tmp_path / "out"
    command = [sys.executable, "-m", "torchliquid.cli", "bench", "run", str(path), "--out",
               str(out), "--processes", "2", "--no-reports"]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        workers = []
        while len(workers) < 2 or min(map(processor_seconds, workers)) < 4.0:  # past the imports
            assert run.poll() is None
            time.sleep(0.1)
            workers = children_of(run.pid)
        os.kill(workers[0], signal.SIGKILL)
        while not set(children_of(run.pid)) - set(workers):
            assert run.poll() is None
            time.sleep(0.1)
        assert workers[1] in children_of(run.pid)  # at its own job, undisturbed
        os.kill(workers[1], signal.SIGKILL)
        printed, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 2, printed
    assert err.splitlines()[-1].startswith("torchliquid: error: 2 of 2 tasks failed")
    result = json.loads((out / "suite.json").read_text())
    ends = [result["tasks"][task]["models"]["LTC-2"]["status"] for task in result["tasks"]]
    assert ends == ["crashed", "crashed"]
    assert {t["models"]["mean"]["status"] for t in result["tasks"].values()} == {"ok"}


def processor_seconds(pid):
    """What a process has computed so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_of(pid):
    """The workers of a process; read again if a thread or worker ended meanwhile."""
    while Path(f"/proc/{pid}").exists():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            tasks = Path(f"/proc/{pid}/task").iterdir()
            found = [k for task in tasks for k in (task / "children").read_text().split()]
            commands = {int(k): Path(f"/proc/{k}/cmdline").read_bytes() for k in found}
            return [k for k, command in commands.items() if b"spawn_main" in command]
    return []


# --- Dask ---------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path):
    """A scheduler and two workers on loopback, as processes; gives the address and the workers."""
    pytest.importorskip("distributed")
    address = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m"]
    running = [
        subprocess.Popen(
            [
                *dask,
                "distributed.cli.dask_scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--no-dashboard",
                "--scheduler-file",
                str(address),
            ],
            **quiet,
        )
    ]
    while not address.exists():
        assert running[0].poll() is None
        time.sleep(0.1)
    running += [
        subprocess.Popen(
            [
                *dask,
                "distributed.cli.dask_worker",
                "--scheduler-file",
                str(address),
                "--nthreads",
                "1",
                "--no-dashboard",
                "--no-nanny",
                "--host",
                "127.0.0.1",
                "--local-directory",
                str(tmp_path / f"w{k}"),
            ],
            **quiet,
            cwd=tmp_path,  # not the caller's
        )
        for k in range(2)
    ]
    yield json.loads(address.read_text())["address"], running
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.filterwarnings("default")  # of another library's sockets and clocks
def test_on_a_dask_cluster_one_worker_of_which_is_killed(suite, tmp_path, cluster, monkeypatch):
    address, (_, *workers) = cluster
    said = []

    def say(text):
        said.append(text)
        if len(said) == 2:
            workers[0].kill()

    # relative to the caller's working directory, which is not the workers'
    monkeypatch.chdir(tmp_path.parent)
    relative = Path(tmp_path.name) / "dask"
    result = run_suite(suite, relative, Execution(scheduler=address), notify=say)
    assert {m["status"] for t in result["tasks"].values() for m in t["models"].values()} == {"ok"}
    assert len(said) == 8
    assert workers[0].poll() is not None
    run_suite(suite, tmp_path / "one", Execution(0))
    for key, value in errors_of(suite, tmp_path / "one").items():
        np.testing.assert_array_equal(value, errors_of(suite, tmp_path / "dask")[key])


@pytest.mark.filterwarnings("default")
def test_on_dask_errors_and_silence_are_outcomes(cluster):
    address, _ = cluster
    calls = jobs(OK, functools.partial(int, "x"), functools.partial(time.sleep, 900))
    found = {int(key[1]): end.status for key, end in on_dask(calls, address, limit=20.0)}
    assert found == {0: "ok", 1: "error", 2: "timeout"}


@pytest.mark.filterwarnings("default")
def test_a_scheduler_that_dies_is_one_line(cluster):
    address, (scheduler, *_) = cluster
    calls = jobs(OK, *[functools.partial(time.sleep, 900)] * 3)
    ends = on_dask(calls, address)
    assert next(ends)[1] == Outcome("ok")
    scheduler.kill()
    words = f"the scheduler at {address} is gone: start it and call again; 1 of 4 jobs are kept"
    with pytest.raises(TorchliquidError, match=words):
        list(ends)


class FakeClient:
    """A cluster whose workers answer what a test wants."""

    def __init__(self, answers):
        self.answers = answers

    def wait_for_workers(self, count, timeout):
        if not self.answers:
            raise TimeoutError

    def scheduler_info(self):
        return {"workers": self.answers}

    def run(self, function, mark):
        assert Path(mark).exists()  # what workers look for
        if isinstance(self.answers, Exception):
            raise self.answers
        return self.answers


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({}, "there are no workers at tcp://x: start some, `dask worker tcp://x`"),
        ({"a": ({}, True), "b": ({}, False)}, "worker b does not see .*under the same path"),
        (
            {"a": ({"torchliquid": "0.0", "torch": "1.0"}, True)},
            r"worker a has torchliquid 0.0 \(here .*\), torch 1.0 \(here .*\): results would",
        ),
        (
            ModuleNotFoundError("No module named 'torchliquid'"),
            "cannot run torchliquid .*No module",
        ),
    ],
)
def test_workers_are_asked_before_the_first_job(answers, words, tmp_path):
    with pytest.raises(TorchliquidError, match=words):
        engine._check_workers(FakeClient(answers), "tcp://x", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_worker_that_makes_another_task_is_an_error(suite, tmp_path):
    entry = suite.tasks[0]
    outcome = attempt(
        functools.partial(drive._work, entry, suite.protocol, "LTC-2", tmp_path, {"other": 1})
    )
    assert outcome.status == "error"
    assert "makes another task of the suite" in outcome.reason


@pytest.mark.filterwarnings("default")
def test_a_scheduler_that_is_not_there(tmp_path, monkeypatch, capsys):
    from torchliquid.bench.suites import engine

    pytest.importorskip("distributed")
    monkeypatch.setattr(engine, "CONNECTING", 1.0)
    (tmp_path / "s.toml").write_text(SUITE)
    command = ["bench", "run", str(tmp_path / "s.toml"), "--out", str(tmp_path / "out")]
    for address in ("tcp://127.0.0.1:9", "nowhere", ""):
        given = ["--engine", "dask", "--scheduler", address]
        assert main([*command, *given]) == 2
        err = capsys.readouterr().err.splitlines()[-1]
        assert err.startswith("torchliquid: error: no Dask scheduler answers at")
    assert main([*command, "--engine", "dask"]) == 2
    assert "--scheduler ADDRESS go together" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(suite, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(TorchliquidError, match="cannot write to"):
        run_suite(suite, tmp_path / "out", Execution(0))
