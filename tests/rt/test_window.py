from __future__ import annotations

import datetime
import logging
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from rt import pacing
from rt.controls import Controls
from rt.errors import SinkError
from rt.frame import Frame
from rt.sinks import SinkClosed, snapshot, target, window
from rt.sinks.overlay import Overlay, figures, slider
from rt.sinks.window import NOTE_S, STEP_S, WindowSink
from rt.stats import Percentiles, Status
from tests.support.media import drawn


def frame_at(pts: int) -> Frame:
    return Frame(np.full((4, 6, 3), (250, 10, 20), np.uint8), pts, Fraction(1, 1000), index=0)


class Screenless:
    """Stands in for OpenCV and for the clock: waiting moves the time on and presses the keys given."""

    WINDOW_NORMAL, WINDOW_KEEPRATIO, WINDOW_GUI_NORMAL, WND_PROP_VISIBLE = 0, 0, 16, 4
    COLOR_RGB2BGR = cv2.COLOR_RGB2BGR
    EVENT_LBUTTONDOWN, EVENT_MOUSEMOVE = cv2.EVENT_LBUTTONDOWN, cv2.EVENT_MOUSEMOVE
    EVENT_FLAG_LBUTTON = cv2.EVENT_FLAG_LBUTTON
    error = cv2.error
    cvtColor = staticmethod(cv2.cvtColor)  # noqa: N815

    def __init__(self) -> None:
        self.now_ms = 5000
        self.shown: list[tuple[int, list[int]]] = []
        self.waits_ms: list[int] = []
        self.keys: list[int] = []
        self.windows: list[str] = []
        self.size_wh: tuple[int, int] | None = None
        self.image: Any = None

    def perf_counter(self) -> float:
        return self.now_ms / 1000

    def namedWindow(self, title: str, flags: int) -> None:  # noqa: N802
        self.windows.append(title)

    def setMouseCallback(self, title: str, call: Any) -> None:  # noqa: N802
        self.mouse = call

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
        self.image = bgr

    def waitKeyEx(self, wait_ms: int) -> int:  # noqa: N802
        self.waits_ms.append(wait_ms)
        self.now_ms += wait_ms
        return self.keys.pop(0) if self.keys else -1

    def waitKey(self, wait_ms: int) -> int:  # noqa: N802
        key = self.waitKeyEx(wait_ms)
        return key if key == -1 else key & 0xFF


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Screenless:
    screenless = Screenless()
    monkeypatch.setattr(window, "cv2", screenless)
    monkeypatch.setattr(window, "time", screenless)
    monkeypatch.setattr(pacing, "time", screenless)
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


def test_the_image_is_shown_in_its_colours_and_size(fake: Screenless) -> None:
    WindowSink("clip", paced=True).write(frame_at(0))
    assert fake.shown[0][1] == [20, 10, 250]  # OpenCV shows BGR
    assert fake.size_wh == (6, 4)


def test_a_image_larger_than_the_screen_may_be_is_shown_smaller_in_its_proportions(
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


SIZE = (240, 320)


def image(index: int = 0, stale: bool = False) -> Frame:
    rgb = drawn(index, *SIZE)
    origin = Frame(255 - rgb, index, Fraction(1, 25), index)
    return Frame(rgb, index, Fraction(1, 25), index, origin=origin, stale=stale)


def status() -> Status:
    latency = {"total": Percentiles(20, 41.4, 60)}
    return Status(100, 24.93, 3, latency, False, "winter", "openvino", "int8")


@pytest.fixture
def controls() -> Controls:
    return Controls(["winter", "monet"], "winter", strength=0.5)


def press(sink: WindowSink, fake: Screenless, keys: str) -> None:
    for key in keys:
        fake.keys = [ord(key)]
        sink.write(image())


def test_keys_change_style_strength_comparison_and_recording(fake: Screenless, controls: Controls) -> None:
    sink = WindowSink("camera", False, controls, status)
    press(sink, fake, "2++ R")
    found = (controls.style, controls.strength, controls.compare, controls.recording)
    assert found == ("monet", 0.7, True, True)
    press(sink, fake, "1=-_- r")
    found = (controls.style, controls.strength, controls.compare, controls.recording)
    assert found == ("winter", 0.5, False, False)
    press(sink, fake, "9x")
    assert controls.style == "winter"


def test_keys_without_a_letter_do_nothing_and_those_of_the_number_pad_do_as_the_others(
    fake: Screenless, controls: Controls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = WindowSink("camera", False, controls, status)
    left, up, right, down, shift = 0xFF51, 0xFF52, 0xFF53, 0xFF54, 0xFFE1
    windows_left, mac_left, control_left = 0x250000, 0xF702, 0x04FF51
    for key in (left, up, right, down, shift, windows_left, mac_left, control_left):
        fake.keys = [key]
        sink.write(image())
    assert (controls.strength, controls.recording) == (0.5, False)
    assert list(tmp_path.iterdir()) == []
    for key, strength in ((0xFFAB, 0.6), (0xFFAD, 0.5), (0x10002B, 0.6)):  # the last: + with NumLock on
        fake.keys = [key]
        sink.write(image())
        assert controls.strength == pytest.approx(strength)


def test_without_controls_keys_do_nothing(fake: Screenless, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    press(WindowSink("camera", False), fake, "2+ srh")
    assert list(tmp_path.iterdir()) == []


def test_what_is_compared_is_shown_side_by_side_in_a_wider_window(
    fake: Screenless, controls: Controls
) -> None:
    sink = WindowSink("camera", False, controls)
    press(sink, fake, " ")
    both = np.concatenate([image().before, image().rgb], axis=1)
    assert np.array_equal(fake.image, both[..., ::-1])
    assert fake.size_wh == (640, 240)
    press(sink, fake, " ")
    assert fake.size_wh == (320, 240)


def test_a_snapshot_is_the_translated_image_alone_and_replaces_nothing(
    fake: Screenless,
    controls: Controls,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(target, "datetime", SimpleNamespace(datetime=Noon))
    sink = WindowSink("camera", False, controls, status)
    with caplog.at_level(logging.INFO):
        press(sink, fake, " hss")
    names = ["videobrush-20260131-120000-2.png", "videobrush-20260131-120000.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names:
        found = cv2.imread(name)
        assert found is not None
        assert np.array_equal(found[..., ::-1], image().rgb)
        assert f"snapshot: {name}" in caplog.text
    assert [note for _, note in sink._notes] == [f"snapshot: {name}" for name in reversed(names)]


class Noon:
    @staticmethod
    def now() -> datetime.datetime:
        return datetime.datetime(2026, 1, 31, 12)


def test_a_snapshot_that_cannot_be_written_is_said_and_the_view_goes_on(
    fake: Screenless, controls: Controls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "timestamped", lambda folder, suffix: tmp_path / "gone" / "a.png")
    sink = WindowSink("camera", False, controls, status)
    press(sink, fake, "sx")
    assert [note for _, note in sink._notes] == [
        f"cannot write {tmp_path}/gone/a.png: no such file or directory"
    ]


def test_only_live_views_are_recorded_by_key(fake: Screenless, controls: Controls) -> None:
    press(WindowSink("clip", True, controls), fake, "r")
    assert not controls.recording
    assert controls.take_notes() == ["only live views are recorded: name an OUTPUT to write this one"]


def test_the_figures_are_those_of_the_run_and_of_the_style_asked_for() -> None:
    lines = figures(status(), "monet", 0.5)
    assert lines == ["winter, loading monet  50 %", "openvino int8", "24.9 fps  p95 41 ms  3 dropped"]
    assert figures(status(), "winter", 1.0)[0] == "winter  100 %"
    heard = replace(status(), audio="audio in step within 1 ms")
    assert figures(heard, "winter", 1.0)[3:] == ["audio in step within 1 ms"]


def changed(fake: Screenless) -> npt.NDArray[np.bool_]:
    """Return bool[H, W]: where what is shown is not the frame."""
    return np.asarray((fake.image != image().rgb[..., ::-1]).any(axis=-1))


def test_everything_is_written_over_the_copy_shown_alone(fake: Screenless, controls: Controls) -> None:
    sink = WindowSink("camera", False, controls, status)
    given = image()
    sink.write(given)
    assert np.array_equal(given.rgb, image().rgb)
    assert changed(fake)[:70, :200].mean() > 0.5  # the figures, and nothing else
    assert not changed(fake)[80:].any()
    controls.recording = True
    sink.write(image())
    mark = fake.image[:30, 230:].astype(int)
    assert ((mark[..., 2] > 200) & (mark[..., 1] < 100)).sum() > 50  # a red mark in the corner
    fake.keys = [ord("h")]
    sink.write(image())
    assert changed(fake)[40:200, 120:200].all()  # the keys, in the middle


def test_a_stale_image_is_marked_and_notes_go_after_a_while(fake: Screenless, controls: Controls) -> None:
    sink = WindowSink("camera", False, controls, status)
    sink.write(image(stale=True))
    assert changed(fake)[120].all()
    controls.note("style monet cannot be loaded: \u2026")
    sink.write(image())
    assert not changed(fake)[120].any()
    assert changed(fake)[215:, :100].any()
    fake.now_ms += round(1000 * NOTE_S)
    sink.write(image())
    assert not changed(fake)[215:].any()


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (40, 30), (2160, 3840)])
def test_any_image_can_be_written_over(size: tuple[int, int]) -> None:
    bgr = np.zeros((*size, 3), np.uint8)
    notes = ["a note that is much longer than the frame is wide"]
    for keys in (False, True):
        Overlay(figures(status(), "monet", 0.5), notes, recording=True, stale=True, keys=keys).draw(bgr)


@pytest.mark.parametrize("size", [(48, 64), (360, 640), (1080, 1920), (2, 2)])
def test_the_slider_of_a_mix_follows_the_mouse_while_it_is_pressed(
    fake: Screenless, size: tuple[int, int]
) -> None:
    controls = Controls(["a+b"], "a+b")
    sink = WindowSink("shown", paced=False, controls=controls)
    sink.write(Frame(np.zeros((*size, 3), np.uint8), 0, Fraction(1, 30), 0))
    left, top, right, bottom = slider(*size)
    middle = (top + bottom) // 2
    fake.mouse(cv2.EVENT_LBUTTONDOWN, right, middle, 0, None)
    assert controls.mix == 1
    fake.mouse(cv2.EVENT_MOUSEMOVE, left, middle, 0, None)  # not pressed
    assert controls.mix == 1
    fake.mouse(cv2.EVENT_MOUSEMOVE, left - 3, middle, cv2.EVENT_FLAG_LBUTTON, None)
    assert controls.mix == 0
    fake.mouse(cv2.EVENT_LBUTTONDOWN, right, bottom + 40, 0, None)  # beside it
    controls.style = "a"
    fake.mouse(cv2.EVENT_LBUTTONDOWN, right, middle, 0, None)  # no mix
    assert controls.mix == 0
    sink.close()


def test_the_keys_of_the_mix_go_in_tenths_and_its_slider_is_drawn(fake: Screenless) -> None:
    controls = Controls(["a+b"], "a+b", mix=0.85)
    for key, expected in (("]", 0.95), ("]", 1.0), ("[", 0.9)):
        fake.keys = [ord(key)]
        WindowSink("shown", paced=False, controls=controls).write(frame_at(0))
        assert controls.mix == expected
    plain = np.full((90, 160, 3), 100, np.uint8)
    without, low, high = plain.copy(), plain.copy(), plain.copy()
    Overlay().draw(without)
    Overlay(mix=0.0).draw(low)
    Overlay(mix=1.0).draw(high)
    assert np.array_equal(without, plain)
    left, top, _, bottom = slider(90, 160)
    assert np.array_equal(low[: top - 8], plain[: top - 8])
    assert not np.array_equal(low[top:bottom, left : left + 4], high[top:bottom, left : left + 4])
