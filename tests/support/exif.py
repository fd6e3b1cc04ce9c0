"""The EXIF tag that says how an image was held."""

from __future__ import annotations


def exif(turn: int, order: str) -> bytes:
    """Return a TIFF structure with one tag, the orientation."""
    little = order == "little"

    def number(value: int, length: int) -> bytes:
        return value.to_bytes(length, "little" if little else "big")

    entry = number(274, 2) + number(3, 2) + number(1, 4) + number(turn, 2) + bytes(2)
    return (b"II*\0" if little else b"MM\0*") + number(8, 4) + number(1, 2) + entry + bytes(4)


def with_exif(jpeg: bytes, turn: int, order: str = "little") -> bytes:
    """Return a JPEG with that tag."""
    block = b"Exif\0\0" + exif(turn, order)
    return jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + jpeg[2:]
