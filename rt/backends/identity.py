"""The backend that changes nothing, for measurements and tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rt.backends.base import BackendInfo, Computed
from rt.backends.checks import check_input
from rt.errors import BackendError


class IdentityBackend:
    """Returns every image as it came."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.info = BackendInfo("identity", "none (images are copied)", "exact", size)
        self._open = True

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return a copy of uint8[N, H, W, 3] RGB."""
        if not self._open:
            raise BackendError("backend identity is closed and cannot translate")
        check_input(self.info.name, rgb, self.info.size)
        return np.array(rgb, order="C")

    def start(self, rgb: npt.NDArray[np.uint8]) -> Computed:
        """Copy at once."""
        return Computed(self.translate(rgb))

    def close(self) -> None:
        """End; works twice."""
        self._open = False
