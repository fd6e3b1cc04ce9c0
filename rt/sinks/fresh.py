"""Names of files that do not exist yet."""

from __future__ import annotations

import datetime
from pathlib import Path


def fresh(path: Path) -> Path:
    """Return `path`, or `NAME-2.mp4`, `NAME-3.mp4`, ... where it exists or is being written."""
    number, candidate = 1, path
    while _taken(candidate):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def stamped(folder: Path, suffix: str) -> Path:
    """Return a name made of the time, such as `videobrush-20260131-175959.png`, that does not exist."""
    now = datetime.datetime.now()
    return fresh(folder / f"videobrush-{now:%Y%m%d-%H%M%S}{suffix}")


def _taken(path: Path) -> bool:
    part = path.with_name(path.name + ".part")
    return any(each.exists() or each.is_symlink() for each in (path, part))
