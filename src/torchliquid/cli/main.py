"""The program: parses, calls, and turns errors and signals into exit codes."""

import argparse
import contextlib
import errno
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import NoReturn

from torchliquid import TorchliquidError, __version__
from torchliquid.cli.benchmarks import add_benchmarks
from torchliquid.cli.completion import add_completion
from torchliquid.cli.exports import add_edge, add_exports
from torchliquid.cli.flags import learn_flags, to_flags
from torchliquid.cli.forecasts import add_forecasts
from torchliquid.cli.playing import add_play
from torchliquid.cli.suites import add_suites
from torchliquid.install import install_command
from torchliquid.messages import escape_control, short_repr

BAD_INPUT = 2
"""Exit codes besides 0."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; give its exit code: 0, 2 for bad input, 128 + the signal that ended it."""
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        for argument in arguments:
            if "\0" in argument:
                raise TorchliquidError(
                    f"{short_repr(argument)} holds a null character: leave it out"
                )
        parser = _parser()
        learn_flags(parser)
        if not arguments:
            parser.print_help()
            return 0
        options = parser.parse_args(arguments)
        with _signals():
            code = options.command(options)
            sys.stdout.flush()
    except TorchliquidError as error:
        text = escape_control(" ".join(to_flags(str(error)).splitlines()))
        print(f"torchliquid: error: {text}", file=sys.stderr)
        return BAD_INPUT
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "torchliquid":
            raise
        print(
            f"torchliquid: error: {package} is not installed: " + install_command("bench"),
            file=sys.stderr,
        )
        return BAD_INPUT
    except OSError as error:
        if error.filename is not None:  # a path that the system refuses
            name = short_repr(str(error.filename))
            print(f"torchliquid: error: {name}: {error.strerror}: give another", file=sys.stderr)
            return BAD_INPUT
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EDQUOT):
            raise
        sys.stdout = None  # or the interpreter fails again at its end
        print(f"torchliquid: error: cannot write the output ({error.strerror})", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, _EndedError) else signal.SIGINT
        word = "interrupted" if number == signal.SIGINT else "terminated"
        print(f"torchliquid: {word}; what had finished is kept: call again", file=sys.stderr)
        return 128 + number
    return int(code)


class _EndedError(KeyboardInterrupt):
    """The program was asked to end; it ends as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Take SIGTERM and SIGHUP like Ctrl-C: workers end, locks and semaphores are given back."""

    def end(number: int, _: object) -> NoReturn:
        raise _EndedError(number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise TorchliquidError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="torchliquid",
        description="Liquid neural networks, measured honestly.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  torchliquid bench sunspots --lanes 8 --epochs 300\n"
        "  torchliquid bench csv room.csv --target CO2 --time date\n"
        "  torchliquid export results/sunspots/models/LTC-8/lane-000 --out firmware\n"
        "  torchliquid verify firmware",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    info = commands.add_parser("info", help="versions, backends, threads")
    info.set_defaults(command=_info)

    bench = commands.add_parser("bench", help="compare liquid networks with other models")
    tasks = bench.add_subparsers(required=True, metavar="TASK", parser_class=_Parser)
    add_benchmarks(tasks)
    add_suites(tasks)
    add_edge(tasks)
    add_forecasts(commands)
    add_exports(commands)
    add_play(commands)
    add_completion(commands, parser)
    return parser


def _info(_: argparse.Namespace) -> int:
    from torchliquid.bench.environment import environment_facts

    for name, value in environment_facts().items():
        print(f"{name:12} {value}")
    return 0
