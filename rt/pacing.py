"""When the next frame is due, and how long to wait before trying again."""

from __future__ import annotations

import time

DEVICE_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Pauses before the first, second, ... attempt to open a device again; the last one is repeated."""
SERVER_BACKOFF_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""The same for a server that is sent to."""


class Backoff:
    """Growing pauses between attempts.

    Args:
        pauses_s: the pause before each attempt; the last one is repeated.
    """

    def __init__(self, pauses_s: tuple[float, ...]) -> None:
        self._pauses_s = pauses_s
        self.attempts = 0
        """Pauses given out since the last `reset`."""

    def next_s(self) -> float:
        """Return the pause before the next attempt."""
        pause_s = self._pauses_s[min(self.attempts, len(self._pauses_s) - 1)]
        self.attempts += 1
        return pause_s

    def reset(self) -> None:
        """Begin again with the shortest pause: an attempt succeeded."""
        self.attempts = 0


class Pace:
    """Maps the times of a stream to `time.perf_counter()`; its first frame is due at once.

    Args:
        late_s: a frame that is later than this moves all later ones instead of being caught up with.
        early_s: so is one that is due further ahead than this: its clock has jumped.
    """

    def __init__(self, late_s: float = 0.0, early_s: float = float("inf")) -> None:
        self._late_s = late_s
        self._early_s = early_s
        self._zero_s: float | None = None

    def due_s(self, time_s: float) -> float:
        """Return when a frame at `time_s` of its stream is due, in `time.perf_counter()`."""
        now_s = time.perf_counter()
        if self._zero_s is None or not -self._late_s <= self._zero_s + time_s - now_s < self._early_s:
            self._zero_s = now_s - time_s
        return self._zero_s + time_s

    def wait_s(self, time_s: float) -> float:
        """Return how long to wait for a frame at `time_s` of its stream; 0 where it is due."""
        return max(0.0, self.due_s(time_s) - time.perf_counter())
