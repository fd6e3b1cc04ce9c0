"""Control of a run from elsewhere than its window: by OSC and by keys typed in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack

from rt.controls import Controls
from rt.frame import Frame
from rt.hotkeys import Hotkeys
from rt.log import LOG
from rt.osc import OscServer, read_address
from rt.sinks.snapshot import save_snapshot

HELP = "1-9 style, + - strength, [ ] mix of two, space compare, s snapshot, r record, h help, q quit"


class Remote:
    """Listens until `close`; `show` is told of each translated frame."""

    def __init__(
        self,
        controls: Controls,
        end: Callable[[], None],
        *,
        osc: str | None,
        hotkeys: bool,
        live: bool,
        say_notes: bool,
    ) -> None:
        """Listen to OSC at the address `osc` where it is given, and to the terminal with `hotkeys`.

        `end` asks the run to end. `live` runs can be recorded. With `say_notes` what there is to say to the
        viewer is logged: nobody else takes it.

        Raises:
            VideobrushError: the address cannot be listened on, or the input is no terminal.
        """
        self._controls, self._end, self._live = controls, end, live
        self._says = say_notes and (osc is not None or hotkeys)
        self._frame: Frame | None = None
        with ExitStack() as opened:
            if osc is not None:
                address = read_address(osc)
                assert address is not None, "a Run whose fault() is None has an address"
                server = OscServer(address, controls, self._snapshot)
                opened.callback(server.close)
                LOG.info("listening for OSC on %s port %d", address[0], server.port)
            if hotkeys:
                opened.callback(Hotkeys(sys.stdin, self.press).close)
                LOG.info("keys: %s", HELP)
            self._opened = opened.pop_all()

    def show(self, frame: Frame) -> None:
        """Take the latest translated frame, and say what there is to say."""
        self._frame = frame
        if self._says:
            for note in self._controls.take_notes():
                LOG.info("%s", note)

    def press(self, key: str) -> None:
        """Do what a key of the window does."""
        if self._controls.press(key):
            return
        if key == "s":
            self._snapshot()
        elif key == "r" and self._live:
            self._controls.toggle_recording()
        elif key == "r":
            self._controls.note("only live views are recorded: name an OUTPUT to write this one")
        elif key == "h":
            LOG.info("keys: %s", HELP)
        elif key == "q":
            self._end()

    def close(self) -> None:
        """Listen no more; works twice."""
        self._opened.close()

    def _snapshot(self) -> None:
        if self._frame is None:
            self._controls.note("there is no image yet")
        else:
            save_snapshot(self._frame, self._controls, log=not self._says)  # else said twice
