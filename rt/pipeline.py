"""Three threads and two channels: read → translate → write.

The writing stage is the calling thread, because windows must be drawn by the main thread on some systems.

How a run ends:

    the source ends             every frame is written, the sink is closed, `Stats` returned
    the source fails            the frames read so far are written, the sink is closed, `DamagedSource` raised
    stop requested              reading ends, what is queued is written, the sink is closed, `Stats` returned
    the sink says SinkClosed    the same, without the frames still queued
    translator or sink fails    at once: the sink is aborted, the error raised

In every case the threads have ended when `run_pipeline` returns or raises.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rt.channel import Channel
from rt.errors import DamagedSource, SourceError
from rt.frame import Frame
from rt.sinks.base import Sink, SinkClosed
from rt.sources import Source
from rt.stats import Marks, Meter, Stats

CAPACITY = 4
"""Frames that may wait in each channel: enough to even out the stages, little enough for 8K frames."""
Translate = Callable[[Iterable[Frame]], Iterator[Frame]]
"""Gives one frame for each it takes, in order; it may take several before it gives the first."""


class Stop:
    """A request to end a run early. `request` may be called from a signal handler and from any thread."""

    def __init__(self) -> None:
        self.settled = False
        """Set by the run once its result is whole, or given up: a stop comes too late then."""
        self._requested = False
        # SimpleQueue.put is reentrant: the only hand-off that a signal handler can use without a deadlock.
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()

    @property
    def requested(self) -> bool:
        """True once the end was asked for."""
        return self._requested

    def request(self) -> None:
        """Ask for the end."""
        self._requested = True
        self._wakes.put(None)

    def wait(self) -> None:
        """Block until `request` or `release` is called; each call wakes one waiter."""
        self._wakes.get()

    def release(self) -> None:
        """Wake a waiter without asking for the end."""
        self._wakes.put(None)


def run_pipeline(
    source: Source,
    translate: Translate,
    sink: Sink,
    *,
    stop: Stop | None = None,
    meter: Meter | None = None,
    on_progress: Callable[[int], None] = lambda frames: None,
) -> Stats:
    """Carry the frames of `source` through `translate` to `sink`; close both ends.

    `translate` runs in a thread of its own and gives one frame for each it takes, in order. Of a live source
    the newest frame wins: one that waits when a newer one comes is dropped and counted. Of any other source
    every frame is carried. `meter` may be read while frames flow. `on_progress` is called in the calling
    thread with the number of frames written so far, after each frame.

    Raises:
        DamagedSource: the source failed after some frames; they are written and the sink is closed.
        SourceError: the source failed before its first frame, or has none; the sink is aborted.
        Exception: whatever `translate`, the sink or `on_progress` raised; the sink is aborted.
    """
    meter = meter or Meter()
    run = _Run(source, translate, stop or Stop(), meter)
    started = time.perf_counter()
    try:
        run.start()
        run.write_to(sink, on_progress)
    except BaseException:
        sink.abort()
        raise
    finally:
        run.end()
    if run.failure is not None:
        raise DamagedSource(f"{run.failure}; {meter.frames} frames are written") from run.failure
    seconds = time.perf_counter() - started
    return Stats(meter.frames, seconds, run.stopped, meter.count_drops(), meter.latency())


@dataclass(frozen=True)
class _Translated:
    """A frame on its way to the sink, and when it passed the stages."""

    frame: Frame
    marks: Marks


class _Run:
    """The threads and channels of one run, and how it ended."""

    def __init__(self, source: Source, translate: Translate, stop: Stop, meter: Meter) -> None:
        self.failure: SourceError | None = None  # set by the reader, handed on in order by the channels
        self.stopped = False
        self._source = source
        self._translate = translate
        self._stop = stop
        self._meter = meter
        capacity = 1 if source.live else CAPACITY
        self._read: Channel[Frame] = Channel(capacity, newest_wins=source.live)
        self._translated: Channel[_Translated] = Channel(capacity, newest_wins=source.live)
        meter.count_drops = lambda: source.dropped + self._read.dropped + self._translated.dropped
        stages = {"read": self._run_reader, "translate": self._run_translator, "stop": self._run_stopper}
        self._threads = [
            threading.Thread(target=stage, name=f"videobrush-{name}", daemon=True)
            for name, stage in stages.items()
        ]

    def start(self) -> None:
        """Start every thread."""
        for thread in self._threads:
            thread.start()

    def write_to(self, sink: Sink, on_progress: Callable[[int], None]) -> None:
        """Write translated frames until there are no more, and close the sink."""
        meter = self._meter
        try:
            for done in self._translated:
                sink.write(done.frame)
                meter.written(done.marks, done.frame.stale)
                on_progress(meter.frames)
        except SinkClosed:
            self.stopped = True
        except SourceError as error:
            if meter.frames == 0 or error is not self.failure:
                raise
        self.stopped = self.stopped or self._stop.requested
        if meter.frames == 0 and not self.stopped:
            raise SourceError(
                f"{self._source.info.name} holds no frame; give a video with at least one frame"
            )
        if meter.frames == 0:
            sink.abort()
        else:
            sink.close()
        self._stop.settled = True

    def end(self) -> None:
        """Wake every thread that waits, and see all of them end."""
        self._read.abort()
        self._translated.abort()
        self._source.close()
        self._stop.release()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run_reader(self) -> None:
        try:
            for frame in self._source:
                if self._stop.requested or not self._read.put(frame):
                    break
            self._read.close()
        except SourceError as error:
            self.failure = error
            self._read.close(error)
        except BaseException as error:
            self._read.abort(error)

    def _run_translator(self) -> None:
        begun_s: deque[float] = deque()

        def taken() -> Iterator[Frame]:
            for frame in self._read:
                begun_s.append(time.perf_counter())
                yield frame

        try:
            for frame in self._translate(taken()):
                marks = Marks(frame.captured_s, begun_s.popleft(), time.perf_counter())
                if not self._translated.put(_Translated(frame, marks)):
                    return
            self._translated.close()
        except BaseException as error:
            if error is self.failure:
                self._translated.close(error)
            else:
                self._translated.abort(error)

    def _run_stopper(self) -> None:
        """Wake a reader that waits for an image when a stop is requested."""
        self._stop.wait()
        if self._stop.requested:
            self._source.close()
