"""Frames into a video file, at their exact times, with the source's other streams."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TypeVar

import av
import av.container
import av.error

from rt.audio import Samples
from rt.errors import SinkError
from rt.frame import Frame, SourceInfo
from rt.media import FileInfo, VideoFacts, rational, reason
from rt.mp4 import cut_to_whole_fragments
from rt.scheduling import scheduling_kept
from rt.sinks.audio import CODEC_OF
from rt.sinks.base import DEFAULTS, SinkOptions, closed, rate_of, size_of
from rt.sinks.encoder import CODECS, choose_encoder
from rt.sinks.live_track import LiveTrack
from rt.sinks.passthrough import Passthrough
from rt.sinks.target import PartFile
from rt.sinks.track import VideoTrack, plain_facts
from rt.text import width_x_height

_log = logging.getLogger(__name__)

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffix → FFmpeg's name of the container."""
_MATROSKA = ("matroska", "webm")
_FRAGMENT_S = 1
"""A killed run loses this much at the end, and what the encoder still held."""
_MATROSKA_UNIT = Fraction(1, 1000)
_MATROSKA_EARLIEST_S = -30
"""Matroska counts down to 32.7 s before zero."""
_MAX_TIMESCALE = (1 << 31) - 1

_T = TypeVar("_T")


class FileSink:
    """A video file, written as `NAME.part` beside its target and renamed when whole.

    Frames of an even size are stored as 4:2:0, which everything plays; of an odd size, unless as AV1, as
    4:4:4, which alone keeps such a size exactly (software players show it, some hardware players do not).
    The constructor does everything that can fail before the first frame: it checks the target, creates the
    part and writes its header.

    Args:
        path: the target; its suffix chooses the container, see `FORMATS`.
        like: the source of the frames. Where it is a video file, time base, orientation, colour and pixel
            shape are taken from it, and its other streams, chapters and metadata are copied.
        options: how video is coded, and whether an existing target is replaced.
        size: (height, width) in pixels of the upright frames; that of `like` where not given.
        frame_rate: mean frames per second; that of `like` where not given.
        salvage: where writing fails, keep what was written before under the name of the target.
        channels: of the audio that `write_audio` is given; 0 for none.

    Raises:
        SinkError: the target cannot be written, exists, is the source itself, or cannot hold a stream.
    """

    def __init__(
        self,
        path: str | Path,
        like: SourceInfo | None = None,
        options: SinkOptions = DEFAULTS,
        *,
        size: tuple[int, int] | None = None,
        frame_rate: Fraction | None = None,
        salvage: bool = False,
        channels: int = 0,
    ) -> None:
        self._salvage = salvage
        self._channels = channels
        self._audio: LiveTrack | None = None
        self._written = False
        self._lock = threading.RLock()
        self._part: PartFile | None = None
        self._container: av.container.OutputContainer | None = None
        self._path = Path(path)
        self._format = container_format(self._path, options.codec)
        file = like if isinstance(like, FileInfo) else None
        self._size, frame_rate = size_of(like, size), rate_of(like, frame_rate)
        self._encoder = choose_encoder(options, self._size, frame_rate)
        self._part = PartFile(self._path, file.video.path if file else None, options.overwrite)
        try:
            self._guarded(lambda: self._open(file, options, frame_rate))
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
                raise closed(self._path)
            if frame.size != self._size:
                found, wanted = frame.size, self._size
                raise SinkError(
                    f"cannot write {self._path}: a frame of {width_x_height(found)} came, "
                    f"the file was opened for {width_x_height(wanted)}"
                )
            self._guarded(lambda: self._write(frame))

    def write_audio(self, samples: Samples) -> None:
        """Encode float32[C, N], the live audio that follows what was written; the first sample is at zero.

        Raises:
            SinkError: as for frames.
        """
        with self._lock:
            if self._part is None:
                raise closed(self._path)
            assert self._audio is not None
            self._guarded(partial(self._audio.write, samples))

    def close(self) -> None:
        """Finish the file and give it its name; without a single frame, leave nothing. Works twice.

        Raises:
            SinkError: the file cannot be finished; nothing is left of it then.
        """
        with self._lock:
            if self._part is None:
                return
            if self._track.empty:
                _log.warning("no frame was written, so there is no %s", self._path)
                self.abort()
                return
            self._guarded(self._finish)
            part, self._part = self._part, None
            part.publish()

    def abort(self) -> None:
        """End without a result and remove the part. Works twice; does nothing after `close`."""
        with self._lock:
            if (part := self._give_up()) is not None:
                part.remove()

    def _give_up(self) -> PartFile | None:
        """Let go of the part as it is, and return it."""
        part, self._part = self._part, None
        if part is not None:
            part.file.close()  # first: with its file closed, the container does not try to finish it
            container, self._container = self._container, None
            if container is not None:
                container.close()
            self._let_go_of_source()
        return part

    def _let_go_of_source(self) -> None:
        if (side := getattr(self, "_side", None)) is not None:
            side.close()

    def __del__(self) -> None:
        if getattr(self, "_part", None) is not None:
            self.abort()

    def _open(self, file: FileInfo | None, options: SinkOptions, frame_rate: Fraction) -> None:
        assert self._part is not None
        video = file.video if file else plain_facts(self._path, self._size)
        side, source = (file.side, video.path) if file else (None, None)
        self._side = Passthrough(self._path, self._format, side, source, options, frame_rate)
        self._side.shift_s = shift_of(self._format, video, self._side.starts_s)
        self._container = av.open(
            self._part.file, "w", format=self._format, container_options=self._container_options(video)
        )
        self._unit = unit_of(self._format, video)
        self._track = VideoTrack(self._container, video, self._size, frame_rate, self._unit, self._encoder)
        self._side.open(self._container, self._track.stream)
        if self._channels:
            codec = CODEC_OF.get(self._format, "aac")
            self._audio = LiveTrack(self._container, self._channels, codec)
        with scheduling_kept():
            self._container.start_encoding()

    def _container_options(self, video: VideoFacts) -> dict[str, str]:
        """Return the muxer's options: exact times, and a part that plays even after a kill."""
        if self._format in _MATROSKA:
            return {
                "cluster_time_limit": str(_FRAGMENT_S * 1000),
                "flush_packets": "1",
                "avoid_negative_ts": "disabled",
            }
        units = [unit for stream in self._side.templates if (unit := rational(stream.time_base))]
        options = {
            "use_editlist": "1",
            "video_track_timescale": str(video.time_base.denominator),
            "movie_timescale": str(_common_timescale([video.time_base, *units])),
        }
        flags = self._side.movflags
        if not self._side.has_cover:  # in fragments the muxer gives a cover image an empty track
            flags = ["hybrid_fragmented", *([] if self._side.has_bare_aac else ["delay_moov"]), *flags]
            options |= {"frag_duration": str(_FRAGMENT_S * 1_000_000), "flush_packets": "1"}
        return options | ({"movflags": "+".join(flags)} if flags else {})

    def _write(self, frame: Frame) -> None:
        if self._track.empty:  # not before: a run that fails at once says its error alone
            _log.info("%s: %s", self._path, self._encoder.said)
            _log.debug("%s: %s", self._path, self._encoder.why)
            if self._track.lost_hdr:
                _log.info("%s: the source's HDR metadata is left out: %s", self._path, self._track.lost_hdr)
        written_s = self._track.write(frame, self._side.shift_s)
        if written_s is not None:
            self._written = True
            self._side.write_until(written_s)

    def _finish(self) -> None:
        assert self._part is not None
        assert self._container is not None
        end_s = self._track.finish()
        self._side.write_rest(end_s)
        if self._audio is not None:
            self._audio.finish()
        self._container.close()
        self._container = None
        self._side.close()
        self._track.warn(self._path)
        self._part.finish()

    def _guarded(self, action: Callable[[], _T]) -> _T:
        """Run a step of writing; whatever fails in it ends the file."""
        try:
            return action()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise SinkError(f"cannot write {self._path}: {reason(error)}{self._rest()}") from None

    def _rest(self) -> str:
        """End a file that cannot be written any more; return what to say of the rest of it."""
        part = self._give_up()
        if part is None:
            return ""
        if (
            self._salvage
            and self._written
            and (self._format in _MATROSKA or cut_to_whole_fragments(part.path))
        ):
            part.publish()
            return "; what was recorded before that is kept"
        part.remove()
        return ""


def unit_of(container_format: str, video: VideoFacts) -> Fraction:
    """Return the seconds per tick of the video's clock in a container."""
    return _MATROSKA_UNIT if container_format in _MATROSKA else video.time_base


def shift_of(container_format: str, video: VideoFacts, starts_s: Sequence[Fraction]) -> Fraction:
    """Return what to add to every time, so that no frame is before zero: players do not show those.

    Audio before zero (the run-in of an encoder) is allowed, but Matroska cannot count far down. `starts_s`
    are the first times of the other streams.
    """
    start_s = video.first_pts * video.time_base
    earliest_s = min([start_s, *starts_s])
    if container_format in _MATROSKA and earliest_s < _MATROSKA_EARLIEST_S:
        return -earliest_s
    return max(Fraction(0), -start_s)


def container_format(path: Path, codec: str = DEFAULTS.codec) -> str:
    """Return FFmpeg's name of the container that the suffix asks for.

    Raises:
        SinkError: the suffix is not one of `FORMATS`, or its container cannot hold the codec.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        known = ", ".join(FORMATS)
        found = f"the suffix {suffix} is not known" if suffix else "it has no suffix"
        images = "" if suffix else f"; for images type {path}/"
        raise SinkError(
            f"cannot write {path}: {found}; a file name ending in one of {known} is needed{images}"
        )
    if suffix == ".webm" and codec != "av1":
        better = path.with_suffix(".mkv")
        raise SinkError(
            f"cannot write {path}: WebM cannot hold {CODECS.get(codec, codec)} video; type {better} instead, "
            "or --codec av1"
        )
    if suffix == ".mov" and codec == "av1":
        better = path.with_suffix(".mp4")
        raise SinkError(f"cannot write {path}: QuickTime files cannot hold AV1; type {better} instead")
    return FORMATS[suffix]


def _common_timescale(units: list[Fraction]) -> int:
    """Return the ticks per second in which every one of `units` is whole, as far as mp4 can count."""
    scale = 1
    for unit in units:
        common = math.lcm(scale, unit.denominator)
        if common > _MAX_TIMESCALE:
            break
        scale = common
    return scale
