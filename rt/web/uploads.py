"""What visitors upload: limits, names, a folder that is gone with its studio."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import IO

from rt.batch.plan import VIDEO_SUFFIXES
from rt.errors import VideobrushError
from rt.image import READ_SUFFIXES, is_litter
from rt.web.protocol import Refused

DAY_S = 86_400.0
"""Seconds that files are kept at most without anything being asked of them."""
RESERVE_BYTES = 500_000_000
"""So much of the disk stays free, for results and for everybody else."""
_NAME_BYTES = 120
"""Longest part of a path, in bytes: a style, a number and a suffix come to it."""
_DEPTH = 8
_LOCK = "lock"


class TooMuch(Refused):
    """More files or bytes than a batch takes, or than there is room for."""


@dataclass(frozen=True)
class Limits:
    """What one visitor's batch may hold, and how many batches there may be."""

    files: int = 100
    total_bytes: int = 2_000_000_000
    batches: int = 10


def fitting_name(typed: str, taken: Iterable[str]) -> str:
    """Return the path within a batch's folder that an uploaded file gets: `day one/a.mp4`.

    Names that are there already, with whatever suffix, get a number: two inputs never become one output.

    Raises:
        Refused: it is the name of no video or image.
    """
    parts = [part for part in typed.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    path = PurePosixPath(*(_plain(part) for part in parts[-_DEPTH:]))
    if is_litter(Path(path.name)) or path.suffix.lower() not in {*VIDEO_SUFFIXES, *READ_SUFFIXES}:
        raise Refused(f"{path.name[:80]!r} is the name of no video or image")
    path = path.with_name(f"{_cut(path.stem)}{path.suffix}")
    stems = {_stem(other) for other in taken}
    number = 2
    found = path
    while _stem(str(found)) in stems:
        found = path.with_name(f"{path.stem} ({number}){path.suffix}")
        number += 1
    return found.as_posix()


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")).casefold()


def _plain(part: str) -> str:
    """Return a name without what shells, folders of other systems and templates take for something else."""
    kept = "".join("_" if sign in '<>:"|?*%' or not sign.isprintable() else sign for sign in part)
    return kept if len(kept.encode()) <= 2 * _NAME_BYTES else _cut(kept)


def _cut(name: str) -> str:
    return name.encode()[:_NAME_BYTES].decode(errors="ignore").rstrip(" .") or "file"


class UploadFolder:
    """The folder of all uploads of one studio; made when it is first needed."""

    def __init__(self, places: Path) -> None:
        """`places` holds such a folder for each running studio; those that killed ones left are removed."""
        self._path = places / token_hex(8)
        self._opened = ExitStack()
        _remove_abandoned(places)

    def path(self) -> Path:
        """Return the folder; it is there then.

        Raises:
            VideobrushError: it cannot be made.
        """
        if not self._path.is_dir():
            try:
                self._path.mkdir(mode=0o700, parents=True)
                self._opened.enter_context(_locked(self._path))
            except OSError as error:
                raise VideobrushError(f"cannot make {self._path}: {error.strerror}") from None
        return self._path

    def check_room(self, needed_bytes: int) -> None:
        """Refuse an upload that would fill the disk.

        Raises:
            TooMuch: it would.
        """
        free = shutil.disk_usage(self.path()).free
        if free < needed_bytes + RESERVE_BYTES:
            raise TooMuch(f"the studio's disk has {free / 1e9:.1f} GB free, too little for this file")

    def close(self) -> None:
        """Remove it with everything in it; works twice."""
        self._opened.close()
        shutil.rmtree(self._path, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Show other studios, while the block runs, that the folder is in use."""
    with (folder / _LOCK).open("w") as file:
        _lock(file)
        yield


def _lock(file: IO[str]) -> bool:
    """Lock a file until it is closed or its process is gone; say whether that was possible."""
    try:
        import fcntl
    except ImportError:  # Windows: what is older than a day counts as abandoned
        return time.time() - Path(file.name).stat().st_mtime > DAY_S
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _remove_abandoned(places: Path) -> None:
    for lock in places.glob(f"*/{_LOCK}"):
        try:
            with lock.open("r+") as file:
                abandoned = _lock(file)
        except OSError:
            continue
        if abandoned:
            shutil.rmtree(lock.parent, ignore_errors=True)
