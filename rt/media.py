"""Facts of a video file that its writer needs too."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.packet
import av.stream
import numpy as np

from rt.frame import Rgb, SourceInfo
from rt.hdr import Hdr

MATRIX_709, MATRIX_FCC, MATRIX_470BG, MATRIX_601, MATRIX_240M = 1, 4, 5, 6, 7
MATRIX_2020, MATRIX_2020_CONSTANT = 9, 10
UNSPECIFIED = 2
RANGE_LIMITED, RANGE_FULL = 1, 2
"""Colour codes of ISO/IEC 23091-2, as FFmpeg and H.264 write them."""

BILINEAR, AREA, FULL_CHROMA_OUT, ACCURATE_ROUNDING = 1 << 1, 1 << 5, 1 << 13, 1 << 18
"""Flags of libswscale; PyAV 17 has no names for the last two."""

TOLERANT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
"""Options of `av.open` for tags that are not UTF-8; PyAV 19 takes them as they are."""

STILL_CODECS = frozenset({"mjpeg", "png", "apng", "webp", "bmp", "gif", "tiff"})
"""What cover images are coded as."""

_KNOWN_MATRICES = frozenset({MATRIX_709, MATRIX_FCC, MATRIX_470BG, MATRIX_601, MATRIX_240M, MATRIX_2020})
"""Matrices that libswscale computes with."""

_UNIT = 1 << 16
_LAST_UNIT = 1 << 30


@dataclass(frozen=True)
class Colour:
    """How the numbers of an image mean colours, in the codes of ISO/IEC 23091-2."""

    matrix: int
    """RGB to YUV matrix; always one of the known ones."""
    primaries: int = UNSPECIFIED
    """What red, green and blue are."""
    transfer: int = UNSPECIFIED
    """The curve from light to numbers."""


def known_matrix(tag: int, height: int) -> int:
    """Return the matrix of an image: its tag where it has a known one, else by convention.

    The convention is BT.709 from 720 lines up and BT.601 below. BT.2020 with constant luminance is read as
    the usual non-constant one, because libswscale knows only that.
    """
    if tag == MATRIX_2020_CONSTANT:
        return MATRIX_2020
    if tag in _KNOWN_MATRICES:
        return tag
    return MATRIX_709 if height >= 720 else MATRIX_601


@dataclass(frozen=True)
class Orientation:
    """How a stored image is turned to stand upright: transposed first, then flipped."""

    transposed: bool = False
    flip_rows: bool = False
    flip_columns: bool = False

    @classmethod
    def from_matrix(cls, matrix: Sequence[int] | None) -> Orientation:
        """Read a display matrix of nine integers; anything but a right angle is left to the player."""
        if matrix is None:
            return cls()
        a, b, c, d = (0 if abs(matrix[i]) < _UNIT // 100 else matrix[i] for i in (0, 1, 3, 4))
        if a and d and not b and not c:
            return cls(False, flip_rows=d < 0, flip_columns=a < 0)
        if b and c and not a and not d:
            return cls(True, flip_rows=b < 0, flip_columns=c < 0)
        return cls()

    def upright(self, stored: Rgb) -> Rgb:
        """Turn a stored uint8[H, W, 3] image upright; C-contiguous, a copy only where needed."""
        pixels = _whole_pixels(stored)
        if self.transposed:
            pixels = pixels.T
        return _three_channels(pixels[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1])

    def stored(self, upright: Rgb) -> Rgb:
        """Turn an upright uint8[H, W, 3] image back to how the file stores it; C-contiguous."""
        pixels = _whole_pixels(upright)
        pixels = pixels[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]
        return _three_channels(pixels.T if self.transposed else pixels)

    def stored_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the stored image for an upright one."""
        return (width, height) if self.transposed else (height, width)

    def matrix(self, height: int, width: int) -> tuple[int, ...]:
        """Return the display matrix for an upright image of this size."""
        row, column = (-_UNIT if flip else _UNIT for flip in (self.flip_rows, self.flip_columns))
        x = width * _UNIT if self.flip_columns else 0
        y = height * _UNIT if self.flip_rows else 0
        turn = (0, row, 0, column, 0, 0) if self.transposed else (column, 0, 0, 0, row, 0)
        return (*turn, x, y, _LAST_UNIT)


def _whole_pixels(rgb: Rgb) -> Any:
    """View uint8[H, W, 3] as [H, W] of three-byte items: turning those is three times as fast."""
    return np.ascontiguousarray(rgb).view("V3")[..., 0]  # [H, W, 3] → [H, W]


def _three_channels(pixels: Any) -> Rgb:
    height, width = pixels.shape
    rgb: Rgb = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, width, 3)  # [H, W] → [H, W, 3]
    return rgb


@dataclass(frozen=True)
class VideoFacts:
    """What a writer must know to store frames the way their file did."""

    path: Path
    """The file."""
    time_base: Fraction
    """Seconds per unit of the frames' pts."""
    first_pts: int
    """The pts of the first frame: no later frame has a smaller one."""
    frame_rate: Fraction | None
    """Mean frames per second, where known."""
    sample_aspect_ratio: Fraction | None
    """Width by height of one stored pixel, where the file says it."""
    display_matrix: tuple[int, ...] | None
    """Nine integers that turn the stored image upright, where the file has them."""
    colour: Colour
    """Colour of the stored images."""
    hdr: Hdr | None = None
    """What is said of its high dynamic range, where it is."""


@dataclass(frozen=True)
class Chapter:
    """A named part of a file."""

    start: Fraction
    """Seconds."""
    end: Fraction
    """Seconds."""
    metadata: Mapping[str, str]


class SideStreams:
    """Everything in a file beside the video that is translated: its other streams, chapters and metadata.

    The reader puts packets in, in the order of the file; every writer gets all of them. Where no writer
    asked for them they are dropped.
    """

    def __init__(
        self,
        streams: Sequence[av.stream.Stream],
        chapters: Sequence[Chapter],
        metadata: Mapping[str, str],
        video_metadata: Mapping[str, str],
    ) -> None:
        self.streams = tuple(streams)
        self.chapters = tuple(chapters)
        self.metadata = dict(metadata)
        self.video_metadata = dict(video_metadata)
        self.ended = False
        """Set by the reader after the last packet."""
        self.frames_before = 0
        """Frames of the video that are left out before the first one; set by the reader."""
        self._early: list[av.packet.Packet[Any]] = []  # put in before the first writer asked
        self._writers: list[deque[av.packet.Packet[Any]]] = []

    @property
    def wanted(self) -> bool:
        """True where a writer will take the packets."""
        return bool(self._writers)

    def put(self, packet: av.packet.Packet[Any]) -> None:
        """Hand over a packet; the caller gives it up."""
        if not self._writers:
            self._early.append(packet)
        for number, waiting in enumerate(self._writers):
            waiting.append(packet if number == 0 else copied(packet))

    def drop(self) -> None:
        """Forget what was put in so far; for a reader whose packets nobody wants."""
        self._early.clear()

    def subscribe(self) -> deque[av.packet.Packet[Any]]:
        """Return the packets for one writer, who takes them from the left and may change them.

        Called before the reader goes on; packets are appended to it as they are read.
        """
        waiting = deque(copied(packet) for packet in self._early)
        self._writers.append(waiting)
        return waiting


def copied(packet: av.packet.Packet[Any]) -> av.packet.Packet[Any]:
    """Return a packet of the same content, whose times and stream can be set apart."""
    copy: av.packet.Packet[Any] = av.packet.Packet(bytes(packet))
    copy.stream = packet.stream
    copy.time_base = packet.time_base
    copy.pts, copy.dts = packet.pts, packet.dts
    copy.duration = packet.duration or 0
    copy.is_keyframe, copy.is_corrupt = packet.is_keyframe, packet.is_corrupt
    for data in packet.iter_sidedata():
        copy.set_sidedata(data)
    return copy


@dataclass(frozen=True)
class FileInfo(SourceInfo):
    """What is known of a stream that is read from a video file."""

    video: VideoFacts
    """How the file stores its frames."""
    side: SideStreams
    """Its other streams, chapters and metadata."""


def rational(value: Any) -> Fraction | None:
    """Return FFmpeg's fraction as a Fraction; None where it is unset (zero or missing)."""
    if not value:
        return None
    return Fraction(value.numerator, value.denominator)


def known_code(tag: int) -> int:
    """Return the code of primaries or a transfer curve; the reserved ones are unspecified."""
    return UNSPECIFIED if tag in (0, 3) else tag


def packet_time(packet: av.packet.Packet[Any]) -> Fraction | None:
    """Return the decoding time of a packet in seconds, the presentation time where it has none."""
    stamp = packet.dts if packet.dts is not None else packet.pts
    return (
        None if stamp is None else stamp * Fraction(packet.time_base.numerator, packet.time_base.denominator)
    )


def local_name(path: Path) -> str:
    """Return the path as FFmpeg must be given it: absolute, so that no colon makes it an address."""
    return str(path.absolute())


def reason(error: BaseException) -> str:
    """Return an operating system's or FFmpeg's error in words, without its number."""
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
