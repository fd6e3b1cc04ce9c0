"""One visitor: its controls, its newest frame, its own translator."""

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
from rt.expects import Expectations
from rt.frame import Frame, Rgb
from rt.mixed import SIGN, Mixed, mixed_size
from rt.styles import Style
from rt.translator import Translator
from rt.web.backend_pool import BackendPool, Key
from rt.web.jpeg import decode, encode_jpeg
from rt.web.protocol import ControlsUpdate, Header, Refused

RATE_WINDOW_S = 2.0
"""Seconds over which the frame rate and times are measured."""
_MS = Fraction(1, 1000)


class Send(Protocol):
    """A function that sends messages to a page."""

    def __call__(self, message: bytes | dict[str, Any]) -> None:
        """Queue a binary or a JSON message; from any thread, without blocking."""
        ...


@dataclass(frozen=True)
class JpegFrame:
    """A frame that a page sent, and the way its translation is sent back."""

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
        """Send uint8[H, W, 3] RGB with the header of the frame."""
        self.send(self.header.pack() + encode_jpeg(rgb))


class Visitor:
    """The state of one page. Its frames are translated by the translation thread, in turn with others'.

    `serve` and `release` are called by that thread alone, everything else from any thread.
    """

    def __init__(
        self,
        send: Send,
        styles: Mapping[str, Style],
        style: str,
        pool: BackendPool,
        load_async: Callable[[Callable[[], Backend]], Future[Backend]],
        encode_before: Callable[[Frame], bytes],
        fade_s: float = 0.0,
    ) -> None:
        """`load_async` calls what loads a backend in another thread, and wakes the translation thread then.

        Styles are switched over `fade_s` seconds.
        """
        self.style = style
        self.size_px: int | None = None
        self.detail: Detail | None = None
        """What the visitor chose; None for the style's own."""
        self.controls = Controls(tuple(styles), style, fade_s=fade_s)
        self.update_number: int | None = None
        """The number of the last update, as the page counts them."""
        self.left = False
        self.dropped = 0
        """Frames of the page that a newer one replaced before their turn came."""
        self.frames = 0
        self.send, self._styles, self._pool, self._load_async = send, styles, pool, load_async
        self._encode_before = encode_before
        self._lock = threading.Lock()
        self._newest: JpegFrame | None = None
        self._requested: Header | None = None
        self._shown: Frame | None = None
        self._translator: Translator | None = None
        self._backend: Backend | None = None
        self._key: Key | None = None
        self._loading: tuple[Key, Future[Backend]] | None = None
        self._working: tuple[str, int | None] = style, None
        """Style and size that last worked."""
        self._failed: tuple[Key, VideobrushError] | None = None
        self._times: deque[tuple[float, float]] = deque()
        self._expectations = Expectations()

    def submit(self, jpeg_frame: JpegFrame) -> None:
        """Queue a frame of the page; one still queued is dropped."""
        with self._lock:
            self.dropped += self._newest is not None
            self._newest = jpeg_frame

    def request(self, header: Header) -> None:
        """Request the next frame of the server's own source."""
        with self._lock:
            self._requested = header

    def show(self, frame: Frame) -> None:
        """Set the newest frame of the server's own source."""
        with self._lock:
            self._shown = frame

    def update(self, update: ControlsUpdate) -> None:
        """Apply an update of the controls.

        Raises:
            Refused: there is no such style.
        """
        self.update_number = update.number
        if update.style is not None:
            self._check_style(update.style)
        with self._lock:
            if update.style is not None:
                self.style = update.style
            if update.size_given:
                self.size_px = update.size
            if update.detail is not None:
                self.detail = cast(Detail, update.detail)
            self._failed = None
        if update.strength is not None:
            self.controls.strength = update.strength
        if update.steady is not None:
            self.controls.steady = update.steady
        if update.mix is not None:
            self.controls.mix = update.mix

    def _check_style(self, style: str) -> None:
        names = style.split(SIGN)
        if len(names) > 2 or len(set(names)) < len(names):
            raise Refused(f"{style[:40]!r} is no mix of two styles")
        for name in names:
            if name not in self._styles:
                raise Refused(f"there is no style {name[:40]!r}")

    def controls_message(self) -> dict[str, Any]:
        """Return the state of the controls as a message."""
        return {
            "type": "controls",
            "style": self.style,
            "strength": self.controls.strength,
            "steady": self.controls.steady or None,
            "mix": self.controls.mix,
            "size": self.size_px,
            "detail": self.detail or self._own_detail(),
            "number": self.update_number,
        }

    def _own_detail(self) -> Detail:
        details = {self._styles[name].card.detail for name in self.style.split(SIGN)}
        return "keep" if details == {"keep"} else "network"

    def status_message(self) -> dict[str, Any]:
        """Return frame rate, time per frame, drops and backend as a message."""
        now = time.perf_counter()
        with self._lock:
            while self._times and self._times[0][0] < now - RATE_WINDOW_S:
                self._times.popleft()
            times = sorted(elapsed_s for _, elapsed_s in self._times)
            backend, loading = self._backend, self._loading
            kept = None if self._translator is None else self._translator.kept_share
        return {
            "type": "status",
            "fps": round(len(times) / RATE_WINDOW_S, 1),
            "translate_ms": round(1000 * times[len(times) // 2], 2) if times else None,
            "dropped": self.dropped,
            "backend": backend.info.name if backend else None,
            "device": backend.info.device if backend else None,
            "precision": backend.info.precision if backend else None,
            "size": list(backend.info.size) if backend else None,
            "still": kept,
            "loading": loading[0][0] if loading else None,
        }

    def leave(self) -> None:
        """Mark the page as gone; the translation thread releases what it holds."""
        self.left = True

    @property
    def ready(self) -> bool:
        """True where the translation thread can do something for this visitor."""
        with self._lock:
            if self._translator is None and self._loading is not None and not self._loading[1].done():
                return False  # wait for the first backend, whose loading wakes the thread
            return self._newest is not None or (self._requested is not None and self._shown is not None)

    def serve(self) -> None:
        """Translate the newest frame and send it; it stays queued until the first backend is loaded."""
        with self._lock:
            newest, header, shown = self._newest, self._requested, self._shown
            self._newest = None
        try:
            if newest is not None:
                self._answer_frame(newest)
            elif header is not None and shown is not None:
                self._answer_request(header, shown)
        except Refused as error:
            self.send({"type": "error", "message": str(error)})
        except VideobrushError as error:
            self.send({"type": "error", "message": f"not translated: {error}"})

    def release(self) -> None:
        """Release the backend and stop loading."""
        self._stop_loading()
        if self._translator is not None:
            self._translator.close()
            self._translator = self._backend = None

    def _stop_loading(self) -> None:
        if self._loading is not None:
            self._loading[1].add_done_callback(_close_loaded)
            self._loading = None

    def _answer_frame(self, jpeg_frame: JpegFrame) -> None:
        began_s = time.perf_counter()
        frame = jpeg_frame.frame()
        translator = self._translator_for(frame)
        if translator is None:
            with self._lock:
                self._newest = self._newest or jpeg_frame
            return
        jpeg_frame.answer(translator.translate(frame).rgb)
        self._count(began_s)
        self._say_misfit(frame)

    def _answer_request(self, header: Header, frame: Frame) -> None:
        began_s = time.perf_counter()
        try:
            translator = self._translator_for(frame)
        except VideobrushError:
            with self._lock:
                self._requested = None  # answered by the error, once
            raise
        if translator is None:
            return
        with self._lock:
            self._requested = None
            if self._shown is frame:
                self._shown = None
        before = self._encode_before(frame)
        after = encode_jpeg(translator.translate(frame).rgb)
        self._count(began_s)
        self.send(Header(header.sequence, len(before), header.captured_ms).pack() + before + after)
        self._say_misfit(frame)

    def _say_misfit(self, frame: Frame) -> None:
        """Say once for each style that the page's frames are plainly not what it is for."""
        if self._key is not None and (
            said := self._expectations.look(self._styles[self._key[0].split(SIGN)[0]].card, frame)
        ):
            self.send({"type": "note", "message": said})

    def _count(self, began_s: float) -> None:
        now = time.perf_counter()
        with self._lock:
            self.frames += 1
            self._times.append((now, now - began_s))

    def _translator_for(self, frame: Frame) -> Translator | None:
        """Return the translator with the style chosen, or with the one before while that is loading.

        Raises:
            VideobrushError: the style chosen cannot be loaded, and there is none before.
        """
        with self._lock:
            style, size_px, detail = self.style, self.size_px, self.detail
        try:
            cards = [self._styles[name].card for name in style.split(SIGN)]
            wanted = (style, mixed_size(cards, *frame.size, size_px))
            if self._failed is not None and self._failed[0] == wanted:
                raise self._failed[1]
            if wanted != self._key:
                self._load_next(wanted)
            else:
                self._working = style, size_px
                self._stop_loading()  # of a style chosen in between
        except VideobrushError as error:
            self._fall_back(error)
        if self._translator is not None:
            self._translator.detail = detail
        return self._translator

    def _load_next(self, wanted: Key) -> None:
        """Switch to the wanted backend where it is loaded, else start loading it."""
        if self._loading is not None and self._loading[1].done():
            key, future = self._loading
            self._loading = None
            try:
                loaded = future.result()
            except VideobrushError as error:
                self._failed = key, error
                if key == wanted:
                    raise
            else:
                if key == wanted:
                    self._switch_to(key, loaded)
                    return
                loaded.close()
        if self._loading is None:
            lease = self._acquire(wanted, self._pool.acquire_loaded)
            if lease is not None:
                self._switch_to(wanted, lease)
            else:
                self._loading = wanted, self._load_async(lambda: self._load(wanted))

    def _load(self, key: Key) -> Backend:
        backend = self._acquire(key, self._pool.acquire)
        assert backend is not None
        return backend

    def _acquire(self, key: Key, acquire: Callable[[Key], Backend | None]) -> Backend | None:
        """Return what `acquire` gives for a style, or for two as one; None where one of them is missing."""
        leases: list[Backend] = []
        try:
            for name in key[0].split(SIGN):
                lease = acquire((name, key[1]))
                if lease is None:
                    break
                leases.append(lease)
            else:
                found, leases = leases, []
                if len(found) == 1:
                    return found[0]
                return Mixed(found[0], found[1], lambda: self.controls.mix)
        finally:
            for lease in leases:  # what stands here is not used
                lease.close()
        return None

    def _switch_to(self, key: Key, backend: Backend) -> None:
        if self._translator is None:
            self._translator = Translator(backend, self.controls, self.detail, still=True)
        else:
            self._translator.switch(backend)
        self._key, self._backend = key, backend
        self.send(self.controls_message())

    def _fall_back(self, error: VideobrushError) -> None:
        """Keep the style that works and report why; raise the error where there is none."""
        if self._key is None:
            raise error
        with self._lock:
            self.style, self.size_px = self._working
        self.send({"type": "error", "message": str(error)})
        self.send(self.controls_message())


def _close_loaded(future: Future[Backend]) -> None:
    if not future.cancelled() and future.exception() is None:
        future.result().close()
