"""Where frames go: the address chooses the sink."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rt.errors import SinkError, nearest
from rt.sinks.base import DEFAULTS, Sink, SinkClosed, SinkOptions, Size, rate_of, redacted, scheme_of

if TYPE_CHECKING:  # help reads the table of kinds: nothing heavy is loaded for it
    from rt.audio import LiveAudio
    from rt.controls import Controls
    from rt.frame import SourceInfo
    from rt.sinks.several import SinkThread

__all__ = [
    "DEFAULTS",
    "KINDS",
    "WINDOW",
    "Kind",
    "Sink",
    "SinkClosed",
    "SinkOptions",
    "help_text",
    "open_outputs",
    "open_sink",
    "redacted",
]

_log = logging.getLogger(__name__)

WINDOW = "window://"
"""The address of a window, which whoever runs the pipeline opens: it must stay on the main thread."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".avif", ".bmp", ".dib", ".tif", ".tiff")
ANIMATION_SUFFIXES = (".gif", ".webp")
"""Suffixes of images: files for one frame, and those that can move."""


@dataclass(frozen=True)
class Wanted:
    """An output that is to be opened: what `open_sink` is given."""

    address: str
    like: SourceInfo | None
    options: SinkOptions
    size: Size | None
    frame_rate: Fraction | None


@dataclass(frozen=True)
class Kind:
    """One kind of output, and how it is typed."""

    what: str
    """What it is, in words."""
    examples: tuple[str, ...]
    """Addresses of this kind."""
    open: Callable[[Wanted], Sink]
    """Opens an address of this kind."""
    schemes: tuple[str, ...] = ()
    """What stands before `://` in its addresses; none for names of files and folders."""
    shown_live: bool = False
    """Whether somebody watches it as it comes: late frames are worth nothing there."""
    encodes: bool = False
    """Whether it encodes video."""
    extra: str | None = None
    """The optional part of the installation that it needs."""


def _open_file(wanted: Wanted) -> Sink:
    from rt.sinks.file import FileSink

    return FileSink(
        wanted.address, wanted.like, wanted.options, size=wanted.size, frame_rate=wanted.frame_rate
    )


def _open_images(wanted: Wanted) -> Sink:
    from rt.sinks.images import ImageSink

    return ImageSink(wanted.address, wanted.like, overwrite=wanted.options.overwrite)


def _open_animation(wanted: Wanted) -> Sink:
    if wanted.like is not None and wanted.like.frame_count == 1:
        return _open_images(wanted)
    from rt.sinks.animation import AnimationSink

    return AnimationSink(wanted.address, wanted.like, overwrite=wanted.options.overwrite)


def _open_null(wanted: Wanted) -> Sink:
    from rt.sinks.null import NullSink

    return NullSink()


def _open_virtual_camera(wanted: Wanted) -> Sink:
    from rt.sinks.virtual_camera import VirtualCamera

    return VirtualCamera(wanted.address, wanted.like, size=wanted.size, frame_rate=wanted.frame_rate)


def _open_window(wanted: Wanted) -> Sink:
    raise SinkError(f"cannot write {redacted(wanted.address)}: a window has no name; type {WINDOW}")


def _open_stream(wanted: Wanted) -> Sink:
    _check_server(wanted.address)
    from rt.sinks.stream import StreamSink

    return StreamSink(
        wanted.address,
        wanted.like,
        wanted.options,
        size=wanted.size,
        frame_rate=wanted.frame_rate,
        audio=_heard(wanted.like, wanted.options),
    )


VIDEO_FILE = Kind("video file", ("out.mp4", "out.mov", "out.mkv"), _open_file, encodes=True)
IMAGES = Kind("images", ("photo.jpg", "frames/", "img_%04d.png"), _open_images)
ANIMATION = Kind("animated image", ("out.gif", "out.webp"), _open_animation)
KINDS = (
    VIDEO_FILE,
    IMAGES,
    ANIMATION,
    Kind("nothing", ("null://",), _open_null, ("null",)),
    Kind(
        "virtual camera",
        ("virtual://",),
        _open_virtual_camera,
        ("virtual",),
        shown_live=True,
        extra="virtual",
    ),
    Kind("window", (WINDOW,), _open_window, ("window",)),
    Kind(
        "server",
        ("rtmp://...", "rtsp://...", "tcp://...", "udp://..."),
        _open_stream,
        ("rtmp", "rtmps", "rtsp", "tcp", "udp"),
        shown_live=True,
        encodes=True,
    ),
)
"""Every kind of output; an address without `://` names a file or a folder."""


def help_text() -> str:
    """Return what can be typed as an output, in one line."""
    return "; ".join(f"{kind.what}: {' '.join(kind.examples)}" for kind in KINDS)


def open_sink(
    address: str,
    like: SourceInfo | None,
    options: SinkOptions = DEFAULTS,
    *,
    size: Size | None = None,
    frame_rate: Fraction | None = None,
) -> Sink:
    """Open what the user named, for frames of `like`; see `KINDS`.

    Args:
        address: name of a video file, whose suffix chooses the container; a folder (`frames/`) or a pattern
            (`img_%04d.png`) for images; `virtual://`, a server (`rtmp://...`), `null://`.
        like: the source whose times, colour, orientation and other streams the result keeps.
        options: what the user asks of it.
        size: (height, width) of the frames where it is not that of `like`.
        frame_rate: mean frames per second where it is not that of `like`.

    Raises:
        SinkError: it cannot be written; nothing is left behind then.
    """
    return _kind_of(address).open(Wanted(address, like, options, size, frame_rate))


def open_outputs(
    addresses: Sequence[str],
    like: SourceInfo | None,
    options: SinkOptions = DEFAULTS,
    *,
    live: bool,
    size: Size | None = None,
    frame_rate: Fraction | None = None,
    window: Sink | None = None,
    record: str | None = None,
    controls: Controls | None = None,
    compare: bool = False,
) -> Sink:
    """Open everything that a run writes to or shows, as one sink.

    Args:
        addresses: what the user named, see `open_sink`.
        like: the source of the frames.
        options: how video is encoded, and whether what exists is replaced.
        live: the source is live: each output then has a thread of its own.
        size: (height, width) of the frames where it is not that of `like`.
        frame_rate: mean frames per second where it is not that of `like`.
        window: an opened window, shown beside the other outputs.
        record: name of a file that is recorded from the start beside a live view.
        controls: whose `recording` begins and ends recordings, and who is told of faults.
        compare: write before and after side by side to every address and recording;
            frames need `before` then.

    Raises:
        SinkError: one of them cannot be written, or nothing of the run is encoded as was asked; nothing is
            left behind of the others.
    """
    if not addresses and window is None and record is None:
        raise ValueError("a run needs an output or a window")
    if record is not None and not live:
        raise SinkError("a recorded source is not recorded again: name OUTPUT instead of --record")
    recorded = live and (record is not None or (controls is not None and window is not None))
    if not recorded and not any(_may_encode(address) for address in addresses):
        _check_unasked(options)
    if size is None and like is not None:
        size = (like.height, like.width)
    if size is not None and compare:
        size = (size[0], 2 * size[1])
    outputs = _Outputs(like, options, live, size, rate_of(like, frame_rate), compare)
    with ExitStack() as opened:
        for address in addresses:
            opened.callback(outputs.open(address).abort)
        if recorded:
            opened.callback(outputs.open_recording(record, controls).abort)
        opened.pop_all()
    if (audio := _heard(like, options)) is not None:
        asked = [*([] if window is None else [WINDOW]), *addresses]
        by_key = [] if record is not None or not recorded else ["recordings begun with r"]
        _say_audio(audio.name, asked, [*([] if record is None else [record]), *by_key])
    return _as_one(outputs, live, window, controls)


def _heard(like: SourceInfo | None, options: SinkOptions) -> LiveAudio | None:
    """Return the audio of a live source, where it is wanted."""
    from rt.audio import audio_of

    return None if options.audio == "none" else audio_of(like)


def _say_audio(name_of_audio: str, addresses: Sequence[str], recordings: Sequence[str]) -> None:
    """Say once where live audio goes, and where nothing is heard of it."""
    named = [(redacted(address) if scheme_of(address) else address) for address in addresses]
    carries = [_kind_of(address).encodes for address in addresses]
    heard = [*(name for name, does in zip(named, carries, strict=True) if does), *recordings]
    silent = ", ".join(name for name, does in zip(named, carries, strict=True) if not does)
    if not heard:
        _log.warning(
            "audio (%s): heard nowhere: not in %s; to have it add a recording (--record FILE) or a server "
            "(rtmp://...)",
            *(name_of_audio, silent),
        )
        return
    apart = f"; not in {silent}" if silent else ""
    _log.info("audio (%s): encoded for %s%s", name_of_audio, ", ".join(heard), apart)


def _as_one(outputs: _Outputs, live: bool, window: Sink | None, controls: Controls | None) -> Sink:
    from rt.sinks.several import SeveralSinks

    alone = outputs.direct if not outputs.threads and window is None else []
    if len(alone) == 1:
        return alone[0]
    shown = any(not thread.recorded for thread in outputs.threads)

    def on_fault(text: str) -> None:
        _log.warning("%s", text)
        if controls is not None:
            controls.note(text)

    paced = shown and not live and window is None
    return SeveralSinks(outputs.direct, outputs.threads, window, paced=paced, on_fault=on_fault)


class _Outputs:
    """Opens outputs one by one, each as the source wants it."""

    def __init__(
        self,
        like: SourceInfo | None,
        options: SinkOptions,
        live: bool,
        size: Size | None,
        frame_rate: Fraction,
        compare: bool,
    ) -> None:
        self.direct: list[Sink] = []
        self.threads: list[SinkThread] = []
        self._like = like
        self._options = options
        self._live = live
        self._size = size
        self._frame_rate = frame_rate
        self._compare = compare

    def open(self, address: str) -> Sink | SinkThread:
        kind = _kind_of(address)
        if self._live and kind is VIDEO_FILE:
            return self.open_recording(address, None)
        wanted = Wanted(address, self._like, self._options, self._size, self._frame_rate)
        sink = self._compared(kind.open(wanted))
        if kind.shown_live:
            return self._in_thread(address, sink, recorded=False)
        if self._live and kind in (IMAGES, ANIMATION):
            return self._in_thread(address, sink, recorded=True)
        self.direct.append(sink)
        return sink

    def open_recording(self, record: str | None, controls: Controls | None) -> SinkThread:
        from rt.sinks.recorder import Recorder

        path = None if record is None else Path(record)
        sink = Recorder(
            self._frame_rate,
            self._options,
            path=path,
            size=self._size,
            controls=controls,
            audio=_heard(self._like, self._options),
        )
        return self._in_thread(record or "recording", self._compared(sink), recorded=True)

    def _compared(self, sink: Sink) -> Sink:
        if not self._compare:
            return sink
        from rt.sinks.compared import Compared

        return Compared(sink)

    def _in_thread(self, name: str, sink: Sink, recorded: bool) -> SinkThread:
        from rt.sinks.several import SinkThread

        thread = SinkThread(name, sink, recorded)
        self.threads.append(thread)
        return thread


def _kind_of(address: str) -> Kind:
    scheme = scheme_of(address)
    if scheme is None:
        if _is_animation(address):
            return ANIMATION
        return IMAGES if _is_for_images(address) else VIDEO_FILE
    for kind in KINDS:
        if scheme in kind.schemes:
            return kind
    if scheme == "srt":
        raise SinkError(
            f"cannot write {redacted(address)}: PyAV comes without SRT; use udp:// or tcp:// instead"
        )
    schemes = [name for kind in KINDS for name in kind.schemes]
    known = ", ".join(f"{name}://" for name in schemes)
    raise SinkError(
        f"cannot write {redacted(address)}: there is no output {scheme}://{nearest(scheme, schemes)}; "
        f"known: {known}, files and folders"
    )


def _is_for_images(address: str) -> bool:
    """Tell whether a name means one image a frame: a folder, or a pattern such as `img_%04d.png`."""
    path = Path(address)
    if address.endswith(("/", "\\")) or path.suffix.lower() in (*IMAGE_SUFFIXES, *ANIMATION_SUFFIXES):
        return True
    return not path.suffix and path.is_dir()


def _is_animation(address: str) -> bool:
    """Tell whether a name means one image that moves, where there is more than one frame."""
    path = Path(address)
    return path.suffix.lower() in ANIMATION_SUFFIXES and "%" not in path.name


def _may_encode(address: str) -> bool:
    """Tell whether an output encodes video; one that does not exist is refused where it is opened."""
    try:
        return _kind_of(address).encodes
    except SinkError:
        return True


def _check_unasked(options: SinkOptions) -> None:
    """Refuse words about encoded video.

    Raises:
        SinkError: there are some.
    """
    names = ("codec", "encoder", "crf", "preset", "audio", "other_videos")
    given = [
        f"--{name.replace('_', '-')}" for name in names if getattr(options, name) != getattr(DEFAULTS, name)
    ]
    if given:
        raise SinkError(
            f"no output of this run codes video, so it has no use for {' and '.join(given)}; "
            "leave that out, or name a video file"
        )


def _check_server(address: str) -> None:
    """Refuse an address in which no server can be found.

    Raises:
        SinkError: it has a bracket without its other one, or a port that is no number.
    """
    try:
        _ = urlsplit(address).port
    except ValueError:  # it may quote the password
        raise SinkError(
            f"cannot write {redacted(address)}: this is no address of a server; "
            f"type {scheme_of(address)}://HOST:PORT/..., with [ ] around an IPv6 address"
        ) from None
