"""The store: all rows of a benchmark in one folder. A file is there whole, or not at all.

    FOLDER/task.safetensors        the data, and the settings that all runs share
    FOLDER/runs/MODEL.safetensors  one file a model: a value a lane for each figure, curves, ...
    FOLDER/models/MODEL/lane-000/  the trained models (`torchliquid.load` reads them)

Every file carries a checksum of its content, and says which model and which settings it is of. One
process at a time works in a folder: `hold` it meanwhile.
"""

import contextlib
import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.bench.tasks.task import Task
from torchliquid.errors import TorchliquidError
from torchliquid.files import PART, atomic_write, check_path, check_regular, exists

Arrays = dict[str, NDArray[Any]]

BEFORE, AFTER = 10, 20
"""Samples of a probe (`torchliquid.bench.run.probe`) before the event, and from it on."""
_TASK = "task.safetensors"
_FOLDERS = ("runs", "models", "figures")
_OPTIONAL = ("clean", "observed", "times", "series_id")
"""Arrays that not every task has."""
_NO_FACTS = ("inputs", "targets", "dt", *_OPTIONAL, "dt_scale", "faster")


@dataclasses.dataclass(frozen=True)
class Run:
    """What one model did on a task: facts about it, and arrays whose first axis is mostly lanes.

    ``facts``: kind, description, parameters, bytes, lanes, seconds_per_epoch, threads; of a trained
    model also demo_lane, the lane whose test error is the median.

    ``arrays``, S lanes, T steps, N test steps, E evaluated epochs, scaled like the task:

    - ``train_mse``, ``test_mse_reset``, ``test_mse_carry`` (S,): state from zero, reset at the
      start of the test stretch, carried over; ``..._clean`` the same against the clean target.
    - ``diverged`` (S,) bool.
    - ``series_mse_carry`` (S, K): ``test_mse_carry`` of each of several series.
    - ``valid_time`` (S,): of chaotic series, in Lyapunov times: see
      `torchliquid.bench.run.free_run`.
    - ``shift_NAME`` (V, S): ``test_mse_carry`` under a shift at each of V severities, and of liquid
      models ``shift_tau_NAME``, ``shift_moved_NAME``: see `torchliquid.bench.run.shifting`.
    - ``prediction_carry`` (S, T), ``prediction_reset`` (S, N).
    - trained models: ``curve_epoch`` (E,), ``curve_train``, ``curve_reset``, ``curve_carry``,
      with validation ``curve_valid`` (E, S); ``chosen_epoch`` (S,), where lanes chose one; where
      each lane chose its own time scale ``dt_scale`` (S,), what it multiplies dt by, and, where all
      steps are as long, ``layer_dt`` (S,), the dt of the saved layer.
    - liquid models: see `torchliquid.bench.run.probe.probe`.
    """

    model: str
    facts: dict[str, Any]
    arrays: Arrays

    def shifts(self) -> dict[str, NDArray[Any]]:
        """Test errors ``(V, S)`` under each shift that the model was tested under, by its name."""
        named = {key.removeprefix("shift_"): rows for key, rows in self.arrays.items()
                 if key.startswith("shift_")}  # fmt: skip
        return {k: rows for k, rows in named.items() if not k.startswith(("tau_", "moved_"))}


def holds_results(folder: Path) -> bool:
    """Return whether a folder is one of a benchmark, by its task's name."""
    return exists(folder / _TASK)


class Store:
    """The folder of one benchmark.

    Args:
        folder: made if missing.
        settings: what all runs share (task specification, lanes, seed, epochs, ...), JSON types.
        fresh: whether to throw away what the folder holds.

    Raises:
        TorchliquidError: the folder holds results made with other settings, a damaged file, or
            other files where ours would go.
    """

    def __init__(self, folder: Path, settings: dict[str, Any], *, fresh: bool = False) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))
        try:
            if folder.exists() and not folder.is_dir():
                raise TorchliquidError(f"{folder} is a file: give another `folder`")
            self._check_ours()
            self._sweep()
            if fresh:
                self._clear()
            elif self._task_file.exists():
                self._check_same(self._task_file, _TASK_FACTS)
            (folder / "runs").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TorchliquidError(
                f"cannot write to {folder} ({error.strerror}): give another `folder`"
            ) from error

    @classmethod
    def existing(cls, folder: Path) -> "Store":
        """Open a folder that already holds results, whatever their settings."""
        facts, _ = _read(folder / _TASK, _TASK_FACTS)
        return cls(folder, facts["settings"])

    @classmethod
    def of_worker(cls, folder: Path, settings: dict[str, Any]) -> "Store":
        """The store as the process that started the worker has it, whatever lies there now."""
        store = cls.__new__(cls)
        store.folder, store.settings = folder, json.loads(json.dumps(settings))
        return store

    def save_task(self, task: Task) -> None:
        """Keep the task's data beside the results."""
        facts = {
            f.name: getattr(task, f.name)
            for f in dataclasses.fields(task)
            if f.name not in _NO_FACTS
        }
        arrays: Arrays = {"inputs": task.inputs, "targets": task.targets, "dt": np.asarray(task.dt)}
        for name in _OPTIONAL:
            if getattr(task, name) is not None:
                arrays[name] = getattr(task, name)
        _write(self._task_file, {"settings": self.settings, "task": facts}, arrays)

    def load_task(self) -> Task:
        """The task as `save_task` kept it."""
        facts, arrays = _read(self._task_file, _TASK_FACTS)
        task = facts["task"]
        for old, new in _RENAMED.items():  # results of before the names changed
            for held in (task, arrays):
                if old in held:
                    held[new] = held.pop(old)
        task |= {name: tuple(task.get(name, ())) for name in ("notes", "series_names")}
        task["columns"] = tuple((name, *numbers) for name, *numbers in task.get("columns", ()))
        dt = arrays["dt"]
        task |= {name: arrays.get(name) for name in _OPTIONAL}
        return Task(
            inputs=arrays["inputs"],
            targets=arrays["targets"],
            dt=dt if dt.ndim else float(dt),
            **task,
        )

    def has(self, model: str) -> bool:
        """Whether the model's run is finished."""
        return self._run_file(model).exists()

    def save(self, run: Run) -> None:
        """Keep a finished run."""
        facts = {"settings": self.settings, "model": run.model, "run": run.facts}
        _write(self._run_file(run.model), facts, run.arrays)

    def load(self, model: str) -> Run:
        """A finished run; an error if it was made with other settings."""
        path = self._run_file(model)
        facts, arrays = self._check_same(path, _RUN_FACTS)
        if facts["model"] != model:
            raise TorchliquidError(
                f"{path} holds the run of {facts['model']}: delete it, and the next call makes it "
                "again"
            )
        return Run(model, facts["run"], arrays)

    def drop(self, model: str) -> None:
        """Forget a run, as one whose file is damaged."""
        self._run_file(model).unlink(missing_ok=True)

    def models(self) -> tuple[str, ...]:
        """Names of the models whose runs are finished, in alphabetical order."""
        return tuple(path.stem for path in sorted((self.folder / "runs").glob("*.safetensors")))

    def model_folder(self, model: str) -> Path:
        """Where the trained models of all lanes are."""
        return self.folder / "models" / model

    @property
    def _task_file(self) -> Path:
        return self.folder / _TASK

    def _run_file(self, model: str) -> Path:
        return self.folder / "runs" / f"{model}.safetensors"

    def models_digest(self, model: str) -> str:
        """A hash of the trained models of all lanes, as they lie there; empty where none do."""
        digest, any_model = hashlib.sha256(), False
        folder = self.model_folder(model)
        try:
            for path in sorted(folder.glob("*/*")):
                digest.update(f"{path.relative_to(folder).as_posix()}\0".encode())
                digest.update(path.read_bytes())
                any_model = True
        except OSError:
            return ""  # unreadable counts as missing
        return digest.hexdigest() if any_model else ""

    def has_models(self, run: Run) -> bool:
        """Whether the trained models of a run lie there as it left them."""
        return bool(run.facts.get("models", "") == self.models_digest(run.model))

    def _check_same(self, path: Path, keys: set[str]) -> tuple[dict[str, Any], Arrays]:
        """What a file of ours holds, if it was made with these settings."""
        facts, arrays = _read(path, keys)
        held, asked = _flatten(facts["settings"]), _flatten(self.settings)
        for key in held | asked:
            if held.get(key) != asked.get(key):
                values = f"{key} is {held.get(key)} there, {asked.get(key)} here"
                if key == "task.sha256":
                    values = "of a table with other numbers"
                raise TorchliquidError(
                    f"{self.folder} holds results of another benchmark ({values}): give another "
                    "`folder`, or `fresh` to replace them"
                )
        return facts, arrays

    def _check_ours(self) -> None:
        """Never empty another program's folder of models or figures because ours bear its name."""
        for name in _FOLDERS:
            if (self.folder / name).is_symlink() or (self.folder / name).is_file():
                raise TorchliquidError(
                    f"{self.folder / name} is a link or a file, where a folder of ours goes: give "
                    "another `folder`, or move it"
                )
        if self._task_file.exists() or self.models():
            return
        for name in _FOLDERS:
            if any((self.folder / name).glob("*")):
                raise TorchliquidError(
                    f"{self.folder} has a folder {name!r} that no benchmark made: give another "
                    "`folder`, or move it"
                )

    def _sweep(self) -> None:
        """Drop what writes that were killed left behind."""
        for folder in (self.folder, *(self.folder / name for name in _FOLDERS)):
            for path in folder.glob(".*.part"):
                if re.fullmatch(rf"\..+{PART}", path.name) and path.is_file():
                    path.unlink(missing_ok=True)
        for path in (self.folder / "models").glob(".*.part"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)

    def _clear(self) -> None:
        for name in _FOLDERS:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for name in (_TASK, "summary.json", "report.html"):
            (self.folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep every other run out of a folder; a lock of a process that died counts for nothing.

    Raises:
        TorchliquidError: another process works there, or the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    folder = check_path(folder)
    # reentrant: the command line holds the folder, and `run` does so too
    lock = FileLock(folder / ".lock", timeout=0, is_singleton=True)
    try:
        if folder.exists() and not folder.is_dir():
            raise TorchliquidError(f"{folder} is a file: give another `folder`")
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise TorchliquidError(
            f"another run is at work in {folder}: wait for it, or give another `folder`"
        ) from error
    except OSError as error:
        raise TorchliquidError(
            f"cannot write to {folder} ({error.strerror}): give another `folder`"
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a later run, finds all of it or none of it."""
    try:
        atomic_write(path, content)
    except OSError as error:
        raise TorchliquidError(
            f"cannot write {path} ({error.strerror}): make room, or give another `folder`"
        ) from error


def _write(path: Path, facts: dict[str, Any], arrays: Arrays) -> None:
    from safetensors.numpy import save

    # not np.ascontiguousarray: it makes a number an array of one
    whole = {name: np.asarray(value, order="C") for name, value in arrays.items()}
    text = json.dumps(facts)
    # one key: safetensors writes several in an order that is another one each time
    write_file(path, save(whole, {"facts": f"{_checksum(text, whole)} {text}"}))


_RENAMED = {"member": "series_id", "labels": "series_names"}
_TASK_FACTS, _RUN_FACTS = {"settings", "task"}, {"settings", "model", "run"}


def _read(path: Path, keys: set[str]) -> tuple[dict[str, Any], Arrays]:
    from safetensors import SafetensorError, safe_open

    try:
        check_regular(path)
        with safe_open(path, "numpy") as file:
            metadata = file.metadata()
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        checksum, _, text = metadata["facts"].partition(" ")
        if checksum != _checksum(text, arrays):
            raise SafetensorError("the checksum does not fit")
        facts: dict[str, Any] = json.loads(text)
        if set(facts) != keys:
            raise SafetensorError(f"it holds {sorted(facts)}, not {sorted(keys)}")
    except FileNotFoundError as error:
        raise TorchliquidError(f"{path} is missing: no results there") from error
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise TorchliquidError(
            f"{path} is damaged ({error}): delete it, and the next call makes it again"
        ) from error
    return facts, arrays


def _checksum(text: str, arrays: Arrays) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()


def _flatten(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
