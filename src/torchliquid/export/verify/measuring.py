"""The cost of an exported model on an emulated microcontroller: bytes, instructions, stack."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.export.verify import _host as host
from torchliquid.export.verify import _qemu as boards
from torchliquid.export.verify.verification import opened, physical, vectors


@dataclass(frozen=True)
class Measurement:
    """What an exported model costs on a core, and what it outputs.

    Args:
        core: name of the core, a key of ``CORES``.
        compiler: its compiler's version.
        flags: its compiler's flags.
        parameters: trained parameters of the model.
        flash: bytes of code and constants, linked.
        instructions: for one sample, on average.
        stack: bytes of stack.
        state: bytes of the model's state.
        outputs: ``(T, O)``, in physical units, for the samples of the folder.
    """

    core: str
    compiler: str
    flags: str
    parameters: int
    flash: int
    instructions: float
    stack: int
    state: int
    outputs: NDArray[Any]


CORES = tuple(boards.BOARDS)
"""Names of the emulated cores."""


def check_tools(core: str = "Cortex-M4F") -> None:
    """Check that compilers and the emulator of a core are installed.

    Raises:
        TorchliquidError: one is missing, or the core is unknown.
    """
    if core not in boards.BOARDS:
        raise TorchliquidError(f"core is {core!r}: give one of {', '.join(CORES)}")
    missing = boards.BOARDS[core].lacking()
    if missing is None and not host.compilers():
        missing = "gcc"
    if missing is not None:
        raise TorchliquidError(
            f"{missing} is not installed: install the packages gcc, gcc-arm-none-eabi, "
            "libnewlib-arm-none-eabi and qemu-system-arm, or what they are called here"
        )


def measure(folder: str | Path, core: str = "Cortex-M4F", steps: int = 50) -> Measurement:
    """Run an exported model on an emulated core, and on this machine.

    Args:
        folder: what `to_c` wrote.
        core: one of `CORES`.
        steps: samples to run on the core, the first of the folder's.

    Returns:
        The cost on the core. The outputs are those of all samples: of the C on this machine, or, in
        integers, of the reference model, which the core must equal to the bit.

    Raises:
        TorchliquidError: tools are missing, the C does not compile, or the core outputs something
            else than the reference model.
    """
    check_tools(core)
    board, exported = boards.BOARDS[core], opened(folder)
    samples = vectors(exported)
    run = boards.run(board, exported, samples.given[:steps], samples.dt[:steps])
    if samples.counts is None:
        outputs = host.run(exported, samples.given, samples.dt)
    else:
        if not (run.outputs == samples.counts[:steps]).all():
            raise TorchliquidError("the core does not output what the reference model does")
        outputs = physical(exported, samples.counts)
    return Measurement(
        core=core,
        compiler=boards.compiler_version(board.prefix),
        flags=" ".join((*board.target, "-Os")),
        parameters=exported.facts["parameters"],
        flash=boards.sizes(board, exported).linked,
        instructions=run.instructions,
        stack=run.stack,
        state=exported.facts["state"],
        outputs=outputs,
    )
