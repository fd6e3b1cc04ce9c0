"""A backend as its style wants it: what of a picture the network looks at, how its change is laid over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rt.card import Detail, View
from rt.view import look_at

if TYPE_CHECKING:
    from rt.backends import Backend, Pending


@dataclass
class Looking:
    """A backend whose network is given its view of a picture; otherwise the backend it is made of."""

    backend: Backend
    view: View
    detail: Detail
    """How its change is laid over the frame where nobody asks otherwise."""
    name: str = field(init=False)
    device: str = field(init=False)
    precision: str = field(init=False)
    size: tuple[int, int] = field(init=False)
    slots: int = field(init=False)

    def __post_init__(self) -> None:
        backend = self.backend
        self.name, self.device, self.precision = backend.name, backend.device, backend.precision
        self.size, self.slots = backend.size, backend.slots

    def translate(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Translate uint8[N, H, W, 3] RGB."""
        return self.backend.translate(self._seen(rgb))

    def start(self, rgb: npt.NDArray[np.uint8]) -> Pending:
        """Begin to translate uint8[1, H, W, 3] RGB."""
        return self.backend.start(self._seen(rgb))

    def close(self) -> None:
        """Close the backend; works twice."""
        self.backend.close()

    def _seen(self, rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return rgb if self.view == "picture" else np.stack([look_at(one, self.view) for one in rgb])
