"""A sounddevice without a sound card."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rt.audio import Samples

BLOCK = 441


class FakePortAudioError(Exception):
    """What sounddevice raises."""


class FakeLibrary:
    """Stands for the module `sounddevice`, as far as it is used."""

    PortAudioError = FakePortAudioError

    def __init__(self) -> None:
        self.devices: list[dict[str, Any]] = [
            {"name": "Speakers", "max_input_channels": 0, "default_samplerate": 48000.0},
            {"name": "USB Microphone", "max_input_channels": 1, "default_samplerate": 44100.0},
            {"name": "Webcam Microphone", "max_input_channels": 2, "default_samplerate": 48000.0},
        ]
        self.default = SimpleNamespace(device=[2, 0])
        self.refusal = ""
        """What opening fails with."""
        self.unplugged = False
        """While true, nothing is heard."""
        self.knows_age = True
        """Whether the driver says when a block was taken."""
        self.streams: list[FakeStream] = []
        self.begun = 0

    def query_devices(self) -> list[dict[str, Any]]:
        return self.devices

    def InputStream(self, **asked: Any) -> FakeStream:  # noqa: N802
        if self.refusal:
            raise FakePortAudioError(self.refusal)
        self.streams.append(FakeStream(self, **asked))
        return self.streams[-1]

    def _terminate(self) -> None:
        self.begun -= 1

    def _initialize(self) -> None:
        self.begun += 1


class FakeStream:
    """Hears a click at every full second of `time.perf_counter()`."""

    def __init__(self, library: FakeLibrary, **asked: Any) -> None:
        self.asked = asked
        self.closed = False
        self._library = library
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fake microphone", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, ignore_errors: bool = True) -> None:
        self.closed = True
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        rate, channels = self.asked["samplerate"], self.asked["channels"]
        begun_s, count = time.perf_counter(), 0
        buffer = np.zeros((BLOCK, channels), np.float32)  # it is used again and again, as PortAudio does
        while not self._ending.wait(max(0.0, begun_s + (count + BLOCK) / rate - time.perf_counter())):
            if not self._library.unplugged:
                taken_s = begun_s + count / rate
                buffer[:] = clicks(taken_s, BLOCK, rate).T
                now_s = time.perf_counter()
                age_s = taken_s if self._library.knows_age else now_s
                times = SimpleNamespace(currentTime=now_s, inputBufferAdcTime=age_s)
                self.asked["callback"](buffer, BLOCK, times, 0)
                buffer[:] = 9
            count += BLOCK


def clicks(start_s: float, count: int, rate: float) -> Samples:
    """Return float32[1, count]: 20 ms of full level at each full second."""
    at_s = start_s + np.arange(count) / rate
    return (at_s % 1 < 0.02).astype(np.float32)[np.newaxis]


def plug_in(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    """Let `import sounddevice` give a new fake one."""
    library = FakeLibrary()
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    return library
