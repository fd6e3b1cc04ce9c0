"""The studio's translation thread, which serves all visitors round robin.

Nothing here knows of sockets: each visitor brings a function that takes messages for its page.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from rt.backends import Backend, open_backend
from rt.card import Detail
from rt.controls import Controls
from rt.errors import BackendError, VideobrushError
from rt.fit import style_size
from rt.frame import Frame, Rgb
from rt.log import LOG
from rt.styles import Style
from rt.translator import Translator
from rt.web.backend_pool import BackendPool
from rt.web.jpeg import encode_jpeg
from rt.web.protocol import translated_jpeg
from rt.web.visitor import Send, Visitor

SPARE_BACKENDS = 4
"""Backends that may be loaded beside two for each visitor, who may mix them."""
API_QUEUE_SIZE = 8
"""Images of programs that may wait for their turn."""


class Busy(VideobrushError):
    """The studio has as many visitors, or as many queued images, as it takes."""


class _Client(Protocol):
    """A visitor or the API queue: one that the translation thread serves in turn."""

    @property
    def left(self) -> bool: ...
    @property
    def ready(self) -> bool: ...
    def serve(self) -> None: ...
    def release(self) -> None: ...


@dataclass
class Counts:
    """Totals since the start."""

    visitors: int = 0
    images: int = 0
    loads: int = 0


class TranslationService:
    """Translates for visitors and programs; owns the backends and one thread.

    Where that thread fails with a bug of ours, `fault` holds the error and `on_fault` is called.
    """

    def __init__(
        self,
        styles: Mapping[str, Style],
        style: str,
        *,
        backend: str = "auto",
        precision: str = "auto",
        capacity: int = 10,
        fade_s: float = 0.0,
        on_fault: Callable[[], None] = lambda: None,
    ) -> None:
        """At most `capacity` visitors are accepted; a new one starts with `style`."""
        self.styles, self.style, self.capacity = styles, style, capacity
        self.fault: BaseException | None = None
        self.counts = Counts()
        self._backend, self._precision, self._on_fault = backend, precision, on_fault
        self._fade_s = fade_s
        self._pool = BackendPool(self._load, 2 * capacity + SPARE_BACKENDS)
        self._loader = ThreadPoolExecutor(1, "videobrush-load")
        self._changed = threading.Condition()
        self._visitors: list[Visitor] = []
        self._watchers: list[Send] = []
        self._api_queue = ApiQueue()
        self._clients: deque[_Client] = deque([self._api_queue])  # whose turn is next comes first
        self._closed = False
        self._past_frames = self._past_dropped = 0  # of visitors who have left
        self._before: tuple[Frame, bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="videobrush-studio", daemon=True)
        self._thread.start()

    def load_first(self, height: int, width: int) -> None:
        """Load the first style for frames of this size, so that a failure shows at start.

        Raises:
            VideobrushError: it cannot be loaded.
        """
        size = style_size(self.styles[self.style].card, height, width)
        self._pool.acquire((self.style, size)).close()

    def join(self, send: Send) -> Visitor:
        """Add a visitor.

        Raises:
            Busy: the studio is full.
        """
        with self._changed:
            if len(self._visitors) >= self.capacity:
                raise Busy(
                    f"{self.capacity} visitors are connected, the limit of this studio; try again later"
                )
            visitor: Visitor = Visitor(
                lambda message: self._deliver(visitor, send, message),
                self.styles,
                self.style,
                self._pool,
                self._load_async,
                self._encode_before,
                self._fade_s,
            )
            self._visitors.append(visitor)
            self._clients.append(visitor)
            self.counts.visitors += 1
            return visitor

    def watch(self, send: Send) -> None:
        """Send the JPEG of each translated frame of the visitor who has been here longest, from now on."""
        with self._changed:
            self._watchers.append(send)

    def unwatch(self, send: Send) -> None:
        """Send no more; works twice."""
        with self._changed:
            if send in self._watchers:
                self._watchers.remove(send)

    def _deliver(self, visitor: Visitor, send: Send, message: bytes | dict[str, Any]) -> None:
        send(message)
        if not isinstance(message, bytes) or not self._watchers:
            return
        with self._changed:
            watchers = list(self._watchers) if self._visitors[:1] == [visitor] else []
        for watcher in watchers:
            watcher(translated_jpeg(message))

    @property
    def views(self) -> int:
        """Number of views that are open."""
        return len(self._watchers)

    def leave(self, visitor: Visitor) -> None:
        """Remove a visitor; works twice."""
        with self._changed:
            if visitor in self._visitors:
                self._visitors.remove(visitor)
                self._past_frames += visitor.frames
                self._past_dropped += visitor.dropped
            visitor.leave()
            self._changed.notify()

    def wake(self) -> None:
        """Notify the thread that a visitor has work."""
        with self._changed:
            self._changed.notify()

    def show(self, frame: Frame) -> None:
        """Pass a frame of the server's source to every visitor."""
        with self._changed:
            for visitor in self._visitors:
                visitor.show(frame)
            self._changed.notify()

    def broadcast(self, message: dict[str, Any]) -> None:
        """Send a message to every visitor."""
        with self._changed:
            for visitor in self._visitors:
                visitor.send(message)

    def translate(
        self, rgb: Rgb, style: str, size_px: int | None, strength: float, detail: Detail | None
    ) -> Future[Rgb]:
        """Queue one image uint8[H, W, 3] RGB; the backend is loaded in the calling thread.

        Raises:
            Busy: too many images are queued already.
            VideobrushError: the style cannot be loaded, or not at this size.
        """
        key = style, style_size(self.styles[style].card, rgb.shape[0], rgb.shape[1], size_px)
        backend = self._pool.acquire(key)

        def work() -> Rgb:
            return Translator(backend, Controls(strength=strength), detail).translate(_still(rgb)).rgb

        try:
            with self._changed:
                if self._closed:
                    raise BackendError("the studio is closing")
                future = self._api_queue.add(work)
                self.counts.images += 1
                self._changed.notify()
        except VideobrushError:
            backend.close()
            raise
        future.add_done_callback(lambda _: backend.close())
        return future

    @property
    def visitors(self) -> int:
        """Number of visitors connected."""
        return len(self._visitors)

    def totals(self) -> tuple[int, int]:
        """Return frames translated and frames dropped since the start, of all visitors."""
        with self._changed:
            return (
                self._past_frames + sum(visitor.frames for visitor in self._visitors),
                self._past_dropped + sum(visitor.dropped for visitor in self._visitors),
            )

    def close(self) -> None:
        """Stop the thread and release every backend; works twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._loader.shutdown(cancel_futures=True)
        self._pool.close()

    def _run(self) -> None:
        try:
            while (client := self._next()) is not None:
                client.serve()
        except BaseException as error:  # a bug of ours: the server ends and raises it
            self.fault = error
            self._on_fault()
        finally:
            with self._changed:  # `translate` checks it, so nothing is queued after this
                self._closed = True
            for client in self._clients:
                client.release()

    def _next(self) -> _Client | None:
        """Wait for work and return whose turn it is; None at the end. Clients that left are released."""
        with self._changed:
            while not self._closed:
                for _ in range(len(self._clients)):
                    client = self._clients.popleft()
                    if client.left:
                        client.release()
                        continue
                    self._clients.append(client)
                    if client.ready:
                        return client
                self._changed.wait()
            return None

    def _load_async(self, load: Callable[[], Backend]) -> Future[Backend]:
        future = self._loader.submit(load)
        future.add_done_callback(lambda _: self.wake())
        return future

    def _load(self, name: str, size: tuple[int, int]) -> Backend:
        choice = open_backend(self._backend, self.styles[name], size, self._precision)
        backend = choice.backend
        self.counts.loads += 1
        LOG.info(
            "style %s: %s on %s, %s, network input %dx%d (%s)",
            *(name, backend.info.name, backend.info.device, backend.info.precision),
            *(size[1], size[0], choice.reason),
        )
        return backend

    def _encode_before(self, frame: Frame) -> bytes:
        """Return a frame of the server's source as JPEG, encoded once for all visitors."""
        if self._before is None or self._before[0] is not frame:
            self._before = frame, encode_jpeg(frame.rgb)
        return self._before[1]


def _still(rgb: Rgb) -> Frame:
    return Frame(rgb, 0, Fraction(1, 1000), 0)


class ApiQueue:
    """Images of programs, translated in order, in turn with the visitors."""

    left = False

    def __init__(self) -> None:
        self._queue: deque[tuple[Callable[[], Rgb], Future[Rgb]]] = deque()

    @property
    def ready(self) -> bool:
        """True where an image is queued."""
        return bool(self._queue)

    def add(self, work: Callable[[], Rgb]) -> Future[Rgb]:
        """Queue an image.

        Raises:
            Busy: too many are queued already.
        """
        if len(self._queue) >= API_QUEUE_SIZE:
            raise Busy(f"{API_QUEUE_SIZE} images are queued already; try again later")
        future: Future[Rgb] = Future()
        self._queue.append((work, future))
        return future

    def serve(self) -> None:
        """Translate the first image."""
        work, future = self._queue.popleft()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
            if not isinstance(error, VideobrushError):
                raise

    def release(self) -> None:
        """Cancel all queued images."""
        while self._queue:
            self._queue.popleft()[1].cancel()
