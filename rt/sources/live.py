"""Live sources: always drained, watched, opened again after a fault.

A thread reads whatever the device gives and keeps the newest frame; an iteration gets each frame once,
at most as fast as it asks. How an outage looks from outside:

    no new frame for 2 s        the last one comes again about once a second, marked stale
    read fails, stream ends       opened again, first after 0.2 s, at last every 4 s, for as long as it takes
    a camera repeats one frame  the same, see `rt.sources.freeze`
    a frame comes               frames go on; the size stays that of the first frame

Each outage is said in one line, its end in another.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from rt.audio import LiveAudio, LiveInfo
from rt.channel import Channel, Empty, Ended
from rt.errors import SourceError
from rt.frame import Frame, Rgb, SourceInfo
from rt.pacing import DEVICE_BACKOFF_S, Backoff
from rt.sources.clock import CameraClock, StreamClock
from rt.sources.freeze import FreezeWatch
from rt.sources.microphone import open_microphone
from rt.sources.pixels import letterboxed

_log = logging.getLogger(__name__)

TIME_BASE = Fraction(1, 90000)
"""The clock of live frames: seconds per unit of their pts."""
FRESH_S = 2.0
"""A frame is stale when no newer one came for so long."""
_STALE_EVERY_S = 1.0
_SPOKEN_EVERY_S = 30.0
"""A line about failing attempts comes no more often than this."""


@dataclass(frozen=True)
class Granted:
    """What a device or connection agreed to."""

    detail: str
    """In words: `30 fps, MJPG`."""
    frame_rate: Fraction | None
    """Frames per second, where it says them."""
    audio: LiveAudio | None = None
    """Its audio, where it has some."""
    clock: StreamClock | CameraClock | None = None
    """Says where each frame belongs that was read, where frames have times of their own."""


class StreamOver(Exception):
    """What a device gave is over for good: there is nothing to open again."""


class Grabber(Protocol):
    """One device or connection that gives frames. One thread at a time opens, reads and closes it."""

    name: str
    """What the user calls it: an address."""
    noisy: bool
    """True for a lens: two of its frames are never equal, unless it is frozen."""
    ends_stalls: bool
    """True where a device that gives nothing is to be opened again; False where only waiting helps."""

    def open(self) -> Granted:
        """Open it; after a fault, open it again. Gives up after a few seconds, or when interrupted.

        Raises:
            SourceError: it cannot be opened.
        """
        ...

    def read(self) -> Rgb:
        """Wait for the next frame: uint8[H, W, 3] RGB in memory of its own.

        Gives up after a few seconds, or when interrupted.

        Raises:
            SourceError: there is none; the device is to be closed and opened again.
            StreamOver: there is none and never will be.
        """
        ...

    def interrupt(self) -> None:
        """From any thread: let an `open` or `read` that is blocked now fail soon."""
        ...

    def close(self) -> None:
        """Release it. Works twice, and where `open` failed."""
        ...


@dataclass(frozen=True)
class _Shot:
    """A frame, when it was there, by `time.perf_counter()`, and where it belongs on the run's clock."""

    rgb: Rgb
    captured_s: float
    shown_s: float


class LiveSource:
    """Frames of a grabber, for as long as it is open.

    The constructor opens it and waits for its first frame, so whatever makes it unusable is known before
    a model is loaded. From then on it is drained, whether anybody iterates or not.

    Args:
        grabber: not open yet; this object has it for itself from now on.
        duration_s: seconds from the first frame after which iteration ends; None for no end.
        fresh_s: seconds without a new frame after which the last one counts as stale.
        microphone: name of one that is opened beside it; None for the grabber's own audio, if any.

    Raises:
        SourceError: it cannot be opened or gives no frame; or there is no such microphone.
    """

    live = True

    def __init__(
        self,
        grabber: Grabber,
        duration_s: float | None = None,
        fresh_s: float = FRESH_S,
        microphone: str | None = None,
    ) -> None:
        self._grabber = grabber
        self._duration_s = duration_s
        self._fresh_s = fresh_s
        self._outage = _Outage(grabber.name)
        self._closing = threading.Event()
        self._shots: Channel[_Shot] = Channel(1, newest_wins=True)
        self._started = False
        self._dropped_before = 0
        try:
            granted = grabber.open()
            first = grabber.read()
            self._microphone = None if microphone is None else open_microphone(microphone)
        except StreamOver:
            grabber.close()
            raise SourceError(f"cannot read {grabber.name}: it ended before its first frame") from None
        except BaseException:
            grabber.close()
            raise
        if granted.frame_rate:  # a slow camera is not a stalled one
            self._fresh_s = max(fresh_s, float(3 / granted.frame_rate))
        height, width = first.shape[:2]
        self._audio = granted.audio if self._microphone is None else self._microphone.audio
        self._clock = None if self._audio is None else granted.clock
        facts = (grabber.name, height, width, granted.frame_rate, None)
        self.info = SourceInfo(*facts) if self._audio is None else LiveInfo(*facts, audio=self._audio)
        self._freeze = FreezeWatch(self._fresh_s) if grabber.noisy else None
        self._resized = False
        self._keep(first)
        _log.info("%s: %dx%d, %s", grabber.name, width, height, granted.detail)
        self._thread = threading.Thread(target=self._capture, name=f"capture {grabber.name}", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Frames replaced by newer ones since the iteration began."""
        return self._shots.dropped - self._dropped_before if self._started else 0

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame each time; uint8[H, W, 3] RGB, all of the first frame's size.

        Raises:
            RuntimeError: the source was iterated before.
        """
        if self._started:
            raise RuntimeError("a LiveSource is iterated once")
        self._started = True
        self._dropped_before = self._shots.dropped
        return self._frames()

    def close(self) -> None:
        """End the iteration at once and the capture with it. Works twice, from any thread.

        Returns when the capture has ended: at once where the grabber can be interrupted, else when what it
        waits for has come or its limit is reached.
        """
        self._closing.set()
        self._shots.abort()
        if self._microphone is not None:
            self._microphone.close()
        while self._thread.is_alive():
            self._grabber.interrupt()  # again and again: it may have been between two reads
            self._thread.join(0.05)

    def _frames(self) -> Iterator[Frame]:
        begun_s: float | None = None
        last: _Shot | None = None
        last_pts = index = 0
        due_s = time.perf_counter() + self._fresh_s
        while True:
            stale = False
            try:
                last = self._shots.get(max(0.0, due_s - time.perf_counter()))
                shown_s = last.shown_s
                due_s = last.captured_s + self._fresh_s
            except Ended:
                return
            except Empty:
                now_s, stale = time.perf_counter(), True
                shown_s = now_s if self._clock is None else self._clock.repeated(now_s)
                due_s = now_s + _STALE_EVERY_S
                again = self._grabber.ends_stalls
                if self._outage.begin(f"no new frame for {self._fresh_s:g} s", again) and again:
                    self._grabber.interrupt()
            if last is None:
                continue  # the first frame is in the channel before the iteration begins
            if begun_s is None:
                begun_s = shown_s
                if self._audio is not None:
                    self._audio.begin(begun_s)
            pts = round((shown_s - begun_s) / TIME_BASE)
            last_pts = max(pts, last_pts + 1) if index else 0
            if self._duration_s is not None and last_pts * TIME_BASE >= self._duration_s:
                return
            yield Frame(last.rgb, last_pts, TIME_BASE, index, captured_s=last.captured_s, stale=stale)
            index += 1

    def _capture(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    self._keep(self._grabber.read())
                except SourceError as error:
                    self._open_again(error)
            self._shots.close()
        except StreamOver:
            self._shots.close()
        except BaseException as error:  # a fault of ours: it is raised where the frames are read
            self._shots.close(error)
        finally:
            self._grabber.close()

    def _keep(self, rgb: Rgb) -> None:
        """Take a frame for the next to ask, unless it is only the last one again."""
        captured_s = time.perf_counter()
        if self._freeze is not None and not self._freeze.is_new(rgb, captured_s):
            return
        size = (self.info.height, self.info.width)
        if rgb.shape[:2] != size:
            self._say_resized(rgb)
            rgb = letterboxed(rgb, size)
        self._outage.end()
        shown_s = captured_s if self._clock is None else self._clock.shown_s
        self._shots.put(_Shot(rgb, captured_s, shown_s))

    def _say_resized(self, rgb: Rgb) -> None:
        if not self._resized:
            self._resized = True
            _log.warning(
                "%s: its frames are now %dx%d; they are fitted into the first size, %dx%d",
                *(self._grabber.name, rgb.shape[1], rgb.shape[0], self.info.width, self.info.height),
            )

    def _open_again(self, fault: SourceError) -> None:
        """Close and open the device until it gives a frame, or the source is closed."""
        if self._closing.is_set():
            return
        self._outage.begin(str(fault), True)
        backoff = Backoff(DEVICE_BACKOFF_S)
        while True:
            self._grabber.close()
            if self._closing.wait(backoff.next_s()):
                return
            try:
                self._grabber.open()
                first = self._grabber.read()
            except SourceError as error:
                self._outage.failed(backoff.attempts, str(error))
                continue
            if self._freeze is not None:
                self._freeze.reset()
            self._keep(first)
            return


class _Outage:
    """Says once that a source is out, now and then that it still is, and once that it is back."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._since_s: float | None = None
        self._spoken_s = 0.0

    def begin(self, fault: str, opening_again: bool) -> bool:
        """Note an outage and say it; False where it was noted before."""
        with self._lock:
            if self._since_s is not None:
                return False
            self._since_s = self._spoken_s = time.perf_counter()
        what = "opening it again" if opening_again else "waiting for it"
        _log.warning("%s: %s; %s", self._name, _without(self._name, fault), what)
        return True

    def failed(self, attempt: int, fault: str) -> None:
        """Note an attempt that failed."""
        with self._lock:
            now_s = time.perf_counter()
            if now_s - self._spoken_s < _SPOKEN_EVERY_S:
                return
            self._spoken_s = now_s
        _log.warning("%s: still out, attempt %d: %s", self._name, attempt, _without(self._name, fault))

    def end(self) -> None:
        """Say that the source is back, where it was out."""
        with self._lock:
            since_s, self._since_s = self._since_s, None
        if since_s is not None:
            _log.warning("%s: it is back after %.1f s", self._name, time.perf_counter() - since_s)


def _without(name: str, fault: str) -> str:
    """Return the fault without the name it may begin with."""
    return fault.removeprefix(f"cannot read {name}: ").removeprefix(f"{name}: ")
