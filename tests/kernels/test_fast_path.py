"""The short way through a call gives what the slow path gives, or nothing."""

import pytest
import torch

from torchliquid import LTC, Pack, SequenceModel, kernels
from torchliquid.kernels import _library as library

pytestmark = pytest.mark.skipif(library.find()[0] is None, reason=library.find()[1])


@pytest.fixture(autouse=True)
def _native(monkeypatch):
    monkeypatch.setenv(kernels.VARIABLE, "native")


def make(kind, **options):
    layer = LTC(3, 5, **options)
    if kind == "layer":
        return layer
    if kind == "model":
        return SequenceModel(layer, 2)
    return Pack(lambda seed: SequenceModel(LTC(3, 5, **options), 2), range(4))


def calls(monkeypatch):
    """How the short way answered, call by call."""
    answers = []

    def quick(*arguments, run=kernels.try_fast_layers):
        answers.append(run(*arguments))
        return answers[-1]

    monkeypatch.setattr(kernels, "try_fast_layers", quick)
    return answers


def results(module, x, h0, dt):
    module.zero_grad()
    x, h0 = x.clone().requires_grad_(), None if h0 is None else h0.clone().requires_grad_()
    y, h = module(x, h0, dt)
    (y.square().sum() + h.sum()).backward()
    grads = [p.grad for p in module.parameters()]
    return [y.detach(), h.detach(), x.grad, *([] if h0 is None else [h0.grad]), *grads]


@pytest.mark.parametrize("solver", ["semi_implicit", "exponential"])
@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("options", [{}, {"batch_first": True}, {"bias": False, "unfolds": 2}])
@pytest.mark.parametrize("kind", ["layer", "model", "pack"])
def test_both_ways_are_the_same(kind, options, carried, solver, monkeypatch):
    module = make(kind, solver=solver, **options)
    x = torch.randn(6, 7, 3)
    B = 6 if options.get("batch_first") else 7
    lead = (4,) if kind == "pack" else ()
    h0 = torch.randn(*lead, 1, B, 5) if carried else None
    answers = calls(monkeypatch)
    short = results(module, x, h0, 0.3)
    assert answers[0] is not None
    monkeypatch.setattr(kernels, "try_fast_layers", lambda *_: None)
    for one, other in zip(short, results(module, x, h0, 0.3), strict=True):
        assert one.shape == other.shape
        if kind == "layer":  # the slow path takes its softplus from torch
            torch.testing.assert_close(one, other)
        else:
            assert torch.equal(one, other)


def test_a_pack_with_an_input_for_each_lane(monkeypatch):
    pack, answers = make("pack", batch_first=True), calls(monkeypatch)
    x = torch.randn(4, 6, 7, 3)
    short = results(pack, x, None, None)
    assert answers[0] is not None
    monkeypatch.setattr(kernels, "try_fast_layers", lambda *_: None)
    for one, other in zip(short, results(pack, x, None, None), strict=True):
        assert torch.equal(one, other)


X = torch.zeros(6, 7, 3)


@pytest.mark.parametrize(
    ("x", "h0", "dt"),
    [
        (X.double(), None, 0.1),
        (X[..., :2], None, 0.1),
        (X[:0], None, 0.1),
        (X.to_sparse(), None, 0.1),
        (torch.nn.Parameter(X), None, 0.1),
        (X.tolist(), None, 0.1),
        (X, torch.zeros(1, 6, 5), 0.1),
        (X, torch.zeros(1, 7, 5).double(), 0.1),
        (X, (), 0.1),
        (X, None, 0.0),
        (X, None, 1),
        (X, None, -0.1),
        (X, None, float("nan")),
        (X, None, 1e-45),
        (X, None, torch.ones(6, 8)),
        (X, None, torch.ones(7)),
        (X, None, -torch.ones(6, 7)),
        (X, None, torch.full((6, 7), torch.nan)),
        (X, None, torch.ones(6, 7).double()),
        (X, None, torch.tensor(0.1)),
    ],
    ids=(
        "other type",
        "other width",
        "no rows",
        "sparse",
        "parameter",
        "list",
        "state of other rows",
        "state of other type",
        "no state",
        "no time",
        "integer",
        "negative",
        "nan",
        "tiny",
        "times of other rows",
        "times of other steps",
        "negative times",
        "times that are nan",
        "times of other type",
        "time in a tensor",
    ),
)
def test_what_is_not_beyond_doubt_takes_the_long_way(x, h0, dt):
    assert make("layer").try_fast_forward(make("layer")._parameters, None, x, h0, dt) is None


# torch's own, where forward mode is used for the first time in a process
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_a_watched_call_takes_the_long_way(monkeypatch):
    model, answers = make("model"), calls(monkeypatch)
    seen = []
    handle = model.layer.register_forward_hook(lambda *_: seen.append(1))
    model(X)
    handle.remove()
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: seen.append(1))
    model(X)
    handle.remove()
    assert len(seen) == 4  # the layer; then the layer, the readout and the model
    answers.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(X)
    torch.func.vmap(lambda x: model(x)[0])(torch.zeros(2, 6, 7, 3))
    torch.func.jvp(lambda x: model(x)[0], (X,), (X,))
    assert all(answer is None for answer in answers)
    model(X)
    assert answers[-1] is not None


def test_a_subclass_with_a_scan_of_its_own_is_asked():
    class Doubled(LTC):
        def scan(self, weights, x, state, dt):
            y, last = super().scan(weights, x, state, dt)
            return 2 * y, last

    torch.manual_seed(0)
    plain = LTC(3, 5)
    torch.manual_seed(0)
    assert torch.equal(Doubled(3, 5)(X + 1)[0], 2 * plain(X + 1)[0])
