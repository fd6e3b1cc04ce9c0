"""Loading TensorRT, and TensorRT for RTX, from wherever they are installed."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from rt.engine_file import RUNTIMES
from rt.errors import BackendError, nearest

RTX_LIBRARIES = "onnxruntime_ep_nv_tensorrt_rtx"
"""PyPI's package with the libraries of TensorRT for RTX; its Python API is in a package of its own."""
_RTX_ORDER = ("tensorrt_rtx", "onnxparser_rtx")
"""Parts of the libraries' names, in the order they need each other."""
_MODULES = {"tensorrt": ("tensorrt",), "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings")}
_INSTALL = {
    "tensorrt": "pip install 'frameshift[tensorrt]'; on Jetson: apt-get install python3-libnvinfer",
    "tensorrt-rtx": "pip install 'frameshift[rtx]'",
}
_loaded: list[ctypes.CDLL] = []


def load_tensorrt(runtime: str) -> Any:
    """Return the Python module of `tensorrt` or `tensorrt-rtx`.

    Raises:
        BackendError: there is no such runtime, it is not installed, or its libraries do not load.
    """
    if runtime not in RUNTIMES:
        raise BackendError(
            f"no runtime {runtime!r}{nearest(runtime, RUNTIMES)}; known: {', '.join(RUNTIMES)}"
        )
    name = next((name for name in _MODULES[runtime] if _is_there(name)), None)
    if name is None:
        raise BackendError(f"{runtime} is not installed; type: {_INSTALL[runtime]}")
    try:
        if name == "tensorrt_rtx_bindings" and name not in sys.modules:
            _load_rtx_libraries()
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise BackendError(
            f"{runtime} is installed but does not load: {' '.join(str(error).split())}; "
            f"type: {_INSTALL[runtime]}"
        ) from None


def installed_runtimes() -> tuple[str, ...]:
    """Return the runtimes whose Python modules are installed, without loading them."""
    return tuple(runtime for runtime in RUNTIMES if any(map(_is_there, _MODULES[runtime])))


def _is_there(module: str) -> bool:
    try:
        return module in sys.modules or importlib.util.find_spec(module) is not None
    except ValueError:  # a module without a specification: put there by hand
        return True


def _load_rtx_libraries() -> None:
    """Load the libraries for everybody in this process: the bindings look for them by symbol, not by path."""
    spec = importlib.util.find_spec(RTX_LIBRARIES)
    if spec is None or not spec.submodule_search_locations:
        return  # they may be where the system looks for libraries
    folder = Path(next(iter(spec.submodule_search_locations)))
    for part in _RTX_ORDER:
        for path in sorted([*folder.glob(f"lib{part}.so*"), *folder.glob(f"libtensorrt_{part}.so*")]):
            _loaded.append(ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL))
