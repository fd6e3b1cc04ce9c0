"""The studio: visitors come and go, one thread translates for all of them in turn.

Nothing here knows of sockets: the server gives every visitor a function that takes messages for its page.
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
from rt.web.jpeg import encode_jpeg
from rt.web.shelf import Key, Shelf
from rt.web.visitor import Send, Visitor

SPARE_NETWORKS = 4
"""Networks that may be loaded beside one for each visitor."""
ERRANDS = 8
"""Pictures of programs that may wait for their turn."""


class Full(VideobrushError):
    """As many visitors are there as the studio takes."""


class _Turn(Protocol):
    """Whoever waits for the thread that translates."""

    @property
    def left(self) -> bool: ...
    @property
    def waiting(self) -> bool: ...
    def serve(self) -> None: ...
    def release(self) -> None: ...


@dataclass
class Counts:
    """What was done since the start."""

    visitors: int = 0
    pictures: int = 0
    loads: int = 0


class Studio:
    """Translates for visitors and programs; owns the networks and one thread.

    Where that thread dies of a fault of ours, `fault` has it and `on_fault` is called.
    """

    def __init__(
        self,
        styles: Mapping[str, Style],
        style: str,
        *,
        backend: str = "auto",
        precision: str = "auto",
        capacity: int = 10,
        on_fault: Callable[[], None] = lambda: None,
    ) -> None:
        """`capacity` visitors are taken at most; `style` is what a new one sees."""
        self.styles, self.style, self.capacity = styles, style, capacity
        self.fault: BaseException | None = None
        self.counts = Counts()
        self._backend, self._precision, self._on_fault = backend, precision, on_fault
        self._shelf = Shelf(self._load, capacity + SPARE_NETWORKS)
        self._loader = ThreadPoolExecutor(1, "videobrush-load")
        self._changed = threading.Condition()
        self._visitors: list[Visitor] = []
        self._errands = _Errands()
        self._turns: deque[_Turn] = deque([self._errands])
        self._closed = False
        self._gone_frames = self._gone_dropped = 0
        self._before: tuple[Frame, bytes] | None = None
        self._thread = threading.Thread(target=self._run, name="videobrush-studio", daemon=True)
        self._thread.start()

    def load_first(self, height: int, width: int) -> None:
        """Load the first style for frames of this size, so that what cannot work shows before anybody comes.

        Raises:
            VideobrushError: it cannot be loaded.
        """
        size = style_size(self.styles[self.style].card, height, width)
        self._shelf.fetch((self.style, size)).close()

    def join(self, send: Send) -> Visitor:
        """Take a visitor in.

        Raises:
            Full: as many as the studio takes are there.
        """
        with self._changed:
            if len(self._visitors) >= self.capacity:
                raise Full(
                    f"{self.capacity} visitors are here, as many as this studio takes; try again later"
                )
            visitor = Visitor(send, self.styles, self.style, self._shelf, self._fetch, self._encode_before)
            self._visitors.append(visitor)
            self._turns.append(visitor)
            self.counts.visitors += 1
            return visitor

    def leave(self, visitor: Visitor) -> None:
        """Let a visitor go; works twice."""
        with self._changed:
            if visitor in self._visitors:
                self._visitors.remove(visitor)
                self._gone_frames += visitor.frames
                self._gone_dropped += visitor.dropped
            visitor.leave()
            self._changed.notify()

    def wake(self) -> None:
        """Say that a visitor has something to do."""
        with self._changed:
            self._changed.notify()

    def show(self, frame: Frame) -> None:
        """Give a frame of the server's source to every visitor."""
        with self._changed:
            for visitor in self._visitors:
                visitor.show(frame)
            self._changed.notify()

    def tell(self, message: dict[str, Any]) -> None:
        """Send every visitor a message."""
        with self._changed:
            for visitor in self._visitors:
                visitor.send(message)

    def translate(
        self, rgb: Rgb, style: str, size_px: int | None, strength: float, detail: Detail | None
    ) -> Future[Rgb]:
        """Translate one picture uint8[H, W, 3] RGB in its turn; the network is loaded in the calling thread.

        Raises:
            Full: too many pictures wait already.
            VideobrushError: the style cannot be loaded, or not at the size asked for.
        """
        key = style, style_size(self.styles[style].card, rgb.shape[0], rgb.shape[1], size_px)
        lent = self._shelf.fetch(key)

        def work() -> Rgb:
            return Translator(lent, Controls(strength=strength), detail).translate(_still(rgb)).rgb

        try:
            with self._changed:
                if self._closed:
                    raise BackendError("the studio is closing")
                found = self._errands.add(work)
                self.counts.pictures += 1
                self._changed.notify()
        except VideobrushError:
            lent.close()
            raise
        found.add_done_callback(lambda _: lent.close())
        return found

    @property
    def visitors(self) -> int:
        """How many visitors are there."""
        return len(self._visitors)

    def totals(self) -> tuple[int, int]:
        """Return frames translated and frames dropped since the start, for all visitors."""
        with self._changed:
            here = self._visitors
            return (
                self._gone_frames + sum(visitor.frames for visitor in here),
                self._gone_dropped + sum(visitor.dropped for visitor in here),
            )

    def close(self) -> None:
        """End the thread and release every network; works twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._loader.shutdown(cancel_futures=True)
        self._shelf.close()

    def _run(self) -> None:
        try:
            while (turn := self._next()) is not None:
                turn.serve()
        except BaseException as error:  # a fault of ours: whoever runs the studio ends and shows it
            self.fault = error
            self._on_fault()
        finally:
            with self._changed:  # nothing is added behind this: `translate` looks at the same
                self._closed = True
            for turn in self._turns:
                turn.release()

    def _next(self) -> _Turn | None:
        """Wait for work and return whose turn it is; None at the end. Those who left are released."""
        with self._changed:
            while not self._closed:
                for _ in range(len(self._turns)):
                    turn = self._turns.popleft()
                    if turn.left:
                        turn.release()
                        continue
                    self._turns.append(turn)
                    if turn.waiting:
                        return turn
                self._changed.wait()
            return None

    def _fetch(self, key: Key) -> Future[Backend]:
        future = self._loader.submit(self._shelf.fetch, key)
        future.add_done_callback(lambda _: self.wake())
        return future

    def _load(self, name: str, size: tuple[int, int]) -> Backend:
        choice = open_backend(self._backend, self.styles[name], size, self._precision)
        backend = choice.backend
        self.counts.loads += 1
        LOG.info(
            "style %s: %s on %s, %s, network picture %dx%d (%s)",
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


class _Errands:
    """Pictures of programs, one after the other; in turn with the visitors."""

    left = False

    def __init__(self) -> None:
        self._waiting: deque[tuple[Callable[[], Rgb], Future[Rgb]]] = deque()

    @property
    def waiting(self) -> bool:
        """True where a picture waits."""
        return bool(self._waiting)

    def add(self, work: Callable[[], Rgb]) -> Future[Rgb]:
        """Queue a picture.

        Raises:
            Full: too many wait already.
        """
        if len(self._waiting) >= ERRANDS:
            raise Full(f"{ERRANDS} pictures wait already; try again later")
        found: Future[Rgb] = Future()
        self._waiting.append((work, found))
        return found

    def serve(self) -> None:
        """Translate the first."""
        work, found = self._waiting.popleft()
        if not found.set_running_or_notify_cancel():
            return
        try:
            found.set_result(work())
        except BaseException as error:
            found.set_exception(error)
            if not isinstance(error, VideobrushError):
                raise

    def release(self) -> None:
        """Give up what waits."""
        while self._waiting:
            self._waiting.popleft()[1].cancel()
