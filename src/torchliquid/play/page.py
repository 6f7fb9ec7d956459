"""A page in which trained networks run: their JavaScript, the signal, and what draws it."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from torchliquid.errors import TorchliquidError
from torchliquid.export import describe, js_source
from torchliquid.files import atomic_write, check_path
from torchliquid.install import install_command
from torchliquid.messages import plural, short_repr
from torchliquid.nn.io.scaling import Scaling
from torchliquid.nn.model import Recurrent, SequenceModel
from torchliquid.play._colours import DARK, LIGHT

SCRIPTS = ("signal.js", "address.js", "draw.js", "runner.js", "page.js")
COLOURS = ("blue", "orange", "green", "pink", "gold")
DASHES = ("", "7 3", "2 2", "7 2 2 2")
ROWS = 400
"""Rows of a signal that nobody gave."""
MOST = 5000
"""Rows of a signal, which the page holds as text."""
WEIGHT_DIGITS = 7
DIGITS = 4
"""Of the signal's values."""


@dataclass(frozen=True)
class Signal:
    """What runs through a page: rows of named columns, evenly spaced.

    Args:
        columns: names; the first one is what a finger bends.
        rows: ``(T, columns)``, in the columns' units, without missing values.
        horizon: rows ahead of which the models tell the first column; None: they tell something
            else, and no error is shown.
    """

    columns: tuple[str, ...]
    rows: ArrayLike
    horizon: int | None = 1

    def __post_init__(self) -> None:
        rows = np.asarray(self.rows, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.columns) or not len(rows):
            raise TorchliquidError(
                f"rows has shape {rows.shape}: give (T, {len(self.columns)}), a value for each of "
                f"{plural(len(self.columns), 'column')}"
            )
        if len(rows) > MOST:
            raise TorchliquidError(f"rows has {len(rows):,} rows: a page holds at most {MOST:,}")
        if not np.isfinite(rows).all():
            raise TorchliquidError("rows has missing values: fill them, or cut them out")


@dataclass(frozen=True)
class Regression:
    """A linear regression on the last samples, which is what networks have to beat.

    Args:
        weights: ``(lags, I)`` of scaled inputs, the present one first.
        intercept: added to them.
        scaling: between its numbers and physical ones, as of a network.
    """

    weights: ArrayLike
    intercept: float
    scaling: Scaling

    def __post_init__(self) -> None:
        weights = np.asarray(self.weights, dtype=np.float64)
        if weights.ndim != 2 or weights.shape[1] != len(self.scaling.inputs) or not len(weights):
            raise TorchliquidError(
                f"weights has shape {weights.shape}: give (lags, {len(self.scaling.inputs)})"
            )


@dataclass(frozen=True)
class Panel:
    """What a page holds of it.

    Args:
        html: the markup.
        style: CSS, which uses the variables of `LIGHT` and `DARK`.
        script: a module.
    """

    html: str
    style: str
    script: str

    @property
    def script_hash(self) -> str:
        """For a content-security policy, such as ``sha256-...``."""
        return _hash(self.script)


def write_page(
    models: Mapping[str, SequenceModel | Recurrent | Regression],
    path: str | Path,
    *,
    signal: Signal | None = None,
    heading: str = "Bend the signal, watch the time constants",
    notes: tuple[str, ...] = (),
) -> Path:
    """Write a page in which models run: one file, which asks nothing of any network.

    Args:
        models: what `torchliquid.save` takes, or a `Regression`, by the names that the page calls
            them.
        path: of the page, overwritten.
        signal: None: two sines within the first model's scales.
        heading: of the page.
        notes: sentences at its end.

    Returns:
        The path.

    Raises:
        TorchliquidError: no model, one that has no JavaScript, or a path that cannot be written.

    >>> import tempfile
    >>> from torchliquid import LTC, SequenceModel
    >>> page = write_page({"LTC-8": SequenceModel(LTC(1, 8), 1)}, tempfile.mkdtemp() + "/p.html")
    >>> page.stat().st_size < 60_000
    True
    """
    from torchliquid import __version__

    target = check_path(path)
    panel = make_panel(models, signal)
    colours = [
        ":root{" + "".join(f"--{name}:{colour};" for name, colour in shades.items()) + "}"
        for shades in (LIGHT, DARK)
    ]
    dark = f"@media screen and (prefers-color-scheme:dark){{{colours[1]}}}"
    style = colours[0] + dark + _small(_text("page.css")) + panel.style
    lead = (
        "Networks watch a signal and say what comes next. The grey part is what they will see: "
        "draw into it with mouse or finger, or delete samples, and watch how they answer."
    )
    text = _render(
        "page.html.j2", heading=heading, version=__version__, lead=lead, notes=notes, style=style,
        style_hash=_hash(style), script=panel.script, script_hash=panel.script_hash,
        panel=_safe(panel.html),
    )  # fmt: skip
    try:
        atomic_write(target, text.encode())
    except OSError as error:
        raise TorchliquidError(
            f"cannot write {short_repr(str(target))} ({error.strerror}): give another file"
        ) from error
    return target


def make_panel(
    models: Mapping[str, SequenceModel | Recurrent | Regression], signal: Signal | None = None
) -> Panel:
    """The same without a page around it, for pages that have one.

    Args:
        models: see `write_page`.
        signal: see `write_page`.

    Raises:
        TorchliquidError: see `write_page`.
    """
    if not models:
        raise TorchliquidError("models is empty: give at least one, by its name")
    found = {
        name: _of_regression(model) if isinstance(model, Regression) else _of_network(model)
        for name, model in models.items()
    }
    given = signal or _sines(next(iter(found.values())).scaling)
    parts, shown = [], []
    for k, (name, one) in enumerate(found.items()):
        columns = [_place(c.name, i, given, one.scaling) for i, c in enumerate(one.scaling.inputs)]
        facts = {"name": name, "timed": one.timed, "columns": columns, "dt": one.dt}
        parts.append(f"{{...{_compact(facts)},...(()=>{{{one.source}return{{model,create}}}})()}}")
        shown.append({"name": name, "colour": COLOURS[k % len(COLOURS)],
                      "dash": DASHES[k % len(DASHES)], "parameters": f"{one.parameters:,}",
                      "neurons": one.neurons})  # fmt: skip
    moving = next(((name, one) for name, one in found.items() if one.moves), None)
    rows = np.asarray(given.rows, dtype=np.float64)
    base = {"rows": [[float(f"{v:.{DIGITS}g}") for v in row] for row in rows],
            "horizon": given.horizon}  # fmt: skip
    root = 'document.getElementById("live")'
    start = f"{root}.live=start({root},{{base:{_compact(base)}}},[{','.join(parts)}]);"
    script = "".join(_bare(_text(name)) for name in SCRIPTS) + start
    ahead = f", {given.horizon} samples ahead" if (given.horizon or 1) > 1 else ""
    html = _render(
        "panel.html.j2", models=shown, column=given.columns[0],
        title=f"What each network says comes next{ahead}",
        tau=moving and moving[0], bounded=moving and moving[1].bounded,
    )  # fmt: skip
    return Panel(html, _small(_text("play.css")), script)


class _Shown(NamedTuple):
    """What a page needs of a model: JavaScript, and words."""

    source: str
    scaling: Scaling
    parameters: int
    neurons: str = ""
    dt: float = 1.0
    timed: bool = False
    moves: bool = False
    bounded: bool = False


def _of_network(model: SequenceModel | Recurrent) -> _Shown:
    of = describe(model)
    cells = {layer.cell for layer in of.layers}
    moves = all(cell.moves for cell in cells)
    timed = of.takes_dt and not any(cell.is_linear for cell in cells)
    source = js_source(of, variable_dt=timed, time_constants=moves, digits=WEIGHT_DIGITS)
    neurons = " + ".join(str(layer.hidden) for layer in of.layers)
    bounded = all(layer.cell.time_constant_range(layer) is not None for layer in of.layers)
    return _Shown(_squeezed(source), of.scaling, of.parameters, f"{neurons} neurons", of.dt, timed,
                  moves, bounded)  # fmt: skip


def _of_regression(of: Regression) -> _Shown:
    """In physical units: scales and means are in the weights."""
    weights, scaling = np.asarray(of.weights, dtype=np.float64), of.scaling
    offset, scale = np.array([(column.offset, column.scale) for column in scaling.inputs]).T
    output, inputs = scaling.outputs[0], weights.shape[1]
    if scaling.change is not None:
        weights = weights * scaling.change
        weights[0, 0] += 1
    intercept = of.intercept * (scaling.change or 1.0)
    physical = output.scale * weights / scale
    start = output.offset + output.scale * intercept - float((physical * offset).sum())
    digits = [float(f"{w:.{WEIGHT_DIGITS}g}") for w in physical.ravel()]
    source = (
        f"const W={_compact(digits)},mean={_compact(offset.tolist())},model={{layers:[]}};"
        "const create=()=>{const state=new Float64Array(W.length),output=new Float64Array(1);"
        f"const I={inputs};return{{state,output,"
        "reset(){for(let k=0;k<W.length;k++)state[k]=mean[k%I]},"
        "step(u){state.copyWithin(I,0);"
        "for(let i=0;i<I;i++)state[i]=Number.isFinite(u[i])?u[i]:mean[i];"
        f"output[0]=W.reduce((sum,w,k)=>sum+w*state[k],{start:.9g});return output}}}}}};"
    )
    return _Shown(source, scaling, weights.size + 1)


def _sines(scaling: Scaling) -> Signal:
    """Two sines a column, of its mean and scale."""
    time, columns, output = np.arange(ROWS), scaling.inputs, scaling.outputs[0]
    waves = [
        column.offset
        + column.scale * (np.sin(time / (7 + 2 * k)) + 0.6 * np.sin(time / (2.9 + k) + k))
        for k, column in enumerate(columns)
    ]
    same = (output.offset, output.scale) == (columns[0].offset, columns[0].scale)
    return Signal(tuple(column.name for column in columns), np.stack(waves, 1), 1 if same else None)


def _place(name: str, index: int, signal: Signal, scaling: Scaling) -> int:
    """Which of the signal's columns an input is; -1: none, and its mean stands for it."""
    if name in signal.columns:
        return signal.columns.index(name)
    if len(signal.columns) == len(scaling.inputs):
        return index
    return -1


def _bare(source: str) -> str:
    """A module's text without its imports, exports, comments and indents."""
    lines = (line.strip() for line in source.splitlines())
    kept = [
        re.sub(r"^export (?=const|class|function|async)", "", line)
        for line in lines
        if line and not line.startswith(("//", "/** ", "import "))
    ]
    return "\n".join(kept) + "\n"


def _squeezed(source: str) -> str:
    """A model's text with no space around signs, and no zero before a point."""
    return re.sub(r"(?<![\d.])0(?=\.\d)", "", re.sub(r" ([-+*/=?:<]) ", r"\1", _bare(source)))


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _small(style: str) -> str:
    return re.sub(r"\s*([{};:,])\s*", r"\1", style).replace("\n", "")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


@cache
def _text(name: str) -> str:
    return (files("torchliquid.play") / "live" / name).read_text(encoding="utf-8")


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - rendered by a template that escapes


def _render(template: str, **context: Any) -> str:
    try:
        from jinja2 import Environment, StrictUndefined
    except ModuleNotFoundError as error:
        raise TorchliquidError(f"jinja2 is not installed: {install_command('export')}") from error
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_text(template)).render(**context)
