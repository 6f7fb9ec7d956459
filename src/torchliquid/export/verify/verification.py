"""Evidence that exported C is the model: checks, each made where its tools are installed.

1. *host*: compiled by every compiler that is installed, as C99 and as C++, without a warning, and
   run over the folder's samples in turn: against torch, and, in integers, against the reference
   model to the bit.
2. *cores*: compiled for microcontrollers and run under QEMU over the first samples; instructions,
   bytes and stack are measured.
3. *sanitizers*: run over inputs of all kinds, NaN and infinity among them, under the address and
   undefined-behaviour sanitizers: no trap, and every output within what states can make.
"""

import json
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.export._markdown_report import report
from torchliquid.export._samples import errors
from torchliquid.export.verify import _host as host
from torchliquid.export.verify import _qemu as boards
from torchliquid.export.verify._host import Exported
from torchliquid.files import check_path, read_file
from torchliquid.messages import short_repr

FUZZ = 100_000
CHAOTIC = 0.02
"""Of the output's deviation: where rounding in torch itself makes that much, nothing is proven."""
SAMPLES = 50
"""Run on an emulated core."""
MAX_ERROR = 0.02
"""RMS error of integers against torch, as a share of the output's deviation, that passes."""
SANITIZE = ("-O1", "-g", "-fsanitize=address,undefined,float-cast-overflow",
            "-fno-sanitize-recover=all")  # fmt: skip


@dataclass
class CheckResult:
    """What one check of the ladder found.

    Args:
        name: of the check.
        state: ``"passed"``, ``"failed"``, ``"skipped"``, or ``"unverified"``: the samples cannot
            show whether it is the model.
        words: one line.
        facts: what was measured.
    """

    name: str
    state: str
    words: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limits:
    """What checks are held to: the largest error of integers, and flags to compile with."""

    max_error: float = MAX_ERROR
    flags: Sequence[str] = ()


@dataclass(frozen=True)
class Vectors:
    """The samples of an exported folder.

    Args:
        given: ``(T, I)``, as the C takes them: numbers or counts.
        dt: ``(T,)``.
        torch: ``(T, O)``, by torch, physical.
        counts: ``(T, O)``, by the reference model, where the C is of integers.
    """

    given: NDArray[Any]
    dt: NDArray[np.float32]
    torch: NDArray[np.float32]
    counts: NDArray[np.int64] | None


def opened(folder: str | Path) -> Exported:
    """A folder that `to_c` wrote.

    Raises:
        TorchliquidError: it is none.
    """
    path = check_path(folder)
    try:
        facts = json.loads(read_file(path / "report.json"))
        if facts["schema"] != 1:
            raise KeyError("schema")
        exported = Exported(path, facts)
        for source in (f"{exported.name}.c", f"{exported.name}.h"):
            if not (path / "src" / source).is_file():
                raise FileNotFoundError(source)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TorchliquidError(
            f"{path} holds no exported model ({type(error).__name__}: {error}): give a folder that "
            "`torchliquid export` wrote"
        ) from error
    return exported


def vectors(exported: Exported) -> Vectors:
    """The samples that it was written with."""
    path = exported.folder / "test" / "vectors.csv"
    try:
        table: Any = np.atleast_1d(np.genfromtxt(path, delimiter=",", names=True, dtype=np.float64))
        I, O = len(exported.facts["inputs"]), len(exported.facts["outputs"])

        def take(kind: str, count: int) -> NDArray[np.float64]:
            named: list[Any] = [table[f"{kind}{k}"] for k in range(count)]
            return np.stack(named, axis=1)

        dt, torch = np.asarray(table["dt"], np.float32), take("output", O).astype(np.float32)
        if exported.type == "float":
            return Vectors(take("input", I).astype(np.float32), dt, torch, None)
        inputs = take("given", I).astype(np.int64)
        return Vectors(inputs, dt, torch, take("count", O).astype(np.int64))
    except (OSError, ValueError, IndexError) as error:
        raise TorchliquidError(f"{path} is damaged ({error}): export the model again") from error


def physical(exported: Exported, outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Outputs of the C in the outputs' units."""
    if exported.type == "float":
        return outputs.astype(np.float64)
    lines = exported.facts["counts"]["outputs"]
    offset, unit = (np.array([line[key] for line in lines]) for key in ("offset", "unit"))
    return np.asarray(offset + unit * outputs)


def verify(
    folder: str | Path,
    *,
    beside: Sequence[str | Path] = (),
    fuzz: int = FUZZ,
    max_error: float = MAX_ERROR,
    cflags: str = "",
) -> list[CheckResult]:
    """Run every check, and keep the results in the folder's report.

    Args:
        folder: what `to_c` wrote.
        beside: other such folders, verified before: ``report.md`` gets a column for each.
        fuzz: how many inputs the sanitizers see.
        max_error: of a model in integers: the largest RMS error against torch, as a share of
            the output's standard deviation over the samples, with which it passes.
        cflags: compiler flags of the product, such as ``"-O3 -ffast-math"``: checks on this machine
            and on emulated cores are compiled with them too.

    Raises:
        TorchliquidError: the folder is none, or there is no compiler at all; a max_error that is
            not positive, or cflags that cannot be split into words.
    """
    if not isinstance(max_error, Real) or isinstance(max_error, bool) or not max_error > 0:
        raise TorchliquidError(f"max_error is {short_repr(max_error)}: give a positive number")
    try:
        flags = shlex.split(cflags)
    except (ValueError, AttributeError) as error:
        raise TorchliquidError(f"cflags is {short_repr(cflags)}: give flags in one text") from error
    exported, others = opened(folder), [opened(other).facts for other in beside]
    if not host.compilers():
        raise TorchliquidError(
            "there is no C compiler: install gcc or clang, or name one in CC, and call again"
        )
    samples = vectors(exported)
    limits = Limits(float(max_error), flags)
    checks = [_host(exported, samples, name, limits) for name in host.compilers()]
    checks += [_core(exported, samples, core, limits) for core in boards.BOARDS]
    checks.append(_sanitizers(exported, fuzz))
    compared = next((check.facts for check in checks if "largest" in check.facts), None)
    error = (
        None
        if compared is None
        else {k: compared[k] for k in ("largest", "rms", "rms_of_deviation")}
    )
    facts = exported.facts | {"error": error, "verified": [asdict(check) for check in checks]}
    try:
        text = json.dumps(facts, indent=2) + "\n"
        (exported.folder / "report.json").write_text(text, encoding="utf-8")
        (exported.folder / "report.md").write_text(report(facts, others), encoding="utf-8")
    except OSError as error:
        raise TorchliquidError(f"cannot write to {folder} ({error.strerror})") from error
    return checks


def _compared(
    name: str,
    exported: Exported,
    samples: Vectors,
    outputs: NDArray[Any],
    facts: dict[str, Any],
    limits: Limits,
) -> CheckResult:
    """Compare outputs with the model's; integers with the reference model's as well."""
    measured = errors(physical(exported, outputs), samples.torch[: len(outputs)])
    facts = measured | facts
    message = f"largest error {measured['largest']:.3g} over {len(outputs)} samples"
    spread = float(samples.torch.astype(np.float64).std(0).max())
    lost = float(exported.facts.get("rounding", 0.0))
    same = True
    if samples.counts is not None:
        facts["bit_exact"] = same = bool((outputs == samples.counts[: len(outputs)]).all())
        message += ", the reference model's to the bit" if same else ", NOT the reference model's"
    if same and spread and lost > CHAOTIC * spread:
        message += (
            f"; it cannot be verified on these samples: torch itself, in single and in double "
            f"precision, is {lost / spread:.0%} of their deviation apart (a chaotic trajectory)"
        )
        return CheckResult(name, "unverified", message, facts)
    if samples.counts is not None:
        # over all samples: a core runs the first ones alone
        every = errors(physical(exported, samples.counts), samples.torch)["rms_of_deviation"]
        facts["rms_of_deviation"] = every
        message += f"; RMS error against torch {every:.2%} of the deviation"
        message += f", limit {limits.max_error:.2%}"
        beyond = int(exported.facts["saturated"])
        if beyond:
            message += f"; {beyond} of {samples.given.size} inputs at an end of their range"
        if every > limits.max_error:
            message += ": calibrate with samples such as these, or export q16 or float32"
        good = same and every <= limits.max_error
        return CheckResult(name, "passed" if good else "failed", message, facts)
    limit = float(exported.facts["tolerance"])
    good = bool(np.isfinite(outputs).all()) and measured["largest"] <= limit
    return CheckResult(name, "passed" if good else "failed", f"{message}, limit {limit:.3g}", facts)


def _host(exported: Exported, samples: Vectors, compiler: str, limits: Limits) -> CheckResult:
    name = f"host {compiler}"
    try:
        command = host.compilers()[compiler]
        flags = limits.flags or ("-O2",)
        outputs = host.run(exported, samples.given, samples.dt, flags, command)
    except TorchliquidError as error:
        return CheckResult(name, "failed", str(error))
    facts = {"compiler": host.version(command[0]), "flags": " ".join(flags)}
    return _compared(name, exported, samples, outputs, facts, limits)


def _core(exported: Exported, samples: Vectors, core: str, limits: Limits) -> CheckResult:
    board = boards.BOARDS[core]
    board = replace(board, target=(*board.target, *limits.flags))
    lacking = board.lacking()
    if lacking is not None:
        return CheckResult(core, "skipped", f"{lacking} is not there")
    try:
        result = boards.run(board, exported, samples.given[:SAMPLES], samples.dt[:SAMPLES])
        sizes = boards.sizes(board, exported)
        facts = asdict(sizes) | {
            "object": sizes.object,
            "libraries": sizes.libraries,
            "instructions": round(result.instructions, 1),
            "stack": result.stack,
            "compiler": boards.compiler_version(board.prefix),
            "flags": " ".join((*board.target, "-Os")),
        }
    except TorchliquidError as error:
        return CheckResult(core, "failed", str(error))
    check = _compared(core, exported, samples, result.outputs, facts, limits)
    check.words += (
        f"; {result.instructions:.0f} instructions a step, {sizes.linked} bytes of flash, "
        f"{result.stack} of stack"
    )
    return check


def _sanitizers(exported: Exported, fuzz: int) -> CheckResult:
    name = "sanitizers"
    compiler = next(c for n, c in host.compilers().items() if n != "g++")
    try:
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder) / "probe.c"
            probe.write_text("int main(void) { return 0; }\n", encoding="utf-8")
            host.call([*compiler, *SANITIZE, str(probe), "-o", str(probe.with_suffix(""))])
    except TorchliquidError:
        return CheckResult(name, "skipped", f"{compiler[0]} has none")
    try:
        outputs = host.run(exported, *_fuzzed(exported, fuzz), SANITIZE, compiler)
    except TorchliquidError as error:
        return CheckResult(name, "failed", str(error))
    bound = float(exported.facts["bound"])
    finite = bool(np.isfinite(outputs).all())
    largest = float(np.abs(physical(exported, outputs)).max()) if finite else np.inf
    message = f"{fuzz:,} inputs of all kinds: no trap, outputs up to {largest:.4g} of {bound:.4g}"
    good = finite and largest <= bound * 1.001
    return CheckResult(name, "passed" if good else "failed", message, {"largest_output": largest})


def _fuzzed(exported: Exported, fuzz: int) -> tuple[NDArray[Any], NDArray[np.float32]]:
    rng = np.random.default_rng(0)
    I = len(exported.facts["inputs"])
    if exported.type != "float":
        counts = rng.integers(-32768, 32768, (fuzz, I))
        counts[rng.random((fuzz, I)) < 0.1] = -32768
        counts[rng.random((fuzz, I)) < 0.1] = 32767
        return counts, np.ones(fuzz, dtype=np.float32)
    bits = rng.integers(0, 2**32, (fuzz, I), dtype=np.uint64).astype(np.uint32)
    numbers = bits.view(np.float32).copy()
    odd = np.array([np.nan, np.inf, -np.inf, 0, -0.0, 1e-45, 3.4e38, -3.4e38], dtype=np.float32)
    some = rng.random((fuzz, I))
    numbers[some < 0.3] = rng.normal(0, 100, int((some < 0.3).sum()))
    numbers[some > 0.8] = rng.choice(odd, int((some > 0.8).sum()))
    dt = rng.exponential(1.0, fuzz).astype(np.float32)
    late = rng.random(fuzz) < 0.2
    dt[late] = rng.choice([*odd, -1.0], int(late.sum()))
    return numbers, dt
