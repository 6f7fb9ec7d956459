"""The laws that hold for every cell: one class that each cell's test inherits.

A test of a new cell subclasses `CellContract` in a file of its own and overrides the fixture
`cell`, parametrised over whatever options the cell has:

    class TestCfC(CellContract):
        @pytest.fixture(params=["default", "no_gate"])
        def cell(self, request):
            return Cell(functools.partial(CfC, mode=request.param), permute=permute_cfc)

Everything runs in float64, with B = L among the shapes, so that a transposed dt cannot hide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.testing import assert_close

from torchliquid import LiquidLayer, Pack, SequenceModel

I, H = 3, 5
SHAPES = [(4, 7), (5, 5), (1, 1)]
EXACT = {"rtol": 1e-12, "atol": 1e-13}


@dataclass(frozen=True)
class Cell:
    """What the contract must know of a cell.

    build: the layer's constructor, called as ``build(I, H, batch_first=..., dtype=...)``.
    permute: ``permute(layer, order)`` renumbers the neurons in place; new neuron i is old order[i].
    order: the solver's order of convergence; None for a cell that solves no equation.
    bounds: ``bounds(layer)`` gives the lowest and the highest state, ``(H,)`` each, that the paper
        proves; None where it proves none.
    rests_at_once: whether the state stays where it was as dt -> 0.
    blocks: values that a state holds for each neuron, one block of H after the other.
    held: how many of these, the last ones, hold the input before; the equation gives the others.
    """

    build: Callable[..., LiquidLayer]
    permute: Callable[[LiquidLayer, Tensor], None]
    order: int | None = None
    bounds: Callable[[LiquidLayer], tuple[Tensor, Tensor]] | None = None
    rests_at_once: bool = True
    blocks: int = 1
    held: int = 0

    def make(self, seed: int = 0, **options: Any) -> LiquidLayer:
        torch.manual_seed(seed)
        return self.build(I, H, **({"batch_first": True, "dtype": torch.float64} | options))

    def draw(self, B: int, L: int, seed: int = 100) -> tuple[Tensor, Tensor, Tensor]:
        """x ``(B, L, I)``, h0 ``(1, B, blocks H)`` and an irregular dt ``(B, L)``."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(B, L, I, generator=generator, dtype=torch.float64)
        h0 = torch.randn(1, B, self.blocks * H, generator=generator, dtype=torch.float64)
        dt = torch.rand(B, L, generator=generator, dtype=torch.float64) * 0.4 + 0.05
        return x, h0, dt

    def solved(self, state: Tensor) -> Tensor:
        """The part of a state that the equation gives."""
        return state[..., : (self.blocks - self.held) * H]


class CellContract:
    """Subclass it, override `cell`."""

    @pytest.fixture
    def cell(self) -> Cell:
        raise NotImplementedError("override the fixture `cell`")

    @pytest.mark.parametrize("cut", [1, 3, 6])
    def test_two_scans_equal_one(self, cell, cut):
        layer = cell.make()
        x, h0, dt = cell.draw(4, 7)
        y, h = layer(x, h0, dt)
        y1, h1 = layer(x[:, :cut], h0, dt[:, :cut])
        y2, h2 = layer(x[:, cut:], h1, dt[:, cut:])
        assert_close(torch.cat([y1, y2], dim=1), y, **EXACT)
        assert_close(h2, h, **EXACT)

    @pytest.mark.parametrize(("B", "L"), SHAPES)
    def test_a_batch_equals_its_rows_one_by_one(self, cell, B, L):
        layer = cell.make()
        x, h0, dt = cell.draw(B, L)
        y, h = layer(x, h0, dt)
        for b in range(B):
            y_row, h_row = layer(x[b : b + 1], h0[:, b : b + 1], dt[b : b + 1])
            assert_close(y_row, y[b : b + 1], **EXACT)
            assert_close(h_row, h[:, b : b + 1], **EXACT)

    @pytest.mark.parametrize(("B", "L"), SHAPES)
    def test_layouts_agree(self, cell, B, L):
        x, h0, dt = cell.draw(B, L)
        y, h = cell.make(batch_first=True)(x, h0, dt)
        time_first = cell.make(batch_first=False)
        y_time, h_time = time_first(x.transpose(0, 1), h0, dt.transpose(0, 1))
        assert_close(y_time.transpose(0, 1), y, **EXACT)
        assert_close(h_time, h, **EXACT)
        for batch_first in (True, False):
            y_row, h_row = cell.make(batch_first=batch_first)(x[-1], h0[:, -1], dt[-1])
            assert_close(y_row, y[-1], **EXACT)
            assert_close(h_row, h[:, -1], **EXACT)

    def test_shapes_follow_nn_lstm(self, cell):
        x, _, _ = cell.draw(4, 7)
        y, h = cell.make()(x)
        assert y.shape[:2] == (4, 7)
        assert h.shape == (1, 4, cell.blocks * H)
        y, h = cell.make()(x[0])
        assert y.shape[:1] == (7,)
        assert h.shape == (1, cell.blocks * H)

    def test_no_initial_state_means_zeros(self, cell):
        layer = cell.make()
        x, h0, dt = cell.draw(4, 7)
        assert torch.equal(layer(x, None, dt)[0], layer(x, torch.zeros_like(h0), dt)[0])
        assert not torch.allclose(layer(x, None, dt)[0], layer(x, h0, dt)[0])

    def test_one_dt_for_all_equals_the_same_dt_at_each_sample(self, cell):
        layer = cell.make(dt=0.3)
        x, h0, dt = cell.draw(5, 5)
        everywhere = torch.full_like(dt, 0.3)
        assert_close(layer(x, h0, 0.3)[0], layer(x, h0, everywhere)[0], **EXACT)
        assert torch.equal(layer(x, h0)[0], layer(x, h0, 0.3)[0])
        assert not torch.allclose(layer(x, h0, dt)[0], layer(x, h0)[0])
        assert torch.equal(layer(x, h0, dt.unsqueeze(-1))[0], layer(x, h0, dt)[0])

    def test_permuting_the_neurons_permutes_the_state(self, cell):
        layer, renumbered = cell.make(), cell.make()
        order = torch.tensor([3, 0, 4, 1, 2])
        with torch.no_grad():
            cell.permute(renumbered, order)
        x, h0, dt = cell.draw(4, 7)
        _, h = layer(x, h0, dt)
        places = torch.cat([order + block * H for block in range(cell.blocks)])
        _, h_renumbered = renumbered(x, h0[..., places], dt)
        assert_close(h_renumbered, h[..., places], **EXACT)
        assert not torch.allclose(h_renumbered, h)

    def test_no_time_no_change(self, cell):
        if not cell.rests_at_once:
            pytest.skip("the equations of this cell jump at dt = 0")
        layer = cell.make()
        x, h0, dt = cell.draw(4, 7)
        moved = [
            cell.solved(layer(x, h0, scale * dt)[1] - h0).abs().max().item()
            for scale in (1e-2, 1e-8)
        ]
        assert moved[0] > 1e-4
        assert moved[1] == pytest.approx(1e-6 * moved[0], rel=0.1)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_states_stay_within_the_papers_bounds(self, cell, dtype):
        if cell.bounds is None:
            pytest.skip("the paper proves no bound for this cell or solver")
        layer = cell.make(dtype=dtype)
        low, high = (bound.detach() for bound in cell.bounds(layer))
        slack = 4 * torch.finfo(dtype).eps * (high - low)  # rounding, and no more
        places = torch.tensor([0.0, 1e-6, 0.3, 1.0], dtype=dtype)  # from bound to bound
        h0 = (low + places[:, None] * (high - low))[None]
        for dt in (1e-3, 0.1, 1.0, 30.0, 1e3):
            for size in (0.0, 1.0, 1e3, 1e9):
                x = (size * cell.draw(4, 40)[0]).to(dtype)
                y, h = layer(x, h0, dt)
                for states in (y, h):
                    assert (states >= low - slack).all(), (dt, size)
                    assert (states <= high + slack).all(), (dt, size)

    def test_twice_the_steps_of_half_the_dt_converge_at_the_solvers_order(self, cell):
        if cell.order is None:
            pytest.skip("this cell solves no equation")
        layer = cell.make()
        with torch.no_grad():
            for name, parameter in layer.named_parameters():
                if name.startswith("weight"):
                    parameter.mul_(4)  # a gate that moves: an error to measure
        x, h0, dt = cell.draw(4, 2)
        last = []
        for k in range(3, 7) if cell.order > 1 else range(6, 10):
            finer = (x.repeat_interleave(2**k, 1), h0, dt.repeat_interleave(2**k, 1) / 2**k)
            last.append(layer(*finer)[1])
        changes = [(a - b).norm().log2().item() for a, b in pairwise(last)]
        slopes = [a - b for a, b in pairwise(changes)]
        assert slopes == pytest.approx([cell.order] * 2, abs=0.1)

    def test_gradcheck(self, cell):
        layer = cell.make(batch_first=False)
        names, weights = zip(*layer.named_parameters(), strict=True)
        x, h0, dt = (part.requires_grad_() for part in cell.draw(2, 3))

        def run(x, h0, dt, *weights):
            given = (x.transpose(0, 1), h0, dt.transpose(0, 1))
            return functional_call(layer, dict(zip(names, weights, strict=True)), given)

        assert torch.autograd.gradcheck(run, (x, h0, dt, *weights))

    def test_a_nan_stays_in_its_row(self, cell):
        layer = cell.make()
        x, h0, dt = (part.requires_grad_() for part in cell.draw(4, 7))
        broken = x.detach().clone()
        broken[1, 2] = torch.nan
        broken.requires_grad_()
        rest = [0, 2, 3]
        y, h = layer(x, h0, dt)
        y_broken, h_broken = layer(broken, h0, dt)
        assert y_broken[1, 2:].isnan().all()
        assert cell.solved(h_broken[:, 1]).isnan().all()
        assert torch.equal(y_broken[1, :2], y[1, :2])
        assert torch.equal(y_broken[rest], y[rest])
        assert torch.equal(h_broken[:, rest], h[:, rest])
        clean = torch.autograd.grad(y.square().sum(), [x, h0, dt])
        dirty = torch.autograd.grad(y_broken.square().sum(), [broken, h0, dt])
        assert dirty[0][1].isnan().any()
        assert torch.equal(dirty[0][rest], clean[0][rest])
        assert torch.equal(dirty[1][:, rest], clean[1][:, rest])
        assert torch.equal(dirty[2][rest], clean[2][rest])

    def test_a_lane_equals_its_seed_alone(self, cell):
        seeds = (7, 3, 11)
        pack = Pack(lambda seed: SequenceModel(cell.make(seed), 2), seeds)
        x = torch.stack([cell.draw(4, 7, seed)[0] for seed in seeds])
        h0 = torch.stack([cell.draw(4, 7, seed)[1] for seed in seeds])
        dt = torch.stack([cell.draw(4, 7, seed)[2] for seed in seeds])
        y, h = pack(x, h0, dt)
        (y.sum() + h.square().sum()).backward()
        for i, seed in enumerate(seeds):
            torch.manual_seed(seed)
            alone = SequenceModel(cell.make(seed), 2)
            y_alone, h_alone = alone(x[i], h0[i], dt[i])
            (y_alone.sum() + h_alone.square().sum()).backward()
            assert_close(y[i], y_alone, **EXACT)
            assert_close(h[i], h_alone, **EXACT)
            for name, parameter in alone.named_parameters():
                gradient = pack.get_parameter(name).grad[i]
                assert_close(gradient, parameter.grad, rtol=1e-10, atol=1e-12)

    def test_a_lane_does_not_see_the_other_lanes(self, cell):
        """Bit for bit, with other weights and other input beside it."""

        def middle(seeds):
            pack = Pack(lambda seed: SequenceModel(cell.make(seed), 2), seeds)
            given = [
                torch.stack(part) for part in zip(*(cell.draw(4, 7, s) for s in seeds), strict=True)
            ]
            y, h = pack(*given)
            (y.square().sum() + h.sum()).backward()
            return [y[1], h[1], *(parameter.grad[1] for parameter in pack.parameters())]

        for one, other in zip(middle((7, 3, 11)), middle((5, 3, 2)), strict=True):
            assert torch.equal(one, other)
