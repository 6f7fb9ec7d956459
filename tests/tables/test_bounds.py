"""Tables that are small on disk and huge in memory are refused before they are unpacked."""

import gzip
import zipfile

import numpy as np
import pytest

from torchliquid.errors import TorchliquidError
from torchliquid.tables import _bounds as bounds
from torchliquid.tables import _formats as formats
from torchliquid.tables._formats import read_columns

openpyxl = pytest.importorskip("openpyxl")
pa = pytest.importorskip("pyarrow")


def refused(path, words):
    with pytest.raises(TorchliquidError, match=words) as caught:
        read_columns(path)
    assert "\n" not in str(caught.value)


def sheet(path, cells):
    book = openpyxl.Workbook()
    for place, value in cells.items():
        book.active[place] = value
    book.save(path)
    return path


def test_a_sheet_with_one_far_cell(tmp_path):
    path = sheet(tmp_path / "far.xlsx", {"A1": "a", "B1": "b", "A2": 1, "XFD1048576": 1})
    assert path.stat().st_size < 6000
    refused(path, "has 1,048,576 rows of 16,384 columns, more than 100,000,000 cells")


def test_a_sheet_whose_end_is_only_formatted_is_read(tmp_path):
    book = openpyxl.Workbook()
    for row in (["a", "b"], [1, 2], [3, 4]):
        book.active.append(row)
    book.active["A5000"].number_format = "0.00"
    book.save(tmp_path / "t.xlsx")
    assert [list(column.cells) for column in read_columns(tmp_path / "t.xlsx")] == [[1, 3], [2, 4]]


@pytest.mark.parametrize("kind", ["says so", "lies"])
def test_a_bomb(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(formats, "LARGEST_FILE", 100_000)
    content = b"a,b\n" + b"1,2\n" * 100_000
    packed = bytearray(gzip.compress(content))
    if kind == "lies":
        packed[-4:] = (7).to_bytes(4, "little")
    (tmp_path / "t.csv.gz").write_bytes(packed)
    refused(tmp_path / "t.csv.gz", "unpacks to more than .* GiB")
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t.csv", content)
    refused(tmp_path / "t.zip", "unpacks to more than .* GiB")


def test_more_bytes_than_a_table_may_have(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "LARGEST_FILE", 10)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n")
    refused(tmp_path / "t.csv", "more than 10")


def test_a_text_of_too_many_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(",".join(f"c{k}" for k in range(bounds.WIDEST + 1)) + "\n")
    refused(path, "has 100,001 columns, more than 100,000")


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_more_cells_than_fit(tmp_path, monkeypatch, kind):

    from pyarrow import feather, parquet

    monkeypatch.setattr(bounds, "LARGEST_TABLE", 1000)
    table = pa.table({"a": np.zeros(600), "b": np.zeros(600)})
    path = tmp_path / f"t.{kind}"
    if kind == "parquet":
        parquet.write_table(table, path)
    else:
        feather.write_feather(table, path)
    refused(path, "has 600 rows of 2 columns, more than 1,000 cells")


def test_no_memory_is_said(tmp_path, monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(formats, "read_text", full)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    refused(tmp_path / "t.csv", "does not fit into memory: give fewer rows or columns")
