"""The frames of one stream through a style: fit, backend, steady, fit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from rt.backends import Backend, FrameBackend, Pending
from rt.card import DETAILS, Detail
from rt.controls import Controls
from rt.cuda.layout import FrameLayout
from rt.errors import SourceError
from rt.fit import apply_residual, blend, shrink
from rt.frame import Frame, Rgb, Stored
from rt.planes import Planes
from rt.steady import Steady
from rt.still import Still

_RECENT = 60
"""Frames over which it is said how many needed no network: about two seconds."""


class Translator:
    """Translates the frames of one stream, by one thread; owns its backend.

    Example:
        size = style_size(style.card, info.height, info.width)
        translator = Translator(open_backend("auto", style, size).backend, Controls(strength=0.5))
    """

    def __init__(
        self,
        backend: Backend,
        controls: Controls | None = None,
        detail: Detail | None = None,
        still: bool = False,
    ) -> None:
        """Translate with `backend` from the first frame on; `controls` are looked at for each frame.

        With `still` a network that is computed on the CPU is not asked while nothing moves, see `rt.still`;
        one image is in flight then.
        """
        if detail is not None and detail not in DETAILS:
            raise ValueError(f"detail is {detail!r}, not one of {DETAILS}")
        self._backend = backend
        self._next: Backend | None = None
        self._controls = controls or Controls()
        self.detail: Detail | None = detail
        """`keep` or `network`, see `rt.fit.apply_residual`, None for the style's own; a new value takes
        effect with the next frame."""
        self._steady = Steady(self._controls.steady)
        self._wants_still = still
        self._still = self._still_for(backend)
        self._kept: deque[bool] = deque(maxlen=_RECENT)
        self._mix = self._controls.mix
        self._leaving: Translator | None = None
        self._left_s: float | None = None

    @property
    def kept_share(self) -> float | None:
        """Share of the latest frames for which the network was not asked; None where it always is."""
        if self._still is None:
            return None
        kept = list(self._kept)  # another thread adds to it
        return sum(kept) / len(kept) if kept else 0.0

    def translate(self, frame: Frame) -> Frame:
        """Return the translated frame: a new image of the same size at the same time.

        Raises:
            BackendError: the network failed or returned a wrong image.
        """
        self._take_next(self._controls.fade_s)
        return self._finish(self._start(frame))

    def translate_all(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield every frame translated, in order, with as many in flight as the backend can hold.

        Where `frames` raises a SourceError, what is in flight is yielded before it is raised.

        Raises:
            BackendError: the network failed or returned a wrong image.
        """
        flying: deque[_Flight] = deque()
        failure: SourceError | None = None
        try:
            for frame in frames:
                if self._next is not None:
                    yield from self._land(flying)
                    self._take_next(self._controls.fade_s)
                flying.append(self._start(frame))
                if len(flying) == (1 if self._still else self._backend.info.slots):
                    yield self._finish(flying.popleft())
        except SourceError as error:
            failure = error
        yield from self._land(flying)
        if failure is not None:
            raise failure

    def switch(self, backend: Backend) -> None:
        """Translate with another backend from the next frame on; the one before is closed then.

        With `controls.fade_s` both are computed for so long, while one turns into the other.
        """
        if self._next is not None:
            self._next.close()
        self._next = backend

    def close(self) -> None:
        """Close the backend; works twice."""
        self._end_fade()
        self._take_next(0.0)
        self._backend.close()

    def _take_next(self, fade_s: float) -> None:
        if self._next is not None:
            self._end_fade()
            if fade_s > 0:
                self._leaving = Translator(self._backend, self._controls, self.detail)
                self._leaving._steady, self._steady = self._steady, Steady(self._controls.steady)
            else:
                self._backend.close()
                self._steady.reset()
            self._backend, self._next = self._next, None
            self._still = self._still_for(self._backend)

    def _end_fade(self) -> None:
        leaving, self._leaving, self._left_s = self._leaving, None, None
        if leaving is not None:
            leaving.close()

    def _faded(self, frame: Frame, translated: Frame) -> Frame:
        """Return a translated frame, mixed with what the style before makes of it while that leaves."""
        if self._leaving is None:
            return translated
        if self._left_s is None:
            self._left_s = frame.time_s
        fade_s, gone_s = self._controls.fade_s, frame.time_s - self._left_s
        if not 0 <= gone_s < fade_s:
            self._end_fade()
            return translated
        before = self._leaving.translate(frame).rgb
        return replace(translated, image=blend(before, translated.rgb, gone_s / fade_s))

    def _still_for(self, backend: Backend) -> Still | None:
        return Still() if self._wants_still and backend.info.device.startswith("CPU") else None

    def _start(self, frame: Frame) -> _Flight:
        if fitting := self._fitting(frame):
            return _Flight(frame, None, _start_whole(fitting, frame.image, self._controls.strength))
        small_in = _shrunk(frame.image, self._backend.info.size)
        if self._still is not None:
            if self._mix != self._controls.mix:
                self._mix = self._controls.mix
                self._still.reset()
            asked = self._still.ask(small_in, frame.time_s)
            self._kept.append(not asked)
            if not asked:
                return _Flight(frame, small_in, None)
        return _Flight(frame, small_in, self._backend.start(small_in[None]))

    def _finish(self, flight: _Flight) -> Frame:
        frame, small_in = flight.frame, flight.small_in
        if small_in is None:
            assert flight.pending is not None
            whole: Rgb | Stored = flight.pending.result()[0]
            if isinstance(frame.image, Planes) and isinstance(whole, np.ndarray):
                layout = FrameLayout(frame.image.format, frame.size)
                whole = frame.image.with_planes(layout.planes(whole))
            return self._faded(frame, replace(frame, image=whole, origin=frame))
        detail = self.detail or self._backend.info.detail
        if flight.pending is None:
            assert self._still is not None
            small_in, small_out = self._still.kept
        else:
            self._steady.amount = self._controls.steady
            small_out = self._steady.steady(small_in, flight.pending.result()[0], detail)
            if self._still is not None:
                self._still.keep(small_out, detail)
        strength, image = self._controls.strength, frame.image
        if isinstance(image, Planes) and detail == "keep":
            applied: Rgb | Stored = image.with_residual(small_in, small_out, strength)
        else:
            applied = apply_residual(frame.rgb, small_in, small_out, strength, detail)
        return self._faded(frame, replace(frame, image=applied, origin=frame))

    def _fitting(self, frame: Frame) -> FrameBackend | None:
        """Return the backend where it fits this frame itself, in the form it comes in: no planes are turned
        into RGB for it. Steadying and the network's own image need what the network saw and made, on the CPU.
        """
        backend, detail = self._backend, self.detail or self._backend.info.detail
        if not isinstance(backend, FrameBackend) or backend.info.frame_size != frame.size:
            return None
        if backend.info.frame_format != (frame.image.format if isinstance(frame.image, Planes) else "rgb24"):
            return None
        return backend if self._controls.steady == 0 and detail == "keep" else None

    def _land(self, flying: deque[_Flight]) -> Iterator[Frame]:
        while flying:
            yield self._finish(flying.popleft())


class EachOwnSize:
    """Translates images of many sizes: a translator for every size of the network's image.

    Args:
        size_of: (height, width) of the network's image for an image of a height and width.
        open_translator: opens the style for such a size.
    """

    MOST = 4
    """So many networks are held at once; the one used longest ago is closed."""

    def __init__(
        self,
        size_of: Callable[[int, int], tuple[int, int]],
        open_translator: Callable[[tuple[int, int]], Translator],
    ) -> None:
        self._size_of = size_of
        self._open = open_translator
        self._held: dict[tuple[int, int], Translator] = {}

    def translate_all(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield every image translated, in order.

        Raises:
            BackendError: the style cannot be opened, or the network failed.
        """
        for frame in frames:
            yield self._translator(self._size_of(*frame.size)).translate(frame)

    def close(self) -> None:
        """Close every translator; works twice."""
        while self._held:
            self._held.popitem()[1].close()

    def _translator(self, size: tuple[int, int]) -> Translator:
        found = self._held.pop(size, None)
        if found is None:
            if len(self._held) == self.MOST:
                self._held.pop(next(iter(self._held))).close()
            found = self._open(size)
        self._held[size] = found  # the last one used stands last
        return found


def _shrunk(image: Rgb | Stored, size: tuple[int, int]) -> Rgb:
    """Return the network's image, uint8[h, w, 3] RGB of `size` = (height, width)."""
    if isinstance(image, Planes) and size[0] <= image.size[0] and size[1] <= image.size[1]:
        return image.shrink(size)
    return shrink(image if isinstance(image, np.ndarray) else image.rgb, size)


def _start_whole(backend: FrameBackend, image: Rgb | Stored, strength: float) -> Pending:
    """Begin to translate a whole frame in the form it comes in."""
    if isinstance(image, Planes):
        return backend.start_planes(image.views, strength, image.shares)
    return backend.start_frame((image if isinstance(image, np.ndarray) else image.rgb)[None], strength)


@dataclass(frozen=True)
class _Flight:
    """A frame whose network image is being translated."""

    frame: Frame
    small_in: Rgb | None
    """What the network was given; None where the backend fits the frame itself."""
    pending: Pending | None
    """None where the network is not asked: what it made before is kept."""
