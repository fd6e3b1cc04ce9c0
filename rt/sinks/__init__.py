"""Where frames go."""

from __future__ import annotations

from typing import Protocol

from rt.frame import Frame


class SinkClosed(Exception):
    """Raised by `write` where the viewer wants no more: the run ends as if its source had ended."""


class Sink(Protocol):
    """A consumer of frames. Every method raises `SinkError` on failure."""

    def write(self, frame: Frame) -> None:
        """Take one frame. The picture is neither kept nor changed after the call returns."""
        ...

    def close(self) -> None:
        """Finish: what was written becomes a whole, playable result. Works twice."""
        ...

    def abort(self) -> None:
        """End without a result: nothing is left behind. Works twice; does nothing after `close`."""
        ...
