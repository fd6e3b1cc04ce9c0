"""Jetson CSI cameras, through OpenCV's GStreamer."""

from __future__ import annotations

import re

import cv2

from rt.errors import SourceError
from rt.sources.base import Source, SourceOptions, refuse_options
from rt.sources.camera import Mode, OpenCvGrabber, quiet_opencv
from rt.sources.live import Granted, LiveSource

_OPEN_MS, _READ_MS = 5000, 2000


def open_csi(address: str, options: SourceOptions) -> Source:
    """Open `csi://0`: the number is the sensor's.

    Raises:
        SourceError: OpenCV has no GStreamer, or the sensor gives no frame.
    """
    refuse_options(options, address, "a camera", ("fps", "height", "width", "duration_s", "microphone"))
    grabber = CsiGrabber(address, Mode.of(options))
    return LiveSource(grabber, options.duration_s, microphone=options.microphone)


def pipeline(sensor: int, mode: Mode) -> str:
    """Return the GStreamer pipeline: the newest frame only, never waiting for a clock."""
    rate = f"{mode.fps.numerator}/{mode.fps.denominator}"
    size = f"width={mode.width},height={mode.height}"
    return " ! ".join(
        (
            f"nvarguscamerasrc sensor-id={sensor}",
            f"video/x-raw(memory:NVMM),{size},framerate={rate}",
            "nvvidconv",
            "video/x-raw,format=BGRx",
            "videoconvert",
            "video/x-raw,format=BGR",
            "appsink drop=1 max-buffers=1 sync=false",
        )
    )


def has_gstreamer() -> bool:
    """Return whether this OpenCV was built with GStreamer; those of pip never are."""
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


class CsiGrabber(OpenCvGrabber):
    """A sensor of a Jetson board."""

    def __init__(self, address: str, mode: Mode) -> None:
        found = re.fullmatch(r"csi://(\d*)", address, re.I)
        if found is None:
            raise SourceError(f"cannot read {address}: a sensor has a number; type: csi://0")
        super().__init__(address)
        self._sensor = int(found[1] or 0)
        self._mode = mode

    def open(self) -> Granted:
        """Start the pipeline.

        Raises:
            SourceError: OpenCV has no GStreamer, or the pipeline does not start.
        """
        if not has_gstreamer():
            raise SourceError(
                f"cannot read {self.name}: this OpenCV ({cv2.__version__}) has no GStreamer; use the one of "
                "JetPack: pip uninstall opencv-python, then make the environment again with "
                "python3 -m venv --system-site-packages"
            )
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _READ_MS]
        with quiet_opencv():
            self._capture = cv2.VideoCapture(pipeline(self._sensor, self._mode), cv2.CAP_GSTREAMER, limits)
        if not self._capture.isOpened():
            raise SourceError(
                f"cannot read {self.name}: the camera does not start at {self._mode}; check the cable, and "
                "restart its service: sudo systemctl restart nvargus-daemon"
            )
        return Granted(f"{float(self._mode.fps):g} fps, sensor {self._sensor}", self._mode.fps)
