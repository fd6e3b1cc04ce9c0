"""The application: page, sign-in, and whoever is no page of ours is kept out."""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rt.web.api import Api
from rt.web.camera import Camera
from rt.web.guard import Guard, page_headers
from rt.web.listing import preview_path
from rt.web.protocol import BROKE_RULES
from rt.web.studio import Studio
from rt.web.talk import Talk

STATIC = Path(__file__).parent / "static"
MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def make_app(studio: Studio, guard: Guard, camera: Camera | None = None) -> Starlette:
    """Return the application for a studio; with `camera` every page sees the server's source.

    Its `state.farewell` is awaited before the server ends.
    """
    pages, talk = _Pages(studio, guard), Talk(studio, guard, camera)
    api = Api(studio, guard)
    app = Starlette(
        routes=[
            Route("/", pages.page),
            Route("/static/{name}", pages.static),
            Route("/previews/{style}", pages.preview),
            WebSocketRoute("/ws", talk.talk),
            Route("/api/translate", api.translate, methods=["POST"]),
            Route("/api/styles", api.styles),
            Route("/api/health", api.health),
            Route("/metrics", api.metrics),
        ],
        middleware=[Middleware(_Gate, guard=guard)],
        exception_handlers={HTTPException: _fault},
    )
    app.state.farewell = talk.farewell
    return app


async def _fault(request: Request, error: Exception) -> Response:
    """Answer a wrong address or method as the interface for programs answers everything."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path[:80]}: {error.detail}"
    return JSONResponse({"error": message}, error.status_code, error.headers)


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

    def __init__(self, studio: Studio, guard: Guard) -> None:
        self._studio, self._guard = studio, guard
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
                '<title>videobrush</title><link rel="icon" href="/static/icon.svg">'
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


def _notice(text: str, status: int) -> Response:
    return HTMLResponse(
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<title>videobrush</title><link rel="stylesheet" href="/static/studio.css">'
        f'<main class="notice"><h1>{text}</h1><p>Open the address that <code>videobrush studio</code> '
        "printed when it started.</main>",
        status,
    )
