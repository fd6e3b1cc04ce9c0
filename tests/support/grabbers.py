"""A camera without a lens: the test says what it gives."""

from __future__ import annotations

import queue
import threading
from fractions import Fraction

import numpy as np

from rt.errors import SourceError
from rt.frame import Rgb
from rt.sources.live import Granted

LIMIT_S = 20  # only reached where something hangs


class FakeGrabber:
    """Gives the frames put into it, one for each `read`; an error put into it is raised.

    `read` blocks while there is nothing, like a device that hangs, until it is interrupted.
    """

    def __init__(self, *images: Rgb | SourceError, noisy: bool = False, rate: int | None = 30) -> None:
        self.name = "camera fake"
        self.noisy = noisy
        self.ends_stalls = True
        self.opened = self.closed = 0
        self.is_open = False
        self.refusals: list[str] = []
        """What the next attempts to open fail with, the last one first."""
        self.reopened = threading.Event()
        """Set when it was opened a second time."""
        self._rate = None if rate is None else Fraction(rate)
        self._given: queue.Queue[Rgb | SourceError] = queue.Queue()
        for image in images:
            self.give(image)

    def give(self, image: Rgb | SourceError) -> None:
        """Let the next `read` return or raise this."""
        self._given.put(image)

    def open(self) -> Granted:
        if self.refusals:
            raise SourceError(self.refusals.pop())
        self.opened += 1
        self.is_open = True
        if self.opened > 1:
            self.reopened.set()
        return Granted("given by the test", self._rate)

    def read(self) -> Rgb:
        given = self._given.get(timeout=LIMIT_S)
        if isinstance(given, SourceError):
            raise given
        return given

    def interrupt(self) -> None:
        self._given.put(SourceError("interrupted"))

    def close(self) -> None:
        self.closed += 1
        self.is_open = False


def noise(seed: int, height: int = 24, width: int = 32) -> Rgb:
    """Return uint8[height, width, 3]: what a sensor gives; no two are equal."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
