"""Sinks that do as a test tells them."""

from __future__ import annotations

import threading
from fractions import Fraction
from typing import ClassVar

from rt.errors import SinkError
from rt.frame import Frame, Rgb
from rt.sinks import Sink
from tests.support.media import drawn

SIZE = (16, 24)
"""(height, width) of `frame`."""


def frame(index: int) -> Frame:
    """Return a drawn frame, 25 a second."""
    return Frame(drawn(index, *SIZE), index, Fraction(1, 25), index)


def write(sink: Sink, count: int) -> None:
    """Write the first `count` frames."""
    for index in range(count):
        sink.write(frame(index))


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


class DrawnCamera:
    """A backend of pyvirtualcam that keeps what is sent; `register` puts it beside the real ones."""

    opened: ClassVar[list[DrawnCamera]] = []

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None) -> None:
        if device not in (None, "drawn"):
            raise RuntimeError(f"no camera {device}")
        self.size = (height, width)
        self.fps = fps
        self.images: list[Rgb] = []
        self.closed = 0
        self.broken = False
        DrawnCamera.opened.append(self)

    def send(self, frame: Rgb) -> None:
        if self.broken:
            raise RuntimeError("the device is gone")
        self.images.append(frame.reshape(*self.size, 3).copy())

    def close(self) -> None:
        self.closed += 1

    def device(self) -> str:
        return "drawn"

    def native_fourcc(self) -> None:
        return None
