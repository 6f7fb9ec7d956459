"""Result folders: nothing is believed that is not what it says, nobody else's is touched."""

import errno
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from torchliquid.bench.config import Protocol
from torchliquid.bench.run import processes, runner
from torchliquid.bench.run.runner import run
from torchliquid.bench.run.store import Store, lock_folder
from torchliquid.cli import main
from torchliquid.errors import TorchliquidError

PROTOCOL = Protocol(lanes=3, epochs=3)
MODELS = ("LTC-2", "LSTM-2", "persistence")


def go(task, folder, models=MODELS, **options):
    said = []
    store = run(task, models, PROTOCOL, folder, processes=0, notify=said.append, **options)
    return store, said


@pytest.fixture
def done(tmp_path, small):
    """A finished folder."""
    go(small(), tmp_path)
    return tmp_path


def refusal(small, folder, **options):
    with pytest.raises(TorchliquidError) as caught:
        go(small(), folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# A run file is believed only under its name


def test_exchanged_run_files(done, small):
    one, other = (done / "runs" / f"{name}.safetensors" for name in ("LTC-2", "LSTM-2"))
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)
    message = refusal(small, done)
    assert "LTC-2.safetensors holds the run of LSTM-2" in message
    assert "delete it, and the next call makes it again" in message


def test_a_copy_under_another_name(done):
    shutil.copy(done / "runs/LTC-2.safetensors", done / "runs/ANYTHING.safetensors")
    with pytest.raises(TorchliquidError, match=r"ANYTHING.* holds the run of LTC-2"):
        Store.existing(done).load("ANYTHING")


@pytest.mark.parametrize("exchange", [("task", "runs/LTC-2"), ("runs/LTC-2", "task")])
def test_task_and_run_file_exchanged(done, small, exchange):
    source, target = (done / f"{name}.safetensors" for name in exchange)
    shutil.copy(source, target)
    assert "is damaged" in refusal(small, done)


# Settings are those that the run was started with


def test_a_worker_does_not_read_its_settings_from_the_folder(done, small):
    """Another run has taken the folder meanwhile: the row says whose it is."""
    mine = {"task": {"mine": True}}
    store = Store.of_worker(done, mine)
    runner.job(small(), runner.find(["LTC-3"])[0], PROTOCOL, store, lambda epoch: None)
    with pytest.raises(TorchliquidError, match="results of another benchmark"):
        Store.existing(done).load("LTC-3")


HOLDER = """
import sys, time
from pathlib import Path
from torchliquid.bench.run.store import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(900)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that works in the folder."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_two_runs_do_not_share_a_folder(tmp_path, small, holder):
    message = refusal(small, tmp_path, fresh=True)
    assert "another run is at work" in message
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    holder.kill()
    holder.wait()
    go(small(), tmp_path)  # a lock of a dead process counts for nothing


def test_the_command_line_says_so_too(tmp_path, holder, capsys):
    command = ["bench", "sunspots", "--models", "persistence", "--out", str(tmp_path)]
    assert main(command) == 2
    assert "another run is at work" in capsys.readouterr().err


def test_holding_twice_in_one_process(tmp_path, small):
    with lock_folder(tmp_path):
        go(small(), tmp_path)
    go(small(), tmp_path)


# Links, and what writes left behind


@pytest.mark.parametrize("name", ["figures", "models", "runs"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_link_is_not_followed(done, small, tmp_path_factory, name, fresh):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "precious.svg").write_text("mine")
    shutil.rmtree(done / name, ignore_errors=True)
    (done / name).symlink_to(elsewhere)
    assert f"{name} is a link" in refusal(small, done, fresh=fresh)
    assert [path.name for path in elsewhere.iterdir()] == ["precious.svg"]


def test_a_link_where_a_model_goes_is_replaced(done, small, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "precious.svg").write_text("mine")
    shutil.rmtree(done / "models/LTC-2")
    (done / "models/LTC-2").symlink_to(elsewhere)
    _, said = go(small(), done)
    assert any("LTC-2 are damaged or missing: made again" in text for text in said)
    assert (elsewhere / "precious.svg").read_text() == "mine"
    assert not (done / "models/LTC-2").is_symlink()


@pytest.mark.parametrize("fresh", [False, True])
def test_remains_of_killed_writes_are_swept(done, small, fresh):
    for name in (".report.html.1.part", ".task.safetensors.1.part", "runs/.X.1.part"):
        (done / name).write_text("remains")
    (done / "models/.LTC-9.part/lane-000").mkdir(parents=True)
    (done / ".mine.part").write_text("not ours")
    go(small(), done, fresh=fresh)
    assert [p.name for p in done.rglob("*.part")] == [".mine.part"]


def test_odd_things_where_figures_go(done, capsys, monkeypatch):
    monkeypatch.chdir(done)
    command = ["bench", "sunspots", "--models", "persistence", "--lanes", "2", "--out", "out"]
    (done / "out/figures").mkdir(parents=True)
    assert main(command) == 0
    (done / "out/figures/old.svg").mkdir()
    (done / "out/figures/stale.svg").write_text("stale")
    assert main(command) == 0
    assert (done / "out/figures/old.svg").is_dir()
    assert not (done / "out/figures/stale.svg").exists()
    shutil.rmtree(done / "out/figures")
    (done / "out/figures").write_text("a file")
    assert main(command) == 2
    assert "figures is a link or a file" in capsys.readouterr().err


# Trained models


def spoil_weights(lane):
    (file,) = lane.glob("weights-*")
    file.write_bytes(b"")


SPOILS = {
    "weights emptied": spoil_weights,
    "a lane deleted": shutil.rmtree,
    "a configuration deleted": lambda lane: (lane / "config.json").unlink(),
    "a configuration changed": lambda lane: (lane / "config.json").write_text("{}"),
    "all deleted": lambda lane: shutil.rmtree(lane.parent),
    "a file more": lambda lane: (lane / "more").write_text("more"),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_damaged_models_are_made_anew(done, small, spoil):
    before = {p: p.read_bytes() for p in (done / "models").rglob("*") if p.is_file()}
    SPOILS[spoil](done / "models/LTC-2/lane-001")
    _, said = go(small(), done)
    assert [text for text in said if "made again" in text] == [
        "note: trained models of LTC-2 are damaged or missing: made again"
    ]
    assert {p: p.read_bytes() for p in (done / "models").rglob("*") if p.is_file()} == before
    _, said = go(small(), done)
    assert not any("made again" in text for text in said)


def test_a_full_disk_while_models_are_saved(tmp_path, small, monkeypatch):
    honest = Path.write_bytes

    def full(path, content):
        if "lane-001" in str(path):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return honest(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert "No space left on device" in refusal(small, tmp_path)
    monkeypatch.undo()
    go(small(), tmp_path)
    assert not list(tmp_path.rglob("*.part"))


# A machine without what it takes


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_without_shared_memory_this_process_does_it_all(tmp_path, small, monkeypatch, code):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(processes, "ProcessPoolExecutor", refuse)
    said = []
    store = run(small(), MODELS, PROTOCOL, tmp_path, processes=2, notify=said.append)
    assert set(store.models()) == set(MODELS)
    assert "no shared memory for worker processes" in said[0]
    assert not multiprocessing.active_children()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_standard_output_is_one_line(tmp_path):
    command = [sys.executable, "-m", "torchliquid.cli", "bench", "sunspots", "--models"]
    command += ["persistence", "--lanes", "2", "--processes", "0", "--out", str(tmp_path / "out")]
    for arguments in (command, [*command[:3], "info"], [*command, "--show-task"]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2
        assert done.stderr == (
            "torchliquid: error: cannot write the output (No space left on device)\n"
        )


def test_control_characters_reach_neither_terminal_nor_page(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "te\x1b[31mmp\x07"
    rows = [f"{i % 7 + i / 50}" for i in range(80)]
    Path("t.csv").write_text("\n".join([name, *rows]) + "\n")
    command = ["bench", "csv", "t.csv", "--target", name, "--models", "LTC-2,persistence"]
    command += ["--lanes", "2", "--epochs", "2", "--processes", "0", "--out", "out"]
    assert main(command) == 0
    captured = capsys.readouterr()
    pages = [p.read_text() for p in Path("out").rglob("*") if p.suffix in (".html", ".svg")]
    assert len(pages) > 2
    for text in (captured.out, captured.err, *pages):
        assert "\x1b" not in text
        assert "\x07" not in text
    assert main(["bench", "csv", "t.csv", "--target", "a\x1b[31m"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_table_of_a_hundred_thousand_columns(tmp_path):
    from torchliquid.tables.reader import read_table

    count = 100_000
    lines = [",".join(f"c{i}" for i in range(count)), *(",".join(["1.5"] * count),) * 3]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    start = time.process_time()
    assert read_table(tmp_path / "t.csv", "c99999").values.shape == (3, 1)
    assert time.process_time() - start < 60
