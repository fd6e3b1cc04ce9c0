"""Peers of live sources: servers that stall, hang up and come back."""

from __future__ import annotations

import io
import os
import re
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import av
import numpy as np

from rt.frame import Rgb

FRAME_S = 0.01
"""The pace of every peer: a hundred frames a second."""
SIZE = (48, 64)


def flat(level: int, size: tuple[int, int] = SIZE) -> Rgb:
    """Return uint8[*size, 3] of one gray."""
    return np.full((*size, 3), level, np.uint8)


def y4m_header(size: tuple[int, int] = SIZE) -> bytes:
    return f"YUV4MPEG2 W{size[1]} H{size[0]} F100:1 Ip C420jpeg\n".encode()


def y4m_frame(level: int, size: tuple[int, int] = SIZE) -> bytes:
    """Return a gray frame as it stands in a y4m stream."""
    luma = round(16 + level * 219 / 255)
    return b"FRAME\n" + bytes([luma]) * (size[0] * size[1]) + bytes([128]) * (size[0] * size[1] // 2)


class Peer:
    """A server on this machine that sends frames of one gray, `level`, as long as somebody listens."""

    scheme: ClassVar[str] = "tcp"

    def __init__(self) -> None:
        self.level = 100
        self.size = SIZE
        self.stalled = False
        """While true, connections stay open and nothing is sent."""
        self.connections = 0
        self.port = 0
        self._live: list[socket.socket] = []
        self._server: socket.socket | None = None
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self.start()

    @property
    def address(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._stopping.clear()
        self._server = socket.create_server(("127.0.0.1", self.port))
        self.port = self._server.getsockname()[1]
        self._run(self._accept, self._server)

    def hang_up(self) -> None:
        """End every connection; new ones are taken."""
        for connection in self._live:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._live.clear()

    def stop(self) -> None:
        """Die: every connection ends, the next ones are refused."""
        self._stopping.set()
        if self._server is not None:
            with suppress(OSError):
                self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, target: Callable[[socket.socket], None], argument: socket.socket) -> None:
        thread = threading.Thread(target=target, args=(argument,), name="peer", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                connection.settimeout(5)
                self.connections += 1
                self._live.append(connection)
                self._run(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(self.greeting(connection))
            while not self._stopping.wait(FRAME_S):
                if not self.stalled:
                    connection.sendall(self.image())

    def greeting(self, connection: socket.socket) -> bytes:
        """Talk as the protocol wants; return what stands before the first frame."""
        return y4m_header(self.size)

    def image(self) -> bytes:
        return y4m_frame(self.level, self.size)


class PipeWriter:
    """A program that writes frames of one gray, `level`, into a FIFO, one writer after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.level = 100
        self.stalled = False
        """While true, the pipe stays open and nothing is written."""
        self.writers = 0
        self._ending = threading.Event()
        self._stopping = threading.Event()
        os.mkfifo(path)
        self._thread = threading.Thread(target=self._write, name="writer", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Let the writer end; the next one comes at once."""
        self._ending.set()

    def __enter__(self) -> PipeWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with suppress(OSError):  # it may wait for a reader
            os.close(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK))
        self._thread.join()

    def _write(self) -> None:
        while not self._stopping.is_set():
            with suppress(BrokenPipeError), self.path.open("wb", buffering=0) as pipe:
                self.writers += 1
                self._ending.clear()
                pipe.write(y4m_header())
                while not (self._stopping.wait(FRAME_S) or self._ending.is_set()):
                    if not self.stalled:
                        pipe.write(y4m_frame(self.level))


class HttpPeer(Peer):
    """A web camera: JPEG frames in parts of one endless answer."""

    scheme = "http"

    def greeting(self, connection: socket.socket) -> bytes:
        _read_request(connection)
        kind = b"multipart/x-mixed-replace; boundary=--frame"
        return b"HTTP/1.0 200 OK\r\nContent-Type: " + kind + b"\r\n\r\n"

    def image(self) -> bytes:
        content = _jpeg(self.level, self.size)
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
        return head.encode() + content + b"\r\n"


class RecordingPeer(Peer):
    """A web server that hands out one file, and what lies beside it by name."""

    scheme = "http"

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__()

    def greeting(self, connection: socket.socket) -> bytes:
        asked = self._path.parent / Path(_read_request(connection).split()[1]).name
        content = (asked if asked.is_file() else self._path).read_bytes()
        head = f"HTTP/1.0 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: {len(content)}\r\n\r\n"
        return head.encode() + content

    def image(self) -> bytes:
        return b""


class RtspPeer(Peer):
    """An RTSP camera: H.264 in RTP, within the connection that was made for RTSP."""

    scheme = "rtsp"
    _SDP = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1\r\n"
        "a=framerate:100\r\na=control:track1\r\n"
    )

    def greeting(self, connection: socket.socket) -> bytes:
        while True:
            request = _read_request(connection)
            sequence = re.search(r"CSeq: *(\d+)", request, re.I)
            answer = f"RTSP/1.0 200 OK\r\nCSeq: {sequence[1] if sequence else 0}\r\n"
            if request.startswith("DESCRIBE"):
                head = f"Content-Type: application/sdp\r\nContent-Length: {len(self._SDP)}\r\n\r\n"
                answer += head + self._SDP
            elif request.startswith("SETUP"):
                answer += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 7\r\n\r\n"
            else:
                answer += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\nSession: 7\r\n\r\n"
            connection.sendall(answer.encode())
            if request.startswith("PLAY"):
                self._sequence = 0
                return b""

    def image(self) -> bytes:
        units = [
            unit.rstrip(b"\0") for unit in _h264(self.level, self.size).split(b"\0\0\1") if unit.strip(b"\0")
        ]
        packets = b""
        for unit in units:
            marker = 0x80 if unit is units[-1] else 0
            clock = int(90000 * FRAME_S) * self._sequence & 0xFFFFFFFF
            rtp = struct.pack(">BBHII", 0x80, marker | 96, self._sequence & 0xFFFF, clock, 1) + unit
            packets += b"$\0" + struct.pack(">H", len(rtp)) + rtp
            self._sequence += 1
        return packets


def _read_request(connection: socket.socket) -> str:
    request = b""
    while b"\r\n\r\n" not in request:
        received = connection.recv(4096)
        if not received:
            raise ConnectionError("the caller left")
        request += received
    return request.decode(errors="replace")


def _jpeg(level: int, size: tuple[int, int]) -> bytes:
    return _encode("mjpeg", "yuvj420p", level, size, {})


def _h264(level: int, size: tuple[int, int]) -> bytes:
    """Return one frame that stands for itself, with its parameter sets."""
    return _encode("libx264", "yuv420p", level, size, {"preset": "ultrafast", "tune": "zerolatency"})


def _encode(codec: str, pixels: str, level: int, size: tuple[int, int], options: dict[str, str]) -> bytes:
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.height, encoder.width = size
    encoder.pix_fmt, encoder.time_base, encoder.options = pixels, Fraction(1, 100), options
    image = av.VideoFrame.from_ndarray(flat(level, size), "rgb24").reformat(format=pixels)
    image.pts = 0
    content = io.BytesIO()
    for packet in [*encoder.encode(image), *encoder.encode(None)]:
        content.write(bytes(packet))
    return content.getvalue()
