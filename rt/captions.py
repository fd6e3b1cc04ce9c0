"""Closed captions (CEA-608/708) and other data beside the pixels of a frame."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter

_POINT = 1 << 4
"""libswscale's flag for the nearest pixel: what is scaled here is thrown away."""
_TINY = 2
"""Height and width in pixels of the frame that carries the captions."""


class Captions:
    """The closed captions of one frame.

    PyAV can copy the data beside a frame's pixels from frame to frame, but cannot write it. So captions are
    carried by a tiny frame, which is made large where they are needed.
    """

    def __init__(self, frame: av.VideoFrame, reformatter: VideoReformatter) -> None:
        self._carrier = reformatter.reformat(
            frame, width=_TINY, height=_TINY, format="gray", interpolation=_POINT
        )

    def beside(self, pixels: av.VideoFrame, reformatter: VideoReformatter) -> av.VideoFrame:
        """Return a new frame with the pixels of `pixels` and these captions."""
        made = reformatter.reformat(
            self._carrier,
            width=pixels.width,
            height=pixels.height,
            format=pixels.format.name,
            interpolation=_POINT,
        )
        made.pict_type = PictureType.NONE  # the source's keyframes are not the encoder's
        for before, after in zip(pixels.planes, made.planes, strict=True):
            read, written = _rows(before), _rows(after)
            length = min(read.shape[1], written.shape[1])
            written[: before.height, :length] = read[: before.height, :length]
        return made


def has_captions(frame: av.VideoFrame) -> bool:
    """Return whether a decoded frame has closed captions beside it."""
    return "A53_CC" in side_data_kinds(frame)


def side_data_kinds(frame: av.VideoFrame) -> list[str]:
    """Return the names of what stands beside a frame's pixels, in order."""
    try:
        return [data.type.name for data in side_data(frame)]
    except ValueError:
        return []


def side_data(frame: av.VideoFrame) -> list[Any]:
    """Return everything that stands beside a frame's pixels, in order.

    Raises:
        ValueError: there is a kind that PyAV has no name for, such as the EXIF tags of a JPEG before PyAV 19.
    """
    kept: Any = frame.side_data
    found = []
    # By place to the end: iterated, PyAV 19 gives kinds, and it counts each of them once.
    with contextlib.suppress(IndexError):
        for place in itertools.count():
            found.append(kept[place])
    return found


def _rows(plane: Any) -> Any:
    """View a plane as uint8[rows, bytes of a row with its padding]."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
