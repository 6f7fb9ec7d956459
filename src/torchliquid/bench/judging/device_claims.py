"""The claim that liquid networks are for the edge, judged by what their exports cost."""

import json
from pathlib import Path
from typing import Any

from torchliquid.bench.judging.claims import ARTICLE, SCEPTIC


def edge(folder: Path) -> dict[str, Any] | None:
    """What was measured of the exported models of a benchmark, with verdicts; None: nothing was."""
    try:
        record: dict[str, Any] = json.loads((folder / "edge.json").read_text(encoding="utf-8"))
        rows = sorted(record["rows"], key=lambda row: float(row["instructions"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    liquids = [n for n in ("LTC-8-euler", "LTC-8") if any(row["model"] == n for row in rows)]
    claims = [claim for liquid in liquids for claim in _claims(rows, liquid)]
    return record | {"rows": rows, "claims": claims}


def _claims(rows: list[dict[str, Any]], liquid: str) -> list[dict[str, Any]]:
    by_name = {(row["model"], row["dtype"]): row for row in rows}
    costs = by_name.get((liquid, "float32"))
    if costs is None:
        return []
    claims = []
    lstm = by_name.get(("LSTM-16", "float32"))
    if lstm is not None:
        flash, work = (lstm[key] / costs[key] for key in ("flash", "instructions"))
        claims.append(
            {
                "claim": f"{liquid} takes less flash and fewer instructions than LSTM-16",
                "claimant": ARTICLE,
                "verdict": "holds" if min(flash, work) > 1 else "does not hold",
                "proof": f"In single precision LSTM-16 takes {flash:.1f} times the flash and "
                f"{work:.1f} times the instructions a step. {liquid}'s test MSE is "
                f"{costs['test_mse'] / lstm['test_mse']:.3g} times that of LSTM-16.",
            }
        )
    others = [
        row
        for row in rows
        if row["kind"] != "liquid"
        and row["dtype"] == "float32"
        and row["test_mse"] <= costs["test_mse"]
    ]
    better = [
        row for row in others if all(row[key] <= costs[key] for key in ("flash", "instructions"))
    ]
    near = min(others, key=lambda row: float(row["instructions"]), default=None)
    proof = "None of another kind has as low a test error."
    if near is not None:
        proof = (
            f"Of those with as low a test error, {near['model']} takes the fewest "
            f"instructions: {near['instructions'] / costs['instructions']:.2f} times {liquid}'s, "
            f"with {near['flash'] / costs['flash']:.2f} times its flash and "
            f"{near['test_mse'] / costs['test_mse']:.2f} times its test MSE."
        )
    claims.append(
        {
            "claim": f"No network of another kind errs less here than {liquid} and costs less",
            "claimant": SCEPTIC,
            "verdict": "does not hold" if better else "holds",
            "proof": proof,
        }
    )
    return claims
