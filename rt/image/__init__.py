"""Still images in and out, for everybody: one decoder and one encoder, on Pillow."""

from __future__ import annotations

import io
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFile

from rt.errors import SinkError, SourceError
from rt.frame import Rgb
from rt.image.colour import in_srgb, levels_of, on_white
from rt.image.exif import MAKER, MODEL, ORIENTATION, TURNS, exif_of, kept_exif
from rt.image.header import (
    FAULTS,
    KINDS,
    MAX_PIXELS,
    READ_SUFFIXES,
    count_frames,
    is_whole_jpeg,
    open_image,
    quiet,
    read_content,
    reason,
)
from rt.image.words import Text, kept_texts, kept_xmp, word_options
from rt.replacing import replacing

__all__ = [
    "JPEG_QUALITY",
    "KINDS",
    "MAX_PIXELS",
    "READ_SUFFIXES",
    "WRITE_SUFFIXES",
    "WRITTEN",
    "StillImage",
    "count_frames",
    "decode_image",
    "encode_image",
    "image_size",
    "is_animated",
    "is_litter",
    "is_whole_jpeg",
    "look_at_header",
    "open_image",
    "quiet",
    "read_content",
    "read_image",
    "still_from",
    "write_image",
]

WRITTEN = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""Kinds that are written."""
WRITE_SUFFIXES = {suffix: kind for kind in WRITTEN for suffix in KINDS[kind]}
"""Suffix of a file name → what is written."""
JPEG_QUALITY = 95
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": JPEG_QUALITY, "subsampling": 0},
    "PNG": {"compress_level": 3},
    "WEBP": {"quality": 92},
    "AVIF": {"quality": 85},
    "TIFF": {"compression": "tiff_lzw"},
}
"""How images are written where nothing else is asked for."""
_LITTER = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"})


@dataclass(frozen=True, eq=False)
class StillImage:
    """A decoded image: its pixels, and what its file says beside them.

    It can be the `image` of a `Frame`, so that a sink can keep what belongs to the file.
    """

    rgb: Rgb
    """uint8[H, W, 3] RGB in sRGB, upright, on white where it is transparent."""
    kind: str
    """One of `KINDS`."""
    stored: str
    """How it is stored: `rgb`, `grey`, `alpha` or `16-bit`."""
    turned: bool
    """Its file holds it turned by a right angle."""
    exif: bytes
    """EXIF for a file of these pixels: upright, without a thumbnail; empty where there is none."""
    icc: bytes
    """Colour profile of these pixels; empty where the file has none: sRGB then."""
    count: int = 1
    """How many images its file holds: frames of an animation, or pages; this is one of them."""
    name: str = ""
    """Name of its file, without folders; empty where it has none."""
    xmp: bytes = b""
    """XMP for a file of these pixels; empty where there is none."""
    texts: tuple[Text, ...] = ()
    """The text chunks of a PNG."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rgb.shape[0], self.rgb.shape[1]


def is_litter(path: Path) -> bool:
    """Tell whether a name in a folder is what systems leave there: `._a.jpg`, `__MACOSX`, `Thumbs.db`."""
    return path.name.startswith(".") or path.name.lower() in _LITTER


def read_image(path: Path) -> StillImage:
    """Read an image file; of several images in one file the first.

    Raises:
        SourceError: it cannot be opened, is no image, too large, or not whole; the message lacks its name.
    """
    still = decode_image(read_content(path))
    return StillImage(**{**vars(still), "name": path.name})


def decode_image(content: bytes, kinds: Collection[str] = tuple(KINDS)) -> StillImage:
    """Decode an image of one of some kinds.

    16 bits become 8 (the upper ones), floats of 0 to 1 and gray become RGB, transparent places become white,
    colours of another profile become sRGB, and what its EXIF tag says is turned. The same bytes give the same
    pixels everywhere.

    Raises:
        SourceError: it is no image, too large, or not whole.
    """
    image = open_image(content, kinds)
    return still_from(image)


def image_size(content: bytes) -> tuple[int, int]:
    """Return (height, width) as the header says, before it is turned upright; nothing is decoded.

    Raises:
        SourceError: it is no image, or too large.
    """
    image = open_image(content)
    return image.height, image.width


def look_at_header(path: Path) -> tuple[tuple[int, int], bool] | None:
    """Return the upright (height, width) of an image file and whether it names its camera, where it can."""
    try:
        image = open_image(read_content(path), whole=False)
    except SourceError:
        return None
    with quiet():
        exif = exif_of(image)
    lying = exif.get(ORIENTATION, 1) in (5, 6, 7, 8)
    size = (image.width, image.height) if lying else (image.height, image.width)
    return size, bool(exif.get(MAKER) or exif.get(MODEL))


def is_animated(path: Path) -> bool:
    """Tell whether a file is an image that moves; False where it cannot be read."""
    try:
        image = open_image(read_content(path), ("PNG", "WEBP", "AVIF", "GIF"), whole=False)
    except SourceError:
        return False
    with quiet():
        return count_frames(image) > 1


def still_from(image: ImageFile.ImageFile) -> StillImage:
    """Decode an opened image, at the frame where it stands.

    Raises:
        SourceError: it is not whole, or of a kind of pixels that is not read.
    """
    try:
        stored_size, deep = image.size, any("16" in str(tile[3]) for tile in image.tile)
        image.load()
        with quiet():
            exif = exif_of(image)
        turn = TURNS.get(exif.get(ORIENTATION, 1))
        stored = _stored(image, deep)
        icc = image.info.get("icc_profile") or b""
        base, alpha = levels_of(image)
        base, kept = in_srgb(base, icc)
        rgb = np.array(base, np.uint8)
        if alpha is not None:
            rgb = on_white(rgb, np.asarray(alpha, np.uint8))
        if turn is not None:
            rgb = np.array(Image.fromarray(rgb).transpose(turn), np.uint8)
    except FAULTS as error:
        raise SourceError(f"it is damaged ({reason(error)})") from None
    height, width = rgb.shape[:2]
    kind = image.format or ""
    if kind not in KINDS:
        kind = "HEIF"
    with quiet():
        facts = kept_exif(exif, height, width, icc != kept)
        xmp, texts = kept_xmp(image), kept_texts(image)
        count = count_frames(image)
    turned = stored_size != (width, height)
    return StillImage(rgb, kind, stored, turned, facts, kept, count, xmp=xmp, texts=texts)


def encode_image(
    rgb: Rgb, kind: str, like: StillImage | None = None, options: dict[str, Any] | None = None
) -> bytes:
    """Encode uint8[H, W, 3] RGB in sRGB as one of `WRITTEN`.

    Args:
        rgb: the pixels.
        kind: what is written.
        like: the image that these pixels are a translation of, whose EXIF, XMP, texts and profile are kept.
        options: words of Pillow for this kind; None: the usual ones.

    Raises:
        SinkError: it is too large for the kind.
    """
    chosen = dict(_OPTIONS.get(kind, {}) if options is None else options)
    if like is not None and kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF"):
        chosen |= {"icc_profile": like.icc} if like.icc else {}
        if like.exif and kind != "TIFF":  # its own tags are of the same kind as those
            chosen["exif"] = like.exif
        chosen |= word_options(kind, like.xmp, like.texts)
    image: Image.Image = Image.fromarray(rgb)
    if kind == "GIF":
        image = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
    written = io.BytesIO()
    try:
        image.save(written, kind, **chosen)
    except (OSError, ValueError, struct.error) as error:
        size = f"{rgb.shape[1]}x{rgb.shape[0]}"
        raise SinkError(f"an image of {size} cannot be written as {kind} ({reason(error)})") from None
    return written.getvalue()


def write_image(rgb: Rgb, path: Path, like: StillImage | None = None) -> None:
    """Write uint8[H, W, 3] RGB as the suffix says: under a temporary name, then renamed.

    Raises:
        SinkError: the file cannot be written, or its suffix is not one of `WRITE_SUFFIXES`.
    """
    kind = WRITE_SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise SinkError(f"cannot write {path}: an image's name ends in one of {', '.join(WRITE_SUFFIXES)}")
    try:
        with replacing(path, flush=False) as part:
            part.write_bytes(encode_image(rgb, kind, like))
    except (OSError, SinkError) as error:
        raise SinkError(f"cannot write {path}: {reason(error)}") from None


def _stored(image: Image.Image, deep: bool) -> str:
    if deep or image.mode.startswith(("I", "F")):
        return "16-bit"
    if image.mode in ("1", "L", "LA", "La"):
        return "grey"
    return "alpha" if image.mode == "RGBa" or image.has_transparency_data else "rgb"
