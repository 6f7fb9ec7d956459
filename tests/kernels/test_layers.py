"""Layers, directions, times and masks in one native call against the equations, value by value.

The equations (backend ``reference``) know none of it: there, missing samples are sorted out, rows
are reversed and layers run one after another by torch operations.
"""

import itertools

import pytest
import torch

from torchliquid import LTC, Pack, SequenceModel, kernels
from torchliquid.kernels import _library as library
from torchliquid.nn import CTRNN, DecayGRU

if library.find()[0] is None:
    pytest.skip(library.find()[1], allow_module_level=True)

CELLS = {
    "LTC": (LTC, {}),
    "LTC unfolds": (LTC, {"unfolds": 3}),
    "LTC exponential": (LTC, {"solver": "exponential"}),
    "LTC no bias": (LTC, {"bias": False}),
    "CTRNN": (CTRNN, {}),
    "DecayGRU": (DecayGRU, {}),
    "DecayGRU no bias": (DecayGRU, {"bias": False}),
}
SIZES = [(2, 7, 3, 5), (20, 9, 2, 20), (3, 40, 1, 8)]  # rows side by side, lanes, chunks
MASKS = list(itertools.product((None, "samples", "features"), (False, True)))
IDS = [f"{mask or 'all'}{'-lengths' * ragged}" for mask, ragged in MASKS]
CLOSE = {"rtol": 1e-9, "atol": 1e-10}


def batch(B, L, I, mask, ragged):
    """Inputs with NaN wherever nothing may be read."""
    x = torch.randn(B, L, I, dtype=torch.float64)
    observed = lengths = None
    if mask:
        observed = torch.rand(B, L, *((I,) if mask == "features" else ())) < 0.6
        observed[0] = False
        x[~(observed if mask == "features" else observed.unsqueeze(-1).expand_as(x))] = torch.nan
    if ragged:
        lengths = torch.randint(1, L + 1, (B,))
        for row, end in zip(x, lengths, strict=True):
            row[end:] = torch.nan
    return x, lengths, observed


def results(module, batch_first, x, h0, dt, lengths, observed):
    """Output, last state, and the gradients of a random function of both."""

    inputs = [t.clone().requires_grad_() for t in (x, h0, dt) if isinstance(t, torch.Tensor)]
    x, h0, *rest = inputs
    module.zero_grad()
    order = (lambda t: t) if batch_first else (lambda t: t.transpose(-3, -2))
    time = rest[0] if rest else dt
    if rest and not batch_first and time.dim() > 1:
        time = time.transpose(-2, -1)
    seen = observed if batch_first or observed is None else observed.transpose(0, 1)
    y, last = module(order(x), h0, time, lengths, seen)
    y = order(y)
    generator = torch.Generator().manual_seed(1)
    loss = sum(
        (t * torch.randn(t.shape, dtype=t.dtype, generator=generator)).sum() for t in (y, last)
    )
    loss.backward()
    return [y, last, *(t.grad for t in inputs), *(p.grad for p in module.parameters())]


def assert_as_the_equations(monkeypatch, module, *arguments):
    answers, run = [], kernels.try_fast_layers

    def heard(*given):
        answers.append(run(*given))
        return answers[-1]

    with monkeypatch.context() as patch:
        patch.setattr(kernels, "try_fast_layers", heard)
        fast = results(module, *arguments)
    assert answers
    assert answers[-1] is not None, "the short way was not taken"
    with monkeypatch.context() as patch:
        patch.setenv(kernels.VARIABLE, "reference")
        slow = results(module, *arguments)
    for one, other in zip(fast, slow, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


@pytest.mark.parametrize(("mask", "ragged"), MASKS, ids=IDS)
@pytest.mark.parametrize("cell", CELLS)
def test_layers(cell, mask, ragged, monkeypatch):
    make, options = CELLS[cell]
    kinds = itertools.product((1, 2), (False, True))
    for number, (num_layers, bidirectional) in enumerate(kinds):
        B, L, I, H = SIZES[number % len(SIZES)]
        batch_first, timed = number % 2 == 0, number < 3
        layer = make(I, H, num_layers, bidirectional=bidirectional, batch_first=batch_first,
                     dtype=torch.float64, **options)  # fmt: skip
        x, lengths, observed = batch(B, L, I, mask, ragged)
        h0 = torch.randn(num_layers * (1 + bidirectional), B, H, dtype=torch.float64)
        dt = torch.rand(B, L, dtype=torch.float64) + 0.1 if timed else 0.7
        given = (batch_first, x, h0, dt, lengths, observed)
        assert_as_the_equations(monkeypatch, layer, *given)


@pytest.mark.parametrize(("mask", "ragged"), MASKS, ids=IDS)
@pytest.mark.parametrize("lanes", [None, 2])
@pytest.mark.parametrize("cell", ["LTC", "CTRNN", "DecayGRU"])
def test_models_and_packs(cell, lanes, mask, ragged, monkeypatch):
    for number, (B, L, I, H) in enumerate(SIZES):

        def model(_, sizes=(I, H)):
            return SequenceModel(CELLS[cell][0](*sizes, batch_first=True), 2).double()

        module = model(0) if lanes is None else Pack(model, range(lanes))
        x, lengths, observed = batch(B, L, I, mask, ragged)
        lead = () if lanes is None else (lanes,)
        h0 = torch.randn(*lead, 1, B, H, dtype=torch.float64)
        own = lead if number == 1 else ()  # a time for each lane, or one for all
        dt = torch.rand(*own, B, L, dtype=torch.float64) + 0.1
        if number == 2:
            dt, x = dt[0], x.expand(*lead, *x.shape).clone()
        assert_as_the_equations(monkeypatch, module, True, x, h0, dt, lengths, observed)


@pytest.mark.parametrize("cell", ["LTC", "CTRNN", "DecayGRU"])
def test_gradients_of_gradients(cell):
    make, options = CELLS[cell]
    layer = make(2, 3, 2, bidirectional=True, batch_first=True, dtype=torch.float64, **options)
    x, lengths, observed = batch(2, 4, 2, "features", ragged=True)
    dt = torch.rand(2, 4, dtype=torch.float64) + 0.1
    clean = x.nan_to_num().requires_grad_()

    def run(x, dt):
        return layer(x, None, dt, lengths, observed)[0]

    assert torch.autograd.gradcheck(run, (clean, dt.requires_grad_()))
    assert torch.autograd.gradgradcheck(run, (clean, dt))


def test_a_time_for_all_rows_is_the_same_for_each():
    x, dt = torch.randn(4, 6, 2), torch.rand(6) + 0.1
    for layer in (LTC(2, 3, batch_first=True), LTC(2, 3, solver="rk4", batch_first=True)):
        y, last = layer(x, dt=dt)
        expected, last_expected = layer(x, dt=dt.expand(4, 6))
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(last, last_expected)
        y, _ = layer(x, dt=dt, lengths=[6, 2, 3, 1])
        torch.testing.assert_close(y[0], expected[0])
    time_first = LTC(2, 3)
    time_first.load_state_dict(LTC(2, 3).state_dict())
    y, _ = time_first(x.transpose(0, 1), dt=dt)
    torch.testing.assert_close(y, time_first(x.transpose(0, 1), dt=dt[:, None].expand(6, 4))[0])


def test_backward_twice_and_memory_of_a_used_graph():
    layer = CTRNN(2, 3, 2, bidirectional=True, batch_first=True)
    x = torch.randn(3, 5, 2)
    loss = layer(x, dt=torch.rand(3, 5), lengths=torch.tensor([5, 2, 1]))[0].sum()
    loss.backward(retain_graph=True)
    once = [p.grad.clone() for p in layer.parameters()]
    loss.backward()
    for p, grad in zip(layer.parameters(), once, strict=True):
        torch.testing.assert_close(p.grad, 2 * grad)
