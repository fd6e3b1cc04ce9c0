from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from rt.audio import LiveAudio
from rt.errors import SourceError
from rt.frame import Frame
from rt.sources import SourceOptions, open_source
from rt.sources.camera import CameraGrabber, Mode
from rt.sources.csi import CsiGrabber, pipeline
from rt.sources.live import LiveSource
from tests.support.captures import FakeCapture, make_devices, plug_in, unplug
from tests.support.microphones import plug_in as connect_microphone

SOON_S = 0.3
HD = Mode(720, 1280, Fraction(30))
SMALL = Mode(24, 32, Fraction(30))
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="device files are Linux's")


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCapture.reset()
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    return make_devices(tmp_path / "dev")


def next_fresh(frames: Iterator[Frame]) -> Frame:
    return next(frame for frame in frames if not frame.stale)


def refusal(grabber: CameraGrabber | CsiGrabber) -> str:
    with pytest.raises(SourceError) as caught:
        LiveSource(grabber)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_mjpg_is_asked_for_before_the_size(devices: Path) -> None:
    CameraGrabber("0", HD, devices=devices).open()
    assert FakeCapture.asked == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 30.0),
        (cv2.CAP_PROP_BUFFERSIZE, 1),
    ]
    assert FakeCapture.opened == [(0, cv2.CAP_V4L2)]


def test_images_are_rgb_and_of_the_granted_size(devices: Path, caplog: pytest.LogCaptureFixture) -> None:
    FakeCapture.grants = {cv2.CAP_PROP_FRAME_WIDTH: 40, cv2.CAP_PROP_FRAME_HEIGHT: 30, cv2.CAP_PROP_FPS: 25}
    with caplog.at_level(logging.INFO, "rt"):
        source = LiveSource(CameraGrabber("0", HD, insist=True, devices=devices))
    assert (source.info.height, source.info.width, source.info.frame_rate) == (30, 40, Fraction(25))
    assert next(iter(source)).rgb[0, 0].tolist() == [255, 0, 0]
    source.close()
    assert [record.getMessage() for record in caplog.records] == [
        "/dev/video0: asked for 1280x720 at 30 fps, it grants 40x30 at 25 fps",
        "/dev/video0: 40x30, 25 fps, MJPG",
    ]
    assert FakeCapture.released == 1


@pytest.mark.parametrize(("stamped", "late_s"), [(True, 0.3), (False, 0.0)])
def test_beside_a_microphone_frames_stand_where_their_driver_began_to_receive_them(
    devices: Path, monkeypatch: pytest.MonkeyPatch, stamped: bool, late_s: float
) -> None:
    connect_microphone(monkeypatch)
    get = FakeCapture.get

    def stamp(capture: FakeCapture, name: int) -> float:
        if name != cv2.CAP_PROP_POS_MSEC:
            return get(capture, name)
        return 1000 * (time.perf_counter() - late_s) if stamped else 12.0

    begun_s: list[float] = []
    monkeypatch.setattr(FakeCapture, "get", stamp)
    monkeypatch.setattr(LiveAudio, "begin", lambda audio, zero_s: begun_s.append(zero_s))
    source = LiveSource(CameraGrabber("0", HD, devices=devices), microphone="usb")
    first = next(iter(source))
    source.close()
    assert first.captured_s is not None
    assert 0 <= first.captured_s - begun_s[0] - late_s < 5


def test_what_nobody_asked_for_is_not_missed(devices: Path, caplog: pytest.LogCaptureFixture) -> None:
    FakeCapture.grants = {cv2.CAP_PROP_FRAME_WIDTH: 40, cv2.CAP_PROP_FRAME_HEIGHT: 30}
    LiveSource(CameraGrabber("0", HD, devices=devices)).close()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        (SourceOptions(), "1280x720 at 30 fps"),
        (SourceOptions(width=640), "640x360 at 30 fps"),
        (SourceOptions(height=1080, fps=Fraction(60)), "1920x1080 at 60 fps"),
        (SourceOptions(height=480, width=640), "640x480 at 30 fps"),
    ],
)
def test_a_missing_side_is_found_at_16_to_9(options: SourceOptions, mode: str) -> None:
    assert str(Mode.of(options)) == mode


@on_linux
def test_an_unplugged_camera_is_found_again_under_another_number(
    devices: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = LiveSource(CameraGrabber(str(devices / "video0"), SMALL, devices=devices), fresh_s=SOON_S)
    frames = iter(source)
    first = next(frames)
    unplug(devices, 0)
    FakeCapture.plugged = False
    stale = next(frame for frame in frames if frame.stale)
    assert stale.pts > first.pts
    plug_in(devices, 2)
    FakeCapture.plugged = True
    assert next_fresh(frames).pts > stale.pts
    source.close()
    assert FakeCapture.opened == [(0, cv2.CAP_V4L2), (2, cv2.CAP_V4L2)]
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == (f"{devices / 'video0'}: it gives no frame (unplugged, or it hangs); opening it again")
    assert said[1].startswith(f"{devices / 'video0'}: it is back after ")
    assert len(said) == 2


def test_a_frozen_camera_is_seen_and_opened_again(devices: Path) -> None:
    source = LiveSource(CameraGrabber("0", SMALL, devices=devices), fresh_s=SOON_S)
    frames = iter(source)
    for _ in range(20):  # its noise is seen
        next(frames)
    FakeCapture.frozen = True
    last = next(frame for frame in frames if frame.stale)
    while len(FakeCapture.opened) < 2:
        next(frames)
    FakeCapture.frozen = False
    assert not np.array_equal(next_fresh(frames).rgb, last.rgb)
    source.close()


@on_linux
def test_a_camera_that_is_not_there_is_refused_with_those_that_are(devices: Path) -> None:
    (devices / "video2").touch()
    (devices / "video10").touch()
    assert refusal(CameraGrabber("7", HD, devices=devices)) == (
        "cannot read /dev/video7: there is no such camera; "
        f"found: {devices / 'video0'}, {devices / 'video2'}, {devices / 'video10'}"
    )


@on_linux
def test_where_no_camera_is_that_is_said(tmp_path: Path) -> None:
    assert refusal(CameraGrabber("0", HD, devices=tmp_path)) == (
        "cannot read /dev/video0: there is no such camera; no camera is connected"
    )


@on_linux
def test_a_camera_that_may_not_be_opened_is_refused_with_what_to_type(
    devices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert refusal(CameraGrabber("0", HD, devices=devices)) == (
        f"cannot read /dev/video0: you may not open {devices / 'video0'}; "
        "type: sudo usermod -aG video $USER, and log in again"
    )


def test_a_camera_in_use_is_refused(devices: Path) -> None:
    FakeCapture.in_use = True
    assert "it is in use by another program" in refusal(CameraGrabber("0", HD, devices=devices))
    assert FakeCapture.released == 1


@pytest.mark.parametrize("address", ["0", "/dev/video0", "/dev/v4l/by-id/usb-Camera-index0", "csi://0"])
def test_what_a_camera_cannot_do_is_refused_by_name(address: str) -> None:
    with pytest.raises(SourceError) as caught:
        open_source(address, SourceOptions(loop=True))
    assert str(caught.value) == f"cannot use --loop with {address}: it is a camera; leave --loop out"


def test_the_pipeline_of_a_jetson_keeps_the_newest_image_only() -> None:
    assert pipeline(1, Mode(1080, 1920, Fraction(30000, 1001))) == (
        "nvarguscamerasrc sensor-id=1 ! "
        "video/x-raw(memory:NVMM),width=1920,height=1080,framerate=30000/1001 ! "
        "nvvidconv ! video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
        "appsink drop=1 max-buffers=1 sync=false"
    )


def test_an_opencv_without_gstreamer_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GStreamer:                   NO\n")
    assert refusal(CsiGrabber("csi://0", HD)) == (
        f"cannot read csi://0: this OpenCV ({cv2.__version__}) has no GStreamer; use the one of JetPack: "
        "pip uninstall opencv-python, then make the environment again with "
        "python3 -m venv --system-site-packages"
    )


def test_a_jetson_camera_is_opened_with_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GStreamer:                   YES (1.20.3)\n")
    FakeCapture.grants = {cv2.CAP_PROP_FRAME_WIDTH: 32, cv2.CAP_PROP_FRAME_HEIGHT: 24}
    source = LiveSource(CsiGrabber("csi://1", SMALL))
    assert next(iter(source)).rgb.shape == (24, 32, 3)
    source.close()
    ((asked, api, limits),) = FakeCapture.opened
    assert asked == pipeline(1, SMALL)
    assert api == cv2.CAP_GSTREAMER
    assert limits == [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, 5000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, 2000]
    FakeCapture.plugged = False
    assert "the camera does not start at 32x24 at 30 fps" in refusal(CsiGrabber("csi://1", SMALL))
    with pytest.raises(SourceError, match="a sensor has a number"):
        open_source("csi://front")


@pytest.mark.camera
@on_linux
def test_a_real_camera_gives_images(monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/dev/video0").exists():
        pytest.skip("there is no /dev/video0")
    monkeypatch.undo()
    source = open_source("0")
    frames = iter(source)
    seen = [next(frames) for _ in range(10)]
    source.close()
    assert not any(frame.stale for frame in seen)
    assert all(frame.rgb.shape == (source.info.height, source.info.width, 3) for frame in seen)
