"""The native synaptic kernel against the equations under autograd."""

import pytest
import torch
from torch.library import opcheck

from torchliquid import TorchliquidError, functional, kernels
from torchliquid.functional.synaptic import all_pairs
from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import synaptic as native_synaptic

pytestmark = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])

L, I, H = 5, 3, 7
LANES = [(), (3,), (19,)]


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def positive(*shape):
    return torch.rand(*shape, dtype=torch.float64) + 0.2


def synapses(lanes, *counts):
    for n in counts:
        yield from (3 * positive(*lanes, n), draw(*lanes, n), positive(*lanes, n), draw(*lanes, n))


def wire(wiring):
    """Lists of recurrent and sensory synapses; sparse ones in no order, without neuron 0."""
    if wiring == "full":
        return all_pairs(H, H), all_pairs(I, H)
    lists = []
    for every in (all_pairs(H, H), all_pairs(I, H)):
        every = every[every[:, 1] > 0]
        lists.append(every[torch.randperm(len(every))[: len(every) // 2 + 1]])
    return lists


def problem(lanes, B, wiring="full", dt=None, maps=True):
    """Arguments of `synaptic`, the tensors among the first fifteen and dt differentiable."""
    edges, sensory = wire(wiring)
    neurons = positive(*lanes, H), draw(*lanes, H), positive(*lanes, H)
    mapping = (draw(*lanes, I), draw(*lanes, I)) if maps else (None, None)
    given = [draw(*lanes, B, L, I), draw(*lanes, B, H)]
    given += [*synapses(lanes, len(edges), len(sensory)), *neurons, *mapping, edges, sensory]
    return [*given, dt if dt is not None else 0.7]


def solve(run, given, unfolds=6, seed=1):
    """Outputs, and gradients of a random linear function of them, for every real tensor."""
    inputs = [
        a.clone().requires_grad_() if isinstance(a, torch.Tensor) and a.is_floating_point() else a
        for a in given
    ]
    y, last = run(*inputs, unfolds)
    torch.manual_seed(seed)
    loss = sum((out * draw(*out.shape).to(out.dtype)).sum() for out in (y, last))
    wanted = [a for a in inputs if isinstance(a, torch.Tensor) and a.requires_grad]
    return [y, last, *torch.autograd.grad(loss, wanted)]


def assert_close(mine, truth, rtol=1e-11):
    assert len(mine) == len(truth)
    for one, other in zip(mine, truth, strict=True):
        scale = float(other.detach().abs().sum() / max(other.numel(), 1)) + 1e-3
        torch.testing.assert_close(one, other, rtol=rtol, atol=rtol * scale, check_dtype=False)


@pytest.mark.parametrize("wiring", ["full", "sparse"])
@pytest.mark.parametrize("B", [1, 2, 33])
@pytest.mark.parametrize("lanes", LANES)
def test_values_and_every_gradient(lanes, B, wiring):
    for dt in (0.7, positive(*lanes, B, L)):
        given = problem(lanes, B, wiring, dt)
        assert_close(solve(kernels.synaptic, given), solve(functional.synaptic, given))


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("unfolds", [1, 2])
def test_unfolds_without_maps(lanes, unfolds):
    given = problem(lanes, 2, maps=False)
    mine = solve(native_synaptic.synaptic, given, unfolds)
    assert_close(mine, solve(functional.synaptic, given, unfolds))


def test_input_and_times_shared_by_lanes():
    given = problem((3,), 2, dt=positive(2, L), maps=False)
    given[0] = draw(2, L, I)
    assert_close(solve(native_synaptic.synaptic, given), solve(functional.synaptic, given))


@pytest.mark.parametrize("lanes", LANES)
def test_strided_inputs(lanes):
    given = problem(lanes, 3, "sparse", positive(*lanes, 3, L))
    truth = solve(functional.synaptic, given)
    odd = [torch.stack([a, a + 1], -1)[..., 0] if isinstance(a, torch.Tensor) else a for a in given]
    odd[0] = given[0].mT.contiguous().mT
    inputs = [
        a.requires_grad_() if torch.is_tensor(a) and a.is_floating_point() else a for a in odd
    ]
    y, last = native_synaptic.synaptic(*inputs)
    torch.manual_seed(1)
    loss = sum((out * draw(*out.shape)).sum() for out in (y, last))
    wanted = [a for a in inputs if isinstance(a, torch.Tensor) and a.requires_grad]
    assert_close([y, last, *torch.autograd.grad(loss, wanted)], truth)


@pytest.mark.parametrize("lanes", LANES)
def test_single_precision(lanes):
    given = problem(lanes, 33, "sparse", positive(*lanes, 33, L))
    single = [
        a.float() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in given
    ]
    mine = solve(kernels.synaptic, single)
    assert all(a.dtype == torch.float32 for a in mine)
    assert_close(mine, solve(functional.synaptic, given), rtol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("wiring", ["full", "sparse"])
def test_a_lane_is_the_same_alone(wiring, dtype):
    given = problem((19,), 2, wiring, positive(19, 2, L))
    given = [
        a.to(dtype) if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in given
    ]

    def square(values):
        inputs = [
            a.clone().requires_grad_() if torch.is_tensor(a) and a.is_floating_point() else a
            for a in values
        ]
        y, last = native_synaptic.synaptic(*inputs)
        (y.square().sum() + last.sum()).backward()
        return [y, last, *(a.grad for a in inputs if torch.is_tensor(a) and a.requires_grad)]

    many = square(given)
    for lane in (0, 5, 18):
        one = [
            a[lane : lane + 1] if torch.is_tensor(a) and a.is_floating_point() else a for a in given
        ]
        for all_, alone in zip(many, square(one), strict=True):
            assert torch.equal(all_[lane : lane + 1], alone)


def test_a_row_of_a_batch_is_the_same_alone():
    given = problem((), 33, "sparse", positive(33, L))
    many = solve(native_synaptic.synaptic, given)
    for row in (0, 17, 32):
        alone = list(given)
        for k in (0, 1, -1):
            alone[k] = given[k][row : row + 1]
        y, last = native_synaptic.synaptic(*alone)
        assert torch.equal(y, many[0][row : row + 1])
        assert torch.equal(last, many[1][row : row + 1])


@pytest.mark.parametrize("lanes", [(), (19,)])
def test_threads(lanes):
    given = problem(lanes, 150 if lanes else 4000, "sparse")  # worth several threads
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(solve(native_synaptic.synaptic, given))
    finally:
        torch.set_num_threads(before)
    for one, two, three in zip(*found, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


@pytest.mark.parametrize("lanes", LANES)
def test_every_element_is_written(lanes):
    given = problem(lanes, 3, "sparse", positive(*lanes, 3, L))
    truth = solve(functional.synaptic, given)
    torch.use_deterministic_algorithms(True)
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        mine = solve(native_synaptic.synaptic, given)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = fill
    assert_close(mine, truth)


def test_no_synapse_at_all():
    given = problem((), 3)
    none = torch.empty(0, 2, dtype=torch.int64)
    given[2:10] = [draw(0) for _ in range(8)]
    given[15:17] = none, none
    assert_close(solve(native_synaptic.synaptic, given), solve(functional.synaptic, given))


@pytest.mark.parametrize("lanes", [(), (3,)])
def test_only_the_gradients_that_are_wanted(lanes):
    given = problem(lanes, 2, "sparse")
    truth = solve(functional.synaptic, given)
    for k in range(15):
        inputs = list(given)
        inputs[k] = given[k].clone().requires_grad_()
        y, last = native_synaptic.synaptic(*inputs)
        torch.manual_seed(1)
        loss = sum((out * draw(*out.shape)).sum() for out in (y, last))
        assert_close(torch.autograd.grad(loss, inputs[k]), [truth[2 + k]])


@pytest.mark.parametrize("lanes", [(), (3,)])
def test_gradient_of_one_output_only(lanes):
    given = problem(lanes, 2, "sparse")
    for which in (0, 1):
        found = []
        for run in (native_synaptic.synaptic, functional.synaptic):
            mu = given[3].clone().requires_grad_()
            out = run(*given[:3], mu, *given[4:])[which]
            found += torch.autograd.grad(out.square().sum(), mu)
        assert_close(found[:1], found[1:])


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("lanes", [(), (3,)])
def test_operator(lanes, times):
    dt = positive(*lanes, 2, L).requires_grad_() if times else None
    x, h0, *rest = problem(lanes, 2, "sparse")
    weights = [w.requires_grad_() for w in rest[:11]]
    arguments = (x.requires_grad_(), h0.requires_grad_(), dt, weights, *rest[13:15], 0.7, 2)
    opcheck(native_synaptic.synaptic_op, arguments)


def test_no_time_no_change():
    x, h0, *rest = problem((), 2)
    _, last = native_synaptic.synaptic(x, h0, *rest[:-1], 0.0)
    torch.testing.assert_close(last, h0, rtol=1e-14, atol=0)


def test_extreme_inputs_stay_finite():
    given = problem((), 2)
    given[0] = given[0] * 1e6
    given = [a.float() if torch.is_tensor(a) and a.is_floating_point() else a for a in given]
    for value in solve(native_synaptic.synaptic, given):
        assert value.isfinite().all()


def test_lists_that_do_not_fit_are_refused():
    given = problem((), 2)
    wrong = given[15].clone()
    wrong[3, 0] = H
    with pytest.raises(TorchliquidError, match="given sizes it does not take"):
        native_synaptic.synaptic(*given[:15], wrong, *given[16:])
    with pytest.raises(ValueError, match="a row for each synapse"):
        native_synaptic.synaptic(*given[:15], wrong[1:], *given[16:])


def test_dispatch(monkeypatch):
    called = []
    monkeypatch.setattr(native_synaptic, "synaptic", lambda *a: called.append("native"))
    monkeypatch.setattr(functional, "synaptic", lambda *a: called.append("truth"))
    monkeypatch.setenv(kernels.VARIABLE, "native")
    kernels.synaptic(*problem((), 2))
    kernels.synaptic(*problem((2, 2), 2))
    monkeypatch.setenv(kernels.VARIABLE, "reference")
    kernels.synaptic(*problem((), 2))
    assert called == ["native", "truth", "truth"]


# torch's compiler itself makes the instance that torch warns of
@pytest.mark.filterwarnings("ignore:.*Function'> should not be instantiated:DeprecationWarning")
def test_compile_sees_one_graph():
    given = problem((), 2, "sparse")
    compiled = torch.compile(native_synaptic.synaptic, fullgraph=True, backend="aot_eager")
    assert_close(solve(compiled, given), solve(native_synaptic.synaptic, given))
