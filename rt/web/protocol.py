"""WebSocket messages between page and server, their limits, close codes.

Binary messages are a 16-byte header, little endian, followed by JPEG:

    u32 sequence       number of the frame; the answer repeats it
    u32 before_bytes   length of the original frame's JPEG, which precedes the translated one; 0: not sent
    f64 captured_ms    the page's clock at capture; returned unchanged

The page sends a frame and waits for its answer: one frame is in flight. With the server's own source the page
sends the bare header to request the next frame. Text messages are JSON; see `read_text` and `Visitor`.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any

HEADER = struct.Struct("<IId")
MESSAGE_BYTES = 4 * 2**20
"""Largest message: a 1080p JPEG of the best quality is smaller."""
TEXT_BYTES = 4096
"""Largest text message."""
PIXELS = 1920 * 1088
"""Largest frame, in pixels."""
SIDE_PX = 1
"""Least height and width of a frame."""
LONGEST_PX = 65535
"""Most height and width of a frame: a network never works lower than about 16 px, however thin the frame."""
MESSAGES_PER_S = 120
"""Most messages per second from one page, averaged over two seconds."""
SIZES_PX = (96, 128, 160, 192, 224, 256, 320, 384, 512)
"""Network sizes (short side) that a page can choose from."""
WS_GOING_AWAY = 1001
"""Close code of RFC 6455: the server shuts down."""
WS_POLICY_VIOLATION = 1008
"""Close code of RFC 6455: the message breaks a rule; the reason says which."""
WS_STUDIO_FULL = 4003
"""Close code, private: the studio has as many visitors as it takes."""


class Refused(Exception):
    """A message or image that is not accepted. The text says what was found and what is needed."""


@dataclass(frozen=True)
class Header:
    """The fixed-size header of a binary message."""

    sequence: int
    before_bytes: int
    captured_ms: float

    def pack(self) -> bytes:
        """Return its 16 bytes."""
        return HEADER.pack(self.sequence, self.before_bytes, self.captured_ms)


def read_message(message: bytes) -> tuple[Header, bytes]:
    """Return the header and the JPEG of a binary message; the JPEG is empty in a request for the next frame.

    Raises:
        Refused: the message is too short, or its header is invalid.
    """
    if len(message) < HEADER.size:
        raise Refused(f"message of {len(message)} bytes: needed is a header of {HEADER.size} bytes")
    header = Header(*HEADER.unpack_from(message))
    if header.before_bytes or not math.isfinite(header.captured_ms):
        raise Refused("the header's second number is not 0, or its time is not a number")
    return header, message[HEADER.size :]


def translated_jpeg(answer: bytes) -> bytes:
    """Return the JPEG of the translated frame in a binary message to the page."""
    return answer[HEADER.size + Header(*HEADER.unpack_from(answer)).before_bytes :]


@dataclass(frozen=True)
class ControlsUpdate:
    """The controls that a page changes; None for those that stay."""

    style: str | None = None
    strength: float | None = None
    steady: float | None = None
    size: int | None = None
    size_given: bool = False
    """Whether `size` is part of the update: its None means the style's own size."""
    detail: str | None = None
    mix: float | None = None
    number: int | None = None
    """The page's number of the update, repeated in the answer: the page keeps what it changed after it."""


def read_text(text: str) -> ControlsUpdate:
    """Parse a text message: `{"type": "controls", ...}`.

    Raises:
        Refused: the text is too long or something else, or a value is out of range.
    """
    if len(text.encode()) > TEXT_BYTES:
        raise Refused(f"text of more than {TEXT_BYTES} bytes")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused("text is not JSON") from None
    if not isinstance(message, dict) or message.get("type") != "controls":
        raise Refused('text is not an object with "type": "controls"')
    return _controls_update(message)


_CONTROLS = {"type", "style", "strength", "steady", "mix", "size", "detail", "number"}


def _controls_update(message: dict[str, Any]) -> ControlsUpdate:
    if unknown := sorted(message.keys() - _CONTROLS):
        raise Refused(f"unknown control {unknown[0][:40]!r}")
    size = message.get("size")
    if size is not None and (type(size) is not int or size not in SIZES_PX):
        raise Refused(f"size is not one of {', '.join(map(str, SIZES_PX))}")
    if "style" in message and not isinstance(message["style"], str):
        raise Refused("style is not a name")
    if message.get("detail", "keep") not in ("keep", "network"):
        raise Refused("detail is not keep or network")
    number = message.get("number")
    if number is not None and (type(number) is not int or not 0 <= number < 2**53):
        raise Refused("number is not within 0..2^53-1")
    steady = 0.0 if message.get("steady", 1) is None else _fraction(message, "steady")
    return ControlsUpdate(
        style=message.get("style"),
        strength=_fraction(message, "strength"),
        steady=steady,
        size=size,
        size_given="size" in message,
        detail=message.get("detail"),
        mix=_fraction(message, "mix"),
        number=number,
    )


def _fraction(message: dict[str, Any], name: str) -> float | None:
    if name not in message:
        return None
    value = message[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Refused(f"{name} is not within 0..1")
    return float(value)
