"""Two results of a suite side by side, as of two versions or two machines: what has changed."""

from pathlib import Path
from typing import Any

from torchliquid.bench.judging.statistics import finite, median_interval, paired_ratio
from torchliquid.bench.suites.rows import COLUMNS
from torchliquid.errors import TorchliquidError
from torchliquid.files import check_regular


def compare(first: Path, second: Path) -> list[dict[str, Any]]:
    """A row for each task and model that both folders hold.

    Args:
        first: a folder of a suite's results.
        second: another.

    Returns:
        ``task``, ``model``, ``ratio`` of the test MSEs second / first (median over lanes, which are
        paired by their number), its ``interval``, and ``same``: whether all are equal, digit by
        digit.

    Raises:
        TorchliquidError: a folder without ``rows.csv``, or none that both hold.
    """
    one, two = _errors(first), _errors(second)
    rows = []
    for key in one:
        if key not in two or len(one[key]) != len(two[key]):
            continue
        estimate = median_interval(paired_ratio(two[key], one[key]))
        rows.append(
            {
                "task": key[0],
                "model": key[1],
                "ratio": finite(estimate.figure),
                "interval": [finite(estimate.low), finite(estimate.high)],
                "same": one[key] == two[key],
            }
        )
    if not rows:
        raise TorchliquidError(
            f"{first} and {second} have no task and model with as many lanes in common"
        )
    return rows


def _errors(folder: Path) -> dict[tuple[str, str], list[float]]:
    """Test errors of each task and model, state carried over, lane by lane."""
    import csv

    path = folder / "rows.csv"
    errors: dict[tuple[str, str], list[float]] = {}
    try:
        check_regular(path)
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row["state"] == "carry" and not row["shift"]:
                    errors.setdefault((row["task"], row["model"]), []).append(float(row["mse"]))
    except OSError as error:
        raise TorchliquidError(
            f"cannot read {path} ({error.strerror}): give a folder of a suite's results"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise TorchliquidError(
            f"{path} is no table of rows ({', '.join(COLUMNS)}): run the suite again"
        ) from error
    return errors
