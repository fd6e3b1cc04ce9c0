"""One page's WebSocket session, from handshake to close."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from rt.web.access import AccessPolicy
from rt.web.listing import describe_styles
from rt.web.protocol import (
    MESSAGE_BYTES,
    MESSAGES_PER_S,
    PIXELS,
    WS_GOING_AWAY,
    WS_POLICY_VIOLATION,
    WS_STUDIO_FULL,
    Refused,
    read_message,
    read_text,
)
from rt.web.service import Busy, TranslationService
from rt.web.shared_source import SharedSource
from rt.web.visitor import JpegFrame, Visitor

SEND_TIMEOUT_S = 10.0
"""Seconds that a page may take to receive a message before its session ends."""
STATUS_INTERVAL_S = 1.0
CLOSE_TIMEOUT_S = 1.0
QUEUED_TEXTS = 16
"""Text messages queued for a page that does not read; older ones are dropped."""
MOST_VIEWS = 8
"""Views that are open at once."""
_VIEW_WORDS = 16
"""Messages of a view after which it is disconnected: it has none to send."""
_DISCONNECTED = (
    WebSocketDisconnect,
    asyncio.TimeoutError,
    asyncio.CancelledError,
    ConnectionError,
    RuntimeError,
)
"""What sending raises once the page has left; Starlette raises RuntimeError after a close."""


class Sessions:
    """Accepts the WebSocket connections of pages and runs a session for each."""

    def __init__(
        self, service: TranslationService, policy: AccessPolicy, shared_source: SharedSource | None
    ) -> None:
        self._service, self._policy, self._shared_source = service, policy, shared_source
        self._open: set[WebSocket] = set()

    async def serve(self, websocket: WebSocket) -> None:
        """Run the session of one page until it ends."""
        headers = websocket.headers
        if self._policy.origin_error(headers) or not self._policy.has_cookie(headers):
            await websocket.close(WS_POLICY_VIOLATION)
            return
        await websocket.accept()
        outbox = _Outbox(websocket)
        try:
            visitor = self._service.join(outbox.put)
        except Busy as error:
            await websocket.close(WS_STUDIO_FULL, str(error))
            return
        self._open.add(websocket)
        try:
            await Session(websocket, visitor, outbox, self._service, self._shared_source).run()
        finally:
            self._open.discard(websocket)

    async def watch(self, websocket: WebSocket) -> None:
        """Show a view what the page of the first visitor shows, until it ends."""
        headers = websocket.headers
        if self._policy.origin_error(headers) or not self._policy.has_cookie(headers):
            await websocket.close(WS_POLICY_VIOLATION)
            return
        if self._service.views >= MOST_VIEWS:
            await websocket.accept()
            await websocket.close(WS_STUDIO_FULL, f"{MOST_VIEWS} views are open already")
            return
        await websocket.accept()
        outbox = _Outbox(websocket)
        self._open.add(websocket)
        self._service.watch(outbox.put)
        tasks = [
            asyncio.create_task(
                outbox.deliver(lambda: {"type": "status", "visitors": self._service.visitors})
            ),
            asyncio.create_task(_until_left(websocket)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._service.unwatch(outbox.put)
            self._open.discard(websocket)
            outbox.close()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for error in results:
            if isinstance(error, Exception) and not isinstance(error, _DISCONNECTED):
                raise error

    async def close_all(self) -> None:
        """Tell every page that the server shuts down."""
        closing = [websocket.close(WS_GOING_AWAY, "the studio is shutting down") for websocket in self._open]
        with contextlib.suppress(asyncio.TimeoutError):  # pages that do not read
            await asyncio.wait_for(asyncio.gather(*closing, return_exceptions=True), CLOSE_TIMEOUT_S)


async def _until_left(websocket: WebSocket) -> None:
    """Wait until a view leaves; what it says is not looked at, and it has nothing to say."""
    for _ in range(_VIEW_WORDS):
        if (await websocket.receive())["type"] == "websocket.disconnect":
            return


class Session:
    """The connection of one page: receives frames and controls, sends frames, controls and status."""

    def __init__(
        self,
        websocket: WebSocket,
        visitor: Visitor,
        outbox: _Outbox,
        service: TranslationService,
        shared_source: SharedSource | None,
    ) -> None:
        self._websocket, self._visitor, self._outbox = websocket, visitor, outbox
        self._service, self._shared_source = service, shared_source

    async def run(self) -> None:
        """Send and receive until either side ends; the visitor leaves with it."""
        tasks = [
            asyncio.create_task(self._outbox.deliver(self._status)),
            asyncio.create_task(self._receive()),
        ]
        try:
            self._outbox.put(self._welcome())
            if self._shared_source is not None and self._shared_source.fault:
                self._outbox.put({"type": "error", "message": f"no more frames: {self._shared_source.fault}"})
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._service.leave(self._visitor)
            self._outbox.close()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for error in results:
            if isinstance(error, Refused):
                with contextlib.suppress(Exception):
                    closing = self._websocket.close(WS_POLICY_VIOLATION, str(error)[:120])
                    await asyncio.wait_for(closing, SEND_TIMEOUT_S)
            elif isinstance(error, Exception) and not isinstance(error, _DISCONNECTED):
                raise error

    async def _receive(self) -> None:
        """Receive messages until the page leaves.

        Raises:
            Refused: the page sends too much, or an invalid binary message.
        """
        count, since_s = 0, time.monotonic()
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            count += 1
            if count > 2 * MESSAGES_PER_S:
                raise Refused(f"more than {MESSAGES_PER_S} messages a second")
            if time.monotonic() - since_s > 2.0:
                count, since_s = 0, time.monotonic()
            if (content := message.get("bytes")) is not None:
                self._receive_frame(content)
            else:
                self._receive_text(message.get("text") or "")

    def _receive_frame(self, content: bytes) -> None:
        header, jpeg = read_message(content)
        if jpeg:
            self._visitor.submit(JpegFrame(header, jpeg, self._visitor.send))
        else:
            self._visitor.request(header)
        self._service.wake()

    def _receive_text(self, text: str) -> None:
        try:
            self._visitor.update(read_text(text))
        except Refused as error:
            self._outbox.put({"type": "error", "message": str(error)})
        self._outbox.put(self._visitor.controls_message())

    def _welcome(self) -> dict[str, Any]:
        return {
            "type": "welcome",
            "source": "browser" if self._shared_source is None else "server",
            "styles": describe_styles(self._service.styles),
            "controls": self._visitor.controls_message(),
            "limits": {"message_bytes": MESSAGE_BYTES, "pixels": PIXELS, "messages_per_s": MESSAGES_PER_S},
        }

    def _status(self) -> dict[str, Any]:
        stale = self._shared_source is not None and self._shared_source.stale
        return {
            **self._visitor.status_message(),
            "visitors": self._service.visitors,
            "views": self._service.views,
            "stale": stale,
        }


class _Outbox:
    """Messages for one page: texts in order, of frames the newest, the status once a second."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._lock = threading.Lock()
        self._texts: list[dict[str, Any]] = []
        self._frame: bytes | None = None
        self._open = True

    def put(self, message: bytes | dict[str, Any]) -> None:
        """Queue a message; from any thread."""
        with self._lock:
            if not self._open:
                return
            if isinstance(message, bytes):
                self._frame = message
            else:
                self._texts = [*self._texts[1 - QUEUED_TEXTS :], message]
            self._loop.call_soon_threadsafe(self._ready.set)

    def close(self) -> None:
        """Accept no more messages, and let `deliver` end."""
        with self._lock:
            self._open = False
        self._ready.set()

    async def deliver(self, status: Callable[[], dict[str, Any]]) -> None:
        """Send messages as they are queued, and the status once a second, until closed."""
        due_s = time.monotonic()
        # `_open` is tested besides the task's cancellation: `wait_for` of Python 3.11 can lose a cancellation
        # that arrives as the event is set.
        while self._open:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ready.wait(), max(0.0, due_s - time.monotonic()))
            self._ready.clear()
            with self._lock:
                texts, frame = self._texts, self._frame
                self._texts, self._frame = [], None
            if time.monotonic() >= due_s:
                texts, due_s = [*texts, status()], time.monotonic() + STATUS_INTERVAL_S
            for text in texts:
                await asyncio.wait_for(self._websocket.send_json(text), SEND_TIMEOUT_S)
            if frame is not None:
                await asyncio.wait_for(self._websocket.send_bytes(frame), SEND_TIMEOUT_S)
