"""A run controlled from elsewhere: by OSC, and by keys typed in the terminal."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import rt.job
from rt.commands import Run
from rt.controls import Controls
from rt.errors import VideobrushError
from rt.frame import Frame
from rt.hotkeys import Hotkeys
from rt.image import read_image
from rt.job import run_job
from rt.osc import OscServer, read_address
from rt.pipeline import Stop
from rt.remote import Remote
from tests.support.onnx_styles import make_style

LIMIT_S = 20  # only reached where something hangs
pytest.importorskip("pythonosc", reason="needs the extra osc")


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("9000", ("127.0.0.1", 9000)),
        ("0", ("127.0.0.1", 0)),
        ("0.0.0.0:9000", ("0.0.0.0", 9000)),
        ("[::1]:9000", ("::1", 9000)),
        ("", None),
        ("-1", None),
        ("70000", None),
        ("host", None),
    ],
)
def test_an_address_is_a_port_or_a_host_and_a_port(typed: str, address: tuple[str, int] | None) -> None:
    assert read_address(typed) == address
    fault = Run("0", "winter", osc=typed).fault()
    assert fault == (
        None if address else f"--osc {typed} is no port: type for example --osc 9000, or --osc 0.0.0.0:9000"
    )


class Desk:
    """A lighting desk that sends to one server."""

    def __init__(self, controls: Controls) -> None:
        self.snapshots = 0
        self.server = OscServer(("127.0.0.1", 0), controls, self._count)

    def send(self, address: str, value: Any) -> None:
        """Send one message; an empty list is no value."""
        from pythonosc.osc_message_builder import OscMessageBuilder

        message = OscMessageBuilder(address)
        if value != []:
            message.add_arg(value)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(message.build().dgram, ("127.0.0.1", self.server.port))

    def _count(self) -> None:
        self.snapshots += 1


@pytest.fixture
def controls() -> Controls:
    return Controls(["winter", "monet", "wave"], "winter")


@pytest.fixture
def desk(controls: Controls) -> Iterator[Desk]:
    found = Desk(controls)
    yield found
    found.server.close()
    found.server.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "videobrush-osc"]


@pytest.mark.parametrize(
    ("address", "value", "name", "expected"),
    [
        ("/style", "monet", "style", "monet"),
        ("/style", 3, "style", "wave"),
        ("/style", 2.0, "style", "monet"),
        ("/style", "monet+wave", "style", "monet+wave"),
        ("/mix", 0.25, "mix", 0.25),
        ("/mix", 1, "mix", 1.0),
        ("/strength", 0.0, "strength", 0.0),
        ("/steady", 0.75, "steady", 0.75),
        ("/record", 1, "recording", True),
        ("/record", [], "recording", True),
    ],
)
def test_each_message_changes_what_it_names(
    address: str, value: Any, name: str, expected: object, desk: Desk, controls: Controls
) -> None:
    desk.send(address, value)
    wait_until(lambda: bool(getattr(controls, name) == pytest.approx(expected)))
    assert controls.take_notes() == []


@pytest.mark.parametrize(
    ("address", "value", "note"),
    [
        ("/style", "nosuch", "OSC /style nosuch: there is no such style"),
        ("/style", "/etc", "OSC /style /etc: there is no such style"),
        ("/style", "monet+nosuch", "OSC /style monet+nosuch: there is no such style"),
        ("/style", 9, "there is no style 9: 3 can be chosen"),
        ("/mix", 1.5, "OSC /mix 1.5: not within 0..1"),
        ("/mix", float("nan"), "OSC /mix nan: not within 0..1"),
        ("/strength", "loud", "OSC /strength loud: not within 0..1"),
        ("/steady", [], "OSC /steady None: not within 0..1"),
        ("/stile", 1, "OSC /stile is not known; known: /style, /mix, /strength, /steady, /snapshot, /record"),
    ],
)
def test_what_cannot_be_obeyed_is_noted_and_changes_nothing(
    address: str, value: Any, note: str, desk: Desk, controls: Controls
) -> None:
    before = {**vars(controls)}
    desk.send(address, value)
    desk.send("/snapshot", [])  # what came before it was looked at
    wait_until(lambda: desk.snapshots == 1)
    assert controls.take_notes() == [note]
    assert {**vars(controls), "_notes": []} == {**before, "_notes": []}


def test_what_is_no_osc_is_passed_over(desk: Desk, controls: Controls) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in (b"", b"hello", b"/mix\0\0\0\0,f\0\0", b"#bundle\0", bytes(2000)):
            sender.sendto(packet, ("127.0.0.1", desk.server.port))
    desk.send("/mix", 0.125)
    wait_until(lambda: controls.mix == 0.125)


def test_a_port_in_use_is_one_line(desk: Desk, controls: Controls) -> None:
    with pytest.raises(VideobrushError) as error:
        OscServer(("127.0.0.1", desk.server.port), controls, lambda: None)
    assert str(error.value) == (
        f"cannot listen for OSC on 127.0.0.1 port {desk.server.port}: Address already in use; "
        "type another --osc PORT"
    )


def test_keys_typed_in_a_terminal_arrive_and_it_is_left_as_it_was() -> None:
    termios = pytest.importorskip("termios")
    ours, theirs = os.openpty()
    typed: list[str] = []
    with os.fdopen(theirs, "rb", buffering=0) as terminal:
        before = termios.tcgetattr(theirs)
        keys = Hotkeys(terminal, typed.append)
        assert termios.tcgetattr(theirs) != before
        os.write(ours, b"2+")
        wait_until(lambda: len(typed) == 2)
        os.write(ours, b"\x1b[A")  # an arrow
        time.sleep(0.05)
        os.write(ours, b"Q")
        wait_until(lambda: "q" in typed)
        keys.close()
        keys.close()
        assert termios.tcgetattr(theirs) == before
    os.close(ours)
    assert typed == ["2", "+", "q"]


def test_without_a_terminal_hotkeys_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as stream, pytest.raises(VideobrushError) as error:
        Hotkeys(stream, lambda key: None)
    assert str(error.value) == "--hotkeys reads keys from a terminal, and the input is none: leave it out"


def test_the_keys_are_those_of_the_window(
    controls: Controls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stop = Stop()
    remote = Remote(controls, stop.request, osc=None, hotkeys=False, live=False, say_notes=False)
    remote.press("s")
    assert controls.take_notes() == ["there is no image yet"]
    rgb = np.full((4, 6, 3), 77, np.uint8)
    remote.show(Frame(rgb, 0, Fraction(1), 0))
    for key in "2-]] sx":
        remote.press(key)
    assert (controls.style, controls.strength, controls.mix, controls.compare) == ("monet", 0.9, 0.7, True)
    assert [np.array_equal(read_image(path).rgb, rgb) for path in tmp_path.iterdir()] == [True]
    remote.press("r")
    assert controls.recording is False
    remote.press("q")
    assert stop.requested
    remote.close()
    remote.close()


def test_a_live_run_without_a_window_is_recorded_and_ended_from_elsewhere(
    tmp_path: Path, own_styles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_style(own_styles)
    monkeypatch.chdir(tmp_path)
    made: list[Remote] = []

    class Kept(Remote):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            made.append(self)

    monkeypatch.setattr(rt.job, "Remote", Kept)
    run = Run("pattern://", "drawn", ("null://",), osc="0", width=64, height=48, backend="openvino")
    stats = run_job(run, Stop(), watch=_pressing(made, {2: "r", 12: "s", 14: "r", 20: "q"}))
    assert stats.frames >= 10
    (video,) = tmp_path.glob("*.mp4")
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 1
    assert len(list(tmp_path.glob("*.png"))) == 1


def _pressing(made: list[Remote], keys: dict[int, str]) -> Callable[[Frame], None]:
    count = 0

    def watch(frame: Frame) -> None:
        nonlocal count
        count += 1
        if count in keys:
            made[0].press(keys[count])

    return watch
