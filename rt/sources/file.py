"""Frames of a video file, with its exact times; its other streams are handed on as packets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.packet
import av.stream
import numpy as np

from rt.errors import DamagedSource, SourceError, nearest_file
from rt.frame import Frame, Rgb, Stored
from rt.media import (
    STILL_CODECS,
    TOLERANT,
    Chapter,
    Colour,
    FileInfo,
    Orientation,
    SideStreams,
    VideoFacts,
    known_code,
    known_matrix,
    local_name,
    rational,
    reason,
)
from rt.planes import Converter, Planes
from rt.sources.continuity import Continuity
from rt.sources.timeline import Timeline
from rt.sources.trim import Trim

_log = logging.getLogger(__name__)

_NOT_VIDEO = frozenset({"tty", "lavfi", "ffmetadata", "hls", "concat", "dash", "sdp", "rtsp"})
"""What FFmpeg opens as a stream of pictures but is text or a list of addresses."""
_TURNS = {
    270: (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30),
    180: (-1 << 16, 0, 0, 0, -1 << 16, 0, 0, 0, 1 << 30),
    90: (0, -1 << 16, 0, 1 << 16, 0, 0, 0, 0, 1 << 30),
}
"""Display matrices by the counter-clockwise degrees that FFmpeg reads from them."""
_MAX_FAILED_READS = 8
"""Unreadable places in a row after which the rest of a file is given up."""


class FileSource:
    """A video file, read from its first frame to its last, or a part of it.

    The constructor opens the file and decodes its first frame, so whatever makes it unusable is known before
    a model is loaded.

    Args:
        path: the file.
        start_s: seconds to leave out at its beginning; all times are counted from there.
        duration_s: seconds after which it ends; None for all there is.
        again: it was read before, and what is odd about it was said.

    Raises:
        SourceError: the file is missing, not a file, empty, not a video, has no frame that can be decoded, or
            ends before `start_s`.
    """

    live = False
    dropped = 0

    def __init__(
        self,
        path: str | Path,
        start_s: float = 0.0,
        duration_s: float | None = None,
        *,
        again: bool = False,
    ) -> None:
        self._path = Path(path)
        self._warn = _log.debug if again else _log.warning
        _check_file(self._path)
        self._lock = threading.Lock()
        self._closed = False
        self._started = False
        self._container = _open(self._path)
        try:
            self._stream = _choose_video(self._path, self._container, self._warn)
            self._trim = Trim(self._container, self._stream, start_s, duration_s)
            self._prepare()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in order, upright, all of the first frame's size.

        Raises:
            DamagedSource: after the last frame, where the file ends early or is damaged.
            RuntimeError: the source was iterated before.
        """
        if self._started:
            raise RuntimeError("a FileSource is iterated once")
        self._started = True
        if not self._side.wanted:
            self._side.drop()
        yield from self._frames()

    def close(self) -> None:
        """End the reading: a reader in another thread stops at the next packet. Works twice."""
        self._closed = True
        with self._lock:
            self._container.close()

    def _prepare(self) -> None:
        others = [stream for stream in self._container.streams if self._is_side_stream(stream)]
        chapters = self._trim.chapters(_chapters(self._container))
        self._side = SideStreams(others, chapters, self._container.metadata, self._stream.metadata)
        self._stream.thread_type = "AUTO"
        self._converter = Converter()
        self._timeline = Timeline(self._path, self._container, self._stream)
        self._continuity = Continuity(self._container)
        self._trim.seek(self._container, self._stream)
        self._before_start = 0  # frames decoded on the way to the start
        self._cut = False  # whether the end of the part was reached, before that of the file
        self._pictures = self._placed()
        self._first = next(self._pictures, None)
        if self._first is None:
            raise SourceError(f"cannot read {self._path}: {self._why_no_frame()}")
        self._describe(*self._first)

    def _is_side_stream(self, stream: av.stream.Stream) -> bool:
        return stream is not self._stream and stream.discard != av.stream.Discard.all

    def _why_no_frame(self) -> str:
        codec, size_bytes = _codec_name(self._stream), self._path.stat().st_size
        if self._before_start:
            return f"it ends before {float(self._trim.start_s):g} s; type a smaller --start"
        if self._timeline.failures:
            return f"none of its video frames ({codec}) can be decoded; the file is damaged"
        return (
            f"it has a {codec} header but no video frames ({size_bytes} bytes); a whole video file is needed"
        )

    def _describe(self, first: av.VideoFrame, first_pts: int) -> None:
        matrix = _display_matrix(first)
        self._orientation = Orientation.from_matrix(matrix)
        self._coded_size = (first.height, first.width)
        height, width = self._orientation.stored_size(first.height, first.width)  # its own inverse
        timeline, trim = self._timeline, self._trim
        count = timeline.frame_count(trim.start_s, trim.duration_s)
        video = VideoFacts(
            path=self._path,
            time_base=timeline.time_base,
            first_pts=first_pts - trim.shift(timeline.time_base),
            frame_rate=timeline.frame_rate,
            sample_aspect_ratio=rational(self._stream.sample_aspect_ratio),
            display_matrix=matrix,
            colour=Colour(
                matrix=known_matrix(int(first.colorspace), first.height),
                primaries=known_code(int(first.color_primaries)),
                transfer=known_code(int(first.color_trc)),
            ),
        )
        rate = timeline.frame_rate
        self.info = FileInfo(str(self._path), height, width, rate, count, video, self._side)

    def _frames(self) -> Iterator[Frame]:
        index, unit = 0, self._timeline.time_base
        shift = self._trim.shift(unit)
        while True:
            with self._lock:
                if self._closed:
                    return
                placed, self._first = self._first, None
                if placed is None:
                    placed = next(self._pictures, None)
                if placed is None:
                    break
                picture = self._picture(placed[0])
            yield Frame(picture, pts=placed[1] - shift, time_base=unit, index=index)
            index += 1
        self._finish()

    def _finish(self) -> None:
        """Say what was found once the last picture is delivered.

        Raises:
            DamagedSource: the file is not whole.
        """
        if self._closed:  # the pictures ended because of that: nothing is known of the rest
            return
        self._side.ended = True
        if mended := self._timeline.mended:
            self._warn("%s: %d time stamps were missing or not increasing and were moved", self._path, mended)
        if joins := self._continuity.joins:
            self._warn(
                "%s: its clock starts again %d time(s); the parts follow one another", self._path, joins
            )
        if damage := self._timeline.damage(self._trim.end_s if self._cut else None):
            raise DamagedSource(f"{self._path} {damage}")

    def _picture(self, decoded: av.VideoFrame) -> Rgb | Stored:
        """Return the picture as it is stored where it can stay so, else upright and as RGB."""
        matrix, size = known_matrix(int(decoded.colorspace), decoded.height), self._coded_size
        as_first = self._orientation == Orientation() and (decoded.height, decoded.width) == size
        if as_first and Planes.can_hold(decoded):
            return Planes(decoded, matrix, self._converter)
        try:
            rgb = self._converter.convert(decoded, size, matrix)
        except (av.error.FFmpegError, ValueError) as error:
            raise SourceError(
                f"cannot read {self._path}: its pixel format {decoded.format.name} cannot be turned into RGB "
                f"({reason(error)})"
            ) from None
        return self._orientation.upright(rgb)

    def _placed(self) -> Iterator[tuple[av.VideoFrame, int]]:
        """Yield the pictures of the part, each with its pts on the clock of the file."""
        for picture in self._decode_all():
            pts = self._timeline.place(picture)
            time_s = pts * self._timeline.time_base
            if self._trim.is_early(time_s):
                self._before_start += 1
            elif self._cut or self._trim.is_late(time_s):
                self._cut = True
                if not self._side.wanted:
                    return  # what follows is read for its sound alone
            else:
                self._timeline.count(picture, pts)
                yield picture, pts

    def _decode_all(self) -> Iterator[av.VideoFrame]:
        """Yield every picture that can be decoded, in order; put all other packets into the side streams."""
        for packet in self._packets():
            self._continuity.shift(packet)
            if packet.stream_index == self._stream.index:
                if self._trim.is_past(packet):
                    break
                yield from self._decode(packet)
            else:
                self._timeline.see(packet)
                if (self._side.wanted or not self._started) and self._trim.take(packet):
                    self._side.put(packet)
        yield from self._decode(None)

    def _packets(self) -> Iterator[av.packet.Packet[Any]]:
        """Yield every packet with content; go on behind unreadable places while anything follows."""
        demuxer, failed = self._container.demux(), 0
        while not self._closed:
            try:
                packet = next(demuxer, None)
            except av.error.FFmpegError as error:
                self._timeline.fail(error)
                demuxer, failed = self._container.demux(), failed + 1
                if failed == _MAX_FAILED_READS:
                    return
                continue
            if packet is None:
                return
            if packet.size:  # an empty packet is a repeated picture or the demuxer's sign of the end
                failed = 0
                yield packet

    def _decode(self, packet: av.packet.Packet[Any] | None) -> list[av.VideoFrame]:
        if packet is not None:
            self._timeline.see(packet)
        try:
            return self._stream.codec_context.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            self._timeline.fail(error)
            return []


def _check_file(path: Path) -> None:
    """Refuse what is not a readable file with content.

    Raises:
        SourceError: with what was found instead.
    """
    try:
        if not path.exists():
            raise SourceError(f"cannot read {path}: no such file{nearest_file(path)}")
        if not path.is_file():
            raise SourceError(f"cannot read {path}: it is not a regular file; a video file is needed")
        if path.stat().st_size == 0:
            raise SourceError(f"cannot read {path}: the file is empty (0 bytes); a video file is needed")
        with path.open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise SourceError(f"cannot read {path}: {reason(error)}") from None


def _open(path: Path) -> av.container.InputContainer:
    try:
        # A media file that names others (a play list) must not reach the network or other files.
        container: av.container.InputContainer = av.open(
            local_name(path), container_options={"protocol_whitelist": "file"}, **TOLERANT
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise SourceError(f"cannot read {path}: {_what_it_is(path, error)}; a video file is needed") from None
    if container.format.name in _NOT_VIDEO:
        container.close()
        raise SourceError(f"cannot read {path}: it is text, not a video; a video file is needed")
    return container


def _what_it_is(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    if b"\0" not in head and all(byte >= 9 for byte in head):
        return "it is text, not a video"
    if head[4:8] == b"ftyp":
        return "it is an mp4 without its index: cut short, or never finished"
    return f"it is not a video file ({reason(error)})"


def _choose_video(
    path: Path, container: av.container.InputContainer, warn: Callable[..., None]
) -> av.VideoStream:
    """Return the video stream a player would show: default first, then the largest, then the first.

    Raises:
        SourceError: there is none, or none that can be decoded.
    """
    still = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    moving = [stream for stream in container.streams.video if not stream.disposition & still]
    if not moving:
        raise SourceError(
            f"cannot read {path}: {_what_instead(container)}; a file with a video stream is needed"
        )
    known = [stream for stream in moving if stream.codec_context is not None]
    if not known:
        raise SourceError(f"cannot read {path}: its video codec is unknown to the built-in FFmpeg")
    chosen = max(known, key=_rank)
    if others := len(known) - 1:
        warn("%s has %d more video stream(s); stream %d is translated", path, others, chosen.index)
    return chosen


def _rank(stream: av.VideoStream) -> tuple[bool, bool, int]:
    """Return what makes a stream the video: it is no lone picture, it is marked, it is large."""
    alone = stream.codec_context.name in STILL_CODECS and stream.frames <= 1
    return not alone, bool(stream.disposition & av.stream.Disposition.default), stream.width * stream.height


def _what_instead(container: av.container.InputContainer) -> str:
    sound = [_codec_name(stream) for stream in container.streams.audio]
    if sound:
        return f"it holds only sound ({', '.join(sound)})"
    kinds = sorted({stream.type for stream in container.streams})
    if kinds:
        return f"it holds no video (only {', '.join(kinds)})"
    return f"it has a {container.format.name.split(',')[0]} header but no streams"


def _codec_name(stream: av.stream.Stream) -> str:
    return str(stream.codec_context.name) if stream.codec_context is not None else "unknown codec"


def _chapters(container: av.container.InputContainer) -> list[Chapter]:
    found = []
    for chapter in container.chapters():
        unit = rational(chapter["time_base"])
        if unit is not None:
            found.append(Chapter(chapter["start"] * unit, chapter["end"] * unit, chapter["metadata"]))
    return found


def _display_matrix(picture: av.VideoFrame) -> tuple[int, ...] | None:
    try:
        kept: Any = picture.side_data  # taken by place: iterated, PyAV 19 gives kinds, earlier ones the data
        entries = [kept[index] for index in range(len(kept))]
    except ValueError:  # it holds a kind that PyAV has no name for, such as the EXIF tags of a JPEG
        return _TURNS.get(picture.rotation % 360)
    for data in entries:
        if data.type.name == "DISPLAYMATRIX":
            return tuple(int(value) for value in np.frombuffer(data, dtype=np.int32, count=9))
    return None
