"""Decoded pictures as RGB arrays, and pictures of another size fitted into the first one's."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from rt.frame import Rgb
from rt.media import ACCURATE_ROUNDING, BILINEAR, FULL_CHROMA_OUT, RANGE_FULL

_SCALING = BILINEAR | ACCURATE_ROUNDING | FULL_CHROMA_OUT
"""Exact to half a level. The faster defaults darken every picture by one level and miss by up to three."""


def as_rgb(picture: av.VideoFrame, reformatter: VideoReformatter, size: tuple[int, int], matrix: int) -> Rgb:
    """Return a decoded picture as uint8[height, width, 3] RGB of `size` = (height, width).

    `matrix` is the code of its RGB to YUV matrix, see `rt.media`. Transparency is left out: the colours
    come as they are stored.

    Raises:
        av.error.FFmpegError, ValueError: libswscale cannot read its pixel format.
    """
    if not picture.format.is_rgb and not picture.format.has_palette:
        picture.colorspace = matrix
    converted = reformatter.reformat(
        picture,
        width=size[1],
        height=size[0],
        format="rgb24",
        src_color_range=int(picture.color_range) or None,
        dst_color_range=RANGE_FULL,
        interpolation=_SCALING,
    )
    return np.asarray(converted.to_ndarray(), dtype=np.uint8)


def letterboxed(rgb: Rgb, size: tuple[int, int]) -> Rgb:
    """Return the whole picture, scaled into the middle of a black uint8[height, width, 3] of `size`."""
    height, width = size
    share = min(height / rgb.shape[0], width / rgb.shape[1])
    inner_height = min(height, max(1, round(rgb.shape[0] * share)))
    inner_width = min(width, max(1, round(rgb.shape[1] * share)))
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
    scaled = picture.reformat(inner_width, inner_height, "rgb24", interpolation=_SCALING).to_ndarray()
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[top : top + inner_height, left : left + inner_width] = scaled
    return canvas
