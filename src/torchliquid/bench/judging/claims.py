"""What is claimed of liquid networks, each with a verdict computed from the rows.

What a formula settles is in `torchliquid.bench.judging.analytic_claims`. The contrasts, thresholds
and margins below are fixed before any run (see ``docs/method.md``).
A claim holds if the whole interval lies where the claim says, does not hold if the whole interval
lies elsewhere, and otherwise it is inconclusive.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from torchliquid.bench.judging.statistics import (
    Estimate,
    finite,
    median_interval,
    paired_ratio,
    verdict,
)
from torchliquid.bench.run.store import BEFORE, Run

Runs = Mapping[str, Run]

ARTICLE, READER, SCEPTIC = "the article", "its reader", "a sceptic"
"""Who makes a claim: the article in words, a reader who takes it further, or its sceptic."""

COMPARABLE = (0.8, 1.25)
"""Two errors are comparable if the interval of their ratio lies within this."""
FALL = 0.05
"""A time constant falls, or is high, if it differs by at least this share."""
SOON = 5
"""Samples from a jump on over which its effect is averaged."""
_INF = np.inf
_BELOW_ONE, _ABOVE_ONE = np.nextafter(1.0, 0.0), np.nextafter(1.0, 2.0)
"""Models that are exactly equal, as two of the same name or two that diverged, are neither."""


@dataclass(frozen=True)
class _Claim:
    id: str
    claimant: str
    text: str
    rule: str
    unit: str
    estimate: Callable[[], Estimate]
    low: float
    high: float
    detail: Callable[[], str] = str


def article_claims(runs: Runs) -> list[dict[str, Any]]:
    """All claims that the finished runs can answer, in the order of the report.

    Args:
        runs: finished runs by model name.

    Returns:
        For each claim: id, group, claimant, claim, verdict, figure, interval, unit, rule, detail.
    """
    rows: list[dict[str, Any]] = []
    liquids = [name for name in ("LTC-8-euler", "LTC-8") if name in runs] or [
        name for name, run in runs.items() if run.facts["kind"] == "liquid"
    ][:1]
    for name in liquids:
        rows += [_judge(claim, name) for claim in _of_liquid(runs, name)]
    return rows


def _judge(claim: _Claim, liquid: str) -> dict[str, Any]:
    estimate = claim.estimate()
    return {
        "id": f"{claim.id}:{liquid}",
        "group": liquid,
        "claimant": claim.claimant,
        "claim": claim.text,
        "verdict": verdict(estimate, claim.low, claim.high),
        "figure": finite(estimate.figure),
        "interval": [finite(estimate.low), finite(estimate.high)],
        "unit": claim.unit,
        "rule": claim.rule,
        "detail": claim.detail(),
    }


def _of_liquid(runs: Runs, name: str) -> Iterator[_Claim]:
    liquid, lstm = runs[name], runs.get("LSTM-16")
    if lstm is not None:
        yield from _against_lstm(liquid, lstm)
    for rival, why in (
        ("LSTM-4", "LSTM-4, of the same budget"),
        ("ridge-AR", "linear ridge-AR"),
    ):
        if rival in runs:
            yield _lower_error(liquid, runs[rival], "carry", f"sceptic-{rival}", SCEPTIC, why)
    yield from _of_time_constant(liquid)


def _against_lstm(liquid: Run, lstm: Run) -> Iterator[_Claim]:
    yield _Claim(
        "learns-comparably",
        ARTICLE,
        "Learns the training stretch comparably to LSTM-16",
        f"training MSE liquid / LSTM; holds if within {COMPARABLE[0]} to {COMPARABLE[1]}",
        "times the LSTM's",
        lambda: median_interval(_ratio(liquid, lstm, "train_mse")),
        *COMPARABLE,
    )
    for state in ("reset", "carry"):
        yield _Claim(
            f"generalisation-gap-{state}",
            ARTICLE,
            f"LSTM-16's error grows more from training to test, {_STATE[state]}",
            "(test / train MSE of the LSTM) / (the same of the liquid network); holds if above 1",
            "times the liquid's",
            lambda state=state: median_interval(  # type: ignore[misc]
                _without_undefined(
                    _ratio(lstm, liquid, f"test_mse_{state}") / _ratio(lstm, liquid, "train_mse"),
                    lstm.arrays["diverged"] | liquid.arrays["diverged"],
                )
            ),
            _ABOVE_ONE,
            _INF,
            lambda state=state: (  # type: ignore[misc]
                f"test / train: LSTM {_gap(lstm, state)}, liquid {_gap(liquid, state)} (medians). "
                "A ratio says nothing of who predicts better."
            ),
        )
        id_ = f"lower-test-error-{state}"
        yield _lower_error(liquid, lstm, state, id_, READER, "LSTM-16")


_STATE = {"reset": "state reset", "carry": "state carried over"}


def _lower_error(liquid: Run, rival: Run, state: str, id_: str, claimant: str, why: str) -> _Claim:
    measure = f"test_mse_{state}"
    ratio = _ratio(liquid, rival, measure)
    return _Claim(
        id_,
        claimant,
        f"Lower test error than {why}, {_STATE[state]}",
        f"test MSE liquid / {rival.model}; holds if below 1",
        f"times {rival.model}'s",
        lambda: median_interval(ratio),
        0,
        _BELOW_ONE,
        lambda: f"The liquid network is better in {np.sum(ratio < 1)} of {len(ratio)} lanes.",
    )


def _of_time_constant(liquid: Run) -> Iterator[_Claim]:
    arrays = liquid.arrays
    percent = f"{100 * FALL:.0f} %"

    def change(*events: str) -> Estimate:
        soon = slice(BEFORE, BEFORE + SOON)
        after = np.mean([arrays[f"probe_{event}"][:, soon].mean(axis=1) for event in events], 0)
        return median_interval(100 * (after / arrays["probe_control"][:, soon].mean(axis=1) - 1))

    yield _Claim(
        "tau-falls-at-jumps",
        ARTICLE,
        "tau_sys falls when the input jumps",
        f"change of tau_sys over the {SOON} samples from a planted jump on, up or down, against "
        f"the same places without it; holds if below -{percent}",
        "%",
        lambda: change("jump_up", "jump_down"),
        -_INF,
        -100 * FALL,
        lambda: (
            f"Jumps up: {_percent(change('jump_up'))}, jumps down: "
            f"{_percent(change('jump_down'))}. The gate is a sigmoid of a signed sum: it "
            "follows the sign and level of the input, not the size of its change."
        ),
    )
    yield _Claim(
        "tau-high-when-smooth",
        ARTICLE,
        "tau_sys is high where the input is smooth",
        "tau_sys over the third of test steps whose input moves least against the third where it "
        f"moves most; holds if higher by more than {percent}",
        "%",
        lambda: median_interval(100 * arrays["smooth_contrast"]),
        100 * FALL,
        _INF,
    )


def _percent(estimate: Estimate) -> str:
    return f"{estimate.figure:+.1f} %" if np.isfinite(estimate.figure) else "not known"


def _ratio(first: Run, second: Run, measure: str) -> Any:
    ratio = paired_ratio(first.arrays[measure], second.arrays[measure])
    return _without_undefined(ratio, first.arrays["diverged"] & second.arrays["diverged"])


def _without_undefined(values: Any, undefined: Any) -> Any:
    """The values, whose undefined lanes are ties; inconclusive if those are half or more."""
    return np.full_like(values, np.nan) if 2 * np.sum(undefined) >= len(values) else values


def _gap(run: Run, state: str) -> str:
    finite = ~run.arrays["diverged"]
    ratio = run.arrays[f"test_mse_{state}"][finite] / run.arrays["train_mse"][finite]
    return f"{np.median(ratio):.2f}" if len(ratio) else "diverged"
