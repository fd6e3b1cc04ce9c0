"""The clock of a file: where it begins, and strictly increasing frames."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import av
import av.container
import av.packet
import av.stream

from rt.media import rational

READ_AHEAD = 6
"""Frames whose times tell the frame rate where the file's word for it cannot be believed."""
_PLAUSIBLE_RATES = (1, 240)
_FREE_RUNNING = frozenset({"mpegts", "mpeg"})
"""Containers whose clock is the sender's: any time may be the first one, below zero where it wraps."""
_DECODING_TIMES_ALONE = frozenset({"avi"})
"""Containers that say when a frame is decoded, but not when it is shown.

The times that FFmpeg guesses for such files are wrong: late for H.264 and HEVC, in disorder with B-frames.
"""


class Timeline:
    """Places frames in time.

    Args:
        container: the file.
        stream: its video.
        others: the streams that are read beside it.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        others: Sequence[av.stream.Stream] = (),
    ) -> None:
        self.time_base: Fraction = rational(stream.time_base) or Fraction(1, 90000)
        self.frame_rate = stated_rate(stream) or _first_rate(stream)
        self.origin_s = _origin_s(container, stream, others)
        """The time on the clock of the file that becomes zero, for all streams."""
        start_s = _start_s(stream)
        self.begin_s = self.origin_s if start_s is None else start_s
        """When the first frame of the file is shown, on its clock."""
        self.mended = 0
        """Time stamps that were missing or not increasing, and were moved."""
        self._last: int | None = None
        self._in_decoding_order = container.format.name in _DECODING_TIMES_ALONE
        self._first_packet: int | None = None  # its dts
        self._delay: int | None = None  # of the decoder: how much later than its packet the first frame comes

    def see(self, packet: av.packet.Packet[Any]) -> None:
        """Note a packet of the video, before it is decoded."""
        if self._first_packet is None and packet.is_keyframe:
            self._first_packet = packet.dts

    def fail(self) -> None:
        """Note that a packet of the video could not be decoded."""
        if self._last is None:
            self._first_packet = None

    def place(self, frame: av.VideoFrame) -> int:
        """Return the pts of the next frame: its own, or the smallest later than the frame before.

        A frame without one is put one frame interval behind the frame before.
        """
        own = self._own(frame)
        if self._last is None:
            pts = own if own is not None else frame.dts or 0
            self.mended += own is None
        elif own is None:
            pts = self._last + (frame.duration or self.interval())
            self.mended += not self._in_decoding_order  # what the decoder held at the end has no time there
        else:
            pts = max(own, self._last + 1)
            self.mended += pts != own
        self._last = pts
        return pts

    def _own(self, frame: av.VideoFrame) -> int | None:
        """Return when a frame is shown, as far as the file says it.

        Where only decoding times are known, frames are shown at them, one after the other from the first one
        on: each comes out of the decoder with the time of the packet that completed it.
        """
        if not self._in_decoding_order:
            return frame.pts
        if frame.dts is None:
            return None
        if self._delay is None:
            self._delay = max(
                0, frame.dts - (frame.dts if self._first_packet is None else self._first_packet)
            )
        return frame.dts - self._delay

    def restart(self) -> None:
        """Forget the frames before: the next one may have any time."""
        self._last = None
        self.mended = 0

    def interval(self) -> int:
        """Return the mean distance of two frames, in units of the time base."""
        if not self.frame_rate:
            return 1
        return max(1, round(1 / self.frame_rate / self.time_base))

    @property
    def is_rate_plausible(self) -> bool:
        """Whether the frame rate can be believed as it is stated."""
        return self.frame_rate is not None and _is_plausible(self.frame_rate)

    def check_rate(self, times_s: Sequence[Fraction]) -> None:
        """Compare an implausible frame rate with the times of the first frames, and correct it."""
        if len(times_s) < 2 or times_s[-1] <= times_s[0]:
            return
        measured = (len(times_s) - 1) / (times_s[-1] - times_s[0])
        if self.frame_rate is None or not measured / 2 < self.frame_rate < measured * 2:
            self.frame_rate = measured.limit_denominator(1001)


def stated_rate(stream: av.VideoStream) -> Fraction | None:
    """Return the first plausible frame rate that a stream states; None where there is none.

    Raw DV, for one, states the rate of its clock as its mean frame rate.
    """
    stated = (rational(stream.average_rate), rational(stream.guessed_rate))
    return next((rate for rate in stated if rate is not None and _is_plausible(rate)), None)


def _first_rate(stream: av.VideoStream) -> Fraction | None:
    return rational(stream.average_rate) or rational(stream.guessed_rate)


def _is_plausible(rate: Fraction) -> bool:
    slowest, fastest = _PLAUSIBLE_RATES
    return slowest <= rate <= fastest


def _start_s(stream: av.stream.Stream) -> Fraction | None:
    unit = rational(stream.time_base)
    return None if stream.start_time is None or unit is None else stream.start_time * unit


def _origin_s(
    container: av.container.InputContainer, video: av.VideoStream, others: Sequence[av.stream.Stream]
) -> Fraction:
    """Return where the first of video and audio begins; 0 where a container that starts at 0 has a run-in.

    Subtitles and data may begin anywhere, and cover images have no time.
    """
    heard = [stream for stream in others if stream.type == "audio"]
    starts_s = [start_s for stream in (video, *heard) if (start_s := _start_s(stream)) is not None]
    earliest_s = min(starts_s, default=Fraction(0))
    if container.format.name.split(",")[0] in _FREE_RUNNING:
        return earliest_s
    return max(Fraction(0), earliest_s)
