"""A span of a video file between two exact times."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np

from rt.errors import DamagedSource
from rt.frame import Frame, Rgb, Stored
from rt.media import packet_time
from rt.planes import Planes
from rt.sources.base import DEFAULTS, SourceOptions
from rt.sources.container import choose_video, open_container
from rt.sources.file import FileSource
from rt.sources.integrity import Integrity, missing_bytes
from rt.sources.trim import is_indexed, seek_keyframe

OVERLAP = 16
"""So many frames behind its end are decoded by a span: its neighbour must have found the very same."""


@dataclass(frozen=True)
class Span:
    """A part of a video, in units of its time base on the clock of the file."""

    begin: int | None = None
    """pts of its first frame; None: that of the file."""
    end: int | None = None
    """pts of the first frame behind it; None: it goes to the end of the file."""
    warm: int | None = None
    """Frames from here on are delivered before those of the span, for what remembers frames."""


@dataclass(frozen=True)
class Keyframes:
    """Where a video may be cut."""

    pts: tuple[int, ...]
    """Of every frame, in order."""
    keys: tuple[int, ...]
    """Of the keyframes, in order."""


class SpanSource(FileSource):
    """The frames of a span as the whole file has them: their times, and the facts of the file, are its own.

    What cannot be read from the middle of a file as from its beginning ends in `DamagedSource`: time stamps
    that are mended, interlaced frames, damage of any kind.

    Args:
        path: the file.
        span: what of it is delivered.
        options: what is done with interlaced frames; no part is asked for.
        again: it was read before, and what is odd about it was said.

    Raises:
        SourceError: see `FileSource`.
    """

    def __init__(
        self, path: str | Path, span: Span, options: SourceOptions = DEFAULTS, *, again: bool = False
    ) -> None:
        self.opening: list[str] = []
        """Digests of the first frames of the span, `OVERLAP` at most; none where it begins the file."""
        self.beyond: list[str] = []
        """Digests of the first frames behind it, once they all are delivered."""
        self._behind: list[av.VideoFrame] = []
        self._span = span
        self._at_span = False
        super().__init__(path, options=options, again=again)
        first = span.begin if span.warm is None else span.warm
        self._first = first
        self._at_span = True
        if first is not None:
            try:
                self._go_to(first)
            except BaseException:
                self.close()
                raise

    def is_warm_up(self, frame: Frame) -> bool:
        """Tell whether a frame is delivered for those behind it alone."""
        begin = self._span.begin
        return begin is not None and frame.pts + self._trim.shift(self._unit) < begin

    def _go_to(self, pts: int) -> None:
        """Begin anew at a time: the facts of the file stay, its account begins again."""
        stream = self._stream
        stream.codec_context.flush_buffers()
        self._timeline.restart()
        self._integrity = Integrity(self._path, self._container, stream, self._timeline)
        self._deinterlacer = self._new_deinterlacer()
        seek_keyframe(self._container, stream, pts)
        self._decoded = self._trimmed()

    def _trimmed(self) -> Iterator[av.VideoFrame]:
        span = self._span
        for frame in self._progressive():
            assert frame.pts is not None
            if self._at_span and self._first is not None and frame.pts < self._first:
                continue  # before it is at the span, the first frame of the file is wanted
            if span.end is not None and frame.pts >= span.end:
                self._cut = True
                self._behind.append(frame)
                if len(self._behind) == OVERLAP:
                    return
                continue
            self._integrity.count(frame, frame.pts * self._unit)
            if span.begin is not None and frame.pts >= span.begin and len(self.opening) < OVERLAP:
                self.opening.append(_digest(self._image(frame)))
            yield frame

    def _finish(self) -> None:
        if self._closed:
            return
        if self.deinterlaces:
            raise DamagedSource(f"{self._path} is interlaced")
        if self._timeline.mended:
            raise DamagedSource(f"{self._path} has time stamps that are missing or not increasing")
        end = self._span.end
        self.beyond = digests([self._image(frame) for frame in self._behind])
        if end is not None and not self._cut:
            raise DamagedSource(f"{self._path} has no frame at {end}")
        if damage := self._integrity.damage(None if end is None else end * self._unit):
            raise DamagedSource(f"{self._path} {damage}")


class SideReader(FileSource):
    """The other streams of a file alone: its frames are not decoded but for the first."""

    def read(self) -> Iterator[Fraction]:
        """Put the packets of the other streams where writers wait for them; yield the time of each of the
        video's in seconds.
        """
        shift_s = self._trim.shift(self._timeline.time_base) * self._timeline.time_base
        for packet in self._packets():
            self._continuity.shift(packet)
            if packet.stream_index != self._stream.index:
                if self._side.wanted and self._trim.take(packet):
                    self._side.put(packet)
            elif (time_s := packet_time(packet)) is not None:
                yield time_s - shift_s
        self._side.ended = True


def find_keyframes(path: Path) -> Keyframes | None:
    """Read the times of all frames of a file; None where it cannot be read from the middle.

    Raises:
        SourceError: it is no video file.
    """
    container = open_container(path)
    try:
        stream = choose_video(path, container, lambda *_: None)
        if not is_indexed(container) or missing_bytes(path):
            return None
        pts: list[int] = []
        keys: list[int] = []
        for packet in container.demux(stream):
            if not packet.size or packet.is_discard:
                continue
            if packet.pts is None or packet.is_corrupt:
                return None
            pts.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    except av.error.FFmpegError:
        return None
    finally:
        container.close()
    if len(set(pts)) < len(pts):
        return None
    return Keyframes(tuple(sorted(pts)), tuple(sorted(keys)))


def digests(images: Sequence[Rgb | Stored]) -> list[str]:
    """Return a short name for the very bytes of each image."""
    return [_digest(image) for image in images]


def _digest(image: Rgb | Stored) -> str:
    if isinstance(image, Planes):
        return image.digest()
    rgb = image if isinstance(image, np.ndarray) else image.rgb
    return hashlib.blake2b(rgb.tobytes(), digest_size=16).hexdigest()
