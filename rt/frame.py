"""One image with its exact time, and what is known of a stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

DEFAULT_RATE = Fraction(30)
"""Frames per second where neither the source nor the user states it."""

Rgb = npt.NDArray[np.uint8]
"""uint8[H, W, 3] RGB, C-contiguous unless said otherwise."""


class Stored(Protocol):
    """An image in the form that a file stores, cheaper to carry than RGB; see `rt.planes.Planes`."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...

    @property
    def rgb(self) -> Rgb:
        """The image as uint8[H, W, 3] RGB; converted when asked for the first time."""
        ...


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One upright image of a stream.

    The receiver of a frame may read it for as long as it likes and never writes to it.
    """

    image: Rgb | Stored
    """The image, upright (any rotation of the file is already applied); `rgb` gives it as RGB."""
    pts: int
    """Presentation time in units of `time_base`, exactly as the source gave it."""
    time_base: Fraction
    """Seconds per unit of `pts`."""
    index: int
    """Number of this frame in its source, from 0."""
    captured_s: float | None = None
    """`time.perf_counter()` at the moment a live source had the image; None for recorded ones."""
    origin: Frame | None = None
    """The frame as it came, where this one is a translation of it."""
    captions: object | None = None
    """Its closed captions, an `rt.captions.Captions`, where a file has them."""
    stale: bool = False
    """True where a live source shows its last image again, because no new one comes."""

    @property
    def rgb(self) -> Rgb:
        """uint8[H, W, 3] RGB. Asking for it costs a conversion where the image is stored otherwise."""
        return self.image if isinstance(self.image, np.ndarray) else self.image.rgb

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        if isinstance(self.image, np.ndarray):
            return self.image.shape[0], self.image.shape[1]
        return self.image.size

    @property
    def before(self) -> Rgb | None:
        """The image as it came, uint8[H, W, 3] RGB, where this frame is a translation of it."""
        return None if self.origin is None else self.origin.rgb

    @property
    def time_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a stream before its first frame."""

    name: str
    """What the user calls it: a path or an address."""
    height: int
    """Height in pixels of the upright frames."""
    width: int
    """Width in pixels of the upright frames."""
    frame_rate: Fraction | None
    """Mean frames per second, where the source states it."""
    frame_count: int | None
    """Expected number of frames, where known; an estimate, for progress bars."""
    frame_format: Literal["rgb24", "yuv420p"] = field(default="rgb24", kw_only=True)
    """How its frames lie in memory, as FFmpeg calls it: RGB, or the planes of the file."""
    image_names: tuple[str, ...] = field(default=(), kw_only=True)
    """Names of the files, where every frame is an image with a name and a size of its own."""
