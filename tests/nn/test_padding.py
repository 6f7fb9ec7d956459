"""Rows of unlike lengths equal the rows one by one, whatever stands in the padding."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

from torchliquid import LTC, SequenceModel, TorchliquidError
from torchliquid.nn import CTRNN, DecayGRU, Resonator

LAYERS = {
    "LTC": LTC,
    "LTC-euler": lambda *a, **k: LTC(*a, solver="euler", dt=0.3, **k),
    "CTRNN": CTRNN,
    "DecayGRU": DecayGRU,
    "Resonator": Resonator,
}
LENGTHS = [3, 7, 1, 7, 5]
B, L, I, H = len(LENGTHS), 7, 2, 3


def drawn(batch_first, filled, width=H):
    x, dt, h0 = torch.randn(B, L, I), torch.rand(B, L) + 0.1, torch.randn(1, B, width)
    for row, many in enumerate(LENGTHS):
        x[row, many:] = filled
        dt[row, many:] = filled if filled == filled else -1.0
    return (x, dt, h0) if batch_first else (x.transpose(0, 1), dt.T, h0)


@pytest.mark.parametrize("filled", [0.0, 1e9, float("nan"), float("inf")])
@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("name", LAYERS)
def test_padded_rows_are_the_rows_alone(name, batch_first, timed, filled):
    layer = LAYERS[name](I, H, batch_first=batch_first)
    x, dt, h0 = drawn(batch_first, filled, layer.state_size)
    x.requires_grad_()
    h0.requires_grad_()
    y, h = layer(x, h0, dt if timed else None, lengths=LENGTHS)
    assert y.shape == (*x.shape[:2], layer.output_size)
    assert h.shape == (1, B, layer.state_size)
    (y.square().sum() + h.sum()).backward()
    found = [p.grad.clone() for p in (*layer.parameters(), x, h0)]
    layer.zero_grad()
    x.grad = h0.grad = None
    total = 0.0
    for row, many in enumerate(LENGTHS):
        own = x[row, :many] if batch_first else x[:many, row]
        time = None if not timed else dt[row, :many] if batch_first else dt[:many, row]
        alone, last = layer(own, h0[:, row], time)
        told = y[row] if batch_first else y[:, row]
        torch.testing.assert_close(told[:many], alone)
        assert (told[many:] == 0).all()
        torch.testing.assert_close(h[:, row], last)
        total = total + alone.square().sum() + last.sum()
    total.backward()
    for one, other in zip(found, (*layer.parameters(), x, h0), strict=True):
        torch.testing.assert_close(one, other.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("how", ["none", "number", "padded", "packed", "packed with a feature"])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("is_sorted", [True, False])
def test_packed_in_packed_out(is_sorted, batch_first, how):
    layer = LTC(I, H, batch_first=batch_first)
    lengths = sorted(LENGTHS, reverse=True) if is_sorted else LENGTHS
    rows = [torch.randn(many, I) for many in lengths]
    gaps = [torch.rand(many) + 0.1 for many in lengths]
    packed = pack_sequence(rows, enforce_sorted=is_sorted)
    padded = nn.utils.rnn.pad_sequence(gaps, batch_first=batch_first)
    dt = {
        "none": None, "number": 0.4, "padded": padded,
        "packed": pack_sequence(gaps, enforce_sorted=is_sorted),
        "packed with a feature": pack_sequence(
            [gap[:, None] for gap in gaps], enforce_sorted=is_sorted
        ),
    }[how]  # fmt: skip
    h0 = torch.randn(1, B, H)
    y, h = layer(packed, h0, dt)
    control, (last, _) = nn.LSTM(I, H, batch_first=batch_first)(packed)
    assert torch.equal(y.batch_sizes, control.batch_sizes)
    assert (y.sorted_indices is None) == (control.sorted_indices is None)
    assert h.shape == last.shape
    states, many = pad_packed_sequence(y, batch_first=True)
    assert many.tolist() == lengths
    for row, gap, told, own, start in zip(rows, gaps, states, h[0], h0[0], strict=True):
        time = {"none": None, "number": 0.4}.get(how, gap)
        alone, end = layer(row, start[None], time)
        torch.testing.assert_close(told[: len(row)], alone)
        torch.testing.assert_close(own, end[0])


def test_padding_is_no_long_step():
    """An explicit solver warns of steps it cannot take: of those that are taken."""
    layer = LTC(I, H, batch_first=True, solver="euler")
    dt = torch.full((B, L), 1e-3)
    layer(torch.randn(B, L, I), dt=dt, lengths=LENGTHS)  # warnings are errors here
    dt[0, LENGTHS[0] :] = 1e6
    layer(torch.randn(B, L, I), dt=dt, lengths=LENGTHS)
    late = torch.ones(B, L, dtype=torch.bool)
    late[0, 1:] = False  # much time, and no sample after it
    layer(torch.randn(B, L, I), dt=dt, observed=late)


@pytest.mark.parametrize("over", [LTC, nn.LSTM])
def test_a_model_reads_out_what_is_packed_or_padded(over):
    model = SequenceModel(over(I, H, batch_first=True), 2)
    x = torch.randn(B, L, I)
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    y, _ = model(packed)
    told, _ = pad_packed_sequence(y, batch_first=True)
    for row, many in enumerate(LENGTHS):
        torch.testing.assert_close(told[row, :many], model(x[row, :many])[0])
    if over is LTC:
        padded, h = model(x, lengths=LENGTHS)
        torch.testing.assert_close(padded[0, :3], told[0, :3])
        torch.testing.assert_close(h, model(packed)[1])


@pytest.mark.parametrize(
    ("lengths", "words"),
    [
        ([1, 2, 3], r"shape \(3,\)"),
        ([0, 1, 1, 1, 1], "0 to 1"),
        ([1, 1, 1, 1, 8], "1 to 8: expected 5 integers from 1 to 7"),
        ([1.0] * B, "float32"),
        ([True] * B, "bool"),
        ("abc", "lengths is 'abc'"),
        (torch.ones(B, 1, dtype=torch.long), "shape"),
    ],
)
def test_bad_lengths_are_said(lengths, words):
    with pytest.raises(TorchliquidError, match=words):
        LTC(I, H, batch_first=True)(torch.randn(B, L, I), lengths=lengths)


def test_other_mistakes_are_said():
    layer = LTC(I, H, batch_first=True)
    with pytest.raises(TorchliquidError, match="batches of rows"):
        layer(torch.randn(L, I), lengths=[3])
    packed = pack_sequence([torch.randn(3, I), torch.randn(2, I)])
    with pytest.raises(TorchliquidError, match="other lengths"):
        layer(packed, dt=pack_sequence([torch.ones(3), torch.ones(3)]))
    with pytest.raises(TorchliquidError, match="2 features"):
        layer(packed, dt=pack_sequence([torch.ones(3, 2), torch.ones(2, 2)]))
    with pytest.raises(TorchliquidError, match="packed already"):
        layer(packed, lengths=[3, 2])
    dt = torch.ones(B, L)
    dt[0, 1] = -1.0  # of a real sample
    with pytest.raises(TorchliquidError, match="dt holds values that are negative"):
        layer(torch.randn(B, L, I), dt=dt, lengths=LENGTHS)


@pytest.mark.parametrize("what", ["dt", "observed"])
@pytest.mark.parametrize("sorted_by_hand", [False, True])
def test_what_is_packed_in_another_order_is_refused(what, sorted_by_hand):
    """Batch sizes are the same, and yet row 1 of one is row 2 of the other."""
    layer = LTC(1, 1)
    x = [torch.ones(1, 1), torch.ones(3, 1)]
    other = [torch.ones(n) > 0 if what == "observed" else torch.ones(n) for n in (1, 3)]
    if sorted_by_hand:
        packed, mine = pack_sequence(x[::-1]), pack_sequence(other, enforce_sorted=False)
    else:
        packed = pack_sequence(x, enforce_sorted=False)
        mine = pack_sequence(other[::-1], enforce_sorted=False)
    with pytest.raises(TorchliquidError, match=f"{what} is packed .*in another order of rows"):
        layer(packed, **{what: mine})
    with pytest.raises(TorchliquidError, match="in another order of rows"):
        SequenceModel(layer, 1)(packed, **{what: mine})
    layer(packed, **{what: pack_sequence(other if not sorted_by_hand else other[::-1], False)})
