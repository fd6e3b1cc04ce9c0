"""TensorRT and TensorRT for RTX: importing them, and what they say of an engine."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from rt.backends.checks import describe
from rt.cuda.driver import NEWEST_CUDA, driver_cuda
from rt.engine_file import RUNTIMES
from rt.errors import BackendError
from rt.install import install_hint

OLDEST_CUDA = 12
"""The other major version of CUDA there are extras for: `tensorrt-cu12`."""
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
        return install_hint(extra("tensorrt"))
    build = install_hint(extra("rtx-build"))
    return f"{install_hint(extra('rtx'))}, or to build engines alone: {build}"


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


def start(trt: Any, kind: Literal["Runtime", "Builder"]) -> Any:
    """Return a new `trt.Runtime` or `trt.Builder`, which log to `logger_of(trt)`.

    Raises:
        BackendError: TensorRT does not start: most often the driver is older than the package.
    """
    logger = logger_of(trt)
    logger.forget()
    try:
        return getattr(trt, kind)(logger)
    except TypeError as error:
        # The bindings give no None: "pybind11::init(): factory function returned nullptr".
        if "nullptr" not in str(error):
            raise
        raise BackendError(
            f"{runtime_name(trt)} does not start: {logger.reason()}{_driver_fault(trt)}"
        ) from None


def cuda_major(trt: Any) -> int | None:
    """Return the major version of CUDA that TensorRT's package is for; None where none from PyPI says it."""
    stem = "tensorrt-rtx" if hasattr(trt, "ComputeCapability") else "tensorrt"
    for major in range(NEWEST_CUDA, 11, -1):
        with suppress(importlib.metadata.PackageNotFoundError):
            if importlib.metadata.version(f"{stem}-cu{major}-bindings") == trt.__version__:
                return major
    return None


def extra(name: str) -> str:
    """Return the extra that this machine's driver goes with: `rtx`, or `rtx-cu12` for a driver of CUDA 12."""
    served = driver_cuda()
    return name if served is None or served[0] >= NEWEST_CUDA else f"{name}-cu{OLDEST_CUDA}"


def _driver_fault(trt: Any) -> str:
    """Return what the driver has to do with it, and the command that mends it."""
    served, needed = driver_cuda(), cuda_major(trt)
    if served is None:
        return "; no NVIDIA driver is found; nvidia-smi says more"
    driver = f"the NVIDIA driver serves CUDA {served[0]}.{served[1]}"
    if needed is None or needed <= served[0]:
        return f"; {driver}; nvidia-smi says more"
    name = "rtx" if hasattr(trt, "ComputeCapability") else "tensorrt"
    return (
        f"; {driver}, this package needs CUDA {needed}: update the driver, or type: "
        f"pip uninstall -y {' '.join(_packages(name, needed))} && {install_hint(extra(name))}"
    )


def _packages(name: str, major: int) -> list[str]:
    """Return the packages of a runtime for one CUDA: those of another are installed to the same folder."""
    if name == "rtx":
        packages = [f"tensorrt-rtx-cu{major}-bindings", f"onnxruntime-ep-nv-tensorrt-rtx-cu{major}"]
    else:
        packages = ["tensorrt", *(f"tensorrt-cu{major}{part}" for part in ("", "-libs", "-bindings"))]
    return packages


_loggers: dict[int, tuple[Any, Any]] = {}


def logger_of(trt: Any) -> Any:
    """Return the logger of a TensorRT module: the same one until the process ends.

    TensorRT keeps the address of the first logger it is ever given, and logs there after its owner is gone.
    It prints nothing: errors are raised, and a build reports its warnings.
    """
    if id(trt) not in _loggers:
        _loggers[id(trt)] = (trt, _make_logger(trt))
    return _loggers[id(trt)][1]


def _make_logger(trt: Any) -> Any:
    severities = trt.ILogger.Severity

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: deque[str] = deque(maxlen=8)
            self._warnings: deque[str] = deque(maxlen=64)

        def log(self, severity: Any, msg: str) -> None:
            """Keep what TensorRT calls an error or a warning; called from any thread."""
            if severity in (severities.INTERNAL_ERROR, severities.ERROR):
                self._errors.append(" ".join(msg.split()))
            elif severity == severities.WARNING:
                self._warnings.append(" ".join(msg.split()))

        def last(self) -> str:
            """Return the last error and forget it."""
            return self._errors.pop() if self._errors else "TensorRT gives no reason"

        def reason(self) -> str:
            """Return the first errors as one line."""
            return "; ".join(dict.fromkeys(list(self._errors)[:3])) or "TensorRT gives no reason"

        def warnings(self) -> tuple[str, ...]:
            """Return every warning once."""
            return tuple(dict.fromkeys(self._warnings))

        def forget(self) -> None:
            """Begin anew: what was logged before belongs to an earlier call."""
            self._errors.clear()
            self._warnings.clear()

    return Logger()


def _import_rtx() -> Any:
    """Import NVIDIA's package, or PyPI's bindings with the libraries of ONNX Runtime's plug-in."""
    with suppress(ModuleNotFoundError):
        return importlib.import_module("tensorrt_rtx")
    spec = importlib.util.find_spec("onnxruntime_ep_nv_tensorrt_rtx")
    if spec is not None and spec.origin is not None:
        _offer_libraries(Path(spec.origin).parent)
    return importlib.import_module("tensorrt_rtx_bindings")


def _offer_libraries(folder: Path) -> None:
    """Let the bindings find the libraries of ONNX Runtime's plug-in."""
    if sys.platform == "win32":
        # The bindings look through PATH for their DLLs, and those look for each other in added folders.
        os.environ["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", "")])
        os.add_dll_directory(str(folder))
        return
    for pattern in _RTX_LIBRARIES:
        for path in sorted(folder.glob(pattern)):
            # Found by name once it is loaded. Not RTLD_GLOBAL: TensorRT has symbols of the same names.
            ctypes.CDLL(str(path))
