"""An image file before it is decoded: its kind, its size, its end."""

from __future__ import annotations

import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    QoiImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from rt.errors import SourceError
from rt.install import install_hint

MAX_PIXELS = 1 << 28
"""Most pixels of an image, by its header: larger ones are refused before they are decoded."""
KINDS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png", ".apng"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "JPEG2000": (".jp2", ".j2k"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "QOI": (".qoi",),
    "HEIF": (".heic", ".heif"),
}
"""Kinds of images that are read, and their suffixes. A suffix is a hint: the content decides."""
READ_SUFFIXES = tuple(suffix for suffixes in KINDS.values() for suffix in suffixes)
_READERS: dict[str, tuple[Any, Any]] = {
    "JPEG": (JpegImagePlugin.JpegImageFile, JpegImagePlugin._accept),
    "PNG": (PngImagePlugin.PngImageFile, PngImagePlugin._accept),
    "WEBP": (WebPImagePlugin.WebPImageFile, WebPImagePlugin._accept),
    "AVIF": (AvifImagePlugin.AvifImageFile, AvifImagePlugin._accept),
    "GIF": (GifImagePlugin.GifImageFile, GifImagePlugin._accept),
    "BMP": (BmpImagePlugin.BmpImageFile, BmpImagePlugin._accept),
    "TIFF": (TiffImagePlugin.TiffImageFile, TiffImagePlugin._accept),
    "JPEG2000": (Jpeg2KImagePlugin.Jpeg2KImageFile, Jpeg2KImagePlugin._accept),
    "PPM": (PpmImagePlugin.PpmImageFile, PpmImagePlugin._accept),
    "QOI": (QoiImagePlugin.QoiImageFile, QoiImagePlugin._accept),
}
"""What reads a kind. Not `Image.open`: it warns of sizes that are fine here, and asks programs such as
Ghostscript to read what nobody called an image."""
FAULTS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for damaged content."""
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends the compressed part of a JPEG: a marker that is neither a stuffed zero nor a restart."""
_PNG = b"\x89PNG\r\n\x1a\n"
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_quiet_lock = threading.RLock()


def read_content(path: Path) -> bytes:
    """Return the bytes of a file that should be an image.

    Raises:
        SourceError: it cannot be read, or is empty; the message lacks its name.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(reason(error)) from None
    if not content:
        raise SourceError("the file is empty (0 bytes)")
    return content


def open_image(
    content: bytes, kinds: Collection[str] = tuple(KINDS), *, whole: bool = True
) -> ImageFile.ImageFile:
    """Read the header of an image.

    Raises:
        SourceError: it is no image, too large, or, unless `whole` is False, a JPEG or PNG without its end.
    """
    if whole and not _is_whole(content):
        raise SourceError("it is cut short")
    image = _opened(content, kinds)
    if image.width * image.height > MAX_PIXELS:
        raise SourceError(f"it is {image.width}x{image.height}: at most {MAX_PIXELS} pixels are read")
    return image


def count_frames(image: ImageFile.ImageFile) -> int:
    """Return how many images a file holds, as far as it can be read."""
    try:
        return int(getattr(image, "n_frames", 1))
    except FAULTS:
        return 1


def _is_whole(content: bytes) -> bool:
    """Tell whether a file has its end, of the kinds whose decoders do not say that it is missing."""
    if content.startswith(b"\xff\xd8"):
        return is_whole_jpeg(content)
    return not content.startswith(_PNG) or _is_whole_png(content)


def _is_whole_png(content: bytes) -> bool:
    at = len(_PNG)
    while at + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, at)
        at += 12 + length
        if name == b"IEND":
            return bool(at <= len(content))
    return False


def is_whole_jpeg(content: bytes) -> bool:
    """Walk the segments to the end of the image: decoders fill what is missing with gray and say nothing.

    What follows it, such as the video of a phone's motion photo, does not matter.
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


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's remarks on odd headers from the terminal; one thread at a time, headers are short."""
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _opened(content: bytes, kinds: Collection[str]) -> ImageFile.ImageFile:
    prefix, fault = content[:16], "its first bytes are those of no image"
    if prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIF_BRANDS and "HEIF" in kinds:
        return _opened_heif(content)
    for kind in kinds:
        reader, accept = _READERS.get(kind, (None, None))
        if reader is None or not accept(prefix):
            continue
        try:
            with quiet():
                image: ImageFile.ImageFile = reader(io.BytesIO(content))
        except FAULTS as error:
            fault = reason(error)
            continue
        return image
    if prefix[4:8] == b"ftyp":
        raise SourceError("it is not an image")
    raise SourceError(f"it is damaged or not an image ({fault})")


def _opened_heif(content: bytes) -> ImageFile.ImageFile:
    try:
        from pi_heif import HeifImageFile
    except ImportError:
        try:
            from pillow_heif import HeifImageFile
        except ImportError:
            raise SourceError(
                f"it is HEIC, which is read with one more package: {install_hint('heic')}"
            ) from None
    try:
        image: ImageFile.ImageFile = HeifImageFile(io.BytesIO(content))
    except FAULTS as error:
        raise SourceError(f"it is damaged ({reason(error)})") from None
    return image


def reason(error: BaseException) -> str:
    """Return why a file cannot be used, in the system's or Pillow's words, as the end of a message."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
