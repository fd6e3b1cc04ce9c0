"""Sinks that do as a test tells them."""

from __future__ import annotations

import threading

from rt.errors import SinkError
from rt.frame import Frame


class Listed:
    """Keeps the indexes of what is written; can be held up, and can fail."""

    def __init__(self, fails_at: int | None = None, fails_at_close: bool = False) -> None:
        self.written: list[int] = []
        self.ended: list[str] = []
        self.begun = threading.Semaphore(0)
        """Released when a write begins."""
        self.go_on = threading.Event()
        """Writes wait for it; set unless `hold` was called."""
        self.go_on.set()
        self._fails_at = fails_at
        self._fails_at_close = fails_at_close

    def hold(self) -> None:
        """Let every write wait until `go_on` is set."""
        self.go_on.clear()

    def write(self, frame: Frame) -> None:
        self.begun.release()
        assert self.go_on.wait(60)
        if frame.index == self._fails_at:
            raise SinkError("cannot write listed: it broke")
        self.written.append(frame.index)

    def close(self) -> None:
        self.ended.append("closed")
        if self._fails_at_close:
            raise SinkError("cannot write listed: it broke at its end")

    def abort(self) -> None:
        self.ended.append("aborted")
        self.go_on.set()
