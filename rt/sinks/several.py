"""Several outputs of one run, each as quick as it can be."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from rt.channel import Channel
from rt.errors import SinkError
from rt.frame import Frame
from rt.pacing import Pace
from rt.sinks.base import Sink

_log = logging.getLogger(__name__)

CAPACITY = {True: 16, False: 1}
"""Frames that may wait: for a recording, to even out its encoder; for an output shown live, the newest."""


class SinkThread:
    """Hands frames to a sink without ever waiting: where too many wait, the oldest is lost and counted.

    A failure of the sink ends the thread and is kept in `fault`; the owner of the thread looks at it.
    """

    def __init__(self, name: str, sink: Sink, recorded: bool) -> None:
        """`recorded`: what was written is to be kept, even where the run fails: it cannot be had again."""
        self.name = name
        self.recorded = recorded
        self.fault: SinkError | None = None
        """Why the sink takes no more."""
        self._sink = sink
        self._frames: Channel[Frame] = Channel(CAPACITY[recorded], newest_wins=True)
        self._begun = False
        self._closing = False
        self._aborted = False
        self._ended = False
        self._bug: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"videobrush-{name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Frames that newer ones replaced before they were written."""
        return self._frames.dropped

    def put(self, frame: Frame) -> None:
        """Hand on one frame.

        Raises:
            BaseException: the sink failed in a way that is no `SinkError`: a mistake of the program.
        """
        if self._bug is not None:
            raise self._bug
        self._begun = True
        self._frames.put(frame)

    def close(self) -> None:
        """Write what waits and finish the result. Works twice.

        Raises:
            SinkError: the sink failed, now or before.
            BaseException: it failed in a way that is no `SinkError`: a mistake of the program.
        """
        if self._ended:
            return
        self._closing = True
        self._frames.close()
        self._thread.join()
        try:
            self._sink.close()
        except SinkError as error:
            self.fault = self.fault or error
        self._ended = True
        if self.recorded and self.lost:
            _log.warning("%s: %d frames came too fast to be written and are lost", self.name, self.lost)
        if (fault := self._bug or self.fault) is not None:
            raise fault

    def abort(self) -> None:
        """End at once; what a recording holds is kept. Works twice; does nothing after `close`."""
        if self._ended:
            return
        if self.recorded and self._begun:
            if self._closing:  # the caller did not want to wait for what is queued
                self._frames.abort()
            try:
                self.close()
            except SinkError as error:  # the run has an error of its own to report
                _log.warning("%s", error)
            return
        self._ended = self._aborted = True
        self._frames.abort()
        self._sink.abort()  # before the thread is waited for: this wakes a write that is stuck
        self._thread.join()

    def _run(self) -> None:
        try:
            for frame in self._frames:
                self._sink.write(frame)
        except SinkError as error:
            if not self._aborted:  # a write that was woken by the abort fails
                self.fault = error
        except BaseException as error:
            self._bug = error
        finally:
            self._frames.abort()


class SeveralSinks:
    """Gives every frame to several outputs.

    Frames go to `direct` sinks in the calling thread: nothing is lost, the slowest sets the pace, a failure
    ends the run. `threads` never hold a frame up; one that fails is said once and the others go on. The
    `window` comes last, in the calling thread, because windows must be drawn by the main one.

    Args:
        paced: hold each frame back until its time; for threads beside a recorded source without a window.
        on_fault: is told once of each thread that fails, in one line.
    """

    def __init__(
        self,
        direct: Sequence[Sink] = (),
        threads: Sequence[SinkThread] = (),
        window: Sink | None = None,
        *,
        paced: bool = False,
        on_fault: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._direct = list(direct)
        self._threads = list(threads)
        self._window = window
        self._pace = Pace() if paced else None
        self._on_fault = on_fault
        self._said: set[str] = set()
        self._closed = threading.Event()  # no more frames are taken
        self._ended = False  # nothing is open any more

    def write(self, frame: Frame) -> None:
        """Give a frame to every output that still works.

        Raises:
            SinkError: a direct sink failed, or every thread did and there is nothing else.
            SinkClosed: the window was closed.
        """
        if self._closed.is_set():
            raise SinkError("the outputs are closed and cannot take a frame")
        if self._pace is not None:
            self._closed.wait(max(0.0, self._pace.due_s(frame.time_s) - time.perf_counter()))
        for sink in self._direct:
            sink.write(frame)
        for thread in self._threads:
            thread.put(frame)
        self._check_threads()
        if self._window is not None:
            self._window.write(frame)

    def close(self) -> None:
        """Finish every output, whatever becomes of the others; works twice.

        Raises:
            SinkError: the first failure of something recorded, now or before.
            BaseException: an interrupt, or a mistake of the program; what was still open is aborted.
        """
        if self._ended:
            return
        self._closed.set()
        try:
            faults = self._close_all()
        except BaseException:
            self.abort()
            raise
        self._ended = True
        for fault in faults[1:]:
            _log.error("%s", fault)
        if faults:
            raise faults[0]

    def _close_all(self) -> list[SinkError]:
        """Finish every output; return the failures of what is recorded."""
        faults: list[SinkError] = []
        for sink in self._sinks():
            try:
                sink.close()
            except SinkError as error:
                faults.append(error)
        for thread in sorted(self._threads, key=lambda thread: not thread.recorded):  # servers may stall
            try:
                thread.close()
            except SinkError as error:
                if thread.recorded:
                    faults.append(error)
                else:
                    self._say(thread.name, error)
        return faults

    def abort(self) -> None:
        """End every output without a result; recordings of live frames are kept. Works twice."""
        if self._ended:
            return
        self._closed.set()
        self._ended = True
        with ExitStack() as ends:
            for sink in self._sinks():
                ends.callback(sink.abort)
            for thread in self._threads:
                ends.callback(thread.abort)

    def _sinks(self) -> list[Sink]:
        return [*self._direct, *([] if self._window is None else [self._window])]

    def _check_threads(self) -> None:
        faults = [(thread.name, thread.fault) for thread in self._threads if thread.fault is not None]
        if faults and len(faults) == len(self._threads) and not self._sinks():
            raise faults[-1][1]
        for name, fault in faults:
            self._say(name, fault)

    def _say(self, name: str, fault: SinkError) -> None:
        if name not in self._said:
            self._said.add(name)
            self._on_fault(f"{fault}; the other outputs go on")
