"""Claims that a formula settles: a proof in a line, no statistic.

The claims are those of "Deconstructing Liquid Neural Networks (LNNs)" (parts 1 to 3, 2026).
"""

from collections.abc import Mapping

import numpy as np

from torchliquid.bench.judging.claims import ARTICLE
from torchliquid.bench.run.store import Run
from torchliquid.bench.tasks.task import Task

_HOLDS, _FAILS = "holds", "does not hold"


def settled_claims(task: Task, runs: Mapping[str, Run]) -> list[dict[str, str]]:
    """The claims about the article's task that its formulas decide; none for other tasks.

    Returns:
        For each: claimant, claim, verdict, proof.
    """
    if not task.is_articles:
        return []
    liquids = [run for run in runs.values() if run.facts["kind"] == "liquid"]
    ours = [run for run in liquids if run.model in ("LTC-8", "LTC-8-euler")]
    claims = []
    if ours and "LSTM-16" in runs:
        liquid, lstm = ours[0].facts["parameters"], runs["LSTM-16"].facts["parameters"]
        same = 4 * 8 * (1 + 8 + 2) + 8 + 1
        claims += [
            (
                "About 12 times fewer parameters than the LSTM",
                _HOLDS,
                f"{lstm:,} / {liquid} = {lstm / liquid:.1f}; at the same number of neurons, 8, it "
                f"is {same} / {liquid} = {same / liquid:.1f}.",
            ),
            (
                "The LSTM of 1,233 parameters has 8 units",
                _FAILS,
                "4 x 16 x (1 + 16 + 2) + 16 + 1 = 1,233 belongs to 16 units; 8 units and their "
                f"readout have {same}.",
            ),
        ]
    if liquids:
        shares = np.concatenate([run.arrays["lowest_share"] for run in liquids])
        shares = shares[np.isfinite(shares)]
        met = f" The lowest met here is {shares.min():.2f} of tau." if len(shares) else ""
        dt = f"{task.dt:.3g}" if isinstance(task.dt, float) else "dt"
        claims += [
            (
                "tau_sys drops toward zero",
                _FAILS,
                "tau_sys = tau / (1 + tau f) with f in (0, 1) stays above tau / (1 + tau): for "
                f"tau = 1.31, where it starts, above 0.57.{met}",
            ),
            (
                "Old memory is flushed within a single step",
                _FAILS,
                "An Euler step takes away dt / tau_sys = dt / tau + dt f of the state: the input "
                f"decides about f alone, so about dt = {dt} of it at most.",
            ),
        ]
    claims.append(
        (
            "The test stretch measures out-of-distribution generalisation",
            _FAILS,
            "It is the same sum of sines with the same noise, later.",
        )
    )
    return [
        {"claimant": ARTICLE, "claim": claim, "verdict": verdict, "proof": proof}
        for claim, verdict, proof in claims
    ]
