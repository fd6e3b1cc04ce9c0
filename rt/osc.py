"""Control by Open Sound Control: lighting desks, tablets and music programs change what is shown.

    /style monet  or  /style 2      /mix 0.3      /strength 0.8      /steady 0.5
    /snapshot                       /record 1     /record 0          /record

Messages come by UDP, and nobody is asked who they are: the address listened on is this machine's alone unless
another one is typed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from rt.controls import Controls
from rt.errors import StyleError, VideobrushError
from rt.install import install_hint
from rt.mixed import style_names

HOST = "127.0.0.1"
ADDRESSES = ("/style", "/mix", "/strength", "/steady", "/snapshot", "/record")
_POLL_S = 0.1


def read_address(typed: str) -> tuple[str, int] | None:
    """Return the host and port of `9000` or `0.0.0.0:9000`; None where it is neither."""
    host, _, port = typed.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) <= 65535:
        return None
    return host.strip("[]") or HOST, int(port)


class OscServer:
    """Listens from its making to `close`, in a thread of its own.

    What cannot be obeyed is noted for the viewer, and nothing else happens.
    """

    def __init__(self, address: tuple[str, int], controls: Controls, snapshot: Callable[[], None]) -> None:
        """Listen on `address` = (host, port); port 0 takes a free one. `snapshot` saves what is shown.

        Raises:
            VideobrushError: python-osc is not installed, or the address cannot be listened on.
        """
        try:
            from pythonosc.dispatcher import Dispatcher
            from pythonosc.osc_server import BlockingOSCUDPServer
        except ModuleNotFoundError:
            raise VideobrushError(
                f"--osc needs the package python-osc; type: {install_hint('osc')}"
            ) from None
        self._controls, self._snapshot = controls, snapshot
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(self._obey)
        try:
            self._server = BlockingOSCUDPServer(address, dispatcher)
        except OSError as error:
            raise VideobrushError(
                f"cannot listen for OSC on {address[0]} port {address[1]}: {error.strerror or error}; "
                "type another --osc PORT"
            ) from None
        self.port = int(self._server.server_address[1])
        """The port listened on."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="videobrush-osc", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Listen no more; works twice."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _obey(self, address: str, *values: Any) -> None:
        name, value = address.strip("/"), values[0] if values else None
        if address == "/style":
            self._choose(value)
        elif address in ("/mix", "/strength", "/steady"):
            if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
                setattr(self._controls, name, float(value))
            else:
                self._controls.note(f"OSC {address} {value}: not within 0..1")
        elif address == "/snapshot":
            self._snapshot()
        elif address == "/record":
            self._controls.recording = not self._controls.recording if value is None else bool(value)
        else:
            self._controls.note(f"OSC {address[:40]} is not known; known: {', '.join(ADDRESSES)}")

    def _choose(self, value: Any) -> None:
        if isinstance(value, int | float) and not isinstance(value, bool):
            self._controls.select(int(value))
            return
        try:
            names = style_names(str(value))
        except StyleError as error:
            self._controls.note(str(error))
            return
        if str(value) in self._controls.styles or all(name in self._controls.styles for name in names):
            self._controls.style = str(value)
        else:
            self._controls.note(f"OSC /style {str(value)[:40]}: there is no such style")
