"""How fast a style is here, and how steady.

For speed the network alone and the whole pipeline take turns within one process, so that whatever else the
machine does falls on both: trust their ratio, and compare frames per second of different runs only on an idle
machine.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rt.backends import Backend, Pending, open_backend
from rt.cuda.gauge import gauge_in_use
from rt.errors import SourceError
from rt.fit import shrink, style_size
from rt.pipeline import run_pipeline
from rt.sinks.null import NullSink
from rt.sources import SourceOptions, open_source
from rt.steadiness import Comparison, Unmeasurable, compare
from rt.styles import find_style
from rt.translator import Translator

FRAME_SIZE = (360, 640)
"""(height, width) of the frames where no other is asked for."""
PATTERN = "pattern://?unpaced"
_FPS = 30
_WARM_IMAGES = 10
_TURN_S = 0.5
"""How long the network alone works in one turn, about."""


@dataclass(frozen=True)
class Speed:
    """How fast a style is here."""

    style: str
    backend: str
    device: str
    precision: str
    network_size: tuple[int, int]
    """(height, width) of the network's images."""
    frame_size: tuple[int, int]
    """(height, width) of the frames."""
    in_flight: int
    """Frames the backend held at once."""
    turns: int
    frames: int
    """Frames carried by the pipeline, and as many images translated by the network alone."""
    network_fps: float
    """The network alone; median of the turns."""
    pipeline_fps: float
    """A drawn source, shrink, network, residual, a sink that counts; median of the turns."""
    pipeline_ratio: float
    """What the pipeline reaches of the network alone; median of the turns' ratios."""
    gpu: str = ""
    """The GPU's clock, power and temperature at the end of the last turn, and what slowed it."""


def measure_speed(
    style_name: str,
    backend_name: str = "auto",
    precision: str = "auto",
    size_px: int | None = None,
    seconds: float = 10.0,
    frame_size: tuple[int, int] = FRAME_SIZE,
) -> Speed:
    """Let the network alone and the pipeline take turns for `seconds` each, frames of (height, width).

    Raises:
        VideobrushError: the style or backend cannot be opened.
    """
    style = find_style(style_name)
    card = style.card
    size = style_size(card, *frame_size, size_px)
    backend = open_backend(backend_name, style, size, precision, "throughput").backend
    translator = Translator(backend)
    try:
        image = _network_image(frame_size, size)
        _translate_alone(backend, image, _WARM_IMAGES)
        count = max(2 * backend.info.slots, round(_TURN_S * _translate_alone(backend, image, _WARM_IMAGES)))
        _carry(translator, frame_size, count)
        alone_fps: list[float] = []
        pipeline_fps: list[float] = []
        started = time.perf_counter()
        while not alone_fps or time.perf_counter() - started < 2 * seconds:
            alone_fps.append(_translate_alone(backend, image, count))
            pipeline_fps.append(_carry(translator, frame_size, count))
        gpu = _gpu_state() if backend.info.name == "tensorrt" else ""
    finally:
        translator.close()
    ratios = [carried / alone for carried, alone in zip(pipeline_fps, alone_fps, strict=True)]
    return Speed(
        style=card.name,
        backend=backend.info.name,
        device=backend.info.device,
        precision=backend.info.precision,
        network_size=size,
        frame_size=frame_size,
        in_flight=backend.info.slots,
        turns=len(ratios),
        frames=count * len(ratios),
        network_fps=round(statistics.median(alone_fps), 1),
        pipeline_fps=round(statistics.median(pipeline_fps), 1),
        pipeline_ratio=round(statistics.median(ratios), 3),
        gpu=gpu,
    )


def _gpu_state() -> str:
    gauge = gauge_in_use()
    if gauge is None:
        return ""
    try:
        return str(gauge.read() or "")
    finally:
        gauge.close()


def measure_steady(
    clip: str,
    style_name: str,
    backend_name: str = "auto",
    precision: str = "auto",
    size_px: int | None = None,
    amount: float = 1.0,
    seconds: float = 10.0,
) -> Comparison:
    """Translate the first `seconds` of a clip and measure what a viewer sees, steadied by `amount` and not.

    Raises:
        VideobrushError: the clip, style or backend cannot be opened, or no motion can be found in the clip.
    """
    source = open_source(clip, SourceOptions(duration_s=seconds))
    try:
        style, info = find_style(style_name), source.info
        card = style.card
        size = style_size(card, info.height, info.width, size_px)
        backend = open_backend(backend_name, style, size, precision).backend
        try:
            frames = (frame.rgb for frame in source)
            viewer, _ = compare(
                frames, lambda rgb: backend.translate(rgb[None])[0], size, amount, detail=backend.info.detail
            )
        except Unmeasurable as error:
            raise SourceError(f"{clip} cannot be measured: {error}") from None
        finally:
            backend.close()
    finally:
        source.close()
    return viewer


def _network_image(frame_size: tuple[int, int], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    source = open_source(PATTERN, _options(frame_size, 1))
    try:
        return np.array(shrink(next(iter(source)).rgb, size))[None]
    finally:
        source.close()


def _translate_alone(backend: Backend, image: npt.NDArray[np.uint8], count: int) -> float:
    """Return the images per second of the network alone, with as many in flight as it can hold."""
    flying: deque[Pending] = deque()
    started = time.perf_counter()
    for _ in range(count):
        flying.append(backend.start(image))
        if len(flying) == backend.info.slots:
            flying.popleft().result()
    while flying:
        flying.popleft().result()
    return count / (time.perf_counter() - started)


def _carry(translator: Translator, frame_size: tuple[int, int], count: int) -> float:
    """Return the frames per second of the whole pipeline."""
    source = open_source(PATTERN, _options(frame_size, count))
    return run_pipeline(source, translator.translate_all, NullSink()).fps


def _options(frame_size: tuple[int, int], count: int) -> SourceOptions:
    height, width = frame_size
    return SourceOptions(fps=Fraction(_FPS), height=height, width=width, duration_s=count / _FPS)
