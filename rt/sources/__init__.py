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


@dataclass(frozen=True)
class SourceOptions:
    """What the user asks of a source. What a source cannot do is refused by name, never ignored."""

    fps: Fraction | None = None
    """Frames per second: asked of a camera or a drawn pattern, given to pictures without times."""
    height: int | None = None
    """Height in pixels asked of a camera, a pattern or a screen."""
    width: int | None = None
    """Width in pixels asked of a camera, a pattern or a screen."""
    loop: bool = False
    """Begin again at the end of a recorded source, for ever; times go on."""
    start_s: float = 0.0
    """Seconds to leave out at the beginning of a recorded source."""
    duration_s: float | None = None
    """Seconds after which the source ends."""


class Source(Protocol):
    """An iterable of frames, iterated once.

    Iteration ends at the end of the stream and raises `SourceError` on failure; `DamagedSource` where
    every readable frame was delivered but the stream is not whole.
    """

    live: bool
    """True where frames that are not fetched in time are lost (a camera); False for files."""
    dropped: int
    """Frames lost so far because they were not fetched in time; 0 for files."""
    info: SourceInfo

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in order."""
        ...

    def close(self) -> None:
        """Release everything. Works twice, and from any thread: a blocked reader wakes and ends."""
        ...


def open_source(address: str, options: SourceOptions = SourceOptions()) -> Source:
    """Open what the user named.

    Raises:
        SourceError: it cannot be opened, or is not a video.
    """
    from rt.sources.file import FileSource

    return FileSource(address)
