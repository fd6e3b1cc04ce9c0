"""NVIDIA's run-time compiler: CUDA source → code for a kind of GPU."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rt.cuda.driver import NEWEST_CUDA, driver_cuda
from rt.errors import BackendError

INSTALL = "pip install nvidia-cuda-nvrtc"
"""For CUDA 13; the packages of earlier ones end in their major: `-cu12`."""
OPTIONS = (
    "--fmad=false",  # sums and products are rounded one by one, as on the CPU
    "--ptxas-options=-v",
)
_FILES = ("libnvrtc.so.*[0-9]", "nvrtc64_*_0.dll")
"""The library in the package from PyPI."""
_NAMES = ("libnvrtc.so.13", "libnvrtc.so.12", "/usr/local/cuda/lib64/libnvrtc.so", "nvrtc64_130_0.dll")
"""The library of an installed CUDA toolkit, as on Jetson."""


@dataclass(frozen=True)
class Compiled:
    """Code for one kind of GPU."""

    cubin: bytes
    log: str
    """What the compiler says of it: registers and spills of every kernel."""


@cache
def compile_source(source: str, compute_capability: str) -> Compiled:
    """Compile CUDA source for `sm89`; the second time costs nothing.

    Raises:
        BackendError: the compiler is missing, or refuses the source.
    """
    library = load_compiler()
    program = ctypes.c_void_p()
    options = [f"--gpu-architecture=sm_{compute_capability.removeprefix('sm')}", *OPTIONS]
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    status = library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    _check(library, status)
    try:
        status = library.nvrtcCompileProgram(program, len(options), given)
        log = _read(library, program, "ProgramLog").rstrip(b"\0").decode(errors="replace")
        if status:
            raise BackendError(
                f"the GPU's kernels cannot be compiled for {compute_capability}: {' '.join(log.split())}"
            )
        return Compiled(_read(library, program, "CUBIN"), log)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def load_compiler() -> ctypes.CDLL:
    """Return the compiler's library: that of the package from PyPI, else that of a CUDA toolkit.

    A driver refuses the code of a compiler of a higher major version of CUDA: such a one is passed over.

    Raises:
        BackendError: there is none, or none that the driver goes with.
    """
    served = driver_cuda()
    too_new: list[int] = []
    for place in _places():
        try:
            # The compiler looks for its second half by name, and not every version looks beside itself.
            for half in sorted(Path(place).parent.glob("*nvrtc-builtins*")) if Path(place).is_file() else ():
                ctypes.CDLL(str(half))
            library = ctypes.CDLL(place)
        except OSError:
            continue
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        if served is None or (major := _version(library)[0]) <= served[0]:
            return library
        too_new.append(major)
    command, found = INSTALL, "is not found"
    if served is not None and served[0] < NEWEST_CUDA:
        command += f"-cu{served[0]}"
    if served is not None and too_new:
        found = f"of CUDA {max(too_new)} is too new for the driver (CUDA {served[0]}.{served[1]})"
    raise BackendError(
        f"the GPU's kernels cannot be compiled: NVIDIA's compiler NVRTC {found}; type: {command}"
    )


def compiler_version() -> str:
    """Return the compiler's version, `13.5`.

    Raises:
        BackendError: there is none.
    """
    major, minor = _version(load_compiler())
    return f"{major}.{minor}"


def _version(library: Any) -> tuple[int, int]:
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(library, library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return major.value, minor.value


def _places() -> Iterator[str]:
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec and spec.submodule_search_locations) or ():
        for pattern in _FILES:
            yield from sorted((str(path) for path in Path(folder).glob(f"*/*/{pattern}")), reverse=True)
    yield from _NAMES


def _read(library: Any, program: ctypes.c_void_p, what: str) -> bytes:
    size = ctypes.c_size_t()
    _check(library, getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
    content = ctypes.create_string_buffer(size.value)
    _check(library, getattr(library, f"nvrtcGet{what}")(program, content))
    return content.raw


def _check(library: Any, status: int) -> None:
    if status:
        reason = library.nvrtcGetErrorString(status).decode()
        raise BackendError(f"the GPU's kernels cannot be compiled: {reason}")
