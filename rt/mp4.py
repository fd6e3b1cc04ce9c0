"""The outermost boxes of MP4 and QuickTime files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


def boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and length in bytes of each outermost box; the last one may be cut short.

    A box begins with 32 bits of length and its name; a length of 1 means that 64 bits of it follow. The walk
    ends at a length of 0, which means up to the end, and at what is no box.
    """
    size = file.seek(0, os.SEEK_END)
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, smallest = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, smallest = int.from_bytes(head[8:16], "big"), 16
        if length < smallest or not head[4:8].isalnum():
            return
        yield head[4:8], at, length
        at += length


def cut_to_whole_fragments(path: Path) -> bool:
    """Cut an MP4 in fragments off behind the last one that is whole; return whether there is one."""
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        ends = [at + length for name, at, length in boxes(file) if name == b"mdat" and at + length <= size]
        if ends:
            file.truncate(ends[-1])
    return bool(ends)
