"""The last lines in a terminal: which model was best, by how much, and what to type next."""

from pathlib import Path

from torchliquid.bench.judging.schema import Summary, measured
from torchliquid.bench.models.registry import REFERENCES
from torchliquid.bench.report.number_format import number
from torchliquid.messages import plural

_SIMPLE = {
    "persistence": "the last value",
    "seasonal": "the value a season before",
    "mean": "the training mean",
}
HARDLY = 0.99
"""An error above so much of another one is hardly below it."""


def conclusion(summary: Summary, folder: Path, forecast: str | None = None) -> list[str]:
    """Return the winner, its margin over the simple forecasts, and the next command.

    By the median error on the test part, with the state carried over, as a model in use has it.

    Args:
        summary: of a table.
        folder: where the results are.
        forecast: the command that fits a forecaster to the table, which is of use where no network
            is best; None: there is none.
    """
    models, errors = summary["models"], median_errors(summary)
    if not errors:
        return []
    best, *others = sorted(errors, key=errors.__getitem__)
    lanes = models[best]["lanes"]
    of = f", median of {plural(lanes, 'lane')}" if models[best]["kind"] != "classical" else ""
    lines = [
        f"best: {best}, test RMSE {number(errors[best])} ({summary['task']['unit']}{of})",
    ]
    margins = [
        f"{_margin(errors[best], errors[name])} {_SIMPLE[name]} ({number(errors[name])})"
        for name in ("persistence", "seasonal")
        if name in errors and name != best and not _is_last_value(name, errors)
    ]
    if margins:
        lines.append(f"  {', '.join(margins)}")
    trained = [name for name in others if name not in REFERENCES]
    if best in REFERENCES:
        lines.append(f"  no model that learns does better here: use {_SIMPLE.get(best, best)}")
    elif trained:
        near = trained[0]
        lines.append(
            f"  second: {near} ({number(errors[near])}); whether they differ is in the report"
        )
    saved = folder / "models" / best / "lane-000"
    command = (
        f"torchliquid export {saved} --to c --out firmware"
        if models[best]["kind"] != "classical"
        else forecast or f"python -m webbrowser {folder / 'report.html'}"
    )
    if forecast is not None:
        lines.append(f"predict other rows: torchliquid predict {folder} FILE --model {best}")
    return [*lines, f"next command: {command}"]


def median_errors(summary: Summary) -> dict[str, float]:
    """Return the median test RMSE of each model that has a finite one, in the target's unit."""
    return {
        name: entry["median"]
        for name, row in summary["models"].items()
        if (entry := measured(row, "test_rmse_carry")) and entry["median"] is not None
    }


def title(summary: Summary) -> str:
    """Return the question of a benchmark and, of a table, its answer."""
    if summary["task"]["is_articles"]:
        return "Liquid network or LSTM?"
    horizon, errors = summary["task"]["spec"].get("horizon"), median_errors(summary)
    ahead = f", {plural(horizon, 'row')} ahead" if isinstance(horizon, int) else ""
    asked = f"{summary['task']['unit']}{ahead}"
    if not errors:
        return f"{asked}: which model?"
    best = min(errors, key=errors.__getitem__)
    last = errors.get("persistence")
    hardly = last is not None and best != "persistence" and errors[best] > HARDLY * last
    words = "has the lowest error" + (", but hardly below the last value's" if hardly else "")
    return f"{asked}: {best} {words}"


def _is_last_value(name: str, errors: dict[str, float]) -> bool:
    """Whether the table has no season, so that its seasonal forecast repeats the last value."""
    return name == "seasonal" and errors[name] == errors.get("persistence")


def _margin(error: float, other: float) -> str:
    """How far an error is below another.

    >>> _margin(0.9, 1.0), _margin(0.995, 1.0), _margin(1.0, 1.0), _margin(0.0, 0.0)
    ('10 % below', 'hardly below', 'as good as', 'as good as')
    """
    if error >= other:
        return "as good as" if error == other else "above"
    return f"{100 * (1 - error / other):.0f} % below" if error <= HARDLY * other else "hardly below"
