"""One output in a thread of its own, so that a slow one holds nobody up."""

from __future__ import annotations

import logging
import threading

from rt.channel import Channel
from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks import Sink

_log = logging.getLogger(__name__)

CAPACITY = {True: 16, False: 1}
"""Frames that may wait: for a recording, to even out its encoder; for an output shown live, the newest."""


class Lane:
    """Hands frames to a sink without ever waiting: where too many wait, the oldest is lost and counted.

    A failure of the sink ends the lane and is kept in `fault`; whoever owns the lane looks at it.
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
            if self._closing:  # somebody did not want to wait for what is queued
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
