"""A studio on a free port, and pages that talk to it."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import httpx
import numpy as np
from websockets.sync.client import ClientConnection, connect

from rt.backends import open_backend
from rt.commands import Studio
from rt.controls import Controls
from rt.fit import style_size
from rt.frame import Frame, Rgb
from rt.pipeline import Stop
from rt.styles import GALLERY, find_style
from rt.translator import Translator
from rt.web.jpeg import encode_jpeg
from rt.web.server import run_studio
from tests.support.onnx_styles import drawn_image

WAIT_S = 30
FRAME = drawn_image(48, 64)
SHIPPED = [folder.name for folder in GALLERY.iterdir() if folder.is_dir()]
STYLES = ["drawn", *sorted(["negative", *SHIPPED])]
"""What the studio of the tests lists: the style it starts with, then all others by name."""


@dataclass(frozen=True)
class Running:
    """A studio that runs."""

    port: int
    token: str
    cookie: str
    styles: Path = Path()
    """The folder of its styles, where the fixture says so."""

    @property
    def base(self) -> str:
        """Its address without the token."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def bearer(self) -> dict[str, str]:
        """What a program sends."""
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def running(**changes: Any) -> Iterator[Running]:
    """Run a studio in a thread until the end of the block; its errors are raised there."""
    told: list[str] = []
    ready = threading.Event()
    failed: list[BaseException] = []
    stop = Stop()

    def say(address: str) -> None:
        told.append(address)
        ready.set()

    def run() -> None:
        try:
            run_studio(Studio(**{"port": 0, "backend": "onnxruntime", **changes}), stop, say)
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(WAIT_S)
        if not failed:
            address = urlsplit(told[0])
            assert address.port is not None
            token = parse_qs(address.query)["token"][0]
            yield Running(address.port, token, _sign_in(address.port, token))
    finally:
        stop.request()
        thread.join(WAIT_S)
        assert not thread.is_alive()
    if failed:
        raise failed[0]


def _sign_in(port: int, token: str) -> str:
    """Return the cookie, asking again while the server is not there yet."""
    transport = httpx.HTTPTransport(retries=8)
    with httpx.Client(transport=transport) as client:
        answer = client.get(f"http://127.0.0.1:{port}/", params={"token": token})
    assert answer.status_code == 200
    return answer.headers["set-cookie"].split(";")[0]


class Page:
    """What a page does over its WebSocket."""

    def __init__(self, studio: Running) -> None:
        origin: Any = studio.base
        connecting = connect(
            f"ws://127.0.0.1:{studio.port}/ws",
            origin=origin,
            additional_headers={"Cookie": studio.cookie},
            max_size=None,
        )
        self.socket: ClientConnection = connecting.__enter__()
        self.texts: list[dict[str, Any]] = []
        self.sequence = 0

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def text(self, kind: str) -> dict[str, Any]:
        """Wait for a text of this kind; others are kept in `texts`."""
        until_s = time.monotonic() + WAIT_S  # the status comes each second, so no single wait is long
        while time.monotonic() < until_s:
            message = self.socket.recv(WAIT_S)
            if isinstance(message, str):
                found: dict[str, Any] = json.loads(message)
                self.texts.append(found)
                if found["type"] == kind:
                    return found
        raise AssertionError(f"no {kind} came; the last texts are {self.texts[-5:]}")

    def send(self, jpeg: bytes, captured_ms: float = 0.0) -> int:
        """Send a frame; return its number."""
        self.sequence += 1
        self.socket.send(struct.pack("<IId", self.sequence, 0, captured_ms) + jpeg)
        return self.sequence

    def image(self) -> tuple[int, bytes, bytes, float]:
        """Wait for an image: its number, the JPEG before (or nothing) and after, the time given back."""
        until_s = time.monotonic() + WAIT_S
        while time.monotonic() < until_s:
            message = self.socket.recv(WAIT_S)
            if isinstance(message, bytes):
                number, before, captured_ms = struct.unpack_from("<IId", message)
                return number, message[16 : 16 + before], message[16 + before :], captured_ms
            self.texts.append(json.loads(message))
        raise AssertionError(f"no image came; the last texts are {self.texts[-5:]}")

    def speak(self, message: bytes) -> None:
        """Send these very bytes, and wait for an image."""
        self.socket.send(message)
        self.image()

    def controls(self, **update: Any) -> None:
        """Turn knobs."""
        self.socket.send(json.dumps({"type": "controls", **update}))


def handshake(studio: Running, path: str = "/ws", **headers: str | None) -> int:
    """Ask for the WebSocket as a browser does, headers changed or (None) left out; return the status."""
    with socket.create_connection(("127.0.0.1", studio.port), WAIT_S) as connection:
        connection.sendall(handshake_lines(studio, path, **headers))
        return int(connection.recv(64).split()[1])


def handshake_lines(studio: Running, path: str = "/ws", **headers: str | None) -> bytes:
    """Return what a browser asks with, headers changed or (None) left out."""
    host = f"127.0.0.1:{studio.port}"
    sent = {"Host": host, "Origin": studio.base, "Cookie": studio.cookie, **headers}
    lines = [
        f"GET {path} HTTP/1.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *(f"{name}: {value}" for name, value in sent.items() if value is not None),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def jpeg(rgb: Rgb, quality: int = 95) -> bytes:
    """Return uint8[H, W, 3] RGB as JPEG, as a browser would."""
    done, content = cv2.imencode(".jpg", rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return content.tobytes()


def image(content: bytes) -> Rgb:
    """Decode an image to uint8[H, W, 3] RGB."""
    bgr = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert bgr is not None
    return np.ascontiguousarray(bgr[..., ::-1]).astype(np.uint8)


def open_sockets() -> int:
    """Open sockets of this process, which are the server's and the test's own."""
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += str(entry.readlink()).startswith("socket:")
    return found


def translated(style: str, rgb: Rgb, size_px: int | None = None, **knobs: float) -> Rgb:
    """Return what the runtime makes of an image, as it looks after a JPEG."""
    return image(encode_jpeg(exactly(style, rgb, size_px, **knobs)))


def exactly(style: str | Path, rgb: Rgb, size_px: int | None = None, **knobs: float) -> Rgb:
    """Return what the runtime makes of an image."""
    card = find_style(style).card
    size = style_size(card, rgb.shape[0], rgb.shape[1], size_px)
    backend = open_backend("onnxruntime", find_style(style), size).backend
    translator = Translator(backend, Controls(**knobs))  # type: ignore[arg-type]
    found = translator.translate(Frame(rgb, 0, Fraction(1, 25), 0)).rgb
    translator.close()
    return found
