"""What goes beside the translated video: audio, subtitles, covers, chapters and metadata."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.container
import av.error
import av.packet
import av.stream
from av.stream import Disposition

from rt.errors import SinkError
from rt.media import SideStreams, packet_time, rational
from rt.sinks.audio import CODEC_OF, NAMES, AudioEncoder
from rt.sinks.base import SinkOptions
from rt.sinks.tags import TIMECODE, advanced, kept_tags, needs_free_tags, quicktime_language, timecode
from rt.sinks.trial import Samples, add_copy, holds, holds_timecode

_log = logging.getLogger(__name__)

_SUFFIXES = {"matroska": ".mkv", "mp4": ".mp4", "mov": ".mov"}
"""Containers that are tried in place of one that cannot hold a stream, the most capable first."""
_MATROSKA = ("matroska", "webm")
_IMAGES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "webp": ("webp", "image/webp")}
_REORDERED = 2
"""How many frames later than decoded a video is shown, as most encoders do it."""
_REFUSALS = (av.error.InvalidDataError, av.error.ArgumentError)
"""What a damaged packet of a damaged source ends in: the rest goes on without it."""


@dataclass(frozen=True)
class _Choice:
    """What becomes of one stream of the source."""

    template: av.stream.Stream
    cover: bool = False
    decoder: av.AudioCodecContext | None = None
    """What decodes audio that is encoded anew; None: its packets are copied."""
    codec: str = ""
    """What it is encoded as."""


class Passthrough:
    """Writes a source's other streams into a file, in step with its video.

    Packets are copied where the container can hold them, which is tried before the run. Audio that it cannot
    hold is encoded anew.

    Args:
        path: the file that is written.
        container_format: FFmpeg's name of its container.
        side: the source's other streams; None where it has none.
        source: the source's file.
        options: what the user asks of audio and other videos.
        frame_rate: mean frames per second of the video.

    Raises:
        SinkError: the container cannot hold a stream that another container could.
    """

    def __init__(
        self,
        path: Path,
        container_format: str,
        side: SideStreams | None,
        source: Path | None,
        options: SinkOptions,
        frame_rate: Fraction,
    ) -> None:
        self.shift_s = Fraction(0)
        """Added to every time, so that no video frame starts before zero."""
        self._path = path
        self._format = container_format
        self._side = side
        self._options = options
        self._writers: dict[int, _Copied | _Encoded] = {}
        self._packets: deque[av.packet.Packet[Any]] = deque()
        self._choices: list[_Choice] = []
        self._timecode: str | None = None
        self._samples: Samples | None = None
        if options.audio == "aac" and CODEC_OF.get(container_format, "aac") != "aac":
            raise SinkError(
                f"cannot write {path}: WebM cannot hold AAC; type {path.with_suffix('.mkv')} instead"
            )
        if side is not None and source is not None and side.streams:
            self._samples = Samples(source, side.streams)
            try:
                self._choices = self._choose(side.streams)
            except BaseException:
                self.close()
                raise
        if side is not None:
            self._timecode = self._choose_timecode(side, frame_rate)

    @property
    def templates(self) -> list[av.stream.Stream]:
        """The streams of the source that are kept."""
        return [choice.template for choice in self._choices]

    @property
    def movflags(self) -> list[str]:
        """Flags the mp4 muxer needs for this metadata."""
        return ["use_metadata_tags"] if self._side and needs_free_tags(self._side.metadata) else []

    @property
    def has_cover(self) -> bool:
        """True where a cover image is among the copied streams."""
        return any(choice.cover for choice in self._choices)

    @property
    def has_bare_aac(self) -> bool:
        """True where AAC comes without its description, as in MPEG-TS; mp4 finds that in the first packet."""
        contexts = [choice.template.codec_context for choice in self._choices if choice.decoder is None]
        return any(
            context is not None and context.name == "aac" and not context.extradata for context in contexts
        )

    @property
    def starts_s(self) -> list[Fraction]:
        """First times of the kept streams in seconds, as far as they are known."""
        known = [(stream.start_time, rational(stream.time_base)) for stream in self.templates]
        return [start * unit for start, unit in known if start is not None and unit is not None]

    def open(self, container: av.container.OutputContainer, video: av.VideoStream) -> None:
        """Add the streams, chapters and metadata to a container whose header is not yet written."""
        video.disposition = Disposition.default  # players show the one that is marked
        if self._side is None:
            return
        for choice in self._choices:
            self._add(container, choice)
        container.metadata.update(kept_tags(self._side.metadata))
        video.metadata.update(kept_tags(self._side.video_metadata))
        self._mark_timecode(container, video)
        self._copy_chapters(container, self._side)
        self._packets = self._side.subscribe()

    def write_until(self, time_s: Fraction) -> None:
        """Write every packet that belongs before `time_s`, a time in the file."""
        self._collect()
        for writer in self._writers.values():
            writer.write_until(time_s)

    def write_rest(self, end_s: Fraction) -> None:
        """Write what is left: all where the source came to its end, else what belongs before `end_s`."""
        whole = self._side is not None and self._side.ended
        self._collect()
        for writer in self._writers.values():
            writer.write_until(None if whole else end_s)
            writer.finish(self._path)

    def close(self) -> None:
        """Let go of the source's file; works twice."""
        if self._samples is not None:
            self._samples.close()

    def _collect(self) -> None:
        while self._packets:
            packet = self._packets.popleft()
            if writer := self._writers.get(packet.stream_index):
                writer.waiting.append(packet)

    def _add(self, container: av.container.OutputContainer, choice: _Choice) -> None:
        template = choice.template
        if choice.cover and self._format == "matroska":
            self._attach_cover(container, template)
            return
        if choice.decoder is not None:
            encoder = AudioEncoder(container, choice.decoder, choice.codec)
            stream: av.stream.Stream = encoder.stream
            self._writers[template.index] = _Encoded(container, encoder, self.shift_s)
        else:
            stream = add_copy(container, template)
            apart = 0 if self._format in _MATROSKA else 1
            self._writers[template.index] = _Copied(container, stream, self.shift_s, apart)
        stream.metadata.update(kept_tags(template.metadata))
        if self._format == "mov" and (language := stream.metadata.get("language")):
            stream.metadata["language"] = quicktime_language(language)
        stream.disposition = _disposition(choice)

    def _attach_cover(self, container: av.container.OutputContainer, template: av.stream.Stream) -> None:
        """Store a cover image the way Matroska does: as an attached file, not as a stream."""
        assert self._samples is not None
        image = self._samples.first(template)
        if image is None:
            _log.warning("%s: the source's cover image is empty and is left out", self._path)
            return
        suffix, kind = _IMAGES.get(template.codec_context.name, ("bin", "application/octet-stream"))
        name = template.metadata.get("filename", f"cover.{suffix}")
        container.add_attachment(name, template.metadata.get("mimetype", kind), bytes(image))

    def _copy_chapters(self, container: av.container.OutputContainer, side: SideStreams) -> None:
        unit = Fraction(1, 1_000_000)
        container.set_chapters(
            [
                {
                    "id": number,
                    "start": round((chapter.start + self.shift_s) / unit),
                    "end": round((chapter.end + self.shift_s) / unit),
                    "time_base": cast(Any, unit),  # PyAV 19 names a type of its own, and takes any
                    "metadata": dict(chapter.metadata),
                }
                for number, chapter in enumerate(side.chapters, start=1)
            ]
        )

    def _choose_timecode(self, side: SideStreams, frame_rate: Fraction) -> str | None:
        """Return the source's timecode where the container keeps it: muxers make its track themselves."""
        carriers = [side.metadata, side.video_metadata, *(stream.metadata for stream in side.streams)]
        text = next((found for tags in carriers if (found := timecode(tags)) is not None), None)
        if text is not None and side.frames_before:
            text = advanced(text, side.frames_before, frame_rate)
        if text is None or holds_timecode(self._format, frame_rate, text):
            return text
        _log.warning(
            "%s: the timecode %s does not fit %g frames/s and is left out", self._path, text, frame_rate
        )
        return None

    def _mark_timecode(self, container: av.container.OutputContainer, video: av.VideoStream) -> None:
        for tags in (container.metadata, video.metadata):
            for name in [name for name in tags if name.lower() == TIMECODE]:
                del tags[name]
        if self._timecode is not None:
            video.metadata[TIMECODE] = self._timecode

    def _choose(self, streams: Sequence[av.stream.Stream]) -> list[_Choice]:
        """Return what becomes of each stream, and say what is not copied.

        Raises:
            SinkError: another container keeps more of what is heard or read, or audio cannot be kept.
        """
        wanted = [stream for stream in streams if self._is_wanted(stream)]
        for stream in streams:
            if stream.type == "video" and stream not in wanted:
                _log.warning(
                    "%s: the other video (stream %d) is left out; to keep it type --other-videos keep",
                    *(self._path, stream.index),
                )
        kept = self._kept_by(self._format, wanted)
        lost = [stream for stream in wanted if stream.index not in kept]
        heard = [stream for stream in lost if stream.type == "audio"]
        watched = [*heard, *(stream for stream in lost if stream.type == "subtitle")]
        if watched:
            self._refuse_where_others_keep_more(wanted, kept, watched[0])
        if heard:
            raise SinkError(
                f"cannot write {self._path}: the source's {_named(heard[0])} can be neither copied nor "
                "decoded; to leave it out type --audio none"
            )
        for stream in lost:
            _log.warning("%s: the source's %s cannot be copied and is left out", self._path, _named(stream))
        for choice in kept.values():
            if choice.decoder is not None and self._options.audio == "copy":
                _log.info(
                    "%s: %s cannot hold the source's %s; it is encoded as %s",
                    *(self._path, self._path.suffix, _named(choice.template), NAMES[choice.codec]),
                )
        return list(kept.values())

    def _is_wanted(self, stream: av.stream.Stream) -> bool:
        assert self._samples is not None
        if stream.type == "audio":
            return self._options.audio != "none"
        if stream.type == "video":
            return self._options.other_videos == "keep" or self._samples.is_cover(stream)
        return stream.type != "data" or timecode(stream.metadata) is None  # it is a tag of the video

    def _kept_by(self, container_format: str, streams: Iterable[av.stream.Stream]) -> dict[int, _Choice]:
        """Return what a container keeps of the streams, by index."""
        assert self._samples is not None
        found: dict[int, _Choice] = {}
        for stream in streams:
            cover = self._samples.is_cover(stream)
            if container_format == "mov" and cover:
                continue  # the muxer takes a cover image and drops it
            if stream.type == "audio" and self._options.audio == "aac":
                choice = self._encoded(container_format, stream)
            elif holds(container_format, stream, self._samples.first(stream)):
                choice = _Choice(stream, cover)
            else:
                choice = self._encoded(container_format, stream)
            if choice is not None:
                found[stream.index] = choice
        return found

    def _encoded(self, container_format: str, stream: av.stream.Stream) -> _Choice | None:
        """Return audio that is encoded anew; None where it cannot be."""
        assert self._samples is not None
        if stream.type != "audio" or (decoder := self._samples.decoder(stream)) is None:
            return None
        return _Choice(stream, decoder=decoder, codec=CODEC_OF.get(container_format, "aac"))

    def _refuse_where_others_keep_more(
        self, wanted: Sequence[av.stream.Stream], kept: dict[int, _Choice], lost: av.stream.Stream
    ) -> None:
        best, suffix = _worth(kept), None
        for name, other in _SUFFIXES.items():
            if name != self._format and (found := _worth(self._kept_by(name, wanted))) > best:
                best, suffix = found, other
        if suffix is not None:
            raise SinkError(
                f"cannot write {self._path}: {self._path.suffix} cannot hold the source's {_named(lost)}; "
                f"type {self._path.with_suffix(suffix)} instead"
            )


def _worth(kept: dict[int, _Choice]) -> tuple[int, int]:
    kinds = [choice.template.type for choice in kept.values()]
    return kinds.count("audio"), kinds.count("subtitle")


def _disposition(choice: _Choice) -> Disposition:
    """Return how a stream is marked: of several videos the translated one alone is the default."""
    marks = Disposition(choice.template.disposition)
    if choice.template.type != "video":
        return marks
    marks &= ~Disposition.default
    return marks | Disposition.attached_pic if choice.cover else marks


class _Copied:
    """One copied stream: its packets in order, none earlier than the one before."""

    def __init__(
        self, container: av.container.OutputContainer, stream: av.stream.Stream, shift_s: Fraction, apart: int
    ) -> None:
        self.waiting: deque[av.packet.Packet[Any]] = deque()
        self._moved = self._refused = 0
        self._container = container
        self._stream = stream
        self._shift_s = shift_s
        self._apart = apart  # the least difference of two decoding times that the container takes
        self._last_dts: int | None = None

    def write_until(self, time_s: Fraction | None) -> None:
        """Write the packets that start before a time in the file; None for all."""
        for packet in _due(self.waiting, time_s, self._shift_s):
            self._write(packet)

    def _write(self, packet: av.packet.Packet[Any]) -> None:
        packet.stream = self._stream
        shift = round(self._shift_s / packet.time_base)
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is not None and packet.dts is None and self._stream.type == "video":
            dts -= _REORDERED * (packet.duration or 0)  # it is decoded before others that are shown before it
        if dts is None:
            dts = 0 if self._last_dts is None else self._last_dts + 1 - shift
        packet.dts = dts = dts + shift
        if self._last_dts is not None and dts < self._last_dts + self._apart:
            packet.dts = dts = self._last_dts + self._apart
            self._moved += 1
        packet.pts = dts if packet.pts is None else max(packet.pts + shift, dts)
        self._last_dts = dts
        try:
            self._container.mux_one(packet)
        except _REFUSALS as error:
            self._refused += 1
            _log.debug("packet refused: %s", error)

    def finish(self, path: Path) -> None:
        """Say in the log what could not be copied as it was."""
        if self._moved:
            _log.warning("%s: %d time stamps of a copied stream were moved", path, self._moved)
        _warn_of_damage(path, self._refused)


class _Encoded:
    """One stream of audio that is encoded anew."""

    def __init__(
        self, container: av.container.OutputContainer, encoder: AudioEncoder, shift_s: Fraction
    ) -> None:
        self.waiting: deque[av.packet.Packet[Any]] = deque()
        self._container = container
        self._encoder = encoder
        self._shift_s = shift_s
        self._damaged = 0

    def write_until(self, time_s: Fraction | None) -> None:
        """Write the packets that start before a time in the file; None for all."""
        for packet in _due(self.waiting, time_s, self._shift_s):
            try:
                self._write(packet)
            except av.error.InvalidDataError as error:
                self._damaged += 1
                _log.debug("packet not decoded: %s", error)

    def finish(self, path: Path) -> None:
        """Write what decoder and encoder still hold; say in the log what could not be decoded."""
        self._write(None)
        _warn_of_damage(path, self._damaged)

    def _write(self, packet: av.packet.Packet[Any] | None) -> None:
        for made in self._encoder.encode(packet, self._shift_s):
            self._container.mux_one(made)


def _due(
    waiting: deque[av.packet.Packet[Any]], time_s: Fraction | None, shift_s: Fraction
) -> Iterable[av.packet.Packet[Any]]:
    """Take the packets that start before a time in the file; None for all."""
    while waiting:
        start = packet_time(waiting[0])
        if time_s is not None and start is not None and start + shift_s >= time_s:
            return
        yield waiting.popleft()


def _warn_of_damage(path: Path, count: int) -> None:
    if count:
        _log.warning("%s: %d damaged packets of the source's audio or subtitles were left out", path, count)


def _named(stream: av.stream.Stream) -> str:
    codec = stream.codec_context.name if stream.codec_context is not None else stream.name or "unnamed"
    kind = {"audio": "audio", "subtitle": "subtitles", "video": "second video or cover image"}
    return f"{codec} {kind.get(stream.type, stream.type)} (stream {stream.index})"
