"""Before and after side by side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rt.frame import Frame
from rt.sinks.base import Sink


class Compared:
    """Hands on each frame as before|after, twice as wide, to the sink it owns."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, frame: Frame) -> None:
        """Write the frame as it came and, right of it, its translation."""
        assert frame.before is not None, "only translated frames can be compared"
        self._sink.write(replace(frame, image=np.concatenate([frame.before, frame.rgb], axis=1)))

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()

    def abort(self) -> None:
        """Abort the sink."""
        self._sink.abort()
