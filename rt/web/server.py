"""Serving the studio: what it is started with, the port, the event loop, the end."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import sys
import threading
import webbrowser
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from rt.errors import VideobrushError
from rt.log import LOG
from rt.pipeline import Stop
from rt.sources import Source, SourceOptions, is_camera, is_pipe, open_source
from rt.styles import Style, find_style, list_styles
from rt.web.app import make_app
from rt.web.camera import Camera
from rt.web.guard import EVERYWHERE, Guard, keep_token, state_folder
from rt.web.protocol import MESSAGE_BYTES
from rt.web.studio import Studio

CLOSING_S = 3
"""Seconds that answers under way are given at the end."""
UNANSWERED_S = 30
"""Seconds after which a connection whose other end takes nothing is cut."""
BROWSER = "browser"
"""The source that is every visitor's own camera."""


@dataclass(frozen=True)
class StudioJob:
    """What the studio is started with."""

    style: str
    source: str = BROWSER
    host: str = "127.0.0.1"
    port: int = 8765
    backend: str = "auto"
    precision: str = "auto"
    visitors: int = 10
    allow_host: tuple[str, ...] = ()
    new_token: bool = False
    open: bool = False


def run_studio(job: StudioJob, stop: Stop, say: Callable[[str], None]) -> None:
    """Serve the studio until `stop` is requested. `say` is given the address to open.

    Raises:
        VideobrushError: style, source, port or token cannot be had.
    """
    styles = _styles(job.style)
    with ExitStack() as opened:
        bound = opened.enter_context(_bind(job.host, job.port))
        ours, port = bound.getsockname()[:2]
        token = keep_token(state_folder(), job.new_token)
        guard = Guard(token, ours if ours in EVERYWHERE else job.host, port, job.allow_host)
        source = None
        if job.source != BROWSER:
            source = open_source(job.source, SourceOptions(loop=_recorded(job.source)))
            opened.callback(source.close)
        studio = Studio(
            styles,
            next(iter(styles)),
            backend=job.backend,
            precision=job.precision,
            capacity=job.visitors,
            on_fault=stop.request,
        )
        opened.callback(studio.close)
        studio.load_first(*_expected(source))
        camera = None
        if source is not None:
            camera = Camera(source, studio)
            opened.callback(camera.close)
        address = f"http://{_shown(job.host, ours)}:{port}/?token={token}"
        say(address)
        _warn(ours)
        if job.open and not webbrowser.open(address):
            LOG.warning("no browser could be started here: open the address above")
        _serve(make_app(studio, guard, camera), bound, stop)
        if studio.fault is not None:
            raise studio.fault


def _styles(first: str) -> dict[str, Style]:
    """Return the style asked for, then all others that can be used, by name."""
    style = find_style(first)
    found = {style.name: style}
    for listed in list_styles():
        if listed.style is not None:
            found.setdefault(listed.name, listed.style)
    return found


def _recorded(address: str) -> bool:
    """Return whether a source ends by itself, and is begun again."""
    return "://" not in address and not is_camera(address) and not is_pipe(address)


def _expected(source: Source | None) -> tuple[int, int]:
    """Return the (height, width) of the first frames: the source's, or what pages ask of their cameras."""
    return (720, 1280) if source is None else (source.info.height, source.info.width)


def _warn(ours: str) -> None:
    """Say what it means to listen on an address that other machines reach."""
    if not ipaddress.ip_address(ours).is_loopback:
        LOG.warning(
            "every machine that reaches this one can ask for the page; the token keeps strangers out, "
            "but nothing is encrypted, and browsers give their camera to https:// and localhost alone"
        )


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@contextmanager
def _bind(host: str, port: int) -> Iterator[socket.socket]:
    with socket.socket(_family(host), socket.SOCK_STREAM) as bound:
        try:
            if sys.platform != "win32":  # there it would let two servers share a port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
            if sys.platform == "linux":
                # Else a page that vanished, or reads nothing, would hold its socket for a quarter of an hour.
                bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * UNANSWERED_S)
            # From here on who asks is kept waiting, not refused: `--open` may be quicker than the event loop.
            bound.listen()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            advice = f"another studio may run already; type --port {min(port + 1, 65535)}"
            raise VideobrushError(
                f"the studio cannot listen on {host} port {port}: {reason}" + f"; {advice}" * taken
            ) from None
        yield bound


def _shown(host: str, ours: str) -> str:
    if ours in EVERYWHERE:
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _serve(app: Starlette, bound: socket.socket, stop: Stop) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=CLOSING_S,
        lifespan="off",
    )
    server = _Server(config, app.state.farewell)

    def watch() -> None:
        stop.wait()
        server.should_exit = True

    watcher = threading.Thread(target=watch, name="videobrush-stop", daemon=True)
    watcher.start()
    try:
        asyncio.run(server.serve([bound]))
    finally:
        stop.release()
        watcher.join()


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the command line's tell `Stop`."""

    def __init__(self, config: uvicorn.Config, farewell: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._farewell = farewell

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, with a word to every page."""
        await self._farewell()
        await super().shutdown(sockets)
