"""Frames of a monitor."""

from __future__ import annotations

import os
import re
import sys
import threading
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from rt.errors import SourceError
from rt.frame import DEFAULT_RATE, Rgb
from rt.install import install_hint
from rt.media import MATRIX_709
from rt.pacing import Pace
from rt.planes import as_rgb
from rt.sources.base import Source, SourceOptions, refuse_options
from rt.sources.live import Granted, LiveSource
from rt.text import one_line

if TYPE_CHECKING:
    from mss import MSS


def open_screen(address: str, options: SourceOptions) -> Source:
    """Open `screen://` (the first monitor), `screen://2` (the second) or `screen://0` (all of them as one).

    Raises:
        SourceError: there is no display, no such monitor, or the package mss is not installed.
    """
    refuse_options(options, address, "a screen", ("fps", "height", "width", "duration_s", "microphone"))
    return LiveSource(ScreenGrabber(address, options), options.duration_s, microphone=options.microphone)


class ScreenGrabber:
    """A monitor, at the pace of a camera; scaled where a size is asked for."""

    noisy = False
    ends_stalls = True

    def __init__(self, address: str, options: SourceOptions) -> None:
        found = re.fullmatch(r"screen://(\d*)", address, re.I)
        if found is None:
            raise SourceError(f"cannot read {address}: a monitor has a number; type: screen://1")
        self.name = address
        self._monitor = int(found[1] or 1)
        self._fps = options.fps or DEFAULT_RATE
        self._asked = (options.height, options.width)
        self._interrupted = threading.Event()
        self._reformatter = VideoReformatter()
        self._taker: MSS | None = None
        self._pace = Pace()
        self._index = 0

    def open(self) -> Granted:
        """Connect to the display.

        Raises:
            SourceError: see `open_screen`.
        """
        self._interrupted.clear()
        self._taker = _connect(self.name)
        count = len(self._taker.monitors) - 1
        if self._monitor > count:
            raise SourceError(f"cannot read {self.name}: there is no monitor {self._monitor}, only {count}")
        self._pace = Pace()
        return Granted(f"{float(self._fps):g} fps", self._fps)

    def read(self) -> Rgb:
        """Take the frame when it is due.

        Raises:
            SourceError: interrupted, or the display is gone.
        """
        from mss import ScreenShotError

        taker = self._taker
        # What is late is not caught up with: the screen is as it is now.
        if taker is None or self._interrupted.wait(self._pace.wait_s(float(self._index / self._fps))):
            raise SourceError(f"cannot read {self.name}: interrupted")
        self._index += 1
        try:
            shot = taker.grab(taker.monitors[self._monitor])
        except (ScreenShotError, OSError) as error:
            raise SourceError(f"cannot read {self.name}: {one_line(error)}") from None
        bgra = np.frombuffer(shot.raw, np.uint8).reshape(
            shot.height, shot.width, 4
        )  # [H * W * 4] → [H, W, 4]
        image = av.VideoFrame.from_ndarray(bgra, "bgra")
        return as_rgb(image, self._reformatter, self._size(shot.height, shot.width), MATRIX_709)

    def interrupt(self) -> None:
        """End a wait."""
        self._interrupted.set()

    def close(self) -> None:
        """Leave the display."""
        if self._taker is not None:
            self._taker.close()
        self._taker = None

    def _size(self, height: int, width: int) -> tuple[int, int]:
        """Return what is asked for; a side that is not keeps the shape of the screen."""
        match self._asked:
            case (None, None):
                return height, width
            case (None, int(asked)):
                return max(1, round(height * asked / width)), asked
            case (int(asked), None):
                return asked, max(1, round(width * asked / height))
            case (int(asked_height), int(asked_width)):
                return asked_height, asked_width
        raise AssertionError(self._asked)


def _connect(name: str) -> MSS:
    try:
        from mss import MSS, ScreenShotError
    except ImportError:
        raise SourceError(
            f"cannot read {name}: the package mss is missing or too old; type: {install_hint('screen')}"
        ) from None
    on_unix = sys.platform not in ("win32", "darwin")
    if on_unix and not os.environ.get("DISPLAY"):
        wayland = "; Wayland gives its screen to nobody" if os.environ.get("WAYLAND_DISPLAY") else ""
        raise SourceError(f"cannot read {name}: there is no X display (DISPLAY is not set){wayland}")
    try:
        return MSS()
    except (ScreenShotError, OSError) as error:
        raise SourceError(f"cannot read {name}: the display cannot be used ({one_line(error)})") from None
