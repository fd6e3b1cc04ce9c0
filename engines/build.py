"""ONNX → engine, with TensorRT 10.3 to 11 and TensorRT for RTX.

Networks are strongly typed: the ONNX file alone decides what is computed in which precision. No number of an
enum is written down, for they differ between versions; what a version lacks is asked for by name.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from engines.target import Target
from rt.backends.tensorrt_runtime import logger_of, runtime_name, start
from rt.errors import BackendError, EngineError
from rt.log import LOG

_LISTEN_S = 0.2
Report = Callable[[str, int, int], None]
"""Takes what is done now, and how many of how many steps of it are done."""


@dataclass(frozen=True)
class Built:
    """What a build gives."""

    plan: bytes
    timing_cache: bytes
    """For the next build; no bytes where the runtime has none."""
    seconds: float
    layers: int
    """Layers of the network as TensorRT's parser made it."""
    warnings: tuple[str, ...] = field(default=())


def build_plan(
    trt: Any,
    model: bytes,
    target: Target,
    timing_cache: bytes,
    report: Report,
    workspace_bytes: int | None = None,
) -> Built:
    """Build an ONNX model of fixed shapes with TensorRT's module `trt`; Ctrl-C ends it at its next step.

    Raises:
        EngineError: the parser refuses a node, which is named, or the builder gives up.
    """
    started = time.monotonic()
    logger = logger_of(trt)
    builder = _start_builder(trt)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model):
        raise EngineError(
            f"{runtime_name(trt)} cannot build the network: {_parser_errors(parser) or logger.reason()}"
        )
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    stop = threading.Event()
    if hasattr(trt, "IProgressMonitor") and hasattr(config, "progress_monitor"):
        config.progress_monitor = _make_monitor(trt, report, stop)
    if workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_bytes)
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
        # Memory that TensorRT for RTX took while it runs could not be recorded into a CUDA graph.
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)
    if hasattr(trt, "ComputeCapability"):
        config.num_compute_capabilities = 1
        member = trt.ComputeCapability.__members__[target.compute_capability.upper()]
        config.set_compute_capability(member, 0)
    else:
        _set_timing_cache(config, timing_cache)
    plan = _interruptible(lambda: builder.build_serialized_network(network, config), stop)
    if plan is None:
        raise EngineError(f"{runtime_name(trt)} cannot build the network: {logger.reason()}")
    cache = None if hasattr(trt, "ComputeCapability") else config.get_timing_cache()
    return Built(
        plan=bytes(plan),
        timing_cache=b"" if cache is None else bytes(cache.serialize()),
        seconds=time.monotonic() - started,
        layers=network.num_layers,
        warnings=logger.warnings(),
    )


def _start_builder(trt: Any) -> Any:
    try:
        return start(trt, "Builder")
    except BackendError as error:
        raise EngineError(f"no engine can be built: {error}") from None


def _interruptible(build: Callable[[], Any], stop: threading.Event) -> Any:
    """Return what `build` returns; it runs in a thread of its own, so that Ctrl-C is heard meanwhile.

    What a callback raises within TensorRT is lost, a KeyboardInterrupt too: `stop` tells the build to end.
    """
    outcome: Future[Any] = Future()
    ended = threading.Event()

    def run() -> None:
        try:
            outcome.set_result(build())
        except BaseException as error:  # handed on to the thread that waits
            outcome.set_exception(error)
        finally:
            ended.set()

    thread = threading.Thread(target=run, name="build", daemon=True)
    try:
        thread.start()
        # On Windows a wait without an end does not hear Ctrl-C; a join that is interrupted ends for good.
        while not ended.wait(_LISTEN_S):
            pass
    except KeyboardInterrupt:
        stop.set()
        if thread.ident is not None:  # it has begun
            ended.wait()
        raise
    return outcome.result()


def _set_timing_cache(config: Any, timing_cache: bytes) -> None:
    """Give the builder what earlier builds measured; what is damaged is begun anew, and that is said."""
    try:
        # A cache of another version or GPU is ignored by TensorRT, and a new one begun.
        if config.set_timing_cache(config.create_timing_cache(timing_cache), True):
            return
    except TypeError:  # the bindings refuse the None that TensorRT gives for a damaged cache
        pass
    if timing_cache:
        LOG.warning("the timing cache is damaged: the build measures anew and takes longer")
        _set_timing_cache(config, b"")


def _parser_errors(parser: Any) -> str:
    errors = [parser.get_error(number) for number in range(parser.num_errors)]
    return "; ".join(
        f"node {error.node_name() or '(without a name)'} ({error.node_operator()}): "
        f"{' '.join(error.desc().split())}"
        for error in errors
    )


def _make_monitor(trt: Any, report: Report, stop: threading.Event) -> Any:
    """Return what TensorRT tells its progress to, from any thread; it ends the build once `stop` is set."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps
            report(phase_name, 0, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            report(phase_name, step + 1, self._steps.get(phase_name, step + 1))
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
