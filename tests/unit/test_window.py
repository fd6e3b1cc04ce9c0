from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks import SinkClosed, display, pace, window
from rt.sinks.window import STEP_S, WindowSink
from tests.conftest import Screen
from tests.support.cli import environment


def frame_at(pts: int) -> Frame:
    return Frame(np.full((4, 6, 3), (250, 10, 20), np.uint8), pts, Fraction(1, 1000), index=0)


class Screenless:
    """Stands in for OpenCV and for the clock: waiting moves the time on and presses the keys given."""

    WINDOW_NORMAL, WINDOW_KEEPRATIO, WINDOW_GUI_NORMAL, WND_PROP_VISIBLE = 0, 0, 16, 4
    COLOR_RGB2BGR = cv2.COLOR_RGB2BGR
    error = cv2.error
    cvtColor = staticmethod(cv2.cvtColor)  # noqa: N815

    def __init__(self) -> None:
        self.now_ms = 5000
        self.shown: list[tuple[int, list[int]]] = []
        self.waits_ms: list[int] = []
        self.keys: list[int] = []
        self.windows: list[str] = []
        self.size_wh: tuple[int, int] | None = None

    def perf_counter(self) -> float:
        return self.now_ms / 1000

    def namedWindow(self, title: str, flags: int) -> None:  # noqa: N802
        self.windows.append(title)

    def resizeWindow(self, title: str, width: int, height: int) -> None:  # noqa: N802
        self.size_wh = (width, height)

    def destroyWindow(self, title: str) -> None:  # noqa: N802
        self.windows.remove(title)

    def getWindowProperty(self, title: str, name: int) -> float:  # noqa: N802
        if not self.windows:
            raise cv2.error("NULL window")
        return 1.0

    def imshow(self, title: str, bgr: Any) -> None:
        self.shown.append((self.now_ms, bgr[0, 0].tolist()))

    def waitKey(self, wait_ms: int) -> int:  # noqa: N802
        self.waits_ms.append(wait_ms)
        self.now_ms += wait_ms
        return self.keys.pop(0) if self.keys else -1


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Screenless:
    screenless = Screenless()
    monkeypatch.setattr(window, "cv2", screenless)
    monkeypatch.setattr(window, "time", screenless)
    monkeypatch.setattr(pace, "time", screenless)
    return screenless


def test_frames_are_shown_at_their_times_from_the_first_one_on(fake: Screenless) -> None:
    sink = WindowSink("clip", paced=True)
    for pts in (700, 740, 800, 1300):
        sink.write(frame_at(pts))
    assert [shown_ms - 5000 for shown_ms, _ in fake.shown] == [0, 40, 100, 600]
    assert max(fake.waits_ms) <= STEP_S * 1000


def test_a_late_frame_is_shown_at_once_and_those_after_it_keep_their_distance(fake: Screenless) -> None:
    sink = WindowSink("clip", paced=True)
    sink.write(frame_at(0))
    fake.now_ms += 500
    late_ms = fake.now_ms
    for pts in (40, 80):
        sink.write(frame_at(pts))
    assert [shown_ms - late_ms for shown_ms, _ in fake.shown[1:]] == [0, 40]


def test_live_frames_are_shown_at_once(fake: Screenless) -> None:
    sink = WindowSink("camera", paced=False)
    for pts in (0, 1000, 2000):
        sink.write(frame_at(pts))
    assert fake.waits_ms == [1, 1, 1]


def test_the_picture_is_shown_in_its_colours_and_size(fake: Screenless) -> None:
    WindowSink("clip", paced=True).write(frame_at(0))
    assert fake.shown[0][1] == [20, 10, 250]  # OpenCV shows BGR
    assert fake.size_wh == (6, 4)


def test_a_picture_larger_than_the_screen_may_be_is_shown_smaller_in_its_proportions(
    fake: Screenless,
) -> None:
    frame = Frame(np.zeros((2160, 3840, 3), np.uint8), 0, Fraction(1), 0)
    WindowSink("clip", paced=True).write(frame)
    assert fake.size_wh == (1280, 720)


@pytest.mark.parametrize("key", [ord("q"), ord("Q"), 27])
def test_q_and_escape_end_the_run(fake: Screenless, key: int) -> None:
    sink = WindowSink("clip", paced=True)
    sink.write(frame_at(0))
    fake.keys = [ord("x"), key]
    with pytest.raises(SinkClosed):
        sink.write(frame_at(60_000))
    assert fake.now_ms < 5200
    sink.close()
    sink.close()
    assert fake.windows == []


def test_closing_the_window_ends_the_run(fake: Screenless) -> None:
    sink = WindowSink("clip", paced=True)
    sink.write(frame_at(0))
    fake.windows.clear()
    with pytest.raises(SinkClosed):
        sink.write(frame_at(60_000))
    sink.close()


def test_a_closed_window_takes_no_frame(fake: Screenless) -> None:
    sink = WindowSink("clip", paced=True)
    sink.abort()
    with pytest.raises(SinkError, match="^window clip is closed and cannot show a frame$"):
        sink.write(frame_at(0))


def test_without_a_display_the_fault_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert display.display_fault() == "there is no display (DISPLAY and WAYLAND_DISPLAY are not set)"


@pytest.mark.skipif(sys.platform != "linux", reason="X11 displays are tried on Linux")
def test_a_display_that_is_gone_is_found_without_ending_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    fault = display.display_fault()
    assert fault is not None
    assert fault.startswith("the display cannot be used (")


def test_a_real_display_has_no_fault(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", screen.display)
    assert display.display_fault() is None


SHOW = """
import sys
from fractions import Fraction
import cv2, numpy as np
from rt.frame import Frame
from rt.sinks import SinkClosed
from rt.sinks.window import WindowSink

sink = WindowSink("clip", paced=True)
def frame(pts): return Frame(np.full((200, 300, 3), (250, 10, 20), np.uint8), pts, Fraction(1, 1000), pts)
for pts in range(0, 400, 40):
    sink.write(frame(pts))
print("shown", flush=True)
sys.stdin.readline()
cv2.destroyWindow("clip")
try:
    sink.write(frame(60_000))
except SinkClosed:
    print("ended", flush=True)
sink.close()
"""


def red_pixels_shown(screen: Screen) -> int:
    """Show a red picture in a window of another process; return how many pixels of the screen are red."""
    shower = subprocess.Popen(
        [sys.executable, "-c", SHOW],
        env=environment(DISPLAY=screen.display),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert shower.stdout is not None
    assert shower.stdout.readline() == "shown\n"
    pixels = np.frombuffer(screen.framebuffer.read_bytes()[-640 * 480 * 4 :], np.uint8).reshape(480, 640, 4)
    red = int((pixels[:, :, :3] == (20, 10, 250)).all(axis=-1).sum())  # stored as BGRX
    out, err = shower.communicate("\n", timeout=60)
    assert (out, err, shower.returncode) == ("ended\n", "", 0)
    return red


def test_a_real_window_shows_the_picture_and_ends_when_it_is_closed(screen: Screen) -> None:
    # Without a window manager one window in four is never painted, plain OpenCV's too: not ours to mend.
    tries = (red_pixels_shown(screen) for _ in range(8))
    assert next((red for red in tries if red), 0) == 200 * 300


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a display")
def test_a_file_in_the_current_folder_is_not_taken_for_opencv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cv2.py").write_text("WINDOW_NORMAL = 0\nnamedWindow = destroyAllWindows = print\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPLAY", ":nowhere")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert display.display_fault() is not None
