"""Where frames go."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from rt.errors import SinkError, nearest
from rt.frame import Frame, SourceInfo

WINDOW = "window://"
"""The address of a window, which whoever runs the pipeline opens: it must stay on the main thread."""
_STREAMS = ("rtmp", "rtmps", "rtsp", "tcp", "udp")
SHOWN_LIVE = frozenset(("virtual", *_STREAMS))
"""Schemes of outputs that somebody watches as they come: late frames are worth nothing to them."""
SCHEMES = ("null", "virtual", "window", *_STREAMS)
"""What an address may begin with, before `://`; any other address is a file, a folder or a name pattern."""


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".avif", ".bmp", ".dib", ".tif", ".tiff")
ANIMATION_SUFFIXES = (".gif", ".webp")
"""Suffixes of images: files for one frame, and those that can move."""


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


USUAL = SinkOptions()
"""Nothing asked for."""


class Sink(Protocol):
    """A consumer of frames. Every method raises `SinkError` on failure."""

    def write(self, frame: Frame) -> None:
        """Take one frame. The picture is never changed."""
        ...

    def close(self) -> None:
        """Finish: what was written becomes a whole, playable result. Works twice."""
        ...

    def abort(self) -> None:
        """End without a result: nothing is left behind. Works twice; does nothing after `close`."""
        ...


def open_sink(
    address: str,
    like: SourceInfo | None,
    options: SinkOptions = USUAL,
    *,
    size: tuple[int, int] | None = None,
    frame_rate: Fraction | None = None,
) -> Sink:
    """Open what the user named, for frames of `like`.

    Args:
        address: name of a video file, whose suffix chooses the container; a folder (`frames/`) or a pattern
            (`img_%04d.png`) for pictures; `virtual://`, a server (`rtmp://...`), `null://`.
        like: the source whose times, colour, orientation and other streams the result keeps.
        options: what the user asks of it.
        size: (height, width) of the frames where it is not that of `like`.
        frame_rate: mean frames per second where it is not that of `like`.

    Raises:
        SinkError: it cannot be written; nothing is left behind then.
    """
    scheme = scheme_of(address)
    if scheme is None:
        moves = is_animation(address)
        if moves and (like is None or like.frame_count != 1):
            from rt.sinks.animation import AnimationSink

            return AnimationSink(address, like, overwrite=options.overwrite)
        if moves or is_for_pictures(address):
            from rt.sinks.images import ImageSink

            return ImageSink(address, like, overwrite=options.overwrite)
        from rt.sinks.file import FileSink

        return FileSink(address, like, options, size=size, frame_rate=frame_rate)
    if scheme == "null":
        from rt.sinks.null import NullSink

        return NullSink()
    if scheme == "virtual":
        from rt.sinks.virtual_camera import VirtualCamera

        return VirtualCamera(address, like, size=size, frame_rate=frame_rate)
    if scheme in _STREAMS:
        _check_server(address)
        from rt.sinks.stream import StreamSink

        return StreamSink(address, like, options, size=size, frame_rate=frame_rate)
    if scheme == "srt":
        raise SinkError(
            f"cannot write {shown(address)}: PyAV comes without SRT; use udp:// or tcp:// instead"
        )
    known = ", ".join(f"{name}://" for name in SCHEMES)
    raise SinkError(
        f"cannot write {shown(address)}: there is no output {scheme}://{nearest(scheme, SCHEMES)}; "
        f"known: {known}, files and folders"
    )


def scheme_of(address: str) -> str | None:
    """Return what stands before `://` in lower case; None for a name of a file."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", address)
    return found[1].lower() if found else None


def shown(address: str) -> str:
    """Return an address without what may be secret: user, password, path, query."""
    scheme, _, rest = address.partition("://")
    return f"{scheme.lower()}://{re.split('[/?#]', rest, maxsplit=1)[0].rpartition('@')[2]}"


def _check_server(address: str) -> None:
    """Refuse an address in which no server can be found.

    Raises:
        SinkError: it has a bracket without its other one, or a port that is no number.
    """
    try:
        _ = urlsplit(address).port
    except ValueError:  # it may quote the password
        raise SinkError(
            f"cannot write {shown(address)}: this is no address of a server; "
            f"type {scheme_of(address)}://HOST:PORT/..., with [ ] around an IPv6 address"
        ) from None


def is_shown_live(scheme: str | None) -> bool:
    """Tell whether somebody watches the output as it comes; late frames are worth nothing there."""
    return scheme in SHOWN_LIVE


def is_for_pictures(address: str) -> bool:
    """Tell whether a name means one picture a frame: a folder, or a pattern such as `img_%04d.png`."""
    path = Path(address)
    if address.endswith(("/", "\\")) or path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    if path.suffix.lower() in ANIMATION_SUFFIXES:
        return not is_animation(address)
    return not path.suffix and path.is_dir()


def is_animation(address: str) -> bool:
    """Tell whether a name means one image that moves, where there is more than one frame."""
    path = Path(address)
    return scheme_of(address) is None and path.suffix.lower() in ANIMATION_SUFFIXES and "%" not in path.name
