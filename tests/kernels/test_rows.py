"""Both layouts of the native kernels, whatever `library.in_rows` would choose, at odd sizes."""

import pytest
import torch

from torchliquid import LTC, Pack, SequenceModel, functional, kernels
from torchliquid.functional._projection import project
from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import gated as native_gated
from torchliquid.kernels._bindings import ltc as native_ltc

pytestmark = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])
SIZES = [
    (0, 1, 20, 1, 8),
    (0, 3, 33, 5, 8),
    (0, 7, 9, 2, 19),
    (0, 5, 40, 3, 64),
    (0, 1, 5, 1, 1),
    (3, 2, 17, 1, 5),
    (9, 1, 40, 2, 16),
    (2, 3, 20, 3, 33),
]
"""S (0: no pack), B, L, I, H."""
DTYPES = [(torch.float32, 3e-5), (torch.float64, 1e-11)]


def draws(sizes, dtype):
    lead = sizes[:1] if sizes[0] else ()
    return lambda *shape: torch.randn(*lead, *shape, dtype=dtype)


def found(run, arguments):
    given = [a.clone().requires_grad_() if isinstance(a, torch.Tensor) else a for a in arguments]
    outputs = run(*given)
    sum(y.square().sum() for y in outputs).backward()
    return [y.detach() for y in outputs] + [a.grad for a in given if isinstance(a, torch.Tensor)]


def flat(module, cell):
    """The cell's function in `module`, its outputs in one tuple."""

    def run(*given):
        y, last = getattr(module, cell)(*given)
        return (y, *last) if cell == "lstm" else (y, last)

    return run


def hold_equal(run, truth, arguments, tolerance, monkeypatch, layouts=(True, False)):
    double = [a.double() if isinstance(a, torch.Tensor) else a for a in arguments]
    right = found(truth, double)
    for rows in layouts:
        monkeypatch.setattr(library, "ROWS", rows)
        for ours, theirs in zip(found(run, arguments), right, strict=True):
            scale = max(float(theirs.abs().max()), 1.0)
            torch.testing.assert_close(
                ours.double() / scale, theirs / scale, rtol=0, atol=tolerance
            )


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("times", [True, False], ids=["times", "one interval"])
@pytest.mark.parametrize("unfolds", [1, 3])
@pytest.mark.parametrize("solver", native_ltc.SOLVERS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_ltc(sizes, solver, unfolds, times, dtype, tolerance, monkeypatch):
    _, B, L, I, H = sizes
    draw = draws(sizes, dtype)
    dt = draw(B, L).abs() + 0.1 if times else 0.3
    arguments = [draw(B, L, I), draw(B, H), draw(H, I) / 2, draw(H, H) / H**0.5, draw(H)]
    arguments += [draw(H).exp(), draw(H), dt]

    def run(*given):
        return native_ltc.ltc(*given, solver, unfolds)

    def truth(*given):
        return functional.ltc(*given, solver, unfolds)

    hold_equal(run, truth, arguments, tolerance, monkeypatch)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_gated(sizes, cell, biased, dtype, tolerance, monkeypatch):
    _, B, L, I, H = sizes
    draw, G = draws(sizes, dtype), {"lstm": 4, "gru": 3}[cell]
    arguments = [draw(B, L, I), draw(B, H), *([draw(B, H)] if cell == "lstm" else [])]
    arguments += [draw(G * H, I) / 2, draw(G * H, H) / H**0.5]
    if biased:
        arguments += [draw(G * H), draw(G * H)]

    run, truth = flat(native_gated, cell), flat(functional, cell)
    hold_equal(run, truth, arguments, tolerance, monkeypatch)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("sizes", SIZES[-3:], ids=str)
def test_a_readout_inside(sizes, cell, outputs, dtype, tolerance, monkeypatch):
    _, B, L, I, H = sizes
    draw, G = draws(sizes, dtype), {"lstm": 4, "gru": 3}[cell]
    states = [draw(B, H) for _ in range({"lstm": 2, "gru": 1}[cell])]
    arguments = [draw(B, L, I), *states, draw(G * H, I), draw(G * H, H) / H**0.5, draw(G * H)]
    arguments += [draw(G * H), draw(outputs, H), draw(outputs)]
    n = 1 + len(states)

    def run(*given):
        state = given[1:n] if n > 2 else given[1]
        out, last = kernels.gated_model(given[0], state, tuple(given[n : n + 4]), *given[n + 4 :])
        return (out, *last) if n > 2 else (out, last)

    def truth(*given):
        y, last = getattr(functional, cell)(*given[: n + 4])
        out = project(y, *given[n + 4 :])
        return (out, *last) if n > 2 else (out, last)

    hold_equal(run, truth, arguments, tolerance, monkeypatch, layouts=[True])


@pytest.mark.parametrize("hidden", [3, 16, 65])
@pytest.mark.parametrize("layer", [LTC, torch.nn.LSTM, torch.nn.GRU])
def test_a_lane_among_many_and_alone(layer, hidden):
    """The same bits after some steps of training, in either layout."""

    def trained(seeds):
        pack = Pack(lambda seed: SequenceModel(layer(2, hidden), 1), seeds)
        optimiser = torch.optim.Adam(pack.parameters(), lr=0.01)
        x = torch.sin(torch.arange(60.0)).view(30, 1, 2)
        for _ in range(5):
            optimiser.zero_grad()
            pack(x)[0].square().sum().backward()
            optimiser.step()
        return pack

    many, alone = trained(range(21)), trained([7])
    for name, parameter in alone.named_parameters():
        assert torch.equal(parameter[0], many.get_parameter(name)[7]), name


def by_threads(run, arguments):
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            results.append(found(run, arguments))
    finally:
        torch.set_num_threads(before)
    return results


@pytest.mark.parametrize("cell", ["ltc", "lstm", "gru"])
@pytest.mark.parametrize("rows", [True, False], ids=["rows", "lanes"])
@pytest.mark.parametrize(
    "sizes", [(0, 150, 40, 3, 19), (0, 37, 600, 2, 5), (5, 3, 800, 2, 8)], ids=str
)
def test_the_number_of_threads_changes_no_bit(sizes, rows, cell, monkeypatch):
    """Nor that of a weight's gradient, a sum over the batch: its parts follow from the sizes.

    Sizes are such that a second thread is worth its start (WORTH_THREADS in jobs.h).
    """
    _, B, L, I, H = sizes
    draw = draws(sizes, torch.float32)
    monkeypatch.setattr(library, "ROWS", rows)
    if cell == "ltc":
        arguments = [draw(B, L, I), draw(B, H), draw(H, I), draw(H, H), draw(H), draw(H).exp()]
        arguments += [draw(H), 0.3]

        def run(*given):
            return native_ltc.ltc(*given, "semi_implicit", 2)
    else:
        G = {"lstm": 4, "gru": 3}[cell]
        arguments = [draw(B, L, I), draw(B, H), *([draw(B, H)] if cell == "lstm" else [])]
        arguments += [draw(G * H, I), draw(G * H, H) / H, draw(G * H), draw(G * H)]
        run = flat(native_gated, cell)
    first, *others = by_threads(run, arguments)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
