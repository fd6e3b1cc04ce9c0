"""A camera driver without a camera: stands in for `cv2.VideoCapture`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import numpy.typing as npt

from tests.support.grabbers import noise

FRAME_S = 0.005


class FakeCapture:
    """Gives noise, its first pixel pure red; `Driver` says what happens."""

    plugged: ClassVar[bool] = True
    frozen: ClassVar[bool] = False
    in_use: ClassVar[bool] = False
    grants: ClassVar[dict[int, float]] = {}
    """Properties that are what they are, whatever is asked."""
    opened: ClassVar[list[tuple[Any, ...]]] = []
    """What each capture was opened with."""
    asked: ClassVar[list[tuple[int, float]]] = []
    released: ClassVar[int] = 0

    def __init__(self, *arguments: Any) -> None:
        self.opened.append(arguments)
        self._properties: dict[int, float] = {}
        self._seed = 0

    @classmethod
    def reset(cls) -> None:
        """Forget everything; a camera is plugged in."""
        cls.plugged, cls.frozen, cls.in_use, cls.released = True, False, False, 0
        cls.grants, cls.opened, cls.asked = {}, [], []

    def isOpened(self) -> bool:  # noqa: N802
        return self.plugged and not self.in_use

    def set(self, name: int, value: float) -> bool:
        self.asked.append((name, value))
        self._properties[name] = value
        return name not in self.grants

    def get(self, name: int) -> float:
        return self.grants.get(name, self._properties.get(name, 0.0))

    def read(self) -> tuple[bool, npt.NDArray[np.uint8] | None]:
        time.sleep(FRAME_S)  # the pace of the device
        if not self.plugged:
            return False, None
        if not self.frozen:
            self._seed += 1
        height, width = int(self.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(self.get(cv2.CAP_PROP_FRAME_WIDTH))
        bgr = noise(self._seed, height, width)
        bgr[0, 0] = (0, 0, 255)
        return True, bgr

    def release(self) -> None:
        type(self).released += 1


def make_devices(folder: Path, number: int = 0) -> Path:
    """Make a /dev with one camera and the link that names it for good."""
    (folder / "v4l" / "by-id").mkdir(parents=True)
    plug_in(folder, number)
    return folder


def plug_in(folder: Path, number: int) -> None:
    """Let the camera appear as /dev/video`number`."""
    device = folder / f"video{number}"
    device.touch()
    link = folder / "v4l" / "by-id" / "usb-Camera-index0"
    link.unlink(missing_ok=True)
    link.symlink_to(device)


def unplug(folder: Path, number: int) -> None:
    """Let the camera vanish."""
    (folder / f"video{number}").unlink()
    (folder / "v4l" / "by-id" / "usb-Camera-index0").unlink()
