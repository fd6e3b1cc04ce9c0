"""A style to engines: typed, fixed to one shape, built, stored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.build import Report, build_plan
from engines.inspection import convolution_precisions, quantized_convolutions
from engines.onnx_model import read_onnx, with_fixed_shape
from engines.precision import to_half
from engines.store import (
    prepare_folder,
    read_timing_cache,
    timing_cache_path,
    write_engine,
    write_timing_cache,
)
from engines.target import Target, check_precision, choose_runtime, find_targets
from engines.trtexec import equal_command
from rt.card import Card
from rt.engine_file import (
    EngineFacts,
    EngineKey,
    engine_path,
    flags_of,
    read_engine,
    read_facts,
    source_model,
)
from rt.errors import EngineError
from rt.log import LOG
from rt.replacing import replacing
from rt.styles import Style

Progress = Callable[[str], AbstractContextManager[Report]]
"""Opens what shows the progress of one build."""


@dataclass(frozen=True)
class Order:
    """What is to be built."""

    precision: str
    size: tuple[int, int]
    """(height, width) of the network's image."""
    target: str = "auto"
    """`auto`, or compute capabilities: `sm86,sm89`."""
    runtime: str | None = None
    """`tensorrt` or `tensorrt-rtx`; None takes the first that is installed."""
    rebuild: bool = False
    """Build also what is there already."""
    workspace_bytes: int | None = None
    """Memory of the GPU that the builder may use for a layer; None for as much as there is."""


@dataclass(frozen=True)
class Made:
    """One engine of an order."""

    path: Path
    facts: EngineFacts
    was_there: bool


def build_engines(style: Style, order: Order, progress: Progress) -> Iterator[Made]:
    """Build an engine for every target of an order, or find it built already.

    Raises:
        EngineError: the size does not fit the network, there is no such target, the build fails, or the
            engine cannot be written.
        BackendError: the runtime is not installed.
        PrecisionError, StyleError: the style's network cannot be read.
    """
    check_size(style.card, order.size)
    source = source_model(style.card, order.precision)
    folder = prepare_folder()
    runtime, trt = choose_runtime(order.runtime)
    targets = find_targets(order.target, runtime, trt)
    check_precision(order.precision, targets)
    typed, file = typed_model(style, order.precision)
    fixed = with_fixed_shape(typed, 1, order.size)
    for target in targets:
        key = _key(style, source.sha256, order, target)
        found = None if order.rebuild else _find(key, folder)
        yield found or _build(key, target, trt, fixed, file, folder, progress, order.workspace_bytes)


def typed_model(style: Style, precision: str) -> tuple[Any, str]:
    """Return a style's network in one precision, and the name of the ONNX file it is made of.

    `fp16` is the card's FP16 file, or its FP32 one cast. `int8` is the card's INT8 file with all that is not
    INT8 cast to FP16: what an engine computes fastest.

    Raises:
        EngineError, StyleError: the style has no such model, or it is damaged.
        PrecisionError: it cannot be read.
    """
    source = source_model(style.card, precision)
    path = style.model(next(key for key, model in style.card.models.items() if model == source))
    model = read_onnx(path)
    is_typed = precision == "fp32" or (precision == "fp16" and "fp16" in style.card.models)
    return (model if is_typed else to_half(model)), source.file


def check_size(card: Card, size: tuple[int, int]) -> None:
    """Refuse a size the network cannot take, before anything is built.

    Raises:
        EngineError: height or width is no multiple of what the card says, or too small.
    """
    height, width = size
    if card.fixed_size is not None and size != card.fixed_size:
        fixed = "x".join(map(str, reversed(card.fixed_size)))
        raise EngineError(
            f"style {card.name} takes no images of {width}x{height}: its network takes {fixed} alone; "
            f"type: --network {fixed}"
        )
    multiple, least = card.multiple, card.minimum_px
    if min(size) < least or height % multiple or width % multiple:
        fitting = [max(-(-least // multiple) * multiple, round(side / multiple) * multiple) for side in size]
        raise EngineError(
            f"style {card.name} takes no images of {width}x{height}: width and height must be multiples of "
            f"{multiple} and at least {least}; type: --network {fitting[1]}x{fitting[0]}"
        )


def _key(style: Style, onnx_sha256: str, order: Order, target: Target) -> EngineKey:
    return EngineKey(
        style=style.name,
        onnx_sha256=onnx_sha256,
        precision=order.precision,
        height=order.size[0],
        width=order.size[1],
        runtime=target.runtime,
        runtime_version=target.runtime_version,
        compute_capability=target.compute_capability,
        device=target.device,
        flags=flags_of(target.runtime),
    )


def _say_equal(
    key: EngineKey, fixed: Any, folder: Path, cache_path: Path, workspace_bytes: int | None
) -> None:
    """With --verbose, write the network that is built beside the engine, and say what builds it elsewhere."""
    if not LOG.isEnabledFor(logging.DEBUG):
        return
    plan = engine_path(key, folder)
    model = plan.with_suffix(".onnx")
    with replacing(model) as part:
        part.touch(0o600)
        part.write_bytes(fixed.SerializeToString())
    LOG.debug("the same with NVIDIA's tool: %s", equal_command(key, model, plan, cache_path, workspace_bytes))


def _find(key: EngineKey, folder: Path) -> Made | None:
    """Return the engine that is there and whole; one that is damaged is built again."""
    path = engine_path(key, folder)
    if not path.exists():
        return None
    try:
        return Made(path, read_engine(key, folder).facts, was_there=True)
    except EngineError as error:
        LOG.warning("%s; it is built again", str(error).partition("; type: ")[0])
        return None


def _build(
    key: EngineKey,
    target: Target,
    trt: Any,
    fixed: Any,
    file: str,
    folder: Path,
    progress: Progress,
    workspace_bytes: int | None,
) -> Made:
    cache_path = timing_cache_path(key, folder)
    _say_equal(key, fixed, folder, cache_path, workspace_bytes)
    with progress(f"building {key}") as report:
        model, cache = fixed.SerializeToString(), read_timing_cache(cache_path)
        built = build_plan(trt, model, target, cache, report, workspace_bytes)
    if built.timing_cache:
        write_timing_cache(cache_path, built.timing_cache)
    precisions = convolution_precisions(built.plan)
    wanted = quantized_convolutions(fixed)
    if precisions and wanted > precisions.get("int8", 0):
        LOG.warning(
            "the plan computes %d of %d quantised convolutions in INT8: right, but slower than it might be",
            precisions.get("int8", 0),
            wanted,
        )
    path = write_engine(key, built.plan, file, built.seconds, precisions, folder)
    return Made(path, read_facts(path), was_there=False)
