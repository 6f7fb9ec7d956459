"""The results and the claims as rows: in a terminal, as Markdown, and for the page."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from torchliquid.bench.judging.parameter_efficiency import words
from torchliquid.bench.judging.schema import ModelRow, Quantiles, Summary, measured
from torchliquid.bench.judging.statistics import LEAST, median
from torchliquid.bench.report.number_format import (
    claim_figure,
    interval,
    number,
    spread,
    two_decimals,
)
from torchliquid.bench.report.suite_answers import verdict_words
from torchliquid.messages import plural

_VERDICTS = ("holds", "does not hold", "inconclusive")
_STYLE: dict[str, Any] = {"title_justify": "left", "box": box.SIMPLE_HEAD}


@dataclasses.dataclass(frozen=True)
class TableColumn:
    """A measure over lanes: its heading, its key in the summary, whether it is a skill.

    Of a skill the highest is best, and it is written with two decimals.
    """

    heading: str
    key: str
    unit: str = ""
    is_skill: bool = False

    @property
    def with_unit(self) -> str:
        """The heading where nothing else shows the unit."""
        return f"{self.heading} ({self.unit})" if self.unit else self.heading

    def cell(self, entry: Quantiles | None, *, best: bool) -> "TableCell":
        """How a model's quantiles are written in this column."""
        value = entry["median"] if entry else None
        return TableCell(*spread(entry, two_decimals if self.is_skill else number), best, value)


@dataclasses.dataclass(frozen=True)
class TableCell:
    """Median and "[q10, q90]" as text, and whether the median is the best of its column."""

    median: str
    ends: str
    best: bool
    value: float | None = None

    def __str__(self) -> str:
        return f"{self.median} {self.ends}".strip()


@dataclasses.dataclass(frozen=True)
class Row:
    """One model's line: facts as text, and a cell for each column."""

    model: str
    description: str
    parameters: str
    bytes: str
    seconds: str
    seconds_alone: str
    lanes: str
    diverged: int
    cells: tuple[TableCell, ...]


def columns(summary: Summary, *, clean: bool = False) -> list[TableColumn]:
    """The measures that a task has: MSEs, or, for a user's own table, RMSE and skill."""
    task = summary["task"]
    if task["has_clean"]:
        end = "_clean" if clean else ""
        return [
            TableColumn("train MSE", f"train_mse{end}"),
            TableColumn("test MSE, state reset", f"test_mse_reset{end}"),
            TableColumn("test MSE, state carried", f"test_mse_carry{end}"),
        ]
    return [
        TableColumn("train RMSE", "train_rmse", task["unit"]),
        TableColumn("test RMSE, state reset", "test_rmse_reset", task["unit"]),
        TableColumn("test RMSE, state carried", "test_rmse_carry", task["unit"]),
        TableColumn("skill, state reset", "skill_reset", is_skill=True),
        TableColumn("skill, state carried", "skill_carry", is_skill=True),
    ]


def rows(summary: Summary, measures: list[TableColumn]) -> list[Row]:
    """A row for each model, in the summary's order."""
    models = summary["models"]
    best = {column.key: _best(models, column) for column in measures}
    return [
        Row(
            model=name,
            description=facts.get("description", ""),
            parameters=f"{facts['parameters']:,}",
            bytes=f"{facts['bytes']:,}",
            seconds=number(facts["seconds_per_epoch"]),
            seconds_alone=number(facts.get("seconds_alone")),
            lanes=f"{facts['diverged']} of {facts['lanes']}",
            diverged=facts["diverged"],
            cells=tuple(
                column.cell(measured(facts, column.key), best=best[column.key] == name)
                for column in measures
            ),
        )
        for name, facts in models.items()
    ]


def sorted_by(
    rows: list[Row], column_index: int, column: TableColumn
) -> list[tuple[str, TableCell]]:
    """Models and their cells of one column, the best first, those without a number last."""
    cells = [(row.model, row.cells[column_index]) for row in rows]
    sign = -1 if column.is_skill else 1
    return sorted(cells, key=lambda f: math.inf if f[1].value is None else sign * f[1].value)


def _best(models: Mapping[str, ModelRow], column: TableColumn) -> str | None:
    """The model with the best median, if there are at least two to choose from."""
    best = {
        name: entry["median"]
        for name, facts in models.items()
        if (entry := measured(facts, column.key)) and entry["median"] is not None
    }
    if len(best) < 2:
        return None
    return (max if column.is_skill else min)(best, key=best.__getitem__)


def results_table(summary: Summary) -> Table:
    """The results for a terminal of 100 columns: medians over lanes with 10-90 % below."""
    measures = columns(summary)
    unit = f"; RMSE in {measures[0].unit}" if measures[0].unit else ""
    table = Table(title=f"Results: median over lanes [10 %, 90 %]{unit}", **_STYLE)
    table.add_column("model", no_wrap=True)
    table.add_column("para-\nmeters", justify="right")
    for column in measures:
        table.add_column(column.heading, justify="right")
    lost = any(facts["diverged"] for facts in summary["models"].values())
    if lost:
        table.add_column("lanes\ndiverged", justify="right")
    for row in rows(summary, measures):
        cells = [f"{cell.median}\n{cell.ends}".strip() for cell in row.cells]
        table.add_row(row.model, row.parameters, *cells, *([row.lanes] if lost else []))
    return table


@dataclasses.dataclass(frozen=True)
class SeriesTable:
    """Errors on each of several series: a row for each, and how often a model is the best."""

    models: tuple[str, ...]
    rows: tuple[tuple[str, str, tuple[TableCell, ...]], ...]
    best: tuple[int, ...]


def series_table(summary: Summary) -> SeriesTable | None:
    """Test RMSE by series, the state carried over, medians over lanes; None of one series."""
    rows = summary.get("series") or []
    if not rows:
        return None
    models = tuple(summary["models"])
    best = dict.fromkeys(models, 0)
    lines = []
    for row in rows:
        errors = {name: row["test_rmse_carry"][name] for name in models}
        finite = {name: error for name, error in errors.items() if error is not None}
        first = min(finite, key=finite.__getitem__) if finite else None
        if first is not None:
            best[first] += 1
        cells = tuple(TableCell(number(e), "", name == first, e) for name, e in errors.items())
        lines.append((row["series"], f"{row['targets']:,}", cells))
    return SeriesTable(models, tuple(lines), tuple(best.values()))


def series_line(summary: Summary) -> str:
    """How often each model has the lowest error of a series; empty of one series."""
    table = series_table(summary)
    if table is None:
        return ""
    wins = sorted(zip(table.best, table.models, strict=True), key=lambda pair: -pair[0])
    parts = ", ".join(f"{name} on {wins_count}" for wins_count, name in wins if wins_count)
    return f"lowest median test RMSE, state carried, of {len(table.rows)} series: {parts}"


def settings(summary: Summary) -> list[tuple[str, str, str, str, str]]:
    """What each network found by trials: its name, learning rate, dt, epochs, and lowest errors.

    Of lanes that chose for themselves the medians, and from where to where they go. A shared choice
    at the end of what was tried is marked. Nothing where nothing was tuned.
    """
    rows = []
    for name, facts in summary["models"].items():
        choice = facts.get("choice")
        if choice is None:
            continue
        rate, dt = (_taken(choice, key, facts[key]) for key in ("learning_rate", "dt"))
        if choice["by"] == "shared":
            errors = [trial["valid_mse"] for trial in choice["trials"]]
            finite = [error for error in errors if error is not None]
            spread = f"{number(min(finite))} to {number(max(finite))}" if finite else "none finite"
            rate += _besides(choice["taken"][0])
        else:
            spread = "each lane its own"
        epochs = f"{facts.get('epochs') or summary['task']['epochs']:,}"
        rows.append((name, rate, "\N{EN DASH}" if facts["dt"] is None else dt, epochs, spread))
    return rows


def settings_line(summary: Summary) -> str:
    """The same in a line, empty where nothing was tuned."""
    parts = [
        f"{name} lr {rate}"
        + (f", dt {dt}" if dt != "\N{EN DASH}" else "")
        + ("" if summary["task"]["valid"] else f", {epochs} epochs")
        for name, rate, dt, epochs, _ in settings(summary)
    ]
    if not parts:
        return ""
    where = "the validation part" if summary["task"]["valid"] else "the end of the training part"
    return f"chosen on {where}, of {summary['task']['trials']} trials: {'; '.join(parts)}"


def _besides(taken: Mapping[str, Any]) -> str:
    """What else was taken than a constant rate without decay."""
    cycle = ", one-cycle" if taken.get("schedule", "constant") == "one-cycle" else ""
    decay = taken.get("weight_decay", 0.0)
    return cycle + (f", decay {decay:g}" if decay else "")


def _taken(choice: Mapping[str, Any], key: str, used: float | None) -> str:
    if used is None:
        return ""
    taken = [setting[key] for setting in choice["taken"]]
    if choice["by"] == "lane":
        unit = used / median(taken)  # dt of the task, of which the trials are multiples
        return f"{used:.3g} ({unit * min(taken):.3g} to {unit * max(taken):.3g})"
    tried = [trial[key] for trial in choice["trials"]]
    if min(tried) == max(tried):
        return f"{used:g} (given)"
    end = {min(tried): " (least tried)", max(tried): " (most tried)"}.get(taken[0], "")
    return f"{used:.3g}{end}"


def claim_groups(summary: Summary) -> list[str]:
    """The models that claims were tested on."""
    return list(dict.fromkeys(claim["group"] for claim in summary["claims"]))


def claim_rows(summary: Summary) -> list[list[dict[str, Any] | None]]:
    """A row for each claim, in it an entry for each of `claim_groups`."""
    groups = claim_groups(summary)
    rows: dict[str, list[dict[str, Any] | None]] = {}
    for claim in summary["claims"]:
        key = claim["id"].partition(":")[0]
        row = rows.setdefault(key, [None] * len(groups))
        row[groups.index(claim["group"])] = claim
    return list(rows.values())


def too_few(summary: Summary) -> str:
    """Why nothing can be judged, where there are too few lanes; empty where there are enough."""
    lanes = summary["task"]["lanes"]
    if lanes >= LEAST:
        return ""
    return f"{plural(lanes, 'lane')}; an interval needs {LEAST}, so no claim can be judged"


def tally(summary: Summary) -> list[str]:
    """How many claims hold, for each of `claim_groups`."""
    lines = []
    for index, name in enumerate(claim_groups(summary)):
        row = [claims[index] for claims in claim_rows(summary)]
        counts = Counter(claim["verdict"] for claim in row if claim)
        parts = [f"{verdict} {counts[verdict]}" for verdict in _VERDICTS if counts[verdict]]
        lines.append(f"{name}: {', '.join(parts)}")
    return lines


def claims_table(summary: Summary) -> Table:
    """The claims for a terminal of 100 columns."""
    groups = claim_groups(summary)
    table = Table(title="Claims: verdict, figure [95 %]", **_STYLE, show_lines=True)
    table.add_column("claim", ratio=1)
    for name in groups:
        table.add_column(name, no_wrap=len(groups) < 3)
    for row in claim_rows(summary):
        cells = [
            "\n".join([claim["verdict"], *filter(None, claim_figure(claim))]) if claim else ""
            for claim in row
        ]
        table.add_row(next(claim["claim"] for claim in row if claim), *cells)
    return table


def terminal_tables(summary: Summary) -> list[Table | str]:
    """Results and claims, or why there are none, for `rich.console.Console.print`."""
    if not summary["claims"]:
        lines = [line for line in (series_line(summary), settings_line(summary)) if line]
        return [results_table(summary), *lines]
    why, line = too_few(summary), settings_line(summary)
    claims = f"note: {why}" if why else claims_table(summary)
    return [results_table(summary), *([line] if line else []), claims]


def markdown_results(summary: Summary) -> str:
    """The results as a Markdown table, best medians in bold."""
    measures = columns(summary)
    lines = [
        ["model", "parameters", *(column.with_unit for column in measures)],
        ["---", *["---:"] * (1 + len(measures))],
    ]
    for row in rows(summary, measures):
        cells = [
            f"{f'**{cell.median}**' if cell.best else cell.median} {cell.ends}".strip()
            for cell in row.cells
        ]
        note = f" ({row.lanes} lanes diverged)" if row.diverged else ""
        lines.append([row.model + note, row.parameters, *cells])
    return markdown(lines)


def markdown(lines: list[list[str]]) -> str:
    """Cells as a Markdown table; the second line are the rules below the headings."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def suite_tables(result: Mapping[str, Any]) -> list[Table]:
    """What became of a suite, for a terminal: its planned contrasts, task by task."""
    table = Table(title=f"{result['title']}: planned contrasts, ratio of test MSEs", **_STYLE)
    for heading in ("task", "first", "second", "of", "ratio [95 %]", "p (Holm)", "verdict"):
        table.add_column(heading)
    for row in result["contrasts"]:
        ratio = f"{number(row['ratio'])} {interval(row['interval'])}".strip()
        shift = row["shift"]
        of = (
            row["state"] if shift is None else shift + (", growth" if row["of"] == "growth" else "")
        )
        names = (row[key] for key in ("task", "first", "second"))
        table.add_row(*names, of, ratio, f"{row['p_holm']:.2g}", verdict_words(row))
    ladder = Table(title="parameters that the other cell needs for the same error", **_STYLE)
    for heading in ("task", "model", "parameters", "other cell", "needs"):
        ladder.add_column(heading)
    for row in result["ladders"]:
        size = f"{row['parameters']:,}"
        ladder.add_row(row["task"], row["model"], size, row["against"], words(row))
    named = ((table, result["contrasts"]), (ladder, result["ladders"]))
    return [tables for tables, rows in named if rows]


def compared_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Two results of a suite, where they differ."""
    table = Table(title="test MSE, second / first", **_STYLE)
    for heading in ("task", "model", "ratio [95 %]"):
        table.add_column(heading)
    for row in rows:
        if not row["same"]:
            ratio = f"{number(row['ratio'])} {interval(row['interval'])}".strip()
            table.add_row(row["task"], row["model"], ratio)
    return table
