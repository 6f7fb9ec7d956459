"""`make wheels`: a wheel for every platform that torch has, and the sources, from one machine.

The native library needs neither Python nor torch to be compiled, so Zig's C compiler (Clang with
the libraries of all targets; `pip install ziglang`) makes it for all of them.
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

TARGETS = {
    "manylinux_2_17_x86_64": "x86_64-linux-gnu.2.17",
    "manylinux_2_17_aarch64": "aarch64-linux-gnu.2.17",
    "macosx_11_0_arm64": "aarch64-macos.11.0",
    "win_amd64": "x86_64-windows-gnu",
    "win_arm64": "aarch64-windows-gnu",
}
"""Zig's name for a wheel's platform tag."""
ROOT = Path(__file__).parents[1]
BUILD = "import sys, setuptools.build_meta as b; print(getattr(b, 'build_' + sys.argv[1])('dist'))"


def build(kind: str, **environment: str) -> Path:
    """The wheel or source distribution that the environment asks for, in dist/."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD, kind],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    return ROOT / "dist" / done.stdout.split()[-1]


def main() -> None:
    """Build all, each with its library in it."""
    print(build("sdist").name)
    for tag, target in TARGETS.items():
        # a folder of its own: setuptools takes objects that are newer than their source as they are
        (ROOT / "build" / tag).mkdir(parents=True, exist_ok=True)
        wheel = build(
            "wheel",
            TORCHLIQUID_PLATFORM=tag,
            TORCHLIQUID_NATIVE="require",
            CC=f"{sys.executable} -m ziglang cc -target {target}",
            DIST_EXTRA_CONFIG=_settings(tag),
        )
        library = [name for name in zipfile.ZipFile(wheel).namelist() if "/_native." in name]
        if len(library) != 1:
            sys.exit(f"{wheel.name} should carry one native library, it has {library}")
        print(f"{wheel.name}: {library[0]}, {wheel.stat().st_size / 1e6:.2f} MB")


def _settings(tag: str) -> str:
    path = ROOT / "build" / tag / "settings.cfg"
    path.write_text(f"[build]\nbuild_base = build/{tag}\n")
    return str(path)


if __name__ == "__main__":
    main()
