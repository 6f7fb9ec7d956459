"""Builds the native kernels: one shared library, without Python's or torch's headers.

A machine without a C compiler installs all the same and runs the kernels written in PyTorch. Set
TORCHLIQUID_NATIVE=require to fail instead, TORCHLIQUID_CFLAGS for more flags (sanitizers), and
TORCHLIQUID_PLATFORM to a wheel's platform tag, as `win_amd64`, where CC compiles for another one.
"""

import os
import platform
import shlex
import sys
import sysconfig
import tomllib
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

sys.path.insert(0, str(Path(__file__).parent / "tools"))
from index_page import index_page  # a build knows this file alone

NATIVE = Path("src/torchliquid/kernels/c")
TARGET = os.environ.get("TORCHLIQUID_PLATFORM") or sysconfig.get_platform()
WINDOWS, MAC = TARGET.startswith("win"), TARGET.startswith("macos")

# name: flags, bytes of a register, registers; the best first
X86 = {
    "avx512": (["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"], 64, 32),
    "avx2": (["-mavx2", "-mfma"], 32, 16),
    "sse2": ([], 16, 16),
}
VARIANTS = {
    "x86_64": X86,
    "amd64": X86,
    "arm64": {"neon": ([], 16, 32)},
    "aarch64": {"neon": ([], 16, 32)},
}
FLAGS = ["-O3", "-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
FLAGS += ["-g0", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi"]
FLAGS += shlex.split(os.environ.get("TORCHLIQUID_CFLAGS", ""))


class BuildNative(build_ext):
    """Compiles each variant with its own flags and links all into one library."""

    def get_ext_filename(self, name: str) -> str:
        """The library's name, the same for every version of Python."""
        suffix = ".dll" if WINDOWS else ".dylib" if MAC else ".so"
        return str(Path(*name.split("."))) + suffix

    def build_extension(self, extension: Extension) -> None:
        """Compile and link; without success, install without the library."""
        try:
            self._build(extension)
        except Exception as error:
            if os.environ.get("TORCHLIQUID_NATIVE") == "require":
                raise
            print(f"native kernels were not built, PyTorch will do: {error}", file=sys.stderr)

    def _build(self, extension: Extension) -> None:
        if self.compiler.compiler_type == "msvc":
            raise RuntimeError("the C sources need GCC or Clang: build with --compiler=mingw32")
        named = [machine for machine in VARIANTS if TARGET.endswith(machine)]
        machine = named[0] if named else platform.machine().lower()
        variants = VARIANTS.get(machine, {"plain": ([], 16, 16)})
        objects = []

        def compile_one(source: str, target: str, flags: list[str]) -> None:
            objects.extend(
                self.compiler.compile(
                    [str(NATIVE / source)],
                    output_dir=str(Path(self.build_temp) / target),
                    extra_postargs=[*FLAGS, *flags],
                    depends=extension.depends,
                )
            )

        for name, (flags, size, registers) in variants.items():
            for bits in (32, 64):
                defines = {"VARIANT": name, "REAL": bits, "BYTES": size, "REGISTERS": registers}
                given = [f"-DTL_{key}={value}" for key, value in defines.items()]
                compile_one("variant.c", f"{name}{bits}", [*flags, *given])
        listed = "".join(f"X({name})" for name in variants)
        compile_one("dispatch.c", "dispatch", [f"-DTL_VARIANTS(X)={listed}"])
        compile_one("threads.c", "threads", [])
        libraries = [] if WINDOWS else ["m", "pthread", "dl"]
        more = shlex.split(os.environ.get("TORCHLIQUID_CFLAGS", ""))
        self.compiler.link_shared_object(
            objects,
            self.get_ext_fullpath(extension.name),
            libraries=libraries,
            extra_postargs=more,
        )
        symbols = Path(self.get_ext_fullpath(extension.name)).with_suffix(".pdb")
        symbols.unlink(missing_ok=True)  # as large as the library, for a debugger on Windows


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and every Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """Tag without Python's version: the library does not depend on it."""
        return "py3", "none", os.environ.get("TORCHLIQUID_PLATFORM") or super().get_tag()[2]


SETTINGS = tomllib.loads(Path("pyproject.toml").read_text())
REPOSITORY = SETTINGS["tool"]["torchliquid"]["repository"]

setup(
    long_description=index_page(
        Path("README.md").read_text(), REPOSITORY, SETTINGS["project"]["version"]
    ),
    long_description_content_type="text/markdown",
    project_urls={
        "Repository": REPOSITORY,
        "Documentation": f"{REPOSITORY}/tree/main/docs",
        "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md",
        "Issues": f"{REPOSITORY}/issues",
    }
    if REPOSITORY
    else {},
    ext_modules=[
        Extension(
            "torchliquid.kernels._native",
            sources=[str(NATIVE / name) for name in ("dispatch.c", "threads.c", "variant.c")],
            depends=[str(path) for path in sorted(NATIVE.glob("*.[ch]"))],
        )
    ],
    cmdclass={"build_ext": BuildNative, "bdist_wheel": PlatformWheel},
)
