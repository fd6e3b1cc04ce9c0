"""What the stand-in for TensorRT does: ONNX Runtime runs its engines."""

from __future__ import annotations

import ctypes
import json
import weakref
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto

from engines.store import write_engine
from rt.engine_file import EngineKey
from rt.styles import Style

STAND_IN_GPU = "Stand-in GPU, 26 SMs, 8 GiB"
"""`Gpu.model` of the stand-in driver's."""
MAGIC = b"stand-in engine\n"
COMPILED = b"stand-in kernels of "
_DTYPES = {
    TensorProto.UINT8: "UINT8",
    TensorProto.FLOAT: "FLOAT",
    TensorProto.FLOAT16: "HALF",
    TensorProto.INT8: "INT8",
}
_HOST_FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_callbacks: list[Any] = []  # a graph may call one at any time
_Bytes = npt.NDArray[np.uint8]


def make_plan(
    version: str,
    model: bytes,
    shape: tuple[int, ...],
    compute_capability: int = 86,
    user_allocation: bool = True,
) -> bytes:
    """Return an engine of a TensorRT version for one GPU: an ONNX file with its shape fixed.

    One of TensorRT for RTX without `user_allocation` cannot be recorded.
    """
    network = onnx.load_model_from_string(model)
    for port in (network.graph.input[0], network.graph.output[0]):
        for dimension, length in zip(port.type.tensor_type.shape.dim, shape, strict=True):
            dimension.dim_value = length
    facts = {"version": version, "compute_capability": compute_capability, "recordable": user_allocation}
    return MAGIC + json.dumps(facts).encode() + b"\n" + bytes(network.SerializeToString())


def store_engine(style: Style, size: tuple[int, int], version: str = "10.13.3.9") -> EngineKey:
    """Build the engine of a style in fp32 for the stand-in GPU and put it where the runtime looks."""
    key = EngineKey(
        style=style.card.name,
        onnx_sha256=style.card.models["fp32"].sha256,
        precision="fp32",
        height=size[0],
        width=size[1],
        runtime="tensorrt",
        runtime_version=version,
        compute_capability="sm86",
        device=STAND_IN_GPU,
    )
    plan = make_plan(version, style.model("fp32").read_bytes(), (1, *size, 3))
    write_engine(key, plan, source="model.onnx", build_s=1.0, precisions={})
    return key


def begin(trt: Any, logger: Any, call: str) -> Any:
    """Return the logger that TensorRT logs to, as a new Runtime or Builder begins: the first one it ever got.

    Raises:
        TypeError: as the bindings do where TensorRT gives none, for the driver is too old.
    """
    if trt.logger is None:
        trt.logger = weakref.ref(logger)
    registered = trt.logger()
    if registered is None:
        trt.faults.append("TensorRT logs to its first logger, which has ended")
    elif registered is not logger:
        registered.log(trt.ILogger.Severity.WARNING, "The logger passed differs from one already registered")
    if trt.cuda_major > _served_major():
        error = trt.ILogger.Severity.ERROR
        logger.log(error, f"{call}: Error Code 6\n(CUDA initialization failure with error: 35)")
        raise TypeError("pybind11::init(): factory function returned nullptr")
    return logger if registered is None else registered


class Dims(tuple[int, ...]):
    """A shape."""


class Runtime:
    trt: Any

    def __init__(self, logger: Any) -> None:
        self._logger = begin(self.trt, logger, "createInferRuntime")

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Any:
        """Return an engine; None, with the reason logged, where it is not for here."""
        error = self.trt.ILogger.Severity.ERROR
        plan = bytes(serialized_engine)
        if not plan.startswith(MAGIC):
            self._logger.log(error, "Error Code 1: Serialization\n(magicTagRead == kMAGIC_TAG)")
            return None
        head, _, model = plan[len(MAGIC) :].partition(b"\n")
        facts = json.loads(head)
        if facts["version"] != self.trt.__version__:
            self._logger.log(
                error, f"the engine is of version {facts['version']}, not {self.trt.__version__}"
            )
            return None
        if facts["compute_capability"] != 86:
            self._logger.log(error, f"the engine is for sm{facts['compute_capability']}, the device is sm86")
            return None
        self._used = True
        engine = self.trt.ICudaEngine()
        engine._take(model)
        engine._recordable = facts["recordable"]
        return engine

    def get_engine_validity(self, buffer: bytes) -> tuple[Any, int]:
        """Return a verdict and the reasons for it, as bits; TensorRT for RTX alone has this."""
        head, _, _ = bytes(buffer)[len(MAGIC) :].partition(b"\n")
        facts, reasons = json.loads(head), self.trt.EngineInvalidityDiagnostics
        found = 0
        if facts["version"] != self.trt.__version__:
            found |= int(reasons.VERSION_MISMATCH)
        if facts["compute_capability"] != 86:
            found |= int(reasons.UNSUPPORTED_CC)
        validity = self.trt.EngineValidity
        return validity.INVALID if found else validity.VALID, found

    def __del__(self) -> None:
        if hasattr(self, "_used"):
            _needs_context(self)


class ICudaEngine:
    trt: Any

    def _take(self, model: bytes) -> None:
        network = onnx.load_model_from_string(model)
        self._ports: dict[str, Any] = {
            port.name: port for port in (*network.graph.input, *network.graph.output)
        }
        self._inputs = [port.name for port in network.graph.input]
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    @property
    def num_io_tensors(self) -> int:
        return len(self._ports)

    @property
    def device_memory_size_v2(self) -> int:
        return 1 << 20

    def get_tensor_name(self, index: int) -> str:
        return list(self._ports)[index]

    def get_tensor_mode(self, name: str) -> Any:
        mode = self.trt.TensorIOMode
        return mode.INPUT if name in self._inputs else mode.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        return getattr(self.trt.DataType, _DTYPES[self._ports[name].type.tensor_type.elem_type])

    def get_tensor_shape(self, name: str) -> Any:
        dimensions = self._ports[name].type.tensor_type.shape.dim
        return self.trt.Dims([dimension.dim_value or -1 for dimension in dimensions])

    def create_runtime_config(self) -> Any:
        return self.trt.IRuntimeConfig()

    def create_execution_context(self, runtime_config: Any = None) -> Any:
        """Return a context; None where its memory is not there. TensorRT for RTX compiles for it."""
        cache = getattr(runtime_config, "_cache", None)
        if hasattr(self.trt, "IRuntimeCache") and (cache is None or not cache._kernels):
            self.trt.compiled.append("the kernels of a context")
            if cache is not None:
                cache._kernels = COMPILED + self.trt.__version__.encode()
        address = ctypes.c_void_p()
        if _driver().cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(self.device_memory_size_v2)):
            return None
        context = self.trt.IExecutionContext()
        context._take(self, address)
        return context

    def __del__(self) -> None:
        _needs_context(self)


class IProfiler:
    trt: Any


class IRuntimeConfig:
    trt: Any

    def create_runtime_cache(self) -> Any:
        cache = self.trt.IRuntimeCache()
        cache._kernels = b""
        return cache

    def set_runtime_cache(self, cache: Any = None) -> bool:
        self._cache = cache
        return True


class IRuntimeCache:
    trt: Any
    _kernels: bytes

    def serialize(self) -> Any:
        memory: Any = self.trt.IHostMemory
        return memory(self._kernels)

    def deserialize(self, blob: bytes) -> bool:
        """Take kernels in; those of another version are refused."""
        fits: bool = bytes(blob) == COMPILED + self.trt.__version__.encode()
        if fits:
            self._kernels = bytes(blob)
        return fits


class IExecutionContext:
    trt: Any
    _memory: ctypes.c_void_p | None = None

    def _take(self, engine: Any, memory: ctypes.c_void_p) -> None:
        self._engine = engine
        self._memory = memory
        self._addresses: dict[str, int] = {}
        self._ran = False

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = int(memory)
        return name in self._engine._ports

    def is_stream_capturable(self, stream: int) -> bool:
        recordable: bool = self._engine._recordable
        return recordable

    def execute_async_v3(self, stream_handle: int) -> bool:
        """Queue a run on the addresses there are now."""
        if self._addresses.keys() != self._engine._ports.keys():
            return False
        if not self._ran and _is_capturing(stream_handle):
            return False  # the first run sets up what cannot be recorded
        if (
            hasattr(self.trt, "IRuntimeCache")
            and not self._engine._recordable
            and _is_capturing(stream_handle)
        ):
            self.trt.faults.append("an engine was recorded that takes memory while it runs")
            return False
        self._ran = True
        if (profiler := getattr(self, "_profiler", None)) is not None:
            for name in ("/conv", "/relu", "/conv"):  # names may come twice
                profiler.report_layer_time(name, 0.5)
        run = _HOST_FUNCTION(self._run(dict(self._addresses)))
        _callbacks.append(run)
        return not _driver().cuLaunchHostFunc(ctypes.c_void_p(int(stream_handle)), run, None)

    def _run(self, addresses: dict[str, int]) -> Any:
        alive = weakref.ref(self)
        engine, faults = self._engine, self.trt.faults

        def run(_: object) -> None:
            if alive() is None:
                faults.append("the network ran after its execution context had ended")
                return
            try:
                given = {name: _memory(engine, name, addresses[name]).copy() for name in engine._inputs}
                names = [name for name in engine._ports if name not in given]
                for name, result in zip(names, engine._session.run(names, given), strict=True):
                    _memory(engine, name, addresses[name])[...] = result
            except Exception as error:  # nothing can be raised through the driver
                faults.append(f"the network failed: {error}")

        return run

    def __del__(self) -> None:
        _needs_context(self)
        if self._memory is not None:
            _driver().cuMemFree_v2(self._memory)


BEHAVIOUR: dict[str, type] = {
    "Dims": Dims,
    "Runtime": Runtime,
    "ICudaEngine": ICudaEngine,
    "IExecutionContext": IExecutionContext,
    "IProfiler": IProfiler,
    "IRuntimeConfig": IRuntimeConfig,
    "IRuntimeCache": IRuntimeCache,
}
"""The classes that do something, by name."""


def _memory(engine: Any, name: str, address: int) -> _Bytes:
    shape = tuple(engine.get_tensor_shape(name))
    block = (ctypes.c_uint8 * int(np.prod(shape))).from_address(address)
    return np.ctypeslib.as_array(block).reshape(shape)


def _driver() -> ctypes.CDLL:
    return ctypes.CDLL("libcuda.so.1")


def _served_major() -> int:
    """Return the CUDA major of the stand-in driver; any will do where a test has no driver."""
    version = ctypes.c_int(99_000)
    with suppress(OSError):
        _driver().cuDriverGetVersion(ctypes.byref(version))
    return version.value // 1000


def _is_capturing(stream: int) -> bool:
    status = ctypes.c_int()
    _driver().cuStreamIsCapturing(ctypes.c_void_p(int(stream)), ctypes.byref(status))
    return status.value != 0


def _needs_context(thing: Any) -> None:
    """Note where something of TensorRT's ends without the CUDA context that holds its memory."""
    context = ctypes.c_void_p()
    _driver().cuCtxGetCurrent(ctypes.byref(context))
    if not context:
        thing.trt.faults.append(f"{type(thing).__name__} ended without a CUDA context")
