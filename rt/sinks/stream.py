"""Frames to a server, as they come: RTMP, RTSP, TCP, UDP."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rt.audio import AudioReader, LiveAudio
from rt.errors import SinkError
from rt.frame import Frame, SourceInfo
from rt.pacing import SERVER_BACKOFF_S, Backoff
from rt.sinks.base import DEFAULTS, SinkOptions, closed, rate_of, redacted, size_of
from rt.sinks.encoder import CODECS, choose_encoder
from rt.sinks.stream_child import AUDIO, FRAME, HEAD, Task
from rt.sinks.track import LIVE_UNIT

_log = logging.getLogger(__name__)

FORMATS: Mapping[str, tuple[str, dict[str, str], tuple[str, ...]]] = {
    "rtmp": ("flv", {"flvflags": "no_duration_filesize"}, ("h264",)),
    "rtmps": ("flv", {"flvflags": "no_duration_filesize"}, ("h264",)),
    "rtsp": ("rtsp", {"rtsp_transport": "tcp"}, ("h264", "hevc")),
    "tcp": ("mpegts", {}, ("h264", "hevc")),
    "udp": ("mpegts", {}, ("h264", "hevc")),
}
"""Scheme → FFmpeg's muxer, its options, the codecs that receivers take."""
LIMIT_S = 5.0
"""A server that takes nothing for so long counts as gone."""
_PROGRAM = """
import sys
sys.path[:] = [sys.argv[1], *(folder for folder in sys.path if folder)]  # not the current folder
from rt.sinks.stream_child import main
main()
"""


class StreamSink:
    """Sends frames to a server; where that goes away it is tried again while frames go on being dropped.

    The constructor fails where the server cannot be reached; later only closing ends the attempts. A frame
    of another size begins the stream anew. The last row and column of an odd size are left out: receivers
    want even ones.

    Args:
        address: of the server; it is never said whole, because its path or name may be a secret.
        like: the source of the frames.
        options: how video is coded.
        size: (height, width) of the frames where it is not that of `like`.
        frame_rate: mean frames per second where it is not that of `like`.
        limit_s: how long the server may take for one step.
        audio: what is heard with the frames; None for none.

    Raises:
        SinkError: the server cannot be reached, or the codec cannot be sent this way.
    """

    def __init__(
        self,
        address: str,
        like: SourceInfo | None = None,
        options: SinkOptions = DEFAULTS,
        *,
        size: tuple[int, int] | None = None,
        frame_rate: Fraction | None = None,
        limit_s: float = LIMIT_S,
        audio: LiveAudio | None = None,
    ) -> None:
        self._audio = None if audio is None else AudioReader(audio)
        self._address = address
        self._name = redacted(address)
        self._options = options
        self._limit_s = limit_s
        self._rate, self._size = rate_of(like, frame_rate), _even(size_of(like, size))
        scheme = address.partition("://")[0].lower()
        self._format, self._muxer_options, codecs = FORMATS[scheme]
        if options.codec not in codecs:
            known = " or ".join(CODECS[codec] for codec in codecs)
            raise SinkError(
                f"cannot write {self._name}: {scheme} receivers take {known}; type --codec {codecs[0]}"
            )
        self._encoder = choose_encoder(options, self._size, self._rate, live=True)
        self._lock = threading.Lock()
        self._ended = False
        self._said = ""
        self._without_captions = False  # whether that was said
        self._child: _Child | None = None
        self._first: Fraction | None = None
        self._backoff = Backoff(SERVER_BACKOFF_S)
        self._next_s = 0.0
        self._lost_s = 0.0
        try:
            self._connect()
        except _Gone as fault:
            self.abort()
            raise SinkError(f"cannot write {self._name}: {fault}") from None

    def write(self, frame: Frame) -> None:
        """Send one frame, or drop it where the server is away.

        Raises:
            SinkError: the sink is closed.
        """
        if self._ended:
            raise closed(self._name)
        size = _even((frame.rgb.shape[0], frame.rgb.shape[1]))
        if size != self._size:
            self._resize(size)
        if self._child is None and not self._reconnect():
            return
        if frame.captions is not None and not self._without_captions:
            self._without_captions = True
            _log.info("%s: the source's closed captions are left out: streams out have none", self._name)
        time_s = frame.pts * frame.time_base
        if self._first is None:
            self._first = time_s
            if self._audio is not None:
                self._audio.begin(time_s)
            self._say_encoder()
        try:
            if (child := self._child) is not None:
                image = np.ascontiguousarray(frame.rgb[: size[0], : size[1]])
                child.send_record(FRAME, round((time_s - self._first) / LIVE_UNIT), image)
                for samples in () if self._audio is None else self._audio.until(time_s):
                    child.send_record(AUDIO, 0, samples)
        except _Gone as fault:
            self._lose(str(fault))

    def close(self) -> None:
        """Send what the encoder holds and say goodbye; works twice."""
        self._ended = True
        if (child := self._let_go()) is not None:
            child.finish()

    def abort(self) -> None:
        """Drop the connection. Works twice, and from any thread: a blocked `write` wakes."""
        self._ended = True
        if (child := self._let_go()) is not None:
            child.kill()

    def __del__(self) -> None:
        if getattr(self, "_child", None) is not None:
            self.abort()

    def _say_encoder(self) -> None:
        """Say what codes the stream, where that is news."""
        if self._said != self._encoder.said:
            self._said = self._encoder.said
            _log.info("%s: %s", self._name, self._said)
            _log.debug("%s: %s", self._name, self._encoder.why)

    def _let_go(self) -> _Child | None:
        with self._lock:
            child, self._child = self._child, None
        return child

    def _connect(self) -> None:
        """Begin a stream of its own.

        Raises:
            _Gone: the server is not there.
        """
        height, width = self._size
        options = {**self._muxer_options, "flush_packets": "1"}
        rate, limit_s = str(self._rate), self._limit_s
        channels = 0 if self._audio is None else self._audio.channels
        with self._lock:
            if self._ended:
                raise _Gone("it is closed")
            self._child = child = _Child(
                Task(
                    self._address,
                    self._format,
                    options,
                    height,
                    width,
                    rate,
                    self._encoder,
                    channels,
                    limit_s,
                )
            )
        self._first = None
        child.open()

    def _resize(self, size: tuple[int, int]) -> None:
        if (child := self._let_go()) is not None:
            child.finish()
        self._encoder = choose_encoder(self._options, size, self._rate, live=True)
        self._size = size
        self._next_s = 0.0

    def _lose(self, fault: str) -> None:
        """Note that the server is gone; it is said once."""
        if (child := self._let_go()) is not None:
            child.kill()
        if self._ended:
            return
        now_s = time.monotonic()
        if self._backoff.attempts == 0:
            self._lost_s = now_s
            _log.warning("%s: %s; trying again", self._name, fault)
        self._next_s = now_s + self._backoff.next_s()

    def _reconnect(self) -> bool:
        """Try to reach the server where it is time to; return whether it is there."""
        if time.monotonic() < self._next_s:
            return False
        try:
            self._connect()
        except _Gone as fault:
            self._lose(str(fault))
            return False
        if self._backoff.attempts:
            _log.info("%s: back after %.0f s", self._name, time.monotonic() - self._lost_s)
        self._backoff.reset()
        return True


class _Gone(Exception):
    """The server, or the process that talks to it, is not there any more; says why."""


class _Child:
    """The process that talks to the server."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(Path(__file__).parents[2])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for us: the stream is to be ended in order
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._pipes = threading.RLock()  # a pipe is not closed while another thread uses it

    def open(self) -> None:
        """Wait until the server has taken the header; the process waits for it no longer than allowed."""
        self.send(self._task.line())
        with self._pipes:
            try:
                line = self._stdout.readline()
            except ValueError:
                line = b""
            if line != b"open\n":
                raise _Gone(self._fault(line))

    def send(self, data: bytes | memoryview) -> None:
        """Hand on some bytes; blocks no longer than the process waits for the server."""
        left = memoryview(data)
        with self._pipes:
            try:
                while left:
                    left = left[self._stdin.write(left) :]
            except (OSError, ValueError):
                raise _Gone(self._fault()) from None

    def send_record(self, kind: bytes, pts: int, content: npt.NDArray[Any]) -> None:
        """Hand on a frame or samples, C-contiguous."""
        self.send(HEAD.pack(kind, pts, content.nbytes))
        self.send(content.data.cast("B"))

    def finish(self) -> None:
        """Let it send the rest and end."""
        try:
            with self._pipes, contextlib.suppress(OSError):
                self._stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(2 * self._task.limit_s)
        finally:  # also where the wait is interrupted
            self.kill()

    def kill(self) -> None:
        """End it at once; works twice, and from any thread."""
        self._process.kill()
        self._process.wait()
        with self._pipes:
            self._stdin.close()
            self._stdout.close()

    def _fault(self, line: bytes = b"") -> str:
        """Return why the process ended."""
        try:
            said = (line or self._stdout.readline()).decode(errors="replace").strip()
            status = self._process.wait(self._task.limit_s)
        except (ValueError, subprocess.TimeoutExpired):
            return "it is closed"
        if said.startswith("fault "):
            return said.removeprefix("fault ")
        if status == 1:
            return f"the server takes nothing for {self._task.limit_s:g} s"
        return f"what sends the stream ended with status {status}"


def _even(size: tuple[int, int]) -> tuple[int, int]:
    return (size[0] & ~1, size[1] & ~1)
