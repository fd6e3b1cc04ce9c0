"""TensorRT engines on an NVIDIA GPU: those of TensorRT and those of TensorRT for RTX."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import traceback
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rt.backends.guard import check_input, describe, translate_each
from rt.card import Card, Detail
from rt.cuda.device import Device, Gpu, find_gpu
from rt.cuda.slot import Enqueue, Slot, Streams
from rt.engine_file import (
    ANY_DEVICE,
    RUNTIMES,
    Engine,
    EngineKey,
    build_command,
    engine_path,
    read_engine,
    source_model,
)
from rt.errors import BackendError

if TYPE_CHECKING:
    from rt.backends import Mode

PRECISIONS = ("fp16", "int8", "fp32")
"""What `auto` takes: the first of these that there is an engine of.

FP16 gives the pictures of FP32 at half the memory traffic; whether INT8 is quicker depends on the GPU.
"""
THROUGHPUT_SLOTS = 3
"""One picture for each step: copied in, computed, copied out."""
_RTX_LIBRARIES = ("libtensorrt_rtx.so.*", "libtensorrt_onnxparser_rtx.so.*")
_INSTALL = {
    "tensorrt": "pip install 'frameshift[tensorrt]'",
    "tensorrt-rtx": "pip install 'frameshift[rtx]'",
}


def find_engine(card: Card, size: tuple[int, int], precision: str = "auto") -> Engine:
    """Read the engine that was built for a style, a size = (height, width), a precision and this machine.

    For `auto` the first of `PRECISIONS` is taken that there is an engine of; of the runtimes installed, the
    first that has one.

    Raises:
        BackendError: PyCUDA, the driver, the GPU or TensorRT is missing.
        EngineError: there is no such engine, or it is damaged; the message has the command that builds it.
    """
    gpu = find_gpu()
    runtimes = _installed_runtimes()
    keys = [
        _key(card, size, found, runtime, trt.__version__, gpu)
        for found in (_possible(card) if precision == "auto" else (precision,))
        for runtime, trt in runtimes.items()
    ]
    return read_engine(next((key for key in keys if engine_path(key).is_file()), keys[0]))


def load_engine(engine: Engine, mode: Mode = "latency") -> TensorRtBackend:
    """Load an engine onto the GPU.

    Raises:
        BackendError: the GPU refuses it or is out of memory.
    """
    key = engine.facts.key
    trt = load_runtime(key.runtime)
    return TensorRtBackend(trt, engine.plan, (key.height, key.width), key.precision, mode, build_command(key))


def load_runtime(name: str) -> Any:
    """Import TensorRT (`tensorrt`) or TensorRT for RTX (`tensorrt-rtx`) and return the module.

    Raises:
        BackendError: it is not installed, or does not load.
    """
    try:
        return _import_rtx() if name == "tensorrt-rtx" else importlib.import_module("tensorrt")
    except ModuleNotFoundError as error:
        raise BackendError(
            f"backend tensorrt cannot be used: package {error.name} is not installed; type: {_INSTALL[name]}"
        ) from None
    except (ImportError, OSError) as error:
        raise BackendError(
            f"backend tensorrt cannot be used: {name} does not load ({' '.join(str(error).split())})"
        ) from None


def try_gpu() -> tuple[str, str]:
    """Send a tiny picture to the GPU and back, and return the device in words and TensorRT's version.

    An engine is not run: it would have to be built first, which takes minutes.

    Raises:
        BackendError: PyCUDA, the driver, the GPU or TensorRT is missing, or another picture comes back.
    """
    runtimes = _installed_runtimes()
    device = Device()
    try:
        with device.current():
            streams = Streams.one(device)
            slot = Slot(device, (1, 8, 8, 3), streams)
            try:
                slot.prepare(_copying(device, slot))
                picture = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
                slot.begin(picture)
                returned = slot.finish()
            finally:
                slot.close()
                streams.close()
    finally:
        device.close()
    if not np.array_equal(returned, picture):
        raise BackendError("backend tensorrt cannot be used: the GPU gives back another picture than it got")
    names = " and ".join(runtime_name(trt) for trt in runtimes.values())
    gpu = device.gpu
    return f"GPU ({gpu.name}, {gpu.compute_capability}) with {names}", next(
        iter(runtimes.values())
    ).__version__


class TensorRtBackend:
    """An engine loaded on the GPU, for one picture at a time in each of its slots.

    For latency there is one slot, whose work is sent off as one CUDA graph; for throughput several, each with
    an execution context of its own, whose copies run beside the network.
    """

    name = "tensorrt"
    detail: Detail = "keep"

    def __init__(
        self,
        trt: Any,
        plan: bytes,
        size: tuple[int, int],
        precision: str,
        mode: Mode = "latency",
        rebuild: str = "frameshift-engines build",
    ) -> None:
        """Load the engine `plan` for pictures of `size` = (height, width) with TensorRT's module `trt`.

        `rebuild` is the command that builds the engine again, for messages.

        Raises:
            BackendError: PyCUDA, the driver or the GPU is missing, the engine is one for another GPU or
                version, or it does not fit into the GPU's memory.
        """
        self.size = size
        self.precision = precision
        self.slots = 1 if mode == "latency" else THROUGHPUT_SLOTS
        self._rebuild = rebuild
        self._all: list[Slot] = []
        self._streams: Streams | None = None
        self._runtime: Any = None
        self._engine: Any = None
        self._logger = _make_logger(trt)
        self._device: Device | None = Device()
        try:
            with self._device.current():
                self._load(trt, plan, self._device.gpu)
                self._open_slots(self._device, mode)
        except BaseException as error:
            # An execution context that lived as long as the error would end without a CUDA context.
            traceback.clear_frames(error.__traceback__)
            self.close()
            raise
        self._free = deque(self._all)
        self.device = _in_words(trt, self._device.gpu, self._all)

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate uint8[N, H, W, 3] RGB, as many at once as there are slots; any memory layout is taken."""
        self._check(rgb)
        return translate_each(self, rgb)

    def start(self, rgb: npt.NDArray[np.uint8]) -> _InFlight:
        """Begin to translate uint8[1, H, W, 3] RGB, which may be written to again at once."""
        device = self._check(rgb)
        slot = self._free.popleft()
        with device.current():
            slot.begin(rgb)
        return _InFlight(self, slot)

    def close(self) -> None:
        """Release the GPU; pictures in flight are given up. Works twice."""
        device, self._device = self._device, None
        if device is None:
            return
        with device.current():
            for slot in self._all:
                # A GPU that has failed cannot be waited for; all the same everything is released.
                with suppress(BackendError):
                    slot.wait()
                slot.close()
            if self._streams is not None:
                self._streams.close()
            # The engine needs the runtime to its end, and both need the context.
            self._engine = None
            self._runtime = None
        device.close()

    def finish(self, slot: Slot) -> npt.NDArray[np.uint8]:
        """Wait for the picture in a slot, return it and free the slot."""
        if self._device is None:
            raise BackendError("backend tensorrt is closed: the picture in flight was given up")
        with self._device.current():
            result = slot.finish()
        self._free.append(slot)
        return result

    def _load(self, trt: Any, plan: bytes, gpu: Gpu) -> None:
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            why = self._logger.last() + _diagnosis(trt, self._runtime, plan)
            raise BackendError(
                f"backend tensorrt cannot load the engine with {runtime_name(trt)} on {gpu.name} "
                f"({gpu.compute_capability}): {why}; type: {self._rebuild}"
            )
        self._input, self._output = _ports(trt, self._engine, (1, *self.size, 3), self._rebuild)

    def _open_slots(self, device: Device, mode: Mode) -> None:
        self._streams = streams = Streams.one(device) if mode == "latency" else Streams.three(device)
        for _ in range(self.slots):
            slot = Slot(device, (1, *self.size, 3), streams)
            self._all.append(slot)
            slot.prepare(*self._bind(slot, streams, device))

    def _bind(self, slot: Slot, streams: Streams, device: Device) -> tuple[Enqueue, str | None]:
        """Return what queues the network on a slot's memory, and why it cannot be recorded, where known."""
        context = self._engine.create_execution_context()
        if context is None:
            raise BackendError(
                f"backend tensorrt cannot use the engine: {self._logger.last()}; it needs "
                f"{self._engine.device_memory_size_v2 >> 20} MiB on the GPU for each of {self.slots} "
                f"pictures in flight, {device.free_bytes() >> 20} MiB are free; type a smaller --size"
            )
        context.set_tensor_address(self._input, slot.buffers.device_in)
        context.set_tensor_address(self._output, slot.buffers.device_out)
        logger = self._logger

        def enqueue(stream: Any) -> str | None:
            return None if context.execute_async_v3(stream.handle) else logger.last()

        # TensorRT for RTX alone can tell beforehand.
        capturable = getattr(context, "is_stream_capturable", None)
        if capturable is None or capturable(streams.compute.handle):
            return enqueue, None
        return enqueue, "TensorRT for RTX cannot record this engine"

    def _check(self, rgb: npt.NDArray[np.uint8]) -> Device:
        if self._device is None:
            raise BackendError("backend tensorrt is closed and cannot translate")
        check_input(self.name, rgb, self.size)
        return self._device


class _InFlight:
    """One picture in one of the slots."""

    def __init__(self, backend: TensorRtBackend, slot: Slot) -> None:
        self._backend = backend
        self._slot = slot

    def result(self) -> npt.NDArray[np.uint8]:
        """Wait, and copy the picture out of memory that the next one will overwrite."""
        return self._backend.finish(self._slot)


def _possible(card: Card) -> list[str]:
    """Return the `PRECISIONS` that a style can have an engine of; FP16 is cast from FP32 at the build."""
    return [
        precision
        for precision in PRECISIONS
        if precision in card.models or (precision == "fp16" and "fp32" in card.models)
    ]


def _installed_runtimes() -> dict[str, Any]:
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


def _key(
    card: Card, size: tuple[int, int], precision: str, runtime: str, version: str, gpu: Gpu
) -> EngineKey:
    return EngineKey(
        style=card.name,
        onnx_sha256=source_model(card, precision).sha256,
        precision=precision,
        batch=1,
        height=size[0],
        width=size[1],
        runtime=runtime,
        runtime_version=version,
        compute_capability=gpu.compute_capability,
        # TensorRT measures on one GPU what is quickest there; TensorRT for RTX decides when it loads.
        device=gpu.name if runtime == "tensorrt" else ANY_DEVICE,
    )


def _copying(device: Device, slot: Slot) -> Enqueue:
    def enqueue(stream: Any) -> None:
        buffers = slot.buffers
        device.driver.memcpy_dtod_async(buffers.device_out, buffers.device_in, buffers.host_in.nbytes, stream)

    return enqueue


def _in_words(trt: Any, gpu: Gpu, slots: list[Slot]) -> str:
    """Return the device in words: `GPU (NVIDIA ..., TensorRT 10.13.3.9, 1 picture in flight, CUDA graph)`."""
    flying = f"{len(slots)} picture{'' if len(slots) == 1 else 's'} in flight"
    faults = [slot.graph_fault for slot in slots if slot.graph_fault is not None]
    graphs = f"no CUDA graph: {faults[0]}" if faults else "CUDA graph"
    return f"GPU ({gpu.name}, {runtime_name(trt)}, {flying}, {graphs})"


def runtime_name(trt: Any) -> str:
    """Return product and version: `TensorRT 10.13.3.9`, `TensorRT for RTX 1.7.1.116`."""
    return f"TensorRT{' for RTX' if hasattr(trt, 'ComputeCapability') else ''} {trt.__version__}"


def _diagnosis(trt: Any, runtime: Any, plan: bytes) -> str:
    """Return why an engine is not valid here, ` (UNSUPPORTED_CC)`; TensorRT for RTX alone can tell."""
    if not hasattr(runtime, "get_engine_validity"):
        return ""
    _, bits = runtime.get_engine_validity(plan)
    reasons = trt.EngineInvalidityDiagnostics.__members__.items()
    names = [name for name, reason in reasons if int(bits) & int(reason)]
    return f" ({', '.join(names)})" if names else ""


def _ports(trt: Any, engine: Any, wanted: tuple[int, ...], rebuild: str) -> tuple[str, str]:
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


def _make_logger(trt: Any) -> Any:
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
