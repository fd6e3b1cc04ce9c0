"""Live streams over the network."""

from __future__ import annotations

import errno
import logging
import math
import shlex
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import av.container
import av.error
import av.packet
from av.video.reformatter import VideoReformatter

from rt.address import without_secrets
from rt.captions import has_captions
from rt.errors import SourceError
from rt.frame import Rgb
from rt.media import TOLERANT, known_matrix, rational, reason
from rt.pacing import Pace
from rt.planes import as_rgb
from rt.sources.audio_feed import AudioSide
from rt.sources.base import DEFAULTS, Source, SourceOptions, refuse_options
from rt.sources.deinterlace import Deinterlacer
from rt.sources.live import Granted, LiveSource
from rt.sources.timeline import stated_rate

_log = logging.getLogger(__name__)

_DEINTERLACED = "interlaced; deinterlaced, one frame each; --interlaced keep leaves them as they are"
_KEPT = "interlaced frames are kept as they are: combed where something moves"
_NO_CAPTIONS = "its closed captions are left out: only those of files are kept"
_UNIT = Fraction(1, 90000)
OPEN_S = 3.0
"""Seconds until a server that does not answer is given up."""
READ_S = 2.0
"""Seconds without a byte until a stream is given up: as long as its last frame counts as fresh."""
# Not "nobuffer": it throws away what was read to find the video, its first keyframe too.
_LOW_DELAY = {"flags": "low_delay", "analyzeduration": "1000000"}
_OF_SCHEME = {
    "rtsp": {"rtsp_flags": "prefer_tcp"},  # over UDP, lost packets are smeared frames
    "rtsps": {"rtsp_flags": "prefer_tcp"},
    "udp": {"overrun_nonfatal": "1", "fifo_size": "20000"},
}
_IN_PIECES = frozenset({"hls", "dash"})
"""What comes in pieces of several seconds: shown at its own pace, not all at once."""
_MAX_FAILURES = 50
"""Packets in a row that cannot be decoded, until the stream is opened again."""
_LATE_S = 1.0
"""A piece that comes so late starts the pace again."""
_EARLY_S = 60.0
"""So does one whose time is so far ahead."""


def open_stream(address: str, options: SourceOptions) -> Source:
    """Open `rtsp://`, `rtmp://`, `http://`, `https://`, `tcp://` or `udp://` and wait for the first frame.

    Raises:
        SourceError: nobody answers, or what comes is not a live video.
    """
    refuse_options(options, without_secrets(address), "a live stream", ("duration_s", "interlaced"))
    return LiveSource(StreamGrabber(address, options=options), options.duration_s)


class StreamGrabber:
    """Frames of a stream, decoded one by one.

    FFmpeg cannot be woken while it waits for the network, so every wait has its limit: `open_s` for an
    answer, `read_s` between two packets.
    """

    noisy = False
    ends_stalls = True

    def __init__(
        self,
        address: str,
        open_s: float = OPEN_S,
        read_s: float = READ_S,
        options: SourceOptions = DEFAULTS,
    ) -> None:
        self.name = without_secrets(address)
        self._address = address
        self._options = options
        self._limits_s = (open_s, read_s)
        self._interrupted = threading.Event()
        self._container: av.container.InputContainer | None = None
        self._decoder: Decoder | None = None
        self._pace: Pace | None = None
        self._side = AudioSide()

    def open(self) -> Granted:
        """Connect, and find the video.

        Raises:
            SourceError: nobody answers, or there is no video.
        """
        self._interrupted.clear()
        scheme = self._address.partition("://")[0].lower()
        begun_s = time.monotonic()
        try:
            self._container = av.open(
                self._address,
                timeout=self._limits_s,
                container_options={**_LOW_DELAY, **_OF_SCHEME.get(scheme, {})},
                **TOLERANT,
            )
        except (av.error.FFmpegError, ValueError) as error:
            late = time.monotonic() - begun_s >= self._limits_s[0]  # not every protocol tells it apart
            why = f"no answer in {self._limits_s[0]:g} s" if late else self._why(error)
            raise SourceError(f"cannot read {self.name}: {why}") from None
        self._refuse_recording(scheme, self._container)
        limit_s = self._limits_s[1]
        self._decoder = Decoder(self.name, self._container, limit_s, self._options, self._side)
        self._pace = Pace(_LATE_S, _EARLY_S) if self._container.format.name in _IN_PIECES else None
        return self._decoder.granted()

    def read(self) -> Rgb:
        """Return the next frame.

        Raises:
            SourceError: the stream ended, nothing came in time, or nothing can be decoded.
        """
        if self._decoder is None:
            raise SourceError(f"cannot read {self.name}: it is not open")
        try:
            image = self._decoder.next_frame(self._interrupted)
        except av.error.FFmpegError as error:
            raise SourceError(f"cannot read {self.name}: {self._why(error)}") from None
        if image is None:
            raise SourceError(f"cannot read {self.name}: the stream ended")
        if self._pace is not None and image.pts is not None:
            self._interrupted.wait(self._pace.wait_s(image.time))
        self._decoder.place(image)
        return self._decoder.rgb(image)

    def interrupt(self) -> None:
        """End a wait of ours, or the next step behind one of FFmpeg's."""
        self._interrupted.set()

    def close(self) -> None:
        """Hang up."""
        if self._decoder is not None:
            self._decoder.end()
        if self._container is not None:
            self._container.close()
        self._container = self._decoder = None

    def _refuse_recording(self, scheme: str, container: av.container.InputContainer) -> None:
        duration = container.duration or 0
        if scheme in ("http", "https") and duration > 0:
            raise SourceError(
                f"cannot read {self.name}: it is a recording of {duration / av.time_base:.1f} s, not a live "
                f"stream; download it and type the name of the file: {self._download(container.format.name)}"
            )

    def _download(self, format_name: str) -> str:
        """Return what to type to have a recording as a file."""
        hidden = self.name != self._address
        url = "'URL'" if hidden else shlex.quote(self._address)
        # curl would fetch the list of the pieces alone
        command = f"ffmpeg -i {url} -c copy x.mkv" if format_name in _IN_PIECES else f"curl -LO {url}"
        note = " (URL is the address as you typed it; it may hold a password and is not shown)"
        return command + note * hidden

    def _why(self, error: Exception) -> str:
        scheme = self._address.partition("://")[0]
        if isinstance(error, av.error.ProtocolNotFoundError):
            return f"the built-in FFmpeg has no {scheme}://; send it as rtsp://, rtmp:// or tcp://"
        if isinstance(error, av.error.ExitError):
            return f"nothing came for {self._limits_s[1]:g} s"
        if isinstance(error, av.error.InvalidDataError):
            return "what comes is not a video"
        if isinstance(error, OSError) and error.errno == errno.EIO:
            unknown = "there is no such server, or it does not talk this way (input/output error)"
            return unknown if self._container is None else "the connection was lost"
        return reason(error)


class Decoder:
    """The frames of an open container, each as soon as it can be had.

    Interlaced ones are deinterlaced, which takes the following frame.

    Args:
        name: what the user calls it.
        container: from its beginning.
        limit_s: seconds without a packet of the video until it is given up, where audio alone goes on.
        options: what is done with interlaced frames.
        side: where audio goes; None: it is left out.
    """

    def __init__(
        self,
        name: str,
        container: av.container.InputContainer,
        limit_s: float = math.inf,
        options: SourceOptions = DEFAULTS,
        side: AudioSide | None = None,
    ) -> None:
        if not container.streams.video:
            raise SourceError(f"cannot read {name}: there is no video in it")
        self._name = name
        self._stream = container.streams.video[0]
        self._stream.thread_type = "SLICE"  # threads by frames would hold frames back
        self._limit_s = limit_s
        self._side = side or AudioSide()
        self._feed = self._side.open(container)
        # Of every stream: within PyAV, a wait behind packets of other streams could not be interrupted.
        self._packets: Iterator[av.packet.Packet[Any]] = container.demux()
        self._waiting: list[av.VideoFrame] = []
        self._reformatter = VideoReformatter()
        keep = options.interlaced == "keep"
        self._deinterlacer = None if keep else Deinterlacer(rational(self._stream.time_base) or _UNIT)
        self._unsaid = {_KEPT if keep else _DEINTERLACED, _NO_CAPTIONS}

    def granted(self) -> Granted:
        """Return what is known before the first frame."""
        codec = self._stream.codec_context.name
        rate = stated_rate(self._stream)
        words = f"{float(rate):.3g} fps, " if rate else ""
        audio = self._side.audio
        heard = f", audio {audio.name}" if audio is not None else ""
        return Granted(f"{words}{codec}{heard}", rate, audio, None if audio is None else self._side.clock)

    def place(self, image: av.VideoFrame) -> None:
        """Find where a frame belongs on the clock of the run, and with it the audio up to its time."""
        if self._side.audio is None:
            return
        now_s = time.perf_counter()
        self._side.clock.frame(None if image.pts is None else image.time, now_s)
        if self._feed is not None:
            self._feed.release(now_s)

    def end(self) -> None:
        """Let go of what waits: the connection is over."""
        if self._feed is not None:
            self._feed.end()

    def next_frame(self, interrupted: threading.Event) -> av.VideoFrame | None:
        """Wait for the next whole frame; None where the stream ended.

        Raises:
            SourceError: interrupted, nothing can be decoded, or the video stopped while audio goes on.
            av.error.FFmpegError: the network failed.
        """
        failures = 0
        until_s = time.monotonic() + self._limit_s
        while not self._waiting:
            packet = next(self._packets, None)
            if packet is None:
                self._waiting = [] if self._deinterlacer is None else self._deinterlacer.flush()
                return self._waiting.pop(0) if self._waiting else None
            if interrupted.is_set():  # what FFmpeg still had when it gave up is no sign of life
                raise SourceError(f"cannot read {self._name}: interrupted")
            # Of its stream: what ends a stream has no index of its own.
            if packet.stream.index != self._stream.index:
                if time.monotonic() > until_s:
                    raise SourceError(
                        f"cannot read {self._name}: no frame for {self._limit_s:g} s, only audio"
                    )
                if self._feed is not None and packet.stream.index == self._feed.index:
                    self._feed.push(packet, time.perf_counter())
                continue
            try:
                decoded = self._stream.decode(packet)
            except av.error.InvalidDataError as error:
                _log.debug("%s: %s", self._name, error)
                failures += 1
                if failures == _MAX_FAILURES:
                    raise SourceError(f"cannot read {self._name}: its frames are damaged") from None
                continue
            for frame in decoded:
                if not frame.is_corrupt:
                    self._waiting += self._progressive(frame)
        return self._waiting.pop(0)

    def _progressive(self, frame: av.VideoFrame) -> list[av.VideoFrame]:
        """Return what is done of a decoded frame and those before; say once what becomes of it."""
        if self._unsaid:
            if frame.interlaced_frame:
                self._say(_KEPT if self._deinterlacer is None else _DEINTERLACED)
            if has_captions(frame):
                self._say(_NO_CAPTIONS)
        return [frame] if self._deinterlacer is None else self._deinterlacer.push(frame)

    def _say(self, text: str) -> None:
        if text in self._unsaid:
            self._unsaid.discard(text)
            _log.info("%s: %s", self._name, text)

    def rgb(self, image: av.VideoFrame) -> Rgb:
        """Return a frame as uint8[H, W, 3] RGB.

        Raises:
            SourceError: its pixel format is unknown.
        """
        matrix = known_matrix(int(image.colorspace), image.height)
        try:
            return as_rgb(image, self._reformatter, (image.height, image.width), matrix)
        except (av.error.FFmpegError, ValueError) as error:
            raise SourceError(
                f"cannot read {self._name}: its pixel format {image.format.name} cannot be turned into RGB "
                f"({reason(error)})"
            ) from None
