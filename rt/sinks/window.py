"""A window on the screen."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import cv2
import numpy as np

from rt.controls import Controls
from rt.errors import SinkError
from rt.frame import Frame, Rgb
from rt.pacing import Pace
from rt.sinks.base import SinkClosed
from rt.sinks.overlay import Overlay, figures, slider
from rt.sinks.snapshot import save_snapshot
from rt.stats import Status

LEAVE_KEYS = frozenset({ord("q"), ord("Q"), 27})
"""q and Escape."""
_KEYPAD = {0xFFAB: "+", 0xFFAD: "-"}
"""Keys of the number pad that X11 gives codes of their own."""
LARGEST_WH = (1280, 720)
"""Largest window opened, in pixels; the viewer may enlarge it."""
_GRASP_PX = 12
"""So far beside the slider the mouse still takes it."""
STEP_S = 0.05
"""Longest wait in seconds between two looks at the keyboard."""
NOTE_S = 4.0
"""How long a note is shown, in seconds."""
_STATUS_S = 0.25
"""How often the figures are taken anew, in seconds: reading them costs more than drawing them."""


class WindowSink:
    """Shows frames, each when it is due; ends the run where its window is closed or q is pressed.

    Check `display_fault` first: without a display OpenCV ends the whole program.

    Args:
        title: of the window; one window a title.
        paced: hold each frame back until its time; leave it out for live sources.
        controls: what the keys change: see `rt.sinks.overlay.KEYS`; None: only q works.
        status: the figures shown over the frame; None: nothing is written over it.
    """

    def __init__(
        self,
        title: str,
        paced: bool,
        controls: Controls | None = None,
        status: Callable[[], Status] | None = None,
    ) -> None:
        # OpenCV's wheels ship Qt without fonts, and Qt says so once per widget; the window uses none of them.
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")
        self._title = title
        self._pace = Pace() if paced else None
        self._controls = controls
        self._status = status
        self._closed = False
        self._open = False
        self._shape: tuple[int, ...] = ()
        self._frame: Frame | None = None
        self._help = False
        self._figures: list[str] = []
        self._figures_s = float("-inf")
        self._notes: list[tuple[float, str]] = []

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
                # GUI_NORMAL: without Qt's tool bar and status bar, which would take room from the frame.
                cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
                self._open = True
                cv2.setMouseCallback(self._title, self._drag)
            self._wait_until_due(frame)
            self._frame = frame
            self._draw(frame)
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

    def _draw(self, frame: Frame) -> None:
        # A copy: the frame stays as it is.
        bgr = np.asarray(cv2.cvtColor(self._image(frame), cv2.COLOR_RGB2BGR), np.uint8)
        if bgr.shape != self._shape:
            self._shape = bgr.shape
            height, width = bgr.shape[:2]
            scale = min(1.0, LARGEST_WH[0] / width, LARGEST_WH[1] / height)
            cv2.resizeWindow(self._title, round(width * scale), round(height * scale))
        if self._status is not None:
            self._overlay(frame).draw(bgr)
        cv2.imshow(self._title, bgr)

    def _image(self, frame: Frame) -> Rgb:
        if self._controls is not None and self._controls.compare and frame.before is not None:
            return np.concatenate([frame.before, frame.rgb], axis=1)
        return frame.rgb

    def _overlay(self, frame: Frame) -> Overlay:
        assert self._status is not None
        controls, now_s = self._controls, time.perf_counter()
        wanted, strength = (controls.style, controls.strength) if controls else ("", 1.0)
        if now_s - self._figures_s >= _STATUS_S:
            self._figures_s = now_s
            self._figures = figures(self._status(), wanted, strength)
        if controls is not None:
            self._notes += [(now_s, note) for note in controls.take_notes()]
        self._notes = [(since_s, note) for since_s, note in self._notes if now_s - since_s < NOTE_S]
        recording = controls is not None and controls.recording
        notes = [note for _, note in self._notes]
        mix = controls.mix if controls is not None and "+" in controls.style else None
        return Overlay(self._figures, notes, recording, frame.stale, self._help, mix)

    def _drag(self, event: int, x: int, y: int, flags: int, _: object = None) -> None:
        """Take the slider of two mixed styles along; `x` and `y` are of the image, as OpenCV has them."""
        controls = self._controls
        pressed = event == cv2.EVENT_LBUTTONDOWN or (
            event == cv2.EVENT_MOUSEMOVE and flags & cv2.EVENT_FLAG_LBUTTON
        )
        if not pressed or controls is None or "+" not in controls.style or not self._shape:
            return
        left, top, right, bottom = slider(*self._shape[:2])
        if top - _GRASP_PX <= y <= bottom + _GRASP_PX and x >= left - _GRASP_PX:
            controls.mix = min(1.0, max(0.0, (x - left) / (right - left)))

    def _wait_until_due(self, frame: Frame) -> None:
        """Wait for the frame's time; a frame that is late is shown at once and moves all later ones."""
        if self._pace is None:
            return
        due_s = self._pace.due_s(frame.time_s)
        while (left_s := due_s - time.perf_counter()) > 0:
            self._look(min(left_s, STEP_S))

    def _look(self, wait_s: float) -> None:
        """Let the window system work for `wait_s` seconds; do what the viewer asks."""
        # waitKey alone cuts codes to 8 bits: the arrow to the left (0xFF51) would be a Q.
        key = cv2.waitKeyEx(max(1, round(wait_s * 1000))) & 0xFFFF  # without Shift, Control and the like
        if key in LEAVE_KEYS or not self._is_visible():
            self._open = self._is_visible()
            raise SinkClosed
        typed = _KEYPAD.get(key) or (chr(key).lower() if key <= 0xFF else "")
        if typed and self._controls is not None and self._frame is not None:
            self._obey(typed, self._controls, self._frame)
            self._figures_s = float("-inf")
            self._draw(self._frame)

    def _obey(self, key: str, controls: Controls, frame: Frame) -> None:
        if controls.press(key):
            return
        if key == "s":
            save_snapshot(frame, controls)
        elif key == "r" and self._pace is None:
            controls.toggle_recording()
        elif key == "r":
            controls.note("only live views are recorded: name an OUTPUT to write this one")
        elif key == "h":
            self._help = not self._help

    def _is_visible(self) -> bool:
        try:
            return bool(cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) > 0)
        except cv2.error:  # raised where the last window is gone
            return False
