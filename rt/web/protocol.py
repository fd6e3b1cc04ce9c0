"""What page and server say to each other over the WebSocket, and how much of it.

Binary messages are a header of 16 bytes, little endian, and JPEG:

    u32 sequence       number of the frame; an answer has the number of what it answers
    u32 before_bytes   length of the JPEG of the picture before, in front of the one after; 0: there is none
    f64 captured_ms    the page's clock when it took the frame; given back as it came

The page sends a frame and waits for its answer: one is in flight. With the server's own camera the page sends
the bare header to ask for the next picture. Text messages are JSON; see `read_text` and `Visitor`.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from typing import Any

HEADER = struct.Struct("<IId")
MESSAGE_BYTES = 4 * 2**20
"""Most bytes of one message: a JPEG of 1080p at the best quality has less."""
TEXT_BYTES = 4096
"""Most bytes of a text message."""
PIXELS = 1920 * 1088
"""Most pixels of a frame."""
SIDE_PX = 16
"""Least height and width of a frame."""
MESSAGES_PER_S = 120
"""Most messages a second of one visitor, over two seconds."""
SIZES_PX = (96, 128, 160, 192, 224, 256, 320, 384, 512)
"""Short sides of the network's picture that a page can ask for."""
GOES = 1001
"""Close code of RFC 6455: the server ends."""
FULL = 4003
"""Close code: as many visitors as the server takes are there."""
BROKE_RULES = 1008
"""Close code of RFC 6455: the message is against the rules; the reason says which."""


class Refused(Exception):
    """A message that is not taken. The message says what was found and what is needed."""


@dataclass(frozen=True)
class Header:
    """The numbers in front of a picture."""

    sequence: int
    before_bytes: int
    captured_ms: float

    def pack(self) -> bytes:
        """Return the 16 bytes."""
        return HEADER.pack(self.sequence, self.before_bytes, self.captured_ms)


def read_message(message: bytes) -> tuple[Header, bytes]:
    """Return the header and the JPEG of a binary message; the JPEG is empty where only the next is asked for.

    Raises:
        Refused: the message is too short, or its header does not fit.
    """
    if len(message) < HEADER.size:
        raise Refused(f"message of {len(message)} bytes: needed is a header of {HEADER.size} bytes")
    header = Header(*HEADER.unpack_from(message))
    if header.before_bytes or not math.isfinite(header.captured_ms):
        raise Refused("the header's second number is not 0, or its time is no number")
    return header, message[HEADER.size :]


@dataclass(frozen=True)
class Wish:
    """What a visitor asks for; None where nothing is said about it."""

    style: str | None = None
    strength: float | None = None
    steady: float | None = None
    size: int | None = None
    size_given: bool = False
    """Whether `size` is meant: its None is the style's own size."""
    detail: str | None = None


def read_text(text: str) -> Wish:
    """Return what a text message asks for: `{"type": "controls", ...}`.

    Raises:
        Refused: the text is too long or something else, or a value is out of its range.
    """
    if len(text.encode()) > TEXT_BYTES:
        raise Refused(f"text of more than {TEXT_BYTES} bytes")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused("text that is no JSON") from None
    if not isinstance(said, dict) or said.get("type") != "controls":
        raise Refused('text that is no object with "type": "controls"')
    return _wish(said)


def _wish(asked: dict[str, Any]) -> Wish:
    if unknown := sorted(asked.keys() - {"type", "style", "strength", "steady", "size", "detail"}):
        raise Refused(f"unknown control {unknown[0][:40]!r}")
    size = asked.get("size")
    if size is not None and (type(size) is not int or size not in SIZES_PX):
        raise Refused(f"size is not one of {', '.join(map(str, SIZES_PX))}")
    if "style" in asked and not isinstance(asked["style"], str):
        raise Refused("style is no name")
    if asked.get("detail", "keep") not in ("keep", "network"):
        raise Refused("detail is not keep or network")
    steady = 0.0 if asked.get("steady", 1) is None else _share(asked, "steady")
    return Wish(
        asked.get("style"), _share(asked, "strength"), steady, size, "size" in asked, asked.get("detail")
    )


def _share(asked: dict[str, Any], name: str) -> float | None:
    if name not in asked:
        return None
    value = asked[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Refused(f"{name} is not within 0..1")
    return float(value)
