"""Where the time of an engine goes, layer by layer, on this machine's GPU."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rt.backends.tensorrt_runtime import diagnosis, load_runtime, logger_of, ports, runtime_name, start
from rt.cuda.device import Device
from rt.cuda.slot import Slot, Streams
from rt.engine_file import EngineKey, build_command, read_stored
from rt.errors import BackendError
from rt.terminal import table

WARM_UP, RUNS = 5, 20
MOST = 40
"""Rows of the table; what is left is one more."""


@dataclass(frozen=True)
class LayerTimes:
    """The layers of an engine in their order, and what they take."""

    device: str
    layers: tuple[tuple[str, float], ...]
    """Name and mean time in ms."""
    wall_ms: float
    """Mean time of an image on the clock, with profiling, which costs some."""

    @property
    def total_ms(self) -> float:
        """All layers together."""
        return sum(ms for _, ms in self.layers)


def profile_lines(path: Path) -> Iterator[str]:
    """Yield a table of an engine's layers, the slowest first.

    Raises:
        EngineError: the engine is damaged.
        BackendError: it cannot run here.
    """
    engine = read_stored(path)
    found = profile(engine.facts.key, engine.plan)
    yield f"{path}: {len(found.layers)} layers on {found.device}, {RUNS} runs"
    rows = sorted(found.layers, key=lambda layer: -layer[1])
    shown = rows[:MOST]
    if rest := rows[MOST:]:
        shown.append((f"{len(rest)} more", sum(ms for _, ms in rest)))
    total = found.total_ms or 1.0
    listed = [(name, f"{ms:.4f}", f"{100 * ms / total:.1f} %") for name, ms in shown]
    yield from table([("layer", "ms", "share"), *listed, ("all layers", f"{found.total_ms:.4f}", "100.0 %")])
    yield f"an image on the clock: {found.wall_ms:.4f} ms"


def profile(key: EngineKey, plan: bytes) -> LayerTimes:
    """Run an engine and return what its layers take.

    Raises:
        BackendError: PyCUDA, the driver, the GPU or TensorRT is missing, or the engine is not for here.
    """
    trt = load_runtime(key.runtime)
    times: dict[str, float] = defaultdict(float)
    device = Device()
    try:
        with device.current():
            wall_s = _run(trt, device, key, plan, times)
    finally:
        device.close()
    layers = tuple((name, ms / RUNS) for name, ms in times.items())
    return LayerTimes(f"{device.gpu.name}, {runtime_name(trt)}", layers, 1000 * wall_s / RUNS)


def _run(trt: Any, device: Device, key: EngineKey, plan: bytes, times: dict[str, float]) -> float:
    """Run the engine `RUNS` times after warming up, add up what is reported, and return the seconds."""
    runtime = start(trt, "Runtime")
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        why = logger_of(trt).last() + diagnosis(trt, runtime, plan)
        raise BackendError(f"the engine cannot be profiled here: {why}; type: {build_command(key)}")
    size = (key.height, key.width)
    names = ports(trt, engine, (1, *size, 3), build_command(key))
    streams = Streams.one(device)
    slot = Slot(device, (1, *size, 3), streams, by_gpu_alone=True)
    context = engine.create_execution_context()
    try:
        if context is None:
            raise BackendError(f"the engine cannot be profiled here: {logger_of(trt).last()}")
        for name, address in zip(names, (slot.buffers.device_in, slot.buffers.device_out), strict=True):
            context.set_tensor_address(name, address)
        slot.buffers.host_in[...] = 127
        slot.buffers.upload(streams.compute)
        for number in range(WARM_UP + RUNS):
            if number == WARM_UP:
                context.profiler = _make_profiler(trt, times)
                began = time.perf_counter()
            if not context.execute_async_v3(streams.compute.handle):
                raise BackendError(f"the engine does not run: {logger_of(trt).last()}")
            streams.compute.synchronize()
        return time.perf_counter() - began
    finally:
        del context  # before the memory it works in, and within the CUDA context
        slot.close()
        streams.close()


def _make_profiler(trt: Any, times: dict[str, float]) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            times[layer_name] += ms

    return Profiler()
