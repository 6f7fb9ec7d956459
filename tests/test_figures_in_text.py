"""Figures in the documents are those of the JSON that they came from."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


def load(name):
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())


def cells_of(line):
    """The cells of a table's line, without marks."""
    return [re.sub(r"[*`,]", "", cell).strip() for cell in line.strip("|").split("|")]


def table(document, heading):
    """Rows of the table whose heading begins so: lists of cells without marks."""
    lines = (ROOT / "docs" / document).read_text().splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(f"| {heading} |"))
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(cells_of(line))
    return rows


def test_forecasts():
    tables = load("forecast")["tables"]
    rows = table("forecast.md", "table (rows; rows ahead)")
    assert len(rows) == len(tables)
    for name, *cells in rows:
        found = tables[name.split(" (")[0]]
        assert name == f"{name.split(' (')[0]} ({found['rows']}; {found['horizon']})"
        assert cells[:4] == [f"{found[k]:.3f}" for k in ("naive", "ridge", "LightGBM", "default")]
        assert cells[4].removesuffix(" %") == f"{100 * found['regret']:+.0f}"
        few = found["few origins"]
        assert cells[5] == f"{few['default']:.3f} / {few['AutoETS']:.3f}"
        covered = [int(c) for c in cells[6].split()]
        assert covered == [round(100 * c) for c in found["coverage"].values()]


@pytest.mark.parametrize(
    ("name", "heading", "decimals"),
    [("half_cheetah", "model", 3), ("occupancy", "model, occupancy", 2)],
)
def test_the_papers_tables(name, heading, decimals):
    record = load(f"ltc_paper_{name}")
    rows = table("results-cells.md", heading)
    keys = [name.split(" (")[0] for name, *_ in rows]
    assert set(record["models"]) <= set(keys)
    for key, (_, parameters, published, paper, fair, rate) in zip(keys, rows, strict=True):
        if key == "light alone":
            assert fair == f"{record['light_alone']:.2f}"
            continue
        found = record["models"][key]
        said = [
            f"{np.mean(found[k]):.{decimals}f} ± {np.std(found[k], ddof=1):.{decimals}f}"
            for k in ("paper", "fair")
        ]
        assert (int(parameters), [paper, fair]) == (found["parameters"], said)
        assert float(rate) == found["rate"]
        assert published.replace("±", "+-") == (found["published"] or "")


def test_what_a_step_costs_on_a_core():
    costs = [row for row in load("edge")["rows"] if row["id"] == "cost"]
    rows = table("edge.md", "instructions a step / bytes of flash, linked")
    assert len(rows) == 12
    for name, *cells in rows:
        model, dtype = name.rsplit(" ", 1)
        model = model.replace("LTC-8 6", "LTC-8, 6")
        for core, cell in zip(("Cortex-M4F", "Cortex-M3", "Cortex-M0+", "RV32IMAC"), cells,
                              strict=True):  # fmt: skip
            found = {
                row["unit"]: row["value"] for row in costs
                if row["core"] == core and row["dtype"] == dtype
                and row["model"] == f"{model}, rolled -Os"
            }  # fmt: skip
            said = [int(part) for part in cell.split(" / ")]
            assert said == [round(found["instructions/step"]), found["B flash, linked"]], (
                name,
                core,
            )


def test_the_table_of_kernels():
    cases = {case["id"]: case["ratio"] for case in load("kernels")["cases"]}
    for name, _, _, _, latest, *_ in table("speed.md", "| case | against | AVX-512"):
        if name in cases and re.fullmatch(r"K\d+", name):
            assert float(latest) == pytest.approx(cases[name], rel=0.03)


def test_readme_on_a_microcontroller():
    costs = [row for row in load("edge")["rows"] if row["id"] == "cost"]
    kinds = {"float32": "float32", "8-bit integers": "q8"}
    rows = table("../README.md", "Cortex-M4F, emulated")
    assert len(rows) == 3
    for name, flash, instructions in rows:
        model, kind = re.match(r"(\S+) (.*)", name).groups()  # the comma is gone
        found = {
            row["unit"]: row["value"] for row in costs
            if (row["model"], row["dtype"], row["core"])
            == (f"{model}, rolled -Os", kinds[kind], "Cortex-M4F")
        }  # fmt: skip
        assert (int(flash), int(instructions)) == (
            found["B flash, linked"], round(found["instructions/step"]),
        )  # fmt: skip


SUITES = {path.stem: json.loads(path.read_text()) for path in (ROOT / "suites").glob("*.json")}


def tables_of_tasks():
    """Every table of results with a row a task: its heading, and its rows."""
    found = []
    for page in sorted((ROOT / "docs").glob("results-*.md")):
        for block in re.findall(r"^\| task \|(?:.*\n\|)+.*", page.read_text(), re.MULTILINE):
            head, _, *rows = map(cells_of, block.splitlines())
            found.append(pytest.param(head[1:], rows, id=f"{page.stem}-{head[1]}"))
    return found


def digits(*numbers):
    return [f"{float(number):.3g}" for number in numbers]


def told_by(suite, task, column):
    """What a suite found, as a cell may say it: a median, or a verdict, a ratio, its interval."""
    matrix = suite["matrix"]
    if task == "parameters":
        return [digits(of[column]["parameters"]) for of in matrix.values() if column in of]
    if " / " in column:
        return [
            [*c["verdict"].split(), *digits(c["ratio"], *c["interval"])] for c in suite["contrasts"]
            if (c["task"], f"{c['first']} / {c['second']}", c["shift"]) == (task, column, None)
        ]  # fmt: skip
    found = matrix.get(task, {}).get(column)
    return [digits(found["mse"])] if found else []


@pytest.mark.parametrize(("columns", "rows"), tables_of_tasks())
def test_a_table_of_results_is_that_of_a_suite(columns, rows):
    wrong = {name: [] for name in SUITES}
    for name, suite in SUITES.items():
        for task, *cells in rows:
            for column, cell in zip(columns, cells, strict=True):
                words = re.findall(r"[^\s\[\]]+", cell)
                said = [w if w.isalpha() else digits(w)[0] for w in words if w != "\N{EN DASH}"]
                if said and said not in told_by(suite, task, column):
                    wrong[name].append((task, column, cell))
    closest = min(wrong, key=lambda name: len(wrong[name]))
    assert not wrong[closest], closest


def test_the_same_models_of_ncps():
    wide, narrow = (
        {case["id"]: case for case in load(name)["cases"]} for name in ("kernels", "kernels-avx2")
    )
    speed = (ROOT / "docs" / "speed.md").read_text()
    rows = re.findall(r"^\| (K[789]\w) \|.*\| (\S+) \| (\S+) \| (\S+) \|$", speed, re.MULTILINE)
    assert len(rows) == 10
    for key, *said in rows:
        case = wide[key]
        assert said == digits(case["ours_ms"], case["other_ms"], case["ratio"]), key
    rows = table("from-ncps.md", "case | ncps | here")
    for key, (_, theirs, ours, times, avx2) in zip("abcdefg", rows, strict=True):
        case = wide[f"K7{key}"]
        found = digits(case["other_ms"], case["ours_ms"], case["ratio"])
        assert [theirs, ours, times, avx2] == [*found, *digits(narrow[f"K7{key}"]["ratio"])], key
    readme = (ROOT / "README.md").read_text()
    fast = readme[readme.index("## Fast") : readme.index("## A microcontroller")]
    said = [int(n) for n in re.findall(r"\b(\d+)(?= times| and \d+ times)", fast)]
    keys = ("P1", "P2", "K7a", "K7b", "K7c", "K7d", "K7e", "K8a")
    assert said == [round(wide[key]["ratio"]) for key in keys]
