"""Real key presses on an X11 screen, through its XTEST extension."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = {" ": "space", "+": "plus", "-": "minus", "\x1b": "Escape"}


class Keyboard:
    """Presses keys of one screen; the window under the pointer, which is moved to its corner, gets them."""

    def __init__(self, display: str) -> None:
        self._x11, self._xtst = ctypes.CDLL("libX11.so.6"), ctypes.CDLL("libXtst.so.6")
        self._x11.XOpenDisplay.restype = ctypes.c_void_p
        self._x11.XStringToKeysym.restype = ctypes.c_ulong
        self._x11.XKeysymToKeycode.argtypes = [ctypes.c_void_p, ctypes.c_ulong]
        self._screen = ctypes.c_void_p(self._x11.XOpenDisplay(display.encode()))
        assert self._screen.value, f"no X11 screen {display}"

    def press(self, key: str) -> None:
        """Press and release one key; a plus sign needs Shift on the usual keyboard."""
        self._xtst.XTestFakeMotionEvent(self._screen, -1, 20, 20, 0)
        codes = [self._code("Shift_L")] if key == "+" else []
        codes.append(self._code(NAMES.get(key, key)))
        for code in codes:
            self._xtst.XTestFakeKeyEvent(self._screen, code, 1, 0)
        for code in reversed(codes):
            self._xtst.XTestFakeKeyEvent(self._screen, code, 0, 0)
        self._x11.XSync(self._screen, 0)

    def close(self) -> None:
        self._x11.XCloseDisplay(self._screen)

    def _code(self, name: str) -> int:
        code: int = self._x11.XKeysymToKeycode(self._screen, self._x11.XStringToKeysym(name.encode()))
        return code


@contextmanager
def keyboard(display: str) -> Iterator[Keyboard]:
    """Open the keyboard of a screen."""
    opened = Keyboard(display)
    try:
        yield opened
    finally:
        opened.close()
