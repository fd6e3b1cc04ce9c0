"""The talk with one page over its WebSocket, from its handshake to its end."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from rt.web.camera import Camera
from rt.web.guard import Guard
from rt.web.listing import describe_styles
from rt.web.protocol import (
    BROKE_RULES,
    FULL,
    GOES,
    MESSAGE_BYTES,
    MESSAGES_PER_S,
    PIXELS,
    Refused,
    read_message,
    read_text,
)
from rt.web.studio import Full, Studio
from rt.web.visitor import JpegFrame, Visitor

SEND_S = 10.0
"""Seconds that a page may take to receive a message before it counts as gone."""
STATUS_S = 1.0
FAREWELL_S = 1.0


class Talk:
    """Talks to pages."""

    def __init__(self, studio: Studio, guard: Guard, camera: Camera | None) -> None:
        self._studio, self._guard, self._camera = studio, guard, camera
        self._open: set[WebSocket] = set()

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
        self._open.add(websocket)
        try:
            outbox.put(self._welcome(visitor))
            if self._camera is not None and self._camera.fault:
                outbox.put({"type": "error", "message": f"no more pictures: {self._camera.fault}"})
            await asyncio.wait(talk, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open.discard(websocket)
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

    async def farewell(self) -> None:
        """Say to every page that the server ends."""
        leaving = [websocket.close(GOES, "the studio ends") for websocket in self._open]
        with contextlib.suppress(asyncio.TimeoutError):  # of those who read nothing
            await asyncio.wait_for(asyncio.gather(*leaving, return_exceptions=True), FAREWELL_S)

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
                header, jpeg = read_message(content)
                if jpeg:
                    visitor.accept(JpegFrame(header, jpeg, outbox.put))
                else:
                    visitor.ask(header)
                self._studio.wake()
                continue
            try:
                visitor.change(read_text(message.get("text") or ""))
            except Refused as error:
                outbox.put({"type": "error", "message": str(error)})
            outbox.put(visitor.controls())

    def _welcome(self, visitor: Visitor) -> dict[str, Any]:
        return {
            "type": "welcome",
            "source": "browser" if self._camera is None else "server",
            "styles": describe_styles(self._studio.styles),
            "controls": visitor.controls(),
            "limits": {"message_bytes": MESSAGE_BYTES, "pixels": PIXELS, "messages_per_s": MESSAGES_PER_S},
        }

    def _status(self, visitor: Visitor) -> dict[str, Any]:
        stale = self._camera is not None and self._camera.stale
        return {**visitor.status(), "visitors": self._studio.visitors, "stale": stale}


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
