"""How long a file should be by its own account, read from its outermost boxes."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from rt.mp4 import boxes

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")


def missing_bytes(path: Path) -> int:
    """Return how many bytes an mp4, Matroska or AVI file lacks at its end; 0 where none or unknown."""
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        file.seek(0)
        if head[4:] in _MP4_BOXES:
            end = max((at + size for _, at, size in boxes(file)), default=0)
        elif head[:4] == b"RIFF":
            end = _riff_end(file, length)
        elif int.from_bytes(head[:4], "big") == _EBML:
            end = _matroska_end(file)
        else:
            return 0
    return max(0, end - length)


def _riff_end(file: BinaryIO, length: int) -> int:
    """Walk the lists of an AVI: a name and 32 bits of size, padded to an even number."""
    at = 0
    while at + 8 <= length:
        file.seek(at)
        head = file.read(8)
        if head[:4] != b"RIFF":
            break
        size = int.from_bytes(head[4:], "little")
        at += 8 + size + size % 2
        if at == length + 1:  # the padding of the last list is often left out
            at = length
    return at


def _matroska_end(file: BinaryIO) -> int:
    """Read the head element and the size of the segment behind it."""
    _read_number(file, keep_marker=True)
    head_size = _read_number(file)
    file.seek(head_size, 1)
    if _read_number(file, keep_marker=True) != _SEGMENT:
        return 0
    width_at = file.tell()
    size = _read_number(file)
    width = file.tell() - width_at
    unknown = (1 << 7 * width) - 1  # all ones: written live
    return 0 if size == unknown else file.tell() + size


def _read_number(file: BinaryIO, keep_marker: bool = False) -> int:
    """Read an EBML number: the leading zeros of its first byte tell how many bytes follow."""
    first = file.read(1)
    if not first or not first[0]:
        return 0
    width = 9 - first[0].bit_length()
    value = first[0] if keep_marker else first[0] & ((1 << 8 - width) - 1)
    for byte in file.read(width - 1):
        value = value << 8 | byte
    return value
