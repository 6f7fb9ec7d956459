"""What users of PyTorch do with a recurrent layer: every habit with every liquid layer.

Where nn.LSTM has the habit too it is held to the same test, as the control.
"""

import copy
import io
import pickle
import threading

import pytest
import torch
import torch.utils.checkpoint
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.utils import parametrizations
from torch.testing import assert_close
from torch.utils.data import DataLoader, Dataset

from torchliquid import LTC, TorchliquidError
from torchliquid.nn import (
    CTRNN,
    LRCU,
    NCP,
    ODELSTM,
    CfC,
    DecayGRU,
    MixedMemory,
    Resonator,
    WiredCfC,
)

B, L, I, H = 4, 4, 3, 5
CELLS = {"LTC": LTC, "CTRNN": CTRNN, "DecayGRU": DecayGRU, "Resonator": Resonator}
SHAPES = {
    "": {},
    "-deep": {"num_layers": 2},
    "-both ways": {"num_layers": 2, "bidirectional": True},
    "-projected": {"num_layers": 2, "proj_size": 2},
}
MAKE = {
    f"{name}{shape}": (cell, options)
    for name, cell in CELLS.items()
    for shape, options in SHAPES.items()
    if not (cell is Resonator and "proj_size" in options)
}
MAKE |= {
    "CfC-deep": (CfC, {"num_layers": 2, "backbone_units": 6}),
    "CfC-projected": (CfC, {"proj_size": 2, "backbone_layers": 0, "mode": "pure"}),
    "NCP": (NCP, {}),
    "NCP-both ways": (NCP, {"num_layers": 2, "bidirectional": True}),
    "WiredCfC": (WiredCfC, {}),
    "LRCU-deep": (LRCU, {"num_layers": 2}),
    "ODELSTM-both ways": (ODELSTM, {"num_layers": 2, "bidirectional": True}),
    "MixedMemory": (lambda *a, **o: MixedMemory(NCP(*a, **o)), {}),
    "MixedMemory-both ways": (
        lambda *a, **o: MixedMemory(CfC(*a, **o)),
        {"num_layers": 2, "bidirectional": True, "backbone_units": 6},
    ),
}  # fmt: skip
MAKE["LTC-exponential"] = (LTC, {"solver": "exponential", "unfolds": 2})
MAKE["LTC-rk4"] = (LTC, {"solver": "rk4", "num_layers": 2})
CONTROL = {"nn.LSTM": (nn.LSTM, {"num_layers": 2, "bidirectional": True})}


WITHOUT_MATRICES = [n for n in MAKE if n.startswith(("NCP", "WiredCfC", "MixedMemory"))]


def build(name, **options):
    cell, own = (MAKE | CONTROL)[name]
    return cell(I, H, batch_first=True, **own, **options)


def every(*more):
    return pytest.mark.parametrize("name", [*more, *MAKE])


def with_control():
    return every(*CONTROL)


def told(layer, *given, **named):
    """Outputs and the last state, one tensor each."""
    y, h = layer(*given, **named)
    return y, torch.cat(h, dim=-1) if isinstance(h, tuple) else h


@with_control()
def test_state_dict(name):
    layer, other, x = build(name), build(name), torch.randn(B, L, I)
    assert not torch.equal(told(layer, x)[0], told(other, x)[0])
    other.load_state_dict(layer.state_dict(), strict=True)
    assert torch.equal(told(layer, x)[0], told(other, x)[0])
    incomplete = layer.state_dict()
    first = next(iter(incomplete))
    incomplete.pop(first)
    incomplete["weight_xx_l0"] = torch.zeros(1)
    with pytest.raises(RuntimeError, match=first):
        other.load_state_dict(incomplete, strict=True)
    missing, unexpected = other.load_state_dict(incomplete, strict=False)
    assert (missing, unexpected) == ([first], ["weight_xx_l0"])


@with_control()
def test_copies(name, tmp_path):
    layer, x = build(name), torch.randn(B, L, I)
    expected = told(layer, x)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):  # noqa: S301 - our own
        assert torch.equal(told(twin, x)[0], expected[0])
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in layer.parameters()}
    torch.save(layer.state_dict(), tmp_path / "weights.pt")
    fresh = build(name)
    fresh.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(told(fresh, x)[1], expected[1])
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    assert torch.equal(told(torch.load(file, weights_only=False), x)[0], expected[0])


@with_control()
def test_functional_call(name):
    layer, other, x = build(name), build(name), torch.randn(B, L, I)
    weights = dict(layer.named_parameters())
    assert torch.equal(functional_call(other, weights, (x,))[0], told(layer, x)[0])


@every()
def test_an_ensemble_by_vmap(name):
    layers = [build(name) for _ in range(3)]
    weights, buffers = stack_module_state(layers)
    x, dt = torch.randn(B, L, I), torch.rand(B, L) + 0.1
    y = vmap(lambda w, b: functional_call(layers[0], (w, b), (x, None, dt))[0])(weights, buffers)
    for own, layer in zip(y, layers, strict=True):
        assert_close(own, layer(x, None, dt)[0])


@every()
def test_gradients_by_sample(name):
    """For privacy, influence and the like: vmap over grad. nn.LSTM of two ways cannot, in 2.13."""
    layer = build(name, dtype=torch.float64)
    x = torch.randn(B, L, I, dtype=torch.float64)
    weights = {n: p.detach() for n, p in layer.named_parameters()}

    def loss(weights, row):
        return functional_call(layer, weights, (row[None],))[0].square().sum()

    by_sample = vmap(grad(loss), (None, 0))(weights, x)
    for b in range(B):
        layer.zero_grad()
        told(layer, x[b : b + 1])[0].square().sum().backward()
        for key, parameter in layer.named_parameters():
            assert_close(by_sample[key][b], parameter.grad, rtol=1e-9, atol=1e-11)


@every()
def test_second_derivatives(name):
    layer = build(name, dtype=torch.float64)
    x = torch.randn(2, 3, I, dtype=torch.float64, requires_grad=True)
    dt = (torch.rand(2, 3, dtype=torch.float64) + 0.1).requires_grad_()

    def run(x, dt):
        return layer(x, None, dt)[0]

    assert torch.autograd.gradgradcheck(run, (x, dt), atol=1e-4)
    loss = layer(x, None, dt)[0].square().sum()
    first = torch.autograd.grad(loss, list(layer.parameters()), create_graph=True)
    sum(g.square().sum() for g in first).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


@pytest.mark.parametrize("name", [n for n in [*CONTROL, *MAKE] if n not in WITHOUT_MATRICES])
def test_parametrisations(name):
    layer, x = build(name), torch.randn(B, L, I)
    weight = "weight_hh_l0" if hasattr(layer, "weight_hh_l0") else "log_rate_l0"
    expected = told(layer, x)[0]
    parametrizations.weight_norm(layer, weight)
    assert_close(told(layer, x)[0], expected)
    told(layer, x)[0].sum().backward()
    for part in layer.parametrizations[weight].parameters():
        assert part.grad.abs().sum() > 0
    parametrizations.orthogonal(layer, "weight_ih_l0")
    rows = layer.weight_ih_l0
    assert_close(rows.T @ rows, torch.eye(I), atol=1e-5, rtol=0)
    assert not torch.allclose(told(layer, x)[0], expected)


@with_control()
def test_clipped_gradients(name):
    layer, x = build(name), torch.randn(B, L, I)
    (1e3 * told(layer, x)[0].square().sum()).backward()
    before = nn.utils.clip_grad_norm_(layer.parameters(), 0.5)
    assert before > 0.5
    assert torch.stack([p.grad.norm() for p in layer.parameters()]).norm() == pytest.approx(0.5)


@with_control()
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_checkpointing(name, use_reentrant):
    layer, x = build(name), torch.randn(B, L, I, requires_grad=True)
    told(layer, x)[0].square().sum().backward()
    expected = [p.grad.clone() for p in (*layer.parameters(), x)]
    layer.zero_grad()
    x.grad = None
    y = torch.utils.checkpoint.checkpoint(
        lambda x: told(layer, x)[0], x, use_reentrant=use_reentrant
    )
    y.square().sum().backward()
    for parameter, own in zip((*layer.parameters(), x), expected, strict=True):
        assert_close(parameter.grad, own)


@with_control()
def test_autocast(name):
    """Outputs have autocast's dtype, within two of its last places of what float32 gives."""
    layer, x = build(name), torch.randn(B, 40, I)
    expected = told(layer, x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        y, h = told(layer, x)
        again, _ = told(layer, x.bfloat16())
        readout = nn.functional.linear(y, torch.ones(1, y.shape[-1]))
    assert y.dtype == again.dtype == readout.dtype == torch.bfloat16
    assert h.dtype == (torch.bfloat16 if name == "nn.LSTM" else torch.float32)
    bound = 4 * torch.finfo(torch.bfloat16).eps * max(1.0, expected.abs().max().item())
    assert (y - expected).abs().max() < bound
    y.float().square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.dtype == p.dtype for p in layer.parameters())


@with_control()
def test_double_and_float(name):
    layer = build(name).double()
    x = torch.randn(B, L, I)
    y, h = told(layer, x.double())
    assert y.dtype == h.dtype == torch.float64
    assert_close(told(layer.float(), x)[0], y.float(), rtol=1e-5, atol=1e-6)


@with_control()
def test_meta_first(name):
    with torch.device("meta"):
        layer = build(name)
    y, h = told(layer, torch.empty(B, L, I, device="meta"))
    real, x = build(name), torch.randn(B, L, I)
    assert (y.shape, h.shape) == tuple(t.shape for t in told(real, x))
    layer.to_empty(device="cpu")
    layer.reset_parameters()
    assert all(p.isfinite().all() for p in layer.parameters())
    layer.load_state_dict(real.state_dict())
    assert torch.equal(told(layer, x)[0], told(real, x)[0])


@with_control()
def test_an_empty_batch_and_no_sample(name):
    layer = build(name)
    y, h = told(layer, torch.empty(0, L, I))
    full = [t.shape for t in told(layer, torch.empty(B, L, I))]
    assert y.shape == (0, *full[0][1:])
    assert h.shape[1] == 0
    y.sum().backward()
    with pytest.raises((TorchliquidError, RuntimeError), match=r"no sample|larger than 0"):
        layer(torch.empty(B, 0, I))


@with_control()
def test_strides(name):
    layer = build(name)
    x = torch.randn(L, 2 * B, 2 * I).transpose(0, 1)[::2, :, ::2]
    assert not x.is_contiguous()
    assert_close(told(layer, x)[0], told(layer, x.contiguous())[0])
    row = torch.randn(1, L, I).expand(B, -1, -1)
    assert_close(told(layer, row)[0], told(layer, row.clone())[0])
    flat = torch.randn(1, 1, 1).expand(B, L, I).requires_grad_()
    told(layer, flat)[0].sum().backward()


@every()
def test_gradients_of_dt_and_the_first_state(name):
    layer = build(name, dtype=torch.float64)
    D = layer.interface().depth
    x = torch.randn(B, L, I, dtype=torch.float64)
    dt = (torch.rand(B, L, dtype=torch.float64) + 0.1).requires_grad_()
    h0 = torch.randn(D, B, layer.state_size, dtype=torch.float64, requires_grad=True)
    layer(x, h0, dt)[0].square().sum().backward()
    assert dt.grad.abs().min() > 0
    assert h0.grad.abs().min() > 0


@every()
def test_two_threads_at_once(name):
    layer, x = build(name), torch.randn(8, B, L, I)
    expected = [told(layer, own)[0].detach() for own in x]
    found, failed = {}, []

    def work(which):
        try:
            for k in range(which, 8, 2):
                y, _ = layer(x[k])
                torch.autograd.grad(y.sum(), list(layer.parameters()))
                found[k] = y.detach()
        except Exception as error:  # shown below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    for k, own in enumerate(expected):
        assert torch.equal(found[k], own)


class Encoded(Dataset):
    """Rows that a layer encodes in the worker that loads them."""

    def __init__(self, layer):
        self.layer, self.x = layer, torch.randn(6, L, I)

    def __len__(self):
        return 6

    @torch.no_grad()
    def __getitem__(self, index):
        return told(self.layer, self.x[index])[0]


@with_control()
def test_in_workers_of_a_loader(name):
    rows = Encoded(build(name))
    rows[0]  # whatever starts threads has done so before the fork
    loader = DataLoader(rows, batch_size=2, num_workers=2, multiprocessing_context="fork")
    assert_close(torch.cat(list(loader)), torch.stack([rows[k] for k in range(6)]))


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is dep:DeprecationWarning")  # torch's
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", ["LTC-both ways", "LTC-projected", "DecayGRU"])
def test_compiled_with_lengths_that_change(name, backend):
    torch.compiler.reset()
    model = Whole(build(name))
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=backend)
    for L in (2, 4):
        x, dt = torch.randn(B, L, I, requires_grad=True), torch.rand(B, L) + 0.1
        y, expected = compiled(x, dt), model(x, dt)
        assert_close(y, expected)
        own, other = (torch.autograd.grad(t.square().sum(), x)[0] for t in (y, expected))
        assert_close(own, other)


@pytest.mark.parametrize("name", ["LTC-both ways", "CTRNN-projected"])
def test_compiled_with_rows_of_unlike_lengths(name):
    torch.compiler.reset()
    layer, x, dt = build(name), torch.randn(B, L, I), torch.rand(B, L) + 0.1
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for lengths in (torch.tensor([4, 2, 1, 3]), torch.tensor([1, 4, 2, 4])):
        arrived = torch.rand(B, L) > 0.4
        for observed in (None, arrived):
            found = compiled(x, None, dt, lengths, observed)
            assert_close(found, layer(x, None, dt, lengths, observed))


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # torch's own forward mode
@every()
def test_forward_mode_and_per_lane_times(name):
    layer = build(name, dtype=torch.float64)
    x, dt = torch.randn(B, L, I).double(), torch.rand(B, L).double() / 5 + 0.02
    arrived = torch.rand(B, L) > 0.4

    def run(x, dt):
        return layer(x, None, dt, [4, 2, 1, 3], arrived)[0]

    y, change = torch.func.jvp(run, (x, dt), (x, dt))
    small = 1e-6
    assert_close(y, run(x, dt))
    moved = (run((1 + small) * x, (1 + small) * dt) - run((1 - small) * x, (1 - small) * dt)) / 2
    assert_close(change, moved / small, rtol=1e-5, atol=1e-7)
    both = vmap(run)(torch.stack([x, -x]), torch.stack([dt, 2 * dt]))
    assert_close(both[1], run(-x, 2 * dt))


class Whole(nn.Module):
    """A layer whose outputs alone count, with a time for each sample."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, dt):
        return self.layer(x, None, dt)[0]


SOME = ["LTC", "LTC-both ways", "CTRNN-projected", "DecayGRU", "CfC-deep"]
"""Export takes seconds each."""


@pytest.mark.skipif(
    tuple(int(n) for n in torch.__version__.split(".")[:2]) < (2, 13),
    reason="known to work in torch 2.13; 2.7 refuses its own scan operator in a program",
)
# torch's own, of its scan operator
@pytest.mark.filterwarnings(
    "ignore:The .grad attribute of a Tensor that is not a leaf",
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning",
)
@pytest.mark.parametrize("name", SOME)
def test_export_with_a_length_that_is_a_symbol(name):
    model = Whole(build(name)).eval()
    length = torch.export.Dim("length", min=2, max=1000)
    given = torch.randn(B, 3, I), torch.rand(B, 3) + 0.1
    shapes = {"x": {1: length}, "dt": {1: length}}
    program = torch.export.export(model, given, dynamic_shapes=shapes, strict=False)
    for L in (2, 9):
        x, dt = torch.randn(B, L, I), torch.rand(B, L) + 0.1
        assert_close(program.module()(x, dt), model(x, dt))


@pytest.mark.parametrize("name", [*SOME, "NCP", "MixedMemory"])
def test_export_of_one_length(name):
    model = Whole(build(name)).eval()
    x, dt = torch.randn(B, 3, I), torch.rand(B, 3) + 0.1
    program = torch.export.export(model, (x, dt))
    assert_close(program.module()(x, dt), model(x, dt))
    assert not any("torchliquid" in str(node.target) for node in program.graph.nodes)


@every()
def test_a_training_step_makes_the_loss_fall(name):
    layer, x = build(name), torch.randn(8, 12, I)
    head = nn.Linear(layer(x)[0].shape[-1], 1)
    target = x.cumsum(1)[..., :1] / 3
    optimiser = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.02)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = (head(layer(x)[0]) - target).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
