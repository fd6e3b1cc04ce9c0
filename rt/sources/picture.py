"""One still picture: JPEG, PNG, WebP, BMP or TIFF, read whole and upright."""

from __future__ import annotations

import io
import re
from pathlib import Path

import av
import av.error
from av.video.reformatter import VideoReformatter

from rt.errors import SourceError
from rt.frame import Rgb
from rt.media import MATRIX_601, UNSPECIFIED, Orientation, known_matrix, reason
from rt.planes import as_rgb

_UPRIGHT = {
    2: Orientation(flip_columns=True),
    3: Orientation(flip_rows=True, flip_columns=True),
    4: Orientation(flip_rows=True),
    5: Orientation(transposed=True),
    6: Orientation(transposed=True, flip_columns=True),
    7: Orientation(transposed=True, flip_rows=True, flip_columns=True),
    8: Orientation(transposed=True, flip_rows=True),
}
"""What an EXIF orientation asks for; 1 is upright. Source: CIPA DC-008, tag 274."""
_COMPRESSION_TAG, _ORIENTATION_TAG = 259, 274
_JPEG_IN_TIFF = (6, 7)
"""Compressions that FFmpeg gives out as black pictures. Source: TIFF 6.0, section 22; Technical Note 2."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends the compressed part of a JPEG: a marker that is neither a stuffed zero nor a restart."""
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"


def read_picture(path: Path) -> Rgb:
    """Return the picture as uint8[H, W, 3] RGB, turned as its EXIF tag says.

    16 bits become 8, gray becomes RGB, transparency is left out. The content decides, not the suffix.

    Raises:
        SourceError: it cannot be opened, is no picture, or is not whole; the message lacks its name.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(reason(error)) from None
    if not content:
        raise SourceError("the file is empty (0 bytes)")
    if content[:2] == b"\xff\xd8" and not is_whole_jpeg(content):
        raise SourceError("it is cut short")
    if _tag(content, _COMPRESSION_TAG) in _JPEG_IN_TIFF:
        raise SourceError("it is a TIFF that holds a JPEG, which is not read; save it as PNG")
    rgb = _decode(content)
    return _UPRIGHT.get(orientation(content), Orientation()).upright(rgb)


def _decode(content: bytes) -> Rgb:
    try:
        with av.open(io.BytesIO(content), metadata_errors="replace") as container:
            if not container.format.name.endswith("_pipe"):
                raise SourceError("it is not a picture")
            picture = next(container.decode(video=0), None)
            if picture is None or picture.is_corrupt:
                raise SourceError("it is damaged")
            tag = int(picture.colorspace)
            matrix = MATRIX_601 if tag == UNSPECIFIED else known_matrix(tag, picture.height)
            return as_rgb(picture, VideoReformatter(), (picture.height, picture.width), matrix)
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        raise SourceError(f"it is damaged or not a picture ({reason(error)})") from None


def is_whole_jpeg(content: bytes) -> bool:
    """Walk the segments to the end of the image: decoders fill what is missing with gray and say nothing.

    What follows it, such as the video of a phone's moving picture, does not matter.
    """
    at = 2
    while at + 4 <= len(content):
        marker = content[at : at + 2]
        if marker == _END_OF_IMAGE:
            return True
        if marker[0] != 0xFF:
            return False
        if marker[1] == 0xFF:  # a fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == _START_OF_SCAN:
            following = _MARKER.search(content, at)
            if following is None:
                return False
            at = following.start()
    return content[at : at + 2] == _END_OF_IMAGE


def orientation(content: bytes) -> int:
    """Return the EXIF orientation of a picture file, 1 to 8; 1 where it has none."""
    found = _tag(_exif(content), _ORIENTATION_TAG)
    return found if found in _UPRIGHT else 1


def _tag(content: bytes, wanted: int) -> int | None:
    """Return the number of a tag in the first directory of a TIFF structure; None where it has none."""
    tiff = _tiff(content)

    def number(at: int, length: int) -> int:
        return int.from_bytes(tiff[at : at + length], "little" if tiff[:1] == b"I" else "big")

    entries_at = number(4, 4)
    for index in range(number(entries_at, 2)):
        at = entries_at + 2 + 12 * index
        if number(at, 2) == wanted:
            return number(at + 8, 2)
    return None


def _tiff(content: bytes) -> bytes:
    """Return what begins like a TIFF structure; nothing of anything else."""
    return content if content[:4] in (b"II*\0", b"MM\0*") else b""


def _exif(content: bytes) -> bytes:
    """Return the TIFF structure that holds a picture's tags; empty where there is none."""
    if tiff := _tiff(content):
        return tiff
    if content[:2] == b"\xff\xd8":
        return _after(content[: 1 << 17], b"Exif\0\0")
    if content[:8] == b"\x89PNG\r\n\x1a\n":
        return _after(content, b"eXIf")
    if content[8:12] == b"WEBP":
        return _after(content, b"EXIF")[4:].removeprefix(b"Exif\0\0")  # behind the length of the chunk
    return b""


def _after(content: bytes, mark: bytes) -> bytes:
    return content.partition(mark)[2]
