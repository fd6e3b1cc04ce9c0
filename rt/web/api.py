"""The HTTP interface for programs: a picture in, a picture out; styles, health, metrics."""

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
from rt.web.guard import Guard
from rt.web.jpeg import decode, encode_jpeg, encode_png
from rt.web.listing import describe_styles
from rt.web.protocol import MESSAGE_BYTES, Refused
from rt.web.studio import Full, Studio

BODY_S = 30.0
"""Seconds within which a body has to come."""
TYPES = {"image/jpeg": encode_jpeg, "image/png": encode_png}


class Api:
    """The endpoints. Programs send the token; a page of ours may use its cookie."""

    def __init__(self, studio: Studio, guard: Guard) -> None:
        self._studio, self._guard = studio, guard
        self._began_s = time.monotonic()

    async def translate(self, request: Request) -> Response:
        """POST a JPEG, PNG or WebP; answers with it translated, as JPEG or, where Accept asks for it, PNG."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            asked = self._asked(request)
            content = await asyncio.wait_for(_body(request), BODY_S)
            encode = TYPES["image/png" if "image/png" in request.headers.get("accept", "") else "image/jpeg"]
            waiting = await asyncio.to_thread(self._begin, content, asked)
            picture = await asyncio.wrap_future(waiting)
            answer = await asyncio.to_thread(encode, picture)
        except asyncio.TimeoutError:
            return _fault(408, f"the picture did not come within {BODY_S:g} s")
        except _TooLarge as error:
            return _fault(413, str(error))
        except Refused as error:
            return _fault(400, str(error))
        except Full as error:
            return _fault(503, str(error))
        except BackendError as error:
            return _fault(500, str(error))
        except VideobrushError as error:
            return _fault(400, str(error))
        kind = "image/png" if encode is encode_png else "image/jpeg"
        return Response(answer, media_type=kind)

    async def styles(self, request: Request) -> Response:
        """GET the styles."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        return JSONResponse({"styles": describe_styles(self._studio.styles)})

    async def health(self, request: Request) -> Response:
        """GET whether it works; without signing in, and without anything secret."""
        works = self._studio.fault is None
        return JSONResponse({"status": "ok" if works else "failed"}, 200 if works else 500)

    async def metrics(self, request: Request) -> Response:
        """GET counts in the text format of Prometheus."""
        if (refusal := self._refusal(request)) is not None:
            return refusal
        frames, dropped = self._studio.totals()
        counts = self._studio.counts
        rows = (
            ("visitors", "gauge", "Pages connected now.", self._studio.visitors),
            ("visitors_total", "counter", "Pages that were connected.", counts.visitors),
            ("frames_total", "counter", "Frames translated for pages.", frames),
            ("frames_dropped_total", "counter", "Frames that a newer one replaced.", dropped),
            ("pictures_total", "counter", "Pictures translated for programs.", counts.pictures),
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

    def _refusal(self, request: Request) -> Response | None:
        """Return the answer to who may not ask; None for who may."""
        headers = request.headers
        if self._guard.has_bearer(headers):
            return None
        if not self._guard.has_cookie(headers):
            return _fault(401, "send the token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
        if request.method != "GET" and (fault := self._guard.origin_fault(headers)):
            return _fault(403, fault)
        return None

    def _asked(self, request: Request) -> tuple[str, int | None, float, Detail | None]:
        query = request.query_params
        if unknown := sorted(query.keys() - {"style", "size", "strength", "detail"}):
            raise Refused(f"unknown parameter {unknown[0][:40]!r}; known: style, size, strength, detail")
        style = query.get("style", self._studio.style)
        if style not in self._studio.styles:
            raise Refused(f"there is no style {style[:40]!r}; known: {', '.join(self._studio.styles)}")
        try:
            size = int(query["size"]) if "size" in query else None
            strength = float(query.get("strength", "1"))
        except ValueError:
            raise Refused("size or strength is no number") from None
        if not 0 <= strength <= 1:
            raise Refused(f"strength is {strength}, not within 0..1")
        if size is not None and not 1 <= size <= 1088:
            raise Refused(f"size is {size}, not within 1..1088")
        detail = query.get("detail")
        if detail is not None and detail not in DETAILS:
            raise Refused("detail is not keep or network")
        return style, size, strength, detail

    def _begin(self, content: bytes, asked: tuple[str, int | None, float, Detail | None]) -> Future[Rgb]:
        return self._studio.translate(decode(content), *asked)


class _TooLarge(Exception):
    """A body of more bytes than are taken."""


async def _body(request: Request) -> bytes:
    """Return the body, never keeping more of it than is taken.

    Raises:
        _TooLarge: it is longer than that.
        Refused: whoever sent it has left.
    """
    taken = bytearray()
    try:
        async for part in request.stream():
            taken += part
            if len(taken) > MESSAGE_BYTES:
                raise _TooLarge(f"a body of more than {MESSAGE_BYTES} bytes")
    except ClientDisconnect:
        raise Refused("the connection ended early") from None
    return bytes(taken)


def _fault(status: int, message: str, headers: dict[str, Any] | None = None) -> Response:
    return JSONResponse({"error": message}, status, headers=headers)
