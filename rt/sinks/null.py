"""Frames that go nowhere."""

from __future__ import annotations

from rt.frame import Frame
from rt.sinks.base import closed


class NullSink:
    """Counts frames and drops them: for benchmarks, and for trying a source or a style."""

    def __init__(self) -> None:
        self.frames = 0
        """Frames taken so far."""
        self._closed = False

    def write(self, frame: Frame) -> None:
        """Count one frame.

        Raises:
            SinkError: the sink is closed.
        """
        if self._closed:
            raise closed("null://")
        self.frames += 1

    def close(self) -> None:
        """Take no more; works twice."""
        self._closed = True

    def abort(self) -> None:
        """Take no more; works twice."""
        self._closed = True
