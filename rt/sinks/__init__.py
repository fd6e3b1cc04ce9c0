"""Where frames go: the address chooses the sink."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from rt.errors import SinkError
from rt.sinks.base import DEFAULTS, Sink, SinkClosed, SinkOptions, Size, rate_of, redacted, scheme_of
from rt.sinks.kinds import (
    ANIMATION,
    ANIMATION_SUFFIXES,
    IMAGE_SUFFIXES,
    IMAGES,
    KINDS,
    VIDEO_FILE,
    WINDOW,
    Kind,
    Wanted,
    heard_audio,
    kind_of,
)

if TYPE_CHECKING:  # help reads the table of kinds: nothing heavy is loaded for it
    from rt.controls import Controls
    from rt.frame import SourceInfo
    from rt.sinks.several import SinkThread

__all__ = [
    "ANIMATION_SUFFIXES",
    "DEFAULTS",
    "IMAGE_SUFFIXES",
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
    return kind_of(address).open(Wanted(address, like, options, size, frame_rate))


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
    recordable: bool = False,
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
        recordable: recordings can be begun without a window too.

    Raises:
        SinkError: one of them cannot be written, or nothing of the run is encoded as was asked; nothing is
            left behind of the others.
    """
    if not addresses and window is None and record is None:
        raise ValueError("a run needs an output or a window")
    if record is not None and not live:
        raise SinkError("a recorded source is not recorded again: name OUTPUT instead of --record")
    recorded = live and (record is not None or (controls is not None and (window is not None or recordable)))
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
    if (audio := heard_audio(like, options)) is not None:
        asked = [*([] if window is None else [WINDOW]), *addresses]
        by_key = [] if record is not None or not recorded else ["recordings begun with r"]
        _say_audio(audio.name, asked, [*([] if record is None else [record]), *by_key])
    if options.audio != "none":
        _say_audio_of_file(like, addresses)
    return _as_one(outputs, live, window, controls)


def _say_audio(name_of_audio: str, addresses: Sequence[str], recordings: Sequence[str]) -> None:
    """Say once where live audio goes, and where nothing is heard of it."""
    named = [(redacted(address) if scheme_of(address) else address) for address in addresses]
    carries = [kind_of(address).encodes for address in addresses]
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


def _say_audio_of_file(like: SourceInfo | None, addresses: Sequence[str]) -> None:
    """Say once which servers and virtual cameras do not get the audio of a file."""
    from rt.media import FileInfo

    if not isinstance(like, FileInfo) or all(stream.type != "audio" for stream in like.side.streams):
        return
    silent = [
        redacted(address) for address in addresses if kind_of(address).shown_live and scheme_of(address)
    ]
    if silent:
        _log.warning(
            "%s: its audio does not go to %s, only that of live sources", like.name, ", ".join(silent)
        )


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
        kind = kind_of(address)
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
            audio=heard_audio(self._like, self._options),
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


def _may_encode(address: str) -> bool:
    """Tell whether an output encodes video; one that does not exist is refused where it is opened."""
    try:
        return kind_of(address).encodes
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
