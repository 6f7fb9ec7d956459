"""The synaptic LTC's equations: laws, and the package ncps as an independent referee."""

import pytest
import torch

from torchliquid import functional, kernels
from torchliquid.functional.synaptic import all_pairs

B, L, I, H = 3, 5, 2, 4


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def positive(*shape):
    return torch.rand(*shape, dtype=torch.float64) + 0.2


def arguments(lanes=(), count=H * H, sensory=I * H):
    weights = []
    for n in (count, sensory):
        synapse = (*lanes, n)
        weights += [3 * positive(*synapse), draw(*synapse), positive(*synapse), draw(*synapse)]
    weights += [positive(*lanes, H), draw(*lanes, H), positive(*lanes, H)]
    return [draw(*lanes, B, L, I), draw(*lanes, B, H), *weights]


@pytest.mark.parametrize("lanes", [(), (2,), (2, 3)])
def test_gradcheck(lanes):
    inputs = [*arguments(lanes), draw(*lanes, I), draw(*lanes, I)]
    inputs[0] = inputs[0][..., :1, :2, :]
    inputs[1] = inputs[1][..., :1, :]
    times = positive(*lanes, 1, 2)
    inputs = [a.clone().requires_grad_() for a in (*inputs, times)]

    def run(*a):
        return functional.synaptic(*a[:-1], dt=a[-1], unfolds=2)

    assert torch.autograd.gradcheck(run, inputs)


def test_absent_synapses_are_synapses_of_no_conductance():
    full = arguments()
    keep = torch.rand(H * H) < 0.5
    keep_sensory = torch.rand(I * H) < 0.5
    few, cut = list(full), list(full)
    for k in range(2, 6):
        few[k] = full[k][keep]
        few[k + 4] = full[k + 4][keep_sensory]
    cut[4], cut[8] = full[4] * keep, full[8] * keep_sensory
    edges = {"synapses": all_pairs(H, H)[keep], "sensory": all_pairs(I, H)[keep_sensory]}
    mine = functional.synaptic(*few, **edges)
    torch.testing.assert_close(mine, functional.synaptic(*cut), rtol=1e-13, atol=1e-13)


def test_no_time_no_change():
    x, h0, *rest = arguments()
    _, last = functional.synaptic(x, h0, *rest, dt=0.0)
    torch.testing.assert_close(last, h0, rtol=1e-14, atol=0)


def test_two_scans_are_one():
    x, h0, *rest = arguments()
    y, last = functional.synaptic(x, h0, *rest)
    first, middle = functional.synaptic(x[:, :2], h0, *rest)
    second, end = functional.synaptic(x[:, 2:], middle, *rest)
    assert torch.equal(y, torch.cat([first, second], 1))
    assert torch.equal(last, end)


@pytest.mark.parametrize("run", [functional.synaptic, kernels.synaptic])
@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("wired", [False, True])
@pytest.mark.parametrize("gap", [1.0, 0.4])
@pytest.mark.filterwarnings("ignore")
def test_ncps(run, implicit, wired, gap):
    ncps = pytest.importorskip("ncps.torch")
    wirings = pytest.importorskip("ncps.wirings")
    wiring = wirings.AutoNCP(12, 3) if wired else wirings.FullyConnected(6, 6)
    theirs = ncps.LTC(I, wiring, implicit_param_constraints=implicit, ode_unfolds=6).double()
    cell = theirs.rnn_cell
    n = cell.state_size
    with torch.no_grad():  # else the maps of input and output are the identity
        for p in (cell.input_w, cell.input_b, cell.output_w, cell.output_b):
            p.copy_(draw(*p.shape))
    x, h0 = draw(B, L, I).requires_grad_(), draw(B, n).requires_grad_()
    mine_x, mine_h0 = (t.detach().clone().requires_grad_() for t in (x, h0))

    states = []
    h = h0
    for t in range(L):  # ncps gives only the motor neurons of a sequence
        _, h = cell.forward(x[:, t], h, gap)
        states.append(h)
    y = torch.stack(states, 1)
    seed = draw(*y.shape)
    (y * seed).sum().backward()

    held = {k: p.detach().clone().requires_grad_() for k, p in cell.named_parameters()}
    edges = cell.sparsity_mask.abs().nonzero().long()
    sensory = cell.sensory_sparsity_mask.abs().nonzero().long()
    make = torch.nn.functional.softplus if implicit else lambda t: t
    weights = []
    for prefix, pairs in (("", edges), ("sensory_", sensory)):
        for name in ("sigma", "mu", "w", "erev"):
            p = held[prefix + name][pairs[:, 0], pairs[:, 1]]
            weights.append(make(p) if name == "w" else p)
    weights += [make(held["gleak"]), held["vleak"], make(held["cm"])]
    weights += [held["input_w"], held["input_b"]]
    mine, last = run(mine_x, mine_h0, *weights, edges, sensory, gap, 6)
    (mine * seed).sum().backward()
    torch.testing.assert_close(mine, y, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(last, y[:, -1], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mine_x.grad, x.grad, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close(mine_h0.grad, h0.grad, rtol=1e-8, atol=1e-9)
    compared = 0
    for name, p in cell.named_parameters():
        if name.startswith("output") or name.endswith("sparsity_mask"):
            continue
        torch.testing.assert_close(held[name].grad, p.grad, rtol=1e-8, atol=1e-9)
        compared += 1
    assert compared == 13
