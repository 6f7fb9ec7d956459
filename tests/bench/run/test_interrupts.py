"""Ctrl-C and kill -9 on the real program: what had finished is kept, and nobody is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import torchliquid.bench.report
from torchliquid.bench.run.processes import interrupts_blocked
from torchliquid.cli import main
from torchliquid.signals import signals_kept

MODELS = "persistence,LSTM-2"
INTERRUPTED = "torchliquid: interrupted; what had finished is kept: call again\n"


def arguments(out, processes):
    return ["bench", "article", "--lanes", "2", "--epochs", "50000", "--models", MODELS, "--steps",
            "60", "--train", "40", "--processes", str(processes), "--out", str(out)]  # fmt: skip


@pytest.fixture
def program():
    """Starts the program in a session of its own, as a terminal does, with one worker."""
    started = []

    def start(out):
        command = [sys.executable, "-m", "torchliquid.cli", *arguments(out, processes=1)]
        pipe = subprocess.PIPE
        started.append(
            subprocess.Popen(command, start_new_session=True, stdout=pipe, stderr=pipe, text=True)
        )
        return started[-1]

    yield start
    for process in started:
        for pid in alive(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()


PATIENCE = 900
"""Seconds after which something hangs, however busy the machine is."""


def wait_for(what, true):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, f"there was no {what}"
        time.sleep(0.005)


def alive(session):
    """Processes of a session that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, *fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def resume(monkeypatch, capsys):
    """The next call: without workers, and with a report that costs nothing."""

    def call(out):
        monkeypatch.setattr(
            torchliquid.bench.report, "write_report", lambda store, _: store.folder / "r"
        )
        code = main(arguments(out, processes=0))
        return code, capsys.readouterr().err

    return call


def check_resumed(out, resume):
    persistence = out / "runs" / "persistence.safetensors"
    before = persistence.read_bytes(), persistence.stat().st_mtime_ns
    assert resume(out) == (0, "")
    assert (persistence.read_bytes(), persistence.stat().st_mtime_ns) == before
    assert (out / "runs" / "LSTM-2.safetensors").exists()
    assert (out / "summary.json").exists()


def test_kill_in_the_middle(tmp_path, resume, program):
    out = tmp_path / "out"
    process = program(out)
    wait_for("first result", (out / "runs" / "persistence.safetensors").exists)
    assert len(alive(process.pid)) >= 2  # the program and its worker
    process.kill()
    process.wait()
    assert not (out / "runs" / "LSTM-2.safetensors").exists()
    wait_for("end of the workers", lambda: not alive(process.pid))
    assert not (out / "runs" / "LSTM-2.safetensors").exists()
    check_resumed(out, resume)


def interrupt(process):
    """Ctrl-C: every process of the terminal hears of it."""
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stdout, stderr) == (130, "", INTERRUPTED)
    wait_for("end of the workers", lambda: not alive(process.pid))


def test_interrupt_in_the_middle(tmp_path, resume, program):
    out = tmp_path / "out"
    process = program(out)
    wait_for("first result", (out / "runs" / "persistence.safetensors").exists)
    interrupt(process)
    assert [path.name for path in (out / "runs").iterdir()] == ["persistence.safetensors"]
    check_resumed(out, resume)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_told_to_end(tmp_path, resume, program, number):
    out = tmp_path / "out"
    process = program(out)
    wait_for("first result", (out / "runs" / "persistence.safetensors").exists)
    os.kill(process.pid, number)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number
    assert (stdout, stderr) == ("", INTERRUPTED.replace("interrupted", "terminated"))
    wait_for("end of the workers", lambda: not alive(process.pid))
    check_resumed(out, resume)


def test_interrupt_while_the_workers_start(tmp_path, program):
    process = program(tmp_path / "out")
    wait_for("worker", lambda: len(alive(process.pid)) >= 3)  # beside it, a resource tracker
    time.sleep(0.2)  # in the middle of its imports
    interrupt(process)
    assert not list((tmp_path / "out" / "runs").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(24))
def test_interrupt_at_any_moment(tmp_path, program, moment):
    process = program(tmp_path / "out")
    wait_for("worker", lambda: len(alive(process.pid)) >= 2)
    time.sleep(moment / 20)
    interrupt(process)


def test_a_signal_waits_until_it_is_answered():
    # another thread takes what this one blocks, and Python would raise it here all the same
    other = threading.Thread(target=time.sleep, args=(0.3,))
    other.start()
    with signals_kept() as answer:
        with interrupts_blocked():
            answer()
            os.kill(os.getpid(), signal.SIGINT)
            other.join()
        with pytest.raises(KeyboardInterrupt):
            answer()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_comes_last_is_not_lost():
    reached = []

    def keep():
        with signals_kept():
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        keep()
    assert reached
