"""Where frames come from: the address chooses the source."""

from __future__ import annotations

import dataclasses
import re
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from rt.errors import SourceError, nearest
from rt.frame import Frame
from rt.sources.address import without_secrets

ADDRESSES = """\
clip.mp4                     a video file
photos/  img_%04d.png        a folder of pictures, or pictures with a number in their names
photo.jpg                    one picture; with --loop a still camera
0  /dev/video0               a camera; /dev/v4l/by-id/... names it for good
csi://0                      the camera of a Jetson board
screen://  screen://2        what a monitor shows; screen://0 is all of them
fifo  /dev/stdin             a pipe that a program writes video into, read as it comes
rtsp:// rtmp:// http(s)://   a live stream; opened again whenever it ends or stalls
tcp:// udp://                the same, without a protocol of its own
pattern://                   drawn and moving like a camera; pattern://?unpaced as fast as it is read
"""
"""What can be typed as INPUT, one line each."""

STREAM_SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "tcp", "udp", "srt")
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
CAMERA = re.compile(r"\d+|/dev/video\d+|/dev/v4l/.+")
NUMBER = re.compile(r"%(0(\d+))?d")
"""The place of the number in the names of numbered pictures."""
_FLAGS = {"start_s": "--start", "duration_s": "--duration"}
"""Options whose name on the command line is another one than their own."""


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
    """Seconds to leave out at the beginning of a recorded source; times are counted from there."""
    duration_s: float | None = None
    """Seconds after which the source ends."""


class Source(Protocol):
    """An iterable of frames, iterated once.

    Iteration ends at the end of the stream and raises `SourceError` on failure; `DamagedSource` where
    every readable frame was delivered but the stream is not whole.
    """

    @property
    def live(self) -> bool:
        """True where frames that are not fetched in time are lost (a camera); False for files."""
        ...

    @property
    def dropped(self) -> int:
        """Frames lost so far because they were not fetched in time; 0 for files."""
        ...

    @property
    def info(self) -> SourceInfo:
        """What is known of the stream."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield every frame in order."""
        ...

    def close(self) -> None:
        """Release everything. Works twice, and from any thread: a blocked reader wakes and ends."""
        ...


def open_source(address: str, options: SourceOptions = SourceOptions()) -> Source:
    """Open what the user named; see `ADDRESSES`.

    Raises:
        SourceError: it cannot be opened, is not a video, or cannot do what `options` ask.
    """
    _check_values(options)
    scheme, separator, _ = address.partition("://")
    if separator:
        return _open_scheme(scheme.lower(), address, options)
    if CAMERA.fullmatch(address):
        from rt.sources.camera import open_camera

        return open_camera(address, options)
    if is_pictures(address):
        from rt.sources.images import ImageSource

        return ImageSource(address, options)
    if is_pipe(address):
        from rt.sources.pipe import open_pipe

        return open_pipe(address, options)
    from rt.sources.loop import open_file

    return open_file(address, options)


def _open_scheme(scheme: str, address: str, options: SourceOptions) -> Source:
    if scheme == "pattern":
        from rt.sources.pattern import open_pattern

        return open_pattern(address, options)
    if scheme == "csi":
        from rt.sources.csi import open_csi

        return open_csi(address, options)
    if scheme == "screen":
        from rt.sources.screen import open_screen

        return open_screen(address, options)
    if scheme in STREAM_SCHEMES:
        from rt.sources.stream import open_stream

        return open_stream(address, options)
    known = ("pattern", "csi", "screen", *STREAM_SCHEMES)
    raise SourceError(
        f"cannot read {without_secrets(address)}: {scheme}:// is not known{nearest(scheme, known)}; "
        f"known: {', '.join(f'{name}://' for name in known)}"
    )


def is_pictures(address: str) -> bool:
    """Return whether this names a folder, a picture, or numbered pictures."""
    path = Path(address)
    try:
        if path.is_dir():
            return True
        numbered = NUMBER.search(path.name) is not None and not path.exists()
    except (OSError, ValueError):  # not a name that a file can have
        return False
    return numbered or path.suffix.lower() in PICTURE_SUFFIXES


def is_pipe(address: str) -> bool:
    """Return whether this is a file that is read as it comes: a FIFO, or a character device."""
    try:
        mode = Path(address).stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def refuse_options(options: SourceOptions, address: str, what: str, can: Collection[str]) -> None:
    """Refuse by name what is asked of a source that it cannot do; `can` are names of fields.

    Raises:
        SourceError: one of the other options is set.
    """
    for field in dataclasses.fields(options):
        if field.name not in can and getattr(options, field.name) != field.default:
            flag = _FLAGS.get(field.name, f"--{field.name}")
            raise SourceError(f"cannot use {flag} with {address}: it is {what}; leave {flag} out")


def frames_before(time_s: float, fps: Fraction) -> int:
    """Return how many frames at `fps`, the first at 0, begin before a time."""
    return -int(-exact_s(time_s) * fps // 1)


def exact_s(time_s: float) -> Fraction:
    """Return a typed time as what was meant, to the microsecond: 0.4 is 2/5."""
    return Fraction(round(time_s * 1_000_000), 1_000_000)


def _check_values(options: SourceOptions) -> None:
    for name in ("fps", "height", "width", "duration_s"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise SourceError(f"cannot use {_FLAGS.get(name, f'--{name}')} {value}: more than 0 is needed")
    if options.start_s < 0:
        raise SourceError(f"cannot use --start {options.start_s:g}: 0 or more is needed")
