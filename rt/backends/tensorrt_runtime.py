"""TensorRT and TensorRT for RTX: importing them, and what they say of an engine."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from rt.backends.checks import describe
from rt.engine_file import RUNTIMES
from rt.errors import BackendError
from rt.install import install_hint

_RTX_LIBRARIES = ("libtensorrt_rtx.so.*", "libtensorrt_onnxparser_rtx.so.*")


def load_runtime(name: str) -> Any:
    """Import TensorRT (`tensorrt`) or TensorRT for RTX (`tensorrt-rtx`) and return the module.

    Raises:
        BackendError: it is not installed, or does not load.
    """
    try:
        return _import_rtx() if name == "tensorrt-rtx" else importlib.import_module("tensorrt")
    except ModuleNotFoundError as error:
        raise BackendError(
            f"backend tensorrt cannot be used: package {error.name} is not installed; "
            f"type: {_how_to_install(name)}"
        ) from None
    except (ImportError, OSError) as error:
        raise BackendError(
            f"backend tensorrt cannot be used: {name} does not load ({' '.join(str(error).split())})"
        ) from None


def _how_to_install(name: str) -> str:
    if name == "tensorrt":
        return install_hint("tensorrt")
    return f"{install_hint('rtx')}, or to build engines alone: {install_hint('rtx-build')}"


def installed_runtimes() -> dict[str, Any]:
    """Return the modules of the runtimes that load here, by name; at least one."""
    found: dict[str, Any] = {}
    faults = []
    for name in RUNTIMES:
        try:
            found[name] = load_runtime(name)
        except BackendError as error:
            faults.append(str(error))
    if not found:
        raise BackendError("; or ".join(faults))
    return found


def runtime_name(trt: Any) -> str:
    """Return product and version: `TensorRT 10.13.3.9`, `TensorRT for RTX 1.7.1.116`."""
    return f"TensorRT{' for RTX' if hasattr(trt, 'ComputeCapability') else ''} {trt.__version__}"


def diagnosis(trt: Any, runtime: Any, plan: bytes) -> str:
    """Return why an engine is not valid here, ` (UNSUPPORTED_CC)`; TensorRT for RTX alone can tell."""
    if not hasattr(runtime, "get_engine_validity"):
        return ""
    _, bits = runtime.get_engine_validity(plan)
    reasons = trt.EngineInvalidityDiagnostics.__members__.items()
    names = [name for name, reason in reasons if int(bits) & int(reason)]
    return f" ({', '.join(names)})" if names else ""


def ports(trt: Any, engine: Any, wanted: tuple[int, ...], rebuild: str) -> tuple[str, str]:
    """Return the names of the engine's input and output, both uint8 of the shape wanted."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    found: list[str] = []
    for kind, mode in (("input", trt.TensorIOMode.INPUT), ("output", trt.TensorIOMode.OUTPUT)):
        ports = [name for name in names if engine.get_tensor_mode(name) == mode]
        said = [_port(engine, name) for name in ports]
        if said != [describe("uint8", wanted)]:
            raise BackendError(
                f"backend tensorrt cannot use the engine: {kind} {' and '.join(said) or 'none'} found, one "
                f"{describe('uint8', wanted)} needed; type: {rebuild}"
            )
        found += ports
    return found[0], found[1]


def _port(engine: Any, name: str) -> str:
    dtype = engine.get_tensor_dtype(name).name.lower()
    return describe(
        {"float": "float32", "half": "float16"}.get(dtype, dtype), tuple(engine.get_tensor_shape(name))
    )


def make_logger(trt: Any) -> Any:
    """Return a logger that keeps what TensorRT calls errors; it prints nothing, for errors are raised."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: deque[str] = deque(maxlen=1)

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR):
                self._errors.append(" ".join(msg.split()))

        def last(self) -> str:
            """Return the last error and forget it."""
            return self._errors.pop() if self._errors else "TensorRT gives no reason"

    return Logger()


def _import_rtx() -> Any:
    """Import NVIDIA's package, or PyPI's bindings with the libraries of ONNX Runtime's plug-in."""
    with suppress(ModuleNotFoundError):
        return importlib.import_module("tensorrt_rtx")
    spec = importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx")
    if spec is not None and spec.origin is not None:
        for pattern in _RTX_LIBRARIES:
            for path in sorted(Path(spec.origin).parent.glob(pattern)):
                ctypes.CDLL(str(path), ctypes.RTLD_GLOBAL)  # the bindings find them by name
    return importlib.import_module("tensorrt_rtx_bindings")
