"""One frame through a style: fit → backend → fit."""

from __future__ import annotations

from dataclasses import replace

from rt.backends import Backend
from rt.fit import DETAILS, Detail, lay_back, shrink, side_by_side
from rt.frame import Frame


class Translator:
    """Translates the frames of one stream; owns its backend.

    Example:
        size = network_size(info.height, info.width, card.size_px, card.multiple, card.minimum_px)
        translator = Translator(open_backend("auto", style, size).backend, size)
    """

    def __init__(
        self,
        backend: Backend,
        size: tuple[int, int],
        strength: float = 1.0,
        detail: Detail = "keep",
        compare: bool = False,
    ) -> None:
        """Take a backend opened for `size` = (height, width).

        `strength` in [0, 1] is how much of the change is laid over the frame; with `compare` a frame becomes
        before|after, twice as wide.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength is {strength}, not within 0..1")
        if detail not in DETAILS:
            raise ValueError(f"detail is {detail!r}, not one of {DETAILS}")
        self._backend = backend
        self._size = size
        self._strength = strength
        self._detail: Detail = detail
        self._compare = compare

    def translate(self, frame: Frame) -> Frame:
        """Return the translated frame: a new picture of the same size at the same time.

        Raises:
            BackendError: the network failed or returned a wrong picture.
        """
        small_in = shrink(frame.rgb, self._size)
        small_out = self._backend.translate(small_in[None])[0]
        rgb = lay_back(frame.rgb, small_in, small_out, self._strength, self._detail)
        if self._compare:
            rgb = side_by_side(frame.rgb, rgb)
        return replace(frame, rgb=rgb)

    def close(self) -> None:
        """Close the backend; works twice."""
        self._backend.close()
