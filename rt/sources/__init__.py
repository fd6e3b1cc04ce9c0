"""Where frames come from: the address chooses the source."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rt.address import without_secrets
from rt.errors import SourceError, nearest
from rt.sources.base import DEFAULTS, NUMBER, check_values
from rt.sources.base import Source as Source
from rt.sources.base import SourceOptions as SourceOptions

STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "tcp", "udp")
CAMERA = re.compile(r"\d+|/dev/video\d+|/dev/v4l/.+")


@dataclass(frozen=True)
class Kind:
    """One kind of source, and how it is typed."""

    what: str
    """What it is, in words."""
    examples: tuple[str, ...]
    """Addresses of this kind."""
    open: Callable[[str, SourceOptions], Source]
    """Opens an address of this kind."""
    schemes: tuple[str, ...] = ()
    """What stands before `://` in its addresses; none for names of files and devices."""
    accepts: Callable[[str], bool] = lambda address: False
    """Whether an address without `://` is of this kind."""
    extra: str | None = None
    """The optional part of the installation that it needs."""


def is_images(address: str) -> bool:
    """Return whether this names a folder, an image, or numbered images."""
    path = Path(address)
    try:
        if path.is_dir():
            return True
        numbered = NUMBER.search(path.name) is not None and not path.exists()
    except (OSError, ValueError):  # not a name that a file can have
        return False
    from rt.image import READ_SUFFIXES

    return numbered or path.suffix.lower() in READ_SUFFIXES


def is_animation(address: str) -> bool:
    """Return whether this names an image that moves."""
    from rt.image import READ_SUFFIXES, is_animated

    path = Path(address)
    try:
        return path.suffix.lower() in READ_SUFFIXES and path.is_file() and is_animated(path)
    except (OSError, ValueError):
        return False


def is_pipe(address: str) -> bool:
    """Return whether this is a file that is read as it comes: a FIFO, or a character device."""
    try:
        mode = Path(address).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def is_camera(address: str) -> bool:
    """Return whether this names a camera: a number, or a video device."""
    return CAMERA.fullmatch(address) is not None


def _open_camera(address: str, options: SourceOptions) -> Source:
    from rt.sources.camera import open_camera

    return open_camera(address, options)


def _open_csi(address: str, options: SourceOptions) -> Source:
    from rt.sources.csi import open_csi

    return open_csi(address, options)


def _open_animation(address: str, options: SourceOptions) -> Source:
    from rt.sources.animation import AnimationSource

    return AnimationSource(address, options)


def _open_images(address: str, options: SourceOptions) -> Source:
    from rt.sources.images import ImageSource

    return ImageSource(address, options)


def _open_pipe(address: str, options: SourceOptions) -> Source:
    from rt.sources.pipe import open_pipe

    return open_pipe(address, options)


def _open_file(address: str, options: SourceOptions) -> Source:
    from rt.sources.loop import open_file

    return open_file(address, options)


def _open_stream(address: str, options: SourceOptions) -> Source:
    from rt.sources.stream import open_stream

    return open_stream(address, options)


def _open_screen(address: str, options: SourceOptions) -> Source:
    from rt.sources.screen import open_screen

    return open_screen(address, options)


def _open_pattern(address: str, options: SourceOptions) -> Source:
    from rt.sources.pattern import open_pattern

    return open_pattern(address, options)


VIDEO_FILE = Kind("video file", ("clip.mp4",), _open_file)
KINDS = (
    VIDEO_FILE,
    Kind("camera", ("0", "/dev/video0"), _open_camera, accepts=is_camera),
    Kind("animated image", ("moving.gif",), _open_animation, accepts=is_animation),
    Kind("images", ("photo.jpg", "photos/", "img_%04d.png"), _open_images, accepts=is_images),
    Kind("pipe", ("/dev/stdin",), _open_pipe, accepts=is_pipe),
    Kind("live stream", ("rtsp://...", "http://...", "tcp://..."), _open_stream, STREAM_SCHEMES),
    Kind("screen", ("screen://",), _open_screen, ("screen",), extra="screen"),
    Kind("Jetson camera", ("csi://0",), _open_csi, ("csi",)),
    Kind("drawn test pattern", ("pattern://",), _open_pattern, ("pattern",)),
)
"""Every kind of source. An address without `://` that none accepts is a video file."""


def help_text() -> str:
    """Return what can be typed as an input, in one line."""
    return "; ".join(f"{kind.what}: {' '.join(kind.examples)}" for kind in KINDS)


def open_source(address: str, options: SourceOptions = DEFAULTS) -> Source:
    """Open what the user named; see `KINDS`.

    Raises:
        SourceError: it cannot be opened, is not a video, or cannot do what `options` ask.
    """
    check_values(options)
    return _kind_of(address).open(address, options)


def _kind_of(address: str) -> Kind:
    scheme, separator, _ = address.partition("://")
    if not separator:
        return next((kind for kind in KINDS if kind.accepts(address)), VIDEO_FILE)
    for kind in KINDS:
        if scheme.lower() in kind.schemes:
            return kind
    known = [name for kind in KINDS for name in kind.schemes]
    if scheme.lower() == "srt":
        raise SourceError(
            f"cannot read {without_secrets(address)}: the built-in FFmpeg has no srt://; "
            "send it as rtsp://, rtmp:// or tcp://"
        )
    raise SourceError(
        f"cannot read {without_secrets(address)}: {scheme.lower()}:// is not known"
        f"{nearest(scheme.lower(), known)}; known: {', '.join(f'{name}://' for name in known)}"
    )
