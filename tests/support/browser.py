"""Chromium with a drawn camera; studios in processes of their own."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from rt.frame import Rgb
from tests.support.cli import start

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Playwright

WAIT_MS = 60_000
CAMERA = ("--use-fake-device-for-media-stream=fps=30", "--use-file-for-fake-video-capture={clip}")
ALLOWED = "--use-fake-ui-for-media-stream"
NO_CAMERA = "--use-fake-device-for-media-stream=device-count=0"
"""No camera, and none looked for: without it Chromium asks the machine, which may take it minutes."""


def chromium_path() -> str:
    """Return where Chromium is; skip the tests where it, or Playwright, is missing."""
    pytest.importorskip("playwright", reason="needs Playwright; type: pip install playwright")
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("needs a browser; type: apt-get install chromium")
    return found


def launch(playwright: Playwright, *flags: str) -> Browser:
    """Start Chromium; `flags` say what camera it has, and whether pages may use it."""
    # Without /dev/shm-usage containers with little shared memory lose their pages.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage", *flags]
    return playwright.chromium.launch(executable_path=chromium_path(), args=arguments)


def camera_flags(clip: Path) -> tuple[str, ...]:
    """Return the flags of a camera that shows a clip over and over."""
    return tuple(flag.format(clip=clip) for flag in CAMERA)


def write_camera(path: Path, rgb: Rgb) -> Rgb:
    """Write an image as two frames of YUV4MPEG; return it as it looks after that."""
    height, width = rgb.shape[:2]
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    header = f"YUV4MPEG2 W{width} H{height} F30:1 Ip A1:1 C420jpeg\n"
    path.write_bytes(header.encode() + 2 * (b"FRAME\n" + yuv.tobytes()))
    return np.asarray(cv2.cvtColor(yuv, cv2.COLOR_YUV2RGB_I420), np.uint8)


@dataclass
class Studio:
    """A studio in a process of its own, which can be killed and started again on its port."""

    folder: Path
    styles: Path
    arguments: tuple[str, ...] = ()
    port: int = 0
    address: str = ""
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Start it; return when it has said its address."""
        options = ("--port", self.port, "--backend", "onnxruntime", *self.arguments)
        self.process = start(
            "studio",
            *options,
            cwd=self.folder,
            VIDEOBRUSH_STYLES=str(self.styles),
            XDG_STATE_HOME=str(self.folder),
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip().removeprefix("studio: open ")
        assert self.address.startswith("http://127.0.0.1:"), self.process.communicate()
        self.port = int(self.address.split(":")[2].split("/")[0])

    def kill(self) -> None:
        """End it without a word to anybody."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()


@contextmanager
def studio(folder: Path, styles: Path, *arguments: str) -> Iterator[Studio]:
    """Run a studio until the end of the block."""
    found = Studio(folder, styles, arguments)
    found.start()
    try:
        yield found
    finally:
        found.kill()


def visit(page: Page, studio: Studio) -> None:
    """Open a studio's page by the address it printed."""
    page.goto(studio.address)
    page.wait_for_selector("#view", timeout=WAIT_MS, state="attached")


def wait_for_image(page: Page) -> None:
    """Wait until translated images come."""
    page.wait_for_selector("#stage:not([data-empty])", timeout=WAIT_MS)
    page.wait_for_selector("#notice", state="hidden", timeout=WAIT_MS)


def canvas(page: Page) -> Rgb:
    """Return what the page's canvas holds, uint8[H, W, 3] RGB."""
    address = page.evaluate("document.getElementById('view').toDataURL('image/png')")
    return png(base64.b64decode(address.partition(",")[2]))


def png(content: bytes) -> Rgb:
    """Decode an image to uint8[H, W, 3] RGB."""
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8)


def wait_until(page: Page, expression: str) -> None:
    """Wait until an expression holds in the page, whose rules keep `wait_for_function` from evaluating it."""
    deadline_s = time.monotonic() + WAIT_MS / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < deadline_s, f"never true: {expression}"
        page.wait_for_timeout(20)


def wait_until_shown(page: Page, expected: Rgb, levels: float) -> None:
    """Wait until the canvas holds an image, within a mean distance in levels."""
    deadline_s = time.monotonic() + WAIT_MS / 1000
    while (found := apart(canvas(page), expected)) > levels:
        assert time.monotonic() < deadline_s, f"the canvas stays {found:.1f} levels away"
        page.wait_for_timeout(20)


def apart(one: Rgb, other: Rgb) -> float:
    """Return the mean distance of two images of one size, in levels."""
    assert one.shape == other.shape
    return float(np.abs(one.astype(np.int16) - other).mean())
