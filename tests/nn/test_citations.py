"""The papers behind a model: every cell has some, every paper belongs to a cell."""

import re

import pytest
from torch import nn

import torchliquid as tl
from torchliquid.nn import CELLS
from torchliquid.nn.citations import PAPERS


def keys(text):
    return re.findall(r"^@\w+\{([\w]+),$", text, re.MULTILINE)


def test_every_cell_has_papers_and_every_paper_a_cell():
    named = [key for cell in CELLS.values() for key in cell.papers]
    assert all(cell.papers for cell in CELLS.values())
    assert set(named) == set(PAPERS)


def test_each_paper_once_whatever_holds_the_layers():
    model = nn.Sequential(
        tl.MixedMemory(tl.NCP(2, 4)), nn.ModuleDict({"a": tl.LTC(4, 3), "b": nn.LSTM(3, 3)})
    )
    assert keys(tl.citations(model)) == [
        "torchliquid", "lechner2020learning", "hasani2021liquid", "lechner2020neural",
        "hochreiter1997long",
    ]  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_entries_are_whole(name):
    layer = CELLS[name].layer
    built = tl.MixedMemory(tl.LTC(2, 6)) if name == "MixedMemory" else layer(2, 6)
    for entry in tl.citations(built).split("\n\n"):
        assert entry.count("{") == entry.count("}")
        assert {"title", "author", "year"} <= set(re.findall(r"^  (\w+) =", entry, re.MULTILINE))


def test_a_subclass_counts_as_its_cell():
    class Mine(tl.LTC):
        pass

    assert "hasani2021liquid" in tl.citations(Mine(1, 2))
    assert keys(tl.citations(nn.Linear(1, 1))) == ["torchliquid"]
    with pytest.raises(tl.TorchliquidError, match="model is a str"):
        tl.citations("LTC")
