"""The machine an engine is for: GPU, compute capability, runtime and its version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from rt.backends.tensorrt_runtime import extra, load_runtime
from rt.cuda.device import Gpu, find_gpu
from rt.engine_file import ANY_DEVICE, RUNTIMES
from rt.errors import BackendError, EngineError, nearest
from rt.install import install_hint

AUTO = "auto"
_PATTERN = re.compile(r"sm\d{2,3}")


@dataclass(frozen=True)
class Target:
    """What an engine is built for."""

    runtime: str
    """`tensorrt` or `tensorrt-rtx`."""
    runtime_version: str
    compute_capability: str
    """`sm89`."""
    device: str
    """The GPU's `Gpu.model`, or `ANY_DEVICE` where every GPU of that compute capability will do."""


def choose_runtime(asked: str | None) -> tuple[str, Any]:
    """Return the runtime to build with and its module: the one asked for, else the first that loads.

    Raises:
        BackendError: the one asked for is not installed or does not load.
        EngineError: none loads.
    """
    if asked is not None:
        return asked, load_runtime(asked)
    for runtime in RUNTIMES:
        with suppress(BackendError):
            return runtime, load_runtime(runtime)
    raise EngineError(
        f"neither TensorRT nor TensorRT for RTX is installed; type: {install_hint(extra('rtx-build'))} "
        f"for GeForce and RTX GPUs, whose engines are built without a GPU; {install_hint(extra('tensorrt'))} "
        "for data-centre GPUs; Jetson's JetPack brings its own"
    )


def find_targets(asked: str, runtime: str, trt: Any) -> list[Target]:
    """Return what `--target` asks for: `auto`, the GPU of this machine, or `sm86,sm89`.

    Raises:
        EngineError: there is no GPU here, or the runtime cannot build for one that is asked for.
    """
    version = str(trt.__version__)
    names = [name.strip().lower() for name in asked.split(",") if name.strip()]
    gpu, why_none = _find_gpu()
    if AUTO in names or not names:
        if gpu is None:
            raise EngineError(f"no GPU is found to build for: {why_none}; {_without_gpu(runtime, trt)}")
        names = [gpu.compute_capability]
    if runtime == "tensorrt-rtx":
        _check_rtx(names, _rtx_targets(trt))
        return [Target(runtime, version, name, ANY_DEVICE) for name in dict.fromkeys(names)]
    for name in names:
        if gpu is None or name != gpu.compute_capability:
            here = (
                f"none is found ({why_none})"
                if gpu is None
                else f"here is {gpu.name} ({gpu.compute_capability})"
            )
            raise EngineError(
                f"TensorRT builds for the GPU it runs on alone, {name} is asked for and {here}: build on the "
                "machine that will run the engine, or with --runtime tensorrt-rtx"
            )
    assert gpu is not None
    return [Target(runtime, version, gpu.compute_capability, gpu.model)]


def check_precision(precision: str, targets: Sequence[Target]) -> None:
    """Refuse a precision that the runtime does not compute on a GPU, before anything is built.

    Raises:
        EngineError: INT8 is asked for on Turing, where TensorRT for RTX has none.
    """
    for target in targets:
        if precision == "int8" and (target.runtime, target.compute_capability) == ("tensorrt-rtx", "sm75"):
            raise EngineError(
                "TensorRT for RTX does not compute INT8 on Turing (sm75); type --precision fp16, or leave "
                "sm75 out of --target"
            )


def _find_gpu() -> tuple[Gpu | None, str]:
    """Return the GPU of this machine, or why none is found."""
    try:
        return find_gpu(), ""
    except BackendError as error:
        return None, str(error).partition("; type: ")[0]


def _rtx_targets(trt: Any) -> list[str]:
    return [name.lower() for name in trt.ComputeCapability.__members__ if _PATTERN.fullmatch(name.lower())]


def _check_rtx(names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            hint = (
                "" if _PATTERN.fullmatch(name) else "; a target is a compute capability such as sm89, or auto"
            )
            raise EngineError(
                f"TensorRT for RTX does not build for {name!r}{nearest(name, known)}; it builds for: "
                f"{', '.join(known)}{hint}"
            )


def _without_gpu(runtime: str, trt: Any) -> str:
    if runtime == "tensorrt-rtx":
        return f"name the one to build for: --target {','.join(_rtx_targets(trt))}"
    return "TensorRT builds on the machine that runs the engine; --runtime tensorrt-rtx builds without a GPU"
