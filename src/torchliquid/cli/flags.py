"""Names of arguments in messages, as the flags that the command line has for them.

Messages of the library name an argument in backquotes: ``give `time` `` or ``give `every=1h` ``.
"""

import argparse
import re
from typing import Any

_FLAGS: dict[str, str] = {"folder": "--out"}


def example(arguments: str) -> dict[str, Any]:
    """Return what a parser is made with to end its help in an example."""
    epilog = f"example:\n  torchliquid {arguments}"
    return {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": epilog}


def learn_flags(parser: argparse.ArgumentParser) -> None:
    """Remember the flags of a parser and of its sub-commands, by the names of their arguments."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                learn_flags(command)
        elif action.option_strings:
            _FLAGS.setdefault(action.dest, action.option_strings[-1])


def to_flags(message: str) -> str:
    """Return a message with flags instead of arguments.

    >>> _FLAGS["every"] = "--every"
    >>> to_flags("`every=1h` needs `when`")
    '--every 1h needs `when`'
    """

    def flag(match: re.Match[str]) -> str:
        name, value = match[1], match[2]
        if name not in _FLAGS:
            return match[0]
        return _FLAGS[name] if value is None else f"{_FLAGS[name]} {value}"

    return re.sub(r"`([a-z_]+)(?:=([^`]*))?`", flag, message)
