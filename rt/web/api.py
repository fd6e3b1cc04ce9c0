"""The HTTP API for programs: translate an image; styles, health, metrics."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from rt.card import DETAILS, Detail
from rt.errors import BackendError, VideobrushError
from rt.frame import Rgb
from rt.web.access import AccessPolicy
from rt.web.jpeg import decode, encode_jpeg, encode_png
from rt.web.listing import describe_styles
from rt.web.protocol import MESSAGE_BYTES, Refused
from rt.web.service import Busy, TranslationService
from rt.web.uploads import Limits

BODY_TIMEOUT_S = 30.0
"""Seconds within which the request body must arrive."""
ENCODERS = {"image/jpeg": encode_jpeg, "image/png": encode_png}


class Api:
    """The endpoints. Programs send the token; our own page may use its cookie."""

    def __init__(self, service: TranslationService, policy: AccessPolicy, limits: Limits) -> None:
        self._service, self._policy, self._limits = service, policy, limits
        self._began_s = time.monotonic()

    async def translate(self, request: Request) -> Response:
        """POST a JPEG, PNG or WebP image; the response is its translation, JPEG or by Accept PNG."""
        if (denied := denial(self._policy, request)) is not None:
            return denied
        media_type = "image/png" if "image/png" in request.headers.get("accept", "") else "image/jpeg"
        try:
            parameters = self._parameters(request)
            content = await asyncio.wait_for(_body(request), BODY_TIMEOUT_S)
            queued = await asyncio.to_thread(self._enqueue, content, parameters)
            rgb = await asyncio.wrap_future(queued)
            encoded = await asyncio.to_thread(ENCODERS[media_type], rgb)
        except asyncio.TimeoutError:
            return error_response(408, f"the image did not arrive within {BODY_TIMEOUT_S:g} s")
        except _TooLarge as error:
            return error_response(413, str(error))
        except Refused as error:
            return error_response(400, str(error))
        except Busy as error:
            return error_response(503, str(error))
        except BackendError as error:
            return error_response(500, str(error))
        except VideobrushError as error:
            return error_response(400, str(error))
        return Response(encoded, media_type=media_type)

    async def styles(self, request: Request) -> Response:
        """GET the styles, and what a batch may hold."""
        if (denied := denial(self._policy, request)) is not None:
            return denied
        limits = {"files": self._limits.files, "bytes": self._limits.total_bytes}
        return JSONResponse({"styles": describe_styles(self._service.styles), "batch": limits})

    async def health(self, request: Request) -> Response:
        """GET whether the studio works; public, and nothing in it is secret."""
        works = self._service.fault is None
        return JSONResponse({"status": "ok" if works else "failed"}, 200 if works else 500)

    async def metrics(self, request: Request) -> Response:
        """GET counts in the Prometheus text format."""
        if (denied := denial(self._policy, request)) is not None:
            return denied
        frames, dropped = self._service.totals()
        counts = self._service.counts
        rows = (
            ("visitors", "gauge", "Pages connected now.", self._service.visitors),
            ("visitors_total", "counter", "Pages connected since the start.", counts.visitors),
            ("frames_total", "counter", "Frames translated for pages.", frames),
            ("frames_dropped_total", "counter", "Frames replaced by a newer one.", dropped),
            ("images_total", "counter", "Images translated for programs.", counts.images),
            ("networks_loaded_total", "counter", "Networks loaded.", counts.loads),
            ("up_seconds", "gauge", "Seconds since the start.", round(time.monotonic() - self._began_s, 3)),
        )
        lines = [
            line
            for name, kind, text, value in rows
            for line in (
                f"# HELP videobrush_{name} {text}",
                f"# TYPE videobrush_{name} {kind}",
                f"videobrush_{name} {value}",
            )
        ]
        return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")

    def _parameters(self, request: Request) -> tuple[str, int | None, float, Detail | None]:
        query = request.query_params
        if unknown := sorted(query.keys() - {"style", "size", "strength", "detail"}):
            raise Refused(f"unknown parameter {unknown[0][:40]!r}; known: style, size, strength, detail")
        style = query.get("style", self._service.style)
        if style not in self._service.styles:
            raise Refused(f"there is no style {style[:40]!r}; known: {', '.join(self._service.styles)}")
        try:
            size = int(query["size"]) if "size" in query else None
            strength = float(query.get("strength", "1"))
        except ValueError:
            raise Refused("size or strength is not a number") from None
        if not 0 <= strength <= 1:
            raise Refused(f"strength is {strength}, not within 0..1")
        if size is not None and not 1 <= size <= 1088:
            raise Refused(f"size is {size}, not within 1..1088")
        detail = query.get("detail")
        if detail is not None and detail not in DETAILS:
            raise Refused("detail is not keep or network")
        return style, size, strength, detail

    def _enqueue(
        self, content: bytes, parameters: tuple[str, int | None, float, Detail | None]
    ) -> Future[Rgb]:
        return self._service.translate(decode(content), *parameters)


class _TooLarge(Exception):
    """A request body larger than the limit."""


async def _body(request: Request) -> bytes:
    """Return the request body, never holding more of it than the limit.

    Raises:
        _TooLarge: it is larger.
        Refused: the client disconnected.
    """
    received = bytearray()
    try:
        async for part in request.stream():
            received += part
            if len(received) > MESSAGE_BYTES:
                raise _TooLarge(f"body larger than {MESSAGE_BYTES} bytes")
    except ClientDisconnect:
        raise Refused("the connection ended early") from None
    return bytes(received)


def denial(policy: AccessPolicy, request: Request) -> Response | None:
    """Return the response to an unauthorised request; None for an authorised one."""
    headers = request.headers
    if policy.has_bearer(headers):
        return None
    if not policy.has_cookie(headers):
        message = "send the token: Authorization: Bearer TOKEN"
        return error_response(401, message, {"WWW-Authenticate": "Bearer"})
    if request.method != "GET" and (error := policy.origin_error(headers)):
        return error_response(403, error)
    return None


def error_response(status: int, message: str, headers: dict[str, Any] | None = None) -> Response:
    """Return an error in the form that programs read."""
    return JSONResponse({"error": message}, status, headers=headers)
