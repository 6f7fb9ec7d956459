"""`torchliquid fit`, `forecast`, `predict` and `update`: from a table to a forecast."""

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchliquid import TorchliquidError
from torchliquid.cli.flags import example
from torchliquid.cli.terminal import open_console

if TYPE_CHECKING:
    from torchliquid import Forecaster

_NOT_OF_A_FORECASTER = ("features", "future", "calendar")
"""Options of reading that `fit` has under other names, or needs none of."""


def add_forecasts(commands: Any) -> None:
    """Add the commands that go from a table to a forecast."""
    from torchliquid.bench.config import Reading
    from torchliquid.bench.options import add_arguments

    fit = commands.add_parser(
        "fit",
        help="fit a forecaster to a table, and compare it with simple forecasts",
        **example("fit load.csv --target y --time ds --horizon 24 --out model"),
    )
    fit.add_argument("file", type=Path, metavar="FILE", help="a table: CSV, Parquet, Excel ...")
    add_arguments(fit, Reading, "table", without=_NOT_OF_A_FORECASTER)
    group = fit.add_argument_group("forecast")
    group.add_argument("--horizon", type=int, default=24, help="rows ahead (%(default)s)")
    group.add_argument("--past", metavar="A,B", help="features known up to now")
    group.add_argument("--known", metavar="A,B", help="features known beforehand, such as a plan")
    group.add_argument(
        "--model", default="auto", help="auto, ridge, ltc, filter, seasonal, last (%(default)s)"
    )
    group.add_argument(
        "--intervals", default="0.8,0.9,0.95", metavar="P,Q", help="coverages (%(default)s)"
    )
    group.add_argument("--lowest", type=float, help="forecasts are at least this (none)")
    group.add_argument("--highest", type=float, help="forecasts are at most this (none)")
    fit.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the forecaster")
    _add_json(fit)
    _add_plot(fit)
    fit.set_defaults(command=_fit)

    forecast = commands.add_parser(
        "forecast",
        help="forecast beyond the last row that a forecaster knows",
        **example("forecast model --steps 24 --out f.csv --plot f.svg"),
    )
    forecast.add_argument("model", type=Path, metavar="MODEL", help="what fit wrote")
    forecast.add_argument("--steps", type=int, help="how many rows (the horizon)")
    forecast.add_argument("--until", metavar="TIME", help="the last time, instead of --steps")
    forecast.add_argument("--plan", type=Path, metavar="FILE", help="the future of known features")
    forecast.add_argument("--at", metavar="TIME,TIME", help="these times alone")
    _add_plot(forecast)
    _add_out(forecast)
    _add_json(forecast)
    forecast.set_defaults(command=_forecast)

    predict = commands.add_parser(
        "predict",
        help="forecast the rows of another table, each from the rows before it",
        **example("predict model new.csv --ahead 24 --out p.csv"),
    )
    predict.add_argument("model", type=Path, metavar="MODEL", help="what fit or bench csv wrote")
    predict.add_argument("file", type=Path, metavar="FILE", help="a table as it was read")
    predict.add_argument("--ahead", type=int, help="rows before each row (the horizon)")
    predict.add_argument("--model", dest="name", metavar="NAME", help="of a benchmark (the best)")
    _add_out(predict)
    _add_json(predict)
    predict.set_defaults(command=_predict)

    update = commands.add_parser(
        "update",
        help="take new rows in: the forecaster learns, and forecasts from their end",
        **example("update model new.csv"),
    )
    update.add_argument("model", type=Path, metavar="MODEL", help="what fit wrote; is replaced")
    update.add_argument("file", type=Path, metavar="FILE", help="rows behind the last one known")
    _add_json(update)
    _add_plot(update)
    update.set_defaults(command=_update)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="say it as JSON")


def _add_plot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plot", nargs="?", const="", metavar="FILE",
        help="draw the forecast: .svg, .png or .pdf; without FILE in the terminal",
    )  # fmt: skip


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="for the rows: .csv or .parquet (the terminal)"
    )


def _fit(options: argparse.Namespace) -> int:
    from torchliquid import Forecaster
    from torchliquid.bench.config import Reading, separator
    from torchliquid.bench.options import arguments_of
    from torchliquid.cli.flags import to_flags

    reading = arguments_of(Reading, options)
    columns = {name: reading.pop(name, None) for name in ("target", "time", "series")}
    if "sep" in reading:
        reading["sep"] = separator(reading["sep"])
    bounds = (options.lowest, options.highest)
    forecaster = Forecaster(
        options.horizon,
        options.model,
        _numbers(options.intervals),
        bounds if any(end is not None for end in bounds) else None,
    )
    _check_plot(options.plot)
    with _status(f"reading {options.file}, comparing forecasts"):
        forecaster.fit(
            options.file,
            **columns,
            past=_names(options.past),
            known=_names(options.known),
            **reading,
        )
        path = forecaster.save(options.out)
    if options.json:
        _say(
            model=repr(forecaster),
            compared=forecaster.compared.to_dict("records"),
            sentence=forecaster.sentence,
            coverage={f"{level:g}": share for level, share in forecaster.coverage.items()},
            notes=[to_flags(note) for note in forecaster.notes],
            saved=str(path),
        )
        return 0
    console = open_console()
    for note in forecaster.notes:
        console.print(f"note: {to_flags(note)}", soft_wrap=True)
    _print_comparison(forecaster, console)
    _plot(forecaster, None, options.plot)
    console.print(f"saved: {path}", soft_wrap=True)
    console.print(f"next command: torchliquid forecast {options.out} --plot f.svg", soft_wrap=True)
    return 0


def _print_comparison(forecaster: "Forecaster", console: Any) -> None:
    from rich import box
    from rich.table import Table

    unit = "" if forecaster.series is None else ", in deviations of each series"
    table = Table(title=f"RMSE over {forecaster.horizon} rows ahead{unit}", box=box.SIMPLE)
    for heading in ("model", "validation", "test", ""):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for row in forecaster.compared.to_dict("records"):
        errors = (f"{row[part]:.4g}" for part in ("valid", "test"))
        table.add_row(str(row["model"]), *errors, "chosen" if row["chosen"] else "")
    console.print(table)
    console.print(forecaster.sentence, soft_wrap=True)
    shares = ", ".join(
        f"{100 * level:g} %: {100 * share:.1f} %" for level, share in forecaster.coverage.items()
    )
    if shares:
        console.print(f"intervals covered, on the test part: {shares}", soft_wrap=True)


def _forecast(options: argparse.Namespace) -> int:
    from torchliquid import load_forecaster

    _check_plot(options.plot)
    forecaster = load_forecaster(options.model)
    at = _names(options.at) or None
    if at is not None and (options.steps is not None or options.until is not None):
        raise TorchliquidError("--at, --steps and --until are three ways to say it: give one")
    rows = forecaster.forecast(options.steps, until=options.until, at=at, known=options.plan)
    _plot(forecaster, rows, options.plot)
    _write(rows, options.out, as_json=options.json)
    return 0


def _predict(options: argparse.Namespace) -> int:
    from torchliquid import load_forecaster
    from torchliquid.bench.run.store import holds_results

    if not holds_results(options.model):
        if options.name is not None:
            raise TorchliquidError("--model is for the results of a benchmark: leave it out")
        rows = load_forecaster(options.model).predict(options.file, options.ahead)
        _write(rows, options.out, as_json=options.json)
        return 0
    from torchliquid.bench.run.predicting import best_model, predict_table
    from torchliquid.bench.run.store import Store

    if options.ahead is not None:
        raise TorchliquidError("--ahead is for a forecaster: a benchmark has one horizon")
    name = options.name or best_model(Store.existing(options.model))
    rows = predict_table(options.model, options.file, name)
    if options.out is not None and not options.json:
        print(f"model: {name}" + ("" if options.name else ", the lowest test error"))
    _write(rows, options.out, as_json=options.json)
    return 0


def _update(options: argparse.Namespace) -> int:
    from torchliquid import load_forecaster

    _check_plot(options.plot)
    with _status(f"reading {options.file}, learning"):
        forecaster = load_forecaster(options.model).update(options.file)
        path = forecaster.save(options.model)
    if options.json:
        _say(saved=str(path))
        return 0
    _plot(forecaster, None, options.plot)
    print(f"saved: {path}")
    return 0


def _status(words: str) -> Any:
    """What is being done, on a terminal, while it is."""
    from rich.console import Console

    return Console(stderr=True).status(words)


def _say(**facts: Any) -> None:
    """Facts as JSON; NaN is null."""
    import json

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(one) for key, one in value.items()}
        if isinstance(value, list):
            return [plain(one) for one in value]
        return None if isinstance(value, float) and value != value else value

    print(json.dumps(plain(facts), indent=2, default=str))


def _write(rows: Any, path: Path | None, *, as_json: bool) -> None:
    """Rows to a file, or to the terminal."""
    if path is not None:
        _check_suffix(path, (".csv", ".parquet"))
        if path.suffix == ".parquet":
            rows.to_parquet(path, index=False)
        else:
            rows.to_csv(path, index=False)
    if as_json:
        _say(**({"file": str(path)} if path else {}), rows=rows.to_dict("records"))
    elif path is None and sys.stdout.isatty():
        print(_readable(rows))
    elif path is None:
        print(rows.to_csv(index=False), end="")
    else:
        print(f"{len(rows):,} rows: {path}")


def _readable(rows: Any) -> str:
    """Rows for a person: as many decimals as they differ by, and the middle of many left out."""
    numbers = rows.select_dtypes("float")
    steps = numbers.T.diff().abs().stack() if numbers.shape[1] > 1 else numbers.stack().diff().abs()
    size = float(steps[steps > 0].median())
    decimals = min(9, max(0, 2 - math.floor(math.log10(size)))) if size > 0 else 3
    text: str = rows.to_string(
        index=False, float_format=f"%.{decimals}f", max_rows=24, show_dimensions=False
    )
    return text if len(rows) <= 24 else f"{text}\n{len(rows):,} rows: all of them with --out FILE"


def _check_plot(file: str | None) -> None:
    if file:
        _check_suffix(Path(file), (".svg", ".png", ".pdf"))


def _plot(forecaster: "Forecaster", rows: Any, file: str | None) -> None:
    """Draw a forecast into a file, or, without one, in the terminal."""
    if file is None:
        return
    if file:
        forecaster.plot(rows=rows).figure.savefig(file, dpi=150)
        return
    for line in forecaster.lines(rows):
        print(line)


def _check_suffix(path: Path, known: tuple[str, ...]) -> None:
    if path.suffix not in known:
        raise TorchliquidError(f"{path} ends in {path.suffix!r}: expected {', '.join(known)}")


def _names(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in _names(text))
    except ValueError as error:
        raise TorchliquidError(f"intervals is {text!r}: give numbers such as 0.8,0.95") from error
