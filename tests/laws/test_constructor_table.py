"""The table: every constructor argument of nn.LSTM x layout x state x dtype x class.

In each cell of it: shapes, types and order are those of nn.LSTM, given the same arguments by
position; and the numbers are those of the same weights run over one row at a time. nn.LSTM is held
to the same test, as the control. What is left out is printed, with its reason.
"""

import collections
import itertools
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from torchliquid import LTC
from torchliquid.nn import CTRNN, DecayGRU

CLASSES = {"LTC": LTC, "CTRNN": CTRNN, "DecayGRU": DecayGRU, "nn.LSTM": nn.LSTM}
LAYOUTS = ["batch first", "time first", "one row", "packed", "packed unsorted"]
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}
LENGTHS = {"packed": [4, 4, 2, 1], "packed unsorted": [2, 4, 1, 4]}
B, L, I, H, P = 4, 4, 3, 5, 2
ARGUMENTS = list(
    itertools.product([1, 2], [True, False], [0.0, 0.3], [False, True], [0, P])
)  # num_layers, bias, dropout, bidirectional, proj_size
CELLS = len(CLASSES) * len(LAYOUTS) * len(DTYPES) * len(ARGUMENTS) * 2

pytestmark = pytest.mark.filterwarnings(
    "ignore:LSTM with projections is not supported with oneDNN"  # torch's own, of the control
)


def left_out(num_layers, dropout):
    """Why a cell of the table is not run; nothing where it is."""
    if dropout and num_layers == 1:
        return "dropout with one layer: a warning, and nothing to drop (tested by itself)"
    return ""


def parts(state):
    return state if isinstance(state, tuple) else (state,)


def rows_of(layout, x, lengths):
    """The input as a call takes it."""
    if layout == "one row":
        return x[0]
    if layout in LENGTHS:
        is_sorted = layout == "packed"
        return pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=is_sorted)
    return x if layout == "batch first" else x.transpose(0, 1)


def batch_first(layout, y):
    """The output as a batch first one."""
    if isinstance(y, PackedSequence):
        return pad_packed_sequence(y, batch_first=True)[0]
    if layout == "one row":
        return y[None]
    return y if layout == "batch first" else y.transpose(0, 1)


def check(kind, layout, dtype, arguments, stateful):
    num_layers, bias, dropout, bidirectional, proj_size = arguments
    first = layout != "time first"
    given = (I, H, num_layers, bias, first, dropout, bidirectional, proj_size)  # by position
    layer = CLASSES[kind](*given, dtype=dtype).eval()
    control = nn.LSTM(*given, dtype=dtype).eval()
    plain = CLASSES[kind](*given, dtype=dtype).eval()
    plain.load_state_dict(layer.state_dict())
    D = num_layers * (2 if bidirectional else 1)
    x = torch.randn(B, L, I).to(dtype)
    lengths = LENGTHS.get(layout, [L] * B)
    widths = (proj_size or H, H)
    h0, c0 = (torch.randn(D, B, w).to(dtype) for w in widths)
    state = (h0, c0) if kind == "nn.LSTM" else c0  # a liquid state is as wide as c
    one = layout == "one row"
    cut = tuple(t[:, 0] for t in (h0, c0)) if one else (h0, c0)
    start = None if not stateful else cut if kind == "nn.LSTM" else cut[1]
    told = rows_of(layout, x, lengths)
    y, h = layer(told, start)
    like, (like_h, like_c) = control(told, cut if stateful else None)
    if isinstance(like, PackedSequence):
        assert torch.equal(y.batch_sizes, like.batch_sizes)
        assert (y.sorted_indices is None) == (like.sorted_indices is None)
        assert y.data.shape == like.data.shape
        assert y.data.dtype == like.data.dtype
    else:
        assert y.shape == like.shape
        assert y.dtype == like.dtype
    assert [t.shape for t in parts(h)] == [
        t.shape for t in ((like_h, like_c) if kind == "nn.LSTM" else (like_c,))
    ]
    assert all(t.dtype == dtype for t in parts(h))
    close = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 0.05}[dtype]
    y = batch_first(layout, y)
    for b in range(1 if one else B):
        own = tuple(t[:, b] for t in parts(state))
        row, last = plain(
            x[b, : lengths[b]], (own if kind == "nn.LSTM" else own[0]) if stateful else None
        )
        torch.testing.assert_close(y[b, : lengths[b]], row, atol=close, rtol=close)
        for mine, alone in zip(parts(h), parts(last), strict=True):
            mine = mine if one else mine[:, b]
            torch.testing.assert_close(mine, alone, atol=close, rtol=close)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", CLASSES)
def test_the_table(kind, layout, dtype, capsys):
    run, reasons = 0, collections.Counter()
    for arguments, stateful in itertools.product(ARGUMENTS, [False, True]):
        num_layers, _, dropout, _, _ = arguments
        reason = left_out(num_layers, dropout)
        if reason:
            reasons[reason] += 1
            continue
        try:
            check(kind, layout, DTYPES[dtype], arguments, stateful)
        except Exception as error:
            error.add_note(f"{kind}{arguments}, {layout}, {dtype}, stateful {stateful}")
            raise
        run += 1
    assert run + sum(reasons.values()) == CELLS // (len(CLASSES) * len(LAYOUTS) * len(DTYPES))
    with capsys.disabled():
        print(
            f"\n{kind}, {layout}, {dtype}: {run} cells",
            *(f"; left out {n}: {r}" for r, n in reasons.items()),
        )


def test_arguments_stand_where_those_of_nn_lstm_stand():
    """By position and by name; what is a cell's own is keyword-only."""
    import inspect

    theirs = list(inspect.signature(nn.RNNBase.__init__).parameters)[2:-2]
    for kind in (LTC, CTRNN, DecayGRU):
        found = inspect.signature(kind).parameters
        positional = [n for n, p in found.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
        assert positional == theirs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer = LTC(*(I, H, 2, False, True, 0.1, True, 2), device="cpu", dtype=torch.float64)
    assert layer.num_layers == 2
    assert not layer.bias
    assert layer.batch_first
    assert layer.dropout == 0.1
    assert layer.bidirectional
    assert layer.proj_size == 2
