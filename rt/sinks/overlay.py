"""What is written over the frame in a window: figures, notes, help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from rt.stats import Status

Bgr = npt.NDArray[np.uint8]
"""uint8[H, W, 3], as OpenCV shows it."""

KEYS = (
    ("1-9", "style"),
    ("+ -", "strength"),
    ("[ ]", "mix of two"),
    ("space", "compare"),
    ("s", "snapshot"),
    ("r", "record"),
    ("h", "help"),
    ("q", "quit"),
)
WHITE, RED, YELLOW = (255, 255, 255), (60, 60, 255), (60, 220, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SCALE = 0.55
"""Size of the letters in a frame of up to 1280x720; in a larger one, which is shown smaller, they grow."""
_SMALLEST = 0.25


@dataclass(frozen=True)
class Overlay:
    """Everything that is written over one frame."""

    figures: Sequence[str] = ()
    """Lines in the upper left corner."""
    notes: Sequence[str] = ()
    """Lines in the lower left corner: what was just done."""
    recording: bool = False
    stale: bool = False
    """The source shows its last frame again."""
    keys: bool = False
    """The list of keys is shown, instead of the figures."""
    mix: float | None = None
    """Where the slider of two mixed styles stands, in [0, 1]; None: there is none."""

    def draw(self, bgr: Bgr) -> None:
        """Write everything over a frame, in place."""
        height, width = bgr.shape[:2]
        scale = _SCALE * max(1.0, height / 720, width / 1280)
        line = round(40 * scale)
        if self.keys:
            _draw_keys(bgr, scale, line)
        for row, text in enumerate(() if self.keys else self.figures):
            _write(bgr, text, (line // 2, line * (row + 1)), scale)
        for row, text in enumerate(reversed(self.notes)):
            _write(bgr, text, (line // 2, height - line // 2 - line * row), scale, YELLOW)
        if self.mix is not None:
            _draw_slider(bgr, self.mix)
        if self.recording:
            _draw_mark(bgr, scale, line)
        if self.stale:
            _draw_banner(bgr, "NO NEW FRAME", 2 * scale)


def figures(status: Status, wanted: str, strength: float) -> list[str]:
    """Return the lines of a run: what computes, and how fast. `wanted` is the style that was asked for."""
    style = status.style if wanted in ("", status.style) else f"{status.style}, loading {wanted}"
    latency = f"  p95 {status.latency['total'].p95_ms:.0f} ms" if "total" in status.latency else ""
    still = f"  {100 * status.kept_share:.0f} % still" if status.kept_share else ""
    return [
        f"{style}  {100 * strength:.0f} %",
        f"{status.backend} {status.precision}{still}",
        f"{status.fps:.1f} fps{latency}  {status.dropped} dropped",
        *([status.audio] if status.audio else []),
    ]


def slider(height: int, width: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom in pixels of the slider in an image of this size."""
    middle, half = height - max(8, height // 24), max(4, height // 60)
    return width // 2, middle - half, max(width // 2 + 1, width - width // 24), middle + half


def _draw_slider(bgr: Bgr, mix: float) -> None:
    left, top, right, bottom = slider(*bgr.shape[:2])
    _darken(bgr, left - 2, top - 2, right + 2, bottom + 2)
    middle = (top + bottom) // 2
    cv2.line(bgr, (left, middle), (right, middle), WHITE, max(1, (bottom - top) // 6), cv2.LINE_AA)
    knob = round(left + mix * (right - left)), middle
    cv2.circle(bgr, knob, max(2, (bottom - top) // 2), YELLOW, -1, cv2.LINE_AA)


def _write(
    bgr: Bgr, text: str, at: tuple[int, int], scale: float, colour: tuple[int, int, int] = WHITE
) -> None:
    """Write one line on a darkened strip; its letters stand on `at` = (x, y). A long one gets smaller."""
    text = text.encode("ascii", "replace").decode()  # OpenCV's letters are ASCII alone
    x, y = at
    length = _length(text, scale)
    if length > bgr.shape[1] - x:
        scale = max(_SMALLEST, scale * (bgr.shape[1] - x) / length)
        length = _length(text, scale)
    edge = round(10 * scale)
    _darken(bgr, x - edge, y - round(26 * scale), x + length + edge, y + edge)
    cv2.putText(bgr, text, at, _FONT, scale, colour, _thickness(scale), cv2.LINE_AA)


def _draw_mark(bgr: Bgr, scale: float, line: int) -> None:
    x = bgr.shape[1] - _length("REC", scale) - line // 2
    edge = round(10 * scale)
    _darken(bgr, x - line, line - round(26 * scale), bgr.shape[1] - line // 2 + edge, line + edge)
    cv2.circle(bgr, (x - line // 2, round(line * 0.8)), round(line * 0.25), RED, -1, cv2.LINE_AA)
    cv2.putText(bgr, "REC", (x, line), _FONT, scale, RED, _thickness(scale), cv2.LINE_AA)


def _draw_banner(bgr: Bgr, text: str, scale: float) -> None:
    height, width = bgr.shape[:2]
    scale = min(scale, scale * 0.9 * width / _length(text, scale))
    _darken(bgr, 0, height // 2 - round(50 * scale), width, height // 2 + round(30 * scale))
    at = ((width - _length(text, scale)) // 2, height // 2)
    cv2.putText(bgr, text, at, _FONT, scale, YELLOW, _thickness(scale), cv2.LINE_AA)


def _draw_keys(bgr: Bgr, scale: float, line: int) -> None:
    height, width = bgr.shape[:2]
    scale, line = (value * min(1.0, height / line / (len(KEYS) + 1)) for value in (scale, line))
    keys, meanings = (max(_length(text, scale) for text in column) for column in zip(*KEYS, strict=True))
    left = max(0, round(width - keys - meanings - 3 * line) // 2)
    top = max(0, round(height - line * (len(KEYS) + 1)) // 2)
    _darken(bgr, left, top, round(left + keys + meanings + 3 * line), round(top + line * (len(KEYS) + 1)))
    for row, (key, meaning) in enumerate(KEYS, start=1):
        y = round(top + line * (row + 0.2))
        cv2.putText(bgr, key, (round(left + line), y), _FONT, scale, YELLOW, _thickness(scale), cv2.LINE_AA)
        at = (round(left + 2 * line + keys), y)
        cv2.putText(bgr, meaning, at, _FONT, scale, WHITE, _thickness(scale), cv2.LINE_AA)


def _darken(bgr: Bgr, left: int, top: int, right: int, bottom: int) -> None:
    bgr[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] //= 3


def _length(text: str, scale: float) -> int:
    """Return how many pixels wide a line is."""
    return cv2.getTextSize(text, _FONT, scale, _thickness(scale))[0][0]


def _thickness(scale: float) -> int:
    return max(1, round(1.5 * scale))
