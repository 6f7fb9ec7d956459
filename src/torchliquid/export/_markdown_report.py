"""The report for the engineer: what a model costs and how far it is off, beside another's."""

from collections.abc import Mapping, Sequence
from typing import Any

from torchliquid.export._text import render

CLOCK = 64
"""MHz, for sample rates."""
CYCLES = (1.0, 2.0)
"""In an instruction, at least and at most."""
DIVISION = 13
"""Cycles of a Cortex-M4F's division beyond the first."""

Facts = Mapping[str, Any]


def report(facts: Facts, beside: Sequence[Facts] = ()) -> str:
    """The report in Markdown.

    Args:
        facts: of ``report.json``.
        beside: of other exports, for columns of their own.
    """
    every = [facts, *beside]
    cores = []
    for check in facts.get("verified", []):
        measured = [_of_core(one, check["name"]) for one in every]
        if "instructions" in check["facts"]:
            cores.append(
                {
                    "name": check["name"],
                    "of": [one for one in measured if one is not None],
                    "compiler": check["facts"]["compiler"],
                    "flags": check["facts"]["flags"],
                }
            )
    return render("report.md.j2", f={"verified": []} | dict(facts), all=every, cores=cores,
                  clock=CLOCK)  # fmt: skip


def _of_core(facts: Facts, core: str) -> dict[str, Any] | None:
    """What a core takes for a model, as far as it was measured."""
    for check in facts.get("verified", []):
        if check["name"] == core and "instructions" in check["facts"]:
            least, most = cycles(check["facts"]["instructions"], core, facts)
            rows = {
                "name": facts["name"],
                "dtype": facts["options"]["dtype"],
                "cycles": (least, most),
                "rate": CLOCK * 1e6 / most,
            }
            return dict(check["facts"]) | rows
    return None


def cycles(instructions: float, core: str, facts: Facts) -> tuple[float, float]:
    """An estimate of cycles, at least and at most."""
    more = DIVISION * facts["operations"]["divisions"] if core == "Cortex-M4F" else 0
    return CYCLES[0] * instructions + more, CYCLES[1] * instructions + more
