"""Frames of a video file at their exact times."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.error
import av.packet
import av.stream
from av.video.reformatter import VideoReformatter

from rt.captions import Captions, has_captions
from rt.errors import DamagedSource, SourceError
from rt.frame import Frame, Rgb, Stored
from rt.hdr import TRANSFERS, Hdr
from rt.media import (
    Colour,
    FileInfo,
    Orientation,
    SideStreams,
    VideoFacts,
    known_code,
    known_matrix,
    rational,
    reason,
)
from rt.planes import FORMAT, Converter, Planes
from rt.sources.base import DEFAULTS, SourceOptions
from rt.sources.container import (
    check_file,
    choose_video,
    codec_name,
    display_matrix,
    open_container,
    read_chapters,
)
from rt.sources.continuity import Continuity
from rt.sources.deinterlace import Deinterlacer
from rt.sources.integrity import Integrity
from rt.sources.timeline import READ_AHEAD, Timeline
from rt.sources.trim import Trim

_log = logging.getLogger(__name__)

_HIGH_RANGE = (
    "HDR ({}) in 8 bits, not tone mapped: video files keep its tags; images, windows and streams look pale"
)
_MAX_FAILED_READS = 8
"""Unreadable places in a row after which the rest of a file is given up."""


class FileSource:
    """A video file, read from its first frame to its last, or a part of it.

    The constructor opens the file and decodes its first frame, so whatever makes it unusable is known before
    a model is loaded. Its other streams are handed on as packets.

    Args:
        path: the file.
        start_s: seconds to leave out at its beginning; all times are counted from there.
        duration_s: seconds after which it ends; None for all there is.
        options: whether its clock is kept, and what is done with interlaced frames.
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
        options: SourceOptions = DEFAULTS,
        again: bool = False,
    ) -> None:
        self._path = Path(path)
        self._options = options
        self._again = again
        self._warn = _log.debug if again else _log.warning
        check_file(self._path)
        self._lock = threading.Lock()
        self._closed = False
        self._started = False
        self._container = open_container(self._path)
        try:
            self._stream = choose_video(self._path, self._container, self._warn)
            self._prepare(start_s, duration_s)
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

    def _prepare(self, start_s: float, duration_s: float | None) -> None:
        container, stream = self._container, self._stream
        others = [other for other in container.streams if self._is_side_stream(other)]
        self._timeline = Timeline(container, stream, others)
        self._trim = Trim(
            container, stream, self._timeline.origin_s, start_s, duration_s, self._options.keep_clock
        )
        chapters = self._trim.chapters(read_chapters(container))
        self._side = SideStreams(others, chapters, container.metadata, stream.metadata)
        stream.thread_type = "AUTO"
        self._converter = Converter()
        self._carrying = VideoReformatter()
        self._integrity = Integrity(self._path, container, stream, self._timeline)
        self._continuity = Continuity(container)
        self._deinterlacer = self._new_deinterlacer()
        self._trim.seek(container, stream)
        self._before_start = 0  # frames decoded on the way to the start
        self._cut = False  # whether the end of the part was reached, before that of the file
        self._read_first()

    @property
    def deinterlaces(self) -> bool:
        """Whether interlaced frames have come, and are made progressive."""
        return self._deinterlacer is not None and self._deinterlacer.active

    def _is_side_stream(self, stream: av.stream.Stream) -> bool:
        return stream is not self._stream and stream.discard != av.stream.Discard.all

    def _new_deinterlacer(self) -> Deinterlacer | None:
        if self._options.interlaced == "keep":
            return None
        return Deinterlacer(self._timeline.time_base, self._options.fields)

    def _read_first(self) -> None:
        """Decode the first frame, and as many as the frame rate needs to be told by.

        Raises:
            SourceError: there is none.
        """
        decoded = self._trimmed()
        first = next(decoded, None)
        if first is None:
            raise SourceError(f"cannot read {self._path}: {self._why_no_frame()}")
        ahead = [first]
        if not self._timeline.is_rate_plausible:
            ahead += itertools.islice(decoded, READ_AHEAD - 1)
            self._timeline.check_rate([frame.pts * self._unit for frame in ahead if frame.pts is not None])
        self._decoded: Iterator[av.VideoFrame] = itertools.chain(ahead, decoded)
        self._describe(first)

    @property
    def _unit(self) -> Any:
        """Seconds per unit of the pts of the frames that are delivered."""
        return self._timeline.time_base if self._deinterlacer is None else self._deinterlacer.time_base

    def _why_no_frame(self) -> str:
        codec, size_bytes = codec_name(self._stream), self._path.stat().st_size
        if self._before_start:
            return f"it ends before {float(self._trim.start_s):g} s; type a smaller --start"
        if self._integrity.failures:
            return f"none of its video frames ({codec}) can be decoded; the file is damaged"
        return (
            f"it has a {codec} header but no video frames ({size_bytes} bytes); a whole video file is needed"
        )

    def _describe(self, first: av.VideoFrame) -> None:
        matrix = display_matrix(first)
        self._orientation = Orientation.from_matrix(matrix)
        self._coded_size = (first.height, first.width)
        height, width = self._orientation.stored_size(first.height, first.width)  # its own inverse
        assert first.pts is not None
        rate, count = self._timeline.frame_rate, self._trim.frame_count(self._integrity)
        if self._trim.start_s and rate:
            self._side.frames_before = round((first.pts * self._unit - self._timeline.begin_s) * rate)
        if self._options.fields and self.deinterlaces:
            rate, count = rate and 2 * rate, count and 2 * count
        colour = Colour(
            matrix=known_matrix(int(first.colorspace), first.height),
            primaries=known_code(int(first.color_primaries)),
            transfer=known_code(int(first.color_trc)),
        )
        if not self._again and colour.transfer in TRANSFERS:
            _log.info("%s: %s", self._path, _HIGH_RANGE.format(TRANSFERS[colour.transfer]))
        video = VideoFacts(
            path=self._path,
            time_base=self._unit,
            first_pts=first.pts - self._trim.shift(self._unit),
            frame_rate=rate,
            sample_aspect_ratio=rational(self._stream.sample_aspect_ratio),
            display_matrix=matrix,
            colour=colour,
            hdr=Hdr.beside(first),
        )
        stays = self._orientation == Orientation() and Planes.can_hold(first)
        self.info = FileInfo(
            *(str(self._path), height, width, rate, count, video, self._side),
            frame_format=FORMAT if stays else "rgb24",
        )

    def _frames(self) -> Iterator[Frame]:
        index, unit = 0, self._unit
        shift = self._trim.shift(unit)
        while True:
            with self._lock:
                if self._closed:
                    return
                decoded = next(self._decoded, None)
                if decoded is None:
                    break
                assert decoded.pts is not None
                image = self._image(decoded)
            yield Frame(image, decoded.pts - shift, unit, index, captions=self._captions(decoded))
            index += 1
        self._finish()

    def _finish(self) -> None:
        """Say what was found once the last frame is delivered.

        Raises:
            DamagedSource: the file is not whole.
        """
        if self._closed:  # the frames ended because of that: nothing is known of the rest
            return
        self._side.ended = True
        if mended := self._timeline.mended:
            self._warn("%s: %d time stamps were missing or not increasing and were moved", self._path, mended)
        if joins := self._continuity.joins:
            self._warn(
                "%s: its clock starts again %d time(s); the parts follow one another", self._path, joins
            )
        if damage := self._integrity.damage(self._trim.end_s if self._cut else None):
            raise DamagedSource(f"{self._path} {damage}")

    def _image(self, decoded: av.VideoFrame) -> Rgb | Stored:
        """Return the image as it is stored where it can stay so, else upright and as RGB."""
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

    def _captions(self, decoded: av.VideoFrame) -> Captions | None:
        """Return the closed captions beside a frame; both fields of a frame have the same, once."""
        second = self._deinterlacer is not None and self._deinterlacer.is_second_field(decoded)
        if second or not has_captions(decoded):
            return None
        return Captions(decoded, self._carrying)

    def _trimmed(self) -> Iterator[av.VideoFrame]:
        """Yield the frames of the part, their pts on the clock of the file."""
        for frame in self._progressive():
            assert frame.pts is not None
            time_s = frame.pts * self._unit
            if self._trim.is_early(time_s):
                self._before_start += 1
            elif self._cut or self._trim.is_late(time_s):
                self._cut = True
                if not self._side.wanted:
                    return  # what follows is read for its audio alone
            else:
                self._integrity.count(frame, time_s)
                yield frame

    def _progressive(self) -> Iterator[av.VideoFrame]:
        """Yield the decoded frames at their places in time, deinterlaced unless they are to be kept."""
        said = self._again
        for frame in self._decode_all():
            frame.pts = self._timeline.place(frame)
            if frame.interlaced_frame and not said:
                said = True
                _log.info("%s: %s", self._path, self._options.on_interlaced)
            yield from [frame] if self._deinterlacer is None else self._deinterlacer.push(frame)
        if self._deinterlacer is not None:
            yield from self._deinterlacer.flush()

    def _decode_all(self) -> Iterator[av.VideoFrame]:
        """Yield every frame that can be decoded, in order; put all other packets into the side streams."""
        for packet in self._packets():
            self._continuity.shift(packet)
            if packet.stream_index == self._stream.index:
                if self._trim.is_past(packet):
                    break
                yield from self._decode(packet)
            else:
                self._integrity.see(packet)
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
                self._integrity.fail(error)
                demuxer, failed = self._container.demux(), failed + 1
                if failed == _MAX_FAILED_READS:
                    return
                continue
            if packet is None:
                return
            if packet.size:  # an empty packet is a repeated frame or the demuxer's sign of the end
                failed = 0
                yield packet

    def _decode(self, packet: av.packet.Packet[Any] | None) -> list[av.VideoFrame]:
        if packet is not None:
            self._integrity.see(packet)
            self._timeline.see(packet)
        try:
            decoded = self._stream.codec_context.decode(packet)
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            self._integrity.fail(error)
            self._timeline.fail()
            return []
        for frame in decoded:
            self._integrity.saw_frame(frame)
        return decoded
