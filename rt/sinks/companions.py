"""What goes beside the translated video: sound, subtitles, attachments, chapters and metadata, copied."""

from __future__ import annotations

import io
import logging
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.packet
import av.stream
from av.stream import Disposition

from rt.errors import SinkError
from rt.media import Companions, packet_time, rational

_log = logging.getLogger(__name__)

_CONTAINERS = {"mp4": ".mp4", "mov": ".mov", "matroska": ".mkv"}
_PICTURES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "webp": ("webp", "image/webp")}
_WATCHED = frozenset({"audio", "subtitle"})
"""Kinds of streams a viewer hears or reads: losing one of them needs the user's word."""
_QUICKTIME_LANGUAGES = {
    "deu": "ger",
    "nld": "dut",
    "ell": "gre",
    "isl": "ice",
    "zho": "chi",
    "sqi": "alb",
    "fre": "fra",
    "rum": "ron",
    "cze": "ces",
    "slo": "slk",
}
"""Languages with two codes → the one of them that the QuickTime muxer knows."""
_OF_THE_OLD_FILE = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "duration", "rotate", "vendor_id"}
)
"""Metadata that describes the file it stood in, not its content."""
_STATISTICS = ("bps", "number_of_", "_statistics", "duration-")
_MP4_TAGS = frozenset(
    {
        *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright"),
        *("lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "track", "disc"),
        *(
            "grouping",
            "compilation",
            "media_type",
            "hd_video",
            "gapless_playback",
            "creation_time",
            "location",
        ),
        *("location-eng", "make", "model", "timecode", "language"),
    }
)
"""What mp4 has fields for; other names are kept in the list of free ones."""


class CompanionCopy:
    """Copies the packets of a source's other streams into a file, in step with its video.

    Raises:
        SinkError: the container cannot hold a stream that another container could.
    """

    def __init__(self, path: Path, container_format: str, companions: Companions | None) -> None:
        self.shift_s = Fraction(0)
        """Added to every time, so that no video frame starts before zero."""
        self._path = path
        self._format = container_format
        self._companions = companions
        self.templates = self._holdable() if companions else []
        self._lanes: dict[int, _Lane] = {}
        self._packets: deque[av.packet.Packet[Any]] = deque()

    @property
    def movflags(self) -> list[str]:
        """Flags the mp4 muxer needs for this metadata."""
        names = self._companions.metadata if self._companions else {}
        return ["use_metadata_tags"] if set(_kept(names)) - _MP4_TAGS else []

    @property
    def has_cover(self) -> bool:
        """True where a cover picture is among the copied streams."""
        return any(stream.disposition & Disposition.attached_pic for stream in self.templates)

    @property
    def has_bare_aac(self) -> bool:
        """True where AAC comes without its description, as in MPEG-TS; mp4 finds that in the first packet."""
        contexts = [stream.codec_context for stream in self.templates]
        return any(
            context is not None and context.name == "aac" and not context.extradata for context in contexts
        )

    @property
    def starts_s(self) -> list[Fraction]:
        """First times of the copied streams in seconds, as far as they are known."""
        known = [(stream.start_time, rational(stream.time_base)) for stream in self.templates]
        return [start * unit for start, unit in known if start is not None and unit is not None]

    def open(self, container: av.container.OutputContainer, video: av.VideoStream) -> None:
        """Add the streams, chapters and metadata to a container whose header is not yet written."""
        if self._companions is None:
            return
        for template in self.templates:
            if self._format == "matroska" and template.disposition & Disposition.attached_pic:
                self._attach_cover(container, template)
                continue
            stream = container.add_stream_from_template(template, opaque=True)
            stream.metadata.update(_kept(template.metadata))
            if self._format == "mov" and (language := stream.metadata.get("language")):
                stream.metadata["language"] = _QUICKTIME_LANGUAGES.get(language, language)
            stream.disposition = template.disposition
            self._lanes[template.index] = _Lane(
                container, stream, self.shift_s, 0 if self._format in ("matroska", "webm") else 1
            )
        container.metadata.update(_kept(self._companions.metadata))
        video.metadata.update(_kept(self._companions.video_metadata))
        self._copy_chapters(container)
        self._packets = self._companions.subscribe()

    def write_until(self, time_s: Fraction) -> None:
        """Write every packet that belongs before `time_s`, a time in the file."""
        self._collect()
        for lane in self._lanes.values():
            lane.write_until(time_s)

    def write_rest(self, end_s: Fraction) -> None:
        """Write what is left: all where the source came to its end, else what belongs before `end_s`."""
        whole = self._companions is not None and self._companions.ended
        self._collect()
        for lane in self._lanes.values():
            lane.write_until(None if whole else end_s)
            lane.warn(self._path)

    def _collect(self) -> None:
        while self._packets:
            packet = self._packets.popleft()
            if lane := self._lanes.get(packet.stream_index):
                lane.waiting.append(packet)

    def _attach_cover(self, container: av.container.OutputContainer, template: av.stream.Stream) -> None:
        """Store a cover picture the way Matroska does: as an attached file, not as a stream."""
        assert self._companions is not None
        picture = self._companions.first(template.index)
        if picture is None:
            _log.warning("%s: the source's cover picture is empty and is left out", self._path)
            return
        suffix, kind = _PICTURES.get(template.codec_context.name, ("bin", "application/octet-stream"))
        name = template.metadata.get("filename", f"cover.{suffix}")
        container.add_attachment(name, template.metadata.get("mimetype", kind), bytes(picture))

    def _copy_chapters(self, container: av.container.OutputContainer) -> None:
        assert self._companions is not None
        unit = Fraction(1, 1_000_000)
        container.set_chapters(
            [
                {
                    "id": number,
                    "start": round((chapter.start + self.shift_s) / unit),
                    "end": round((chapter.end + self.shift_s) / unit),
                    "time_base": unit,
                    "metadata": dict(chapter.metadata),
                }
                for number, chapter in enumerate(self._companions.chapters, start=1)
            ]
        )

    def _holdable(self) -> list[av.stream.Stream]:
        assert self._companions is not None
        streams = self._companions.streams
        held = [stream for stream in streams if holds(self._format, stream)]
        lost = [stream for stream in streams if stream not in held]
        watched = [stream for stream in lost if stream.type in _WATCHED]
        if watched and (better := self._better(streams, held)):
            raise SinkError(
                f"cannot write {self._path}: {self._path.suffix} cannot hold the source's "
                f"{_named(watched[0])}; "
                f"type {self._path.with_suffix(better)} instead"
            )
        for stream in lost:
            _log.warning("%s: the source's %s cannot be copied and is left out", self._path, _named(stream))
        return held

    def _better(self, streams: Sequence[av.stream.Stream], held: Sequence[av.stream.Stream]) -> str | None:
        """Return the suffix of a container that holds more of what is watched, None where there is none."""

        def worth(kept: Sequence[av.stream.Stream]) -> tuple[int, int]:
            kinds = [stream.type for stream in kept]
            return kinds.count("audio"), kinds.count("subtitle")

        best, suffix = worth(held), None
        for name in ("matroska", "mp4", "mov"):
            found = worth([stream for stream in streams if holds(name, stream)])
            if found > best:
                best, suffix = found, _CONTAINERS[name]
        return suffix


class _Lane:
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
        while self.waiting:
            start = packet_time(self.waiting[0])
            if time_s is not None and start is not None and start + self._shift_s >= time_s:
                return
            self._write(self.waiting.popleft())

    def _write(self, packet: av.packet.Packet[Any]) -> None:
        packet.stream = self._stream
        shift = round(self._shift_s / packet.time_base)
        dts = packet.dts if packet.dts is not None else packet.pts
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
        except (av.error.InvalidDataError, av.error.ArgumentError) as error:
            self._refused += 1  # a damaged packet of a damaged source: the rest goes on without it
            _log.debug("packet refused: %s", error)

    def warn(self, path: Path) -> None:
        """Say in the log what could not be copied as it was."""
        if self._moved:
            _log.warning("%s: %d time stamps of a copied stream were moved", path, self._moved)
        if self._refused:
            _log.warning("%s: %d damaged packets of a copied stream were left out", path, self._refused)


def holds(container_format: str, stream: av.stream.Stream) -> bool:
    """Tell whether a container can hold a stream, by writing the header of one in memory.

    MP4 describes its streams at the end, and would refuse uncompressed sound there, behind the last frame: of
    such a stream the description is asked for at the beginning.
    """
    if container_format == "mov" and stream.disposition & Disposition.attached_pic:
        return False  # the muxer takes a cover picture and drops it
    pcm = stream.codec_context is not None and stream.codec_context.name.startswith("pcm_")
    early = {"movflags": "empty_moov"} if container_format == "mp4" and pcm else {}
    try:
        with av.open(io.BytesIO(), "w", format=container_format, container_options=early) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def _kept(metadata: dict[str, str] | Any) -> dict[str, str]:
    """Return the metadata that stays true in another file."""
    return {
        name: value
        for name, value in metadata.items()
        if name.lower() not in _OF_THE_OLD_FILE and not name.lower().startswith(_STATISTICS)
    }


def _named(stream: av.stream.Stream) -> str:
    codec = stream.codec_context.name if stream.codec_context is not None else stream.name or "unnamed"
    kind = {"audio": "sound", "subtitle": "subtitles", "video": "second video or cover picture"}
    return f"{codec} {kind.get(stream.type, stream.type)} (stream {stream.index})"
