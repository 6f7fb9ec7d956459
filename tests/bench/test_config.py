"""Options are defined once: suite files, the command line and the documentation agree."""

import argparse
import dataclasses
from pathlib import Path

import pytest

from torchliquid import TorchliquidError
from torchliquid.bench import config
from torchliquid.bench import options as machinery
from torchliquid.bench.tasks.kinds import KINDS
from torchliquid.cli.flags import to_flags
from torchliquid.cli.main import _parser, main

GROUPS = {kind.command: kind.options for kind in KINDS.values()} | {"protocol": config.Protocol}
FIELDS = [
    pytest.param(name, field, id=f"{name}.{field.name}")
    for name, options in GROUPS.items()
    for field in dataclasses.fields(options)
]
VALUES = {  # of the command line, and in a suite file
    "sines": ("1:1,0.5:2.5", [[1, 1], [0.5, 2.5]]),
    "horizon": ("6h", "6h"),
    "severities": ("1,3", [1, 3]),
}


def parsed(options, *arguments):
    parser = argparse.ArgumentParser()
    machinery.add_arguments(parser, options, "options")
    return machinery.arguments_of(options, parser.parse_args(arguments))


def required(options):
    """Arguments for what must be given."""
    needed = [f for f in dataclasses.fields(options) if f.default is machinery.REQUIRED]
    flags = [(machinery.flags_of(field)[0], "x") for field in needed]
    return [word for flag, word in flags for word in ([flag, word] if flag[0] == "-" else [word])]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_the_command_line_and_a_suite_file_mean_the_same(name, field):
    options = GROUPS[name]
    flags = machinery.flags_of(field)
    if not flags or not field.metadata["key"] or field.default is machinery.REQUIRED:
        return
    kind = field.type if isinstance(field.type, str) else str(field.type)
    on_line, in_file = VALUES.get(field.name, (None, None))
    if on_line is None:
        chosen = field.metadata["choices"]
        if "bool" in kind:
            on_line, in_file = None, True
        elif chosen:
            on_line = in_file = chosen[-1]
        elif "tuple" in kind:
            on_line, in_file = "a,b", ["a", "b"] if field.metadata["separator"] else ["a,b"]
        elif "float" in kind or "int" in kind:
            on_line, in_file = "3", 3
        else:
            on_line = in_file = "x"
    arguments = [flags[0]] if on_line is None else [flags[0], on_line]
    line = parsed(options, *required(options), *arguments)[field.name]
    needed = {f.name: "x" for f in dataclasses.fields(options) if f.default is machinery.REQUIRED}
    file = machinery.read(options, needed | {field.name: in_file}, "a file")[field.name]
    assert line == file
    options(**needed | {field.name: file})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind_is_a_command_with_an_example(kind, capsys):
    with pytest.raises(SystemExit):
        main(["bench", kind.command, "--help"])
    page = capsys.readouterr().out
    assert f"torchliquid bench {kind.command} {kind.example}" in page
    _parser().parse_args(["bench", kind.command, *kind.example.split()])


def test_every_command_has_an_example():
    def commands(parser, name):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for key, command in action.choices.items():
                    yield from commands(command, f"{name} {key}")
        yield name, parser

    for name, parser in commands(_parser(), "torchliquid"):
        if name not in ("torchliquid info", "torchliquid bench"):
            assert parser.epilog, name
            assert name in parser.epilog


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epochs": "many"}, "epochs of a file is 'many': give an integer"),
        ({"epochs": True}, "epochs of a file is True: give an integer"),
        ({"epochs": 1.5}, "give an integer"),
        ({"learning_rate": "fast"}, "give a number"),
        ({"tuned": "dt"}, "give a list of names"),
        ({"tuned": []}, "at least one"),
        ({"schedule": "cosine"}, "give constant or one-cycle"),
        ({"epoch": 3}, "no key 'epoch' (did you mean 'epochs'?)"),
        ([], "give a table of keys and values"),
    ],
)
def test_what_cannot_be_read_is_named(given, message):
    with pytest.raises(TorchliquidError) as error:
        machinery.read(config.Protocol, given, "a file")
    assert message in str(error.value)


def test_a_required_key_is_asked_for():
    with pytest.raises(TorchliquidError, match="a file has no target: give it"):
        machinery.read(config.TracesOptions, {"folder": "x"}, "a file")


@pytest.mark.parametrize(
    ("given", "defaults", "fixed", "trials", "tuned"),
    [
        ({}, {}, [], 1, ()),
        ({"trials": 4}, {}, [], 4, ("learning_rate", "dt")),
        ({}, {"trials": 4}, [], 4, ("learning_rate", "dt")),
        ({"trials": 4, "learning_rate": 0.1}, {}, [], 4, ("dt",)),
        ({"trials": 4, "learning_rate": 0.1}, {}, ["dt"], 1, ()),
        ({"trials": 4, "tuned": ("schedule", "dt")}, {}, ["dt"], 4, ("schedule",)),
    ],
)
def test_what_is_given_is_not_tuned(given, defaults, fixed, trials, tuned):
    protocol = config.make_protocol(given, defaults, fixed)
    assert (protocol.trials, protocol.tuned) == (trials, tuned)


def test_arguments_in_messages_become_flags():
    _parser()
    main([])
    assert to_flags("give `time_zone`, or `missing=-200`") == "give --time-zone, or --missing -200"
    assert to_flags("give another `folder`, or `fresh`") == "give another --out, or --fresh"
    assert to_flags("`learning_rate` and `nothing`") == "--lr and `nothing`"


def test_a_suite_file_reads_tables_as_the_command_line_does(tmp_path, capsys):
    path = tmp_path / "t.csv"
    rows = "\n".join(f"{k};{k % 7},5" for k in range(200))
    path.write_text(f"one line above\nt;y\n{rows}\n", encoding="utf-16-le")
    suite = tmp_path / "s.toml"
    suite.write_text(
        'models = ["persistence"]\n[tasks.table]\nfile = "t.csv"\ntarget = "y"\ntime = "t"\n'
        'decimal = ","\nsep = ";"\nskip_rows = 1\nencoding = "utf-16-le"\n'
    )
    arguments = ["--target", "y", "--time", "t", "--decimal", ",", "--sep", ";"]
    arguments += ["--skip-rows", "1", "--encoding", "utf-16-le", "--show-task", "--json"]
    assert main(["bench", "csv", str(path), *arguments]) == 0
    shown = capsys.readouterr().out
    from torchliquid.bench.suites.suite import read_suite

    read = read_suite(suite)
    task = read.tasks[0].build(read.protocol)
    assert task.spec["sha256"] in shown


def test_the_command_line_takes_what_suites_took_alone(tmp_path, capsys):
    base = ["--lanes", "2", "--epochs", "3", "--models", "LTC-2", "--processes", "0"]
    more = ["--schedule", "one-cycle", "--weight-decay", "0.01", "--shifts", "noise"]
    command = ["bench", "lorenz", "--steps", "60", "--train", "40", *base, *more]
    assert main([*command, "--severities", "1,5", "--out", str(tmp_path / "r")]) == 0
    from torchliquid.bench.run.store import Store

    store = Store.existing(tmp_path / "r")
    protocol = store.settings["protocol"]
    assert protocol["schedule"] == "one-cycle"
    assert protocol["shifts"] == ["noise"]
    assert store.load("LTC-2").arrays["shift_noise"].shape == (2, 2)


def test_the_page_of_options_is_that_of_the_code():
    page = Path(__file__).parents[2] / "docs" / "options.md"
    wanted = machinery.options_page(GROUPS)
    assert page.read_text() == wanted, "run python tools/options_page.py"
