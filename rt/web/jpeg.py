"""Images to bytes and back; their size, before they are decoded."""

from __future__ import annotations

import struct

from rt.errors import SinkError, SourceError
from rt.frame import Rgb
from rt.image import decode_image, encode_image
from rt.web.protocol import LONGEST_PX, PIXELS, SIDE_PX, Refused

QUALITY = 85
_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""JPEG markers that begin a frame and state its size."""
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers without a length."""


def image_size(content: bytes) -> tuple[int, int]:
    """Return (height, width) of a JPEG, PNG or WebP as its header states it, without decoding it.

    Every byte is read as the decoder reads it: where the two differ, a small size could stand in front of a
    large image.

    Raises:
        Refused: it is neither, or its header is damaged.
    """
    try:
        if content.startswith(b"\xff\xd8"):
            return _jpeg_size(content)
        if content.startswith(_PNG) and content[12:16] == b"IHDR":
            width, height = struct.unpack_from(">II", content, 16)
            return height, width
        if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
            return _webp_size(content)
    except (IndexError, struct.error):
        raise Refused("a damaged image: its header ends early") from None
    raise Refused("no image: needed is a JPEG, PNG or WebP")


def _jpeg_size(content: bytes) -> tuple[int, int]:
    at = 2
    while True:
        if content[at] != 0xFF:
            raise Refused("a damaged JPEG: a marker is missing in its header")
        marker = content[at + 1]
        if marker == 0x00:  # no marker: decoders go on behind it, at whatever comes
            raise Refused("a damaged JPEG: a marker is missing in its header")
        if marker == 0xFF:  # filling
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return height, width
        else:
            (length,) = struct.unpack_from(">H", content, at + 2)
            at += 2 + length


def _webp_size(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        (packed,) = struct.unpack_from("<I", content, 21)
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    else:
        raise Refused("a damaged WebP: its first part is of no known kind")
    return height, width


def check_size(height: int, width: int) -> None:
    """Refuse what frames may not be.

    Raises:
        Refused: it is larger or smaller.
    """
    if height * width > PIXELS:
        raise Refused(f"an image of {width}x{height}: at most {PIXELS} pixels are taken")
    if max(height, width) > LONGEST_PX:
        raise Refused(f"an image of {width}x{height}: at most {LONGEST_PX} pixels a side are taken")
    if min(height, width) < SIDE_PX:
        raise Refused(f"an image of {width}x{height}: at least {SIDE_PX}x{SIDE_PX} is needed")


def decode(content: bytes) -> Rgb:
    """Decode a JPEG, PNG or WebP to uint8[H, W, 3] RGB; how large it is is looked at before.

    Raises:
        Refused: it is no image, damaged, or larger or smaller than frames may be.
    """
    check_size(*image_size(content))
    try:
        return decode_image(content, ("JPEG", "PNG", "WEBP")).rgb
    except SourceError as error:
        raise Refused(f"a damaged image: it cannot be decoded: {error}") from None


def encode_jpeg(rgb: Rgb) -> bytes:
    """Return uint8[H, W, 3] RGB as a JPEG."""
    return _encoded(rgb, "JPEG", {"quality": QUALITY})


def encode_png(rgb: Rgb) -> bytes:
    """Return uint8[H, W, 3] RGB as a PNG."""
    return _encoded(rgb, "PNG", {"compress_level": 1})


def _encoded(rgb: Rgb, kind: str, options: dict[str, int]) -> bytes:
    try:
        return encode_image(rgb, kind, options=options)
    except SinkError as error:
        raise Refused(str(error)) from None
