"""The tables of README and docs/results.md, from the folders of finished benchmarks.

python benchmarks/tables.py results/article results/article-10000 results/easy ...
"""

import json
import sys
from pathlib import Path
from typing import Any

from torchliquid.bench.report import markdown_results
from torchliquid.bench.report.answer import contrast
from torchliquid.bench.report.published import published
from torchliquid.bench.report.tables import markdown

ROWS = (
    ("LSTM-16", "carry"),
    ("LSTM-16", "reset"),
    ("LSTM-4", "carry"),
    ("GRU-4", "carry"),
    ("ridge-AR", "carry"),
    ("persistence", "carry"),
)
STATES = {"carry": "state carried", "reset": "state reset"}
WORDS = {"lower": "**wins**", "higher": "loses", "inconclusive": "inconclusive"}


def verdicts(summaries: dict[str, dict[str, Any]], liquid: str) -> str:
    """The liquid network's test MSE as a multiple of each rival's, task by task."""
    lines = [[f"{liquid} against", *summaries], ["---"] * (1 + len(summaries))]
    for rival, state in ROWS:
        cells = []
        for summary in summaries.values():
            found = contrast(summary, liquid, rival, state)
            cells.append(f"{WORDS[found.word]} {found.figures}" if found else "")
        lines.append([f"{rival}, {STATES[state]}", *cells])
    return markdown(lines)


def four_numbers(summary: dict[str, Any]) -> str:
    """What the article said, and what was measured."""
    found = published(summary)
    if found is None:
        return ""
    rows = [[r["what"], f"{r['said']:g}", f"{r['median']} {r['ends']}"] for r in found["rows"]]
    return markdown([["MSE", "article said", "measured here"], ["---", "---:", "---:"], *rows])


def main() -> int:
    """Print all tables."""
    folders = [Path(name) for name in sys.argv[1:]]
    summaries = {f.name: json.loads((f / "summary.json").read_text()) for f in folders}
    for liquid in ("LTC-8-euler", "LTC-8"):
        print(verdicts(summaries, liquid))
    for name, summary in summaries.items():
        print(f"### {name}\n\n{four_numbers(summary)}\n{markdown_results(summary)}")
        for claim in summary["claims"]:
            ends = [f"{end:.3g}" for end in claim["interval"] if end is not None]
            print(f"- {claim['id']}: {claim['verdict']}, {claim['figure']:.3g} [{', '.join(ends)}]")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
