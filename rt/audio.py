"""Audio of live sources: samples on the frames' clock, kept for a while.

A source puts blocks in, each with the time of its first sample. They are joined into one unbroken row of
samples: gaps are silence, overlaps are cut, and a clock of the samples that is a little fast or slow is
followed by stretching blocks by so little that it cannot be heard. A sink reads the row up to the time of
the frame it writes, so frames that are late, dropped or repeated change nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from rt.frame import SourceInfo

Samples = npt.NDArray[np.float32]
"""float32[C, N] in [-1, 1]: channels, samples."""

RATE = 48000
"""Samples per second of all live audio."""
LAYOUTS = {1: "mono", 2: "stereo"}
"""Channels → FFmpeg's name of them."""
KEPT_S = 20.0
"""Seconds of samples that are kept: longer than any frame is on its way."""
PATIENCE_S = 3.0
"""Audio that comes so much later than the frame of its time is silence; broadcasts send it a second later."""
QUIET_S = 2.0
"""After so long without a block the status says so."""
_HARD = 15 * RATE // 1000
"""Samples out of step from which on a block is moved at once; below, blocks are stretched."""
_DEAD = RATE // 1000
"""Samples out of step that are left alone: containers round their times to milliseconds."""
_STRETCH = 400
"""One sample in so many, at most, is added or taken away: 4 cents."""
_BACK = RATE
"""A block that is so much too early is no overlap: its clock was set back."""
_FADE = 5 * RATE // 1000
"""Samples over which audio sets in after a gap, so that it does not click."""


@dataclass(frozen=True)
class Join:
    """How a block is joined to the row."""

    start: int
    """Where its first sample goes."""
    skipped: int
    """Of its own first samples, how many are left out."""
    length: int
    """How many samples what remains is stretched to."""
    error: int
    """Samples that it was out of step by, before."""
    broken: bool
    """True where it does not follow the block before."""


class Joiner:
    """Finds the place of each block in the row; knows positions alone, no samples."""

    def __init__(self) -> None:
        self.end: int | None = None
        """Where the row ends; None before its first block."""

    def join(self, start_s: float, count: int) -> Join:
        """Place a block of `count` samples whose first one belongs at `start_s`."""
        start = round(start_s * RATE)
        end = start if self.end is None else self.end
        error = start - end
        broken = self.end is None
        skipped, length = 0, count
        if error > _HARD or error < -_BACK:
            end, broken = start, True
        elif error < -_HARD:
            skipped, broken = min(count, -error), True
            length = count - skipped
        elif abs(error) > _DEAD:
            most = max(1, count // _STRETCH)
            length = count + max(-most, min(most, error))
        self.end = end + length
        return Join(end, skipped, length, error, broken)


class LiveAudio:
    """The row of samples of one live source. Any thread may put and read.

    Args:
        channels: 1 or 2.
        name: what it is, in words: `aac 44100 Hz stereo`.
    """

    def __init__(self, channels: int, name: str) -> None:
        self.channels = channels
        self.name = name
        self.wanted = False
        """True where it is read; else a source need not decode it."""
        self._lock = threading.Lock()
        self._joiner = Joiner()
        self._chunks: deque[tuple[int, Samples]] = deque()
        self._zero = 0
        self._heard_s = time.perf_counter()
        self._gaps = 0
        self._errors: deque[tuple[float, int]] = deque(maxlen=256)

    def begin(self, zero_s: float) -> None:
        """Say at what time, on the clock of the blocks, the source's first frame was."""
        with self._lock:
            self._zero = round(zero_s * RATE)

    def put(self, start_s: float, samples: Samples) -> None:
        """Append a block whose first sample belongs at `start_s`; it is not changed, and kept."""
        now_s = time.perf_counter()
        with self._lock:
            first = self._joiner.end is None
            join = self._joiner.join(start_s, samples.shape[1])
            self._heard_s = now_s
            self._gaps += join.broken and not first
            self._errors.append((now_s, 0 if join.broken else join.error))
            placed = stretched(samples[:, join.skipped :], join.length)
            self._cut(join.start)
            if join.length:
                self._chunks.append((join.start, _faded_in(placed) if join.broken else placed))
            while self._chunks and self._chunks[0][0] < join.start - round(KEPT_S * RATE):
                self._chunks.popleft()

    def _cut(self, end: int) -> None:
        """Forget what lies behind a position: the clock was set back."""
        while self._chunks and self._chunks[-1][0] >= end:
            self._chunks.pop()
        if self._chunks:
            at, chunk = self._chunks[-1]
            self._chunks[-1] = (at, chunk[:, : end - at])

    @property
    def end(self) -> int:
        """The position behind the last sample, counted from the first frame."""
        with self._lock:
            end = self._joiner.end
            return 0 if end is None else end - self._zero

    def read(self, start: int, stop: int) -> Samples:
        """Return float32[C, stop - start]: the samples at these positions; silence where there are none."""
        found = np.zeros((self.channels, stop - start), np.float32)
        with self._lock:
            start, stop = start + self._zero, stop + self._zero
            for at, chunk in reversed(self._chunks):
                if at + chunk.shape[1] <= start:
                    break
                first, last = max(start, at), min(stop, at + chunk.shape[1])
                if first < last:
                    found[:, first - start : last - start] = chunk[:, first - at : last - at]
        return found

    def status(self) -> str:
        """Return how it goes, in words: how far the last second's blocks were out of step, and all gaps."""
        now_s = time.perf_counter()
        with self._lock:
            silent_s = now_s - self._heard_s
            errors = [abs(error) for at_s, error in self._errors if at_s > now_s - 1]
            gaps = self._gaps
        if silent_s > QUIET_S:
            return f"NO AUDIO for {silent_s:.0f} s"
        within = f"audio in step within {-(-1000 * max(errors, default=0) // RATE)} ms"
        return within + (f", {gaps} gap{'s'[: gaps != 1]}" if gaps else "")


class AudioReader:
    """Reads the audio that belongs to written frames: each sample once, in order, without a gap."""

    def __init__(self, audio: LiveAudio) -> None:
        audio.wanted = True
        self.channels = audio.channels
        self._audio = audio
        self._next: int | None = None

    def begin(self, time_s: Fraction) -> None:
        """Begin, or begin anew, at the time of a frame."""
        self._next = round(time_s * RATE)

    def until(self, time_s: Fraction) -> Iterator[Samples]:
        """Yield float32[C, N]: what has come up to the time of a frame, and silence for what is overdue."""
        assert self._next is not None, "reading begins at the time of a frame"
        want = round(time_s * RATE)
        stop = min(want, max(self._audio.end, want - round(PATIENCE_S * RATE)))
        while self._next < stop:
            start, self._next = self._next, min(stop, self._next + RATE)
            yield self._audio.read(start, self._next)


@dataclass(frozen=True)
class LiveInfo(SourceInfo):
    """What is known of a live source that has audio."""

    audio: LiveAudio = field(kw_only=True)


def audio_of(info: SourceInfo | None) -> LiveAudio | None:
    """Return the audio of a live source; None where it has none."""
    return info.audio if isinstance(info, LiveInfo) else None


def stretched(samples: Samples, length: int) -> Samples:
    """Return float32[C, length]: the same audio, in a little more or fewer samples (cubic interpolation)."""
    count = samples.shape[1]
    if length == count or count == 0:
        return samples
    at = np.linspace(0, count - 1, length)
    before = np.minimum(at.astype(np.int64), max(0, count - 2))
    t = (at - before).astype(np.float32)
    padded = np.pad(samples, ((0, 0), (1, 2)), mode="edge")  # [C, N] → [C, N + 3]
    p0, p1, p2, p3 = (padded[:, before + offset] for offset in range(4))
    # Catmull and Rom 1974: a cubic through the two samples, with the slopes of their neighbours
    bent = p1 + 0.5 * t * (p2 - p0 + t * (2 * p0 - 5 * p1 + 4 * p2 - p3 + t * (3 * (p1 - p2) + p3 - p0)))
    return np.asarray(bent, np.float32)


def _faded_in(samples: Samples) -> Samples:
    count = min(_FADE, samples.shape[1])
    faded: Samples = samples.copy()
    faded[:, :count] *= np.linspace(0, 1, count, dtype=np.float32)
    return faded
