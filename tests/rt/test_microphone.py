"""A microphone beside a camera; the library's edge is a fake."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

import rt.sources.microphone as microphones
from rt.audio import RATE, LiveAudio, audio_of
from rt.errors import SourceError
from rt.sources import SourceOptions, open_source
from rt.sources.live import LiveSource
from rt.sources.microphone import microphone_names, open_microphone
from tests.support.grabbers import LIMIT_S, FakeGrabber, noise
from tests.support.microphones import plug_in


def wait_until(reached: Callable[[], bool]) -> None:
    until_s = time.perf_counter() + LIMIT_S
    while not reached():
        assert time.perf_counter() < until_s, "it did not happen"
        time.sleep(0.01)


def test_microphones_are_listed_and_chosen_by_name_by_a_part_of_it_and_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = plug_in(monkeypatch)
    assert microphone_names() == ["USB Microphone", "Webcam Microphone"]
    for name, device, channels in (("USB Microphone", 1, 1), ("webcam", 2, 2), ("default", 2, 2)):
        microphone = open_microphone(name)
        assert library.streams[-1].asked["device"] == device
        assert microphone.audio.channels == channels
        microphone.close()
        microphone.close()
        assert library.streams[-1].closed


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        (
            "USB Microphon e",
            "there is none of that name; did you mean 'USB Microphone'?; "
            "found: 'USB Microphone', 'Webcam Microphone', or default",
        ),
        (
            "microphone",
            "several have that in their names; found: 'USB Microphone', 'Webcam Microphone', or default",
        ),
    ],
)
def test_a_name_that_is_none_or_several_is_refused_with_those_there_are(
    monkeypatch: pytest.MonkeyPatch, name: str, fault: str
) -> None:
    plug_in(monkeypatch)
    with pytest.raises(SourceError) as raised:
        open_microphone(name)
    assert str(raised.value) == f"cannot use --microphone {name}: {fault}"


def test_what_is_missing_is_said_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    library = plug_in(monkeypatch)
    library.refusal = "Device unavailable\n[PaErrorCode -9985]"
    with pytest.raises(SourceError, match=r"cannot be opened \(Device unavailable \[PaErrorCode -9985\]\); "):
        open_microphone("usb")
    library.devices = []
    with pytest.raises(SourceError, match="no microphone is connected$"):
        open_microphone("usb")
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SourceError, match=r"it needs sounddevice; type: pip install .*\[microphone\]"):
        open_microphone("usb")


def test_a_microphone_goes_with_cameras_and_the_like_alone() -> None:
    with pytest.raises(SourceError, match=r"^cannot use --microphone with .*leave --microphone out$"):
        open_source("tcp://127.0.0.1:9", SourceOptions(microphone="default"))
    with pytest.raises(SourceError, match=r"^cannot use --microphone with .*leave --microphone out$"):
        open_source("pattern://?unpaced", SourceOptions(microphone="default"))


def test_a_camera_without_its_microphone_is_closed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch)
    grabber = FakeGrabber(noise(0))
    with pytest.raises(SourceError, match="there is none of that name"):
        LiveSource(grabber, microphone="telephone")
    assert grabber.closed == 1


@pytest.mark.slow
@pytest.mark.parametrize(("name", "knows_age"), [("usb", True), ("webcam", False)])
def test_what_is_heard_stands_where_it_was_taken(
    monkeypatch: pytest.MonkeyPatch, name: str, knows_age: bool
) -> None:
    library = plug_in(monkeypatch)
    library.knows_age = knows_age
    grabber = FakeGrabber(noise(0))
    source = LiveSource(grabber, microphone=name)
    audio = audio_of(source.info)
    assert audio is not None
    audio.wanted = True
    grabber.give(noise(1))
    first = next(iter(source))
    assert first.captured_s is not None
    wait_until(lambda: audio.end > 1.3 * RATE)
    source.close()
    heard = audio.read(0, audio.end)
    clicks_s = first.captured_s + np.flatnonzero(np.diff((heard[0] > 0.5).astype(int)) == 1) / RATE
    assert len(clicks_s) >= 1
    late_ms = 1000 * ((clicks_s + 0.5) % 1 - 0.5)
    assert np.abs(late_ms).max() < 20, late_ms
    assert not [stream for stream in library.streams if not stream.closed]


@pytest.mark.slow
def test_a_microphone_that_is_unplugged_is_silence_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library = plug_in(monkeypatch)
    monkeypatch.setattr(microphones, "SILENT_S", 0.2)
    microphone = open_microphone("usb")
    audio: LiveAudio = microphone.audio
    audio.wanted = True
    wait_until(lambda: audio.end > 0)
    library.unplugged = True
    library.refusal = "gone"
    wait_until(lambda: library.begun >= 1 or "gives nothing" in caplog.text)
    library.unplugged, library.refusal = False, ""
    wait_until(lambda: "is back after" in caplog.text)
    assert "USB Microphone gives nothing for 0.2 s; opening it again" in caplog.text
    end = audio.end
    wait_until(lambda: audio.end > end)
    microphone.close()
    assert [stream.closed for stream in library.streams] == [True] * len(library.streams)
