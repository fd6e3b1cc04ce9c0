"""The times of a video file: strictly increasing frames, and whether the file is as long as it says."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.packet

from rt.media import packet_time, rational
from rt.sources.integrity import missing_bytes

_log = logging.getLogger(__name__)

_ONE_TO_ONE = frozenset({"h264", "hevc"})
"""Codecs whose every packet in mp4 and Matroska shows as a frame; others have packets never shown."""
_TRUSTED_FORMATS = frozenset({"mov", "matroska", "avi", "asf", "flv"})
"""Containers whose declared duration is written down; others' is FFmpeg's guess from what is there."""
_TOLERANCE_S = {"mov": Fraction(1, 5)}
_USUAL_TOLERANCE_S = Fraction(1, 2)
"""A file may end this much before its declared end: durations are rounded and last frames have none."""


class Timeline:
    """Places frames in time and keeps account of what was read and what was not."""

    def __init__(self, path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        self._path = path
        self._missing_bytes = missing_bytes(path)
        self._stream_index = stream.index
        self.time_base: Fraction = rational(stream.time_base) or Fraction(1, 90000)
        self.frame_rate = rational(stream.average_rate) or rational(stream.guessed_rate)
        self.failures = 0
        """Places that could not be read or decoded, behind the first frame."""
        kind = container.format.name.split(",")[0]
        countable = kind in ("mov", "matroska") and stream.codec_context.name in _ONE_TO_ONE
        self._awaited: set[int] | None = set() if countable else None
        self._tolerance_s = _TOLERANCE_S.get(kind, _USUAL_TOLERANCE_S)
        self._declared_s = _declared_end_s(kind, container, stream)
        self._declared_by_stream = stream.duration is not None or "DURATION" in stream.metadata
        self._stated_count: int | None = stream.frames or None
        self.mended = 0
        """Time stamps that were missing or not increasing, and were moved."""
        self._frames = self._corrupt = 0
        self._first: int | None = None
        self._last: int | None = None
        self._end_s = Fraction(0)
        self._any_end_s = Fraction(0)

    def frame_count(self, start_s: Fraction, duration_s: Fraction | None) -> int | None:
        """Return how many frames there should be from `start_s` on, in `duration_s`; None where unknown."""
        if not (start_s or duration_s) and self._stated_count:
            return self._stated_count
        if self._declared_s is None or not self.frame_rate:
            return None
        length_s = self._declared_s - start_s
        return max(
            1, round((length_s if duration_s is None else min(length_s, duration_s)) * self.frame_rate)
        )

    def first_pts(self, picture: av.VideoFrame) -> int:
        """Return the pts that `place` will give to the first frame, without placing it."""
        if picture.pts is not None:
            return picture.pts
        return picture.dts if picture.dts is not None else 0

    def place(self, picture: av.VideoFrame) -> int:
        """Return the pts of the next frame: its own, or the smallest later than the frame before.

        A frame without one is put one frame interval behind the frame before.
        """
        if self._last is None:
            pts = self.first_pts(picture)
            self.mended += picture.pts is None
        elif picture.pts is None:
            pts = self._last + (picture.duration or self._interval())
            self.mended += 1
        else:
            pts = max(picture.pts, self._last + 1)
            self.mended += pts != picture.pts
        self._last = pts
        self._expect_no_more(picture)
        return pts

    def count(self, picture: av.VideoFrame, pts: int) -> None:
        """Note a frame that is delivered."""
        if self._first is None:
            self._first = pts
        self._frames += 1
        self._corrupt += bool(picture.is_corrupt)
        self._end_s = (pts + (picture.duration or self._interval())) * self.time_base

    def _expect_no_more(self, picture: av.VideoFrame) -> None:
        if picture.interlaced_frame:
            self._awaited = None  # its two fields may come in two packets
        elif self._awaited is not None and picture.pts is not None:
            self._awaited.discard(picture.pts)

    def see(self, packet: av.packet.Packet[Any]) -> None:
        """Note how far the packets of any stream reach."""
        start = packet_time(packet)
        if packet.is_corrupt and self._first is not None:
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
        start_s = (self._first or 0) * self.time_base
        parts = [f"read {_counted(self._frames, 'frame')}, {float(self._end_s - start_s):.1f} s"]
        if self._declared_s is not None:
            parts[0] += f" of the declared {float(self._declared_s - start_s):.1f} s"
        if self._missing_bytes:
            parts.append(f"{_counted(self._missing_bytes, 'byte')} missing at its end")
        if lost:
            parts.append(f"{_counted(lost, 'frame')} lost")
        if self._corrupt:
            parts.append(f"{_counted(self._corrupt, 'frame')} damaged")
        if self.failures:
            parts.append(f"{_counted(self.failures, 'place')} unreadable")
        return f"{'ends early' if early else 'is damaged'}: {'; '.join(parts)}"

    def _lost(self, until_s: Fraction | None) -> int:
        """Return how many packets behind the first frame gave no frame."""
        first = self._first
        behind = [pts for pts in self._awaited or () if first is not None and pts > first]
        return sum(until_s is None or pts * self.time_base < until_s for pts in behind)

    def _ends_early(self) -> bool:
        if self._missing_bytes:
            return True
        if self._declared_s is None:
            return False
        end_s = self._end_s if self._declared_by_stream else max(self._end_s, self._any_end_s)
        tolerance_s = max(self._tolerance_s, 3 * self._interval() * self.time_base)
        return self._declared_s - end_s > tolerance_s

    def _interval(self) -> int:
        """Return the mean distance of two frames, in units of the time base."""
        if not self.frame_rate:
            return 1
        return max(1, round(1 / self.frame_rate / self.time_base))


def _declared_end_s(
    kind: str, container: av.container.InputContainer, stream: av.VideoStream
) -> Fraction | None:
    """Return the time at which the video should end in seconds, None where the file does not say."""
    if kind not in _TRUSTED_FORMATS:
        return None
    unit = rational(stream.time_base)
    if stream.duration is not None and unit is not None:
        return (stream.duration + (stream.start_time or 0)) * unit
    if tag := stream.metadata.get("DURATION"):
        return _clock_s(tag)
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


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
