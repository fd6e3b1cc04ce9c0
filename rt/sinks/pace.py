"""When a frame of a recorded source is due before somebody's eyes."""

from __future__ import annotations

import time

from rt.frame import Frame


class Pace:
    """The clock of a stream that is shown: its first frame is due at once."""

    def __init__(self) -> None:
        self._zero_s: float | None = None

    def due_s(self, frame: Frame) -> float:
        """Return when the frame is due, in `time.perf_counter()`; one that is late moves all later ones."""
        now_s = time.perf_counter()
        if self._zero_s is None or self._zero_s + frame.time_s < now_s:
            self._zero_s = now_s - frame.time_s
        return self._zero_s + frame.time_s
