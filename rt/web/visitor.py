"""One visitor: what he asks for, his newest frame, and the translator that is his alone."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol, cast

from rt.backends import Backend
from rt.card import Detail
from rt.controls import Controls
from rt.errors import VideobrushError
from rt.fit import style_size
from rt.frame import Frame, Rgb
from rt.styles import Style
from rt.translator import Translator
from rt.web.jpeg import decode, encode_jpeg
from rt.web.protocol import Header, Refused, Wish
from rt.web.shelf import Key, Shelf

RATE_S = 2.0
"""Seconds over which frames a second and times are counted."""
_MS = Fraction(1, 1000)


class Send(Protocol):
    """What takes messages for a page."""

    def __call__(self, message: bytes | dict[str, Any]) -> None:
        """Take a binary or a JSON message; from any thread, never waiting."""
        ...


@dataclass(frozen=True)
class JpegFrame:
    """A frame that a page sent as a message; it is answered by one."""

    header: Header
    content: bytes
    send: Send

    def frame(self) -> Frame:
        """Decode it.

        Raises:
            Refused: it is damaged, or larger or smaller than frames may be.
        """
        return Frame(decode(self.content), round(self.header.captured_ms), _MS, self.header.sequence)

    def answer(self, rgb: Rgb) -> None:
        """Send uint8[H, W, 3] RGB under the number that the frame came with."""
        self.send(self.header.pack() + encode_jpeg(rgb))


class Visitor:
    """What belongs to one page. Its frames are translated by the studio's thread, in turn with others'.

    `accept`, `ask`, `show`, `change`, `status` and `leave` may be called from any thread; `serve` and
    `release` are the studio's.
    """

    def __init__(
        self,
        send: Send,
        styles: Mapping[str, Style],
        style: str,
        shelf: Shelf,
        fetch: Callable[[Key], Future[Backend]],
        encode_before: Callable[[Frame], bytes],
    ) -> None:
        """`fetch` loads a network in another thread and wakes the studio when it is there."""
        self.style = style
        self.size_px: int | None = None
        self.detail: Detail | None = None
        """What the visitor asked for; None for the style's own."""
        self.knobs = Controls(tuple(styles), style)
        self.left = False
        self.dropped = 0
        """Frames of the page that a newer one replaced before their turn came."""
        self.frames = 0
        self.send, self._styles, self._shelf, self._fetch = send, styles, shelf, fetch
        self._encode_before = encode_before
        self._lock = threading.Lock()
        self._newest: JpegFrame | None = None
        self._asked: Header | None = None
        self._shown: Frame | None = None
        self._translator: Translator | None = None
        self._backend: Backend | None = None
        self._key: Key | None = None
        self._loading: tuple[Key, Future[Backend]] | None = None
        self._good: tuple[str, int | None] = style, None
        """Style and size that last worked."""
        self._refused: tuple[Key, VideobrushError] | None = None
        self._spans: deque[tuple[float, float]] = deque()

    def accept(self, offered: JpegFrame) -> None:
        """Take a frame of the page; one that still waits is dropped."""
        with self._lock:
            self.dropped += self._newest is not None
            self._newest = offered

    def ask(self, header: Header) -> None:
        """Ask for the next picture of the server's own source."""
        with self._lock:
            self._asked = header

    def show(self, frame: Frame) -> None:
        """Take a frame of the server's own source."""
        with self._lock:
            self._shown = frame

    def change(self, wish: Wish) -> None:
        """Turn the knobs.

        Raises:
            Refused: there is no such style.
        """
        if wish.style is not None and wish.style not in self._styles:
            raise Refused(f"there is no style {wish.style[:40]!r}")
        with self._lock:
            if wish.style is not None:
                self.style = wish.style
            if wish.size_given:
                self.size_px = wish.size
            if wish.detail is not None:
                self.detail = cast(Detail, wish.detail)
            self._refused = None
        if wish.strength is not None:
            self.knobs.strength = wish.strength
        if wish.steady is not None:
            self.knobs.steady = wish.steady

    def controls(self) -> dict[str, Any]:
        """Return the message that says how the knobs stand."""
        return {
            "type": "controls",
            "style": self.style,
            "strength": self.knobs.strength,
            "steady": self.knobs.steady or None,
            "size": self.size_px,
            "detail": self.detail or self._styles[self.style].card.detail,
        }

    def status(self) -> dict[str, Any]:
        """Return the message that says how the work goes."""
        now = time.perf_counter()
        with self._lock:
            while self._spans and self._spans[0][0] < now - RATE_S:
                self._spans.popleft()
            times = sorted(span for _, span in self._spans)
            backend, loading = self._backend, self._loading
        return {
            "type": "status",
            "fps": round(len(times) / RATE_S, 1),
            "translate_ms": round(1000 * times[len(times) // 2], 2) if times else None,
            "dropped": self.dropped,
            "backend": backend.info.name if backend else None,
            "device": backend.info.device if backend else None,
            "precision": backend.info.precision if backend else None,
            "size": list(backend.info.size) if backend else None,
            "loading": loading[0][0] if loading else None,
        }

    def leave(self) -> None:
        """Say that the page is gone; the studio's thread releases what it held."""
        self.left = True

    @property
    def waiting(self) -> bool:
        """True where there is something to do for the studio's thread."""
        with self._lock:
            if self._translator is None and self._loading is not None and not self._loading[1].done():
                return False  # nothing can be translated yet: its end wakes the studio
            return self._newest is not None or (self._asked is not None and self._shown is not None)

    def serve(self) -> None:
        """Translate the newest frame and send it; where the style is not there yet, the frame waits."""
        with self._lock:
            taken, asked, shown = self._newest, self._asked, self._shown
            self._newest = None
        try:
            if taken is not None:
                self._answer_page(taken)
            elif asked is not None and shown is not None:
                self._answer_asked(asked, shown)
        except Refused as error:
            self.send({"type": "error", "message": str(error)})
        except VideobrushError as error:
            self.send({"type": "error", "message": f"not translated: {error}"})

    def release(self) -> None:
        """Give back the networks and stop loading."""
        self._stop_loading()
        if self._translator is not None:
            self._translator.close()
            self._translator = self._backend = None

    def _stop_loading(self) -> None:
        if self._loading is not None:
            self._loading[1].add_done_callback(_give_back)
            self._loading = None

    def _answer_page(self, offered: JpegFrame) -> None:
        began_s = time.perf_counter()
        frame = offered.frame()
        translator = self._translator_for(frame)
        if translator is None:
            with self._lock:
                self._newest = self._newest or offered
            return
        offered.answer(translator.translate(frame).rgb)
        self._count(began_s)

    def _answer_asked(self, asked: Header, frame: Frame) -> None:
        began_s = time.perf_counter()
        try:
            translator = self._translator_for(frame)
        except VideobrushError:
            with self._lock:
                self._asked = None  # answered by the error, once
            raise
        if translator is None:
            return
        with self._lock:
            self._asked = None
            if self._shown is frame:
                self._shown = None
        before = self._encode_before(frame)
        after = encode_jpeg(translator.translate(frame).rgb)
        self._count(began_s)
        self.send(Header(asked.sequence, len(before), asked.captured_ms).pack() + before + after)

    def _count(self, began_s: float) -> None:
        now = time.perf_counter()
        with self._lock:
            self.frames += 1
            self._spans.append((now, now - began_s))

    def _translator_for(self, frame: Frame) -> Translator | None:
        """Return the translator at what is asked for, or at what was before while that is loaded.

        Raises:
            VideobrushError: what is asked for cannot be loaded, and nothing was before.
        """
        with self._lock:
            style, size_px, detail = self.style, self.size_px, self.detail
        try:
            wanted = (style, style_size(self._styles[style].card, *frame.size, size_px))
            if self._refused is not None and self._refused[0] == wanted:
                raise self._refused[1]
            if wanted != self._key:
                self._fetch_next(wanted)
            else:
                self._good = style, size_px
                self._stop_loading()  # of what was asked for in between
        except VideobrushError as error:
            self._fall_back(error)
        if self._translator is not None:
            self._translator.detail = detail
        return self._translator

    def _fetch_next(self, wanted: Key) -> None:
        """Take the wanted network where it is loaded, else see that it is being loaded."""
        if self._loading is not None and self._loading[1].done():
            key, future = self._loading
            self._loading = None
            try:
                loaded = future.result()
            except VideobrushError as error:
                self._refused = key, error
                if key == wanted:
                    raise
            else:
                if key == wanted:
                    self._take(key, loaded)
                    return
                loaded.close()
        if self._loading is None:
            lent = self._shelf.lend(wanted)
            if lent is not None:
                self._take(wanted, lent)
            else:
                self._loading = wanted, self._fetch(wanted)

    def _take(self, key: Key, backend: Backend) -> None:
        if self._translator is None:
            self._translator = Translator(backend, self.knobs, self.detail)
        else:
            self._translator.switch(backend)
        self._key, self._backend = key, backend
        self.send(self.controls())

    def _fall_back(self, error: VideobrushError) -> None:
        """Stay with what runs, and say why; where nothing runs, the error is the answer."""
        if self._key is None:
            raise error
        with self._lock:
            self.style, self.size_px = self._good
        self.send({"type": "error", "message": str(error)})
        self.send(self.controls())


def _give_back(future: Future[Backend]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
