"""Models of ncps come over with their numbers: the first table of docs/from-ncps.md, run."""

from pathlib import Path

import pytest
import torch

from torchliquid import TorchliquidError
from torchliquid.nn import NCP, CfC, WiredCfC, from_ncps

from . import parity

pytest.importorskip("ncps")
from ncps import torch as ncps
from ncps import wirings as theirs
from ncps.torch import LTC

H = 6
PAGE = (Path(__file__).parents[2] / "docs/from-ncps.md").read_text()


LINES = [
    line.strip("| ").split(" | ")
    for line in PAGE[PAGE.index("## The same numbers") : PAGE.index("## Speed")].splitlines()
    if line.startswith(("| `LTC`,", "| `CfC`,"))
]
ROWS = {name: numbers for name, *numbers in LINES}


def test_the_table_of_the_page_has_every_case():
    assert list(ROWS) == list(map(parity.named, parity.CASES))


@pytest.mark.parametrize("case", parity.CASES, ids=str)
def test_values_and_gradients_are_those_of_ncps(case):
    """Within ten times what the page says: another processor may round otherwise."""
    said = list(map(float, ROWS[parity.named(case)]))
    found = [d for t in (torch.float64, torch.float32) for d in parity.differences(case, t)]
    assert all(d <= 10 * most for d, most in zip(found, said, strict=True)), (found, said)


@pytest.mark.parametrize("case", parity.CASES, ids=str)
def test_a_state_dict_comes_over_as_its_module(case):
    module = case.make(torch.float32).eval()
    layer = from_ncps(module).eval()
    inner = getattr(layer, "layer", layer)
    options = parity.state_dict_options(inner if isinstance(inner, torch.nn.Module) else layer)
    again = from_ncps(module.state_dict(), **options).eval()
    x = torch.randn(2, 4, parity.INPUTS)
    assert torch.equal(again(x)[0], layer(x)[0])


def test_cells_come_over_without_what_runs_them():
    for module in (ncps.LTC(3, H), ncps.CfC(3, H), ncps.CfC(3, theirs.AutoNCP(8, 2))):
        x = torch.randn(2, 4, 3)
        assert torch.equal(from_ncps(module.rnn_cell)(x)[0], from_ncps(module)(x)[0])


def test_a_wiring_comes_over_with_its_polarities():
    wiring = theirs.NCP(8, 6, 3, 4, 4, 6, 4)
    layer = WiredCfC.from_ncps(ncps.CfC(3, wiring))
    assert (layer.wiring.recurrent == wiring.adjacency_matrix).all()
    assert (layer.wiring.sensory(3) == wiring.sensory_adjacency_matrix).all()
    assert layer.wiring.roles == ("motor",) * 3 + ("command",) * 6 + ("inter",) * 8


def bad_dicts():
    ltc, cfc = LTC(3, H).state_dict(), ncps.CfC(3, H).state_dict()
    wired = ncps.CfC(3, theirs.AutoNCP(8, 2)).state_dict()
    pure = ncps.CfC(3, H, mode="pure").state_dict()
    without = {n: v for n, v in ltc.items() if n != "rnn_cell.cm"}
    yield without, {}, "lacks cm"
    yield ltc | {"rnn_cell.more": ltc["rnn_cell.cm"]}, {}, "has the unexpected more"
    yield (
        {n: v for n, v in cfc.items() if "time_a" not in n},
        {},
        "lacks time_a.bias, time_a.weight",
    )
    yield {n: v for n, v in wired.items() if "layer_2.ff2" not in n}, {}, "lacks layer_2.ff2.bias"
    yield {n: v for n, v in wired.items() if "layer_2" not in n}, {}, "has 2 layers"
    yield torch.nn.LSTM(1, 2).state_dict(), {}, "expected those of ncps.torch.LTC"
    yield {}, {}, "expected those of ncps.torch.LTC"
    yield ltc | {"rnn_cell.cm": torch.ones(2)}, {}, r"cm_l0 have shape \(2,\): expected \(6,\)"
    yield ltc | {"lstm.input_map.bias": torch.ones(2)}, {}, "lacks lstm.input_map.weight"
    yield pure, {"mode": "default"}, "the weights are those of mode 'pure'"
    yield cfc, {"mode": "pure"}, "the weights are those of 'default'"
    yield cfc, {"activation": "sine"}, "activation is 'sine'"
    yield cfc, {"unfolds": 6}, "unfolds plays no part in a CfC"
    yield ltc, {"mode": "default"}, "mode plays no part in an LTC"
    yield wired, {"activation": "tanh"}, "activation plays no part in a CfC with a wiring"


@pytest.mark.parametrize(("held", "options", "said"), list(bad_dicts()))
def test_weights_that_do_not_come_over(held, options, said):
    with pytest.raises(TorchliquidError, match=said):
        from_ncps(held, **options)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: from_ncps(torch.nn.LSTM(1, 2)), "source is a LSTM"),
        (lambda: from_ncps("model.pt"), "source is 'model.pt'"),
        (lambda: from_ncps({"a": 1}), "or its state_dict"),
        (lambda: from_ncps(ncps.CfC(1, 2), mode="pure"), "mode is for a state dict"),
        (lambda: NCP.from_ncps(ncps.CfC(1, 2)), "source becomes a CfC, not a NCP"),
        (lambda: CfC.from_ncps(ncps.CfC(1, theirs.AutoNCP(8, 2))), "becomes a WiredCfC"),
        (lambda: NCP.from_ncps(LTC(1, 4, mixed_memory=True)), "becomes a MixedMemory"),
    ],
)
def test_what_does_not_come_over(make, said):
    with pytest.raises(TorchliquidError, match=said):
        make()
