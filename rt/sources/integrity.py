"""What of a file is damaged or missing, against its own account."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.container
import av.error
import av.packet

from rt.media import packet_time, rational
from rt.mp4 import boxes
from rt.sources.timeline import Timeline
from rt.text import counted

_log = logging.getLogger(__name__)

_ONE_TO_ONE = frozenset({"h264", "hevc"})
"""Codecs whose every packet in mp4 and Matroska shows as a frame; others have packets never shown."""
_TRUSTED_FORMATS = frozenset({"mov", "matroska", "avi", "asf", "flv"})
"""Containers whose declared duration is written down; others' is FFmpeg's guess from what is there."""
_TOLERANCE_S = {"mov": Fraction(1, 5)}
_DEFAULT_TOLERANCE_S = Fraction(1, 2)
"""A file may end this much before its declared end: durations are rounded and last frames have none."""
_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")


class Integrity:
    """Compares what a file says of its length with what was read of it."""

    def __init__(
        self,
        path: Path,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        timeline: Timeline,
    ) -> None:
        self._timeline = timeline
        self._time_base = timeline.time_base
        self._missing_bytes = missing_bytes(path)
        self._stream_index = stream.index
        self.failures = 0
        """Places that could not be read or decoded, behind the first frame."""
        kind = container.format.name.split(",")[0]
        countable = kind in ("mov", "matroska") and stream.codec_context.name in _ONE_TO_ONE
        self._awaited: set[int] | None = set() if countable else None
        self._tolerance_s = _TOLERANCE_S.get(kind, _DEFAULT_TOLERANCE_S)
        self._declared_s = _declared_end_s(kind, container, stream)
        own = None if kind == "matroska" else stream.duration  # there it is the container's
        self._declared_by_stream = own is not None or "DURATION" in stream.metadata
        self._stated_count: int | None = stream.frames or None
        self._frames = self._corrupt = 0
        self._first_s: Fraction | None = None
        self._end_s = Fraction(0)
        self._any_end_s = Fraction(0)

    @property
    def stated_count(self) -> int | None:
        """How many frames the file says it has; None where it does not."""
        return self._stated_count

    def frames_from(self, start_s: Fraction, duration_s: Fraction | None) -> int | None:
        """Return how many frames there should be from a time of the file's clock on; None where unknown."""
        if self._declared_s is None or not self._timeline.frame_rate:
            return None
        length_s = self._declared_s - start_s
        return max(
            1,
            round(
                (length_s if duration_s is None else min(length_s, duration_s)) * self._timeline.frame_rate
            ),
        )

    def saw_frame(self, frame: av.VideoFrame) -> None:
        """Note that a frame was decoded."""
        if frame.interlaced_frame:
            self._awaited = None  # its two fields may come in two packets
        elif self._awaited is not None and frame.pts is not None:
            self._awaited.discard(frame.pts)

    def count(self, frame: av.VideoFrame, time_s: Fraction) -> None:
        """Note a frame that is delivered, and its time on the clock of the file."""
        if self._first_s is None:
            self._first_s = time_s
        self._frames += 1
        self._corrupt += bool(frame.is_corrupt)
        self._end_s = time_s + (frame.duration or self._timeline.interval()) * self._time_base

    def see(self, packet: av.packet.Packet[Any]) -> None:
        """Note how far the packets of any stream reach."""
        start = packet_time(packet)
        if packet.is_corrupt and self._first_s is not None:
            self.failures += 1
        is_video = packet.stream_index == self._stream_index
        if self._awaited is not None and is_video and packet.pts is not None and not packet.is_discard:
            self._awaited.add(packet.pts)
        if start is not None:
            end = start + (packet.duration or 0) * (rational(packet.time_base) or 0)
            self._any_end_s = max(self._any_end_s, end)

    def fail(self, error: av.error.FFmpegError) -> None:
        """Count a place that could not be read or decoded."""
        self.failures += 1
        _log.debug("unreadable: %s", error)

    def damage(self, until_s: Fraction | None = None) -> str | None:
        """Return in words what is missing or broken, None for a whole file.

        `until_s` is where reading was ended before the end of the file, on its clock.
        """
        early, lost = until_s is None and self._ends_early(), self._lost(until_s)
        if not (early or lost or self._corrupt or self.failures):
            return None
        start_s = self._first_s or Fraction(0)
        parts = [f"read {counted(self._frames, 'frame')}, {float(self._end_s - start_s):.1f} s"]
        if self._declared_s is not None:
            parts[0] += f" of the declared {float(self._declared_s - start_s):.1f} s"
        if self._missing_bytes:
            parts.append(f"{counted(self._missing_bytes, 'byte')} missing at its end")
        if lost:
            parts.append(f"{counted(lost, 'frame')} lost")
        if self._corrupt:
            parts.append(f"{counted(self._corrupt, 'frame')} damaged")
        if self.failures:
            parts.append(f"{counted(self.failures, 'place')} unreadable")
        return f"{'ends early' if early else 'is damaged'}: {'; '.join(parts)}"

    def _lost(self, until_s: Fraction | None) -> int:
        """Return how many packets behind the first frame gave no frame."""
        if self._first_s is None:
            return 0
        times_s = [pts * self._time_base for pts in self._awaited or ()]
        return sum(self._first_s < time_s and (until_s is None or time_s < until_s) for time_s in times_s)

    def _ends_early(self) -> bool:
        if self._missing_bytes:
            return True
        if self._declared_s is None:
            return False
        end_s = self._end_s if self._declared_by_stream else max(self._end_s, self._any_end_s)
        tolerance_s = max(self._tolerance_s, 3 * self._timeline.interval() * self._time_base)
        return self._declared_s - end_s > tolerance_s


def missing_bytes(path: Path) -> int:
    """Return how many bytes an mp4, Matroska or AVI file lacks at its end; 0 where none or unknown."""
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        file.seek(0)
        if head[4:] in _MP4_BOXES:
            end = max((at + size for _, at, size in boxes(file)), default=0)
        elif head[:4] == b"RIFF":
            end = _riff_end(file, length)
        elif int.from_bytes(head[:4], "big") == _EBML:
            end = _matroska_end(file)
        else:
            return 0
    return max(0, end - length)


def _riff_end(file: BinaryIO, length: int) -> int:
    """Walk the lists of an AVI: a name and 32 bits of size, padded to an even number."""
    at = 0
    while at + 8 <= length:
        file.seek(at)
        head = file.read(8)
        if head[:4] != b"RIFF":
            break
        size = int.from_bytes(head[4:], "little")
        at += 8 + size + size % 2
        if at == length + 1:  # the padding of the last list is often left out
            at = length
    return at


def _matroska_end(file: BinaryIO) -> int:
    """Read the head element and the size of the segment behind it."""
    _read_number(file, keep_marker=True)
    head_size = _read_number(file)
    file.seek(head_size, 1)
    if _read_number(file, keep_marker=True) != _SEGMENT:
        return 0
    width_at = file.tell()
    size = _read_number(file)
    width = file.tell() - width_at
    unknown = (1 << 7 * width) - 1  # all ones: written live
    return 0 if size == unknown else file.tell() + size


def _read_number(file: BinaryIO, keep_marker: bool = False) -> int:
    """Read an EBML number: the leading zeros of its first byte tell how many bytes follow."""
    first = file.read(1)
    if not first or not first[0]:
        return 0
    width = 9 - first[0].bit_length()
    value = first[0] if keep_marker else first[0] & ((1 << 8 - width) - 1)
    for byte in file.read(width - 1):
        value = value << 8 | byte
    return value


def _declared_end_s(
    kind: str, container: av.container.InputContainer, stream: av.VideoStream
) -> Fraction | None:
    """Return the time at which the video should end in seconds, None where the file does not say."""
    if kind not in _TRUSTED_FORMATS:
        return None
    if kind == "matroska":  # it counts from the zero of its clock, wherever its first frame is
        if tag := stream.metadata.get("DURATION"):
            return _clock_s(tag)
        return None if container.duration is None else Fraction(container.duration, av.time_base)
    unit = rational(stream.time_base)
    if stream.duration is not None and unit is not None:
        return (stream.duration + (stream.start_time or 0)) * unit
    if container.duration is None:
        return None
    return Fraction(container.duration + max(container.start_time or 0, 0), av.time_base)


def _clock_s(text: str) -> Fraction | None:
    """Read `hh:mm:ss.fraction`."""
    try:
        hours, minutes, seconds = text.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except ValueError:
        return None
