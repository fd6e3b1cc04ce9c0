"""The ASGI application: routes, sign-in, response headers."""

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

from rt.web.access import AccessPolicy, page_headers
from rt.web.api import Api
from rt.web.batch_api import BatchApi
from rt.web.batches import Batches
from rt.web.listing import preview_path
from rt.web.protocol import WS_POLICY_VIOLATION
from rt.web.service import TranslationService
from rt.web.session import Sessions
from rt.web.shared_source import SharedSource

STATIC = Path(__file__).parent / "static"
MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def make_app(
    service: TranslationService,
    policy: AccessPolicy,
    batches: Batches,
    shared_source: SharedSource | None = None,
) -> Starlette:
    """Return the application; with `shared_source` every page sees the server's source.

    Its `state.close_sessions` is awaited before the server shuts down.
    """
    pages, sessions = _Pages(service, policy), Sessions(service, policy, shared_source)
    api = Api(service, policy, batches.limits)
    app = Starlette(
        routes=[
            Route("/", pages.page),
            Route("/batch", pages.batch),
            Route("/view", pages.view),
            Route("/static/{name}", pages.static),
            Route("/previews/{style}", pages.preview),
            WebSocketRoute("/ws", sessions.serve),
            WebSocketRoute("/ws/view", sessions.watch),
            Route("/api/translate", api.translate, methods=["POST"]),
            Route("/api/styles", api.styles),
            Route("/api/health", api.health),
            Route("/metrics", api.metrics),
            *BatchApi(batches, policy).routes(),
        ],
        middleware=[Middleware(_HostCheck, policy=policy)],
        exception_handlers={HTTPException: _http_error},
    )
    app.state.close_sessions = sessions.close_all
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    """Answer a wrong path or method in the form of the API's errors."""
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path[:80]}: {error.detail}"
    return JSONResponse({"error": message}, error.status_code, error.headers)


class _HostCheck:
    """Middleware: rejects requests for foreign hosts first; adds our headers to every response."""

    def __init__(self, app: ASGIApp, policy: AccessPolicy) -> None:
        self._app, self._policy = app, policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host_error = self._policy.host_error(headers)
        ours = page_headers("localhost" if host_error else headers["host"])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in ours.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        if host_error is None:
            await self._app(scope, receive, send_with_headers)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": WS_POLICY_VIOLATION})
        else:
            await PlainTextResponse(f"{host_error}\n", 403)(scope, receive, send_with_headers)


class _Pages:
    """The pages, their files and the previews of styles."""

    def __init__(self, service: TranslationService, policy: AccessPolicy) -> None:
        self._service, self._policy = service, policy
        self._static = {
            path.name: Response(path.read_bytes(), media_type=MEDIA[path.suffix])
            for path in STATIC.iterdir()
            if path.suffix in MEDIA
        }

    async def page(self, request: Request) -> Response:
        """Return the page to requests with the cookie; exchange the token for the cookie."""
        return self._exchanged(request, "/") or self._signed_in(request, "index.html")

    async def view(self, request: Request) -> Response:
        """Return the view, the translated image alone, as `page` does."""
        return self._exchanged(request, "/view") or self._signed_in(request, "view.html")

    def _exchanged(self, request: Request, path: str) -> Response | None:
        """Return what gives the cookie for the token and opens `path`; None where no token is offered."""
        if (offered := request.query_params.get("token")) is None:
            return None
        if not self._policy.is_token(offered):
            return _notice("This link is no longer valid", 403)
        # Not a redirect: after one from another site SameSite=Strict would withhold the cookie.
        response = HTMLResponse(
            f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url={path}">'
            '<title>videobrush</title><link rel="icon" href="/static/icon.svg">'
        )
        response.headers["Set-Cookie"] = self._policy.cookie_header()
        return response

    async def batch(self, request: Request) -> Response:
        """Return the page of batches to requests with the cookie."""
        return self._signed_in(request, "batch.html")

    def _signed_in(self, request: Request, name: str) -> Response:
        if not self._policy.has_cookie(request.headers):
            return _notice("You are not signed in", 401)
        return self._static[name]

    async def static(self, request: Request) -> Response:
        """Return a file of the page; nothing in them is secret."""
        return self._static.get(request.path_params["name"]) or PlainTextResponse("no such file\n", 404)

    async def preview(self, request: Request) -> Response:
        """Return the preview of a style."""
        if not (self._policy.has_cookie(request.headers) or self._policy.has_bearer(request.headers)):
            return PlainTextResponse("sign in first\n", 401)
        style = self._service.styles.get(request.path_params["style"])
        path = None if style is None else preview_path(style)
        if path is None:
            return PlainTextResponse("no such preview\n", 404)
        return Response(await asyncio.to_thread(path.read_bytes), media_type="image/jpeg")


def _notice(text: str, status: int) -> Response:
    return HTMLResponse(
        '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<title>videobrush</title><link rel="stylesheet" href="/static/studio.css">'
        f'<main class="notice"><h1>{text}</h1><p>Open the address that <code>videobrush studio</code> '
        "printed at start.</main>",
        status,
    )
