"""The file that is written: its name, and what it is called until then."""

from __future__ import annotations

import datetime
import io
import os
import sys
from pathlib import Path
from typing import Any

from rt.errors import SinkError
from rt.media import reason
from rt.replacing import part_of

if sys.platform != "win32":  # Windows refuses by itself to remove a file that another program writes
    import fcntl


def unused(path: Path) -> Path:
    """Return `path`, or `NAME-2.mp4`, `NAME-3.mp4`, ... where it exists or is being written."""
    number, candidate = 1, path
    while any(each.exists() or each.is_symlink() for each in (candidate, part_of(candidate))):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def timestamped(folder: Path, suffix: str) -> Path:
    """Return a name made of the time, such as `videobrush-20260131-175959.png`, that does not exist."""
    now = datetime.datetime.now()
    return unused(folder / f"videobrush-{now:%Y%m%d-%H%M%S}{suffix}")


class PartFile:
    """`NAME.part`, created for writing beside the target NAME and held against a second run.

    What a killed run left there is replaced.

    Raises:
        SinkError: the target exists and is not to be overwritten, is the source, or cannot be written.
    """

    def __init__(self, target: Path, source: Path | None, overwrite: bool) -> None:
        self.path = part_of(target)
        self._target = target
        self._overwrite = overwrite
        self._check_target(source)
        try:
            self._check_part(source)
            self.file = _WholeWrites(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "rb+")
            self._lock_new()
        except (OSError, ValueError) as error:
            raise SinkError(f"cannot write {target}: {_why(target, error)}") from None

    def finish(self) -> None:
        """Write everything to the disk; the file is whole from here on."""
        os.fsync(self.file.fileno())
        self.file.close()

    def publish(self) -> None:
        """Give the finished file the name of the target.

        Raises:
            SinkError: that is not possible any more; the finished file keeps the name of the part.
        """
        try:
            if not self._overwrite and self._target.exists():
                raise SinkError(f"{self._target} came into being meanwhile; the result is in {self.path}")
            self.path.replace(self._target)
        except OSError as error:
            raise SinkError(
                f"cannot rename to {self._target}: {reason(error)}; the result is in {self.path}"
            ) from None

    def remove(self) -> None:
        """Remove the file; works where it is gone already."""
        self.file.close()
        self.path.unlink(missing_ok=True)

    def _check_target(self, source: Path | None) -> None:
        target = self._target
        try:
            if source is not None and target.exists() and target.samefile(source):
                raise SinkError(
                    f"cannot write {target}: it is the input itself; type another name for the output"
                )
            if target.is_dir():
                raise SinkError(f"cannot write {target}: it is a folder; the name of a file is needed")
            if target.exists() and not target.is_file():
                raise SinkError(f"cannot write {target}: it is not a regular file")
            if (target.exists() or target.is_symlink()) and not self._overwrite:  # also a link to nothing
                raise SinkError(f"cannot write {target}: it exists; add --overwrite to replace it")
            if not target.parent.is_dir():
                raise SinkError(f"cannot write {target}: there is no folder {target.parent}; create it first")
        except (OSError, ValueError) as error:
            raise SinkError(f"cannot write {target}: {reason(error)}") from None

    def _check_part(self, source: Path | None) -> None:
        """Remove what a killed run left, unless it is the source or another run is writing it."""
        part = self.path
        if not part.exists() and not part.is_symlink():
            return
        if source is not None and part.exists() and part.samefile(source):
            raise SinkError(
                f"cannot write {self._target}: the input {part} would be replaced; rename it first"
            )
        if part.is_file() and not part.is_symlink():
            descriptor = os.open(part, os.O_RDWR)
            try:
                self._lock(descriptor)
            finally:
                os.close(descriptor)
        part.unlink(missing_ok=True)  # another run that found it taken may have removed it

    def _lock_new(self) -> None:
        """Hold the file just created; where another run was quicker, leave nothing but what is that run's."""
        try:
            self._lock(self.file.fileno())
        except SinkError:
            with self.file:
                ours = self.path.exists() and os.path.samestat(os.fstat(self.file.fileno()), self.path.stat())
            if ours:
                self.path.unlink(missing_ok=True)
            raise

    def _lock(self, descriptor: int) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SinkError(
                f"cannot write {self._target}: {self.path} is being written, "
                "by another run or because this output is named twice"
            ) from None
        except OSError:  # a file system without locks: two runs at once are the user's own care there
            return


class _WholeWrites(io.FileIO):
    """An unbuffered file that writes everything it is given or fails, as FFmpeg expects."""

    def write(self, data: Any, /) -> int:
        left = memoryview(data).cast("B")
        while left:
            left = left[super().write(left) :]
        return len(memoryview(data).cast("B"))


def _why(target: Path, error: OSError | ValueError) -> str:
    if isinstance(error, PermissionError):
        return f"no permission to write in the folder {target.parent}"
    return reason(error)
