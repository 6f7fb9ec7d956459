"""Exported C on cores of microcontrollers, under QEMU: what it outputs, and what it costs.

QEMU counts instructions, not cycles. A tick of the emulated clock is a fixed number of
instructions (``-icount shift=0``: one a nanosecond); a run of N samples less the same run of calls
to an empty function, over N, is what one step takes.
"""

import functools
import re
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
from torchliquid.export.verify._host import STRICT, Exported, call, version

HERE = Path(__file__).parent / "templates"
_BARE = ("-nostartfiles", "-T", str(HERE / "cortex.ld"), "--specs=nano.specs",
         "--specs=nosys.specs", "-lm")  # fmt: skip
_ROOMY = (*_BARE, "-Wl,--defsym=RAM_SIZE=128K")
"""What such cores have beside them; 16 KB otherwise."""
_HOSTED = (
    "--crt0=hosted",
    "--oslib=semihost",
    *(
        f"-Wl,--defsym=__{name}={place:#x}"
        for name, place in (
            ("flash", 0x80000000),
            ("flash_size", 0x200000),
            ("ram", 0x80200000),
            ("ram_size", 0x200000),
        )
    ),
)


@dataclass(frozen=True)
class Board:
    """A core, what compiles for it and what emulates it.

    Args:
        core: its name.
        prefix: of its compiler and tools.
        target: flags that choose the core.
        link: flags that make a program that starts by itself.
        start: source of the start and of what the program says.
        machine: QEMU's program and machine.
        tick: instructions in a tick of the program's clock.
    """

    core: str
    prefix: str
    target: tuple[str, ...]
    link: tuple[str, ...]
    start: str
    machine: tuple[str, ...]
    tick: float

    def lacking(self) -> str | None:
        """The first tool that is not there."""
        tools = (f"{self.prefix}-gcc", self.machine[0])
        return next((tool for tool in tools if shutil.which(tool) is None), None)


_ARM = "qemu-system-arm"
BOARDS = {
    board.core: board
    for board in (
        Board(
            "Cortex-M4F",
            "arm-none-eabi",
            ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
            _ROOMY,
            "cortex.c",
            (_ARM, "-M", "mps2-an386"),
            40,
        ),
        Board(
            "Cortex-M3",
            "arm-none-eabi",
            ("-mcpu=cortex-m3", "-mthumb", "-mfloat-abi=soft"),
            _ROOMY,
            "cortex.c",
            (_ARM, "-M", "mps2-an385"),
            40,
        ),
        Board(
            "Cortex-M0+",
            "arm-none-eabi",
            ("-mcpu=cortex-m0plus", "-mthumb", "-mfloat-abi=soft"),
            _BARE,
            "cortex.c",
            (_ARM, "-M", "microbit"),
            62.5,
        ),
        Board(
            "RV32IMAC",
            "riscv64-unknown-elf",
            ("-march=rv32imac", "-mabi=ilp32", "--specs=picolibc.specs"),
            _HOSTED,
            "riscv.c",
            ("qemu-system-riscv32", "-M", "virt", "-bios", "none"),
            1,
        ),
    )
}
"""By the name of the core."""


@dataclass(frozen=True)
class DeviceRun:
    """What a core made of samples, and what it took.

    Args:
        outputs: ``(T, O)``, of the type of the export.
        instructions: in a step.
        stack: bytes below the caller's.
    """

    outputs: NDArray[Any]
    instructions: float
    stack: int


@dataclass(frozen=True)
class Sizes:
    """Bytes.

    Args:
        code: of the object: instructions and the constants among them.
        weights: of the object.
        tables: of the object.
        linked: what a program grows by when it takes the model in, libraries included.
        ram: not flash, but memory that the object takes for itself, whatever calls it: none, as it
            should be.
    """

    code: int
    weights: int
    tables: int
    linked: int
    ram: int

    @property
    def object(self) -> int:
        """Of the object alone."""
        return self.code + self.weights + self.tables

    @property
    def libraries(self) -> int:
        """What it takes from libraries: float arithmetic on cores without it, memcpy."""
        return max(0, self.linked - self.object)


def _compile(
    board: Board, exported: Exported, main: Path, program: Path, flags: Sequence[str]
) -> None:
    call(
        [
            f"{board.prefix}-gcc",
            "-std=gnu99",
            *board.target,
            *flags,
            "-ffunction-sections",
            "-fdata-sections",
            "-Wl,--gc-sections",
            *exported.sources,
            str(main),
            str(HERE / board.start),
            *board.link,
            "-o",
            str(program),
        ]
    )


def run(
    board: Board,
    exported: Exported,
    inputs: NDArray[Any],
    dt: NDArray[np.float32],
    level: str = "-Os",
) -> DeviceRun:
    """The samples ``(T, I)`` on an emulated core, from a state of zero.

    Raises:
        TorchliquidError: it does not compile, or faults.
    """
    facts = exported.facts
    outputs = len(facts["outputs"])
    with tempfile.TemporaryDirectory() as folder:
        main, program = Path(folder) / "device.c", Path(folder) / "device.elf"
        main.write_text(
            render(
                "device.c.j2",
                name=exported.name,
                type=exported.type,
                variable_dt=exported.variable_dt,
                count=len(inputs),
                inputs=inputs,
                times=dt,
                read_sp="mv %0, sp" if board.start == "riscv.c" else "mov %0, sp",
                d_inputs=len(facts["inputs"]),
                d_outputs=outputs,
            ),
            encoding="utf-8",
        )
        _compile(board, exported, main, program, [level])
        values = _emulated(board, program)
    flat, (ticks, stack) = values[: len(inputs) * outputs], values[len(inputs) * outputs :]
    raw = np.array(flat, dtype=np.uint32).astype("<u4")
    kind = np.float32 if exported.type == "float" else np.int16
    numbers = raw.view(np.float32) if kind is np.float32 else raw.astype(np.uint16).view(np.int16)
    return DeviceRun(numbers.reshape(len(inputs), outputs), ticks * board.tick / len(inputs), stack)


def _emulated(board: Board, program: Path) -> list[int]:
    options = ("-nographic", "-semihosting", "-icount", "shift=0", "-kernel", str(program))
    try:
        done = subprocess.run(  # noqa: S603 - QEMU, on what we made of our own sources
            [*board.machine, *options],
            capture_output=True,
            timeout=600,  # an emulator that hangs
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise TorchliquidError(f"{board.core}: the program did not end within 120 s") from error
    printed = (done.stdout + done.stderr).decode(errors="replace").split()
    values = [int(word, 16) for word in printed if re.fullmatch(r"[0-9a-f]{8}", word)]
    if "end" not in printed or "FAULT" in printed:
        raise TorchliquidError(f"{board.core}: the program failed ({' '.join(printed[-8:])[:200]})")
    return values


def sizes(board: Board, exported: Exported, level: str = "-Os", *, strict: bool = True) -> Sizes:
    """Bytes of flash on a core; ``strict`` allows no warning."""
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        main = folder / "size.c"
        main.write_text(
            render(
                "size.c.j2",
                name=exported.name,
                type=exported.type,
                variable_dt=exported.variable_dt,
            ),
            encoding="utf-8",
        )
        totals = []
        for word, with_model in (("without", ()), ("with", ("-DWITH_MODEL",))):
            program = folder / word
            _compile(board, exported, main, program, [level, *with_model])
            totals.append(sum(_sections(board, program)[:2]))
        model = folder / "model.o"
        call([
            f"{board.prefix}-gcc", "-std=c99", *board.target, level,
            *(STRICT if strict else ()), "-ffunction-sections",
            "-fdata-sections", "-c", *exported.sources, "-o", str(model),
        ])  # fmt: skip
        text, data, bss = _sections(board, model)
        symbols = _constants(board, model)
    tables = sum(size for name, size in symbols.items() if "table" in name)
    weights = sum(symbols.values()) - tables
    code = text + data - weights - tables
    return Sizes(code, weights, tables, totals[1] - totals[0], data + bss)


def _sections(board: Board, path: Path) -> tuple[int, int, int]:
    """Bytes of text, data and bss."""
    lines = call([f"{board.prefix}-size", str(path)]).decode().splitlines()
    text, data, bss = (int(word) for word in lines[1].split()[:3])
    return text, data, bss


def _constants(board: Board, path: Path) -> dict[str, int]:
    """Bytes of each constant."""
    sizes = {}
    for line in call([f"{board.prefix}-nm", "-S", str(path)]).decode().splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2] in "rR":
            sizes[fields[3]] = int(fields[1], 16)
    return sizes


@functools.cache
def compiler_version(prefix: str) -> str:
    """The compiler's own first line."""
    return version(f"{prefix}-gcc")
