"""Build the CUDA driver of the tests, which lives in host memory: `python tests/support/cuda/build.py`.

It becomes build/cuda/libcuda.so.1. The functions that PyCUDA asks for and the stand-in does not have are
added as ones that answer "not supported".
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
KERNELS = ROOT / "rt" / "cuda" / "fit.cu"
SOURCE = Path(__file__).with_name("driver.cpp")
TWIN = SOURCE.with_name("twin.cpp")
"""The kernels compiled for the CPU, which the driver runs in the place of the GPU's."""
BUILD = ROOT / "build" / "cuda"
DRIVER = BUILD / "libcuda.so.1"
INSTALL = "python tests/support/cuda/install_pycuda.py"
NOT_SUPPORTED = 801
# Sums and products are rounded one by one, as they are on the GPU (see rt/cuda/nvrtc.py).
TWIN_OPTIONS = (
    *("-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-Wall", "-Wextra", "-Werror"),
    f"-I{KERNELS.parent}",
)


def missing() -> str | None:
    """Return what the tests on the stand-in driver lack here and what to type, None for nothing."""
    if not sys.platform.startswith("linux"):
        return "the stand-in for the CUDA driver needs Linux"
    if importlib.util.find_spec("pycuda") is None:
        return f"PyCUDA is not installed; type: {INSTALL}"
    if not DRIVER.is_file() or _stamp().read_text(encoding="utf-8") != _source_sha256():
        return f"the stand-in for the CUDA driver is not built of {SOURCE.name} as it is; type: {INSTALL}"
    return None


def build_driver() -> Path:
    """Compile the stand-in and return its path."""
    headers = next((BUILD / "toolkit").rglob("cuda.h"), None)
    if headers is None:
        sys.exit(f"there is no cuda.h under {BUILD}; type: {INSTALL}")
    with tempfile.TemporaryDirectory() as folder:
        compiled, twin = Path(folder) / "driver.o", Path(folder) / "twin.o"
        options = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", f"-I{headers.parent}"]
        _run("g++", *options, "-c", str(SOURCE), "-o", str(compiled))
        _run("g++", *TWIN_OPTIONS, "-c", str(TWIN), "-o", str(twin))
        absent = _driver_functions("--undefined-only", _pycuda()) - _driver_functions(
            "--defined-only", compiled
        )
        compile_library(DRIVER, dict.fromkeys(sorted(absent), NOT_SUPPORTED), [compiled, twin])
    _stamp().write_text(_source_sha256(), encoding="utf-8")
    return DRIVER


def build_twin(path: Path) -> Path:
    """Compile the kernels for the CPU into a shared library, and return its path."""
    _run("g++", *TWIN_OPTIONS, "-shared", str(TWIN), "-o", str(path))
    return path


def compile_library(path: Path, answers: Mapping[str, int], objects: Iterable[Path] = ()) -> None:
    """Make a shared library with the driver's name whose functions `answers` return one number each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    source = "".join(f"int {name}(void) {{ return {status}; }}\n" for name, status in answers.items())
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "answers.c"
        written.write_text(source, encoding="utf-8")
        compiled = written.with_suffix(".o")
        _run("gcc", "-fPIC", "-c", str(written), "-o", str(compiled))
        everything = [str(compiled), *map(str, objects)]
        _run("g++", "-shared", "-Wl,-soname,libcuda.so.1", "-o", str(path), *everything)


def _pycuda() -> Path:
    spec = importlib.util.find_spec("pycuda")
    if spec is None or spec.origin is None:
        sys.exit(f"PyCUDA is not installed; type: {INSTALL}")
    return next(Path(spec.origin).parent.glob("_driver*.so"))


def _driver_functions(which: str, library: Path) -> set[str]:
    dynamic = [] if library.suffix == ".o" else ["--dynamic"]
    listed = _run("nm", *dynamic, which, str(library))
    names = {line.split()[-1] for line in listed.splitlines()}
    return {name for name in names if name.startswith("cu")}


def _stamp() -> Path:
    return DRIVER.with_suffix(".sha256")


def _source_sha256() -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in (SOURCE, TWIN, KERNELS))).hexdigest()


def _run(*command: str) -> str:
    try:
        result = subprocess.run(command, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        sys.exit(f"{command[0]} is not installed; type: apt-get install g++ binutils")
    if result.returncode:
        sys.exit(f"{result.stdout}{result.stderr}\nfailed: {' '.join(command)}")
    return result.stdout


if __name__ == "__main__":
    print(f"built {build_driver()}")
