"""`make bench-kernels`: checks the kernels, times them, prints the table, writes kernels.json."""

import argparse
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from cases import CASES, Case
from rich.console import Console
from rich.table import Table
from timing import interleaved

from torchliquid import environment
from torchliquid.kernels import VARIABLE, library

HERE = Path(__file__).parent
Row = dict[str, Any]


def timed(case: Case) -> Row:
    """A case's row; a red check raises before a timing is taken."""
    torch.manual_seed(0)
    case.check()
    ours, other, units = case.build()
    ms = interleaved({"ours": ours, "other": other})
    return row(case.id, case.name, case.other, case.at_least, ms["ours"] / units, ms["other"])


def row(name: str, case: str, other: str, at_least: float, ours: float, theirs: float) -> Row:
    """One entry of the file; for K11 the numbers are megabytes."""
    unit = "mb" if name == "K11" else "ms"
    return {
        "id": name,
        "case": case,
        f"ours_{unit}": ours,
        "other": other,
        f"other_{unit}": theirs,
        "ratio": theirs / ours,
        "at_least": at_least,
    }


def memory() -> Row:
    """K11."""
    command = [sys.executable, str(HERE / "memory.py")]
    ours, theirs = (
        float(subprocess.run([*command, name], check=True, capture_output=True).stdout)
        for name in ("native", "reference")
    )
    case = "LTC train step, memory above the inputs, L10000 B8 I8 H32, 6 unfolds"
    return row("K11", case, "reference loop under autograd", 30, ours, theirs)


def show(rows: list[Row]) -> None:
    """The table, misses marked."""
    table = Table("id", "case", "ours", "against", "theirs", "ratio", "at least", "")
    for r in rows:
        unit = "mb" if "ours_mb" in r else "ms"
        ours, theirs = r[f"ours_{unit}"], r[f"other_{unit}"]
        table.add_row(
            r["id"],
            r["case"],
            f"{ours:.4g} {unit.replace('mb', 'MB')}",
            r["other"],
            f"{theirs:.4g} {unit.replace('mb', 'MB')}",
            f"{r['ratio']:.1f}",
            f"{r['at_least']:g}",
            "" if r["ratio"] >= r["at_least"] else "missed",
        )
    Console(width=140).print(table)


def main() -> int:
    """Run the cases, all or those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="*", help="cases to run, e.g. K1 K4; all without")
    parser.add_argument("--output", type=Path, default=HERE / "kernels.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    os.environ[VARIABLE] = "native"
    rows, red = [], []
    for case in CASES:
        if options.ids and case.id not in options.ids:
            continue
        try:
            rows.append(timed(case))
        except AssertionError as error:
            red.append(case.id)
            print(f"{case.id}: the check is red, nothing is timed\n{error}", file=sys.stderr)
    if not options.ids or "K11" in options.ids:
        rows.append(memory())
    show(rows)
    if not options.ids and not red:
        result = {
            "schema": 1,
            "date": datetime.now(UTC).date().isoformat(),
            "isa": library.loaded().isa,
            "threads": 1,
            "environment": environment.describe(),
            "cases": rows,
        }
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
