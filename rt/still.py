"""Still scenes: what the network made of a frame is kept while nothing moves.

A camera on a stand sees the same scene again and again, each time with other noise. The network need not be
asked again then: its residual of before is applied to the new frame. A network of fixed size cannot compute
a few tiles alone, and what it looks at around each of them is most of the image; so tiles decide, and one
that moved has the whole image computed.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from rt.card import Detail
from rt.frame import Rgb

REFRESH_S = 1.0
"""The network is asked at least this often, in seconds of the frames' time."""
MOST_OFF = 0.8
"""Levels, the mean over the image, by which what is kept may differ from what the network makes now where
that is checked: within one level then in between."""
_TICK_S = 1e-6
_TILE_PX = 8
_SHIFT, _NOISE = 2.0, 6.0
"""A tile's mean may differ by so many levels, or by so many times the median tile's: that is noise."""
_LIGHT = 1.0
"""Levels by which the median tile's mean may differ: beyond it the light or the camera changes."""
_GRAIN, _SPAN = 2.0, 2.5
"""Times the median tile's mean difference, and levels beyond, that a tile's may be."""

_Floats = npt.NDArray[np.float32]


class Still:
    """Says for each frame of a stream whether the network is asked, and keeps what it made.

    Nothing is kept until the network was asked twice about a scene and both results agree within `MOST_OFF`:
    a style that paints another stroke for each grain of noise is computed anew for each frame. The same is
    checked whenever the network is asked about a scene that stands still.
    """

    def __init__(self) -> None:
        self._small_in: Rgb | None = None
        self._small_out: Rgb | None = None
        self._time_s = 0.0
        self._trusted = False
        self._checked: Rgb | None = None

    def reset(self) -> None:
        """Forget the scene: another network is asked."""
        self._small_in = self._small_out = self._checked = None
        self._trusted = False

    def ask(self, small_in: Rgb, time_s: float) -> bool:
        """Return whether the network is to be asked about its input uint8[h, w, 3] RGB at this time.

        Where it is, `keep` is called with its result, before the next frame; else `kept` is what it made.
        """
        before = self._small_in
        if before is None or before.shape != small_in.shape or moved(before, small_in):
            self.reset()
        elif self._trusted and 0 <= time_s - self._time_s < REFRESH_S - _TICK_S:
            return False
        self._checked = self._small_in
        self._small_in, self._time_s = small_in, time_s
        return True

    def keep(self, small_out: Rgb, detail: Detail) -> None:
        """Take what the network made of the latest frame it was asked about."""
        if self._checked is not None and self._small_out is not None and self._small_in is not None:
            kept = self._small_out
            if detail == "keep":
                residual = cv2.subtract(kept, self._checked, dtype=cv2.CV_16S)
                kept = np.asarray(cv2.add(self._small_in, residual, dtype=cv2.CV_8U), np.uint8)
            self._trusted = float(cv2.absdiff(kept, small_out).mean()) <= MOST_OFF
        self._small_out = small_out

    @property
    def kept(self) -> tuple[Rgb, Rgb]:
        """The network's input that is kept, and its result: uint8[h, w, 3] RGB both."""
        assert self._small_in is not None
        assert self._small_out is not None
        return self._small_in, self._small_out


def moved(before: Rgb, now: Rgb) -> bool:
    """Return whether `now` shows something else than `before`, beyond a sensor's noise.

    Both are a network's input, uint8[h, w, 3] RGB of one size.
    """
    difference = np.asarray(cv2.subtract(now, before, dtype=cv2.CV_32F), np.float32)
    shift = np.abs(_tiles(difference)).max(axis=2)
    median = float(np.median(shift))
    if median > _LIGHT or shift.max() > max(_SHIFT, _NOISE * median):
        return True
    grain = _tiles(np.abs(difference)).max(axis=2)
    return bool(grain.max() > _GRAIN * float(np.median(grain)) + _SPAN)


def _tiles(difference: _Floats) -> _Floats:
    """Return the means of the tiles: float32[rows, columns, 3]."""
    height, width = difference.shape[:2]
    size_wh = max(1, width // _TILE_PX), max(1, height // _TILE_PX)
    return np.asarray(cv2.resize(difference, size_wh, interpolation=cv2.INTER_AREA), np.float32)
