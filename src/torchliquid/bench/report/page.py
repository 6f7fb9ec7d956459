"""The page: figures, tables and words in one file that needs nothing else."""

import html
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from torchliquid.bench.judging.schema import Summary
from torchliquid.bench.models.registry import name_pattern
from torchliquid.bench.report import tables
from torchliquid.bench.report.answer import answers
from torchliquid.bench.report.conclusion import title
from torchliquid.bench.report.figure_data import Material
from torchliquid.bench.report.figure_writer import FigureWriter
from torchliquid.bench.report.figures_answer import ratios_at_a_glance
from torchliquid.bench.report.figures_differences import paired_differences
from torchliquid.bench.report.figures_edge import edge_costs
from torchliquid.bench.report.figures_jumps import jump_average
from torchliquid.bench.report.figures_parameters import parameters_against_error
from torchliquid.bench.report.figures_prediction import prediction
from torchliquid.bench.report.figures_tau import tau_figures
from torchliquid.bench.report.figures_training import loss_curves
from torchliquid.bench.report.live import panel_of
from torchliquid.bench.report.number_format import claim_figure, interval, number
from torchliquid.bench.report.published import published
from torchliquid.bench.report.task_text import article_words
from torchliquid.bench.run.store import Store, write_file
from torchliquid.messages import plural
from torchliquid.play import DARK, LIGHT, Panel

_PROTOCOL = {
    "lanes": "lanes",
    "shared_data": "all lanes see the same series",
    "has_clean": "target without noise is known",
    "train": "steps to train on",
    "valid": "steps to choose the epoch on",
    "test": "steps to test on",
    "dt": "time between steps (dt)",
    "epochs": "epochs",
    "learning_rate": "learning rate (Adam)",
    "trials": "settings that each network tried",
    "seed": "seed",
    "unit": "unit of the target",
    "scale": "scale of the target",
}
_OPENING_OF_TABLES = (ratios_at_a_glance, prediction)
_SECTIONS = {
    "The time constant": (tau_figures, jump_average),
    "Training and prediction": (loss_curves, prediction),
    "The models side by side": (parameters_against_error, paired_differences),
    "On a microcontroller": (edge_costs,),
}


def write_report(store: Store, summary: Summary) -> Path:
    """Draw all figures and write the page beside the store's rows.

    Args:
        store: holds the runs that the summary speaks of.
        summary: as `torchliquid.bench.judging.summary.summarise` computes it.

    Returns:
        The path of ``report.html``. ``figures/`` beside it holds each figure as SVG and PNG.
    """
    material = Material.of(store, summary)
    gallery = FigureWriter(store.folder / "figures")
    sections = []
    first = (ratios_at_a_glance,) if material.task.is_articles else _OPENING_OF_TABLES
    opening = [gallery.add(maker(material)) for maker in first]
    for heading, makers in _SECTIONS.items():
        figures: list[dict[str, Any]] = []
        for maker in makers:
            if maker in first:
                continue
            figure = maker(material)
            figures += [
                gallery.add(one) for one in (figure if isinstance(figure, list) else [figure])
            ]
        if figures:
            sections.append({"id": _id(heading), "heading": heading, "figures": figures})
    gallery.remove_stale()
    page = store.folder / "report.html"
    write_file(page, _render(summary, opening, sections, panel_of(store)).encode())
    return page


def _id(heading: str) -> str:
    return heading.lower().replace(" ", "-")


def _contents(
    summary: Summary,
    article: dict[str, Any] | None,
    sections: list[dict[str, Any]],
    runs: bool,
) -> list[tuple[str, str]]:
    """The page's parts that are there, by their ids."""
    parts = [
        ("try", "Run the networks", runs),
        ("article", "The article's four numbers", article is not None),
        ("claims", "The claims", bool(summary["claims"]) and not tables.too_few(summary)),
        ("settled", "Settled by a formula", bool(summary["settled"])),
        ("results", "Results", True),
        *((section["id"], section["heading"], True) for section in sections),
        ("pairs", "Every pair of models", bool(summary["differences"])),
        ("task", "The task", True),
        ("made", "How it was made", True),
    ]
    return [(id_, heading) for id_, heading, there in parts if there]


def templates() -> Environment:
    """The pages' templates, with the filters that they write numbers and names by."""
    environment = Environment(
        loader=PackageLoader("torchliquid.bench.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "interval": interval,
        "figure": claim_figure,
        "start": lambda words: words[:1].upper() + words[1:],
        "tau": _tau,
        "sorted_by": tables.sorted_by,
    }
    return environment


def _render(
    summary: Summary,
    opening: list[dict[str, Any]],
    sections: list[dict[str, Any]],
    panel: Panel | None,
) -> str:
    environment = templates()
    article = published(summary)
    measures = tables.columns(summary)
    unit = "" if summary["task"]["has_clean"] else f", in {summary['task']['unit']}"
    results = [(f"Errors against the target{unit}", measures)]
    if summary["task"]["has_clean"]:
        clean = tables.columns(summary, clean=True)
        if any(column.key in facts for facts in summary["models"].values() for column in clean):
            results = [
                ("Errors against the noisy target, which is what the models were trained on",
                 measures),
                ("Errors against the target without its noise", clean),
            ]  # fmt: skip
    return environment.get_template("report.html").render(
        summary=summary,
        task=summary["task"],
        opening=opening,
        trained=[name for name, facts in summary["models"].items() if facts["kind"] != "classical"],
        answers=answers(summary),
        contents=_contents(summary, article, sections, panel is not None),
        article=article,
        title=title(summary),
        training=[lines(entry) for entry in summary["training"]],
        groups=tables.claim_groups(summary),
        claims=tables.claim_rows(summary),
        tally=tables.tally(summary),
        too_few=tables.too_few(summary),
        sections=sections,
        settings=tables.settings(summary),
        edge=summary["edge"],
        series=tables.series_table(summary),
        results=[(heading, columns, tables.rows(summary, columns)) for heading, columns in results],
        lanes=plural(summary["task"]["lanes"], "lane"),
        diverged={n: f for n, f in summary["models"].items() if f["diverged"]},
        untrained={n: f for n, f in summary["models"].items() if f["untrained"]},
        specification=(
            article_words(summary["task"]["spec"])
            if summary["task"]["is_articles"]
            else lines(summary["task"]["spec"])
        ),
        protocol={
            heading: lines({heading: summary["task"][key]})[heading]
            for key, heading in _PROTOCOL.items()
            if key in summary["task"]
        },
        environment=lines(summary["environment"]),
        panel=panel,
        light=LIGHT,
        dark=DARK,
    )


def lines(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as lines "name: value"."""
    texts: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, dict):
            texts |= lines(value, prefix=f"{name}: ")
        elif isinstance(value, bool):
            texts[name] = "yes" if value else "no"
        elif isinstance(value, int | float):
            texts[name] = f"{value:,}" if isinstance(value, int) else f"{value:.6g}"
        elif isinstance(value, list):
            texts[name] = ", ".join(map(str, value)) or "none"
        else:
            texts[name] = "none" if value is None else str(value)
    return texts


def _tau(text: str) -> Markup:
    """The words as HTML: tau and tau_sys as symbols, names of models never broken in two."""
    symbol = "<i>\N{GREEK SMALL LETTER TAU}</i>"
    safe = html.escape(text).replace("\N{GREEK SMALL LETTER TAU}", "tau")
    safe = re.sub(name_pattern(), r'<span class="name">\g<0></span>', safe)
    safe = re.sub(r"\btau_sys\b", f"{symbol}<sub>sys</sub>", safe)
    return Markup(re.sub(r"\btau\b", symbol, safe))  # noqa: S704 - escaped above
