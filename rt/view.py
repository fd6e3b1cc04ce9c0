"""What a network sees of an image: itself, its gray or its edges.

A style learns from images seen one way and has to see a camera's the same way; so training and runtime make
what a network sees here.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from rt.card import View
from rt.frame import Rgb


def look_at(rgb: Rgb, view: View) -> Rgb:
    """Return what a network is given of uint8[H, W, 3] RGB: the same shape; of an `image` itself, no copy.

    `gray` is the brightness in all three colours, `edges` are black lines on white.
    """
    if view == "image":
        return rgb
    seen = find_edges(rgb) if view == "edges" else cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    return np.repeat(seen[..., None], 3, axis=2).astype(np.uint8)


def find_edges(rgb: Rgb) -> npt.NDArray[np.uint8]:
    """Return the outlines of a photo uint8[H, W, 3] RGB as uint8[H, W], black lines on white.

    Canny's edges over the channel that changes most, so that a yellow bag on white has an outline; thresholds
    after the image's own steepest hundredth, so that a dim photo has one too.
    Source: Canny 1986.
    """
    smooth = cv2.GaussianBlur(rgb, (0, 0), 1.0)
    across, down = cv2.Sobel(smooth, cv2.CV_16S, 1, 0), cv2.Sobel(smooth, cv2.CV_16S, 0, 1)
    slope = np.abs(across) + np.abs(down)  # int16[H, W, 3], at most 2040
    steepest = slope.argmax(axis=2)[..., None]
    across, down = (np.take_along_axis(part, steepest, 2)[..., 0] for part in (across, down))
    high = max(40.0, 0.25 * float(np.percentile(slope.max(axis=2), 99)))
    edges = cv2.Canny(np.ascontiguousarray(across), np.ascontiguousarray(down), 0.4 * high, high)
    return (255 - edges).astype(np.uint8)
