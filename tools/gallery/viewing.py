"""What a viewer of a style sees: images and frames, translated."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction

import cv2
import numpy as np

from rt.backends import open_backend
from rt.controls import Controls
from rt.errors import DamagedSource
from rt.fit import shrink, style_size
from rt.frame import Frame, Rgb
from rt.log import LOG
from rt.sources import SourceOptions, open_source
from rt.styles import Style
from rt.translator import Translator
from rt.view import look_at


class Viewer:
    """Translates images of one size, uint8[H, W, 3] RGB."""

    def __init__(self, style: Style, size: tuple[int, int]) -> None:
        """`size` is the (height, width) of the images."""
        self._view = style.card.view
        self.network_size = style_size(style.card, *size)
        self._controls = Controls()
        self._translator = Translator(open_backend("auto", style, self.network_size).backend, self._controls)

    def translate(self, rgb: Rgb, strength: float = 1.0) -> Rgb:
        """Return the image in the style."""
        self._controls.strength = strength
        return self._translator.translate(Frame(rgb, 0, Fraction(1, 30), 0)).rgb

    def before(self, rgb: Rgb) -> Rgb:
        """Return what stands beside a translation: the image, or what the network sees of it."""
        if self._view == "image":
            return rgb
        return resized(look_at(shrink(rgb, self.network_size), self._view), (rgb.shape[0], rgb.shape[1]))

    def close(self) -> None:
        """Close the backend."""
        self._translator.close()


@contextmanager
def viewing(style: Style, rgb: Rgb) -> Iterator[Viewer]:
    """Open a viewer for images of the size of `rgb`."""
    viewer = Viewer(style, (rgb.shape[0], rgb.shape[1]))
    try:
        yield viewer
    finally:
        viewer.close()


def count_frames(clip: str, options: SourceOptions | None = None) -> int:
    """Return how many frames can be read of a clip, or of a part of it."""
    return sum(1 for _ in _frames(clip, options))


def read_frames(clip: str, numbers: Collection[int], options: SourceOptions | None = None) -> list[Rgb]:
    """Return the frames with these numbers, from 0, in the clip's order."""
    kept = enumerate(_frames(clip, options))
    return [np.array(frame.rgb) for number, frame in kept if number in numbers]


def _frames(clip: str, options: SourceOptions | None) -> Iterator[Frame]:
    """Yield the frames of a clip, of a damaged one as far as it goes."""
    source = open_source(clip, options or SourceOptions())
    try:
        yield from source
    except DamagedSource as error:
        LOG.warning("%s", error)
    finally:
        source.close()


def resized(rgb: Rgb, size: tuple[int, int], nearest: bool = False) -> Rgb:
    """Return uint8[H, W, 3] RGB at `size` = (height, width); enlarged with square pixels where `nearest`."""
    smaller = size[0] < rgb.shape[0]
    way = cv2.INTER_NEAREST if nearest else cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (size[1], size[0]), interpolation=way), np.uint8)


def tile(images: list[Rgb], columns: int) -> Rgb:
    """Return images of one size in rows of `columns`; what is left of the last row is white."""
    blank = np.full_like(images[0], 255)
    padded = [*images, *[blank] * (-len(images) % columns)]
    rows = [np.hstack(padded[at : at + columns]) for at in range(0, len(padded), columns)]
    return np.asarray(np.vstack(rows), np.uint8)
