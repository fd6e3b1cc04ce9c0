"""OpenVINO on the CPU."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import frontend

from rt.backends.base import BackendInfo, Mode, translate_each
from rt.backends.checks import (
    check_fixed_size,
    check_input,
    check_ports,
    check_result,
    describe,
)
from rt.backends.cpu import cpu_device, cpu_threads
from rt.backends.forms import Form
from rt.errors import BackendError
from rt.text import one_line

_READ_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    # What the ONNX reader raises has no class in common but Exception.
    *(getattr(frontend, name) for name in dir(frontend) if name.endswith("Failure")),
)


class OpenVinoBackend:
    """A network compiled for one image of a fixed size; several images are translated one by one.

    A network of fixed shape leaves OpenVINO nothing to decide while frames run, and on a CPU a batch is no
    quicker than its images one after another. For throughput every core works on an image of its own,
    which wastes less than sharing each image between them.
    """

    def __init__(
        self, model: Path, size: tuple[int, int], precision: str, mode: Mode = "latency", bf16: bool = False
    ) -> None:
        """Load `model` for images of `size` = (height, width).

        With `bf16` what the file has in fp32 is computed in bfloat16.

        Raises:
            BackendError: the file is no network of uint8[N, H, W, 3], or the CPU plugin refuses it.
        """
        threads = cpu_threads()
        hint = "bf16" if bf16 else "f32"
        core = ov.Core()
        network = _read(model)
        _fix_shape(network, model, size)
        try:
            compiled = core.compile_model(network, "CPU", _settings(threads, mode, hint))
            processor = core.get_property("CPU", "FULL_DEVICE_NAME")
            # One more than work at a time: a core that has finished finds the next image waiting.
            slots = 1 if mode == "latency" else compiled.get_property("NUM_STREAMS") + 1
            self._free = deque(compiled.create_infer_request() for _ in range(slots))
        except RuntimeError as error:
            raise BackendError(f"backend openvino cannot load {model}: {one_line(error)}") from None
        if compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() != hint:
            instead = f"--precision {precision}" if bf16 else "--backend onnxruntime"
            raise BackendError(f"backend openvino does not compute in {hint} here; type {instead}")
        self._open = True
        said = Form(precision, bf16).name
        self.info = BackendInfo("openvino", cpu_device(processor, threads), said, size, slots)

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate uint8[N, H, W, 3] RGB; memory of any layout is taken."""
        self._check(rgb)
        return translate_each(self, rgb)

    def start(self, rgb: npt.NDArray[np.uint8]) -> _InFlight:
        """Begin to translate uint8[1, H, W, 3] RGB; memory of any layout is taken."""
        self._check(rgb)
        return _InFlight(self._free, np.ascontiguousarray(rgb))

    def close(self) -> None:
        """Release the network; works twice."""
        self._open = False
        self._free.clear()

    def _check(self, rgb: npt.NDArray[np.uint8]) -> None:
        if not self._open:
            raise BackendError("backend openvino is closed and cannot translate")
        check_input("openvino", rgb, self.info.size)


class _InFlight:
    """One image in one of the network's requests."""

    def __init__(self, free: deque[Any], image: npt.NDArray[np.uint8]) -> None:
        self._free = free
        self._request = free.popleft()
        self._image = image  # the network reads it where it is
        try:
            self._request.start_async({0: image}, share_inputs=True)
        except RuntimeError as error:
            free.append(self._request)
            raise BackendError(f"backend openvino failed to translate: {one_line(error)}") from None

    def result(self) -> npt.NDArray[np.uint8]:
        """Wait, and copy the image out of memory that the next one will overwrite."""
        try:
            self._request.wait()
            found = self._request.get_output_tensor(0).data
            check_result("openvino", found, self._image.shape)
            return np.array(found)
        except RuntimeError as error:
            raise BackendError(f"backend openvino failed to translate: {one_line(error)}") from None
        finally:  # after a failure too: the next image needs it
            self._free.append(self._request)


def _settings(threads: int, mode: Mode, hint: str) -> dict[str, str | int]:
    return {
        "PERFORMANCE_HINT": mode.upper(),
        "NUM_STREAMS": 1 if mode == "latency" else threads,
        # Left alone, OpenVINO takes bfloat16 wherever the processor lists it, slower or not.
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
    }


def _read(model: Path) -> Any:
    """Read an ONNX file with the ONNX reader alone; the general one asks every reader, and those print."""
    try:
        reader = frontend.FrontEndManager().load_by_framework("onnx")
        return reader.convert(reader.load(str(model)))
    except _READ_ERRORS as error:
        raise BackendError(
            f"backend openvino cannot read {model}: {one_line(error)}; export the style again"
        ) from None


def _fix_shape(network: Any, model: Path, size: tuple[int, int]) -> None:
    check_ports(model, "input", [_port(port) for port in network.inputs])
    check_ports(model, "output", [_port(port) for port in network.outputs])
    check_fixed_size(model, _port(network.inputs[0])[1], size)
    wanted = [1, *size, 3]
    try:
        network.reshape(wanted)
    except RuntimeError as error:
        raise BackendError(
            f"backend openvino cannot open {model} at {size[0]}x{size[1]}: {one_line(error)}"
        ) from None
    shape = _port(network.outputs[0])[1]
    if any(isinstance(found, int) and found != length for found, length in zip(shape, wanted, strict=True)):
        raise BackendError(
            f"backend openvino cannot open {model}: it makes {describe('uint8', shape)} of "
            f"{describe('uint8', wanted)}; export the style again"
        )


def _port(port: Any) -> tuple[str, list[int | str]]:
    """Return a port's type and shape; free dimensions as `?`."""
    name = port.element_type.get_type_name()
    dtype = {"u8": "uint8", "f32": "float32", "f16": "float16"}.get(name, name)
    if port.partial_shape.rank.is_dynamic:
        return dtype, ["..."]
    return dtype, [length.get_length() if length.is_static else "?" for length in port.partial_shape]
