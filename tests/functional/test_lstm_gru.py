"""LSTM and GRU, written out for packs, against torch's own."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from torchliquid.functional import gru, lstm

NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
SIZES = [(1, 1, 1, 1), (7, 11, 3, 5), (1, 13, 2, 9), (3, 1, 5, 17)]


def agree(got, expected, wanted):
    """Values and the gradients of a random weighing of them agree to 1e-10."""
    seeds = [torch.randn_like(part) for part in expected]
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.shape == theirs.shape
        assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    ours = torch.autograd.grad(got, wanted, seeds)
    theirs = torch.autograd.grad(expected, wanted, seeds)
    for a, b in zip(ours, theirs, strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-10)


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def weights(layer: nn.RNNBase) -> list[torch.Tensor]:
    return [getattr(layer, name) for name in NAMES if hasattr(layer, name)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("B", "L", "I", "H"), SIZES)
def test_lstm_is_torchs(B, L, I, H, bias):
    layer = nn.LSTM(I, H, bias=bias, batch_first=True, dtype=torch.float64)
    x, h0, c0 = leaf(B, L, I), leaf(B, H), leaf(B, H)
    y, (h, c) = lstm(x, h0, c0, *weights(layer))
    y_torch, (h_torch, c_torch) = layer(x, (h0[None], c0[None]))
    agree([y, h, c], [y_torch, h_torch[0], c_torch[0]], [x, h0, c0, *weights(layer)])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("B", "L", "I", "H"), SIZES)
def test_gru_is_torchs(B, L, I, H, bias):
    layer = nn.GRU(I, H, bias=bias, batch_first=True, dtype=torch.float64)
    x, h0 = leaf(B, L, I), leaf(B, H)
    y, h = gru(x, h0, *weights(layer))
    y_torch, h_torch = layer(x, h0[None])
    agree([y, h], [y_torch, h_torch[0]], [x, h0, *weights(layer)])


@pytest.mark.parametrize("cell", [lstm, gru])
def test_lanes_are_the_models_one_by_one(cell):
    S, B, L, I, H = 3, 2, 5, 3, 7
    gates, states = (4, 2) if cell is lstm else (3, 1)
    given = [leaf(S, B, L, I), *(leaf(S, B, H) for _ in range(states))]
    given += [leaf(S, gates * H, I), leaf(S, gates * H, H), leaf(S, gates * H), leaf(S, gates * H)]
    together = cell(*given)[0]
    one_by_one = torch.stack([cell(*(g[s] for g in given))[0] for s in range(S)])
    agree([together], [one_by_one], given)


@pytest.mark.parametrize("cell", [lstm, gru])
@pytest.mark.parametrize("missing", ["bias_ih", "bias_hh"])
def test_one_bias_alone_counts(cell, missing):
    gates, states = (4, 2) if cell is lstm else (3, 1)
    given = [leaf(2, 4, 3), *(leaf(2, 5) for _ in range(states)), leaf(gates * 5, 3)]
    given.append(leaf(gates * 5, 5))
    bias, zero = leaf(gates * 5), torch.zeros(gates * 5, dtype=torch.float64)
    biases = {"bias_ih": bias, "bias_hh": bias}
    got = cell(*given, **(biases | {missing: None}))[0]
    assert_close(got, cell(*given, **(biases | {missing: zero}))[0], rtol=1e-12, atol=1e-12)
