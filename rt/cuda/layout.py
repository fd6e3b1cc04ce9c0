"""How a frame lies in memory: RGB, or planes as files store them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FrameFormat = Literal["rgb24", "yuv420p", "nv12"]
"""FFmpeg's names. rgb24: uint8[H, W, 3]. The others: brightness, then colour at half the size, rounded up."""
Plane = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FrameLayout:
    """The format and size of frames that lie in memory without gaps."""

    format: FrameFormat
    size: tuple[int, int]
    """(height, width) in pixels."""

    @property
    def half(self) -> tuple[int, int]:
        """(height, width) of the colour."""
        return (self.size[0] + 1) // 2, (self.size[1] + 1) // 2

    @property
    def nbytes(self) -> int:
        """Bytes of a frame: 3 for each pixel of RGB, about 1.5 of planes."""
        area, half_area = self.size[0] * self.size[1], self.half[0] * self.half[1]
        return 3 * area if self.format == "rgb24" else area + 2 * half_area

    def planes(self, packed: npt.NDArray[np.uint8]) -> tuple[Plane, ...]:
        """Return the planes within uint8[nbytes], the same memory.

        rgb24: one, [H, W, 3]. yuv420p: three, [H, W] and twice [h, w]. nv12: two, [H, W] and [h, w, 2].
        """
        if self.format == "rgb24":
            return (packed.reshape(*self.size, 3),)
        area = self.size[0] * self.size[1]
        bright = packed[:area].reshape(self.size)
        if self.format == "nv12":
            return bright, packed[area:].reshape(*self.half, 2)
        blue, red = packed[area:].reshape(2, *self.half)
        return bright, blue, red
