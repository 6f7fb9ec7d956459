"""Liquid-resistance liquid-capacitance unit (LRCU): synapses gate both a rate and a step.

With gates r = sigmoid(sigma (v_i - mu)) of the synapses into a neuron, from neurons and inputs:

    f    = gleak + sum of w r,    z = gleak + sum of k r,    w >= 0
    e    = sigmoid(q + s) - sigmoid(q - s),    q = W u + V v + b,    s >= 0
    dv/dt = e (tanh(z) vleak - sigmoid(f) v)

e, the elastance, is the inverse of a capacitance that depends on input and state; f is the liquid
resistance. One explicit step of dt is the unit of the paper, whose dt is 1; K of them are here, and
a step that is longer than the time constant 1 / (e sigmoid(f)) ends at its equilibrium, so that no
dt makes it diverge. For dt <= 1 nothing is cut.

Symbols: v, vleak, mu in the unit of the state; sigma in its inverse; e in the inverse of the unit
of dt; f, z, w, k, q, s without one. Sources: Farsang, Neubauer, Grosu, "Liquid resistance liquid
capacitance networks", NeuroAI workshop at NeurIPS 2024 (arXiv 2403.08791), equations 9 to 12, with
the symmetric elastance; the authors' code for how weights start.
"""

from typing import Any

import torch
from torch import Tensor

from torchliquid.functional._arguments import (
    as_time,
    check_same_dtype_device,
    check_shapes,
    check_synaptic,
)
from torchliquid.functional._loop import over_samples
from torchliquid.functional._projection import project
from torchliquid.functional.synaptic import all_pairs, sum_into, synapse_gates


def lrcu(
    x: Tensor,
    h0: Tensor,
    sigma: Tensor,
    mu: Tensor,
    w: Tensor,
    k: Tensor,
    sensory_sigma: Tensor,
    sensory_mu: Tensor,
    sensory_w: Tensor,
    sensory_k: Tensor,
    gleak: Tensor,
    vleak: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    shift: Tensor,
    synapses: Tensor | None = None,
    sensory: Tensor | None = None,
    dt: float | Tensor = 1.0,
    unfolds: int = 1,
) -> tuple[Tensor, Tensor]:
    """Run the cell over a sequence.

    Args:
        x: input ``(*S, B, L, I)``.
        h0: state ``(*S, B, H)``.
        sigma: steepness of each recurrent synapse, ``(*S, E)``.
        mu: midpoint, ``(*S, E)``.
        w: weight in f, ``(*S, E)``, not negative.
        k: weight in z, ``(*S, E)``.
        sensory_sigma: the same four for each sensory synapse, ``(*S, E_s)``.
        sensory_mu: ``(*S, E_s)``.
        sensory_w: ``(*S, E_s)``.
        sensory_k: ``(*S, E_s)``.
        gleak: ``(*S, H)``, not negative.
        vleak: ``(*S, H)``.
        weight_ih: W of the elastance, ``(*S, H, I)``.
        weight_hh: V, ``(*S, H, H)``.
        bias: b ``(*S, H)``, or None.
        shift: s ``(*S, H)``, not negative.
        synapses: rows of [source, destination], ``(E, 2)`` int64; None: all H^2.
        sensory: rows of [input, destination], ``(E_s, 2)``; None: all I H.
        dt: time before each sample, a number or ``(*S, B, L)``.
        unfolds: K, steps for one sample.

    Returns:
        States after every sample ``(*S, B, L, H)``, and after the last one ``(*S, B, H)``.

    Raises:
        TorchliquidError: shapes, dtypes or devices that do not fit, or an invalid dt.
    """
    check_synaptic(
        x,
        h0,
        {"sigma": sigma, "mu": mu, "w": w, "k": k},
        {
            "sensory_sigma": sensory_sigma,
            "sensory_mu": sensory_mu,
            "sensory_w": sensory_w,
            "sensory_k": sensory_k,
        },
        {"gleak": gleak, "vleak": vleak, "shift": shift},
        {},
        synapses,
        sensory,
        dt,
        unfolds,
    )
    matrices = {"gleak": gleak, "weight_ih": weight_ih, "weight_hh": weight_hh}
    check_same_dtype_device(matrices, {"bias": bias})
    H, lead, dt = h0.shape[-1], gleak.shape[:-1], as_time(dt, x.dtype)
    check_shapes(
        {
            "weight_ih": (weight_ih, (*lead, H, x.shape[-1])),
            "weight_hh": (weight_hh, (*lead, H, H)),
            "bias": (bias, (*lead, H)),
        }
    )
    edges = all_pairs(H, H, x.device) if synapses is None else synapses
    seen = all_pairs(x.shape[-1], H, x.device) if sensory is None else sensory
    sums, elastances = project(x, weight_ih, bias), weight_hh.transpose(-2, -1)
    leak, goal = gleak.unsqueeze(-2), vleak.unsqueeze(-2)
    tall = [p.unsqueeze(-2) for p in (sensory_sigma, sensory_mu, sensory_w, sensory_k)]
    seen_r = synapse_gates(x, seen, tall[0], tall[1])  # of all samples at once
    f0, z0 = (_sum(seen_r, seen, p, H) + leak.unsqueeze(-2) for p in tall[2:])

    def sample(v: Tensor, q: Tensor, f0: Tensor, z0: Tensor, time: Any = dt) -> Tensor:
        for _ in range(unfolds):
            r = synapse_gates(v, edges, sigma, mu)
            f, z = torch.sigmoid(f0 + _sum(r, edges, w, H)), torch.tanh(z0 + _sum(r, edges, k, H))
            step = torch.minimum(time / unfolds * elastance(q + v @ elastances, shift), 1 / f)
            v = v + step * (z * goal - f * v)
        return v

    times = (dt.unsqueeze(-1),) if isinstance(dt, Tensor) else ()
    return over_samples(sample, h0, sums, f0, z0, *times)


def lrcu_time_constants(
    x: Tensor,
    before: Tensor,
    sigma: Tensor,
    mu: Tensor,
    w: Tensor,
    sensory_sigma: Tensor,
    sensory_mu: Tensor,
    sensory_w: Tensor,
    gleak: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias: Tensor | None,
    shift: Tensor,
    synapses: Tensor,
    sensory: Tensor,
) -> Tensor:
    """1 / (e sigmoid(f)) at states ``before (*S, B, L, H)``, laid out like them."""
    H = before.shape[-1]
    sigma, mu, w, sensory_sigma, sensory_mu, sensory_w, gleak, shift = (
        p.unsqueeze(-2) for p in (sigma, mu, w, sensory_sigma, sensory_mu, sensory_w, gleak, shift)
    )
    f = _sum(synapse_gates(before, synapses, sigma, mu), synapses, w, H)
    f = f + _sum(synapse_gates(x, sensory, sensory_sigma, sensory_mu), sensory, sensory_w, H)
    q = project(x, weight_ih, bias) + project(before, weight_hh, None)
    return 1 / (elastance(q, shift) * torch.sigmoid(f + gleak.unsqueeze(-2)))


def _sum(r: Tensor, edges: Tensor, weight: Tensor, hidden: int) -> Tensor:
    return sum_into(weight.unsqueeze(-2) * r, edges, hidden)


def elastance(q: Tensor, shift: Tensor) -> Tensor:
    """E of its input q ``(*S, B, H)``, in [0, 1)."""
    s = shift.unsqueeze(-2)
    return torch.sigmoid(q + s) - torch.sigmoid(q - s)
