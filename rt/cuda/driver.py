"""PyCUDA, imported when it is needed, and its failures in one line."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rt.errors import BackendError
from rt.text import one_line

NEWEST_CUDA = 13
"""The major version of CUDA that packages without a number in their names are for."""
_CHOSEN = "VIDEOBRUSH_DEVICE"
"""The variable that tells children which number was asked for."""
NVCC = Path("/usr/local/cuda/bin/nvcc")
"""CUDA's compiler, where JetPack and NVIDIA's packages put it without putting it on PATH."""


def load_driver() -> Any:
    """Return the module `pycuda.driver` with CUDA started.

    Raises:
        BackendError: PyCUDA, the NVIDIA driver or the GPU is missing.
    """
    try:
        import pycuda.driver as driver
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        raise BackendError(
            f"the GPU cannot be used: package {package} is not installed; type: {how_to_install(package)}"
        ) from None
    except ImportError as error:
        raise BackendError(
            f"the GPU cannot be used: PyCUDA does not load ({one_line(error)}); an NVIDIA driver is needed, "
            "and PyCUDA compiled on this machine: "
            f"{how_to_install('pycuda', '--force-reinstall --no-cache-dir ')}"
        ) from None
    try:
        driver.init()
    except driver.Error as error:
        raise BackendError(
            f"the GPU cannot be used: the NVIDIA driver does not start ({one_line(error)}); "
            f"{_asked_for()}nvidia-smi says more"
        ) from None
    return driver


@contextmanager
def told(driver: Any, doing: str) -> Iterator[None]:
    """Turn what PyCUDA raises within into a BackendError that begins with `the GPU failed to DOING`.

    Raises:
        BackendError: a call failed, or memory ran out.
    """
    try:
        yield
    except driver.Error as error:
        # What the failed calls were given would live as long as the error, and end without a context.
        traceback.clear_frames(error.__traceback__)
        why = one_line(error)
        if isinstance(error, driver.MemoryError):
            why = f"it is out of memory ({why}); type a smaller --size, or end what else uses it"
        raise BackendError(f"the GPU failed to {doing}: {why}") from None


def choose_gpu(number: int) -> None:
    """Let this process and its children see one GPU alone: that which `nvidia-smi` gives this number.

    It must come before CUDA starts. Encoders, decoders and PyTorch keep to it too.

    Raises:
        BackendError: there is no such GPU among those that the process may see.
    """
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    if number < 0 or (visible and number >= len(visible)):
        among = f"CUDA_VISIBLE_DEVICES names {len(visible)}" if visible else "they are counted from 0"
        raise BackendError(f"there is no GPU {number}: {among}; type nvidia-smi to see them")
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible[number] if visible else str(number)
    os.environ[_CHOSEN] = str(number)


def load_library() -> ctypes.CDLL:
    """Return the driver's own library, for what PyCUDA has no call for; PyCUDA has loaded it already."""
    return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")


def driver_cuda() -> tuple[int, int] | None:
    """Return the newest CUDA version that the NVIDIA driver serves, `(12, 8)`; None without a driver.

    Neither PyCUDA nor a GPU is needed. Packages made for a higher major version do not run.
    """
    version = ctypes.c_int()
    try:
        status = load_library().cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return None
    return None if status else (version.value // 1000, version.value % 1000 // 10)


def how_to_install(package: str = "pycuda", options: str = "") -> str:
    """Return the command that installs PyCUDA, with the path of nvcc where that is there but not on PATH.

    PyCUDA is compiled: without nvcc that ends at `cuda.h: No such file or directory`, as on a fresh Jetson.
    """
    is_hidden = package == "pycuda" and shutil.which("nvcc") is None and NVCC.is_file()
    path = f"PATH={NVCC.parent}:$PATH " if is_hidden else ""
    return f"{path}pip install {options}{package}"


def check(status: int, call: str, doing: str) -> None:
    """Refuse a status of the driver's own library other than 0.

    Raises:
        BackendError: the call failed.
    """
    if status:
        raise BackendError(f"the GPU failed to {doing}: {call} returns {status}")


def _asked_for() -> str:
    number = os.environ.get(_CHOSEN)
    return "" if number is None else f"--device {number} asks for one GPU alone; "
