"""Files that take their name only when they are whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def part_of(path: Path) -> Path:
    """Return the name that a file has until it is whole: `NAME.part` beside it."""
    return path.with_name(f"{path.name}.part")


@contextmanager
def replacing(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yield `NAME.part`; what is written there takes the name `path` at the end, and is removed on failure.

    What a killed run left under that name is removed first. A folder can be written this way too; it takes
    the place of nothing but an empty folder. `flush`: a file is on the disk before it takes its name.

    Raises:
        OSError: it cannot be renamed; nothing is left of it then.
    """
    part = part_of(path)
    _remove(part)
    try:
        yield part
        if flush and part.is_file():
            with part.open("rb+") as written:
                os.fsync(written.fileno())
        part.replace(path)
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)
