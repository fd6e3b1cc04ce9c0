"""How the stand-in for TensorRT builds: the ONNX file, and facts."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto

from tests.support.tensorrt.behaviour import begin, make_plan

CACHE = b"stand-in timing cache of "


class Builder:
    trt: Any

    def __init__(self, logger: Any) -> None:
        self._logger = begin(self.trt, logger, "createInferBuilder")

    def create_network(self, flags: int = 0) -> Any:
        strongly_typed = self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        if not flags >> int(strongly_typed) & 1:
            self.trt.faults.append(f"the network is not strongly typed: flags are {flags}")
        return self.trt.INetworkDefinition()

    def create_builder_config(self) -> Any:
        return self.trt.IBuilderConfig()

    def build_serialized_network(self, network: Any, config: Any) -> Any:
        """Return the engine; None, with the reason logged, where TensorRT would give none."""
        model = network._model
        shape = [entry.dim_value for entry in model.graph.input[0].type.tensor_type.shape.dim]
        error = self.trt.ILogger.Severity.ERROR
        if 0 in shape:
            self._logger.log(error, "Network has dynamic or shape inputs, but no optimization profile\n")
            return None
        capability = 86
        if hasattr(self.trt, "ComputeCapability"):
            chosen = getattr(config, "_chosen", [])
            if len(chosen) != config.num_compute_capabilities:
                self._logger.log(error, "a compute capability was not set")
                return None
            capability = int(chosen[0])
        if not _report(config.progress_monitor):
            return None
        flags: set[Any] = getattr(config, "_flags", set())
        recordable = getattr(self.trt.BuilderFlag, "REQUIRE_USER_ALLOCATION", None) in flags
        given = model.SerializeToString()
        plan = make_plan(self.trt.__version__, given, tuple(shape), capability, recordable)
        return _memory(self.trt, plan)


class INetworkDefinition:
    trt: Any

    @property
    def num_layers(self) -> int:
        return len(self._model.graph.node)  # type: ignore[attr-defined]


class OnnxParser:
    trt: Any

    def __init__(self, network: Any, logger: Any) -> None:
        self._network = network
        self._errors: list[Any] = []

    def parse(self, model: bytes, path: str | None = None) -> bool:
        parsed = onnx.load_model_from_string(bytes(model))
        onnx.checker.check_model(parsed)
        pixels = parsed.graph.input[0]
        for node in parsed.graph.node:
            is_uint8 = pixels.type.tensor_type.elem_type == TensorProto.UINT8
            if is_uint8 and pixels.name in node.input and node.op_type != "Cast":
                self._errors.append(node)
        self._network._model = parsed
        return not self._errors

    @property
    def num_errors(self) -> int:
        return len(self._errors)

    def get_error(self, index: int) -> Any:
        error = self.trt.ParserError()
        error._node = self._errors[index]
        return error


class ParserError:
    trt: Any
    _node: Any

    def node_name(self) -> str:
        name: str = self._node.name
        return name

    def node_operator(self) -> str:
        kind: str = self._node.op_type
        return kind

    def desc(self) -> str:
        return "first input has type UInt8\nbut must have type Float"


class IBuilderConfig:
    trt: Any

    def set_flag(self, flag: Any) -> None:
        self._flags = {*getattr(self, "_flags", ()), flag}

    def set_memory_pool_limit(self, pool: Any, pool_size: int) -> None:
        self.trt.limits[pool.name] = pool_size

    def create_timing_cache(self, serialized_timing_cache: bytes) -> Any:
        """Return a cache; None, which the bindings hand on, where its bytes are damaged."""
        if serialized_timing_cache and not bytes(serialized_timing_cache).startswith(CACHE):
            return None
        cache = self.trt.ITimingCache()
        cache._data = bytes(serialized_timing_cache)
        return cache

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        self._cache = cache
        return True

    def get_timing_cache(self) -> Any:
        return getattr(self, "_cache", None)

    def set_compute_capability(self, compute_capability: Any, index: int) -> bool:
        self._chosen = [*getattr(self, "_chosen", [])[:index], compute_capability]
        return True


class ITimingCache:
    trt: Any
    _data: bytes

    def serialize(self) -> Any:
        """Return what was put in and that one more build has used it."""
        return _memory(self.trt, (self._data or CACHE + self.trt.__version__.encode()) + b"+")


class IHostMemory(bytes):
    """A plan or a cache: it can be made bytes."""

    @property
    def nbytes(self) -> int:
        return len(self)


BUILDING: dict[str, type] = {
    "Builder": Builder,
    "INetworkDefinition": INetworkDefinition,
    "OnnxParser": OnnxParser,
    "ParserError": ParserError,
    "IBuilderConfig": IBuilderConfig,
    "ITimingCache": ITimingCache,
    "IHostMemory": IHostMemory,
}
"""The classes that build, by name."""


def _memory(trt: Any, content: bytes) -> Any:
    memory: Any = trt.IHostMemory
    return memory(content)


def _report(monitor: Any) -> bool:
    """Report two steps; return whether the build may go on to its end. What is raised here is lost."""
    if monitor is None:
        return True
    monitor.phase_start("Building", None, 2)
    goes_on = all(monitor.step_complete("Building", step) for step in range(2))
    monitor.phase_finish("Building")
    return goes_on
