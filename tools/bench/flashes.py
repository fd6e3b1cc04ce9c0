"""A flash and a beep a second, sent and found again."""

from __future__ import annotations

import io
import random
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
import numpy.typing as npt

FPS = 25
RATE = 48000
SIZE = (96, 128)
"""(height, width) of the frames."""
FLASH_FRAMES = 8
"""A flash grows darker frame by frame, so that each frame of it tells when it began."""
BRIGHT, STEP, DARK = 250, 16, 40
BEEP_S = 0.1
TONE_HZ = 1000
NEAR_S = 0.15
"""A beep further off is that of another flash."""
_PER_FRAME = RATE // FPS


def flash(index: int) -> npt.NDArray[np.uint8]:
    """Return frame `index`, uint8[H, W, 3] of one gray."""
    age = index % FPS
    return np.full((*SIZE, 3), BRIGHT - STEP * age if age < FLASH_FRAMES else DARK, np.uint8)


def beep(index: int) -> npt.NDArray[np.float32]:
    """Return what is heard during frame `index`, float32[1, N]."""
    at = np.arange(index * _PER_FRAME, (index + 1) * _PER_FRAME)
    loud = at % RATE < BEEP_S * RATE
    return (0.5 * loud * np.sin(2 * np.pi * TONE_HZ * at / RATE)).astype(np.float32)[np.newaxis]


class FlashServer:
    """Serves the stream over TCP to one caller after the other, each from its beginning.

    Args:
        container: FFmpeg's name of what is sent: `mpegts`, `flv`, `matroska`.
        begins_s: the time stamp that each connection begins with; the last one is repeated.
        jitter_s: each frame is sent so much too late, at most.
        drift: how much faster the sender's clock runs than this machine's: 1e-4 is 100 ppm.
    """

    def __init__(
        self,
        container: str = "mpegts",
        begins_s: tuple[float, ...] = (0.0,),
        jitter_s: float = 0.0,
        drift: float = 0.0,
    ) -> None:
        self._container = container
        self._begins_s = begins_s
        self._jitter_s = jitter_s
        self._drift = drift
        self._random = random.Random(7)
        self._stopping = threading.Event()
        self._hanging_up = threading.Event()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, name="flashes", daemon=True)
        self._thread.start()

    def hang_up(self) -> None:
        """End the connection; the next caller is served."""
        self._hanging_up.set()

    def close(self) -> None:
        """End everything."""
        self._stopping.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def __enter__(self) -> FlashServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            begin_s = self._begins_s[min(self.connections, len(self._begins_s) - 1)]
            self.connections += 1
            self._hanging_up.clear()
            with connection, suppress(OSError, av.error.FFmpegError):
                self._send(connection, begin_s)

    def _send(self, connection: socket.socket, begin_s: float) -> None:
        def ended() -> bool:
            return self._stopping.is_set() or self._hanging_up.is_set()

        begun_s = time.perf_counter()

        def paced(index: int) -> bool:
            late_s = self._random.uniform(0, self._jitter_s)
            due_s = begun_s + index / FPS / (1 + self._drift) + late_s
            return not ended() and not self._stopping.wait(max(0.0, due_s - time.perf_counter()))

        write_stream(_Writer(connection), self._container, begin_s, paced)


class _Writer:
    """A socket as PyAV wants a file."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, content: bytes) -> int:
        self._connection.sendall(content)
        return len(content)


def write_stream(file: Any, container: str, begin_s: float, paced: Callable[[int], bool]) -> None:
    """Write the stream for as long as `paced`, asked before each frame, says so."""
    options = {"flush_packets": "1"}
    if container == "mpegts":
        options["muxdelay"] = options["muxpreload"] = "0"
    with av.open(cast(BinaryIO, file), "w", format=container, container_options=options) as out:
        coder = {"preset": "ultrafast", "tune": "zerolatency", "g": str(FPS // 2), "crf": "18"}
        video: Any = out.add_stream("libx264", rate=FPS, options=coder)
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 90000)
        audio: Any = out.add_stream("aac", rate=RATE)
        audio.layout = "mono"
        out.start_encoding()
        index = 0
        while paced(index):
            image = av.VideoFrame.from_ndarray(flash(index), "rgb24")
            image.pts, image.time_base = round((begin_s + index / FPS) * 90000), Fraction(1, 90000)
            tone = av.AudioFrame.from_ndarray(beep(index), "fltp", "mono")
            tone.sample_rate, tone.time_base = RATE, Fraction(1, RATE)
            tone.pts = round(begin_s * RATE) + index * _PER_FRAME
            for packet in [*video.encode(image), *audio.encode(tone)]:
                out.mux_one(packet)
            index += 1


@dataclass(frozen=True)
class Found:
    """What was found in a result."""

    offsets_ms: list[float]
    """How much later than its flash each beep is, once for each frame of a flash."""
    flashes: int
    beeps: int
    unmatched: int
    """Frames of flashes without a whole beep near them: it was cut with its connection, or is far off."""
    frames: int
    seconds: float

    def share(self, share: float) -> float:
        """Return the absolute offset that this share of all does not exceed."""
        ordered = sorted(abs(offset) for offset in self.offsets_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def find(result: Path | bytes) -> Found:
    """Find flashes and beeps in a file, or in the content of one; both by their time stamps."""
    begun_s: list[float] = []
    frames, last_s = 0, 0.0
    opened: Any = io.BytesIO(result) if isinstance(result, bytes) else str(result)
    with av.open(opened, "r") as file:
        rows: list[tuple[float, npt.NDArray[np.float32]]] = []
        for decoded in file.decode(file.streams.video[0], file.streams.audio[0]):
            if isinstance(decoded, av.VideoFrame):
                assert decoded.time is not None
                level = float(decoded.to_ndarray(format="gray").mean())
                age = round((BRIGHT - level) / STEP)
                if 0 <= age < FLASH_FRAMES:
                    begun_s.append(decoded.time - age / FPS)
                frames, last_s = frames + 1, decoded.time
            elif isinstance(decoded, av.AudioFrame):
                assert decoded.time is not None
                rows.append((decoded.time, _mono(decoded)))
                rate = decoded.sample_rate
    beeps_s = beeps(rows, rate)
    offsets_ms, unmatched = [], 0
    for flash_s in begun_s:
        near = beeps_s[np.abs(beeps_s - flash_s).argmin()] if len(beeps_s) else np.inf
        if abs(near - flash_s) < NEAR_S:
            offsets_ms.append(float(1000 * (near - flash_s)))
        else:
            unmatched += 1
    flashes = len({round(flash_s * 2) for flash_s in begun_s})
    return Found(offsets_ms, flashes, len(beeps_s), unmatched, frames, last_s)


def _mono(frame: av.AudioFrame) -> npt.NDArray[np.float32]:
    content: Any = frame.to_ndarray()
    full = float(np.iinfo(content.dtype).max) if content.dtype.kind == "i" else 1.0
    if not frame.format.is_planar:
        content = content.reshape(-1, frame.layout.nb_channels).T  # [1, N·C] → [C, N]
    return np.asarray(content.mean(axis=0) / full, np.float32)


def beeps(rows: list[tuple[float, npt.NDArray[np.float32]]], rate: int) -> npt.NDArray[np.float64]:
    """Return when each whole beep began: its middle less half its length, for codecs blur both ends alike."""
    if not rows:
        return np.zeros(0)
    first_s = rows[0][0]
    length = max(round((at_s - first_s) * rate) + len(row) for at_s, row in rows)
    heard = np.zeros(length, np.float32)
    for at_s, row in rows:
        start = round((at_s - first_s) * rate)
        heard[max(0, start) : start + len(row)] = np.abs(row[max(0, -start) :])
    width = rate // 200
    smooth = np.convolve(heard, np.ones(width, np.float32) / width, "same")
    loud = np.flatnonzero(np.diff(np.pad((smooth > 0.16).astype(np.int8), 1)))
    rises, falls = loud[::2] / rate, loud[1::2] / rate
    whole = np.abs(falls - rises - BEEP_S) < 0.02
    begun: npt.NDArray[np.float64] = first_s + (rises + falls)[whole] / 2 - BEEP_S / 2
    return begun
