"""The backend that changes nothing: for measuring everything around a network, and for tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rt.backends.guard import Computed, check_input
from rt.card import Detail
from rt.errors import BackendError


class IdentityBackend:
    """Returns every picture as it came."""

    name = "identity"
    device = "none (pictures are copied)"
    precision = "exact"
    slots = 1
    detail: Detail = "keep"

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self._open = True

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return a copy of uint8[N, H, W, 3] RGB."""
        if not self._open:
            raise BackendError("backend identity is closed and cannot translate")
        check_input(self.name, rgb, self.size)
        return np.array(rgb, order="C")

    def start(self, rgb: npt.NDArray[np.uint8]) -> Computed:
        """Copy at once."""
        return Computed(self.translate(rgb))

    def close(self) -> None:
        """End; works twice."""
        self._open = False
