"""Exports of `torchliquid.LTC`.

A step in C takes one of these forms, the same value in each (`torchliquid.functional.ltc` has the
equation):

- quotient (semi-implicit): ``x' = ((1 + e) x + dt A) / ((1 + e) (1 + dt / tau) + dt)`` with
  e = exp(-z), one division for step and sigmoid;
- blend (semi-implicit with dt fixed and a table; Euler): ``x' = x + g (slope x + pull) - leak x``.
  The semi-implicit step is one: with c = 1 + dt / tau and g = sigmoid(z + log((c + dt) / c)),
  ``x' = g (x + dt A) / (c + dt) + (1 - g) x / c``, which needs no division at all;
- fused, euler, exponential: the equation as it stands.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from torchliquid.errors import TorchliquidError
from torchliquid.export._text import number
from torchliquid.export.cells import register_export
from torchliquid.export.cells._blended import BlendedCell
from torchliquid.export.cells.base import (
    Array,
    Blend,
    FloatLayer,
    Folded,
    Layer,
    Names,
    Numbers,
    OnnxLayer,
    Pair,
    require,
    sigmoid,
)
from torchliquid.export.onnx._graph import Graph
from torchliquid.functional.ltc import COEFFICIENTS, SMALL


@register_export
class LTCExport(BlendedCell):
    """Liquid time constants; solvers semi_implicit, euler and exponential."""

    name = "LTC"
    moves = True
    sigmoids, tanhs, products = 1, 0, 4
    float_equations: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "quotient": (
            "t  = bias + w_in u + w_rec x, exp(-z) = 2^t",
            "x' = (x + h f A) / (1 + h (1/tau + f)), f = 1 / (1 + exp(-z))",
            "both multiplied by 1 + exp(-z): one division; leak = 1 + h / tau, pull = h A",
        ),
        "blend": (
            "t  = bias + w_in u + w_rec x, g = sigmoid(z)",
            "x' = (1 - g) closed(x) + g open(x): steps with the gate closed and open, "
            "straight in x",
            "   = x + g (slope x + pull) - leak x",
        ),
        "fused": (
            "t  = bias + w_in u + w_rec x, f = sigmoid(z)",
            "x' = (x + h f A) / (1 + h (rate + f)), rate = 1/tau, A = target",
        ),
        "euler": (
            "t  = bias + w_in u + w_rec x, f = sigmoid(z)",
            "x' = x + h (f A - (rate + f) x), rate = 1/tau, A = target",
        ),
        "exponential": (
            "t  = bias + w_in u + w_rec x, f = sigmoid(z)",
            "x' = x + (f A - r x) (1 - exp(-h r)) / r, r = rate + f, rate = 1/tau, A = target",
        ),
    }
    int_equations = (
        "g  = sigmoid(z), z = factor (bias + w_in u + w_rec x)",
        "x' = x + g (slope x + pull) - leak x",
    )
    int_arrays = ("pull", "slope", "leak")

    def state_range(self, layer: Layer) -> tuple[Numbers, Numbers]:
        """Return 0 and A, in order: theorem 2 of Hasani et al. 2021."""
        target = require(layer.target)
        return np.minimum(target, 0), np.maximum(target, 0)

    def sample(self, layer: Layer, drive: Numbers, h: Numbers, c: Numbers, dt: float) -> Pair:
        """See `CellExport.sample`."""
        for _ in range(layer.unfolds):
            gate = sigmoid(drive[0] + layer.w_rec[0] @ h)
            h = _solved(layer, gate, h, dt / layer.unfolds)
        return h, c

    def fold(self, layer: Layer, h: float | None, gate_table: bool) -> Folded:
        """See `CellExport.fold`."""
        tau, target = require(layer.tau), require(layer.target)
        check_solver(layer)
        if h is None or layer.solver == "exponential" or is_cut(layer, h):
            forms = {"semi_implicit": "fused" if gate_table else "quotient"}
            form = forms.get(layer.solver, layer.solver)
            return form, [Array("rate", 1 / tau, "neuron"), Array("target", target, "neuron")], 0.0
        if layer.solver == "semi_implicit" and not gate_table:
            leak = Array("leak", 1 + h / tau, "neuron")
            return "quotient", [leak, Array("pull", h * target, "neuron")], 0.0
        blend = self.blend(layer, h)
        # as differences: 1 less a small leak, rounded, would be another leak
        named = {"leak": 1 - blend.keep, "slope": blend.slope, "pull": blend.pull}
        return "blend", [Array(n, values, "neuron") for n, values in named.items()], blend.shift

    def helpers(self, form: str, step: float | None) -> set[str]:
        """See `CellExport.helpers`."""
        if form == "quotient":
            return set()
        return {"sigmoid", "decay"} if form == "exponential" else {"sigmoid"}

    def float_about(self, layer: FloatLayer) -> str:
        """Return the solver, its sub-steps and their time."""
        of = layer.of
        step = "" if layer.step is None else f", h = {layer.step:.9g}"
        unfolds = f"{of.unfolds} sub-steps of h a sample" if of.unfolds > 1 else "one step a sample"
        return f", solver {of.solver}, {unfolds}{step}"

    def float_update(self, layer: FloatLayer, t: Names, again: str) -> str:
        """See `CellExport.float_update`."""
        x, at = layer.states[0], layer.at
        h = "h" if layer.timed else number(layer.step) if layer.step else ""
        if layer.form == "quotient":
            head = (
                f"const quotient e = power_of_two({t[0]});\nconst float both = e.up + e.down;\n\n"
            )
            if layer.timed:
                return head + (
                    f"{x}[j] = (before[j] * both + h * AT({at('target')}) * e.down) /\n"
                    f"    (both + h * (AT({at('rate')}) * both + e.down));"
                )
            times_h = "" if layer.step == 1 else h + " * "
            return head + (
                f"{x}[j] = (before[j] * both + AT({at('pull')}) * e.down) /\n"
                f"    (AT({at('leak')}) * both + {times_h}e.down);"
            )
        if layer.form == "blend":
            return (
                f"{x}[j] = before[j] + (sigmoid({t[0]}) * (AT({at('slope')}) * before[j] + "
                f"AT({at('pull')})) -\n    AT({at('leak')}) * before[j]);"
            )
        steps = {
            "euler": f"(rate * {h} < 1.0f ? {h} : 1.0f / rate); /* no longer than tau_sys */",
            "fused": f"{h} / (1.0f + {h} * rate);",
            "exponential": f"decayed({h} * rate) / rate;",
        }
        return (
            f"const float f = sigmoid({t[0]});\n"
            f"const float rate = AT({at('rate')}) + f; /* 1 / tau_sys */\n"
            f"const float slope = f * AT({at('target')}) - before[j] * rate;\n\n"
            f"{x}[j] = before[j] + slope * {steps[layer.form]}"
        )

    def divisions(self, layer: Layer, gate_table: bool, variable_dt: bool) -> int:
        """See `CellExport.divisions`."""
        of_step = 2 if layer.solver == "exponential" else int(variable_dt)
        if gate_table:
            return of_step
        return 1 if layer.solver == "semi_implicit" else of_step + 1

    def largest_factor(self, layer: Layer, dt: float) -> float:
        """See `CellExport.largest_factor`."""
        h = dt / layer.unfolds
        largest = np.abs(require(layer.target)).max() * max(1.0, h)
        return float(max(2.0, h, largest, (1 + h / require(layer.tau)).max()))

    def blend(self, layer: Layer, h: float) -> Blend:
        """See `CellExport.blend`."""
        tau = require(layer.tau)
        none = np.zeros_like(tau)
        c = 1 + h / tau
        check_solver(layer)
        target = require(layer.target)
        if layer.solver == "exponential":
            raise TorchliquidError(
                "a step of solver 'exponential' is not straight in the state: export float32, or "
                "set model.layer.solver = 'semi_implicit' and measure the model's error again"
            )
        if layer.solver == "euler":
            if is_cut(layer, h):
                raise TorchliquidError(
                    f"an Euler step of dt {h * layer.unfolds:g} may be longer than the fastest "
                    "neuron's time constant, where it is cut: export float32, or give a smaller "
                    "dt, more unfolds, or solver = 'semi_implicit' (and measure the model's error "
                    "again)"
                )
            return Blend(1 - h / tau, none - h, h * target, none)
        keep = 1 / c
        return Blend(keep, 1 / (c + h) - keep, h * target / (c + h), np.log1p(h / c))

    def onnx(self, layer: OnnxLayer, states: Names) -> Names:
        """See `CellExport.onnx`."""
        graph = layer.graph
        (x,) = states
        z = graph("Add", layer.drive, layer.recurrent(x))
        rate = layer.constant("rate", 1 / require(layer.of.tau))
        check_solver(layer.of)
        target = layer.constant("target", layer.of.target)
        f = graph("Sigmoid", z)
        whole = graph("Add", rate, f)  # 1 / tau_sys
        if layer.of.solver == "semi_implicit":
            above = graph("Add", x, graph("Mul", layer.h, graph("Mul", f, target)))
            return [
                graph("Div", above, graph("Add", graph.number(1), graph("Mul", layer.h, whole)))
            ]
        slope = graph("Sub", graph("Mul", f, target), graph("Mul", x, whole))
        if layer.of.solver == "euler":
            length = graph("Min", layer.h, graph("Reciprocal", whole))
        else:
            length = _decayed(graph, layer.h, whole)
        return [graph("Add", x, graph("Mul", length, slope))]

    def onnx_time_constants(self, layer: OnnxLayer, states: Names) -> str:
        """See `CellExport.onnx_time_constants`: ``1 / (1/tau + f)``."""
        graph = layer.graph
        rate = layer.constant("rate", 1 / require(layer.of.tau))
        f = graph("Sigmoid", graph("Add", layer.drive, layer.recurrent(states[0])))
        return graph("Reciprocal", graph("Add", rate, f))

    def time_constant_range(self, layer: Layer) -> Pair:
        """See `CellExport.time_constant_range`: gates lie in (0, 1)."""
        tau = require(layer.tau)
        return tau / (1 + tau), tau


def check_solver(layer: Layer) -> None:
    """Check that an exporter knows the layer's step."""
    if layer.solver == "rk4":
        raise TorchliquidError(
            "solver 'rk4' has no closed step to export: set model.layer.solver = 'semi_implicit', "
            "and measure the model's error again before you ship it"
        )


def is_cut(layer: Layer, h: float) -> bool:
    """Return whether a sub-step of Euler's may be longer than a time constant, where it is cut.

    Raises:
        TorchliquidError: it is longer than twice that, where Euler's step is unstable.
    """
    if layer.solver != "euler":
        return False
    tau = require(layer.tau)
    fastest = float((tau / (1 + tau)).min())
    if h > 2 * fastest:
        raise TorchliquidError(
            f"an Euler step of dt {h * layer.unfolds:g} is unstable: it is longer than twice the "
            f"fastest neuron's time constant ({2 * fastest * layer.unfolds:.3g} is the most); give "
            "a smaller dt, more unfolds, or set model.layer.solver = 'semi_implicit'"
        )
    return h > fastest


def _solved(layer: Layer, f: Numbers, x: Numbers, h: float) -> Numbers:
    rate = 1 / require(layer.tau) + f
    slope = f * require(layer.target) - x * rate
    if layer.solver == "euler":
        return x + np.minimum(h, 1 / rate) * slope
    if layer.solver == "exponential":
        return x - np.expm1(-h * rate) / rate * slope
    return x + h * slope / (1 + h * rate)


def _decayed(graph: Graph, h: str, rate: str) -> str:
    """``(1 - exp(-h rate)) / rate``, by a series where that cancels."""
    v = graph("Mul", h, rate)
    few = graph("Min", v, graph.number(SMALL))
    series = graph.number(COEFFICIENTS[7])
    for coefficient in COEFFICIENTS[6::-1]:
        series = graph("Add", graph("Mul", series, few), graph.number(coefficient))
    long = graph("Div", graph("Sub", graph.number(1), graph("Exp", graph("Neg", v))), rate)
    small = graph("Less", v, graph.number(SMALL))
    return graph("Where", small, graph("Mul", h, series), long)
