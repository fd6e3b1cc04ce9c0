"""The HTTP API of batches: upload, start, look, download."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from rt.batch.report import thumbnail
from rt.errors import VideobrushError
from rt.web.access import AccessPolicy
from rt.web.api import denial, error_response
from rt.web.archive import zip_stream
from rt.web.batches import Batches, Gone
from rt.web.protocol import TEXT_BYTES, Refused
from rt.web.service import Busy
from rt.web.uploads import TooMuch

IDLE_S = 60.0
"""Seconds within which more of an upload must come."""
THUMBNAIL_PX = 400
_THUMBNAILS_AT_ONCE = 2

_Answer = Callable[[Request], Awaitable[Response]]


class BatchApi:
    """The endpoints below `/api/batches`. Their names cannot be guessed: a visitor sees its own alone."""

    def __init__(self, batches: Batches, policy: AccessPolicy) -> None:
        self._batches, self._policy = batches, policy
        self._thumbnails = asyncio.Semaphore(_THUMBNAILS_AT_ONCE)

    def routes(self) -> list[Route]:
        """Return the routes, each behind the access policy."""
        one = "/api/batches/{batch}"
        table: list[tuple[str, str, _Answer]] = [
            ("POST", "/api/batches", self._open),
            ("GET", one, self._look),
            ("DELETE", one, self._remove),
            ("POST", f"{one}/files", self._upload),
            ("DELETE", f"{one}/files/{{number:int}}", self._remove_file),
            ("POST", f"{one}/start", self._start),
            ("POST", f"{one}/stop", self._stop),
            ("POST", f"{one}/leave", self._leave),
            ("POST", f"{one}/stay", self._stay),
            ("GET", f"{one}/results/{{number:int}}", self._result),
            ("GET", f"{one}/thumbnails/{{number:int}}", self._thumbnail),
            ("GET", f"{one}/results.zip", self._zip),
        ]
        return [Route(path, self._guarded(answer), methods=[method]) for method, path, answer in table]

    def _guarded(self, answer: _Answer) -> _Answer:
        """Return an endpoint that answers to those who may ask, and says in one line what went wrong."""

        async def guarded(request: Request) -> Response:
            if (denied := denial(self._policy, request)) is not None:
                return denied
            try:
                return await answer(request)
            except Gone as error:
                return error_response(404, str(error))
            except TooMuch as error:
                return error_response(413, str(error))
            except Refused as error:
                return error_response(400, str(error))
            except Busy as error:
                return error_response(503, str(error))
            except asyncio.TimeoutError:
                return error_response(408, f"nothing of the file came for {IDLE_S:g} s")
            except VideobrushError as error:
                return error_response(500, str(error))

        return guarded

    async def _open(self, request: Request) -> Response:
        batch = await asyncio.to_thread(self._batches.open)
        return JSONResponse(self._batches.describe(batch), 201)

    async def _look(self, request: Request) -> Response:
        return JSONResponse(self._batches.describe(self._batches.get(request.path_params["batch"])))

    async def _remove(self, request: Request) -> Response:
        await asyncio.to_thread(self._batches.remove, self._batches.get(request.path_params["batch"]))
        return Response(status_code=204)

    async def _upload(self, request: Request) -> Response:
        """POST one file as the body, its path as `?name=`; its length is announced."""
        batch = self._batches.get(request.path_params["batch"])
        name, size = request.query_params.get("name", ""), _length(request)
        with self._batches.receive(batch, name, size) as receiver:
            parts = request.stream()
            try:
                while True:
                    part = await asyncio.wait_for(anext(parts, None), IDLE_S)
                    if part is None:
                        break
                    if part:
                        await asyncio.to_thread(receiver.take, part)
            except ClientDisconnect:
                raise Refused("the connection ended early") from None
        return JSONResponse(vars(receiver.upload), 201)

    async def _remove_file(self, request: Request) -> Response:
        batch = self._batches.get(request.path_params["batch"])
        await asyncio.to_thread(self._batches.remove_file, batch, request.path_params["number"])
        return Response(status_code=204)

    async def _start(self, request: Request) -> Response:
        """POST `{"styles": ["winter"], "strength": 1, "steady": 0}`."""
        batch = self._batches.get(request.path_params["batch"])
        styles, strength, steady = _asked(await _text(request))
        await asyncio.to_thread(self._batches.start, batch, styles, strength, steady)
        return JSONResponse(self._batches.describe(batch), 202)

    async def _stop(self, request: Request) -> Response:
        batch = self._batches.get(request.path_params["batch"])
        self._batches.stop(batch)
        return JSONResponse(self._batches.describe(batch))

    async def _leave(self, request: Request) -> Response:
        self._batches.leave(self._batches.get(request.path_params["batch"]))
        return Response(status_code=204)

    async def _stay(self, request: Request) -> Response:
        batch = self._batches.get(request.path_params["batch"])
        self._batches.stay(batch)
        return JSONResponse(self._batches.describe(batch))

    async def _result(self, request: Request) -> Response:
        path = self._path(request)
        return FileResponse(path, filename=path.name)

    async def _thumbnail(self, request: Request) -> Response:
        path = self._path(request)
        async with self._thumbnails:
            content = await asyncio.to_thread(thumbnail, path, THUMBNAIL_PX)
        return (
            Response(content, media_type="image/jpeg") if content else error_response(404, "it has no image")
        )

    async def _zip(self, request: Request) -> Response:
        results = self._batches.results(self._batches.get(request.path_params["batch"]))
        headers = {"Content-Disposition": 'attachment; filename="videobrush.zip"'}
        return StreamingResponse(zip_stream(results), media_type="application/zip", headers=headers)

    def _path(self, request: Request) -> Path:
        batch = self._batches.get(request.path_params["batch"])
        path = self._batches.result(batch, request.path_params["number"])
        if not path.is_file():
            raise Gone("there is no such result")
        return path


def _length(request: Request) -> int:
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise Refused("announce the file's size: Content-Length")
    return int(length)


async def _text(request: Request) -> Any:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > TEXT_BYTES:
            raise Refused(f"more than {TEXT_BYTES} bytes")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Refused("the request is not JSON") from None


def _asked(message: Any) -> tuple[list[str], float, float]:
    if not isinstance(message, dict):
        raise Refused("the request is no JSON object")
    if unknown := sorted(message.keys() - {"styles", "strength", "steady"}):
        raise Refused(f"unknown parameter {unknown[0][:40]!r}; known: styles, strength, steady")
    styles = message.get("styles")
    if not isinstance(styles, list) or not all(isinstance(name, str) for name in styles):
        raise Refused("styles is no list of names")
    numbers = []
    for name, default in (("strength", 1.0), ("steady", 0.0)):
        value = message.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise Refused(f"{name} is not within 0..1")
        numbers.append(float(value))
    return list(dict.fromkeys(styles)), numbers[0], numbers[1]
