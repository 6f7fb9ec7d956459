"""The store: a file whole or not at all, damage found, nobody's results mixed or thrown away."""

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from torchliquid.bench.run.store import Run, Store, write_file
from torchliquid.errors import TorchliquidError

SETTINGS = {"task": {"task": "article", "sigma": 0.05}, "protocol": {"lanes": 3, "seed": 0}}


def a_run(model="LTC-2", lanes=3):
    rng = np.random.default_rng(4)
    facts = {"kind": "liquid", "parameters": 15, "seconds_per_epoch": None, "lanes": lanes,
             "demo_events": [{"step": 6, "kind": "jump", "size": 1.5}]}  # fmt: skip
    arrays = {
        "train_mse": rng.random(lanes),
        "diverged": np.array([False, True, False]),
        "prediction_carry": rng.random((lanes, 60)).astype(np.float32),
        "curve_epoch": np.arange(5),
        "test_mse_carry": np.array([np.inf, np.nan, 1.0]),
        "turned": np.asfortranarray(rng.random((4, 3))),
    }
    return Run(model, facts, arrays)


def error_of(action, *arguments, **named):
    with pytest.raises(TorchliquidError) as caught:
        action(*arguments, **named)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def held(tmp_path, small):
    """A store with a task and one run."""
    store = Store(tmp_path / "out", SETTINGS)
    store.save_task(small())
    store.save(a_run())
    return store


# --- round trip -------------------------------------------------------------------------------


def test_run_comes_back_as_it_was(held):
    run, found = a_run(), held.load("LTC-2")
    assert (found.model, found.facts) == (run.model, run.facts)
    assert found.arrays.keys() == run.arrays.keys()
    for name, value in run.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], value, err_msg=name)
        assert found.arrays[name].dtype == value.dtype


@pytest.mark.parametrize("kind", ["small", "table"])
def test_task_comes_back_as_it_was(tmp_path, request, kind):
    task = request.getfixturevalue(kind)(**({"notes": ("a", "b")} if kind == "table" else {}))
    store = Store(tmp_path, SETTINGS)
    store.save_task(task)
    found = Store.existing(tmp_path).load_task()
    for name in ("name", "spec", "train", "valid", "window", "offset", "scale", "unit", "notes"):
        assert getattr(found, name) == getattr(task, name), name
    np.testing.assert_array_equal(found.inputs, task.inputs)
    np.testing.assert_array_equal(found.targets, task.targets)
    assert type(found.dt) is type(task.dt)
    np.testing.assert_array_equal(found.dt, task.dt)
    if task.clean is None:
        assert found.clean is None
    else:
        np.testing.assert_array_equal(found.clean, task.clean)


def test_names_of_finished_models(held):
    held.save(a_run("LTC-8-euler"))
    held.save(a_run("ridge-AR"))
    assert set(held.models()) == {"LTC-2", "LTC-8-euler", "ridge-AR"}
    assert held.has("ridge-AR")
    assert not held.has("LTC-8")


def test_a_second_opening_finds_what_is_there(held):
    again = Store(held.folder, json.loads(json.dumps(SETTINGS)))
    assert again.models() == ("LTC-2",)
    assert Store.existing(held.folder).settings == SETTINGS


# --- whole or not at all ----------------------------------------------------------------------


def leftovers(folder):
    return [path for path in folder.rglob("*") if ".part" in path.name]


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_a_write_that_fails_leaves_the_old_file(held, monkeypatch, step):
    file = held.folder / "runs" / "LTC-2.safetensors"
    before = file.read_bytes()
    honest = Path.write_bytes

    def fail(path, content):
        if step == "write_bytes":
            honest(path, content[: len(content) // 2])  # the disk is full half way through
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, step, fail)
    message = error_of(held.save, Run("LTC-2", {"new": True}, {"x": np.zeros(1000)}))
    assert str(file) in message
    assert "No space left on device" in message
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert held.load("LTC-2").facts == a_run().facts
    assert not leftovers(held.folder)


def test_a_write_that_is_killed_half_way_is_no_result(held, monkeypatch):
    class Killed(BaseException):
        pass

    def die(path, content):
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise Killed

    monkeypatch.setattr(Path, "write_bytes", die)
    with pytest.raises(Killed):
        held.save(a_run("LSTM-2"))
    monkeypatch.undo()
    assert not held.has("LSTM-2")
    assert Store(held.folder, SETTINGS).models() == ("LTC-2",)


def test_write_whole_replaces(tmp_path):
    write_file(tmp_path / "a.json", b"one, and longer")
    write_file(tmp_path / "a.json", b"two")
    assert (tmp_path / "a.json").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


# --- damage -----------------------------------------------------------------------------------


def damaged(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("share", [0.0, 0.001, 0.05, 0.5, 0.999])
def test_truncated_file(held, share):
    file = held.folder / "runs" / "LTC-2.safetensors"
    whole = file.read_bytes()
    damaged(file, whole[: int(share * len(whole))])
    message = error_of(held.load, "LTC-2")
    assert f"{file} is damaged" in message
    assert "delete it" in message


def test_any_flipped_byte_is_found(held):
    file = held.folder / "runs" / "LTC-2.safetensors"
    whole = file.read_bytes()
    for place in [*range(0, len(whole), 7), len(whole) - 1]:
        content = bytearray(whole)
        content[place] ^= 0x10
        damaged(file, bytes(content))
        assert "LTC-2.safetensors is damaged" in error_of(held.load, "LTC-2"), place
    damaged(file, whole)
    held.load("LTC-2")


def test_a_file_of_another_program(held):
    from safetensors.numpy import save

    file = damaged(held.folder / "runs" / "LTC-2.safetensors", save({"x": np.zeros(3)}))
    assert f"{file} is damaged" in error_of(held.load, "LTC-2")
    damaged(file, b"<html>" * 50)
    assert f"{file} is damaged" in error_of(held.load, "LTC-2")


def test_damaged_task_file(held):
    file = held.folder / "task.safetensors"
    damaged(file, file.read_bytes()[:-1])
    assert f"{file} is damaged" in error_of(Store, held.folder, SETTINGS)
    # deleting it, as the message says, loses no finished run
    file.unlink()
    assert Store(held.folder, SETTINGS).load("LTC-2").facts == a_run().facts


def test_missing_run(held):
    assert "GRU-2.safetensors is missing" in error_of(held.load, "GRU-2")
    assert "is missing" in error_of(Store.existing, held.folder / "nowhere")


# --- other settings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"task": {"task": "article", "sigma": 0.1}}, "task.sigma is 0.05 there, 0.1 here"),
        ({"task": {"task": "table"}}, "task.task is article there, table here"),
        ({"protocol": {"lanes": 4, "seed": 0}}, "protocol.lanes is 3 there, 4 here"),
        ({"protocol": {"lanes": 3}}, "protocol.seed is 0 there, None here"),
        ({"extra": 1}, "extra is None there, 1 here"),
    ],
)
def test_results_of_another_benchmark(held, change, named):
    message = error_of(Store, held.folder, SETTINGS | change)
    assert named in message
    assert "another `folder`" in message
    assert "`fresh`" in message
    assert held.load("LTC-2").facts == a_run().facts  # and nothing was lost


def test_lists_and_tuples_are_the_same_settings(tmp_path, small):
    Store(tmp_path, {"sines": ((1.0, 2.0),)}).save_task(small())
    Store(tmp_path, {"sines": [[1.0, 2.0]]})
    assert "sines" in error_of(Store, tmp_path, {"sines": [[1.0, 2.5]]})


def test_runs_of_another_benchmark_are_not_mixed_in(held, small):
    (held.folder / "task.safetensors").unlink()
    other = Store(held.folder, SETTINGS | {"protocol": {"lanes": 3, "seed": 9}})
    other.save_task(small())
    assert "protocol.seed is 0 there, 9 here" in error_of(other.load, "LTC-2")


# --- fresh ------------------------------------------------------------------------------------


def test_fresh_throws_away_our_files_alone(held):
    folder = held.folder
    for name in ("summary.json", "report.html", "notes.txt"):
        (folder / name).write_text("x")
    for name in ("models/LTC-2/lane-000", "figures", "mine"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("x")
    again = Store(folder, SETTINGS | {"extra": 1}, fresh=True)
    assert again.models() == ()
    left = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
    assert left == ["mine/file", "notes.txt"]


def test_fresh_mends_a_damaged_store(held):
    damaged(held.folder / "task.safetensors", b"")
    assert Store(held.folder, SETTINGS, fresh=True).models() == ()


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("name", ["models", "figures", "runs"])
def test_somebodys_own_folders_are_left_alone(tmp_path, name, fresh):
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious.svg").write_text("x")
    message = error_of(Store, tmp_path, SETTINGS, fresh=fresh)
    assert str(tmp_path) in message
    assert name in message
    assert "another `folder`" in message
    assert (tmp_path / name / "precious.svg").read_text() == "x"


def test_a_folder_with_other_files_will_do(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "models").mkdir()
    Store(tmp_path, SETTINGS)


# --- folders that cannot be -------------------------------------------------------------------


@pytest.mark.parametrize("fresh", [False, True])
def test_folder_is_a_file(tmp_path, fresh):
    file = tmp_path / "out"
    file.write_text("mine")
    message = error_of(Store, file, SETTINGS, fresh=fresh)
    assert f"{file} is a file" in message
    assert "another `folder`" in message
    assert file.read_text() == "mine"


@pytest.mark.parametrize("below", ["file/out", "file/a/b", "n" * 300])
def test_folder_cannot_be_made(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    message = error_of(Store, tmp_path / below, SETTINGS)
    assert str(tmp_path / below) in message
    assert "give another `folder`" in message


def test_folder_that_vanished_while_training(held):
    shutil.rmtree(held.folder)
    message = error_of(held.save, a_run())
    assert "LTC-2.safetensors" in message
    assert "No such file or directory" in message
