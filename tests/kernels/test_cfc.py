"""The native CfC kernel against the equations under autograd."""

import itertools

import pytest
import torch
from torch.library import opcheck

from torchliquid import functional, kernels
from torchliquid.functional.cfc import MODES
from torchliquid.kernels import _library as library
from torchliquid.kernels._bindings import cfc as native_cfc
from torchliquid.kernels._torch import cfc as torch_cfc

from .test_synaptic import assert_close, draw, positive

pytestmark = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])

L, I, H, U = 5, 3, 7, 9
LANES = [(), (3,), (19,)]
FORMS = [
    *itertools.product(MODES, (0, 1), ("lecun_tanh",)),
    *itertools.product(("default",), (2,), native_cfc.ACTIVATIONS),
]


def problem(lanes, B, form=FORMS[1], dt=None, bias=True):
    """Tensors, some None, in the order of `solve`; and the mode and activation."""
    mode, maps, activation = form
    rows = MODES[mode] * H
    sizes = [U] * maps + [rows]
    given = [draw(*lanes, B, L, I), draw(*lanes, B, H), dt]
    # mild weights: a state that chaos moves has no digits to compare
    given += [0.5 * draw(*lanes, sizes[0], I), 0.3 * draw(*lanes, sizes[0], H)]
    given += [draw(*lanes, sizes[0]) if bias else None]
    for size in sizes[1:]:
        given += [0.4 * draw(*lanes, size, U), draw(*lanes, size) if bias else None]
    own = mode == "pure"
    given += [draw(*lanes, H) if own else None, draw(*lanes, H) if own else None]
    return given, (mode, activation)


def call(run, given, options):
    x, h0, dt, ih, hh, bias, *maps, rate, target = given
    pairs = list(zip(maps[::2], maps[1::2], strict=True))
    return run(x, h0, ih, hh, bias, pairs, rate, target, 0.7 if dt is None else dt, *options, [])


def solve(run, given, options, seed=1):
    """Outputs, and gradients of a random linear function of them, for every tensor."""
    inputs = [None if a is None else a.detach().clone().requires_grad_() for a in given]
    y, last = call(run, inputs, options)
    torch.manual_seed(seed)
    loss = sum((out * draw(*out.shape).to(out.dtype)).sum() for out in (y, last))
    wanted = [a for a in inputs if a is not None]
    return [y, last, *torch.autograd.grad(loss, wanted)]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("B", [1, 2, 33])
@pytest.mark.parametrize("lanes", LANES)
def test_values_and_every_gradient(lanes, B, form):
    for dt, bias in ((None, True), (positive(*lanes, B, L), False)):
        given, options = problem(lanes, B, form, dt, bias)
        truth = solve(functional.cfc, given, options)
        assert_close(solve(native_cfc.cfc, given, options), truth)
        assert_close(solve(torch_cfc.cfc, given, options), truth)


def test_wide_layers_and_long_sequences():
    """More than a chunk of steps, and rows that are not a multiple of anything."""
    x, h0 = draw(40, 131, 2), draw(40, 21)
    given = [x, h0, positive(40, 131), 0.2 * draw(37, 2), 0.2 * draw(37, 21), draw(37)]
    given += [0.2 * draw(84, 37), draw(84), None, None]
    options = ("default", "lecun_tanh")
    truth = solve(functional.cfc, given, options)
    assert_close(solve(native_cfc.cfc, given, options), truth, rtol=1e-10)


def test_input_and_times_shared_by_lanes():
    given, options = problem((3,), 2)
    given[0], given[2] = draw(2, L, I), positive(2, L)
    assert_close(solve(native_cfc.cfc, given, options), solve(functional.cfc, given, options))


@pytest.mark.parametrize("lanes", LANES)
def test_strided_inputs(lanes):
    given, options = problem(lanes, 3, dt=positive(*lanes, 3, L))
    truth = solve(functional.cfc, given, options)
    odd = [None if a is None else torch.stack([a, a + 1], -1)[..., 0] for a in given]
    odd[0] = given[0].mT.contiguous().mT
    inputs = [None if a is None else a.requires_grad_() for a in odd]
    y, last = call(native_cfc.cfc, inputs, options)
    torch.manual_seed(1)
    loss = sum((out * draw(*out.shape)).sum() for out in (y, last))
    wanted = [a for a in inputs if a is not None]
    assert_close([y, last, *torch.autograd.grad(loss, wanted)], truth)


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("form", FORMS[1::3], ids=str)
def test_single_precision(lanes, form):
    given, options = problem(lanes, 33, form, positive(*lanes, 33, L))
    mine = solve(kernels.cfc, [None if a is None else a.float() for a in given], options)
    assert all(a.dtype == torch.float32 for a in mine)
    assert_close(mine, solve(functional.cfc, given, options), rtol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_lane_is_the_same_alone(dtype):
    given, options = problem((19,), 2, FORMS[7], positive(19, 2, L))
    given = [None if a is None else a.to(dtype) for a in given]

    def square(values):
        inputs = [None if a is None else a.clone().requires_grad_() for a in values]
        y, last = call(native_cfc.cfc, inputs, options)
        (y.square().sum() + last.sum()).backward()
        return [y, last, *(a.grad for a in inputs if a is not None)]

    many = square(given)
    for lane in (0, 5, 18):
        one = [None if a is None else a[lane : lane + 1] for a in given]
        for all_, alone in zip(many, square(one), strict=True):
            assert torch.equal(all_[lane : lane + 1], alone)


def test_a_row_of_a_batch_is_the_same_alone():
    given, options = problem((), 33, dt=positive(33, L))
    many = call(native_cfc.cfc, given, options)
    for row in (0, 17, 32):
        alone = [a[row : row + 1] if k < 3 else a for k, a in enumerate(given)]
        y, last = call(native_cfc.cfc, alone, options)
        assert torch.equal(y, many[0][row : row + 1])
        assert torch.equal(last, many[1][row : row + 1])


@pytest.mark.parametrize("lanes", [(), (19,)])
def test_threads(lanes):
    given, options = problem(lanes, 150 if lanes else 4000)  # worth several threads
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(solve(native_cfc.cfc, given, options))
    finally:
        torch.set_num_threads(before)
    for one, two, three in zip(*found, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("lanes", LANES)
def test_every_element_is_written(lanes, form):
    given, options = problem(lanes, 3, form, positive(*lanes, 3, L))
    truth = solve(functional.cfc, given, options)
    torch.use_deterministic_algorithms(True)
    fill = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = True
    try:
        mine = solve(native_cfc.cfc, given, options)
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = fill
    assert_close(mine, truth)


@pytest.mark.parametrize("lanes", [(), (3,)])
def test_only_the_gradients_that_are_wanted(lanes):
    given, options = problem(lanes, 2, FORMS[5], positive(*lanes, 2, L))
    truth = solve(functional.cfc, given, options)
    for k in range(len(given)):
        inputs = list(given)
        inputs[k] = given[k].clone().requires_grad_()
        y, last = call(native_cfc.cfc, inputs, options)
        torch.manual_seed(1)
        loss = sum((out * draw(*out.shape)).sum() for out in (y, last))
        assert_close(torch.autograd.grad(loss, inputs[k]), [truth[2 + k]])


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("lanes", [(), (3,)])
@pytest.mark.parametrize("form", [FORMS[1], FORMS[4]], ids=str)
def test_operator(lanes, times, form):
    dt = positive(*lanes, 2, L).requires_grad_() if times else None
    given, (mode, activation) = problem(lanes, 2, form)
    given = [torch.empty(0).double() if a is None else a.requires_grad_() for a in given]
    x, h0, _, *weights = given
    opcheck(native_cfc.cfc_op, (x, h0, dt, weights, mode, activation, 0.7))


def test_extreme_inputs_stay_finite():
    for form in FORMS:
        given, options = problem((), 2, form, 1e6 * positive(2, L))
        given[0] = given[0] * 1e6
        given = [None if a is None else a.float() for a in given]
        for value in solve(native_cfc.cfc, given, options)[:2]:
            assert value.isfinite().all()


def test_what_the_kernel_does_not_run(monkeypatch):
    """Other widths, gelu, many maps, dropped values, transforms: the torch operations do."""
    called = []
    for name, room in (("native", native_cfc), ("torch", torch_cfc)):
        monkeypatch.setattr(room, "cfc", lambda *a, n=name: called.append(n))
    monkeypatch.setattr(functional, "cfc", lambda *a: called.append("truth"))

    def run(maps=((4 * H, U),), activation="tanh", lanes=(), kept=()):
        ih, hh = draw(*lanes, maps[0][-1] if maps else 4 * H, I), draw(*lanes, U, H)
        pairs = [(draw(*lanes, *shape), None) for shape in maps]
        x, h = draw(*lanes, 2, L, I), draw(*lanes, 2, H)
        kernels.cfc(x, h, ih, hh[..., : ih.shape[-2], :], None, pairs, None, None, 1.0, "default",
                    activation, kept)  # fmt: skip

    monkeypatch.setenv(kernels.VARIABLE, "native")
    run()
    run(activation="gelu")
    run(lanes=(2, 2))
    run(((U, U),) * 4 + ((4 * H, U),))
    run(((5, U), (4 * H, 5)))
    run(kept=[draw(2, L, U)])
    monkeypatch.setenv(kernels.VARIABLE, "reference")
    run()
    assert called == ["native", "torch", "torch", "torch", "torch", "torch", "truth"]


# torch's compiler itself makes the instance that torch warns of
@pytest.mark.filterwarnings("ignore:.*Function'> should not be instantiated:DeprecationWarning")
def test_compile_sees_one_graph():
    given, options = problem((), 2)
    compiled = torch.compile(native_cfc.cfc, fullgraph=True, backend="aot_eager")
    assert_close(solve(compiled, given, options), solve(native_cfc.cfc, given, options))
