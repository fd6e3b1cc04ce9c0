"""Cameras through OpenCV: V4L2 on Linux, the system's own elsewhere."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from rt.errors import SourceError
from rt.frame import DEFAULT_RATE, Rgb
from rt.sources.base import Source, SourceOptions, refuse_options
from rt.sources.clock import CameraClock
from rt.sources.live import Granted, LiveSource

_log = logging.getLogger(__name__)

SIZE = (720, 1280)
"""What is asked of a camera where the user asks nothing."""
_SILENT = 0
"""The level of OpenCV's log that says nothing."""
_NAMED_BY = ("v4l/by-id", "v4l/by-path")
"""Folders of links that still name a camera after it was plugged in again, the better one first."""
# Seconds that OpenCV waits for a frame; it reads this once, when the first camera is read.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")


@dataclass(frozen=True)
class Mode:
    """What a camera is asked for."""

    height: int
    width: int
    fps: Fraction

    @classmethod
    def of(cls, options: SourceOptions) -> Mode:
        """Return what the user asked for, completed: at 16:9 where only one side is given."""
        height, width = options.height, options.width
        if height is None:
            height = SIZE[0] if width is None else round(width * 9 / 16)
        if width is None:
            width = round(height * 16 / 9)
        return cls(height, width, options.fps or DEFAULT_RATE)

    def __str__(self) -> str:
        return f"{self.width}x{self.height} at {float(self.fps):g} fps"


def open_camera(address: str, options: SourceOptions) -> Source:
    """Open `0`, `/dev/video0` or `/dev/v4l/by-id/...`.

    Raises:
        SourceError: there is no such camera, it may not be opened, or it gives no frame.
    """
    can = ("fps", "height", "width", "duration_s", "microphone")
    refuse_options(options, address, "a camera", can)
    asked = any((options.fps, options.height, options.width))
    grabber = CameraGrabber(address, Mode.of(options), asked)
    return LiveSource(grabber, options.duration_s, microphone=options.microphone)


class OpenCvGrabber:
    """What cameras that OpenCV reads have in common: `open` sets `_capture`."""

    noisy = True
    ends_stalls = True

    def __init__(self, name: str) -> None:
        self.name = name
        self._capture: cv2.VideoCapture | None = None
        self._clock = CameraClock()

    def read(self) -> Rgb:
        """Return the next frame as a new uint8[H, W, 3] RGB.

        Raises:
            SourceError: none came in two seconds.
        """
        good, bgr = (False, None) if self._capture is None else self._capture.read()
        if not good or bgr is None:
            raise SourceError(f"cannot read {self.name}: it gives no frame (unplugged, or it hangs)")
        assert self._capture is not None
        # V4L2 says here when it began to receive the frame, by the clock of `time.perf_counter()`.
        self._clock.frame(self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, time.perf_counter())
        return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)

    def interrupt(self) -> None:
        """OpenCV cannot be woken; it gives up by itself after two seconds."""

    def close(self) -> None:
        """Let the camera go."""
        if self._capture is not None:
            self._capture.release()
        self._capture = None


class CameraGrabber(OpenCvGrabber):
    """A camera.

    It is found again by the link that names it for good, because after an unplug the same camera may come
    back as another /dev/video*.

    Args:
        address: a number, or a path under /dev.
        mode: what it is asked for.
        insist: whether the user asked for that mode, and wants to know where it is not granted.
        devices: where devices are.
    """

    def __init__(self, address: str, mode: Mode, insist: bool = False, devices: Path = Path("/dev")) -> None:
        super().__init__(f"/dev/video{address}" if address.isdecimal() else address)
        self._mode = mode
        self._insist = insist
        self._devices = devices
        self._path = devices / f"video{address}" if address.isdecimal() else Path(address)

    def open(self) -> Granted:
        """Open the camera and ask for the mode: MJPG first, because raw frames limit size and rate.

        Raises:
            SourceError: it is not there, may not be opened, or is in use.
        """
        number = self._find() if sys.platform.startswith("linux") else _trailing_number(self._path)
        api = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
        with quiet_opencv():
            self._capture = capture = cv2.VideoCapture(number, api)
        if not capture.isOpened():
            raise SourceError(
                f"cannot read {self.name}: it cannot be opened; it is in use by another program, or gives no "
                "frames; type: videobrush doctor"
            )
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._mode.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._mode.height)
        capture.set(cv2.CAP_PROP_FPS, float(self._mode.fps))
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return self._granted(capture)

    def _find(self) -> int:
        """Return the number of the camera's device now."""
        if not self._path.exists():
            raise SourceError(f"cannot read {self.name}: there is no such camera; {self._others()}")
        device = self._path.resolve()
        if not os.access(device, os.R_OK | os.W_OK):
            raise SourceError(
                f"cannot read {self.name}: you may not open {device}; "
                "type: sudo usermod -aG video $USER, and log in again"
            )
        self._path = lasting_name(self._path, self._devices)
        return _trailing_number(device)

    def _others(self) -> str:
        found = sorted(self._devices.glob("video*"), key=_trailing_number)
        return f"found: {', '.join(str(path) for path in found)}" if found else "no camera is connected"

    def _granted(self, capture: cv2.VideoCapture) -> Granted:
        width, height = (
            round(capture.get(prop)) for prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        rate = capture.get(cv2.CAP_PROP_FPS)
        fps = Fraction(rate).limit_denominator(1001) if rate > 0 else None
        if self._insist and (height, width, fps or self._mode.fps) != (
            self._mode.height,
            self._mode.width,
            self._mode.fps,
        ):
            self._insist = False  # said once
            granted = Mode(height, width, fps or self._mode.fps)
            _log.warning("%s: asked for %s, it grants %s", self.name, self._mode, granted)
        words = f"{rate:g} fps, " if fps else ""
        return Granted(f"{words}{_letters(capture.get(cv2.CAP_PROP_FOURCC))}", fps, clock=self._clock)


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep what OpenCV says of a device that it cannot open off stderr: we say it."""
    log: Any = getattr(cv2.utils, "logging", cv2)  # OpenCV 4 has its functions in cv2 itself
    before = log.getLogLevel()
    log.setLogLevel(_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(before)


def lasting_name(path: Path, devices: Path) -> Path:
    """Return the link that names this camera for good; the path itself where there is none."""
    if path.is_symlink():
        return path
    for folder in _NAMED_BY:
        for link in sorted((devices / folder).glob("*")):
            if link.resolve() == path.resolve():
                return link
    return path


def _trailing_number(path: Path) -> int:
    found = re.search(r"\d+$", path.name)
    return int(found[0]) if found else 0


def _letters(fourcc: float) -> str:
    """Return the four letters of a pixel format."""
    letters = int(fourcc).to_bytes(4, "little", signed=False) if fourcc > 0 else b""
    return letters.decode("ascii", errors="replace").strip() or "unknown format"
