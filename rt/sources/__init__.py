"""Where frames come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from rt.frame import Frame


@dataclass(frozen=True)
class SourceInfo:
    """What is known of a stream before its first frame."""

    name: str
    """What the user calls it: a path or an address."""
    height: int
    """Height in pixels of the upright frames."""
    width: int
    """Width in pixels of the upright frames."""
    frame_rate: Fraction | None
    """Mean frames per second, where the source states it."""
    frame_count: int | None
    """Expected number of frames, where known; an estimate, for progress bars."""


class Source(Protocol):
    """An iterable of frames, iterated once.

    Iteration ends at the end of the stream and raises `SourceError` on failure; `DamagedSource` where
    every readable frame was delivered but the stream is not whole.
    """

    live: bool
    """True where frames that are not fetched in time are lost (a camera); False for files."""
    info: SourceInfo

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in order."""
        ...

    def close(self) -> None:
        """Release everything. Works twice, and from any thread: a blocked reader wakes and ends."""
        ...


def open_source(address: str) -> Source:
    """Open what the user named.

    Raises:
        SourceError: it cannot be opened, or is not a video.
    """
    from rt.sources.file import FileSource

    return FileSource(address)
