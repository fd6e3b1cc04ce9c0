"""A backend whose network sees a view of the image: gray or edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from rt.backends.base import Backend, Pending
from rt.card import Detail, View
from rt.view import look_at


class InputTransform:
    """Gives a backend its style's view of each image; otherwise the backend itself."""

    def __init__(self, backend: Backend, view: View, detail: Detail) -> None:
        """`detail` is how the result is applied to the frame by default."""
        self.info = replace(backend.info, detail=detail)
        self._backend = backend
        self._view = view

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate uint8[N, H, W, 3] RGB."""
        return self._backend.translate(self._seen(rgb))

    def start(self, rgb: npt.NDArray[np.uint8]) -> Pending:
        """Begin to translate uint8[1, H, W, 3] RGB."""
        return self._backend.start(self._seen(rgb))

    def close(self) -> None:
        """Close the backend; works twice."""
        self._backend.close()

    def _seen(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return rgb if self._view == "image" else np.stack([look_at(one, self._view) for one in rgb])
