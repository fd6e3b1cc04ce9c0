"""What can be kept of a file whose writing failed."""

from __future__ import annotations

import io
import os
from pathlib import Path


def cut_to_whole_fragments(path: Path) -> bool:
    """Cut an mp4 in fragments off behind the last one that is whole; return whether there is one."""
    end = 0
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        at = 0
        while (box := _box(file, at)) is not None and at + box[1] <= size:
            at += box[1]
            if box[0] == b"mdat":
                end = at
        if end:
            file.truncate(end)
    return end > 0


def _box(file: io.BufferedRandom, at: int) -> tuple[bytes, int] | None:
    """Return name and length in bytes of the box that begins at `at`; None where none does."""
    file.seek(at)
    head = file.read(16)
    length, name = int.from_bytes(head[:4], "big"), head[4:8]
    if length == 1:
        length = int.from_bytes(head[8:16], "big")
    return (name, length) if len(head) >= 8 and length >= 8 else None
