"""Liquid time-constant cell with a gate for every synapse: the LTC of the package ncps.

A synapse leads from a source i to a destination j. A neuron's state v follows

    cm_j dv_j/dt = gleak_j (vleak_j - v_j) + sum over i of r_ij (erev_ij - v_j)
    r_ij         = w_ij sigmoid(sigma_ij (v_i - mu_ij))

the sum running over the recurrent synapses, with v_i the source's state, and over the sensory ones,
with v_i an input, held constant between samples. Each of the K sub-steps of h = dt / K is the
fused, semi-implicit step, written here so that h = 0 leaves the state where it was:

    v_j' = (cm_j v_j + h N_j) / (cm_j + h D_j)
    N_j  = gleak_j vleak_j + sum r_ij erev_ij,    D_j = gleak_j + sum r_ij + eps

Symbols: v, vleak, mu and the polarity (reversal potential) erev in the unit of the state; sigma in
its inverse; w, gleak >= 0 conductances; cm > 0 capacitance in conductance times the unit of dt;
eps = 1e-8, as in ncps, keeps D above zero.

Only the synapses in the lists exist: the others cost nothing. Sources: Hasani, Lechner, Amini, Rus,
Grosu, "Liquid Time-constant Networks", AAAI 2021, section 2 and algorithm 1; Lechner et al.,
"Neural circuit policies enabling auditable autonomy", Nature Machine Intelligence 2020, methods.
"""

from typing import Any

import torch
from torch import Tensor

from torchliquid.functional._arguments import as_time, check_synaptic
from torchliquid.functional._loop import over_samples

EPSILON = 1e-8


def all_pairs(sources: int, destinations: int, device: torch.device | None = None) -> Tensor:
    """Every synapse ``(sources * destinations, 2)``: a flattened dense matrix's order."""
    every = torch.arange(sources * destinations, device=device)
    return torch.stack([every // destinations, every % destinations], dim=1)


def map_input(x: Tensor, input_w: Tensor | None, input_b: Tensor | None) -> Tensor:
    """``x * input_w + input_b`` of ``x (*S, B, L, I)`` with ``(*S, I)``; None leaves it out."""
    if input_w is not None:
        x = x * input_w.unsqueeze(-2).unsqueeze(-2)
    if input_b is not None:
        x = x + input_b.unsqueeze(-2).unsqueeze(-2)
    return x


def synapse_gates(v: Tensor, edges: Tensor, sigma: Tensor, mu: Tensor) -> Tensor:
    """Gates of the synapses ``(*S, B, E)`` from sources ``v (*S, B, H)``."""
    return torch.sigmoid(sigma.unsqueeze(-2) * (v[..., edges[:, 0]] - mu.unsqueeze(-2)))


def sum_into(values: Tensor, edges: Tensor, hidden: int) -> Tensor:
    """Sums ``(*S, B, H)`` of values ``(*S, B, E)`` over the synapses into each neuron."""
    return values.new_zeros(*values.shape[:-1], hidden).index_add(-1, edges[:, 1], values)


def _currents(
    v: Tensor, edges: Tensor, sigma: Tensor, mu: Tensor, w: Tensor, erev: Tensor, hidden: int
) -> tuple[Tensor, Tensor]:
    """Sums of r erev and of r over the synapses into each neuron, ``(*S, B, H)`` each."""
    r = w.unsqueeze(-2) * synapse_gates(v, edges, sigma, mu)
    return sum_into(r * erev.unsqueeze(-2), edges, hidden), sum_into(r, edges, hidden)


def synaptic(
    x: Tensor,
    h0: Tensor,
    sigma: Tensor,
    mu: Tensor,
    w: Tensor,
    erev: Tensor,
    sensory_sigma: Tensor,
    sensory_mu: Tensor,
    sensory_w: Tensor,
    sensory_erev: Tensor,
    gleak: Tensor,
    vleak: Tensor,
    cm: Tensor,
    input_w: Tensor | None = None,
    input_b: Tensor | None = None,
    synapses: Tensor | None = None,
    sensory: Tensor | None = None,
    dt: float | Tensor = 1.0,
    unfolds: int = 6,
) -> tuple[Tensor, Tensor]:
    """The cell over a sequence.

    Args:
        x: input ``(*S, B, L, I)``.
        h0: state before the first sample, ``(*S, B, H)``.
        sigma: steepness of each recurrent synapse, ``(*S, E)``.
        mu: midpoint, ``(*S, E)``, in the unit of the state.
        w: conductance, ``(*S, E)``, not negative (the caller's softplus or clamp).
        erev: polarity, ``(*S, E)``, any real number.
        sensory_sigma: the same four for each sensory synapse, ``(*S, E_s)``.
        sensory_mu: ``(*S, E_s)``.
        sensory_w: ``(*S, E_s)``.
        sensory_erev: ``(*S, E_s)``.
        gleak: leak conductance, ``(*S, H)``, not negative.
        vleak: state at rest, ``(*S, H)``.
        cm: capacitance, ``(*S, H)``, positive.
        input_w: factor of each input, ``(*S, I)``, or None.
        input_b: offset of each input, ``(*S, I)``, or None.
        synapses: rows of [source neuron, destination neuron], ``(E, 2)`` int64, in any order; None:
            all H^2, the order of a flattened matrix [source, destination]. Shared by all lanes.
        sensory: rows of [input, destination neuron], ``(E_s, 2)``; None: all I H.
        dt: time before each sample, a float or ``(*S, B, L)``, in the unit of cm / gleak.
        unfolds: K, solver sub-steps for one sample.

    Returns:
        States after every sample ``(*S, B, L, H)``, and after the last one ``(*S, B, H)``.
    """
    check_synaptic(
        x,
        h0,
        {"sigma": sigma, "mu": mu, "w": w, "erev": erev},
        {
            "sensory_sigma": sensory_sigma,
            "sensory_mu": sensory_mu,
            "sensory_w": sensory_w,
            "sensory_erev": sensory_erev,
        },
        {"cm": cm, "gleak": gleak, "vleak": vleak},
        {"input_w": input_w, "input_b": input_b},
        synapses,
        sensory,
        dt,
        unfolds,
    )
    H, dt = h0.shape[-1], as_time(dt, x.dtype)
    synapses = all_pairs(H, H, x.device) if synapses is None else synapses
    sensory = all_pairs(x.shape[-1], H, x.device) if sensory is None else sensory
    x = map_input(x, input_w, input_b)
    # of all samples at once: leak and sensory synapses
    tall = [p.unsqueeze(-2) for p in (sensory_sigma, sensory_mu, sensory_w, sensory_erev)]
    top, bottom = _currents(x, sensory, tall[0], tall[1], tall[2], tall[3], H)
    gleak, vleak, cm = (p.unsqueeze(-2) for p in (gleak, vleak, cm))
    top = top + (gleak * vleak).unsqueeze(-2)
    bottom = bottom + gleak.unsqueeze(-2) + EPSILON

    def sample(v: Tensor, top: Tensor, bottom: Tensor, time: Any = dt) -> Tensor:
        h = time / unfolds
        for _ in range(unfolds):
            more_top, more_bottom = _currents(v, synapses, sigma, mu, w, erev, H)
            v = (cm * v + h * (top + more_top)) / (cm + h * (bottom + more_bottom))
        return v

    times = (dt.unsqueeze(-1),) if isinstance(dt, Tensor) else ()
    return over_samples(sample, h0, top, bottom, *times)
