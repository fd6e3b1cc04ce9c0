"""The kinds of outputs: how each is typed, and what opens it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rt.errors import SinkError, nearest
from rt.sinks.base import Sink, SinkOptions, Size, redacted, scheme_of

if TYPE_CHECKING:  # help reads the table: nothing heavy is loaded for it
    from rt.audio import LiveAudio
    from rt.frame import SourceInfo

WINDOW = "window://"
"""The address of a window, which the caller of the pipeline opens: it must stay on the main thread."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".avif", ".bmp", ".dib", ".tif", ".tiff")
ANIMATION_SUFFIXES = (".gif", ".webp")
"""Suffixes of images: files for one frame, and those that can move."""


@dataclass(frozen=True)
class Wanted:
    """An output that is to be opened: what `open_sink` is given."""

    address: str
    like: SourceInfo | None
    options: SinkOptions
    size: Size | None
    frame_rate: Fraction | None


@dataclass(frozen=True)
class Kind:
    """One kind of output, and how it is typed."""

    what: str
    """What it is, in words."""
    examples: tuple[str, ...]
    """Addresses of this kind."""
    open: Callable[[Wanted], Sink]
    """Opens an address of this kind."""
    schemes: tuple[str, ...] = ()
    """What stands before `://` in its addresses; none for names of files and folders."""
    shown_live: bool = False
    """Whether it is watched as it comes: late frames are worth nothing there."""
    encodes: bool = False
    """Whether it encodes video."""
    extra: str | None = None
    """The optional part of the installation that it needs."""


def _open_file(wanted: Wanted) -> Sink:
    from rt.sinks.file import FileSink

    return FileSink(
        wanted.address, wanted.like, wanted.options, size=wanted.size, frame_rate=wanted.frame_rate
    )


def _open_images(wanted: Wanted) -> Sink:
    from rt.sinks.images import ImageSink

    return ImageSink(wanted.address, wanted.like, overwrite=wanted.options.overwrite)


def _open_animation(wanted: Wanted) -> Sink:
    if wanted.like is not None and wanted.like.frame_count == 1:
        return _open_images(wanted)
    from rt.sinks.animation import AnimationSink

    return AnimationSink(wanted.address, wanted.like, overwrite=wanted.options.overwrite)


def _open_null(wanted: Wanted) -> Sink:
    from rt.sinks.null import NullSink

    return NullSink()


def _open_virtual_camera(wanted: Wanted) -> Sink:
    from rt.sinks.virtual_camera import VirtualCamera

    return VirtualCamera(wanted.address, wanted.like, size=wanted.size, frame_rate=wanted.frame_rate)


def _open_window(wanted: Wanted) -> Sink:
    raise SinkError(f"cannot write {redacted(wanted.address)}: a window has no name; type {WINDOW}")


def _open_stream(wanted: Wanted) -> Sink:
    _check_server(wanted.address)
    from rt.sinks.stream import StreamSink

    return StreamSink(
        wanted.address,
        wanted.like,
        wanted.options,
        size=wanted.size,
        frame_rate=wanted.frame_rate,
        audio=heard_audio(wanted.like, wanted.options),
    )


VIDEO_FILE = Kind("video file", ("out.mp4", "out.mov", "out.mkv"), _open_file, encodes=True)
IMAGES = Kind("images", ("photo.jpg", "frames/", "img_%04d.png"), _open_images)
ANIMATION = Kind("animated image", ("out.gif", "out.webp"), _open_animation)
KINDS = (
    VIDEO_FILE,
    IMAGES,
    ANIMATION,
    Kind("nothing", ("null://",), _open_null, ("null",)),
    Kind(
        "virtual camera",
        ("virtual://",),
        _open_virtual_camera,
        ("virtual",),
        shown_live=True,
        extra="virtual",
    ),
    Kind("window", (WINDOW,), _open_window, ("window",)),
    Kind(
        "server",
        ("rtmp://...", "rtsp://...", "tcp://...", "udp://..."),
        _open_stream,
        ("rtmp", "rtmps", "rtsp", "tcp", "udp"),
        shown_live=True,
        encodes=True,
    ),
)
"""Every kind of output; an address without `://` names a file or a folder."""


def kind_of(address: str) -> Kind:
    """Return the kind of output that an address names.

    Raises:
        SinkError: there is none of its scheme.
    """
    scheme = scheme_of(address)
    if scheme is None:
        if _is_animation(address):
            return ANIMATION
        return IMAGES if _is_for_images(address) else VIDEO_FILE
    for kind in KINDS:
        if scheme in kind.schemes:
            return kind
    if scheme == "srt":
        raise SinkError(
            f"cannot write {redacted(address)}: PyAV comes without SRT; use udp:// or tcp:// instead"
        )
    schemes = [name for kind in KINDS for name in kind.schemes]
    known = ", ".join(f"{name}://" for name in schemes)
    raise SinkError(
        f"cannot write {redacted(address)}: there is no output {scheme}://{nearest(scheme, schemes)}; "
        f"known: {known}, files and folders"
    )


def _is_for_images(address: str) -> bool:
    """Tell whether a name means one image a frame: a folder, or a pattern such as `img_%04d.png`."""
    path = Path(address)
    if address.endswith(("/", "\\")) or path.suffix.lower() in (*IMAGE_SUFFIXES, *ANIMATION_SUFFIXES):
        return True
    return not path.suffix and path.is_dir()


def _is_animation(address: str) -> bool:
    """Tell whether a name means one image that moves, where there is more than one frame."""
    path = Path(address)
    return path.suffix.lower() in ANIMATION_SUFFIXES and "%" not in path.name


def _check_server(address: str) -> None:
    """Refuse an address in which no server can be found.

    Raises:
        SinkError: it has a bracket without its other one, or a port that is no number.
    """
    try:
        _ = urlsplit(address).port
    except ValueError:  # it may quote the password
        raise SinkError(
            f"cannot write {redacted(address)}: this is no address of a server; "
            f"type {scheme_of(address)}://HOST:PORT/..., with [ ] around an IPv6 address"
        ) from None


def heard_audio(like: SourceInfo | None, options: SinkOptions) -> LiveAudio | None:
    """Return the audio of a live source, where it is wanted."""
    from rt.audio import audio_of

    return None if options.audio == "none" else audio_of(like)
