"""A drawn moving image, for demos, tests and benchmarks.

One large image is drawn once; each frame is a window into it, copied to memory of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from urllib.parse import parse_qsl, urlsplit

import numpy as np

from rt.errors import SourceError
from rt.frame import DEFAULT_RATE, Frame, Rgb, SourceInfo
from rt.pacing import Pace
from rt.sources.base import Source, SourceOptions, frames_before, refuse_options
from rt.sources.live import Granted, LiveSource

SIZE = (360, 640)
"""(height, width) where no other is asked for."""
_WAY_Y, _WAY_X = 120, 240
"""Pixels that the window goes before it turns around."""
_STEP_Y, _STEP_X = 1, 3
"""Pixels that it goes from one frame to the next; two frames in a row are never equal."""
_SHAPES = 24
_LATE_S = 1.0
"""A pattern that is later than this starts its clock again instead of catching up."""


def open_pattern(address: str, options: SourceOptions) -> Source:
    """Open `pattern://`, `pattern://?seed=7`, `pattern://?unpaced` or both joined by `&`.

    Raises:
        SourceError: something else stands behind the `?`, or an option makes no sense.
    """
    refuse_options(
        options, address, "drawn without end", ("fps", "height", "width", "duration_s", "microphone")
    )
    unpaced, seed = _read_address(address)
    size = (options.height or SIZE[0], options.width or SIZE[1])
    pattern = Pattern(size, seed)
    fps = options.fps or DEFAULT_RATE
    if unpaced:
        refuse_options(options, address, "not live", ("fps", "height", "width", "duration_s"))
        return PatternSource(address, pattern, fps, options.duration_s)
    grabber = PatternGrabber(address, pattern, fps)
    return LiveSource(grabber, options.duration_s, microphone=options.microphone)


def _read_address(address: str) -> tuple[bool, int]:
    """Return whether it is unpaced, and its seed."""
    parts = urlsplit(address)
    asked = dict(parse_qsl(parts.query, keep_blank_values=True))
    unpaced, seed = asked.pop("unpaced", None), asked.pop("seed", "0")
    if asked or parts.netloc or parts.path or unpaced or not seed.isdecimal():
        raise SourceError(
            f"cannot read {address}: a pattern has a seed and may be unpaced, nothing else; "
            "type: pattern://?unpaced&seed=7"
        )
    return unpaced is not None, int(seed)


class Pattern:
    """The drawing, and its frames by number."""

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        self.height, self.width = size
        self._canvas = _draw(self.height + _WAY_Y, self.width + _WAY_X, seed)

    def frame(self, index: int) -> Rgb:
        """Return frame `index` as a new uint8[height, width, 3] RGB."""
        y = abs(index * _STEP_Y % (2 * _WAY_Y) - _WAY_Y)
        x = abs(index * _STEP_X % (2 * _WAY_X) - _WAY_X)
        window: Rgb = self._canvas[y : y + self.height, x : x + self.width].copy()
        return window


class PatternSource:
    """A pattern at no pace: as fast as it is read, times as if at `fps`; nothing is dropped."""

    live = False
    dropped = 0

    def __init__(self, address: str, pattern: Pattern, fps: Fraction, duration_s: float | None) -> None:
        self._pattern = pattern
        self._fps = fps
        self._count = None if duration_s is None else max(1, frames_before(duration_s, fps))
        self._started = self._closed = False
        self.info = SourceInfo(address, pattern.height, pattern.width, fps, self._count)

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in order.

        Raises:
            RuntimeError: the source was iterated before.
        """
        if self._started:
            raise RuntimeError("a PatternSource is iterated once")
        self._started = True
        index = 0
        while not self._closed and index != self._count:
            yield Frame(self._pattern.frame(index), index, 1 / self._fps, index)
            index += 1

    def close(self) -> None:
        """End the iteration. Works twice."""
        self._closed = True


class PatternGrabber:
    """A pattern at the pace of a camera."""

    noisy = False
    ends_stalls = True

    def __init__(self, address: str, pattern: Pattern, fps: Fraction) -> None:
        self.name = address
        self._pattern = pattern
        self._fps = fps
        self._interrupted = threading.Event()
        self._index = 0
        self._pace = Pace(_LATE_S)

    def open(self) -> Granted:
        """Start the clock."""
        self._interrupted.clear()
        self._pace = Pace(_LATE_S)
        return Granted(f"{float(self._fps):g} fps, drawn", self._fps)

    def read(self) -> Rgb:
        """Return the next frame when it is due.

        Raises:
            SourceError: interrupted.
        """
        if self._interrupted.wait(self._pace.wait_s(float(self._index / self._fps))):
            raise SourceError("interrupted")
        rgb = self._pattern.frame(self._index)
        self._index += 1
        return rgb

    def interrupt(self) -> None:
        """End a wait."""
        self._interrupted.set()

    def close(self) -> None:
        """There is nothing to release."""


def _draw(height: int, width: int, seed: int) -> Rgb:
    """Return uint8[height, width, 3]: soft waves of colour, discs and bars with hard edges, fine stripes."""
    rng = np.random.default_rng(seed)
    y = np.arange(height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None, :]
    canvas = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        a, b = rng.uniform(-0.02, 0.02, 2)
        phase_y, phase_x = rng.uniform(0, 6.28, 2)
        waves = np.sin(a * y + 0.01 * x + phase_y) + np.sin(b * x - 0.013 * y + phase_x)  # [H, W]
        canvas[..., channel] = 128 + 45 * waves
    for shape in range(_SHAPES):
        colour = rng.integers(20, 236, 3, dtype=np.uint8)
        top, left = int(rng.integers(0, height)), int(rng.integers(0, width))
        side = int(rng.integers(height // 16 + 2, height // 5 + 3))
        box = canvas[top : top + side, left : left + side]
        if shape % 3 == 0:
            box[...] = colour
        elif shape % 3 == 1:
            box[:, ::4] = colour  # stripes of one pixel: the finest detail a style can lose
        else:
            rows, columns = np.ogrid[: box.shape[0], : box.shape[1]]
            box[(rows - side / 2) ** 2 + (columns - side / 2) ** 2 < side**2 / 4] = colour
    return canvas
