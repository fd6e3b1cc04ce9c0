"""Frames as a camera for other programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
import pyvirtualcam.camera

from rt.errors import SinkError
from rt.frame import Frame
from rt.install import install_hint
from rt.sinks import open_outputs, open_sink
from tests.support.media import drawn
from tests.support.sinks import DrawnCamera

SIZE = (48, 64)


@pytest.fixture(autouse=True)
def backends(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """No camera of this machine: tests register their own."""
    known: dict[str, object] = {}
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", known)
    DrawnCamera.opened.clear()
    yield known
    assert all(camera.closed == 1 for camera in DrawnCamera.opened)


@pytest.fixture
def drawn_camera() -> None:
    pyvirtualcam.register_backend("drawn", DrawnCamera)


def frame(index: int, size: tuple[int, int] = SIZE) -> Frame:
    return Frame(drawn(index, *size), index, Fraction(1, 25), index)


@pytest.mark.usefixtures("drawn_camera")
@pytest.mark.parametrize("address", ["virtual://", "virtual://drawn"])
def test_every_image_is_sent_as_it_is(address: str) -> None:
    sink = open_sink(address, None, size=SIZE, frame_rate=Fraction(25))
    for index in range(3):
        sink.write(frame(index))
    sink.close()
    sink.close()
    sink.abort()
    (camera,) = DrawnCamera.opened
    assert (camera.size, camera.fps) == (SIZE, 25.0)
    assert [np.array_equal(image, drawn(i, *SIZE)) for i, image in enumerate(camera.images)] == [True] * 3
    with pytest.raises(SinkError, match="^cannot write virtual://.*: it is closed$"):
        sink.write(frame(3))


@pytest.mark.usefixtures("drawn_camera")
def test_a_image_of_another_shape_is_shown_whole_between_black_bars() -> None:
    sink = open_sink("virtual://", None, size=SIZE)
    white = Frame(np.full((48, 128, 3), 255, np.uint8), 0, Fraction(1), 0)
    sink.write(white)
    sink.abort()
    (image,) = DrawnCamera.opened[0].images
    assert (image[12:36] == 255).all()
    assert not image[:12].any()
    assert not image[36:].any()


def test_without_the_package_the_command_to_type_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(SinkError) as caught:
        open_sink("virtual://", None, size=SIZE)
    assert str(caught.value) == (
        f"cannot write virtual://: it needs pyvirtualcam; type: {install_hint('virtual')}"
    )


@pytest.mark.usefixtures("drawn_camera")
def test_a_camera_that_is_missing_is_one_line_with_what_to_type() -> None:
    with pytest.raises(SinkError) as caught:
        open_sink("virtual:///dev/video77", None, size=SIZE)
    assert str(caught.value) == (
        "cannot write virtual:///dev/video77: no virtual camera can be opened "
        "('drawn' backend: no camera /dev/video77); "
        "on Linux type: sudo modprobe v4l2loopback, elsewhere start OBS once"
    )


@pytest.mark.usefixtures("drawn_camera")
def test_a_camera_that_goes_away_does_not_stop_the_others() -> None:
    outputs = open_outputs(["virtual://", "null://"], None, live=True, size=SIZE)
    (camera,) = DrawnCamera.opened
    camera.broken = True
    outputs.write(frame(0))
    thread = outputs._threads[0]  # type: ignore[attr-defined]
    thread._thread.join(60)
    outputs.write(frame(1))
    outputs.close()
    assert outputs._direct[0].frames == 2  # type: ignore[attr-defined]
    assert str(thread.fault) == "cannot write virtual://: the device is gone"
