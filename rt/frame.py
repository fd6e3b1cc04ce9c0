"""The frame: one picture with its exact time."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Rgb = npt.NDArray[np.uint8]
"""uint8[H, W, 3] RGB, C-contiguous unless said otherwise."""


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One upright picture of a stream.

    The receiver of a frame may read `rgb` for as long as it likes and never writes to it.
    """

    rgb: Rgb
    """uint8[H, W, 3] RGB, upright (any rotation of the file is already applied)."""
    pts: int
    """Presentation time in units of `time_base`, exactly as the source gave it."""
    time_base: Fraction
    """Seconds per unit of `pts`."""
    index: int
    """Number of this frame in its source, from 0."""
    captured_s: float | None = None
    """`time.perf_counter()` at the moment a live source had the picture; None for recorded ones."""
    before: Rgb | None = None
    """The picture as it came, where `rgb` is a translation of it: the same size, never written to."""
    stale: bool = False
    """True where a live source shows its last picture again, because no new one comes."""

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)
