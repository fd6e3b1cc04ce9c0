"""The window's keys, typed in the terminal of a run that has no window."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from typing import IO, Any

from rt.errors import VideobrushError


class Hotkeys:
    """Hands on each key typed, from its making to `close`, which leaves the terminal as it was."""

    def __init__(self, stream: IO[Any], press: Callable[[str], None]) -> None:
        """Read the terminal `stream`; `press` is called in a thread of its own.

        Raises:
            VideobrushError: it is no terminal, or the run stands behind another program in it.
        """
        try:
            import termios
            import tty
        except ModuleNotFoundError:
            raise VideobrushError("--hotkeys works on Linux and macOS alone: leave it out") from None
        try:
            self._terminal = stream.fileno()
        except (OSError, ValueError):
            self._terminal = -1
        if self._terminal < 0 or not os.isatty(self._terminal):
            raise VideobrushError("--hotkeys reads keys from a terminal, and the input is none: leave it out")
        if not _is_in_front(self._terminal):
            raise VideobrushError("--hotkeys reads keys from a terminal in which another program is in front")
        self._before = termios.tcgetattr(self._terminal)
        tty.setcbreak(self._terminal)  # key by key, without showing them; Ctrl-C stays a signal
        self._press = press
        self._woken, self._wakes = os.pipe()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="videobrush-keys", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read no more; works twice."""
        if self._open:
            import termios

            self._open = False
            os.close(self._wakes)
            self._thread.join()
            os.close(self._woken)
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)

    def _run(self) -> None:
        while True:
            ready, _, _ = select.select([self._terminal, self._woken], [], [])
            if self._woken in ready:
                return
            try:
                typed = os.read(self._terminal, 64)
            except OSError:  # the terminal was closed
                return
            if not typed:
                return
            if not typed.startswith(b"\x1b"):  # arrows and the like are several codes
                for key in typed.decode("ascii", "ignore"):
                    self._press(key.lower())


def _is_in_front(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # not the terminal that controls this program
        return True
