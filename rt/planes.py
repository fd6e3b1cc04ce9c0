"""Images as most video files store them, changed without a detour through RGB.

At 1080p turning every frame into RGB and back costs more than a small network does. The residual of a network
is a difference, and differences of RGB are differences of YUV times a matrix; so the residual is turned
into YUV at the network's size and added to the stored planes. What is not changed keeps its exact bytes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Literal

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from rt.frame import Rgb
from rt.media import (
    ACCURATE_ROUNDING,
    AREA,
    BILINEAR,
    FULL_CHROMA_OUT,
    MATRIX_240M,
    MATRIX_709,
    MATRIX_2020,
    MATRIX_FCC,
    RANGE_FULL,
)

FORMAT: Literal["yuv420p"] = "yuv420p"
_SCALING = BILINEAR | ACCURATE_ROUNDING | FULL_CHROMA_OUT
"""Exact to half a level. The faster defaults darken every image by one level and miss by up to three."""
_SHRINKING = AREA | ACCURATE_ROUNDING | FULL_CHROMA_OUT
_WEIGHTS = {
    MATRIX_709: (0.2126, 0.0722),
    MATRIX_FCC: (0.30, 0.11),
    MATRIX_240M: (0.212, 0.087),
    MATRIX_2020: (0.2627, 0.0593),
}
"""Matrix → shares of red and blue in the brightness; the others have those of BT.601."""
_WEIGHTS_601 = (0.299, 0.114)

Plane = npt.NDArray[np.uint8]
"""uint8[H, W], rows may lie apart."""


def as_rgb(image: av.VideoFrame, reformatter: VideoReformatter, size: tuple[int, int], matrix: int) -> Rgb:
    """Return a decoded image as uint8[height, width, 3] RGB of `size` = (height, width).

    `matrix` is the code of its RGB to YUV matrix, see `rt.media`. Transparency is left out: the colours
    come as they are stored.

    Raises:
        av.error.FFmpegError, ValueError: libswscale cannot read its pixel format.
    """
    if not image.format.is_rgb and not image.format.has_palette:
        image.colorspace = matrix
    converted = reformatter.reformat(
        image,
        width=size[1],
        height=size[0],
        format="rgb24",
        src_color_range=int(image.color_range) or None,
        dst_color_range=RANGE_FULL,
        interpolation=_SHRINKING if size[0] < image.height else _SCALING,
    )
    rgb = np.ascontiguousarray(converted.to_ndarray(), dtype=np.uint8)
    assert rgb.shape == (*size, 3), f"asked for {size}, got {rgb.shape}"
    return rgb


class Converter:
    """Turns planes into RGB; shared by the images of one stream, because setting it up is expensive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_size: dict[tuple[int, int], VideoReformatter] = {}

    def convert(self, frame: av.VideoFrame, size: tuple[int, int], matrix: int) -> Rgb:
        """Return uint8[height, width, 3] RGB of `size` = (height, width)."""
        with self._lock:
            reformatter = self._by_size.setdefault(size, VideoReformatter())
            return as_rgb(frame, reformatter, size, matrix)


class Planes:
    """One image as 8-bit 4:2:0 of limited range: brightness at full size, colour at half of it."""

    format: Literal["yuv420p"] = FORMAT

    def __init__(self, frame: av.VideoFrame, matrix: int, converter: Converter) -> None:
        """Take a decoded frame for which `can_hold` is true; `matrix` is its RGB to YUV matrix."""
        self.matrix = matrix
        """Code of the RGB to YUV matrix, one of the known ones."""
        self._frame = frame
        self._converter = converter

    @staticmethod
    def can_hold(frame: av.VideoFrame) -> bool:
        """Say whether a decoded frame is stored this way, with an even height and width."""
        even = frame.width % 2 == 0 and frame.height % 2 == 0
        return frame.format.name == FORMAT and frame.color_range != RANGE_FULL and even

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._frame.height, self._frame.width

    @cached_property
    def rgb(self) -> Rgb:
        """The image as uint8[H, W, 3] RGB, exact to half a level."""
        return self._converter.convert(self._frame, self.size, self.matrix)

    def shrink(self, size: tuple[int, int]) -> Rgb:
        """Return the image at `size` = (height, width), no larger than its own, as uint8[h, w, 3] RGB."""
        if size == self.size:
            return self.rgb
        return self._converter.convert(self._frame, size, self.matrix)

    def with_residual(self, small_in: Rgb, small_out: Rgb, strength: float) -> Planes:
        """Return the image with the network's residual `small_out - small_in`, enlarged, added to it.

        `strength` in [0, 1] goes from this image itself to the full residual. Sums saturate at 0 and 255.
        """
        if strength == 0:
            return self
        residual = cv2.addWeighted(small_out, strength, small_in, -strength, 0, dtype=cv2.CV_32F)
        residual = np.rint(cv2.transform(residual, _difference_matrix(self.matrix))).astype(np.int16)
        result = _new_frame(*self.size)
        for number, (before, after) in enumerate(zip(_views(self._frame), _views(result), strict=True)):
            enlarged = cv2.resize(residual[..., number], before.shape[::-1], interpolation=cv2.INTER_LINEAR)
            total = cv2.add(before, enlarged, dst=after, dtype=cv2.CV_8U)
            assert total is after, "OpenCV leaves a dst of another shape alone and answers with a new array"
        return Planes(result, self.matrix, self._converter)

    @property
    def views(self) -> list[Plane]:
        """Brightness, blue and red difference, uint8[H, W] each; rows may lie apart. Never write to them."""
        return _views(self._frame)

    @property
    def shares(self) -> tuple[float, float]:
        """The shares of red and blue in the brightness, which say the matrix."""
        return _WEIGHTS.get(self.matrix, _WEIGHTS_601)

    def with_planes(self, planes: Sequence[Plane]) -> Planes:
        """Return another image of this size and matrix; takes a copy of its planes."""
        made = _new_frame(*self.size)
        for before, after in zip(planes, _views(made), strict=True):
            after[:] = before
        return Planes(made, self.matrix, self._converter)

    def digest(self) -> str:
        """Return a short name for the very bytes of the image."""
        found = hashlib.blake2b(digest_size=16)
        for view in _views(self._frame):
            found.update(view.tobytes())
        return found.hexdigest()

    def encodable(self) -> av.VideoFrame:
        """Return a new frame for one encoder, which writes its times on it."""
        made = _new_frame(*self.size)
        for before, after in zip(_views(self._frame), _views(made), strict=True):
            after[:] = before
        return made


def _new_frame(height: int, width: int) -> av.VideoFrame:
    """Return a frame with memory of its own, not yet written to.

    Not `from_numpy_buffer`: it makes 268 rows of 270, because it computes the height as `height // 6 * 4`.
    """
    return av.VideoFrame(width, height, FORMAT)


def _views(frame: av.VideoFrame) -> list[Plane]:
    """Return brightness, blue and red difference as uint8[H, W] each, the memory of the frame."""
    views = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)  # [H, W and padding]
        views.append(rows[: plane.height, : plane.width])
    height, width = frame.height, frame.width
    assert [view.shape for view in views] == [(height, width), *[(height // 2, width // 2)] * 2]
    return views


def _difference_matrix(matrix: int) -> npt.NDArray[np.float32]:
    """Return float32[3, 3] that turns a difference of full-range RGB into one of limited-range YUV."""
    red, blue = _WEIGHTS.get(matrix, _WEIGHTS_601)
    brightness = np.array([red, 1 - red - blue, blue])
    to_blue = (np.array([0, 0, 1]) - brightness) / (2 * (1 - blue))
    to_red = (np.array([1, 0, 0]) - brightness) / (2 * (1 - red))
    rows = [brightness * 219 / 255, to_blue * 224 / 255, to_red * 224 / 255]
    return np.asarray(np.stack(rows), np.float32)
