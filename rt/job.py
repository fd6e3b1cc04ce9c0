"""One run: everything is opened and checked in order, then the frames flow."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from rt.address import without_secrets
from rt.audio import audio_of
from rt.backends import Backend, open_backend
from rt.card import Card
from rt.commands import Run
from rt.controls import Controls
from rt.errors import SinkError, SourceError
from rt.expects import Expectations
from rt.fit import style_size
from rt.frame import Frame
from rt.globs import is_folder, refuse_inputs_as_outputs
from rt.log import LOG
from rt.mixed import Mixed, mixed_size, style_names
from rt.pipeline import Stop, Translate, run_pipeline
from rt.remote import Remote
from rt.sinks import WINDOW, Sink, SinkOptions, open_outputs
from rt.sinks.display import display_fault
from rt.sources import Source, SourceOptions, open_source
from rt.stats import Meter, Stats, Status
from rt.styles import find_style, usable_styles
from rt.switcher import Switcher
from rt.terminal import live_status, progress
from rt.translator import EachOwnSize, Translator

if TYPE_CHECKING:
    from rt.cuda.gauge import Gauge

Load = Callable[[Run, str, Source, tuple[int, int] | None, Callable[..., None]], Backend]
"""What `load_backend` does."""


@dataclass(frozen=True)
class Ends:
    """Where frames come from and go to, in place of what a command names."""

    source: Source
    """Opened; the run closes it."""
    open_sink: Callable[[], Sink]


def run_job(
    asked: Run,
    stop: Stop,
    watch: Callable[[Frame], None] | None = None,
    on_progress: Callable[[int, int | None], object] | None = None,
    load: Load | None = None,
    ends: Ends | None = None,
) -> Stats:
    """Open source, outputs, style and backend in this order and translate every frame.

    Whatever is wrong with one of them is found before a model is loaded. `watch` sees each translated frame,
    in the translator's thread. `on_progress` is called after each frame, in the calling thread, with the
    frames written and their expected number; without it that is said on stderr. `load` gives the networks
    instead of `load_backend`, `ends` source and outputs instead of those that are named.

    Raises:
        VideobrushError: something cannot be opened, or failed on the way; see `run_pipeline`.
    """
    if ends is None:
        refuse_inputs_as_outputs(asked.input, asked.output, asked.style)
    with ExitStack() as opened:
        source = open_source(asked.input, source_options(asked)) if ends is None else ends.source
        opened.callback(source.close)
        controls, meter = _controls(asked), Meter()
        run = _Styles(asked, source, controls, load or load_backend)
        if ends is None:
            sink = _open_outputs(asked, source, controls, lambda: run.status(meter))
        else:
            sink = ends.open_sink()
        opened.callback(run.close)
        opened.callback(sink.abort)  # does nothing once the sink is closed
        remote = Remote(
            controls,
            stop.request,
            osc=asked.osc,
            hotkeys=asked.hotkeys,
            live=source.live,
            say_notes=not _has_window(asked),
        )
        opened.callback(remote.close)
        if source.info.image_names:
            each = run.open_each()
            opened.callback(each.close)
            translate_all: Translate = each.translate_all
        else:
            switcher = run.open()
            opened.callback(switcher.close)
            translate_all = switcher.translate_all

        expectations = Expectations()

        def translate(frames: Iterable[Frame]) -> Iterator[Frame]:
            for frame in translate_all(frames):
                if said := expectations.look(run.card, frame):
                    LOG.warning("%s", said)
                    controls.note(said)
                if watch is not None:
                    watch(frame)
                remote.show(frame)
                yield frame

        shown = _progress(source, controls, lambda: describe(run.status(meter)), on_progress)
        with shown as report:
            return run_pipeline(source, translate, sink, stop=stop, meter=meter, on_progress=report)


def _progress(
    source: Source,
    controls: Controls,
    status: Callable[[], str],
    on_progress: Callable[[int, int | None], object] | None,
) -> AbstractContextManager[Callable[[int], None]]:
    """Return what is called after each frame while it is open."""
    if on_progress is not None:
        count = source.info.frame_count

        def report(frames: int) -> None:
            on_progress(frames, count)

        return nullcontext(report)
    return live_status(status) if source.live else progress(controls.style, source.info.frame_count)


def source_options(asked: Run) -> SourceOptions:
    """Return what is asked of the source."""
    fps = None if asked.fps is None else Fraction(asked.fps).limit_denominator(1001)
    size = asked.height, asked.width
    into_folder = len(asked.output) == 1 and is_folder(asked.output[0])
    return SourceOptions(
        fps,
        *size,
        asked.loop,
        asked.start,
        asked.duration,
        into_folder,
        asked.keep_clock,
        asked.interlaced,
        asked.fields,
        asked.microphone,
    )


def sink_options(asked: Run) -> SinkOptions:
    """Return what is asked of the outputs."""
    return SinkOptions(
        asked.overwrite,
        asked.codec,
        asked.encoder,
        asked.crf,
        asked.preset,
        asked.audio,
        asked.other_videos,
    )


def describe(status: Status) -> str:
    """Return the status of a live run in one line."""
    latency = f", latency {status.latency['total']}" if "total" in status.latency else ""
    stale = ", NO NEW FRAME" if status.stale else ""
    audio = f", {status.audio}" if status.audio else ""
    gpu = f", GPU {status.gpu}" if status.gpu else ""
    still = "" if status.kept_share is None else f"{100 * status.kept_share:.0f} % still, "
    return (
        f"{status.frames} frames, {status.fps:.1f} fps{latency}, {status.dropped} dropped, {still}"
        f"{status.style} on {status.backend} {status.precision}{gpu}{audio}{stale}"
    )


def _controls(asked: Run) -> Controls:
    """Return the knobs; a viewer can switch to the style asked for and to all that are listed."""
    styles = [asked.style]
    if _has_window(asked) or asked.osc is not None or asked.hotkeys:
        listed = list(usable_styles())
        styles = listed if asked.style in listed else [asked.style, *listed]
    return Controls(
        styles, asked.style, asked.strength, asked.steadiness, asked.compare, asked.mix, asked.fade
    )


def _has_window(asked: Run) -> bool:
    return not asked.output or WINDOW in asked.output


class _Styles:
    """Opens styles for the frames of one source."""

    def __init__(self, asked: Run, source: Source, controls: Controls, load: Load) -> None:
        self._asked = asked
        self._load_backend = load
        self._source = source
        self._controls = controls
        self._switcher: Switcher | None = None
        self._still = keeps_still(asked, source)
        self._said = False
        self._cards: dict[str, Card] = {}
        self._gauge: Gauge | None = None
        self._looked_for_gauge = False

    @property
    def card(self) -> Card:
        """The card of the style of the latest frame."""
        return self._cards[self._asked.style if self._switcher is None else self._switcher.style]

    def open(self) -> Switcher:
        """Open the first style."""
        detail = None if self._asked.detail == "auto" else self._asked.detail
        self._switcher = Switcher(
            self._load(self._asked.style),
            self._controls,
            self._load,
            lambda backend: Translator(backend, self._controls, detail, self._still),
        )
        return self._switcher

    def open_each(self) -> EachOwnSize:
        """Open the style for images of many sizes.

        Raises:
            SourceError: something is asked that needs the frames of one video.
        """
        if self._asked.steadiness and len(self._source.info.image_names) > 1:
            raise SourceError(
                f"cannot use --steady with {self._source.info.name}: its images are no frames of one video; "
                "leave --steady out"
            )
        detail = None if self._asked.detail == "auto" else self._asked.detail
        cards = [find_style(name).card for name in style_names(self._asked.style)]
        return EachOwnSize(
            lambda height, width: mixed_size(cards, height, width, self._asked.size),
            lambda size: Translator(self._load(self._asked.style, size), self._controls, detail),
        )

    def status(self, meter: Meter) -> Status:
        """Return what the run looks like now."""
        if self._switcher is None:
            return meter.status()
        backend = self._switcher.backend.info
        audio = audio_of(self._source.info)
        return replace(
            meter.status(),
            style=self._switcher.style,
            backend=backend.name,
            precision=backend.precision,
            gpu=self._gpu_state(backend.name),
            audio=audio.status() if audio is not None and audio.wanted else "",
            kept_share=self._switcher.kept_share,
        )

    def close(self) -> None:
        """Stop reading the GPU; works twice."""
        if self._gauge is not None:
            self._gauge.close()

    def _gpu_state(self, backend: str) -> str:
        """Return what the GPU does, where frames are translated there."""
        if backend != "tensorrt":
            return ""
        if not self._looked_for_gauge:
            from rt.cuda.gauge import gauge_in_use

            self._gauge, self._looked_for_gauge = gauge_in_use(), True
        return str((self._gauge and self._gauge.read()) or "")

    def _load(self, name: str, size: tuple[int, int] | None = None) -> Backend:
        names = style_names(name)
        cards = [find_style(each).card for each in names]
        self._cards[name] = cards[0]
        say = LOG.debug if self._said else LOG.info
        self._said = size is not None  # once for images of many sizes
        if len(names) > 1 and size is None:
            size = mixed_size(cards, self._source.info.height, self._source.info.width, self._asked.size)
        first, *others = names
        opened = self._load_backend(self._asked, first, self._source, size, say)
        try:
            for other in others:
                second = self._load_backend(self._asked, other, self._source, size, say)
                opened = Mixed(opened, second, lambda: self._controls.mix)
        except BaseException:
            opened.close()
            raise
        return opened


def keeps_still(asked: Run, source: Source) -> bool:
    """Return whether the residual of before is kept while nothing moves, see `rt.still`."""
    return asked.still == "on" or (asked.still == "auto" and source.live)


def load_backend(
    asked: Run,
    name: str,
    source: Source,
    size: tuple[int, int] | None = None,
    say: Callable[..., None] = LOG.info,
) -> Backend:
    """Return the style `name`, loaded for the frames of `source`; `say` is told what was chosen and why.

    `size` is the (height, width) the network works at, None for what `asked` and the style say.

    Raises:
        StyleError, BackendError: there is no such style, or it cannot be loaded.
    """
    info = source.info
    style = find_style(name)
    card = style.card
    network = size or style_size(card, info.height, info.width, asked.size)
    one_by_one = source.live or keeps_still(asked, source)
    mode: Literal["latency", "throughput"] = "latency" if one_by_one else "throughput"
    view = None if asked.view == "auto" else asked.view
    on_cpu = asked.fit == "auto" and (asked.steadiness > 0 or asked.detail == "network" or size is not None)
    frame_size = None if asked.fit == "cpu" or on_cpu else (info.height, info.width)
    choice = open_backend(
        *(asked.backend, style, network, asked.precision, mode, view),
        *(frame_size, info.frame_format, asked.fit == "auto"),
    )
    backend = choice.backend.info
    say(
        "style %s: %s on %s, %s, network image %dx%d for frames of %dx%d (%s)",
        *(card.name, backend.name, backend.device, backend.precision),
        *(network[1], network[0], info.width, info.height, choice.reason),
    )
    return choice.backend


def _open_outputs(asked: Run, source: Source, controls: Controls, status: Callable[[], Status]) -> Sink:
    """Open every output, and the window where one is asked for or nothing else is."""
    addresses = [address for address in asked.output if address != WINDOW]
    with ExitStack() as opened:
        window = None
        if not addresses or len(addresses) < len(asked.output):
            window = _open_window(asked, source, controls, status)
            opened.callback(window.abort)
        sink = open_outputs(
            addresses,
            source.info,
            sink_options(asked),
            live=source.live,
            window=window,
            record=asked.record,
            controls=controls,
            compare=asked.compare,
            recordable=asked.osc is not None or asked.hotkeys,
        )
        opened.pop_all()
        return sink


def _open_window(asked: Run, source: Source, controls: Controls, status: Callable[[], Status]) -> Sink:
    if fault := display_fault():
        hidden = without_secrets(asked.input) != asked.input
        address = "INPUT" if hidden else shlex.quote(asked.input)
        command = f"videobrush run {address} OUTPUT.mp4 --style {shlex.quote(asked.style)}"
        raise SinkError(f"no window can be opened: {fault}; to write a file type: {command}")
    from rt.sinks.window import WindowSink

    return WindowSink(f"videobrush: {source.info.name}", not source.live, controls, status)
