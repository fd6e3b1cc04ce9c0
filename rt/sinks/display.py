"""Whether a window can be opened here."""

from __future__ import annotations

import os
import subprocess
import sys

OPENS_A_WINDOW = """
import sys
sys.path = [folder for folder in sys.path if folder]  # not the user's own cv2.py in the current folder
import cv2
cv2.namedWindow("videobrush", cv2.WINDOW_NORMAL)
cv2.destroyAllWindows()
"""
LIMIT_S = 20


def display_fault() -> str | None:
    """Return None where a window can be opened, else why not.

    OpenCV ends the whole program where its window system cannot be reached, so another one tries first.
    """
    on_unix = sys.platform not in ("win32", "darwin")
    if on_unix and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no display (DISPLAY and WAYLAND_DISPLAY are not set)"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", OPENS_A_WINDOW],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the display does not answer within {LIMIT_S} s"
    if tried.returncode == 0:
        return None
    said = [line.strip() for line in tried.stderr.splitlines() if line.strip()]
    if not on_unix or tried.returncode > 0:
        return said[-1] if said else f"OpenCV ended with status {tried.returncode}"
    return f"the display cannot be used ({said[0]})" if said else "the display cannot be used"
