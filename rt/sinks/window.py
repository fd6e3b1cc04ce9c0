"""A window on the screen."""

from __future__ import annotations

import os
import time

import cv2

from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks import SinkClosed
from rt.sinks.pace import Pace

LEAVE_KEYS = frozenset({ord("q"), ord("Q"), 27})
"""q and Escape."""
LARGEST_WH = (1280, 720)
"""Largest window opened, in pixels; the viewer may enlarge it."""
STEP_S = 0.05
"""Longest wait in seconds between two looks at the keyboard."""


class WindowSink:
    """Shows frames, each when it is due; ends the run where its window is closed or q is pressed.

    Check `display_fault` first: without a display OpenCV ends the whole program.
    """

    def __init__(self, title: str, paced: bool) -> None:
        """`paced` holds each frame back until its time; leave it out for live sources."""
        # OpenCV's wheels ship Qt without fonts, and Qt says so once per widget; the window draws no text.
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
        self._title = title
        self._pace = Pace() if paced else None
        self._open = False
        self._closed = False

    def write(self, frame: Frame) -> None:
        """Show one frame when it is due.

        Raises:
            SinkClosed: the window was closed, or q or Escape pressed.
            SinkError: the window system failed, or the sink is closed.
        """
        if self._closed:
            raise SinkError(f"window {self._title} is closed and cannot show a frame")
        try:
            if not self._open:
                self._show_window(frame)
            self._wait_until_due(frame)
            cv2.imshow(self._title, cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
            self._look(0.001)
        except cv2.error as error:
            raise SinkError(f"window {self._title} cannot be shown: {' '.join(str(error).split())}") from None

    def close(self) -> None:
        """Close the window; works twice."""
        self._closed = True
        if self._open:
            self._open = False
            cv2.destroyWindow(self._title)

    def abort(self) -> None:
        """Close the window; works twice."""
        self.close()

    def _show_window(self, frame: Frame) -> None:
        # GUI_NORMAL: without Qt's tool bar and status bar, which would take room from the picture.
        cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        height, width = frame.rgb.shape[:2]
        scale = min(1.0, LARGEST_WH[0] / width, LARGEST_WH[1] / height)
        cv2.resizeWindow(self._title, round(width * scale), round(height * scale))
        self._open = True

    def _wait_until_due(self, frame: Frame) -> None:
        """Wait for the frame's time; a frame that is late is shown at once and moves all later ones."""
        if self._pace is None:
            return
        due_s = self._pace.due_s(frame)
        while (left_s := due_s - time.perf_counter()) > 0:
            self._look(min(left_s, STEP_S))

    def _look(self, wait_s: float) -> None:
        """Let the window system work for `wait_s` seconds; see whether the viewer wants to leave."""
        key = cv2.waitKey(max(1, round(wait_s * 1000)))
        if key & 0xFF in LEAVE_KEYS or not self._is_visible():
            self._open = self._is_visible()
            raise SinkClosed

    def _is_visible(self) -> bool:
        try:
            return bool(cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) > 0)
        except cv2.error:  # raised where the last window is gone
            return False
