"""Options as fields of dataclasses: read from suite files and the command line.

`option` defines one; a dataclass is a group of them. See `torchliquid.bench.config` for those of a
benchmark.
"""

import argparse
import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torchliquid.errors import TorchliquidError
from torchliquid.messages import short_repr

REQUIRED: Any = dataclasses.MISSING


def option(
    default: Any,
    help: str,  # noqa: A002 - argparse's word
    *,
    metavar: str | None = None,
    choices: Sequence[str] | None = None,
    flags: Sequence[str] = (),
    separator: str = ",",
    key: bool = True,
) -> Any:
    """Define an option of a dataclass.

    Args:
        default: its value where none is given; `REQUIRED`: it must be given.
        help: one line; ``%(default)s`` stands for the default.
        metavar: what stands for its value in the help.
        choices: the values that it may have.
        flags: names on the command line; none: ``--`` and the field's name. A name without dashes
            is an argument by position.
        separator: what the command line splits a list at; empty: it is given several times instead.
        key: whether suite files have it under this name.
    """
    facts = {"help": help, "metavar": metavar, "choices": choices, "flags": flags}
    return dataclasses.field(default=default, metadata=facts | {"separator": separator, "key": key})


# reading: a mapping of a suite file, or the arguments of the command line


def fields_of(options: type) -> dict[str, dataclasses.Field[Any]]:
    """Return the fields that suite files may hold, by name."""
    return {f.name: f for f in dataclasses.fields(options) if f.metadata.get("key")}


def read(options: type, given: Any, what: str) -> dict[str, Any]:
    """Return the given values, checked by name and type; lists become tuples.

    Args:
        options: the dataclass.
        given: a table of keys and values.
        what: it, in messages, such as ``"[protocol]"``.

    Raises:
        TorchliquidError: a key is unknown, or a value has another type or is none of the choices.
    """
    check_table(given, what)
    fields, hints = fields_of(options), _hints(options)
    check_known(given, fields, what)
    for name, field in fields.items():
        if field.default is REQUIRED and name not in given:
            raise TorchliquidError(f"{what} has no {name}: give it")
    return {
        name: _read(value, hints[name], f"{name} of {what}", fields[name].metadata["choices"])
        for name, value in given.items()
    }


def _read(value: Any, hint: Any, what: str, choices: Sequence[str] | None) -> Any:
    import msgspec

    try:
        value = msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise TorchliquidError(f"{what} is {short_repr(value)}: give {_in_words(hint)}") from error
    if value == () and hint == tuple[str, ...]:
        raise TorchliquidError(f"{what} is []: give a list of names, at least one")
    if choices is not None and value not in choices:
        raise TorchliquidError(f"{what} is {value!r}: give {' or '.join(choices)}")
    return value


def _in_words(hint: Any) -> str:
    """The type of an option, for messages and tables."""
    names = {
        int: "an integer",
        float: "a number",
        str: "a text",
        bool: "true or false",
        tuple[str, ...]: "a list of names",
        tuple[int, ...]: "a list of integers",
        tuple[tuple[float, float], ...]: "a list of pairs of numbers",
    }
    return " or ".join(names[kind] for kind in _kinds(hint))


def _kinds(hint: Any) -> list[Any]:
    """The types that an option may have, but None: the members of a union, or the type alone."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return [kind for kind in kinds if kind is not types.NoneType]


@functools.cache
def _hints(options: type) -> dict[str, Any]:
    return typing.get_type_hints(options)


def check_table(given: Any, what: str) -> None:
    """Check that a value is a table of keys and values."""
    if not isinstance(given, dict):
        raise TorchliquidError(f"{what} is {given!r}: give a table of keys and values")


def check_known(given: Mapping[str, Any], known: Collection[str], what: str) -> None:
    """Check that all keys are known."""
    for key in given:
        if key not in known:
            raise TorchliquidError(
                f"{what} has no key {key!r}{nearest(key, known)}: it knows "
                f"{', '.join(sorted(known))}"
            )


def nearest(given: str, known: Collection[str]) -> str:
    """Return a question for the nearest known name, or nothing where none is near."""
    near = difflib.get_close_matches(given, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


# the command line


def flags_of(field: dataclasses.Field[Any]) -> tuple[str, ...]:
    """Return the names of an option on the command line; none where it has none."""
    flags = field.metadata["flags"] or (f"--{field.name.replace('_', '-')}",)
    return () if flags == ("",) else tuple(flags)


def add_arguments(
    parser: argparse.ArgumentParser,
    options: type,
    title: str,
    *,
    without: Collection[str] = (),
    **defaults: Any,
) -> None:
    """Add the options of a dataclass to a parser, as a group.

    The namespace holds those alone that are given; ``defaults`` are of this command, which does not
    have those ``without``.
    """
    group = parser.add_argument_group(title)
    hints = _hints(options)
    for field in sorted(dataclasses.fields(options), key=lambda f: f.default is not REQUIRED):
        if field.name in without:
            continue
        for_all = defaults.get(field.name, field.default)
        _add_argument(parser, group, field, hints[field.name], for_all)


def _add_argument(
    parser: argparse.ArgumentParser,
    group: Any,
    field: dataclasses.Field[Any],
    hint: Any,
    default: Any,
) -> None:
    flags, facts = flags_of(field), field.metadata
    if not flags:
        return
    text = facts["help"].replace("%(default)s", str(default).replace("%", "%%"))
    if not flags[0].startswith("-"):
        parser.add_argument(*flags, metavar=facts["metavar"], help=text)
        return
    arguments: dict[str, Any] = {"help": text, "dest": field.name, "default": argparse.SUPPRESS}
    kinds = _kinds(hint)
    if kinds == [bool]:
        group.add_argument(*flags, action="store_true", **arguments)
        return
    arguments |= {"metavar": facts["metavar"], "required": field.default is REQUIRED}
    arguments["choices"] = facts["choices"]
    if typing.get_origin(kinds[0]) is tuple:
        group.add_argument(*flags, action="append", **arguments)
    else:
        one = kinds[0] if kinds in ([int], [float]) else str
        group.add_argument(*flags, type=one, **arguments)


def arguments_of(options: type, namespace: argparse.Namespace) -> dict[str, Any]:
    """Return the options that the command line gave, as a suite file would hold them.

    Raises:
        TorchliquidError: a list cannot be read.
    """
    given: dict[str, Any] = {}
    hints = _hints(options)
    for field in dataclasses.fields(options):
        if not hasattr(namespace, field.name):
            continue
        value = getattr(namespace, field.name)
        kind, *_ = _kinds(hints[field.name])
        if typing.get_origin(kind) is tuple:
            value = _list_of(field, kind, value)
        given[field.name] = value
    return given


def _list_of(field: dataclasses.Field[Any], kind: Any, values: list[str]) -> tuple[Any, ...]:
    """The list that the command line gave, with commas or in several turns."""
    separator = field.metadata["separator"]
    parts = [p.strip() for v in values for p in (v.split(separator) if separator else [v])]
    parts = [part for part in parts if part]
    item = typing.get_args(kind)[0]
    try:
        if item is int:
            return tuple(int(part) for part in parts)
        if item is not str:  # pairs
            pairs = [part.partition(":") for part in parts]
            return tuple((float(first), float(second)) for first, _, second in pairs)
    except ValueError as error:
        shape = "integers such as 1,3,5" if item is int else "pairs such as 1:1,0.5:2.5"
        raise TorchliquidError(f"`{field.name}` is {','.join(values)!r}: give {shape}") from error
    return tuple(parts)


def option_table(options: type) -> str:
    """Return a table of the options for the documentation, in Markdown."""
    hints = _hints(options)
    lines = ["| suite file | command line | type | meaning |", "| --- | --- | --- | --- |"]
    for field in dataclasses.fields(options):
        flags = ", ".join(f"`{flag}`" for flag in flags_of(field)) or "-"
        key = f"`{field.name}`" if field.metadata["key"] else "-"
        text = field.metadata["help"].replace("%(default)s", str(field.default))
        text = text.replace("%%", "%").replace("|", "\\|")
        lines.append(f"| {key} | {flags} | {_in_words(hints[field.name])} | {text} |")
    return "\n".join(lines) + "\n"


def options_page(groups: Mapping[str, type]) -> str:
    """Return the documentation page of all options, in Markdown, by groups."""
    head = (
        "# All options\n\n"
        "Every option of a benchmark, by its name in a suite file and on the command line, where "
        "lists are written with commas. Written from `torchliquid/bench/config.py`.\n"
    )
    parts = [f"## {name}\n\n{option_table(options)}" for name, options in groups.items()]
    return "\n".join([head, *parts])
