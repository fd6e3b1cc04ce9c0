"""What a run does: figures while it runs, and at its end."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

STAGES = ("wait", "translate", "write", "total")
"""Where the time of a live frame goes.

wait: from capture until its translation begins; translate; write: from its translation until the sink has
taken it; total: from capture until the sink has taken it.
"""
_KEPT = 2048
"""Frames whose latencies are remembered: about a minute."""
_RATE_S = 2.0
"""The span of time that the current frame rate is taken over."""


@dataclass(frozen=True)
class Percentiles:
    """Latency in milliseconds: half, 95 % and 99 % of the frames were no slower."""

    p50_ms: float
    p95_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"{self.p50_ms:.0f}/{self.p95_ms:.0f}/{self.p99_ms:.0f} ms"


@dataclass(frozen=True)
class Stats:
    """Figures of one run."""

    frames: int
    """Frames written."""
    seconds: float
    """Wall time in seconds from the start of reading until the sink was closed."""
    stopped: bool
    """True where the run was asked to end before its source did."""
    dropped: int = 0
    """Frames of a live source that newer ones replaced before they were translated or written."""
    latency: Mapping[str, Percentiles] = field(default_factory=dict)
    """Latency of the latest frames by stage, see `STAGES`; empty where the source is not live."""

    @property
    def fps(self) -> float:
        """Frames written per second of wall time."""
        return self.frames / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Status:
    """What a running translation looks like at one moment, for a status line or an overlay."""

    frames: int
    """Frames written so far."""
    fps: float
    """Frames written per second, over the last seconds."""
    dropped: int
    latency: Mapping[str, Percentiles]
    stale: bool
    """True where the source shows its last image again, because no new one comes."""
    style: str = ""
    backend: str = ""
    precision: str = ""
    gpu: str = ""
    """What the GPU does: clock, power, temperature, what slows it; empty where that is not told."""
    audio: str = ""
    """How live audio goes, in words; empty where there is none."""
    kept_share: float | None = None
    """Share of the latest frames whose residual was kept, as nothing moved; None where none ever is."""


class Meter:
    """Collects the figures of one run; any thread may read them."""

    def __init__(self) -> None:
        self.count_drops: Callable[[], int] = lambda: 0
        """Returns how many frames were lost so far; set by what hands frames on."""
        self._lock = threading.Lock()
        self._frames = 0
        self._stale = False
        self._times_s: deque[float] = deque(maxlen=_KEPT)
        self._stages: dict[str, deque[float]] = {stage: deque(maxlen=_KEPT) for stage in STAGES}

    def written(self, marks: Marks, stale: bool) -> None:
        """Count a frame that the sink has just taken."""
        now_s = time.perf_counter()
        with self._lock:
            self._frames += 1
            self._stale = stale
            self._times_s.append(now_s)
            if marks.captured_s is not None and not stale:
                spans_s = (
                    marks.begun_s - marks.captured_s,
                    marks.done_s - marks.begun_s,
                    now_s - marks.done_s,
                    now_s - marks.captured_s,
                )
                for stage, span_s in zip(STAGES, spans_s, strict=True):
                    self._stages[stage].append(1000 * span_s)

    @property
    def frames(self) -> int:
        """Frames written so far."""
        return self._frames

    def latency(self) -> dict[str, Percentiles]:
        """Return the latency of the latest frames by stage; empty where no live frame was written."""
        with self._lock:
            stages = {stage: sorted(spans) for stage, spans in self._stages.items() if spans}
        return {stage: _percentiles(spans) for stage, spans in stages.items()}

    def status(self) -> Status:
        """Return what the run looks like now."""
        latency, dropped = self.latency(), self.count_drops()
        with self._lock:
            recent = [t for t in self._times_s if t > time.perf_counter() - _RATE_S]
            span_s = recent[-1] - recent[0] if len(recent) > 1 else 0.0
            fps = (len(recent) - 1) / span_s if span_s > 0 else 0.0
            return Status(self._frames, fps, dropped, latency, self._stale)


@dataclass(frozen=True)
class Marks:
    """When a frame passed the stages, `time.perf_counter()` each."""

    captured_s: float | None
    begun_s: float
    """Its translation began."""
    done_s: float
    """It was translated."""


def _percentiles(ordered: list[float]) -> Percentiles:
    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    return Percentiles(at(0.5), at(0.95), at(0.99))
