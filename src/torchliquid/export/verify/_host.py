"""Exported C on this machine: compiled strictly, and run over samples."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.export._text import render

STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wdouble-promotion", "-Werror")
SECONDS = 300


@dataclass(frozen=True)
class Exported:
    """An exported folder as its report describes it."""

    folder: Path
    facts: dict[str, Any]

    @property
    def name(self) -> str:
        """Of functions and files."""
        return str(self.facts["name"])

    @property
    def variable_dt(self) -> bool:
        """Whether each sample has a time of its own."""
        return bool(self.facts["options"]["variable_dt"])

    @property
    def type(self) -> str:
        """Of inputs and outputs in C."""
        return "int16_t" if self.facts["options"]["dtype"] in ("q8", "q16") else "float"

    @property
    def sources(self) -> list[str]:
        """What is compiled, and where headers are."""
        sources = self.facts.get("sources") or [str(self.folder / "src" / f"{self.name}.c")]
        return [*sources, f"-I{self.folder / 'src'}"]


def compilers() -> dict[str, list[str]]:
    """What compiles C on this machine, by name, and the same as C++."""
    chosen = os.environ.get("CC")
    names = [chosen] if chosen else ["gcc", "clang", "cc"]
    commands = {name: shlex.split(name) for name in names if _is_there(name)}
    if "gcc" in commands or "clang" in commands:
        commands.pop("cc", None)
    if chosen is None and _is_there("g++"):
        commands["g++"] = ["g++", "-x", "c++", "-std=c++11"]
    return commands


def version(compiler: str) -> str:
    """A compiler's own first line."""
    return call([compiler, "--version"]).decode(errors="replace").splitlines()[0]


def _is_there(program: str) -> bool:
    parts = shlex.split(program)
    return bool(parts) and shutil.which(parts[0]) is not None


def call(command: Sequence[str], stdin: bytes | None = None, seconds: int = SECONDS) -> bytes:
    """What a program prints.

    Raises:
        TorchliquidError: it failed, or did not end.
    """
    try:
        done = subprocess.run(  # noqa: S603 - compilers, and what they made of our own sources
            command, input=stdin, capture_output=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TorchliquidError(f"{command[0]} did not end within {seconds} s") from error
    if done.returncode:
        stderr = done.stderr.decode(errors="replace").strip().splitlines()
        line = next(
            (text for text in stderr if "error" in text.lower()), stderr[0] if stderr else ""
        )
        raise TorchliquidError(f"{Path(command[0]).name} failed ({done.returncode}): {line[:200]}")
    return done.stdout


def build(
    exported: Exported, program: Path, flags: Sequence[str] = (), compiler: Sequence[str] = ("cc",)
) -> None:
    """Compile the sources and a program that runs them over samples, without a warning."""
    facts = exported.facts
    main = program.with_suffix(".c")
    main.write_text(
        render(
            "harness.c.j2",
            name=exported.name,
            type=exported.type,
            variable_dt=exported.variable_dt,
            d_inputs=len(facts["inputs"]),
            d_outputs=len(facts["outputs"]),
        ),
        encoding="utf-8",
    )
    has_standard = "c++" in compiler or any(flag.startswith(("-std=", "-ansi")) for flag in flags)
    standard = () if has_standard else ("-std=c99",)
    call([*compiler, *standard, *STRICT, *flags, *exported.sources, str(main), "-o", str(program)])


def run(
    exported: Exported,
    inputs: NDArray[Any],
    dt: NDArray[np.float32],
    flags: Sequence[str] = ("-O2",),
    compiler: Sequence[str] = ("cc",),
) -> NDArray[Any]:
    """Outputs ``(T, O)`` of the C over inputs ``(T, I)`` in turn, from a state of zero.

    Both are numbers, or counts where the C is of integers.
    """
    kind = np.float32 if exported.type == "float" else np.int16
    columns = [inputs, dt[:, None]] if exported.variable_dt else [inputs]
    stdin = np.ascontiguousarray(np.concatenate(columns, axis=1), dtype=kind)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "run"
        build(exported, program, flags, compiler)
        stdout = call([str(program)], stdin.tobytes())
    outputs = np.frombuffer(stdout, dtype=kind)
    return outputs.reshape(len(inputs), len(exported.facts["outputs"]))
