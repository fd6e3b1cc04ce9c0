"""Where frames go."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol

from rt.frame import Frame

if TYPE_CHECKING:
    from rt.media import FrameStream


class SinkClosed(Exception):
    """Raised by `write` where the viewer wants no more: the run ends as if its source had ended."""


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
    """Quality, the encoder's own scale (lower is better); None: the encoder's usual one."""
    preset: str | None = None
    """Speed against size, the encoder's own word; None: the encoder's usual one."""


class Sink(Protocol):
    """A consumer of frames. Every method raises `SinkError` on failure."""

    def write(self, frame: Frame) -> None:
        """Take one frame. The picture is neither kept nor changed after the call returns."""
        ...

    def close(self) -> None:
        """Finish: what was written becomes a whole, playable result. Works twice."""
        ...

    def abort(self) -> None:
        """End without a result: nothing is left behind. Works twice; does nothing after `close`."""
        ...


def open_sink(
    address: str,
    like: FrameStream | None,
    overwrite: bool = False,
    *,
    size: tuple[int, int] | None = None,
    frame_rate: Fraction | None = None,
) -> Sink:
    """Open what the user named, for frames of `like`.

    Args:
        address: name of a file; its suffix chooses the container.
        like: the source whose times, colour, orientation and other streams the result keeps.
        overwrite: replace an existing file.
        size: (height, width) of the frames where it is not that of `like`.
        frame_rate: mean frames per second where it is not that of `like`.

    Raises:
        SinkError: it cannot be written; nothing is left behind then.
    """
    from rt.sinks.file import FileSink

    return FileSink(address, like, overwrite=overwrite, size=size, frame_rate=frame_rate)
