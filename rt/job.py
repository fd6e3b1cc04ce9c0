"""One run: everything is opened and checked in order, then the frames flow."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Literal

from rt.address import without_secrets
from rt.backends import Backend, open_backend
from rt.card import Detail, View
from rt.controls import Controls
from rt.errors import SinkError
from rt.fit import style_size
from rt.frame import Frame
from rt.log import LOG
from rt.pipeline import Stop, run_pipeline
from rt.sinks import WINDOW, Sink, SinkOptions
from rt.sinks.display import display_fault
from rt.sinks.several import open_outputs
from rt.sources import Source, SourceOptions, open_source
from rt.stats import Meter, Stats, Status
from rt.styles import find_style, list_styles
from rt.switcher import Switcher
from rt.terminal import live_status, progress
from rt.translator import Translator


@dataclass(frozen=True)
class Job:
    """What is to be translated, into what, and how."""

    input: str
    """Address of the source."""
    style: str
    """Name or folder of a style."""
    outputs: tuple[str, ...] = ()
    """Addresses of the sinks; none for a window."""
    record: str | None = None
    """Path of a video file to write beside a live view."""
    backend: str = "auto"
    precision: str = "auto"
    size_px: int | None = None
    """Short side of the network's picture; None for the card's."""
    strength: float = 1.0
    steady: float = 0.0
    detail: Detail | None = None
    """None for the style's own."""
    view: View | None = None
    """What of a frame the network looks at; None for the style's own."""
    fit: Literal["cpu", "gpu"] = "cpu"
    """Where frames are shrunk for the network and its change is laid back."""
    compare: bool = False
    source: SourceOptions = field(default_factory=SourceOptions)
    sink: SinkOptions = field(default_factory=SinkOptions)


def run_job(job: Job, stop: Stop, watch: Callable[[Frame], None] | None = None) -> Stats:
    """Open source, outputs, style and backend in this order and translate every frame.

    Whatever is wrong with one of them is found before a model is loaded. `watch` sees each translated frame,
    in the translator's thread.

    Raises:
        VideobrushError: something cannot be opened, or failed on the way; see `run_pipeline`.
    """
    with ExitStack() as opened:
        source = open_source(job.input, job.source)
        opened.callback(source.close)
        controls, meter = _controls(job), Meter()
        run = _Styles(job, source, controls)
        sink = _open_outputs(job, source, controls, lambda: run.status(meter))
        opened.callback(sink.abort)  # does nothing once the sink is closed
        switcher = run.open()
        opened.callback(switcher.close)

        def translate(frames: Iterable[Frame]) -> Iterator[Frame]:
            for frame in switcher.translate_all(frames):
                if watch is not None:
                    watch(frame)
                yield frame

        shown = (
            live_status(lambda: describe(run.status(meter)))
            if source.live
            else progress(controls.style, source.info.frame_count)
        )
        with shown as report:
            return run_pipeline(source, translate, sink, stop=stop, meter=meter, on_progress=report)


def describe(status: Status) -> str:
    """Return the status of a live run in one line."""
    latency = f", latency {status.latency['total']}" if "total" in status.latency else ""
    stale = ", NO NEW PICTURE" if status.stale else ""
    return (
        f"{status.frames} frames, {status.fps:.1f} fps{latency}, {status.dropped} dropped, "
        f"{status.style} on {status.backend} {status.precision}{stale}"
    )


def _controls(job: Job) -> Controls:
    """Return the knobs; a viewer can switch to the style asked for and to all that are listed."""
    styles = [job.style]
    if not job.outputs or WINDOW in job.outputs:
        listed = [entry.name for entry in list_styles() if entry.style is not None]
        styles = listed if job.style in listed else [job.style, *listed]
    return Controls(styles, job.style, job.strength, job.steady, job.compare)


class _Styles:
    """Opens styles for the frames of one source."""

    def __init__(self, job: Job, source: Source, controls: Controls) -> None:
        self._job = job
        self._source = source
        self._controls = controls
        self._switcher: Switcher | None = None

    def open(self) -> Switcher:
        """Open the first style."""
        first = self._load(self._job.style)
        self._switcher = Switcher(
            first,
            self._controls,
            self._load,
            lambda backend: Translator(backend, self._controls, self._job.detail),
        )
        return self._switcher

    def status(self, meter: Meter) -> Status:
        """Return what the run looks like now."""
        if self._switcher is None:
            return meter.status()
        backend = self._switcher.backend.info
        return replace(
            meter.status(), style=self._switcher.style, backend=backend.name, precision=backend.precision
        )

    def _load(self, name: str) -> Backend:
        job, info = self._job, self._source.info
        style = find_style(name)
        card = style.card
        size = style_size(card, info.height, info.width, job.size_px)
        mode: Literal["latency", "throughput"] = "latency" if self._source.live else "throughput"
        frame_size = (info.height, info.width) if job.fit == "gpu" else None
        choice = open_backend(job.backend, style, size, job.precision, mode, job.view, frame_size)
        backend = choice.backend.info
        LOG.info(
            "style %s: %s on %s, %s, network picture %dx%d for frames of %dx%d (%s)",
            *(card.name, backend.name, backend.device, backend.precision),
            *(size[1], size[0], info.width, info.height, choice.reason),
        )
        return choice.backend


def _open_outputs(job: Job, source: Source, controls: Controls, status: Callable[[], Status]) -> Sink:
    """Open every output, and the window where one is asked for or nothing else is."""
    addresses = [address for address in job.outputs if address != WINDOW]
    with ExitStack() as opened:
        window = None
        if not addresses or len(addresses) < len(job.outputs):
            window = _open_window(job, source, controls, status)
            opened.callback(window.abort)
        sink = open_outputs(
            addresses,
            source.info,
            job.sink,
            live=source.live,
            window=window,
            record=job.record,
            controls=controls,
            compare=job.compare,
        )
        opened.pop_all()
        return sink


def _open_window(job: Job, source: Source, controls: Controls, status: Callable[[], Status]) -> Sink:
    if fault := display_fault():
        hidden = without_secrets(job.input) != job.input
        address = "INPUT" if hidden else shlex.quote(job.input)
        command = f"videobrush run {address} OUTPUT.mp4 --style {shlex.quote(job.style)}"
        raise SinkError(f"no window can be opened: {fault}; to write a file type: {command}")
    from rt.sinks.window import WindowSink

    return WindowSink(f"videobrush: {source.info.name}", not source.live, controls, status)
