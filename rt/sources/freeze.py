"""Detects a frozen camera, whose driver repeats one image.

A lens and a sensor are noisy: two frames are never equal byte by byte. So equal frames mean a freeze,
but only where noise was seen before: a camera that shows something drawn (a slide, a test card) repeats
frames because nothing moves. And a frame of one single level is never called frozen: a covered lens
compressed to JPEG gives just that. After the camera was opened again it has to show its noise anew, so a
still slide that follows what moves costs one reopening, once.
"""

from __future__ import annotations

import numpy as np

from rt.errors import SourceError
from rt.frame import Rgb

_NOISY_AFTER = 10
"""Frames in a row, each unlike the one before, after which a camera counts as noisy."""
_SAMPLE = 16
"""Every so many rows are compared first: noise shows in any of them."""


class FreezeWatch:
    """Tells new frames of a camera from the last one repeated."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._last: Rgb | None = None
        self._changes = 0
        self._since_s = 0.0

    def is_new(self, rgb: Rgb, now_s: float) -> bool:
        """Return False for a frame that a noisy camera has given before.

        Raises:
            SourceError: it repeats it for longer than the limit.
        """
        last, self._last = self._last, rgb
        if last is None or not _equal(last, rgb):
            self._changes += last is not None
            self._since_s = now_s
            return True
        if self._changes < _NOISY_AFTER or rgb.min() == rgb.max():
            self._changes = 0
            return True
        if now_s - self._since_s > self._limit_s:
            raise SourceError(f"it gives one and the same frame for {self._limit_s:g} s")
        return False

    def reset(self) -> None:
        """Forget what was seen: the camera was opened again."""
        self._last, self._changes = None, 0


def _equal(one: Rgb, other: Rgb) -> bool:
    if one.shape != other.shape or not np.array_equal(one[::_SAMPLE], other[::_SAMPLE]):
        return False
    return np.array_equal(one, other)
