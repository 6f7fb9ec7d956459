"""Cells behind a memory in one native call, against the loop over samples under autograd."""

import pytest
import torch

from torchliquid import kernels, wirings
from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import memory as native_memory
from torchliquid.nn import NCP, CfC, MixedMemory

from .test_synaptic import assert_close, draw, positive

pytestmark = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])

L, I, H = 5, 3, 7
CELLS = {
    "ncp": lambda: NCP(I, wirings.Random(H, 3, 0.6), unfolds=2, dtype=torch.float64),
    "cfc": lambda: CfC(I, H, backbone_units=9, dtype=torch.float64),
    "cfc-pure": lambda: CfC(I, H, mode="pure", backbone_layers=0, bias=False, dtype=torch.float64),
}
LANES = [(), (3,), (19,)]


def problem(name, lanes, B, times, dtype=torch.float64):
    torch.manual_seed(0)
    layer = MixedMemory(CELLS[name]())
    weights = {
        n: torch.stack([p.detach() * (1 + 0.1 * draw(*p.shape)) for _ in range(lanes[0])])
        if lanes else p.detach().clone()
        for n, p in layer.named_parameters() if not n.startswith("output")
    }  # fmt: skip
    dt = positive(*lanes, B, L) if times else 0.7
    given = [draw(*lanes, B, L, I), draw(*lanes, B, 2 * H), dt, weights]
    return layer, [_to(a, dtype) for a in given]


def _to(a, dtype):
    if isinstance(a, dict):
        return {n: w.to(dtype) for n, w in a.items()}
    return a.to(dtype) if isinstance(a, torch.Tensor) else a


def solve(layer, given, seed=1, second=False):
    """States, and gradients of a random linear function of them, for every tensor."""
    x, state, dt, weights = given
    leaves = [x, state, *([dt] if isinstance(dt, torch.Tensor) else []), *weights.values()]
    leaves = [a.detach().clone().requires_grad_() for a in leaves]
    x, state, *rest = leaves
    dt = rest.pop(0) if isinstance(dt, torch.Tensor) else dt
    states, last = layer.scan(dict(zip(weights, rest, strict=True)), x, state, dt)
    torch.manual_seed(seed)
    loss = sum((out * draw(*out.shape).to(out.dtype)).sum() for out in (states, last))
    first = torch.autograd.grad(loss, leaves, create_graph=second)
    if not second:
        return [states, last, *first]
    again = torch.autograd.grad(sum(g.square().sum() for g in first), leaves)
    return [states, last, *first, *again]


@pytest.fixture
def by_loop(monkeypatch):
    """The same by the loop over samples."""

    def run(*given, **options):
        monkeypatch.setenv(kernels.VARIABLE, "reference")
        try:
            return solve(*given, **options)
        finally:
            monkeypatch.delenv(kernels.VARIABLE)

    return run


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("B", [1, 2, 33])
@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", CELLS)
def test_values_and_every_gradient(name, lanes, B, times, by_loop, monkeypatch):
    layer, given = problem(name, lanes, B, times)
    truth = by_loop(layer, given)
    called = []
    run = native_memory.run
    monkeypatch.setattr(native_memory, "run", lambda *a: called.append(1) or run(*a))
    assert_close(solve(layer, given), truth)
    assert called


@pytest.mark.parametrize("name", CELLS)
def test_more_steps_than_a_chunk_and_more_rows_than_a_tile(name, by_loop):
    layer, (_, _, _, weights) = problem(name, (), 1, False)
    given = [draw(70, 45, I), draw(70, 2 * H), positive(70, 45), weights]
    assert_close(solve(layer, given), by_loop(layer, given), rtol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_gradients_of_gradients(name, by_loop):
    layer, given = problem(name, (), 2, True)
    assert_close(solve(layer, given, second=True), by_loop(layer, given, second=True), rtol=1e-9)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("name", CELLS)
def test_single_precision(name, lanes, by_loop):
    layer, given = problem(name, lanes, 33, True)
    mine = solve(layer, [_to(a, torch.float32) for a in given])
    assert all(a.dtype == torch.float32 for a in mine)
    assert_close(mine, by_loop(layer, given), rtol=2e-5)


@pytest.mark.parametrize("name", CELLS)
def test_an_input_that_lanes_share(name, by_loop):
    layer, given = problem(name, (3,), 2, True)
    given[0], given[2] = draw(2, L, I), positive(2, L)
    assert_close(solve(layer, given), by_loop(layer, given))


@pytest.mark.parametrize("lanes", [(), (19,)])
@pytest.mark.parametrize("name", CELLS)
def test_threads(name, lanes):
    layer, given = problem(name, lanes, 150 if lanes else 4000, False)  # worth several threads
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(solve(layer, given))
    finally:
        torch.set_num_threads(before)
    for one, two, three in zip(*found, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


@pytest.mark.parametrize("name", CELLS)
def test_every_element_is_written(name, by_loop):
    layer, given = problem(name, (3,), 3, True)
    truth = by_loop(layer, given)
    torch.use_deterministic_algorithms(True)
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        mine = solve(layer, given)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = fill
    assert_close(mine, truth)


def test_what_goes_sample_by_sample(monkeypatch):
    """Other activations, dropped values, other cells: the loop runs, and gives numbers."""
    called = []
    monkeypatch.setattr(native_memory, "run", lambda *a: called.append(1))
    x = torch.randn(2, 4, I)
    for inner in (
        CfC(I, H, activation="gelu"), CfC(I, H, backbone_dropout=0.5),
    ):  # fmt: skip
        layer = MixedMemory(inner)
        if inner.backbone_dropout:
            layer.train()
        assert layer(x)[0].isfinite().all()
    assert not called
