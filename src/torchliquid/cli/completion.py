"""`torchliquid completion`: a script that completes commands and options in a shell."""

import argparse
from typing import Any


def add_completion(commands: Any, whole: argparse.ArgumentParser) -> None:
    """Add the command; ``whole`` is the parser that it completes."""
    parser = commands.add_parser(
        "completion",
        help="a script that completes commands in a shell",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example:\n  eval "$(torchliquid completion bash)"',
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    parser.set_defaults(command=_completion, whole=whole)


def _completion(options: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(options.whole, options.shell))
    return 0
