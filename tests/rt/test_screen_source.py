from __future__ import annotations

import contextlib
import ctypes
import itertools
import sys
import threading
from collections.abc import Iterator
from fractions import Fraction

import pytest

from rt.errors import SourceError
from rt.install import install_hint
from rt.sources import SourceOptions, open_source
from tests.conftest import Screen

pytest.importorskip("mss", reason="needs the package mss")


@pytest.fixture
def on_screen(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", screen.display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


@contextlib.contextmanager
def shown(display: str, rgb: tuple[int, int, int]) -> Iterator[None]:
    """A colour over the whole screen: the background of its root window, which no window manager moves."""
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XDefaultRootWindow.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))
    assert connection.value, f"no connection to {display}"
    root = ctypes.c_ulong(x11.XDefaultRootWindow(connection))
    x11.XSetWindowBackground(connection, root, ctypes.c_ulong(int.from_bytes(bytes(rgb), "big")))
    x11.XClearWindow(connection, root)
    x11.XSync(connection, 0)
    try:
        yield
    finally:
        x11.XCloseDisplay(connection)


@pytest.mark.usefixtures("on_screen")
def test_what_a_screen_shows_is_seen(screen: Screen) -> None:
    source = open_source("screen://", SourceOptions(fps=Fraction(20)))
    assert (source.info.height, source.info.width, source.info.frame_rate) == (480, 640, Fraction(20))
    seen = itertools.islice(source, 20 * 60)  # a minute of frames
    for rgb in [(255, 128, 0), (1, 2, 250)]:
        with shown(screen.display, rgb):
            frame = next(frame for frame in seen if (frame.rgb == rgb).all())
            assert frame.captured_s is not None
    source.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("capture")]


@pytest.mark.usefixtures("on_screen")
@pytest.mark.parametrize(
    ("options", "size"),
    [
        (SourceOptions(width=320), (240, 320)),
        (SourceOptions(height=120), (120, 160)),
        (SourceOptions(height=100, width=300), (100, 300)),
    ],
)
def test_it_is_scaled_where_a_size_is_asked_for(options: SourceOptions, size: tuple[int, int]) -> None:
    source = open_source("screen://0", options)
    assert (source.info.height, source.info.width) == size
    assert next(iter(source)).rgb.shape == (*size, 3)
    source.close()


@pytest.mark.usefixtures("on_screen")
def test_a_monitor_that_is_not_there_is_refused() -> None:
    with pytest.raises(SourceError, match="^cannot read screen://7: there is no monitor 7, only 1$"):
        open_source("screen://7")


def test_without_a_display_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SourceError) as caught:
        open_source("screen://")
    assert str(caught.value) == "cannot read screen://: there is no X display (DISPLAY is not set)"
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    with pytest.raises(SourceError, match="; Wayland gives its screen to nobody$"):
        open_source("screen://")
    monkeypatch.setenv("DISPLAY", ":986")
    with pytest.raises(SourceError, match=r"^cannot read screen://: the display cannot be used \("):
        open_source("screen://")


def test_without_the_package_it_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mss", None)
    with pytest.raises(SourceError) as caught:
        open_source("screen://")
    assert str(caught.value) == (
        f"cannot read screen://: the package mss is missing or too old; type: {install_hint('screen')}"
    )


def test_anything_but_a_number_is_refused() -> None:
    with pytest.raises(SourceError, match="^cannot read screen://left: a monitor has a number"):
        open_source("screen://left")
