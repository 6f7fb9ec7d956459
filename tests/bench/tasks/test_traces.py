"""A folder of arrays as several series."""

import numpy as np
import pytest

from torchliquid.bench.tasks.table_task import table_task
from torchliquid.bench.tasks.traces import read_traces
from torchliquid.errors import TorchliquidError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(6):
        np.save(tmp_path / f"trace_{k}.npy", rng.standard_normal((30 + k, 3)).cumsum(axis=0))
    return tmp_path


def test_columns_and_series(folder):
    series = read_traces(folder, "1", ["all"])
    assert series.columns == ("1", "0", "2")
    assert series.series_names[0] == "trace_0"
    np.testing.assert_array_equal(
        series.values[30:61], np.load(folder / "trace_1.npy")[:, [1, 0, 2]]
    )
    assert read_traces(folder, "2").columns == ("2",)
    task = table_task(series, split="series")
    assert task.spec["series"] == "file"
    assert len(set(task.series_id[: task.train])) == 3


def test_refused(folder, tmp_path):
    with pytest.raises(TorchliquidError, match=r"holds no file \.npy"):
        read_traces(tmp_path / "none", "0")
    for target, features in (("3", []), ("-1", []), ("x", []), ("0", ["7"])):
        with pytest.raises(TorchliquidError, match="give numbers from 0 to 2"):
            read_traces(folder, target, features)
    with pytest.raises(TorchliquidError, match="name one twice"):
        read_traces(folder, "0", ["0"])
    for array, said in ((np.zeros((9, 2)), "has 2 columns"), (np.zeros(9), "expected .T, C."),
                        (np.full((9, 3), np.nan), "not finite"), (np.array([["a"]]), "no array of"),
                        (np.array([[{}]], dtype=object), "no array of")):  # fmt: skip
        np.save(folder / "trace_9.npy", array)
        with pytest.raises(TorchliquidError, match=said):
            read_traces(folder, "0")
    (folder / "trace_9.npy").write_bytes(b"no array")
    with pytest.raises(TorchliquidError, match="no array of numbers"):
        read_traces(folder, "0")
