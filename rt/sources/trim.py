"""The wanted part of a video file."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
import av.container
import av.error
import av.packet

from rt.media import Chapter, packet_time, rational
from rt.sources.base import exact_s
from rt.sources.integrity import Integrity

_log = logging.getLogger(__name__)

_INDEXED = frozenset({"mov", "matroska"})
"""Containers that find a keyframe by its time and keep the times of frames behind it.

Others are decoded from their beginning: slow, but exact.
"""
_TAIL_S = 1
"""Audio may stand so much later in a file than the image it belongs to."""


def is_indexed(container: av.container.InputContainer) -> bool:
    """Tell whether a keyframe of a file is found by its time, and the frames behind it keep theirs."""
    return container.format.name.split(",")[0] in _INDEXED


def seek_keyframe(container: av.container.InputContainer, stream: av.VideoStream, pts: int) -> None:
    """Go to a keyframe at or before a time in the stream's units; to the beginning where none is found."""
    try:
        container.seek(pts, stream=stream)
        reached = next((packet.pts for packet in container.demux(stream) if packet.size), None)
        early = reached is not None and reached <= pts
        container.seek(pts if early else stream.start_time or 0, stream=stream)
    except av.error.FFmpegError as error:
        _log.debug("cannot seek: %s", error)
        container.seek(0)


class Trim:
    """From `start_s` after the file's first moment on, for `duration_s` seconds.

    As with ffmpeg's `-ss` before `-i`, the first frame is the first one that begins no earlier than the
    start, and every time is counted from the start, rounded to the unit of the video's times.

    Args:
        container: the file.
        stream: its video.
        origin_s: its first moment, on its own clock.
        start_s: seconds to leave out.
        duration_s: seconds after which it ends; None for the end of the file.
        keep_clock: leave the times as the file gives them.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        origin_s: Fraction,
        start_s: float,
        duration_s: float | None,
        keep_clock: bool = False,
    ) -> None:
        self.start_s = exact_s(start_s)
        unit = rational(stream.time_base) or Fraction(1, av.time_base)
        self._begin_s = origin_s + self.start_s
        ticks = round(self._begin_s / unit) if self.start_s else math.floor(self._begin_s / unit)
        self._shift_s = Fraction(0) if keep_clock else ticks * unit
        self._from_s = self._begin_s if self.start_s else None
        self.duration_s = None if duration_s is None else exact_s(duration_s)
        self.end_s = None if self.duration_s is None else self._begin_s + self.duration_s
        """Where it ends on the clock of the file; None for the end of the file."""

    def frame_count(self, integrity: Integrity) -> int | None:
        """Return how many frames the part should have; None where that is unknown."""
        if not (self.start_s or self.duration_s) and integrity.stated_count:
            return integrity.stated_count
        return integrity.frames_from(self._begin_s, self.duration_s)

    def shift(self, unit: Fraction) -> int:
        """Return what is taken off a time of the file, in units of `unit` seconds.

        It is whole in the unit of the video, which may be as long as a frame, so that audio is moved alike.
        """
        return round(self._shift_s / unit)

    def seek(self, container: av.container.InputContainer, stream: av.VideoStream) -> None:
        """Go to the last keyframe before the start, or stay at the beginning of the file."""
        unit = rational(stream.time_base)
        if self._from_s is not None and unit is not None and is_indexed(container):
            seek_keyframe(container, stream, int(self._from_s / unit))

    def is_early(self, time_s: Fraction) -> bool:
        """Return whether something at this time of the file lies before the start."""
        return self._from_s is not None and time_s < self._from_s

    def is_late(self, time_s: Fraction) -> bool:
        """Return whether something at this time of the file lies behind the end."""
        return self.end_s is not None and time_s >= self.end_s

    def is_past(self, packet: av.packet.Packet[Any]) -> bool:
        """Return whether nothing of the part can follow this packet of the video."""
        time_s = packet_time(packet)
        return time_s is not None and self.is_late(time_s - _TAIL_S)

    def take(self, packet: av.packet.Packet[Any]) -> bool:
        """Count the times of a packet from the start; False for one that is not part of the trim."""
        time_s, unit = packet_time(packet), rational(packet.time_base)
        if time_s is None or unit is None:
            return True
        if self.is_early(time_s) or self.is_late(time_s):
            return False
        ticks = self.shift(unit)
        packet.pts = None if packet.pts is None else packet.pts - ticks
        packet.dts = None if packet.dts is None else packet.dts - ticks
        return True

    def chapters(self, chapters: Iterable[Chapter]) -> list[Chapter]:
        """Return what of the chapters lies in the part, with times counted from the start."""
        kept = []
        for chapter in chapters:
            start = max(chapter.start, self._begin_s)
            end = min(chapter.end, self.end_s or chapter.end)
            if start < end:
                kept.append(Chapter(start - self._shift_s, end - self._shift_s, chapter.metadata))
        return kept
