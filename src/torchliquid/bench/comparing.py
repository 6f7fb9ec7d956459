"""`torchliquid.compare`: a table's benchmark in one call, for notebooks."""

import dataclasses
import html
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchliquid import Forecaster, load
from torchliquid.bench import config
from torchliquid.bench.judging.schema import Summary, measured
from torchliquid.bench.judging.summary import summarise
from torchliquid.bench.models.registry import DEFAULT_OF_TABLES
from torchliquid.bench.options import check_known, fields_of, read
from torchliquid.bench.report import conclusion, write_report
from torchliquid.bench.run.predicting import best_model, predict_table
from torchliquid.bench.run.runner import check, run
from torchliquid.bench.run.store import Store, lock_folder, write_file
from torchliquid.bench.tasks.kinds import KINDS, made_of_table
from torchliquid.errors import TorchliquidError
from torchliquid.files import check_path
from torchliquid.messages import short_repr

if TYPE_CHECKING:
    import pandas as pd

_LISTS = ("features", "future", "calendar", "missing")


def compare(
    table: Any,
    target: str,
    time: str | None = None,
    *,
    features: Sequence[str] = (),
    models: Sequence[str] | None = None,
    folder: str | Path | None = None,
    processes: int | None = 0,
    **options: Any,
) -> "Comparison":
    """Train networks, a regression and simple forecasts on a table, and say which is best.

    What ``torchliquid bench csv`` does: rows are split in time, every network tries settings on the
    validation part, and errors are those of the test part.

    Args:
        table: a DataFrame of pandas or polars, an Arrow table, an array, or the path of a file.
        target: the column to predict.
        time: the column of time stamps, even or irregular; None: rows are even.
        features: further columns that models see.
        models: names such as ``"LTC-8"``, ``"LSTM-16"`` and ``"ridge-AR"``; None: nine of them.
        folder: for the results, taken up again where they are there; None: a new temporary one.
        processes: workers; 0: this process alone, which is safe in notebooks; None: one a core.
        options: any other option of ``torchliquid bench csv`` by its name with underscores, such as
            ``horizon=24``, ``lanes=8``, ``epochs=500``, ``trials=12``, ``time_zone`` and ``every``.

    Returns:
        The results: a table in notebooks, `Comparison.predict`, `Comparison.report` and more.

    Raises:
        TorchliquidError: an option that does not exist or fit, or a table that cannot be read.

    >>> import numpy as np, pandas as pd
    >>> import torchliquid as tl
    >>> hours = np.arange(300)
    >>> df = pd.DataFrame({"degrees": 15 + 5 * np.sin(hours / 24 * 2 * np.pi)})
    >>> found = tl.compare(df, "degrees", models=["LTC-2", "ridge-AR"], epochs=5, lanes=2, trials=1)
    >>> found.best, list(found.table.index)
    ('ridge-AR', ['ridge-AR', 'LTC-2'])
    """
    kind = KINDS["table"]
    known = fields_of(config.TableOptions) | fields_of(config.Protocol)
    check_known(options, [name for name in known if name not in ("file", "target")], "compare")
    given = options | {"target": _text("target", target), "time": time, "features": features}
    if time is not None:
        _text("time", time)
    given |= {name: _names(name, given[name]) for name in _LISTS if name in given}
    given = {
        name: value
        for name, value in given.items()
        if value is not None and not (isinstance(value, list) and not value)
    }
    of_task = {name: given[name] for name in given if name in fields_of(config.TableOptions)}
    training = {name: given[name] for name in given if name not in of_task}
    defaults = dict(kind.defaults)
    window = {"window": defaults.pop("window")}
    wanted = config.TableOptions(
        **window | read(config.TableOptions, of_task | {"file": "table"}, "compare")
    )
    protocol = config.make_protocol(
        read(config.Protocol, training, "compare"), defaults, ["dt"] if "dt" in of_task else []
    )
    names = DEFAULT_OF_TABLES if models is None else tuple(_names("models", models))
    place = None if folder is None else check_path(folder)
    if processes is not None and (type(processes) is not int or processes < 0):
        raise TorchliquidError(
            f"processes is {short_repr(processes)}: give a number of workers, or 0"
        )
    check(names, protocol, processes)
    made = made_of_table(wanted, table)
    if place is None:
        place = Path(tempfile.mkdtemp(prefix="torchliquid-"))
    store = run(made.task, names, protocol, place, processes=processes)
    return Comparison(store, table, given)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TorchliquidError(f"{name} is {short_repr(value)}: give the name of a column")
    return value


def _names(name: str, value: Any) -> list[str]:
    """Names, of one name or several."""
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not all(isinstance(one, str) for one in values):
        raise TorchliquidError(f"{name} is {short_repr(value)}: give a list of names")
    return list(values)


def finish(store: Store) -> tuple[Summary, Path]:
    """Judge what a store holds, and write ``summary.json`` and ``report.html`` beside it."""
    summary = summarise(store)
    write_file(store.folder / "summary.json", (json.dumps(summary, indent=2) + "\n").encode())
    return summary, write_report(store, summary)


@dataclasses.dataclass(frozen=True, repr=False)
class Comparison:
    """What `torchliquid.compare` found; a notebook shows it as a table.

    Args:
        store: the results, in a folder.
        source: the table, for `forecaster`.
        given: how it was read.
    """

    store: Store
    source: Any
    given: Mapping[str, Any]
    summary: Summary = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "summary", summarise(self.store))

    @property
    def folder(self) -> Path:
        """Where the results and all trained networks are."""
        return self.store.folder

    @property
    def best(self) -> str:
        """The model whose median error on the test part is the lowest."""
        return best_model(self.store)

    @property
    def table(self) -> "pd.DataFrame":
        """A row for each model, the best first.

        Its parameters; the median over lanes of its RMSE on the test part, and the 10 % and 90 %
        quantiles; its skill, the share of the best simple forecast's squared error that it saves.
        """
        import pandas as pd

        rows = {}
        for name, row in self.summary["models"].items():
            error: Mapping[str, Any] = measured(row, "test_rmse_carry") or {}
            skill: Mapping[str, Any] = measured(row, "skill_carry") or {}
            rows[name] = {
                "parameters": row["parameters"],
                "test RMSE": error.get("median"),
                "10 %": error.get("q10"),
                "90 %": error.get("q90"),
                "skill": skill.get("median"),
            }
        frame = pd.DataFrame.from_dict(rows, orient="index")
        return frame.sort_values("test RMSE", na_position="last")

    def report(self) -> Path:
        """Write ``report.html``, with figures, intervals, and networks that run in it.

        Returns:
            Its path; `folder` holds it.
        """
        with lock_folder(self.folder):
            return finish(self.store)[1]

    def model(self, name: str | None = None) -> Any:
        """Load a trained network: of its lanes the one whose test error is the median.

        Args:
            name: None: the best network.

        Raises:
            TorchliquidError: it is no network of this comparison.
        """
        networks = [n for n, row in self.summary["models"].items() if row["kind"] != "classical"]
        if name is None:
            name = next((n for n in self.table.index if n in networks), None)
        if name not in networks:
            raise TorchliquidError(
                f"name is {name!r}: expected a network of these results: {', '.join(networks)}"
            )
        lane = int(self.store.load(name).facts["demo_lane"])
        return load(self.store.model_folder(name) / f"lane-{lane:03}")

    def predict(self, table: Any, model: str | None = None) -> "pd.DataFrame":
        """Let a model predict the rows of another table with the same columns.

        Args:
            table: as `torchliquid.compare` takes it.
            model: None: the best one.
        """
        return predict_table(self.folder, table, model)

    def forecaster(self, horizon: int = 24, **options: Any) -> Forecaster:
        """Fit a `torchliquid.Forecaster` to the same table, read in the same way.

        Args:
            horizon: rows ahead.
            options: of `torchliquid.Forecaster`.
        """
        reading = {f.name for f in dataclasses.fields(config.Reading)} - {"features", "calendar"}
        given = {name: value for name, value in self.given.items() if name in reading}
        known = tuple(given.pop("future", ()))
        past = tuple(name for name in self.given.get("features", ()) if name not in known)
        if "series" in self.given:
            given["series"] = self.given["series"]
        return Forecaster(horizon, **options).fit(self.source, past=past, known=known, **given)

    def __repr__(self) -> str:
        """The conclusion, as the command line's last lines say it."""
        return "\n".join(conclusion(self.summary, self.folder)[:-1])

    def _repr_html_(self) -> str:
        first = self.table.to_html(float_format=lambda value: f"{value:.4g}", na_rep="")
        said = html.escape(repr(self)).replace("\n", "<br>")
        return f"<div>{first}<p>{said}</p></div>"
