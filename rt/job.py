"""One run: everything is opened and checked in order, then the frames flow."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from rt.backends import open_backend
from rt.errors import SinkError, StyleError
from rt.fit import network_size
from rt.frame import Frame
from rt.log import LOG, progress
from rt.pipeline import Stop, run_pipeline
from rt.sinks import Sink, SinkOptions, open_sink
from rt.sinks.display import display_fault
from rt.sources import Source, open_source
from rt.stats import Stats
from rt.styles import Style, find_style
from rt.translator import Translator


@dataclass(frozen=True)
class Job:
    """What is to be translated, into what, and how."""

    input: str
    """Path of a video file."""
    output: str | None
    """Path of the video to write; None for a window."""
    style: str
    """Name or folder of a style."""
    backend: str = "auto"
    size_px: int | None = None
    """Short side of the network's picture; None for the card's."""
    strength: float = 1.0
    detail: Literal["keep", "network"] = "keep"
    compare: bool = False
    overwrite: bool = False


def run_job(job: Job, stop: Stop, watch: Callable[[Frame, Frame], None] | None = None) -> Stats:
    """Open source, output, style and backend in this order and translate every frame.

    Whatever is wrong with one of them is found before a model is loaded. `watch` sees each frame before and
    after, in the translator's thread.

    Raises:
        FrameshiftError: something cannot be opened, or failed on the way; see `run_pipeline`.
    """
    with ExitStack() as opened:
        source = open_source(job.input)
        opened.callback(source.close)
        sink = _open_output(job, source)
        opened.callback(sink.abort)  # does nothing once the sink is closed
        style = find_style(job.style)
        translator = _open_translator(job, style, source)
        opened.callback(translator.close)

        def translate(frame: Frame) -> Frame:
            translated = translator.translate(frame)
            if watch is not None:
                watch(frame, translated)
            return translated

        with progress(style.name, source.info.frame_count) as report:
            return run_pipeline(source, translate, sink, stop=stop, on_progress=report)


def _open_output(job: Job, source: Source) -> Sink:
    if job.output is not None:
        height, width = source.info.height, source.info.width
        size = (height, 2 * width if job.compare else width)
        return open_sink(job.output, source, SinkOptions(overwrite=job.overwrite), size=size)
    if fault := display_fault():
        command = f"frameshift run {shlex.quote(job.input)} OUTPUT.mp4 --style {shlex.quote(job.style)}"
        raise SinkError(f"no window can be opened: {fault}; to write a file type: {command}")
    from rt.sinks.window import WindowSink

    return WindowSink(f"frameshift: {source.info.name}", paced=not source.live)


def _open_translator(job: Job, style: Style, source: Source) -> Translator:
    card, info = style.card, source.info
    short_px = card.size_px if job.size_px is None else job.size_px
    if short_px < card.minimum_px:
        raise StyleError(
            f"style {card.name} cannot work at --size {short_px}: it needs at least {card.minimum_px}; "
            f"type --size {card.size_px}"
        )
    size = network_size(info.height, info.width, short_px, card.multiple, card.minimum_px)
    choice = open_backend(job.backend, style, size)
    backend = choice.backend
    LOG.info(
        "style %s: %s on %s, %s, network picture %dx%d for frames of %dx%d (%s)",
        *(card.name, backend.name, backend.device, backend.precision),
        *(size[1], size[0], info.width, info.height, choice.reason),
    )
    return Translator(backend, size, job.strength, job.detail, job.compare)
