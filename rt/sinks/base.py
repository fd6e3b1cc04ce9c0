"""What every sink is, and what it may be asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol

from rt.errors import SinkError

if TYPE_CHECKING:  # help reads the table of kinds: nothing heavy is loaded for it
    from rt.frame import Frame, SourceInfo

Size = tuple[int, int]
"""(height, width) in pixels."""


@dataclass(frozen=True)
class SinkOptions:
    """What the user asks of the outputs."""

    overwrite: bool = False
    """Replace what exists."""
    codec: str = "h264"
    """How video is coded: `h264`, `hevc`, `av1`."""
    encoder: str = "auto"
    """What codes it: `auto`, `x264`, `x265`, `svtav1`, `nvenc`, ..."""
    crf: int | None = None
    """Quality, the encoder's own scale (lower is better); None: the encoder's default."""
    preset: str | None = None
    """Speed against size, the encoder's own word; None: the encoder's default."""
    audio: Literal["copy", "aac", "none"] = "copy"
    """`copy`: as it is, encoded anew where the container cannot hold it; `aac`: always encoded; `none`.

    Audio of live sources is always encoded.
    """
    other_videos: Literal["drop", "keep"] = "drop"
    """What becomes of the source's other videos; covers are kept."""
    threads: int = 0
    """Threads of the encoder, which change its bytes; 0: its own choice."""


DEFAULTS = SinkOptions()
"""Nothing asked for."""


class SinkClosed(Exception):
    """Raised by `write` where the viewer wants no more: the run ends as if its source had ended."""


class Sink(Protocol):
    """A consumer of frames. Every method raises `SinkError` on failure."""

    def write(self, frame: Frame) -> None:
        """Take one frame. The image is never changed."""
        ...

    def close(self) -> None:
        """Finish: what was written becomes a whole, playable result. Works twice."""
        ...

    def abort(self) -> None:
        """End without a result: nothing is left behind. Works twice; does nothing after `close`."""
        ...


def closed(name: object) -> SinkError:
    """Return the error of writing to what is closed."""
    return SinkError(f"cannot write {name}: it is closed")


def size_of(like: SourceInfo | None, size: Size | None) -> Size:
    """Return the size of the frames: `size`, or that of the source.

    Raises:
        ValueError: neither is known.
    """
    if size is not None:
        return size
    if like is None:
        raise ValueError("a sink needs a size, or a source to take it from")
    return like.height, like.width


def rate_of(like: SourceInfo | None, frame_rate: Fraction | None) -> Fraction:
    """Return the mean frames per second: `frame_rate`, that of the source, or the default."""
    from rt.frame import DEFAULT_RATE

    return frame_rate or (like.frame_rate if like is not None else None) or DEFAULT_RATE


def scheme_of(address: str) -> str | None:
    """Return what stands before `://` in lower case; None for a name of a file."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    return found[1].lower() if found else None


def redacted(address: str) -> str:
    """Return an address without what may be secret: user, password, path, query."""
    scheme, _, rest = address.partition("://")
    return f"{scheme.lower()}://{re.split('[/?#]', rest, maxsplit=1)[0].rpartition('@')[2]}"
