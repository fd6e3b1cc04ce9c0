"""Start and stop the studio: options, port, event loop."""

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

import uvicorn
from starlette.applications import Starlette

from rt.audio import audio_of
from rt.commands import BROWSER, Studio
from rt.errors import VideobrushError
from rt.log import LOG
from rt.pipeline import Stop
from rt.sources import Source, SourceOptions, is_camera, is_pipe, open_source
from rt.styles import find_style, usable_styles
from rt.web.access import ANY_ADDRESS, AccessPolicy, load_token, state_folder
from rt.web.app import make_app
from rt.web.batches import Batches
from rt.web.protocol import MESSAGE_BYTES
from rt.web.service import TranslationService
from rt.web.shared_source import SharedSource
from rt.web.uploads import Limits

SHUTDOWN_TIMEOUT_S = 3
"""Seconds that open requests get to finish at shutdown."""
TCP_TIMEOUT_S = 30
"""Seconds after which a connection whose peer acknowledges nothing is closed."""
UPLOADS = "studio-batches"
"""Folder for files of visitors, within the user's folder for program state."""
CAMERA_SIZE = (720, 1280)
"""(height, width) that pages ask of their cameras."""


def run_studio(options: Studio, stop: Stop, announce: Callable[[str], None]) -> None:
    """Serve the studio until `stop` is requested. `announce` gets the address to open.

    Raises:
        VideobrushError: style, source, port or token cannot be opened.
    """
    first = find_style(options.style)
    styles = {first.name: first} | usable_styles() | {first.name: first}  # it leads, and it may lie elsewhere
    with ExitStack() as opened:
        listening = opened.enter_context(_listen(options.host, options.port))
        address, port = listening.getsockname()[:2]
        token = load_token(state_folder(), options.new_token)
        host = address if address in ANY_ADDRESS else options.host
        policy = AccessPolicy(token, host, port, options.allow_host)
        source = None
        if options.source != BROWSER:
            source = _open_shared(options.source)
            opened.callback(source.close)
        service = TranslationService(
            styles,
            first.name,
            backend=options.backend,
            precision=options.precision,
            capacity=options.visitors,
            fade_s=options.fade,
            on_fault=stop.request,
        )
        opened.callback(service.close)
        service.load_first(*CAMERA_SIZE if source is None else (source.info.height, source.info.width))
        limits = Limits(options.batch_files, round(options.batch_gb * 1e9), options.visitors)
        batches = Batches(styles, state_folder() / UPLOADS, limits, options.backend, options.precision)
        opened.callback(batches.close)
        shared_source = None
        if source is not None:
            shared_source = SharedSource(source, service)
            opened.callback(shared_source.close)
        link = f"http://{_host_in_link(options.host, address)}:{port}/?token={token}"
        announce(link)
        _warn_if_reachable(address)
        if options.open and not webbrowser.open(link):
            LOG.warning("no browser could be started here: open the address above")
        _serve(make_app(service, policy, batches, shared_source), listening, stop)
        if service.fault is not None:
            raise service.fault


def _open_shared(address: str) -> Source:
    """Open the server's own source; say where it has audio, which pages do not play."""
    source = open_source(address, SourceOptions(loop=_recorded(address)))
    if (audio := audio_of(source.info)) is not None:
        LOG.warning("audio (%s): heard nowhere: pages show frames alone", audio.name)
    return source


def _recorded(address: str) -> bool:
    """Return whether a source ends by itself, and is to be looped."""
    return "://" not in address and not is_camera(address) and not is_pipe(address)


def _warn_if_reachable(address: str) -> None:
    """Warn where other machines can reach the address."""
    if not ipaddress.ip_address(address).is_loopback:
        LOG.warning(
            "other machines can reach the studio: the token keeps strangers out, but nothing is encrypted, "
            "and browsers allow the camera only on https:// and localhost"
        )


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@contextmanager
def _listen(host: str, port: int) -> Iterator[socket.socket]:
    with socket.socket(_family(host), socket.SOCK_STREAM) as listening:
        try:
            if sys.platform != "win32":  # there it would let two servers share a port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((host, port))
            if sys.platform == "linux":
                # Otherwise a page that vanished, or does not read, holds its socket for 15 minutes.
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * TCP_TIMEOUT_S)
            # From here on connections wait instead of being refused: `--open` may precede the event loop.
            listening.listen()
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            advice = f"another studio may be running; type --port {min(port + 1, 65535)}"
            raise VideobrushError(
                f"the studio cannot listen on {host} port {port}: {reason}" + f"; {advice}" * taken
            ) from None
        yield listening


def _host_in_link(host: str, address: str) -> str:
    if address in ANY_ADDRESS:
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _serve(app: Starlette, listening: socket.socket, stop: Stop) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_BYTES,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT_S,
        lifespan="off",
    )
    server = _Server(config, app.state.close_sessions)

    def watch() -> None:
        stop.wait()
        server.should_exit = True

    watcher = threading.Thread(target=watch, name="videobrush-stop", daemon=True)
    watcher.start()
    try:
        asyncio.run(server.serve([listening]))
    finally:
        stop.release()
        watcher.join()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: those of the command line request `Stop`."""

    def __init__(self, config: uvicorn.Config, close_sessions: Callable[[], Awaitable[None]]) -> None:
        super().__init__(config)
        self._close_sessions = close_sessions

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell every page, then shut down."""
        await self._close_sessions()
        await super().shutdown(sockets)
