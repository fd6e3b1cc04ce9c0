"""Images of another size fitted into the first one's."""

from __future__ import annotations

import av
import numpy as np

from rt.frame import Rgb
from rt.media import ACCURATE_ROUNDING, BILINEAR

_SCALING = BILINEAR | ACCURATE_ROUNDING


def letterboxed(rgb: Rgb, size: tuple[int, int]) -> Rgb:
    """Return the whole image, scaled into the middle of a black uint8[height, width, 3] of `size`."""
    height, width = size
    share = min(height / rgb.shape[0], width / rgb.shape[1])
    inner_height = min(height, max(1, round(rgb.shape[0] * share)))
    inner_width = min(width, max(1, round(rgb.shape[1] * share)))
    image = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
    scaled = image.reformat(inner_width, inner_height, "rgb24", interpolation=_SCALING).to_ndarray()
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = scaled
    return canvas
