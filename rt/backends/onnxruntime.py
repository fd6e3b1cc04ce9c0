"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from rt.backends.base import BackendInfo, Computed
from rt.backends.checks import check_fixed_size, check_input, check_ports, check_result
from rt.backends.cpu import cpu_device, cpu_name, cpu_threads
from rt.errors import BackendError
from rt.text import one_line

_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    # ONNX Runtime's own errors have no class in common but Exception.
    *(kind for kind in vars(_state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)
_FATAL = 4


class OnnxRuntimeBackend:
    """A network run by ONNX Runtime's own CPU kernels."""

    def __init__(self, model: Path, size: tuple[int, int], precision: str) -> None:
        """Load `model` for images of `size` = (height, width).

        Raises:
            BackendError: the file is no network of uint8[N, H, W, 3], or ONNX Runtime refuses it.
        """
        threads = cpu_threads()
        try:
            session = ort.InferenceSession(str(model), _settings(threads), providers=["CPUExecutionProvider"])
        except _ERRORS as error:
            raise BackendError(
                f"backend onnxruntime cannot read {model}: {one_line(error)}; export the style again"
            ) from None
        check_ports(model, "input", [_port(port) for port in session.get_inputs()])
        check_ports(model, "output", [_port(port) for port in session.get_outputs()])
        check_fixed_size(model, session.get_inputs()[0].shape, size)
        self._session: Any = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name
        self.info = BackendInfo("onnxruntime", cpu_device(cpu_name(), threads), precision, size)

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate uint8[N, H, W, 3] RGB; memory of any layout is taken."""
        if self._session is None:
            raise BackendError("backend onnxruntime is closed and cannot translate")
        check_input("onnxruntime", rgb, self.info.size)
        try:
            found = self._session.run([self._output], {self._input: np.ascontiguousarray(rgb)})[0]
        except _ERRORS as error:
            raise BackendError(f"backend onnxruntime failed to translate: {one_line(error)}") from None
        check_result("onnxruntime", found, rgb.shape)
        result: npt.NDArray[np.uint8] = found
        return result

    def start(self, rgb: npt.NDArray[np.uint8]) -> Computed:
        """Translate at once: ONNX Runtime works while its caller waits."""
        return Computed(self.translate(rgb))

    def close(self) -> None:
        """Release the network; works twice."""
        self._session = None


def _settings(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Every failure arrives as an exception; printed as well, one mistake would take several lines.
    options.log_severity_level = _FATAL
    return options


def _port(port: Any) -> tuple[str, list[object]]:
    """Return a port's type and shape; free dimensions by their names."""
    dtype = port.type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32"}.get(dtype, dtype), list(port.shape)
