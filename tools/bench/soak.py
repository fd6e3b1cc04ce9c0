"""Does the studio stay flat: `python -m tools.bench.soak`.

Ten pages send an hour of frames each to a studio in a process of its own, as fast as it answers. Every few
hundred frames a page leaves: with a farewell, without one, or in the middle of a message; another one comes.
Looks at resident memory, threads and open files of the server on the way. Linux only. Prints a table, then
one JSON object as the last line; `--save` also writes it to tools/bench/results.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rt.web.jpeg import encode_jpeg
from rt.web.protocol import HEADER
from tools.bench.result import ROOT, facts, finish, parser, table

LOOKS = 10
FRAMES = 108_000
"""An hour at 30 frames a second."""
WAIT_S = 60.0


def main() -> int:
    """Measure, print, and save where asked."""
    arguments = parser(__doc__)
    arguments.add_argument("--visitors", type=int, default=10)
    arguments.add_argument("--frames", type=int, default=FRAMES, help="frames of each visitor")
    arguments.add_argument("--stay", type=int, default=500, help="frames after which a page leaves")
    arguments.add_argument("--side", type=int, default=64, help="height and width of the frames")
    arguments.add_argument("--style", default="winter")
    arguments.add_argument("--backend", default="auto")
    typed = arguments.parse_args()
    chosen = ("--style", typed.style, "--backend", typed.backend, "--visitors", str(typed.visitors))
    with serving(*chosen) as server:
        looks = soak(server, typed.visitors, typed.frames, typed.stay, typed.side)
    first, last = looks[1], looks[-2]  # at the last look pages are leaving for good
    result = {
        **facts("soak"),
        **{"style": typed.style, "backend": typed.backend, "side": typed.side, "stay": typed.stay},
        **{"visitors": typed.visitors, "frames_each": typed.frames, "looks": looks},
        "grown": {key: round(last[key] - first[key], 1) for key in ("rss_mib", "threads", "open_files")},
    }
    keys = ("frames", "s", "pages", "rss_mib", "threads", "open_files")
    title = f"{typed.visitors} visitors, {typed.frames} frames each"
    finish(result, table(title, keys, [[look[key] for key in keys] for look in looks]), typed.save)
    return 0


@dataclass(frozen=True)
class Server:
    """A studio in a process of its own."""

    pid: int
    port: int
    cookie: str

    def look(self) -> dict[str, Any]:
        """Return what it holds now."""
        folder = Path(f"/proc/{self.pid}")
        pages = int((folder / "statm").read_text().split()[1])
        return {
            "rss_mib": round(pages * resource.getpagesize() / 2**20, 1),
            "threads": len(os.listdir(folder / "task")),  # noqa: PTH208  a count of names
            "open_files": len(os.listdir(folder / "fd")),  # noqa: PTH208
        }


@contextmanager
def serving(*options: str) -> Iterator[Server]:
    """Run a studio until the end of the block."""
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "rt", "studio", "--port", "0", *options]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "XDG_STATE_HOME": state}
        )
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            with urllib.request.urlopen(address, timeout=WAIT_S) as answer:
                cookie = answer.headers["Set-Cookie"].split(";")[0]
            port = urllib.parse.urlsplit(address).port
            assert port is not None
            yield Server(process.pid, port, cookie)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(WAIT_S)


class Page:
    """A page over a bare socket: sends a frame, waits for its answer."""

    def __init__(self, server: Server) -> None:
        host = f"127.0.0.1:{server.port}"
        lines = (
            *("GET /ws HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", f"Cookie: {server.cookie}"),
            *("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"),
            *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""),
        )
        self.socket = socket.create_connection(("127.0.0.1", server.port), WAIT_S)
        self.socket.sendall("\r\n".join(lines).encode())
        self._stream = self.socket.makefile("rb")
        while line := self._stream.readline().strip():
            if line.startswith(b"HTTP/") and b" 101 " not in line:
                raise RuntimeError(f"the handshake was answered {line!r}")

    def round(self, jpeg: bytes, sequence: int) -> None:
        """Send a frame and wait for its answer; texts in between are read and left."""
        message = HEADER.pack(sequence, 0, 0.0) + jpeg
        self.socket.sendall(_head(len(message)) + message)
        while True:
            kind, content = self.receive()
            if kind == 8:
                raise RuntimeError(f"the server closed: {content!r}")
            if kind == 2:
                if HEADER.unpack_from(content)[0] != sequence:
                    raise RuntimeError(f"frame {sequence} was answered by another")
                return

    def leave(self, how: int) -> None:
        """Leave with a farewell, by a reset, or by a reset in the middle of a message."""
        if how % 3 == 0:
            self.socket.sendall(b"\x88\x80\0\0\0\0")
        else:
            if how % 3 == 2:
                self.socket.sendall(_head(5000) + bytes(100))
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._stream.close()
        self.socket.close()

    def receive(self) -> tuple[int, bytes]:
        """Wait for a message: its kind (1 text, 2 binary, 8 farewell) and its content."""
        first, length = self._stream.read(2)
        if length == 126:
            (length,) = struct.unpack(">H", self._stream.read(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self._stream.read(8))
        return first & 15, self._stream.read(length)


def _head(length: int) -> bytes:
    """Return the head of a binary message, masked with zeros."""
    return b"\x82" + (struct.pack(">BH", 254, length) if length > 125 else bytes([128 | length])) + bytes(4)


def soak(server: Server, visitors: int, frames: int, stay: int, side: int) -> list[dict[str, Any]]:
    """Let pages come, send and leave; return what the server held at each tenth."""
    jpeg = encode_jpeg(np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8))
    counts, pages = [0] * visitors, [0] * visitors
    faults: list[BaseException] = []

    def visit(number: int) -> None:
        try:
            while counts[number] < frames and not faults:
                page = _enter(server)
                pages[number] += 1
                for _ in range(min(stay, frames - counts[number])):
                    counts[number] += 1
                    page.round(jpeg, counts[number])
                page.leave(number + pages[number])
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(visitors)]
    began_s = time.perf_counter()
    looks: list[dict[str, Any]] = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.1)
        if sum(counts) >= (len(looks) + 1) * visitors * frames // LOOKS:
            spent_s = round(time.perf_counter() - began_s, 1)
            looks.append({"frames": sum(counts), "s": spent_s, "pages": sum(pages), **server.look()})
    if faults:
        raise faults[0]
    return looks


def _enter(server: Server) -> Page:
    """Come in; where the places of those who just left are not free yet, come again."""
    until_s = time.monotonic() + WAIT_S
    while True:
        page = Page(server)
        kind, content = page.receive()
        if kind == 1:
            return page
        if not re.search(rb"as many as this studio takes", content) or time.monotonic() > until_s:
            raise RuntimeError(f"the server closed: {content!r}")
        page.leave(0)
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main())
