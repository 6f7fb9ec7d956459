"""Write docs/claims.md: claims of the literature, and what the committed suites say of each.

Figures and verdicts are read from ``suites/*.json`` and ``benchmarks/kernels.json``; a test says
when the page is out of date.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "claims.md"
WORDS = {
    "lower": "holds",
    "higher": "the opposite",
    "as good as": "no difference",
    "lower, within the margin": "no difference",
    "higher, within the margin": "no difference",
    "inconclusive": "not settled",
}
"""What a verdict on first / second says of a claim that the first is lower."""


@dataclass(frozen=True)
class Evidence:
    """Planned contrasts of one suite: the claim says that the first model's error is lower.

    Args:
        suite: name of a file in ``suites``.
        first: model of which the claim speaks.
        second: its rival.
        tasks: of the suite; empty: all.
        shifts: kinds of shifted input, whose growth of the error is compared; empty: none.
    """

    suite: str
    first: str
    second: str
    tasks: tuple[str, ...] = ()
    shifts: tuple[str, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """The rows of the suite's JSON."""
        every: list[dict[str, Any]] = load(f"suites/{self.suite}.json")["contrasts"]
        return [
            row
            for row in every
            if (row["first"], row["second"]) == (self.first, self.second)
            and (not self.tasks or row["task"] in self.tasks)
            and ((row["shift"] in self.shifts and row["of"] == "growth") if self.shifts
                 else row["shift"] is None)
        ]  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """A claim in our words.

    Args:
        name: a few words.
        says: what is claimed.
        source: where.
        settles: what would settle it.
        evidence: contrasts of suites.
        remark: what the figures leave open; with ``{...}`` of `kernels`.
    """

    name: str
    says: str
    source: str
    settles: str
    evidence: tuple[Evidence, ...] = ()
    remark: str = ""


DROPS = ("dropped", "gaps", "stuck", "late")
ELSEWHERE = ("drift", "gain", "speed", "rate")
CLAIMS = (
    Claim(
        "A twelfth of the parameters",
        "A liquid network of 105 parameters is a profound alternative to an LSTM of 1,233: its "
        "test error is lower, or close to it, on a sum of sines.",
        'Mohapatra, "Deconstructing Liquid Neural Networks", part 3 (first wording)',
        "Both tuned alike, on many signals of the kind, and on the article's own.",
        (
            Evidence("population", "LTC-8", "LSTM-16"),
            Evidence("long", "LTC-8", "LSTM-16"),
            Evidence("tuned", "LTC-8", "LSTM-16", ("article", "easy")),
        ),
        "With a twelfth of the parameters the error is the same within what 64 signals can show; "
        "it is surely lower on one easier signal.",
    ),
    Claim(
        "It learnt the generating dynamics",
        "The network has learnt the dynamics that generated the signal, and so generalises.",
        "the same page (second, softened wording)",
        "What generates a sum of sines is a linear recurrence. Who has learnt it has the error of "
        "a regression on enough lags, also at irregular times, where the dynamics are the same.",
        (
            Evidence("population", "LTC-8", "interpolated-AR"),
            Evidence("population", "LTC-8-solved", "interpolated-AR"),
        ),
        "",
    ),
    Claim(
        "The LTC paper's tables",
        "LTC has less error than LSTM and CT-RNN on half-cheetah, occupancy and others.",
        "Hasani et al., AAAI 2021; its repository trains LTC at a rate of 0.01 to 0.02 and all "
        "other models at 0.001",
        "The same size (32 units) and every model's rate chosen on validation data, by the same "
        "number of trials. Here: half-cheetah, one column one step on; CO2 of the occupancy set.",
        (
            Evidence("claims", "LTC-32", "LSTM-32"),
            Evidence("claims", "LTC-32", "CTRNN-32"),
            Evidence("claims", "LTC-32", "GRU-32"),
            Evidence("real", "LTC-8", "LSTM-16"),
        ),
        "Of these the targets are not the paper's. **Its own half-cheetah holds at equal effort** "
        "([results](results-cells.md)): NCP, the cell of its code, has 2.132 where an LSTM of as "
        "many parameters has 2.418 and CT-RNN 2.433, each at its own best rate, 16 seeds; most of "
        "the distance to CT-RNN was one of rates. The cell with one gate a neuron lies between. "
        "**Its occupancy does not hold**: by either protocol NCP and LSTM differ by less than two "
        "standard errors, and a threshold on light alone has a sixth of the networks' errors.",
    ),
    Claim(
        "CfC is one to five orders of magnitude faster",
        "Closed-form networks train and infer one to five orders of magnitude faster than those "
        "based on differential equations.",
        'Hasani et al., "Closed-form continuous-time neural networks", 2022 (abstract)',
        "A training step of both in the package that people use, and of an LTC by native kernels.",
        (),
        "In `ncps` a CfC's step takes {cfc:.1f} ms where its LTC with six sub-steps takes "
        "{ltc:.1f}: {faster:.1f} times faster, less than one order. An LTC with one gate a neuron "
        "by native kernels takes {ours:.2f} ms: the differential equation is {beyond:.0f} times "
        "faster than the closed form. (B 32, L 32, I 8, H 32, one thread.) The same two models of "
        "ncps by this package's kernels take 1.0 and 4.1 ms ([speed](speed.md)). **Does not hold** "
        "as a sentence about equations: the order is one of implementations.",
    ),
    Claim(
        "Robust to samples that drop out",
        "Liquid networks keep their accuracy when samples are dropped, where an LSTM loses it.",
        "arXiv 2605.27467 (2026), on CfC; repeated of LTC in posts",
        "How much the error grows when trained models meet dropped, stuck, late samples and gaps.",
        (
            Evidence("full", "LTC-8", "LSTM-16", shifts=DROPS),
            Evidence("real", "LTC-8", "LSTM-16", shifts=DROPS),
        ),
        "Of LTC; CfC was not run under faults yet.",
    ),
    Claim(
        "Better out of distribution",
        "Liquid networks generalise better to input unlike that of training.",
        "arXiv 2510.07578 (review), and the LTC papers",
        "How much the error grows under drift, other gains, speeds and sampling rates.",
        (
            Evidence("full", "LTC-8", "LSTM-16", shifts=ELSEWHERE),
            Evidence("real", "LTC-8", "LSTM-16", shifts=ELSEWHERE),
        ),
        "",
    ),
    Claim(
        "A time constant that follows the input is worth something",
        "What is liquid about a liquid network, the input in its time constant, lowers the error.",
        "the idea of LTC; Liquid-S4 (2209.12951) and LrcSSM (2505.21717) of state spaces",
        "The same cell without it: CT-RNN for LTC, resonators without a gate for those with one.",
        (
            Evidence("gates", "Resonator-12-open-solved", "Resonator-12-solved"),
            Evidence("gates", "Resonator-12-open-solved", "Resonator-18-solved"),
            Evidence("resonators", "Resonator-12-open-solved", "Resonator-12-solved"),
            Evidence("gates", "LTC-8-solved", "CTRNN-8-solved"),
            Evidence("chaos", "LTC-8", "CTRNN-8"),
            Evidence("population", "LTC-8", "CTRNN-8"),
        ),
        "In a linear bank in chaos the gate is decisive, but it is the bank's only nonlinearity; "
        "on sines it is worth nothing. In the LTC, which has another, it earns a third at "
        "irregular times in two chaotic systems, with solved readouts, and nothing sure elsewhere.",
    ),
    Claim(
        "Time in the equation",
        "A cell that takes the time between samples handles irregular series by itself.",
        'Hasani et al. 2021, 2022; Lechner and Hasani, "Learning long-term dependencies in '
        'irregularly-sampled time series", 2020',
        "The same cell fed samples interpolated onto an even grid, which know no time.",
        (
            Evidence("interpolated", "LTC-8", "GRU-4-interpolated"),
            Evidence("population", "LTC-8", "interpolated-AR", ("irregular",)),
        ),
        "Interpolation first is better on this kind; a filter that follows the gaps is better "
        "still ([results](results-sines.md)).",
    ),
    Claim(
        "Learnt damping helps",
        "A learnt damping of oscillators (D-LinOSS) beats a fixed one (LinOSS).",
        "Boyer et al., arXiv 2505.12171, 2025",
        "Resonators whose time constants are trained, and the same with time constants that stay "
        "where they start, which each lane tunes alike.",
        (Evidence("damping", "Resonator-12-solved", "Resonator-12-fixed-solved"),),
        "The mechanism, in one layer with a solved readout; not the papers' deep models.",
    ),
    Claim(
        "The time constant explains what the network does",
        "tau_sys falls when the input jumps: the network reacts faster, and one can see it.",
        "the article, part 1 and 3; interpretability claims of LTC and NCP papers",
        "The mean response of tau_sys to jumps up and down, against a control without a jump.",
        (),
        "**Does not hold** for LTC-8: tau_sys follows the level of the input, down after jumps up, "
        "up after jumps down ([the claims of the article](results-article.md)).",
    ),
    Claim(
        "CfC leads on irregular series",
        "Closed-form networks are ahead of LTC and gated networks where samples are irregular.",
        "arXiv 2106.13898, on person activity and Walker2D",
        "Irregular series, and every model tuned alike. Not the paper's: its data is not at hand.",
        (
            Evidence("cells", "CfC-8", "LTC-8"),
            Evidence("cells", "CfC-8-direct", "LTC-8"),
            Evidence("cells", "CfC-8", "LSTM-8"),
            Evidence("cells", "CfC-8", "DecayGRU-8"),
        ),
        "Surely ahead of LTC-8, which has a third of the parameters, on one task without its "
        "backbone; of LSTM-8 and a GRU with decay nowhere, with fourteen times their parameters.",
    ),
    Claim(
        "LRC is far more accurate at one unfold",
        "A liquid capacitance dramatically increases accuracy, even with one explicit step.",
        "arXiv 2403.08791 (workshop at NeurIPS 2024)",
        "LRCU beside LTC with one semi-implicit step, tuned alike.",
        (Evidence("cells", "LRCU-8", "LTC-8"),),
        "",
    ),
    Claim(
        "NCPs drive with 19 neurons",
        "A wired circuit of 19 neurons steers a car, with less than dense networks and better.",
        "Lechner et al., Nature Machine Intelligence 2020",
        "The driving data.",
        (),
        "**Cannot be settled here**: the cell and its wiring are here, the data is not at hand.",
    ),
)


@cache
def load(path: str) -> dict[str, Any]:
    """A JSON file of the repository."""
    content: dict[str, Any] = json.loads((ROOT / path).read_text(encoding="utf-8"))
    return content


def kernels() -> dict[str, float]:
    """Milliseconds of training steps, by processor time."""
    cases = {case["id"]: case for case in load("benchmarks/kernels.json")["cases"]}
    cfc, ours = cases["K8b"]["other_ms"], cases["K8b"]["ours_ms"]
    ltc = cases["K8a"]["other_ms"]
    return {"cfc": cfc, "ltc": ltc, "ours": ours, "faster": ltc / cfc, "beyond": cfc / ours}


def verdict_of(rows: list[dict[str, Any]]) -> str:
    """How often a claim holds, in words."""
    counts = Counter(WORDS[row["verdict"]] for row in rows)
    order = dict.fromkeys(WORDS.values())
    return ", ".join(f"{word} {counts[word]}" for word in order if counts[word])


def line(row: dict[str, Any]) -> str:
    """A row of a table."""
    low, high = (("-" if v is None else f"{v:.3g}") for v in row["interval"])
    task = row["task"] + (f", {row['shift']}" if row["shift"] else "")
    models = f"{row['first']} / {row['second']}"
    return f"| {task} | {models} | {row['ratio']:.3g} [{low}, {high}] | {WORDS[row['verdict']]} |"


def section(claim: Claim) -> str:
    """A claim, its figures and its verdict."""
    parts = [f"## {claim.name}", f"{claim.says} *{claim.source}.*"]
    parts.append(f"**What would settle it.** {claim.settles}")
    every = []
    for evidence in claim.evidence:
        rows = evidence.rows()
        every += rows
        of = "growth of the test error" if evidence.shifts else "test MSE"
        head = f"`suites/{evidence.suite}.toml`, {of}, first / second: {verdict_of(rows)}."
        if evidence.shifts:
            parts.append(head)
        else:
            table = ["| task | models | ratio [95 %] | the claim |", "| --- | --- | --- | --- |"]
            parts.append(head + "\n\n" + "\n".join([*table, *map(line, rows)]))
    if every:
        parts.append(f"**Verdict**, of {len(every)} planned rows: {verdict_of(every)}.")
    if claim.remark:
        parts.append(claim.remark.format(**kernels()))
    return "\n\n".join(parts)


def summary() -> str:
    """A line for each claim."""
    lines = ["| claim | verdict, by planned rows |", "| --- | --- |"]
    for claim in CLAIMS:
        rows = [row for evidence in claim.evidence for row in evidence.rows()]
        words = re.search(r"\*\*(.+?)\*\*", claim.remark)
        verdict = verdict_of(rows) if rows else words[1].lower() if words else ""
        anchor = re.sub(r"[^a-z0-9]+", "-", claim.name.lower()).strip("-")
        lines.append(f"| [{claim.name}](#{anchor}) | {verdict} |")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    lines = [
        "# Claims of the literature",
        "Claims that are made of liquid networks, in our words, each with what would settle it and "
        "what the suites of this repository say. Tables and verdicts are computed from "
        "`suites/*.json` by `python tools/claims_page.py`. A claim is read as \"the first model's "
        'error is lower": *holds* where the planned contrast says lower, *the opposite* where it '
        "says higher, *no difference* where the interval lies within a tenth of 1, *not settled* "
        "where it is inconclusive ([how verdicts are reached](method.md)).",
        summary(),
        *map(section, CLAIMS),
    ]
    return "\n\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
