"""From numbers to the text of C, and templates filled with it."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchliquid.errors import TorchliquidError
from torchliquid.install import install_command

WIDTH = 100
RESERVED = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const
    const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit
    export extern false float for friend goto if inline int long mutable namespace new noexcept not
    not_eq nullptr operator or or_eq private protected public register reinterpret_cast restrict
    return short signed sizeof static static_assert static_cast struct switch template this
    thread_local throw true try typedef typeid typename union unsigned using virtual void volatile
    wchar_t while xor xor_eq main setup loop arduino
    assert complex ctype errno fenv inttypes iso646 limits locale math setjmp signal stdalign stdarg
    stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar
    wctype all clean help install test
    aio aliases alloca ar argp argz byteswap cpio crypt devctl dirent dlfcn elf endian envlock envz
    err error execinfo fastmath fcntl features fmtmsg fnmatch fpu_control fstab fts ftw getopt glob
    grp iconv ieee754 ieeefp ifaddrs langinfo libgen libintl link malloc mcheck memory mntent
    monetary mqueue ndbm netdb newlib nl_types nss obstack paths picolibc poll printf pthread pty
    pwd quadmath re_comp reent regex regexp resolv sched search semaphore semihost sgtty shadow
    spawn stab stdfix stdio_ext strings syscall sysexits syslimits syslog tar term termio termios
    ttyent ucontext ulimit unctrl unistd unwind utime utmp utmpx values varargs wait wordexp
    binary client eeprom ethernet hardwareserial ipaddress keyboard liquidcrystal mouse
    pins_arduino print printable server servo softwareserial spi stepper stream udp usbapi
    wcharacter wifi wire wiring wiring_private wmath wstring
    device freertos init kernel queue sdkconfig semphr task tasks zephyr
    """.split()  # noqa: SIM905 - a table that people read
)
"""Words of C and C++, targets of CMake, and headers that one of this name would stand before.

They are those of C, POSIX, glibc, newlib, picolibc, avr-libc, Arduino, FreeRTOS and Zephyr.
"""


OWN = (
    r"quotient|power_of_two|limited|decayed|beyond|table|sigmoid|hyperbolic_tangent|tangent|"
    r"products|added|mean|farthest|w_out|b_out|inputs|times|expected|"
    r"neuron_\d+|layer_\d+(?:_is)?|z_\d+"
)
"""What a source of ours defines for itself, as a regular expression."""


def own_names(source: str, name: str) -> str:
    """The source with the model's name before every name that it defines for itself.

    So two models may be compiled as one file, and under link-time optimisation of C++.

    >>> own_names("static float sigmoid(float t); /* sigmoid */", "pump")
    'static float pump_sigmoid(float t); /* sigmoid */'
    """
    names = re.compile(rf"(?<![.>\w\"])({OWN})\b")
    parts = re.split(
        r"(/\*.*?\*/|^#include.*?$|\"[^\"\n]*\")", source, flags=re.DOTALL | re.MULTILINE
    )
    parts[::2] = [names.sub(rf"{name}_\1", part) for part in parts[::2]]
    return "".join(parts)


def guard(name: str) -> str:
    """What the header's macros begin with: no other name's."""
    return name.upper() if name == name.lower() else name


def number(value: float) -> str:
    """A constant in single precision, in the fewest digits that give it back whole.

    >>> number(0.1), number(1.0), number(1e30)
    ('0.1f', '1.0f', '1e+30f')
    """
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if not np.isfinite(single):
        raise TorchliquidError(
            f"the C would need a constant of {value:.3g}, which single precision cannot hold: give "
            "the model's columns units that are nearer to 1"
        )
    text = str(single)
    return text + ("f" if re.search(r"[.e]", text) else ".0f")


def array(values: NDArray[Any], depth: int = 0) -> str:
    """The initialiser of an array of any shape, in lines of at most `WIDTH`.

    >>> print(array(np.array([[1.0, 2.0], [3.0, 4.0]])))
    {
        {1.0f, 2.0f},
        {3.0f, 4.0f}
    }
    """
    pad = "    " * depth
    if values.ndim == 0:
        return pad + (str(int(values)) if values.dtype.kind == "i" else number(float(values)))
    if values.ndim > 1:
        inner = ",\n".join(array(row, depth + 1) for row in values)
        return f"{pad}{{\n{inner}\n{pad}}}"
    parts = [array(value) for value in values]
    line = f"{pad}{{{', '.join(parts)}}}"
    if len(line) <= WIDTH:
        return line
    lines, current = [], ""
    for word in parts:
        if current and len(pad) + 6 + len(current) + len(word) > WIDTH:
            lines.append(current)
            current = ""
        current += f"{word}, "
    lines.append(current)
    body = "\n".join(f"{pad}    {text.rstrip()}" for text in lines).rstrip(",")
    return f"{pad}{{\n{body}\n{pad}}}"


def comment(text: str) -> str:
    """A text that may stand in a comment of C.

    >>> comment("a */ b")
    'a * / b'
    """
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("\\", "/").replace("??", "?")


def render(template: str, **context: Any) -> str:
    """A file from one of our templates.

    Raises:
        TorchliquidError: jinja2 is missing.
    """
    try:
        from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    except ModuleNotFoundError as error:
        raise TorchliquidError(f"jinja2 is not installed: {install_command('export')}") from error
    environment = Environment(
        loader=ChoiceLoader(
            [
                PackageLoader("torchliquid.export", "c/templates"),
                PackageLoader("torchliquid.export", "verify/templates"),
                PackageLoader("torchliquid.export", "js/templates"),
            ]
        ),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - C, not HTML
    )
    environment.filters |= {"number": number, "array": array, "comment": comment}
    text = environment.get_template(template).render(**context)
    lines = [line.rstrip() for line in text.splitlines()]
    spaced = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n") + "\n"
    return re.sub(r"\n\n( *)\}", r"\n\1}", spaced)
