"""The C on an AVR: ints of 16 bits, constants in flash behind instructions of their own."""

import shutil
import subprocess

import pytest

from torchliquid.export import to_c
from torchliquid.export.c.folder import DTYPES
from torchliquid.export.verify._host import STRICT

from .models import made

pytestmark = pytest.mark.skipif(
    not (shutil.which("avr-gcc") and shutil.which("simavr")), reason="no avr-gcc or simavr"
)

MAIN = r"""
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/sleep.h>

int net_selftest(void);

int main(void)
{
    const char *text = net_selftest() == 0 ? "all is well\n" : "WRONG\n";

    UCSR0B = 1 << TXEN0;
    while (*text) {
        while (!(UCSR0A & (1 << UDRE0))) {
        }
        UDR0 = (unsigned char)*text++;
    }
    while (!(UCSR0A & (1 << TXC0))) {
    }
    cli();
    sleep_mode();
    return 0;
}
"""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["ltc-6", "gru", "lstm-2", "euler"])
def test_the_self_test_passes_on_an_avr(name, dtype, tmp_path):
    folder = to_c(made(name), tmp_path / "c", name="net", dtype=dtype)
    main, program = tmp_path / "main.c", tmp_path / "net.elf"
    main.write_text(MAIN)
    # the samples of the self-test would not fit in memory beside the stack
    selftest = folder / "test" / "net_selftest.c"
    text = selftest.read_text().replace("static const", "static const __flash")
    text = text.replace("net_step(&state, net_inputs[n]", "net_step(&state, copied(net_inputs[n])")
    kind = "int16_t" if dtype.startswith("q") else "float"
    copied = f"""
static const {kind} *copied(const __flash {kind} *from)
{{
    static {kind} to[NET_INPUTS];
    int i;

    for (i = 0; i < NET_INPUTS; i++) {{
        to[i] = from[i];
    }}
    return to;
}}

int net_selftest(void)
{{"""
    selftest.write_text(text.replace("\nint net_selftest(void)\n{", copied, 1))
    source = [str(folder / "src" / "net.c"), str(selftest), str(main), f"-I{folder / 'src'}"]
    flags = ["-mmcu=atmega328p", "-std=gnu99", "-Os", *STRICT[:2], "-Werror", "-DF_CPU=16000000UL"]
    done = subprocess.run(
        ["avr-gcc", *flags, *source, "-o", str(program), "-lm"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        ["simavr", "-m", "atmega328p", "-f", "16000000", str(program)],
        capture_output=True,
        text=True,
        timeout=900,
        stdin=subprocess.DEVNULL,
    )
    assert "all is well" in done.stdout + done.stderr
