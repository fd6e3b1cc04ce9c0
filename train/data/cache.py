"""Where decoded images are kept: in memory, then in a mapped file."""

from __future__ import annotations

import logging
import mmap
import os
import tempfile
import threading
from pathlib import Path

import numpy as np

from rt.folders import user_folder
from rt.frame import Rgb
from train.errors import DataError

SHARE = 0.5
"""Share of the memory free at the start of a set that its images may take."""
PIECE_BYTES = 1 << 30
log = logging.getLogger(__name__)


def free_memory_bytes() -> int:
    """Return how much memory is free for programs, a container's limit respected."""
    found = [1 << 62]
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
        limit, used = (Path("/sys/fs/cgroup") / name for name in ("memory.max", "memory.current"))
        found.append(int(limit.read_text()) - int(used.read_text()))
    except (OSError, ValueError):  # no Linux, or no limit: "max" is no number
        pass
    return max(0, min(found))


def cache_folder() -> Path:
    """Return $VIDEOBRUSH_CACHE, else the user's cache folder."""
    if given := os.environ.get("VIDEOBRUSH_CACHE"):
        return Path(given).expanduser()
    return user_folder("XDG_CACHE_HOME", ".cache", mac="Caches")


class ImageCache:
    """Keeps the images of one set; what memory has no room for goes to a file without a name.

    The file lies in the user's cache folder, belongs to this process alone and is gone with it, however it
    ends: several runs do not meet. Images in it are read like any others; the system keeps those in memory
    that it has room for.
    """

    def __init__(self, room_bytes: int | None = None, folder: Path | None = None) -> None:
        self.room_bytes = int(SHARE * free_memory_bytes()) if room_bytes is None else room_bytes
        self.folder = folder or cache_folder() / "images"
        self._lock = threading.Lock()
        self._piece: mmap.mmap | None = None
        self._used_bytes = 0

    def keep(self, rgb: Rgb) -> Rgb:
        """Return the image uint8[H, W, 3] RGB, itself or its copy in the file; safe from several threads.

        Raises:
            DataError: memory and disk have no room.
        """
        with self._lock:
            if rgb.nbytes <= self.room_bytes:
                self.room_bytes -= rgb.nbytes
                return rgb
            if self._piece is None or self._used_bytes + rgb.nbytes > len(self._piece):
                self._piece = self._next_piece(max(PIECE_BYTES, rgb.nbytes))
            kept = np.frombuffer(self._piece, np.uint8, rgb.nbytes, self._used_bytes).reshape(rgb.shape)
            self._used_bytes += rgb.nbytes
        kept[:] = rgb
        return kept

    def _next_piece(self, size: int) -> mmap.mmap:
        if self._piece is None:
            log.warning("more images than memory has room for: the others are kept in %s", self.folder)
        self.room_bytes, self._used_bytes = 0, 0
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder) as file:
                if hasattr(os, "posix_fallocate"):  # room that is only promised would end the run later
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.truncate(size)
                return mmap.mmap(file.fileno(), size)
        except OSError as error:
            raise DataError(
                f"more images than memory has room for, and {self.folder} has none either "
                f"({error.strerror}): give a smaller --load-size or fewer images"
            ) from None
