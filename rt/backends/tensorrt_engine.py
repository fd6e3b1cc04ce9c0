"""Which engine of a style is for this machine, and loading it."""

from __future__ import annotations

from pathlib import Path

from rt.backends.base import Mode
from rt.backends.tensorrt import TensorRtBackend, check_frame_size
from rt.backends.tensorrt_cache import SUFFIX
from rt.backends.tensorrt_runtime import installed_runtimes, load_runtime
from rt.card import Card
from rt.cuda.device import Gpu, find_gpu
from rt.cuda.layout import FrameFormat
from rt.cuda.nvrtc import load_compiler
from rt.engine_file import (
    ANY_DEVICE,
    Engine,
    EngineKey,
    build_command,
    engine_path,
    flags_of,
    read_engine,
    source_model,
)
from rt.errors import BackendError

PRECISIONS = ("fp16", "int8", "fp32")
"""What `auto` takes: the first of these that there is an engine of.

FP16 gives the images of FP32 at half the memory traffic; whether INT8 is quicker depends on the GPU.
"""


def find_engine(card: Card, size: tuple[int, int], precision: str = "auto") -> Engine:
    """Read the engine that was built for a style, a size = (height, width), a precision and this machine.

    For `auto` the first of `PRECISIONS` is taken that there is an engine of; of the runtimes installed, the
    first that has one.

    Raises:
        BackendError: PyCUDA, the driver, the GPU or TensorRT is missing.
        EngineError: there is no such engine, or it is damaged; the message has the command that builds it.
    """
    gpu = find_gpu()
    runtimes = installed_runtimes()
    keys = [
        _key(card, size, found, runtime, trt.__version__, gpu)
        for found in (_possible(card) if precision == "auto" else (precision,))
        for runtime, trt in runtimes.items()
    ]
    return read_engine(next((key for key in keys if engine_path(key).is_file()), keys[0]))


def load_engine(
    engine: Engine,
    mode: Mode = "latency",
    frame_size: tuple[int, int] | None = None,
    frame_format: FrameFormat = "rgb24",
) -> TensorRtBackend:
    """Load an engine onto the GPU, and what fits frames of `frame_size` = (height, width) there.

    Raises:
        BackendError: the GPU refuses it or is out of memory.
    """
    key = engine.facts.key
    trt = load_runtime(key.runtime)
    size = (key.height, key.width)
    return TensorRtBackend(
        *(trt, engine.plan, size, key.precision, mode),
        *(build_command(key), frame_size, frame_format),
        kernels_path=kernels_path(engine_path(key)),
    )


def kernels_path(plan: Path) -> Path:
    """Return where the kernels are kept that TensorRT for RTX compiles for an engine."""
    return plan.with_name(plan.name + SUFFIX)


def fit_fault(engine: Engine, frame_size: tuple[int, int]) -> str | None:
    """Return why frames of `frame_size` cannot be fitted on the GPU beside an engine; None where they can."""
    key = engine.facts.key
    try:
        check_frame_size(frame_size, (key.height, key.width))
        load_compiler()
    except BackendError as error:
        return str(error).partition("; type")[0]
    return None


def _possible(card: Card) -> list[str]:
    """Return the `PRECISIONS` that a style can have an engine of; FP16 is cast from FP32 at the build."""
    return [
        precision
        for precision in PRECISIONS
        if precision in card.models or (precision == "fp16" and "fp32" in card.models)
    ]


def _key(
    card: Card, size: tuple[int, int], precision: str, runtime: str, version: str, gpu: Gpu
) -> EngineKey:
    return EngineKey(
        style=card.name,
        onnx_sha256=source_model(card, precision).sha256,
        precision=precision,
        height=size[0],
        width=size[1],
        runtime=runtime,
        runtime_version=version,
        compute_capability=gpu.compute_capability,
        # TensorRT measures on one GPU what is quickest there; TensorRT for RTX decides when it loads.
        device=gpu.model if runtime == "tensorrt" else ANY_DEVICE,
        flags=flags_of(runtime),
    )
