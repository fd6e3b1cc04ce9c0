"""The application: page, WebSocket, sign-in; everything that runs in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from rt.errors import FrameshiftError, StyleError
from rt.log import LOG
from rt.pipeline import Stop
from rt.sources import SourceOptions, open_source
from rt.styles import Style, find_style, list_styles
from rt.web.api import Api
from rt.web.camera import Camera
from rt.web.guard import EVERYWHERE, Guard, keep_token, page_headers, state_folder
from rt.web.listing import describe_styles, preview_path
from rt.web.protocol import (
    BROKE_RULES,
    FULL,
    MESSAGE_BYTES,
    MESSAGES_PER_S,
    PIXELS,
    Refused,
    read_controls,
    read_message,
)
from rt.web.studio import Full, Studio
from rt.web.visitor import Visitor

STATIC = Path(__file__).parent / "static"
MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SEND_S = 10.0
"""Seconds that a page may take to receive a message before it counts as gone."""
STATUS_S = 1.0
CLOSING_S = 3
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
        FrameshiftError: style, source, port or token cannot be had.
    """
    styles = _styles(job.style)
    with ExitStack() as opened:
        bound = opened.enter_context(_bind(job.host, job.port))
        token = keep_token(state_folder(), job.new_token)
        port = bound.getsockname()[1]
        guard = Guard(token, job.host, port, job.allow_host)
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
        camera = None
        if source is not None:
            camera = Camera(source, studio)
            opened.callback(camera.close)
        address = f"http://{_shown(job.host)}:{port}/?token={token}"
        say(address)
        if job.host in EVERYWHERE:
            LOG.warning(
                "every machine that reaches this one can ask for the page; the token keeps strangers out, "
                "but nothing is encrypted, and browsers give their camera to https:// and localhost alone"
            )
        if job.open:
            webbrowser.open(address)
        _serve(make_app(studio, guard, camera), bound, stop)
        if studio.fault is not None:
            raise studio.fault


def make_app(studio: Studio, guard: Guard, camera: Camera | None = None) -> Starlette:
    """Return the application for a studio; with `camera` every page sees the server's source."""
    pages = _Pages(studio, guard, camera)
    api = Api(studio, guard)
    return Starlette(
        routes=[
            Route("/", pages.page),
            Route("/static/{name}", pages.static),
            Route("/previews/{style}", pages.preview),
            WebSocketRoute("/ws", pages.talk),
            Route("/api/translate", api.translate, methods=["POST"]),
            Route("/api/styles", api.styles),
            Route("/api/health", api.health),
            Route("/metrics", api.metrics),
        ],
        middleware=[Middleware(_Gate, guard=guard)],
    )


class _Gate:
    """Refuses requests to names that are not ours, before anything else; adds our headers to every answer."""

    def __init__(self, app: ASGIApp, guard: Guard) -> None:
        self._app, self._guard = app, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        fault = self._guard.host_fault(headers)
        ours = page_headers("localhost" if fault else headers["host"])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in ours.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        if fault is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": BROKE_RULES})
        else:
            await PlainTextResponse(f"{fault}\n", 403)(scope, receive, send_with_headers)


class _Pages:
    """What a browser asks for."""

    def __init__(self, studio: Studio, guard: Guard, camera: Camera | None) -> None:
        self._studio, self._guard, self._camera = studio, guard, camera
        self._static = {
            path.name: Response(path.read_bytes(), media_type=MEDIA[path.suffix])
            for path in STATIC.iterdir()
            if path.suffix in MEDIA
        }

    async def page(self, request: Request) -> Response:
        """Return the page to who has the cookie; take the token and give the cookie."""
        if (offered := request.query_params.get("token")) is not None:
            if not self._guard.is_token(offered):
                return _notice("This address is not valid any more.", 403)
            # Not a redirect: with one from another site SameSite=Strict would keep the cookie back.
            answer = HTMLResponse(
                '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
                '<title>frameshift</title><link rel="icon" href="/static/icon.svg">'
            )
            answer.headers["Set-Cookie"] = self._guard.cookie_header()
            return answer
        if not self._guard.has_cookie(request.headers):
            return _notice("You are not signed in.", 401)
        return self._static["index.html"]

    async def static(self, request: Request) -> Response:
        """Return a file of the page; they hold nothing secret."""
        return self._static.get(request.path_params["name"]) or PlainTextResponse("no such file\n", 404)

    async def preview(self, request: Request) -> Response:
        """Return the preview of a style."""
        if not (self._guard.has_cookie(request.headers) or self._guard.has_bearer(request.headers)):
            return PlainTextResponse("sign in first\n", 401)
        style = self._studio.styles.get(request.path_params["style"])
        path = None if style is None else preview_path(style)
        if path is None:
            return PlainTextResponse("no such preview\n", 404)
        return Response(await asyncio.to_thread(path.read_bytes), media_type="image/jpeg")

    async def talk(self, websocket: WebSocket) -> None:
        """Talk to one page until it leaves."""
        headers = websocket.headers
        if self._guard.origin_fault(headers) or not self._guard.has_cookie(headers):
            await websocket.close(BROKE_RULES)
            return
        await websocket.accept()
        outbox = _Outbox(websocket)
        try:
            visitor = self._studio.join(outbox.put)
        except Full as error:
            await websocket.close(FULL, str(error))
            return
        talk = [
            asyncio.create_task(outbox.deliver(lambda: self._status(visitor))),
            asyncio.create_task(self._listen(websocket, visitor, outbox)),
        ]
        try:
            outbox.put(self._welcome(visitor))
            if self._camera is not None and self._camera.fault:
                outbox.put({"type": "error", "message": f"no more pictures: {self._camera.fault}"})
            await asyncio.wait(talk, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._studio.leave(visitor)
            outbox.close()
            for task in talk:
                task.cancel()
            found = await asyncio.gather(*talk, return_exceptions=True)
        for end in found:
            if isinstance(end, Refused):
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(websocket.close(BROKE_RULES, str(end)[:120]), SEND_S)
            elif isinstance(end, Exception) and not isinstance(end, _GONE):
                raise end

    async def _listen(self, websocket: WebSocket, visitor: Visitor, outbox: _Outbox) -> None:
        """Take what the page sends.

        Raises:
            Refused: it sends too much, or what no page of ours sends.
        """
        counted, since = 0, time.monotonic()
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            counted += 1
            if counted > 2 * MESSAGES_PER_S:
                raise Refused(f"more than {MESSAGES_PER_S} messages a second")
            if time.monotonic() - since > 2.0:
                counted, since = 0, time.monotonic()
            if (content := message.get("bytes")) is not None:
                visitor.accept(*read_message(content))
                self._studio.wake()
                continue
            try:
                visitor.change(read_controls(message.get("text") or ""))
            except Refused as error:
                outbox.put({"type": "error", "message": str(error)})
            outbox.put(visitor.controls())

    def _welcome(self, visitor: Visitor) -> dict[str, Any]:
        return {
            "type": "welcome",
            "source": BROWSER if self._camera is None else "server",
            "styles": describe_styles(self._studio.styles),
            "controls": visitor.controls(),
            "limits": {"message_bytes": MESSAGE_BYTES, "pixels": PIXELS, "messages_per_s": MESSAGES_PER_S},
        }

    def _status(self, visitor: Visitor) -> dict[str, Any]:
        return {**visitor.status(), "visitors": self._studio.visitors}


_GONE = (WebSocketDisconnect, asyncio.TimeoutError, asyncio.CancelledError, ConnectionError, RuntimeError)
"""What sending raises where the page has left; Starlette says RuntimeError after a close."""


class _Outbox:
    """Messages for one page: texts in order, of pictures the newest; once a second the status."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._there = asyncio.Event()
        self._lock = threading.Lock()
        self._texts: list[dict[str, Any]] = []
        self._picture: bytes | None = None
        self._open = True

    def put(self, message: bytes | dict[str, Any]) -> None:
        """Take a message; from any thread."""
        with self._lock:
            if not self._open:
                return
            if isinstance(message, bytes):
                self._picture = message
            else:
                # A page that reads nothing is sent the last texts alone.
                self._texts = [*self._texts[-15:], message]
            self._loop.call_soon_threadsafe(self._there.set)

    def close(self) -> None:
        """Take no more, and let `deliver` end."""
        with self._lock:
            self._open = False
        self._there.set()

    async def deliver(self, status: Callable[[], dict[str, Any]]) -> None:
        """Send what there is, as it comes, and once a second the status."""
        due = time.monotonic()
        # The end is asked for besides the task's cancelling: `wait_for` of Python 3.11 can lose a cancelling
        # that comes as the event is set.
        while self._open:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._there.wait(), max(0.0, due - time.monotonic()))
            self._there.clear()
            with self._lock:
                texts, picture = self._texts, self._picture
                self._texts, self._picture = [], None
            if time.monotonic() >= due:
                texts, due = [*texts, status()], time.monotonic() + STATUS_S
            for text in texts:
                await asyncio.wait_for(self._websocket.send_json(text), SEND_S)
            if picture is not None:
                await asyncio.wait_for(self._websocket.send_bytes(picture), SEND_S)


def _styles(first: str) -> dict[str, Style]:
    """Return the style asked for, then all others that can be used, by name."""
    style = find_style(first)
    found = {style.name: style}
    for listed in list_styles():
        if listed.style is not None:
            found.setdefault(listed.name, listed.style)
    for name in style.card.models:
        style.model(name)
    if not found:
        raise StyleError("there is no style; type: frameshift styles")
    return found


def _recorded(address: str) -> bool:
    """Return whether a source ends by itself, and is begun again."""
    return "://" not in address and Path(address).is_file() and not Path(address).is_fifo()


@contextmanager
def _bind(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise FrameshiftError(
                f"the studio cannot listen on {host} port {port}: {reason}; "
                f"another studio may run already; type --port {min(port + 1, 65535)}"
            ) from None
        yield bound


def _shown(host: str) -> str:
    if host in EVERYWHERE:
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
    server = _Server(config)

    def watch() -> None:
        stop.wait()
        server.should_exit = True

    watcher = threading.Thread(target=watch, name="frameshift-stop", daemon=True)
    watcher.start()
    try:
        asyncio.run(server.serve([bound]))
    finally:
        stop.release()
        watcher.join()


class _Server(uvicorn.Server):
    """uvicorn without signal handlers of its own: the command line's tell `Stop`."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _notice(text: str, status: int) -> Response:
    return HTMLResponse(
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<title>frameshift</title><link rel="stylesheet" href="/static/studio.css">'
        f'<main class="notice"><h1>{text}</h1><p>Open the address that <code>frameshift studio</code> '
        "printed when it started.</main>",
        status,
    )
