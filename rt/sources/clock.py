"""Clocks of live sources: when what comes belongs.

The clock of the run is `time.perf_counter()` at the first frame of a connection and goes on as the stream's
own clock does: frames and audio are placed by their time stamps, not by when they arrive.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

BACK_S = 0.5
"""A time stamp that is so much earlier than the one before begins a new clock (a wrap, another programme)."""
AHEAD_S = 1.0
"""So does one that is so much further ahead than time went by."""
NEAR_S = 5.0
"""Frames and audio of one time arrive within this."""
FAR_S = 5.0
"""The clock of the run is ahead of the machine's by no more."""
STEP_S = 0.001
"""The least time between two frames."""
_KEPT = 256


@dataclass(frozen=True)
class _Segment:
    """From `from_s` on the stream's clock, it is `offset_s` behind the run's."""

    epoch: int
    from_s: float
    offset_s: float


class Steps:
    """Tells the jumps of one row of time stamps."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None

    def jumped(self, stream_s: float, now_s: float) -> bool:
        """Note a time stamp that came at `now_s`; return whether it does not continue the ones before."""
        last, self._last = self._last, (stream_s, now_s)
        if last is None:
            return False
        step_s = stream_s - last[0]
        return step_s < -BACK_S or step_s > AHEAD_S + (now_s - last[1])


class StreamClock:
    """Places frames and audio of one stream on the clock of the run; any thread may call it.

    Frames set it: where the stream's clock jumps, or a connection is opened anew, an epoch begins with a
    frame, at the time that has gone by. Audio follows: `place` answers for an epoch and time of the stream.
    """

    def __init__(self) -> None:
        self.shown_s = 0.0
        """Where the last frame belongs."""
        self.epoch = 0
        """Number of the epoch of the last frame; 0 before the first one."""
        self.stream_s = 0.0
        """The stream's time of the last frame."""
        self.epoch_began_s = 0.0
        """When its epoch began."""
        self._lock = threading.Lock()
        self._steps = Steps()
        self._anew = True
        self._arrived_s: float | None = None
        self._repeated_s = float("-inf")
        self._segments: deque[_Segment] = deque(maxlen=_KEPT)

    def restart(self) -> int:
        """Note that the stream is opened anew; return the epoch that begins with its first frame."""
        with self._lock:
            self._anew = True
            self._steps = Steps()
            return self.epoch + 1

    def frame(self, stream_s: float | None, now_s: float) -> float:
        """Return where a frame belongs that came at `now_s`, later than every one before."""
        with self._lock:
            if stream_s is None:
                shown_s = self._going_on_s(now_s)
            elif self._steps.jumped(stream_s, now_s) or self._anew:
                self._anew = False
                self.epoch += 1
                self.epoch_began_s = now_s
                shown_s = self._going_on_s(now_s)
                self._segments.append(_Segment(self.epoch, float("-inf"), shown_s - stream_s))
            else:
                shown_s = stream_s + self._segments[-1].offset_s
                # Frames were shown again meanwhile: audio waits as they did. Or servers sent so much at once,
                # at each of many connections, that the run is far ahead: some of it is squeezed out.
                if shown_s < self._repeated_s or shown_s > now_s + FAR_S:
                    shown_s = self._going_on_s(now_s)
                    self._segments.append(_Segment(self.epoch, stream_s, shown_s - stream_s))
            if stream_s is not None:
                self.stream_s = stream_s
            return self._shown(shown_s, now_s)

    def repeated(self, now_s: float) -> float:
        """Return where a frame belongs that is shown again because no new one comes."""
        with self._lock:
            self._repeated_s = self._shown(self._going_on_s(now_s), now_s)
            return self._repeated_s

    def place(self, epoch: int, stream_s: float) -> float | None:
        """Return where audio of this time of the stream belongs; None where that is not known."""
        with self._lock:
            found = [segment for segment in self._segments if segment.epoch == epoch]
            of_time = [segment for segment in found if segment.from_s <= stream_s]
            return stream_s + of_time[-1].offset_s if of_time else None

    def _shown(self, shown_s: float, now_s: float) -> float:
        """Note where a frame belongs: later than the one before."""
        self.shown_s = shown_s if self._arrived_s is None else max(shown_s, self.shown_s + STEP_S)
        self._arrived_s = now_s
        return self.shown_s

    def _going_on_s(self, now_s: float) -> float:
        """Return the time of what follows the last frame by the clock of the machine.

        A stream that is ahead (a server sends the last seconds at once) waits for the machine's clock, one
        that is behind goes on as long as has gone by.
        """
        if self._arrived_s is None:
            return now_s
        gone_s = max(STEP_S, now_s - self._arrived_s)
        return self.shown_s + min(max(STEP_S, now_s - self.shown_s), gone_s)


class CameraClock:
    """Where frames of a camera belong beside a microphone: when their driver began to receive them.

    A frame arrives later, by its way over the cable and its decoding. Not every driver says when it began.
    """

    OLDEST_S = 1.0

    def __init__(self) -> None:
        self.shown_s = 0.0

    def frame(self, stamp_s: float, now_s: float) -> None:
        """Note a frame that came at `now_s`; stamps of another clock than this machine's are left out."""
        self.shown_s = stamp_s if 0 <= now_s - stamp_s < self.OLDEST_S else now_s

    def repeated(self, now_s: float) -> float:
        """Return where a frame belongs that is shown again because no new one comes."""
        return now_s


class SampleClock:
    """When samples that are counted were taken, from blocks that arrive late by changing amounts.

    The least delay of the last seconds is the true one; so a sound card whose clock is a little fast or slow
    is followed, and a late block moves nothing.
    """

    WINDOW_S = 4.0

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._count = 0
        self._least: deque[tuple[float, float]] = deque()  # times and offsets, both growing

    def start_s(self, count: int, taken_s: float) -> float:
        """Return when the first of the next `count` samples was taken; `taken_s`: at the latest then."""
        counted_s = self._count / self._rate
        self._count += count
        offset_s = taken_s - counted_s
        while self._least and self._least[-1][1] >= offset_s:
            self._least.pop()
        self._least.append((taken_s, offset_s))
        while self._least[0][0] < taken_s - self.WINDOW_S:
            self._least.popleft()
        return counted_s + self._least[0][1]

    def restart(self) -> None:
        """Begin anew: samples were lost."""
        self._count = 0
        self._least.clear()
