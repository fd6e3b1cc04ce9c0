"""Frames into a video file: H.264 at the exact times given, everything else of the source copied."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeVar

import av
import av.container
import av.error
import av.packet
from av.video.reformatter import Interpolation, VideoReformatter

from rt.errors import SinkError
from rt.frame import Frame
from rt.media import (
    RANGE_LIMITED,
    Colour,
    FrameStream,
    Orientation,
    VideoFacts,
    VideoFile,
    known_matrix,
    local_name,
    reason,
)
from rt.sinks.companions import CompanionCopy
from rt.sinks.part import PartFile

_log = logging.getLogger(__name__)

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""Suffix → FFmpeg's name of the container."""
ENCODER: Final = "libx264"
ENCODER_OPTIONS = {"preset": "veryfast", "crf": "18"}
_SCALING = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
_KEYFRAME_INTERVAL_S = 2
_FRAGMENT_S = 1
_MATROSKA_UNIT = Fraction(1, 1000)
_LIVE_UNIT = Fraction(1, 90000)
_MAX_TIMESCALE = (1 << 31) - 1

_T = TypeVar("_T")


class FileSink:
    """An H.264 file, written as `NAME.part` beside its target and renamed when whole.

    Frames of an even size are stored as 4:2:0, which everything plays; of an odd size as 4:4:4, the only
    H.264 that keeps such a size exactly (software players show it, some hardware players do not).
    The constructor does everything that can fail before the first frame: it checks the target, creates the
    part and writes its header.

    Args:
        path: the target; its suffix chooses the container: .mp4, .mov or .mkv.
        like: the source of the frames. Where it is a video file, time base, orientation, colour and pixel
            shape are taken from it, and its other streams, chapters and metadata are copied.
        overwrite: replace an existing target.
        size: (height, width) in pixels of the upright frames; that of `like` where not given.
        frame_rate: mean frames per second; that of `like` where not given.

    Raises:
        SinkError: the target cannot be written, exists, is the source itself, or cannot hold a stream.
    """

    def __init__(
        self,
        path: str | Path,
        like: FrameStream | None = None,
        *,
        overwrite: bool = False,
        size: tuple[int, int] | None = None,
        frame_rate: Fraction | None = None,
    ) -> None:
        self._path = Path(path)
        self._format = container_format(self._path)
        file = like if isinstance(like, VideoFile) else None
        size, frame_rate = _shape(like, size, frame_rate)
        self._size = size
        self._lock = threading.RLock()
        self._part: PartFile | None = PartFile(self._path, file.video.path if file else None, overwrite)
        try:
            self._open(file, frame_rate)
        except BaseException:
            self.abort()
            raise

    def write(self, frame: Frame) -> None:
        """Encode one frame.

        Raises:
            SinkError: the frame has another size, the sink is closed, or the file cannot be written; what
                was written is gone then.
        """
        with self._lock:
            if self._part is None:
                raise SinkError(f"cannot write {self._path}: it is closed")
            if frame.rgb.shape[:2] != self._size:
                found, wanted = frame.rgb.shape, self._size
                raise SinkError(
                    f"cannot write {self._path}: a frame of {found[1]}x{found[0]} came, "
                    f"the file was opened for {wanted[1]}x{wanted[0]}"
                )
            self._guarded(lambda: self._write(frame))

    def close(self) -> None:
        """Finish the file and give it its name; without a single frame, leave nothing. Works twice.

        Raises:
            SinkError: the file cannot be finished; nothing is left of it then.
        """
        with self._lock:
            if self._part is None:
                return
            if self._last_pts is None:
                _log.warning("no frame was written, so there is no %s", self._path)
                self.abort()
                return
            self._guarded(self._finish)
            self._part = None

    def abort(self) -> None:
        """End without a result and remove the part. Works twice; does nothing after `close`."""
        with self._lock:
            part, self._part = self._part, None
            if part is None:
                return
            try:
                container = getattr(self, "_container", None)
                if container is not None:
                    container.close()
            except (av.error.FFmpegError, OSError, ValueError) as error:
                _log.debug("the abandoned %s could not be finished: %s", self._path, error)
            finally:
                part.remove()

    def _open(self, file: VideoFile | None, frame_rate: Fraction) -> None:
        assert self._part is not None
        video = file.video if file else _plain_facts(self._path, self._size)
        self._orientation = Orientation.from_matrix(video.display_matrix)
        self._colour = video.colour
        self._companions = CompanionCopy(self._path, self._format, file.companions if file else None)
        self._companions.shift_s = (
            max(Fraction(0), -video.first_pts * video.time_base) if file else Fraction(0)
        )
        self._container = av.open(
            local_name(self._part.path),
            "w",
            format=self._format,
            container_options=self._container_options(video),
        )
        self._guarded(lambda: self._open_streams(video, frame_rate))

    def _open_streams(self, video: VideoFacts, frame_rate: Fraction) -> None:
        self._unit = _MATROSKA_UNIT if self._format == "matroska" else video.time_base
        height, width = self._orientation.stored_size(*self._size)
        gop = max(1, min(250, round(frame_rate * _KEYFRAME_INTERVAL_S)))
        stream = self._container.add_stream(
            ENCODER, rate=frame_rate, options={**ENCODER_OPTIONS, "g": str(gop)}
        )
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuv420p" if width % 2 == 0 and height % 2 == 0 else "yuv444p"
        context = stream.codec_context
        context.time_base = self._unit
        stream.time_base = self._unit
        context.colorspace, context.color_range = self._colour.matrix, RANGE_LIMITED
        context.color_primaries, context.color_trc = self._colour.primaries, self._colour.transfer
        if video.sample_aspect_ratio:
            context.sample_aspect_ratio = video.sample_aspect_ratio
        if video.display_matrix:
            stream.set_display_matrix(self._display_matrix(video))
        self._stream = stream
        self._reformatter = VideoReformatter()
        self._step = max(1, round(1 / frame_rate / self._unit))
        self._last_pts: int | None = None
        self._held: av.packet.Packet[av.VideoStream] | None = None
        self._moved = 0
        self._companions.open(self._container, stream)
        self._container.start_encoding()

    def _display_matrix(self, video: VideoFacts) -> tuple[int, ...]:
        assert video.display_matrix is not None
        if self._orientation == Orientation():
            return video.display_matrix
        return self._orientation.matrix(*self._size)

    def _container_options(self, video: VideoFacts) -> dict[str, str]:
        """Return the muxer's options: exact times, and a part that plays even after a kill."""
        if self._format == "matroska":
            return {"cluster_time_limit": str(_FRAGMENT_S * 1000), "flush_packets": "1"}
        units = [stream.time_base for stream in self._companions.templates if stream.time_base]
        return {
            "movflags": "+".join(["hybrid_fragmented", "delay_moov", *self._companions.movflags]),
            "frag_duration": str(_FRAGMENT_S * 1_000_000),
            "flush_packets": "1",
            "use_editlist": "1",
            "video_track_timescale": str(video.time_base.denominator),
            "movie_timescale": str(_common_timescale([video.time_base, *units])),
        }

    def _write(self, frame: Frame) -> None:
        picture = av.VideoFrame.from_numpy_buffer(self._orientation.stored(frame.rgb), "rgb24")
        picture = self._reformatter.reformat(
            picture,
            format=self._stream.pix_fmt,
            dst_colorspace=self._colour.scaler_matrix,
            dst_color_range=RANGE_LIMITED,
            interpolation=_SCALING,
        )
        picture.colorspace, picture.color_range = self._colour.matrix, RANGE_LIMITED
        picture.color_primaries, picture.color_trc = self._colour.primaries, self._colour.transfer
        picture.pts, picture.time_base = self._place(frame), self._unit
        picture.duration = self._step
        self._mux_video(self._stream.encode(picture))

    def _place(self, frame: Frame) -> int:
        """Return the frame's pts in the file's unit, later than the frame before."""
        pts = round((frame.pts * frame.time_base + self._companions.shift_s) / self._unit)
        if self._last_pts is not None and pts <= self._last_pts:
            pts = self._last_pts + 1
            self._moved += 1
        self._last_pts = pts
        return pts

    def _mux_video(self, packets: list[av.packet.Packet[av.VideoStream]]) -> None:
        # The duration of a packet is the distance to the next one. The mp4 muxer needs it where it ends a
        # fragment, so one packet is always held back until its successor is there.
        for packet in packets:
            held, self._held = self._held, packet
            if held is not None and held.dts is not None and packet.dts is not None:
                held.duration = packet.dts - held.dts
                self._container.mux_one(held)
                self._companions.write_until(packet.dts * self._unit)

    def _finish(self) -> None:
        assert self._part is not None
        assert self._last_pts is not None
        self._mux_video(self._stream.encode(None))
        if self._held is not None:
            self._container.mux_one(self._held)
            self._held = None
        self._companions.write_rest((self._last_pts + self._step) * self._unit)
        self._container.close()
        if self._moved:
            _log.warning("%s: %d frames were closer than its clock and were moved", self._path, self._moved)
        self._part.publish()

    def _guarded(self, action: Callable[[], _T]) -> _T:
        """Run a step of writing; whatever fails in it ends the file."""
        try:
            return action()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self.abort()
            raise SinkError(f"cannot write {self._path}: {reason(error)}") from None


def container_format(path: Path) -> str:
    """Return FFmpeg's name of the container that the suffix asks for.

    Raises:
        SinkError: the suffix is not one of `FORMATS`.
    """
    suffix = path.suffix.lower()
    if suffix in FORMATS:
        return FORMATS[suffix]
    known = ", ".join(FORMATS)
    if suffix == ".webm":
        better = path.with_suffix(".mkv")
        raise SinkError(f"cannot write {path}: WebM cannot hold H.264 video; type {better} instead")
    found = f"the suffix {suffix} is not known" if suffix else "it has no suffix"
    raise SinkError(f"cannot write {path}: {found}; a file name ending in one of {known} is needed")


def probe_encoder(name: str) -> str | None:
    """Encode one picture with the FFmpeg encoder `name`; None where it works, else the reason in words."""
    try:
        context = av.CodecContext.create(name, "w")
        if not isinstance(context, av.VideoCodecContext):
            return "it is not a video encoder"
        context.width, context.height, context.pix_fmt = 256, 256, "yuv420p"
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        picture = av.VideoFrame(256, 256, "yuv420p")
        for plane in picture.planes:
            plane.update(bytes(plane.buffer_size))
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        size_bytes = sum(packet.size for packet in [*context.encode(picture), *context.encode(None)])
    except (av.error.FFmpegError, ValueError, OSError) as error:
        return reason(error)
    return None if size_bytes else "it gave no data"


def _shape(
    like: FrameStream | None, size: tuple[int, int] | None, frame_rate: Fraction | None
) -> tuple[tuple[int, int], Fraction]:
    if size is None:
        if like is None:
            raise ValueError("a FileSink needs a size, or a source to take it from")
        size = (like.info.height, like.info.width)
    if frame_rate is None and like is not None:
        frame_rate = like.info.frame_rate
    return size, frame_rate or Fraction(25)


def _plain_facts(path: Path, size: tuple[int, int]) -> VideoFacts:
    return VideoFacts(path, _LIVE_UNIT, 0, None, None, None, Colour(known_matrix(0, size[0])))


def _common_timescale(units: list[Fraction]) -> int:
    """Return the ticks per second in which every one of `units` is whole, as far as mp4 can count."""
    scale = 1
    for unit in units:
        common = math.lcm(scale, unit.denominator)
        if common > _MAX_TIMESCALE:
            break
        scale = common
    return scale
