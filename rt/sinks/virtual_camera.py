"""Frames as a camera that other programs can choose."""

from __future__ import annotations

import logging
import threading
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from rt.errors import SinkError
from rt.frame import Frame, Rgb, SourceInfo
from rt.install import install_hint
from rt.media import ACCURATE_ROUNDING, BILINEAR
from rt.sinks.base import closed, rate_of, size_of

if TYPE_CHECKING:
    import pyvirtualcam

_log = logging.getLogger(__name__)

PREFIX = "virtual://"


class VirtualCamera:
    """Sends frames to a virtual camera; one of another size is made to fit, with black bars.

    Args:
        address: `virtual://`, or `virtual://DEVICE` where there are several (`virtual:///dev/video10`).
        like: the source of the frames.
        size: (height, width) of the frames where it is not that of `like`.
        frame_rate: mean frames per second where it is not that of `like`; a hint.

    Raises:
        SinkError: pyvirtualcam is not installed, or there is no such camera.
    """

    def __init__(
        self,
        address: str,
        like: SourceInfo | None = None,
        *,
        size: tuple[int, int] | None = None,
        frame_rate: Fraction | None = None,
    ) -> None:
        try:
            import pyvirtualcam
        except ImportError:
            raise SinkError(
                f"cannot write {address}: it needs pyvirtualcam; type: {install_hint('virtual')}"
            ) from None
        size, rate = size_of(like, size), rate_of(like, frame_rate)
        self._address = address
        self._size = size
        self._reformatter = VideoReformatter()
        self._lock = threading.Lock()
        self._camera: pyvirtualcam.Camera | None = None
        device = address[len(PREFIX) :] or None
        try:
            self._camera = pyvirtualcam.Camera(size[1], size[0], float(rate), device=device)
        except (RuntimeError, ValueError, OSError) as error:
            raise SinkError(
                f"cannot write {address}: no virtual camera can be opened ({' '.join(str(error).split())}); "
                "on Linux type: sudo modprobe v4l2loopback, elsewhere start OBS once"
            ) from None
        _log.info("%s: camera %s, %dx%d", address, self._camera.device, size[1], size[0])

    def write(self, frame: Frame) -> None:
        """Send one frame.

        Raises:
            SinkError: the camera is gone or closed.
        """
        rgb = np.ascontiguousarray(frame.rgb)
        if rgb.shape[:2] != self._size:
            rgb = self._fitted(rgb)
        with self._lock:
            if self._camera is None:
                raise closed(self._address)
            try:
                self._camera.send(rgb)
            except (RuntimeError, OSError) as error:
                raise SinkError(f"cannot write {self._address}: {' '.join(str(error).split())}") from None

    def close(self) -> None:
        """Close the camera; works twice."""
        with self._lock:
            camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def abort(self) -> None:
        """Close the camera; works twice."""
        self.close()

    def _fitted(self, rgb: Rgb) -> Rgb:
        """Return a frame of the camera's size with the whole of `rgb` in its middle."""
        height, width = self._size
        scale = min(height / rgb.shape[0], width / rgb.shape[1])
        inner = max(1, round(rgb.shape[0] * scale)), max(1, round(rgb.shape[1] * scale))
        small = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(rgb, "rgb24"),
            width=inner[1],
            height=inner[0],
            interpolation=BILINEAR | ACCURATE_ROUNDING,
        ).to_ndarray()
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        fitted: Rgb = np.zeros((height, width, 3), np.uint8)
        fitted[top : top + inner[0], left : left + inner[1]] = small
        return fitted
