"""`torchliquid export`, as a user types it."""

import numpy as np
import pytest

from torchliquid import save
from torchliquid.bench.config import Protocol
from torchliquid.bench.models.registry import find
from torchliquid.bench.run.runner import run as run_benchmark
from torchliquid.bench.tasks.table_task import table_task
from torchliquid.cli import main
from torchliquid.export.verify._host import run
from torchliquid.nn import load
from torchliquid.tables.reader import read_table

from .models import made, opened


def write_table(path, rows=120):
    rng = np.random.default_rng(0)
    wave = 50 + 10 * np.sin(np.arange(rows) / 5)
    lines = [f"{a:.4f},{b:.4f}" for a, b in zip(wave, rng.normal(-4, 2, rows), strict=True)]
    path.write_text("\n".join(["load,wind", *lines]) + "\n")
    return path


def test_a_benchmarks_model_becomes_c_in_the_units_of_the_table(tmp_path, capsys):
    table = write_table(tmp_path / "plant.csv")
    task = table_task(read_table(table, "load", ("wind",)))
    run_benchmark(
        task, ["LTC-3"], Protocol(lanes=2, epochs=3, trials=1), tmp_path / "r", processes=0
    )
    models = tmp_path / "r" / "models" / "LTC-3"
    command = ["export", str(models / "lane-001"), "--out", str(tmp_path / "c"), "--name", "plant"]
    assert main([*command, "--test", str(table)]) == 0
    assert "plant.c" in capsys.readouterr().out
    exported = opened(tmp_path / "c")
    assert exported.facts["inputs"] == ["load", "wind"]
    values = np.loadtxt(table, delimiter=",", skiprows=1, dtype=np.float32)
    told = run(exported, values, np.ones(len(values), dtype=np.float32))[:, 0]
    assert 20 < told.min() < told.max() < 80
    # what the benchmark itself predicted, in the unit of the table
    from torchliquid.bench.run.store import Store

    kept = Store.existing(tmp_path / "r").load("LTC-3").arrays["prediction_carry"][1]
    expected = task.offset + task.scale * kept
    np.testing.assert_allclose(told[: len(expected)], expected, atol=1e-4)
    assert load(models / "lane-000").scaling == find(["LTC-3"])[0].scaling(task)

    assert main(["export", str(models), "--out", str(tmp_path / "d")]) == 2
    assert "holds 2 trained models: give one, such as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dtype", "q4"], "dtype is 'q4'"),
        (["--name", "class"], "a word or a header of C"),
        (["--dt", "0"], "dt is 0"),
        (["--dt", "1", "--variable-dt"], "not allowed with"),
        (["--test", "none.csv"], "does not exist"),
        (["--out", "."], "exists"),
    ],
)
def test_bad_words_are_one_line(words, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(made("ltc"), "model")
    given = ["export", "model", *([] if "--out" in words else ["--out", "c"]), *words]
    assert main(given) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_columns_are_found_by_name_or_by_order(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(made("gru"), "model")
    (tmp_path / "two.csv").write_text("a,b\n1,2\n3,4\n")
    assert main(["export", "model", "--out", "c", "--test", "two.csv"]) == 0
    (tmp_path / "three.csv").write_text("a,b,c\n1,2,3\n3,4,5\n")
    assert main(["export", "model", "--out", "d", "--test", "three.csv"]) == 2
    assert "has no column 'input 0'" in capsys.readouterr().err
    capsys.readouterr()
    assert main(["export", "model", "--out", "q", "--dtype", "q8"]) == 0
    assert "note: without --calibrate inputs are assumed" in capsys.readouterr().out
    command = ["export", "model", "--out", "r", "--dtype", "q8", "--calibrate", "two.csv"]
    assert main(command) == 0
    assert "note" not in capsys.readouterr().out
    damaged = next((tmp_path / "model").glob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert main(["export", "model", "--out", "e"]) == 2
    assert "damaged" in capsys.readouterr().err
