"""`torchliquid bench run`, `status`, `list`, `compare` and `export`: suite files."""

import argparse
from pathlib import Path
from typing import Any

from torchliquid import TorchliquidError
from torchliquid.cli.flags import to_flags
from torchliquid.cli.terminal import open_console

EXAMPLES = {
    "run": "suites/quick.toml --processes 2",
    "status": "suites/quick.toml",
    "list": "suites",
    "compare": "results/before results/after",
    "export": "suites/quick.toml --parquet quick.parquet",
}


def add_suites(tasks: Any) -> None:
    """Commands on suite files; see `torchliquid.bench.suites.suite` for what they may say."""
    about = {
        "run": ("run a suite file: tasks, models, planned contrasts", _run_suite),
        "status": ("what of a suite is finished", _suite_status),
        "list": ("the suite files of a folder", _list_suites),
        "compare": ("what has changed between two results of a suite", _compare_suites),
        "export": ("every error of every lane as one table", _export_suite),
    }
    for name, (text, command) in about.items():
        parser = tasks.add_parser(
            name,
            help=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=f"example:\n  torchliquid bench {name} {EXAMPLES[name]}",
        )
        parser.set_defaults(command=command)
        if name == "list":
            parser.add_argument(
                "folder", type=Path, nargs="?", default=Path("suites"), help="(%(default)s)"
            )
            continue
        if name == "compare":
            parser.add_argument("first", type=Path, metavar="A", help="a folder of results")
            parser.add_argument("second", type=Path, metavar="B", help="another")
            continue
        parser.add_argument("suite", type=Path, metavar="FILE.toml")
        parser.add_argument("--out", type=Path, metavar="DIR", help="(results/NAME)")
        if name == "export":
            parser.add_argument("--parquet", type=Path, metavar="FILE", required=True)
        if name == "run":
            parser.add_argument("--processes", type=int, help="workers (one a core, if worth it)")
            parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="of a job")
            parser.add_argument(
                "--shard", metavar="I/N", help="every N-th job alone, from the I-th"
            )
            parser.add_argument(
                "--engine", choices=("local", "dask"), default="local", help="(%(default)s)"
            )
            parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster")
            parser.add_argument(
                "--no-reports", action="store_true", help="no page for each task, only the suite's"
            )


def _run_suite(options: argparse.Namespace) -> int:
    from torchliquid.bench.report import write_report, write_suite_report
    from torchliquid.bench.report.suite_answers import headlines
    from torchliquid.bench.report.tables import suite_tables
    from torchliquid.bench.suites.run_suite import Execution, run_suite
    from torchliquid.bench.suites.suite import read_suite

    suite = read_suite(options.suite)
    out = options.out or Path("results") / suite.name
    console = open_console()
    how = Execution(options.processes, options.scheduler, options.shard, options.time_limit)
    if (options.engine == "dask") != (options.scheduler is not None):
        raise TorchliquidError("--engine dask and --scheduler ADDRESS go together: give both")
    result = run_suite(
        suite,
        out,
        how,
        notify=lambda text: console.print(to_flags(text), soft_wrap=True),
        draw=None if options.no_reports else write_report,
    )
    if options.shard is not None:
        console.print(
            f"shard {options.shard} is done, in {out}: copy the folders of all shards into one, "
            "and call again there without --shard",
            soft_wrap=True,
        )
        return 0
    for table in suite_tables(result):
        console.print(table)
    for line in headlines(result):
        console.print(line)
    failed = [name for name, task in result["tasks"].items() if task["status"] != "ok"]
    for name in failed:
        console.print(f"note: {name}: {result['tasks'][name]['reason']}", soft_wrap=True)
    console.print(f"report: {write_suite_report(out, result)}", soft_wrap=True)
    console.print(f"results: {out / 'suite.json'}", soft_wrap=True)
    if failed:
        raise TorchliquidError(
            f"{len(failed)} of {len(suite.tasks)} tasks failed ({', '.join(failed)}): fix them "
            "and call again; what had finished is kept"
        )
    return 0


def _suite_status(options: argparse.Namespace) -> int:
    from torchliquid.bench.suites.run_suite import status
    from torchliquid.bench.suites.suite import read_suite

    suite = read_suite(options.suite)
    out = options.out or Path("results") / suite.name
    print(f"{suite.title}: {len(suite.tasks)} tasks, {len(suite.models)} models")
    for entry, (name, folder, done, reason) in zip(suite.tasks, status(suite, out), strict=True):
        where = f", {folder}" if folder is not None and done else ""
        text = reason or f"{len(done)} of {len(entry.models)} models finished{where}"
        print(f"{name:16} {text}")
    return 0


def _compare_suites(options: argparse.Namespace) -> int:
    from torchliquid.bench.report.tables import compared_table
    from torchliquid.bench.suites.compare import compare

    rows = compare(options.first, options.second)
    console = open_console()
    if any(not row["same"] for row in rows):
        console.print(compared_table(rows))
    same = sum(row["same"] for row in rows)
    console.print(f"{same} of {len(rows)} pairs of a task and a model are equal in every lane")
    return 0


def _export_suite(options: argparse.Namespace) -> int:
    from torchliquid.bench.suites.rows import write_parquet
    from torchliquid.bench.suites.suite import read_suite

    out = options.out or Path("results") / read_suite(options.suite).name
    count = write_parquet(out / "rows.csv", options.parquet)
    print(f"{count:,} rows: {options.parquet}")
    return 0


def _list_suites(options: argparse.Namespace) -> int:
    from torchliquid.bench.suites.suite import read_suite

    files = sorted(options.folder.glob("*.toml"))
    if not files:
        raise TorchliquidError(f"{options.folder} holds no suite file (*.toml): give a folder")
    for path in files:
        suite = read_suite(path)
        print(f"{path}: {suite.title} ({len(suite.tasks)} tasks, {len(suite.models)} models)")
    return 0
