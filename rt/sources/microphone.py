"""A microphone beside a camera, through PortAudio."""

from __future__ import annotations

import logging
import sys
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np

from rt.audio import LAYOUTS, RATE, LiveAudio, Samples
from rt.channel import Channel, Empty, Ended
from rt.errors import SourceError, nearest
from rt.install import install_hint
from rt.pacing import DEVICE_BACKOFF_S, Backoff
from rt.sources.clock import SampleClock

_log = logging.getLogger(__name__)

DEFAULT = "default"
"""The name of the system's own choice."""
SILENT_S = 2.0
"""A microphone that gives nothing for so long is opened again."""
_WAITING = 500
"""Blocks that may wait for the thread: several seconds."""
_OLDEST_S = 2.0
"""A driver that says a block is older than this does not know."""


class MicrophoneError(SourceError):
    """No microphone can be used at all: something is not installed."""


def microphone_names() -> list[str]:
    """Return the names of all microphones.

    Raises:
        MicrophoneError: sounddevice or PortAudio is missing.
    """
    return [device["name"] for device in _inputs(_library("microphones cannot be listed"))]


def open_microphone(name: str) -> Microphone:
    """Open a microphone by its name, a part of it, or `default`.

    Raises:
        SourceError: there is none of that name, or it cannot be opened.
    """
    return Microphone(name)


@dataclass(frozen=True)
class _Block:
    """What the sound card gave at once."""

    taken_s: float
    """When its first sample was taken, by `time.perf_counter()`; never earlier than in truth."""
    samples: Samples
    lost: bool
    """True where samples before it were lost."""


class Microphone:
    """Puts what a microphone hears into `audio`, by a thread; opens it again where it was unplugged."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._library = _library(f"cannot use --microphone {name}")
        self._blocks: Channel[_Block] = Channel(_WAITING, newest_wins=True)
        self._closing = threading.Event()
        self._stream: Any = None
        self._open()
        self.audio = LiveAudio(self._channels, f"{self.device}, {self._rate} Hz")
        self._thread = threading.Thread(target=self._run, name=f"microphone {name}", daemon=True)
        self._thread.start()
        _log.info("microphone: %s, %d Hz, %s", self.device, self._rate, LAYOUTS[self._channels])

    def close(self) -> None:
        """Let it go; works twice, from any thread."""
        self._closing.set()
        self._blocks.abort()
        self._thread.join()

    def _open(self) -> None:
        """Find the device by its name and begin to listen.

        Raises:
            SourceError: it is not there, or cannot be opened.
        """
        device = _chosen(_inputs(self._library), self._name, self._library)
        self.device = str(device["name"])
        self._rate = round(device["default_samplerate"])
        self._channels = min(2, int(device["max_input_channels"]))
        self._clock = SampleClock(self._rate)
        self._resampler: av.AudioResampler | None = None
        try:
            self._stream = self._library.InputStream(
                samplerate=self._rate,
                device=device["index"],
                channels=self._channels,
                dtype="float32",
                callback=self._take,
            )
            self._stream.start()
        except self._library.PortAudioError as error:
            self._release()
            raise SourceError(
                f"cannot use --microphone {self._name}: {self.device} cannot be opened ({_in_words(error)}); "
                "another program may have it"
            ) from None

    def _take(self, samples: Any, count: int, times: Any, status: Any) -> None:
        """Take a block, float32[N, C], in PortAudio's thread; it is theirs again afterwards."""
        age_s = times.currentTime - times.inputBufferAdcTime
        if not 0 < age_s < _OLDEST_S:  # not every driver says it
            age_s = count / self._rate
        block = np.ascontiguousarray(samples.T, np.float32)  # [N, C] → [C, N]
        if block.base is not None:
            block = block.copy()
        self._blocks.put(_Block(time.perf_counter() - age_s, block, bool(status)))

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    self._put(self._blocks.get(SILENT_S))
                except Empty:
                    self._open_again()
        except Ended:
            pass
        finally:
            self._release()

    def _put(self, block: _Block) -> None:
        if block.lost:
            self._clock.restart()
        start_s = self._clock.start_s(block.samples.shape[1], block.taken_s)
        if not self.audio.wanted:
            return
        if self._resampler is None:
            self._resampler = av.AudioResampler("fltp", LAYOUTS[self.audio.channels], RATE)
        frame = av.AudioFrame.from_ndarray(block.samples, "fltp", LAYOUTS[block.samples.shape[0]])
        frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
        frame.pts = round(start_s * self._rate)
        for even in self._resampler.resample(frame):
            assert even.pts is not None
            self.audio.put(even.pts / RATE, np.asarray(even.to_ndarray(), np.float32))

    def _open_again(self) -> None:
        """Open the device until it is there, or this is closed; its channels stay what they were."""
        _log.warning("microphone: %s gives nothing for %g s; opening it again", self.device, SILENT_S)
        backoff = Backoff(DEVICE_BACKOFF_S)
        begun_s = time.perf_counter()
        while True:
            self._release()
            if self._closing.wait(backoff.next_s()):
                return
            try:
                self._library._terminate()  # PortAudio looks for devices when it begins, and never again
                self._library._initialize()
                self._open()
                self._put(self._blocks.get(SILENT_S))
            except (SourceError, Empty, self._library.PortAudioError) as error:
                _log.debug("microphone: %s", error)
                continue
            _log.warning("microphone: %s is back after %.1f s", self.device, time.perf_counter() - begun_s)
            return

    def _release(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close(ignore_errors=True)


def _library(what: str) -> Any:
    """Return sounddevice.

    Raises:
        MicrophoneError: it, or PortAudio, is missing; `what` cannot be done then.
    """
    try:
        import sounddevice
    except ImportError:
        hint = install_hint("microphone")
        raise MicrophoneError(f"{what}: it needs sounddevice; type: {hint}") from None
    except OSError:
        how = "type: sudo apt-get install libportaudio2" if sys.platform.startswith("linux") else "install it"
        raise MicrophoneError(f"{what}: PortAudio is missing; {how}") from None
    return sounddevice


def _inputs(library: Any) -> list[dict[str, Any]]:
    devices = enumerate(library.query_devices())
    return [{**device, "index": index} for index, device in devices if device["max_input_channels"] > 0]


def _chosen(inputs: list[dict[str, Any]], name: str, library: Any) -> dict[str, Any]:
    """Return the device of a name: the same, else the only one, or the first of one name, that holds it.

    Raises:
        SourceError: there is none, or several.
    """
    names = list(dict.fromkeys(str(device["name"]) for device in inputs))  # once for each driver
    if not inputs:
        raise SourceError(f"cannot use --microphone {name}: no microphone is connected")
    if name == DEFAULT:
        chosen = library.default.device[0]
        return next((device for device in inputs if device["index"] == chosen), inputs[0])
    found = [known for known in names if known == name]
    found = found or [known for known in names if name.lower() in known.lower()]
    if len(found) == 1:
        return next(device for device in inputs if device["name"] == found[0])
    several = "several have that in their names" if found else "there is none of that name"
    hint = "" if found else nearest(name, names)
    listed = ", ".join(repr(known) for known in found or names)
    raise SourceError(f"cannot use --microphone {name}: {several}{hint}; found: {listed}, or {DEFAULT}")


def _in_words(error: BaseException) -> str:
    return " ".join(str(error).split())
