"""Every error of every lane of a suite, as one table."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from torchliquid.bench.run.store import Run, write_file
from torchliquid.errors import TorchliquidError
from torchliquid.files import check_regular

COLUMNS = ("task", "model", "parameters", "lane", "state", "shift", "severity", "mse")
Row = tuple[str, str, int, int, str, str, int, float]


def rows(runs: Mapping[str, Mapping[str, Run]], severities: tuple[int, ...]) -> Iterator[Row]:
    """A row a lane and measure: `COLUMNS`; without a shift, shift is empty and severity 0.

    Errors are in the task's scaled units, infinite where a lane diverged.
    """
    for task, models in runs.items():
        for model, run in models.items():
            head = (task, model, run.facts["parameters"])
            for state in ("carry", "reset"):
                for lane, error in enumerate(run.arrays[f"test_mse_{state}"].tolist()):
                    yield *head, lane, state, "", 0, error
            for kind, errors in run.shifts().items():
                for severity, of_lanes in zip(severities, np.asarray(errors), strict=True):
                    for lane, error in enumerate(of_lanes.tolist()):
                        yield *head, lane, "carry", kind, severity, error


def write_csv(path: Path, lines: Iterator[Row]) -> None:
    """The rows as a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((*row[:-1], f"{row[-1]:.9g}") for row in lines)
    write_file(path, text.getvalue().encode())


def write_parquet(csv_file: Path, path: Path) -> int:
    """A CSV file of rows as Parquet; how many there are.

    Raises:
        TorchliquidError: there is no such file, or no room.
    """
    import pandas as pd

    try:
        check_regular(csv_file)
        table = pd.read_csv(csv_file, keep_default_na=False)
        buffer = io.BytesIO()
        table.to_parquet(buffer, index=False)
    except FileNotFoundError as error:
        raise TorchliquidError(
            f"{csv_file} is missing: run the suite first, which writes it"
        ) from error
    except OSError as error:
        raise TorchliquidError(
            f"cannot read {csv_file} ({error.strerror}): give a folder of a suite's results"
        ) from error
    write_file(path, buffer.getvalue())
    return len(table)
