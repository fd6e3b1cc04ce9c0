"""Servers that take a pushed stream: real sockets on this machine."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import av

LIMIT_S = 60
GOODBYE = b"goodbye"


@dataclass
class TcpServer:
    """Takes connections one after the other, each as `behaviours` says; the last one is repeated.

    read: take everything until the other end closes. once: take a little, then hang up. hold: take a
    little, then nothing until `go_on` is set.
    """

    behaviours: list[str]
    port: int = 0
    received: list[bytearray] = field(default_factory=list)
    """What each connection sent."""
    taken: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released when the first bytes of a connection came."""
    go_on: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket.socket) -> None:
        """Serve until a connection says goodbye; those before it are taken to their ends."""
        going_on = True
        while going_on:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(LIMIT_S)
                data = bytearray()
                with contextlib.suppress(OSError):
                    data += connection.recv(4096)
                    going_on = data != GOODBYE
                    self._take(connection, data)

    def _take(self, connection: socket.socket, data: bytearray) -> None:
        if data in (b"", GOODBYE):
            return
        behaviour = self.behaviours[min(len(self.received), len(self.behaviours) - 1)]
        self.received.append(data)
        self.taken.release()
        if behaviour == "once":
            return
        if behaviour == "hold":
            assert self.go_on.wait(LIMIT_S)
        while block := connection.recv(65536):
            data += block


@contextlib.contextmanager
def tcp_server(*behaviours: str) -> Iterator[TcpServer]:
    """Run a `TcpServer` in a thread until the end of the block."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        server = TcpServer(list(behaviours), listener.getsockname()[1])
        thread = threading.Thread(target=server.serve, args=(listener,), name="server")
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            with socket.create_connection(("127.0.0.1", server.port), LIMIT_S) as last:
                last.sendall(GOODBYE)
            thread.join(LIMIT_S)


@contextlib.contextmanager
def deaf_server() -> Iterator[int]:
    """Yield the port of a server that takes connections and never reads or answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        yield listener.getsockname()[1]


def closed_port() -> int:
    """Return a port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def frames_in(data: bytes | bytearray) -> list[tuple[int, int]]:
    """Return (height, width) of every frame in a transport stream."""
    with av.open(io.BytesIO(bytes(data)), "r", format="mpegts") as container:
        return [(image.height, image.width) for image in container.decode(video=0)]


@dataclass
class RtspServer:
    """Takes one recorded RTSP session with interleaved RTP, as a media server would."""

    listener: socket.socket
    methods: list[str] = field(default_factory=list)
    description: str = ""
    packets: int = 0

    def serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rwb") as stream:
            while lead := stream.read(1):
                if lead == b"$":  # RTP: channel, length, packet
                    head = stream.read(3)
                    stream.read(int.from_bytes(head[1:], "big"))
                    self.packets += head[0] == 0
                else:
                    stream.write(self._answer(lead + stream.readline(), stream))
                    stream.flush()
                    if self.methods[-1] == "TEARDOWN":
                        return

    def _answer(self, request: bytes, stream: io.BufferedRWPair) -> bytes:
        self.methods.append(request.split()[0].decode())
        headers = b""
        while (line := stream.readline()).strip():
            headers += line
        sequence = re.search(rb"CSeq: *(\d+)", headers)
        length = re.search(rb"Content-Length: *(\d+)", headers, re.IGNORECASE)
        if length:
            self.description = stream.read(int(length[1])).decode()
        lines = ["RTSP/1.0 200 OK", f"CSeq: {sequence[1].decode() if sequence else 0}", "Session: 1"]
        if self.methods[-1] == "OPTIONS":
            lines.append("Public: OPTIONS, ANNOUNCE, SETUP, RECORD, TEARDOWN")
        if self.methods[-1] == "SETUP":
            lines.append("Transport: RTP/AVP/TCP;unicast;interleaved=0-1;mode=record")
        return "\r\n".join([*lines, "", ""]).encode()
