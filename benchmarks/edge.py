"""What exported models cost and how far they are off: a table, and benchmarks/edge.json.

    python benchmarks/edge.py [--rtneural PATH] [--tinymind PATH]

An LTC of 8 and an LSTM of 16 are trained on the article's task, exported in every way, verified,
and counted on emulated cores. With the sources of RTNeural and of tinymind, their LSTM and LTC
cells are built beside ours. Nothing is timed but E8; all other figures are counts, the same at each
run.
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from torchliquid import load
from torchliquid.bench.config import Protocol
from torchliquid.bench.report.tables import markdown
from torchliquid.bench.run.runner import run as train
from torchliquid.bench.tasks.presets import ARTICLE, PRESETS
from torchliquid.bench.tasks.signal_task import article_task
from torchliquid.bench.tasks.sines import SumOfSines
from torchliquid.export import describe, to_c
from torchliquid.export._samples import by_torch, columns, errors, made_up
from torchliquid.export._simulate import states
from torchliquid.export.c import _fixed_point as golden
from torchliquid.export.c._bias_correction import quantised
from torchliquid.export.verify import _host as host
from torchliquid.export.verify import _qemu as boards
from torchliquid.export.verify._host import Exported
from torchliquid.export.verify._qemu import BOARDS, DeviceRun, Sizes
from torchliquid.export.verify.verification import opened, vectors

OUT = Path(__file__).parent / "edge.json"
SOURCES = Path(__file__).parent / "edge"
STEPS, SEED = 50, 1000


@dataclass(frozen=True)
class Row:
    """A figure; ``goal`` is in words."""

    id: str
    model: str
    dtype: str
    core: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None


def trained(folder: Path) -> dict[str, list[Any]]:
    """The article's LTC of 8 and LSTM of 16, eight seeds each.

    Seeds that nothing was chosen by: rounding was worked on with those from 0 on.
    """
    task = article_task(SumOfSines.of_preset(ARTICLE), 8, SEED)
    rate = PRESETS[ARTICLE].learning_rate
    protocol = Protocol(lanes=8, epochs=1000, learning_rate=rate, seed=SEED, trials=1, tuned=())
    train(task, ["LTC-8", "LSTM-16"], protocol, folder, processes=0)
    return {
        name: [load(lane) for lane in sorted((folder / "models" / name).iterdir())]
        for name in ("LTC-8", "LSTM-16")
    }


def counted(model: Any, core: str, level: str, **options: Any) -> tuple[DeviceRun, Sizes]:
    """Instructions and bytes of a model on a core; an error if it is not the model's there."""
    with tempfile.TemporaryDirectory() as place:
        exported = opened(to_c(model, Path(place) / "c", name="net", **options))
        samples = vectors(exported)
        told = boards.run(BOARDS[core], exported, samples.given[:STEPS], samples.dt[:STEPS], level)
        if samples.counts is not None:
            check(bool((told.outputs == samples.counts[:STEPS]).all()), core, options)
        else:
            off = np.abs(told.outputs - samples.torch[:STEPS]).max()
            check(off <= exported.facts["tolerance"], core, options)
        return told, boards.sizes(BOARDS[core], exported, level)


def check(good: bool, *what: object) -> None:
    """No figure of what is not the model."""
    if not good:
        raise SystemExit(f"not the model's outputs: {what}")


def costs(models: dict[str, Any]) -> list[Row]:
    """E1 to E5, and every other combination."""
    rows = []
    for name, model in models.items():
        for dtype in ("float32", "float32-table", "q8", "q16"):
            for loops in ("rolled", "unrolled"):
                for core in BOARDS:
                    for level in ("-Os", "-O2"):
                        told, sizes = counted(model, core, level, dtype=dtype, loops=loops)
                        what = (f"{name}, {loops} {level}", dtype, core)
                        rows += [
                            Row("cost", *what, round(told.instructions, 1), "instructions/step"),
                            Row("cost", *what, sizes.object, "B object"),
                            Row("cost", *what, sizes.linked, "B flash, linked"),
                            Row("cost", *what, told.stack, "B stack"),
                        ]
    return rows


def headline(rows: list[Row]) -> list[Row]:
    """The figures with goals, out of the others."""

    def value(model: str, dtype: str, core: str, unit: str) -> float:
        return next(
            r.value
            for r in rows
            if (r.model, r.dtype, r.core, r.unit) == (model, dtype, core, unit)
        )

    def goal(name: str, model: str, dtype: str, core: str, unit: str, most: float) -> Row:
        found = value(model, dtype, core, unit)
        return Row(name, model, dtype, core, found, unit, f"<= {most:,.0f}", found <= most)

    step = "instructions/step"
    made = [
        goal("E1", "LTC-8, rolled -Os", "float32", "Cortex-M4F", step, 700),
        goal("E1", "LTC-8, unrolled -Os", "float32", "Cortex-M4F", step, 700),
        goal("E2", "LTC-8, 6 unfolds, unrolled -Os", "float32-table", "Cortex-M4F", step, 3000),
        goal("E3", "LTC-8, 6 unfolds, rolled -Os", "q8", "Cortex-M0+", step, 12000),
        goal("E4", "LTC-8, rolled -Os", "float32", "Cortex-M4F", "B object", 650),
    ]
    for dtype in ("float32", "float32-table", "q8"):
        for core in BOARDS:
            both = [value(f"{m}, rolled -Os", dtype, core, step) for m in ("LSTM-16", "LTC-8")]
            ratio = round(both[0] / both[1], 2)
            made.append(
                Row("E5", "LSTM-16 / LTC-8, rolled -Os", dtype, core, ratio, "times", "report")
            )
    return made


def parity(models: dict[str, Any]) -> list[Row]:
    """E6: 10,000 steps, the C's own state all along."""
    rows = []
    for name, model in models.items():
        description = describe(model)
        samples = by_torch(
            model, description, *made_up(description, variable_dt=False, steps=10_000)
        )
        for dtype in ("float32", "float32-table"):
            with tempfile.TemporaryDirectory() as place:
                exported = opened(to_c(model, Path(place) / "c", dtype=dtype))
                told = host.run(exported, samples.inputs, samples.dt)
            off = errors(told, samples.outputs)["largest"]
            main = dtype == "float32" and name == "LTC-8"
            rows.append(
                Row("E6", name, dtype, "host", off, "largest error over 10,000 steps",
                    "<= 2e-6" if main else "report", off <= 2e-6 if main else None)
            )  # fmt: skip
    return rows


def counts(networks: dict[str, list[Any]]) -> list[Row]:
    """E7: over samples that no calibration saw; the median and the worst of eight seeds.

    At a smaller dt the same samples are a faster signal, which moves the output less. ``finer`` has
    the signal of dt 0.1 sampled as finely as dt says.
    """
    rows = []
    cases: list[tuple[str, float | None, int]] = [
        ("LTC-8", dt, 1) for dt in (1.0, 0.1, 0.01, 0.001)
    ]
    cases += [("LTC-8", 0.01, 10), ("LTC-8", 0.001, 100), ("LSTM-16", None, 1)]
    for name, dt, finer in cases:
        for bits in (8, 16):
            shares = sorted(_share(model, dt, bits, finer) for model in networks[name])
            main = bits == 8 and name == "LTC-8" and finer == 1
            for which, share in (("median", statistics.median(shares)), ("worst", shares[-1])):
                judged = main and which == "median"
                what = f"{name}, {which} seed" + (f", dt {dt:g}" if dt else "")
                what += ", finer" if finer > 1 else ""
                rows.append(
                    Row("E7", what, f"q{bits}", "golden", round(share, 3),
                        "% RMS error of deviation", "<= 0.4" if judged else "report",
                        share <= 0.4 if judged else None)
                )  # fmt: skip
    stock = sorted(_stock(model) for model in networks["LTC-8"])
    rows.append(
        Row("E7", "LTC-8, median seed, dt 0.1, stock int8", "int8", "simulated",
            round(statistics.median(stock), 3), "% RMS error of deviation", "report")
    )  # fmt: skip
    return rows


def _case(model: Any, dt: float | None, finer: int) -> tuple[Any, Any, Any, int]:
    description = describe(model, dt)
    steps = 5000 * min(finer, 10)
    inputs, times = made_up(description, variable_dt=False, steps=steps, slower=finer)
    expected = by_torch(model, description, inputs, times).outputs
    return description, inputs, expected, steps // 2


def _share(model: Any, dt: float | None, bits: int, finer: int) -> float:
    description, inputs, expected, half = _case(model, dt, finer)
    offset, scale = columns(description.scaling.inputs)
    made = quantised(description, (inputs[:half] - offset) / scale, bits)
    told = made.to_numbers(golden.run(made, made.to_counts(inputs)))
    return 100 * errors(told[half:], expected[half:])["rms_of_deviation"]


def _stock(model: Any) -> float:
    """What a stock quantiser does: weights of 8 bits a row, inputs and states of 8 bits."""
    description, inputs, expected, half = _case(model, None, 1)
    layer = description.layers[0]
    blend = layer.cell.blend(layer, description.dt / layer.unfolds)
    keep, slope, pull, shift = blend.keep, blend.slope, blend.pull, blend.shift
    told = states(description, inputs[:half].astype(float))[0]

    def rounded(values: Any, largest: Any) -> Any:
        unit = np.maximum(largest, 1e-9) / 127
        return np.clip(np.rint(values / unit), -127, 127) * unit

    row = np.abs(np.concatenate([layer.w_in[0], layer.w_rec[0]], axis=1)).max(1, keepdims=True)
    w_in, w_rec = rounded(layer.w_in[0], row), rounded(layer.w_rec[0], row)
    seen, x, outputs = rounded(inputs, np.abs(inputs).max()), np.zeros(layer.hidden), []
    for u in seen:
        g = 1 / (1 + np.exp(-(w_in @ u + w_rec @ x + layer.bias[0] + shift)))
        x = rounded(keep * x + g * (slope * x + pull), np.abs(told).max())
        outputs.append(description.w_out @ x + description.b_out)
    return 100 * errors(np.array(outputs)[half:], expected[half:])["rms_of_deviation"]


def against_rtneural(model: Any, path: Path) -> list[Row]:
    """E8: in one program, in turns."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        exported = to_c(model, folder / "c", name="net", loops="columns")
        include = [f"-I{exported / 'src'}", f"-I{path}", f"-I{path / 'modules' / 'Eigen'}"]
        for flags in (["-O3"], ["-O3", "-march=native"]):
            for backend in ("EIGEN", "STL"):
                host.call(["gcc", "-std=c99", *flags, "-c", str(exported / "src" / "net.c"),
                           include[0], "-o", str(folder / "net.o")])  # fmt: skip
                host.call(["g++", "-std=c++17", *flags, f"-DRTNEURAL_USE_{backend}=1",
                           "-DRTNEURAL_DEFAULT_ALIGNMENT=16", *include,
                           str(SOURCES / "rtneural.cpp"), str(folder / "net.o"),
                           "-o", str(folder / "run")])  # fmt: skip
                lines = host.call([str(folder / "run")]).decode().splitlines()
                theirs, ours = (statistics.median(column) for column in zip(
                    *(map(float, line.split()) for line in lines), strict=True))  # fmt: skip
                what = f"{' '.join(flags)}, RTNeural on {backend.title()}"
                rows += [
                    Row("E8", f"RTNeural LSTM-8, {what}", "float32", "x86-64", theirs, "ns/step"),
                    Row("E8", f"LTC-8 beside it, {what}", "float32", "x86-64", ours, "ns/step"),
                    Row("E8", f"RTNeural LSTM-8 / LTC-8, {what}", "float32", "x86-64",
                        round(theirs / ours, 2), "times", ">= 3" if flags == ["-O3"] else "report",
                        theirs / ours >= 3 if flags == ["-O3"] else None),
                ]  # fmt: skip
    return rows


def against_tinymind(models: dict[str, Any], path: Path) -> list[Row]:
    """E9: the same weights, readout and harness."""
    rows = []
    for name in ("LTC-8", "LTC-8, 6 unfolds"):
        for core in ("Cortex-M4F", "Cortex-M0+"):
            found = {}
            with tempfile.TemporaryDirectory() as place:
                exported = opened(to_c(models[name], Path(place) / "c", name="net"))
                for who in ("ours", "tinymind's"):
                    if who != "ours":
                        exported = _tinymind(exported, models[name], path)
                    samples = vectors(exported)
                    told = boards.run(BOARDS[core], exported, samples.given[:STEPS],
                                      samples.dt[:STEPS])  # fmt: skip
                    off = np.abs(told.outputs - samples.torch[:STEPS]).max()
                    check(off < 1e-3, who, off)
                    flash = boards.sizes(BOARDS[core], exported, strict=who == "ours").linked
                    found[who] = (told.instructions, flash)
                    what = (f"{name}, {who}", "float32", core)
                    rows.append(Row("E9", *what, round(told.instructions, 1), "instructions/step"))
                    rows.append(Row("E9", *what, flash, "B flash, linked"))
            for place_, unit in ((0, "instructions/step"), (1, "B flash, linked")):
                ratio = round(found["tinymind's"][place_] / found["ours"][place_], 2)
                rows.append(Row("E9", f"{name}, tinymind's / ours, {unit}", "float32", core, ratio,
                                "times", "> 1", ratio > 1))  # fmt: skip
    return rows


def _tinymind(exported: Exported, model: Any, path: Path) -> Exported:
    """The same folder with tinymind's cell instead of our source."""
    layer = describe(model).layers[0]
    parts = [layer.w_in[0], layer.w_rec[0], layer.bias[0], layer.tau, layer.target]
    numbers = np.concatenate([np.ravel(part) for part in parts])

    def array(name: str, values: Any) -> str:
        body = ", ".join(f"{value:.9g}f" if "." in f"{value:.9g}" or "e" in f"{value:.9g}"
                         else f"{value:.9g}.0f" for value in np.float32(values))  # fmt: skip
        return f"static const float {name}[] = {{{body}}};\n"

    w_out, b_out = model.readout.weight.detach().numpy()[0], float(model.readout.bias.detach())
    text = array("PARAMETERS", numbers) + array("READOUT", w_out)
    text += f"static const float OFFSET = {b_out:.9g}f;\n"
    text += f"static const double DT = {describe(model).dt / layer.unfolds!r};\n"
    text += f"enum {{ UNFOLDS = {layer.unfolds} }};\n"
    source = exported.folder / "src"
    (source / "weights.h").write_text(text)
    (source / "net.c").unlink()
    facts = exported.facts | {
        "sources": [
            str(SOURCES / "tinymind.cpp"),
            *(f"-I{place}" for place in (path / "cpp", path / "cpp" / "include")),
            *(f"-DTINYMIND_ENABLE_{word}=1" for word in ("FLOAT", "STD", "FP")),
            "-fno-exceptions",
            "-fno-rtti",
        ]
    }  # fmt: skip
    return Exported(exported.folder, facts)


def show(rows: list[Row]) -> None:
    """A line a figure."""
    for row in rows:
        verdict = {None: "", True: "hit", False: "MISSED"}[row.met]
        print(f"{row.id:4} {row.model:52} {row.dtype:13} {row.core:10} {row.value:>12,.6g} "
              f"{row.unit:32} {row.goal:9} {verdict}", flush=True)  # fmt: skip


def table() -> str:
    """What stands in docs/edge.md, from ``edge.json``."""
    rows = json.loads(OUT.read_text())["rows"]
    found = {
        (r["model"], r["dtype"], r["core"], r["unit"]): r["value"]
        for r in rows
        if r["id"] == "cost"
    }
    lines = [["instructions a step / bytes of flash, linked", *BOARDS]]
    lines.append(["---", *["---:"] * len(BOARDS)])
    for name in ("LTC-8", "LTC-8, 6 unfolds", "LSTM-16"):
        for dtype in ("float32", "float32-table", "q8", "q16"):
            cells = []
            for core in BOARDS:
                step, flash = (
                    found[f"{name}, rolled -Os", dtype, core, unit]
                    for unit in ("instructions/step", "B flash, linked")
                )
                cells.append(f"{step:,.0f} / {flash:,.0f}")
            lines.append([f"{name}, `{dtype}`", *cells])
    goals = [["", "figure", "goal", ""], ["---", "---:", "---", "---"]]
    for row in rows:
        if row["id"] != "cost" and row["unit"] != "ns/step":
            verdict = {None: "", True: "hit", False: "**missed**"}[row.get("met")]
            what = f"{row['id']}: {row['model']}, `{row['dtype']}`, {row['core']}, {row['unit']}"
            goals.append([what, f"{row['value']:.4g}", row.get("goal", ""), verdict])
    return markdown(lines) + "\n\n" + markdown(goals)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rtneural", type=Path, help="RTNeural's sources, for E8")
    parser.add_argument("--tinymind", type=Path, help="tinymind's sources, for E9")
    parser.add_argument("--table", action="store_true", help="of docs/edge.md, and nothing else")
    options = parser.parse_args()
    if options.table:
        print(table())
        return 0
    lacking = [board.lacking() for board in BOARDS.values() if board.lacking()]
    if lacking:
        print(f"{lacking[0]} is not there: install the cores' compilers and QEMU", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as place:
        networks = trained(Path(place) / "article")
    models = {name: seeds[0] for name, seeds in networks.items()}
    models["LTC-8, 6 unfolds"] = copy.deepcopy(models["LTC-8"])
    models["LTC-8, 6 unfolds"].layer.unfolds = 6
    every = costs(models)
    rows = headline(every)
    show(rows)
    for measured in (lambda: parity(models), lambda: counts(networks)):
        rows += (part := measured())
        show(part)
    if options.rtneural:
        rows += (part := against_rtneural(models["LTC-8"], options.rtneural))
        show(part)
    if options.tinymind:
        rows += (part := against_tinymind(models, options.tinymind))
        show(part)
    facts = [{k: v for k, v in vars(row).items() if v not in ("", None)} for row in rows + every]
    OUT.write_text(json.dumps({"schema": 1, "tools": _tools(), "rows": facts}, indent=1) + "\n")
    print(f"{OUT.name}: {len(facts)} rows")
    return 0


def _tools() -> dict[str, str]:
    found = {p: boards.compiler_version(p) for p in sorted({b.prefix for b in BOARDS.values()})}
    qemu = subprocess.run(["qemu-system-arm", "--version"], capture_output=True, text=True,  # noqa: S607
                          check=True)  # fmt: skip
    return found | {"gcc": host.version("gcc"), "qemu": qemu.stdout.splitlines()[0]}


if __name__ == "__main__":
    sys.exit(main())
