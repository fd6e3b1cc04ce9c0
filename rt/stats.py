"""What a run did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stats:
    """Figures of one run."""

    frames: int
    """Frames written."""
    seconds: float
    """Wall time in seconds from the start of reading until the sink was closed."""
    stopped: bool
    """True where the run was asked to end before its source did."""

    @property
    def fps(self) -> float:
        """Frames written per second of wall time."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0
