"""The server's own source, shown to every visitor at its pace."""

from __future__ import annotations

import threading
from typing import Any

from rt.errors import SourceError
from rt.frame import Frame
from rt.log import LOG
from rt.pacing import Pace
from rt.sources import Source
from rt.web.service import TranslationService


class SharedSource:
    """Reads a source in a thread and shows its frames to all visitors; owns the source.

    Recorded sources are paced by their own clock. A failure is reported to every visitor; the last frame
    stays.
    """

    def __init__(self, source: Source, service: TranslationService) -> None:
        self.fault: str | None = None
        """Why there are no more frames; None while they come."""
        self.stale = False
        """Whether the frame shown is the last one of a live source that has stalled."""
        self._source, self._service = source, service
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="videobrush-source", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and close the source; works twice."""
        self._ending.set()
        self._source.close()
        self._thread.join()

    def _run(self) -> None:
        pace = Pace(late_s=float("inf"))  # the times of a recording may begin anywhere
        fault = "the source has ended"
        try:
            for frame in self._source:
                if not self._source.live and self._ending.wait(pace.wait_s(frame.time_s)):
                    break
                self._report_stale(frame)
                self._service.show(frame)
                if self._ending.is_set():
                    break
        except SourceError as error:
            fault = str(error)
        if not self._ending.is_set():
            LOG.warning("%s: %s", self._source.info.name, fault)
            self.fault = fault
            self._broadcast(f"no more frames: {fault}")

    def _report_stale(self, frame: Frame) -> None:
        """Tell the visitors, once, that a live source has stalled, and that it goes on."""
        if frame.stale != self.stale:
            self.stale = frame.stale
            self._broadcast("no new frames: this is the last one" if self.stale else "new frames again")

    def _broadcast(self, text: str) -> None:
        message: dict[str, Any] = {"type": "error", "message": text}
        self._service.broadcast(message)
