"""Exports of `torchliquid.nn.Resonator` without a gate, at a fixed dt: a rotation a neuron.

At a fixed dt all coefficients are constants: ``z' = a z + b0 q_before + b1 q`` with q = B u: eight
real products a neuron and nothing else. With a gate, or a dt for each sample, each step
takes an exponential, and some a sine and a cosine: those are not written yet.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.export.cells import register_export
from torchliquid.export.cells.base import (
    LINEAR_REACH,
    Array,
    CellExport,
    Counts,
    FloatLayer,
    Folded,
    IntLayer,
    Layer,
    Names,
    Numbers,
    OnnxLayer,
    Pair,
    Weights,
    require,
)
from torchliquid.functional import resonator

Complex = NDArray[np.complex128]


@register_export
class ResonatorExport(CellExport):
    """Damped resonators, linear in the state."""

    name = "Resonator"
    takes_dt = True
    is_linear = True
    gates = 1
    states = ("z", "before")
    sigmoids, tanhs, products = 0, 0, 8
    float_equations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "Resonator": (
            "z = [real parts, imaginary parts], before = w_in u of the sample before",
            "z' = a z + b before + c w_in u, in complex numbers",
        )
    }
    int_equations = ()

    def read(self, weights: Weights, positive: Weights, k: int, module: Any) -> Layer:
        """Return the only layer, its frequencies as ``target`` and time constants as ``tau``."""
        if module.num_layers > 1 or module.gate is not None:
            what = "several layers" if module.num_layers > 1 else f"gate={module.gate!r}"
            raise TorchliquidError(
                f"a Resonator with {what} cannot be exported yet: export one layer with gate=None; "
                "torch.export writes any layer as a program of torch's operations"
            )
        H = module.hidden_size
        return Layer(
            self,
            weights.get("weight_ih_l0", np.ones((H, 1)))[None],
            np.zeros((1, H, 0)),
            np.zeros((1, H)),
            tau=np.exp(-weights["log_rate_l0"]),
            target=np.exp(weights["log_frequency_l0"]),
        )

    def widths(self, layer: Layer) -> tuple[int, ...]:
        """Return the widths of the states: real and imaginary parts, and the drive before."""
        return 2 * layer.hidden, layer.hidden

    def state_range(self, layer: Layer) -> tuple[Numbers, Numbers]:
        """Return bounds of real and imaginary parts, for inputs within `LINEAR_REACH` scales."""
        most = LINEAR_REACH * require(layer.tau) * np.abs(layer.w_in[0]).sum(axis=1)
        return -np.tile(most, 2), np.tile(most, 2)

    def coefficients(self, layer: Layer, h: float) -> tuple[Complex, Complex, Complex]:
        """Return a, b and c of a step, complex, as the equation itself gives them."""
        H = layer.hidden
        given = torch.from_numpy(require(layer.target)), torch.from_numpy(1 / require(layer.tau))
        eye, none = torch.ones(1, H, dtype=torch.float64), torch.zeros(1, H, dtype=torch.float64)
        found = []
        for z, before, drive in ((eye, none, none), (none, eye, none), (none, none, eye)):
            state = torch.cat([z, none, before], dim=1)
            # each resonator is driven by an input of its own
            x = drive[..., None, :]
            _, after = resonator(x, state, *given, weight_ih=torch.eye(H).double(), dt=h)
            values = after[0].numpy()
            found.append(values[:H] + 1j * values[H : 2 * H])
        return found[0], found[1], found[2]

    def _parts(self, layer: Layer, h: float) -> dict[str, Numbers]:
        """Name the real and imaginary parts of the coefficients, as exports hold them."""
        named = zip(("turn", "past", "now"), self.coefficients(layer, h), strict=True)
        return {
            f"{name}_{part}": getattr(values, part)
            for name, values in named
            for part in ("real", "imag")
        }

    def sample(self, layer: Layer, drive: Numbers, h: Numbers, c: Numbers, dt: float) -> Pair:
        """See `CellExport.sample`."""
        H = layer.hidden
        turn, past, now = self.coefficients(layer, dt)
        z = turn * (h[:H] + 1j * h[H:]) + past * c + now * drive[0]
        return np.concatenate([z.real, z.imag]), drive[0]

    def fold(self, layer: Layer, h: float | None, gate_table: bool) -> Folded:
        """See `CellExport.fold`."""
        if h is None:
            raise ValueError("refused before by `check_times`")
        arrays = [Array(name, values, "neuron") for name, values in self._parts(layer, h).items()]
        return self.name, arrays, 0.0

    def helpers(self, form: str, step: float | None) -> set[str]:
        """See `CellExport.helpers`."""
        return set()

    def float_update(self, layer: FloatLayer, t: Names, again: str) -> str:
        """See `CellExport.float_update`: of a linear cell t is the drive."""
        (z, before), at, H = layer.states, layer.at, layer.of.hidden
        turn = f"AT({at('turn_real')})", f"AT({at('turn_imag')})"
        driven = {
            kind: f"(AT({at(f'past_{kind}')}) * {before}[j] + AT({at(f'now_{kind}')}) * {t[0]})"
            for kind in ("real", "imag")
        }
        return (
            f"real = {z}[j];\n"
            f"imag = {z}[j + {H}];\n"
            f"{z}[j] = {turn[0]} * real - {turn[1]} * imag + {driven['real']};\n"
            f"{z}[j + {H}] = {turn[0]} * imag + {turn[1]} * real + {driven['imag']};\n"
            f"{before}[j] = {t[0]};"
        )

    def divisions(self, layer: Layer, gate_table: bool, variable_dt: bool) -> int:
        """See `CellExport.divisions`."""
        return 0

    def int_step(self, layer: IntLayer, drive: Counts, state: dict[str, Counts]) -> None:
        """Refuse: see `int_update`."""
        raise NotImplementedError

    def int_update(self, layer: IntLayer) -> str:
        """Refuse: a linear cell's state is not bounded by its equation."""
        raise NotImplementedError

    def onnx(self, layer: OnnxLayer, states: Names) -> Names:
        """See `CellExport.onnx`."""
        graph, (z, before) = layer.graph, states
        parts = self._parts(layer.of, layer.fixed)
        at = {name: layer.constant(name, values) for name, values in parts.items()}
        real, imag = graph.split(z, 2)

        def driven(part: str) -> str:
            past = graph("Mul", before, at[f"past_{part}"])
            return graph("Add", past, graph("Mul", layer.drive, at[f"now_{part}"]))

        turn = at["turn_real"], at["turn_imag"]
        new_real = graph("Sub", graph("Mul", real, turn[0]), graph("Mul", imag, turn[1]))
        new_imag = graph("Add", graph("Mul", imag, turn[0]), graph("Mul", real, turn[1]))
        ends = graph("Add", new_real, driven("real")), graph("Add", new_imag, driven("imag"))
        return [graph("Concat", *ends, axis=-1), layer.drive]

    def onnx_time_constants(self, layer: OnnxLayer, states: Names) -> str:
        """See `CellExport.onnx_time_constants`: the same at every sample."""
        return layer.constant("tau", require(layer.of.tau))

    def time_constant_range(self, layer: Layer) -> Pair:
        """See `CellExport.time_constant_range`."""
        tau = require(layer.tau)
        return tau, tau
