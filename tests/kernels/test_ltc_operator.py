"""The native kernels as operators of torch: schema, fake tensors and autograd, by opcheck."""

import pytest
import torch
from torch.library import opcheck

from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import gated as native_gated
from torchliquid.kernels._bindings import linear as native_linear
from torchliquid.kernels._bindings import ltc as native_ltc

pytestmark = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])
B, L, I, H = 3, 7, 2, 5
LEADS = pytest.mark.parametrize("lead", [(), (4,)], ids=["batch", "pack"])
LAYOUTS = pytest.mark.parametrize("rows", [True, False], ids=["rows", "lanes"])
BIASES = pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])


def learnt(*shape):
    return torch.randn(*shape, dtype=torch.float64).requires_grad_()


@LEADS
@LAYOUTS
@BIASES
@pytest.mark.parametrize("times", [True, False], ids=["times", "one interval"])
@pytest.mark.parametrize("unfolds", [1, 3])
def test_ltc(lead, rows, biased, times, unfolds, monkeypatch):
    monkeypatch.setattr(library, "ROWS", rows)
    dt = torch.rand(*lead, B, L, dtype=torch.float64).requires_grad_() if times else None
    arguments = (
        learnt(*lead, B, L, I),
        learnt(*lead, B, H),
        learnt(*lead, H, I),
        learnt(*lead, H, H),
        learnt(*lead, H) if biased else None,
        torch.rand(*lead, H, dtype=torch.float64).add(0.5).requires_grad_(),
        learnt(*lead, H),
        dt,
    )
    for solver in range(len(native_ltc.SOLVERS)):
        opcheck(torch.ops.torchliquid.ltc, (*arguments, 0.7, solver, unfolds))


@LEADS
@LAYOUTS
@BIASES
@pytest.mark.parametrize("kind", [0, 1], ids=["lstm", "gru"])
def test_gated(lead, rows, biased, kind, monkeypatch):
    monkeypatch.setattr(library, "ROWS", rows)
    gates = 4 - kind
    arguments = (
        kind,
        learnt(*lead, B, L, I),
        learnt(*lead, B, H),
        None if kind else learnt(*lead, B, H),
        learnt(*lead, gates * H, I),
        learnt(*lead, gates * H, H),
        learnt(*lead, gates * H) if biased else None,
        learnt(*lead, gates * H) if biased else None,
    )
    opcheck(native_gated.gated_op, arguments)


@BIASES
@pytest.mark.parametrize("shared_input", [True, False])
def test_linear(shared_input, biased):
    x = learnt(B, L, I) if shared_input else learnt(4, B, L, I)
    arguments = (x, learnt(4, 3, I), learnt(4, 3) if biased else None)
    opcheck(native_linear.linear_op, arguments)


@LAYOUTS
@pytest.mark.parametrize("cell", ["ltc", "gated"])
def test_a_pack_that_shares_its_input(cell, rows, monkeypatch):
    monkeypatch.setattr(library, "ROWS", rows)
    x, h0 = learnt(B, L, I), learnt(4, B, H)
    if cell == "ltc":
        tau = torch.ones(4, H, dtype=torch.float64, requires_grad=True)
        weights = (learnt(4, H, I), learnt(4, H, H), learnt(4, H), tau, learnt(4, H))
        arguments = (x, h0, *weights, None, 0.7, 0, 1)
        opcheck(torch.ops.torchliquid.ltc, arguments)
    else:
        weights = (learnt(4, 4 * H, I), learnt(4, 4 * H, H), learnt(4, 4 * H), learnt(4, 4 * H))
        arguments = (0, x, h0, learnt(4, B, H), *weights)
        opcheck(native_gated.gated_op, arguments)
