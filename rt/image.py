"""Still images in and out, for everybody: one decoder and one encoder, on Pillow."""

from __future__ import annotations

import io
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageCms,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    QoiImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from rt.errors import SinkError, SourceError
from rt.frame import Rgb
from rt.install import install_hint
from rt.replacing import replacing

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
_FAULTS = (
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
_LITTER = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"})
_ORIENTATION, _MAKER, _MODEL, _EXIF_IFD, _GPS_IFD = 274, 271, 272, 0x8769, 0x8825
_KEPT_TAGS = (270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 33432, *range(40091, 40096))
"""EXIF tags of the first directory that are true of the translated image too: description, maker, model,
resolution, software, date, artist, host, rating, copyright, and what Windows writes."""
_COLOUR_SPACE, _WIDTH, _HEIGHT = 0xA001, 0xA002, 0xA003
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What an EXIF orientation asks for; 1 is upright. Source: CIPA DC-008, tag 274."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""What ends the compressed part of a JPEG: a marker that is neither a stuffed zero nor a restart."""
_PNG = b"\x89PNG\r\n\x1a\n"
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_SRGB_LEVELS = 2
"""A profile that moves no colour by more levels is sRGB under another name: the numbers stay."""
_quiet_lock = threading.RLock()


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
    pixels whoever asks.

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
        exif = _exif_of(image)
    lying = exif.get(_ORIENTATION, 1) in (5, 6, 7, 8)
    size = (image.width, image.height) if lying else (image.height, image.width)
    return size, bool(exif.get(_MAKER) or exif.get(_MODEL))


def is_animated(path: Path) -> bool:
    """Tell whether a file is an image that moves; False where it cannot be read."""
    try:
        image = open_image(read_content(path), ("PNG", "WEBP", "AVIF", "GIF"), whole=False)
    except SourceError:
        return False
    with quiet():
        return count_frames(image) > 1


def count_frames(image: ImageFile.ImageFile) -> int:
    """Return how many images a file holds, as far as it can be read."""
    try:
        return int(getattr(image, "n_frames", 1))
    except _FAULTS:
        return 1


def read_content(path: Path) -> bytes:
    """Return the bytes of a file that should be an image.

    Raises:
        SourceError: it cannot be read, or is empty; the message lacks its name.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(_reason(error)) from None
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


def still_from(image: ImageFile.ImageFile) -> StillImage:
    """Decode an opened image, at the frame where it stands.

    Raises:
        SourceError: it is not whole, or of a kind of pixels that is not read.
    """
    try:
        stored_size, deep = image.size, any("16" in str(tile[3]) for tile in image.tile)
        image.load()
        with quiet():
            exif = _exif_of(image)
        turn = _TURNS.get(exif.get(_ORIENTATION, 1))
        stored = _stored(image, deep)
        icc = image.info.get("icc_profile") or b""
        base, alpha = _levels(image)
        base, kept = _in_srgb(base, icc)
        rgb = np.array(base, np.uint8)
        if alpha is not None:
            rgb = _on_white(rgb, np.asarray(alpha, np.uint8))
        if turn is not None:
            rgb = np.array(Image.fromarray(rgb).transpose(turn), np.uint8)
    except _FAULTS as error:
        raise SourceError(f"it is damaged ({_reason(error)})") from None
    height, width = rgb.shape[:2]
    kind = image.format or ""
    if kind not in KINDS:
        kind = "HEIF"
    with quiet():
        facts = _kept_exif(exif, height, width, icc != kept)
        count = count_frames(image)
    return StillImage(rgb, kind, stored, stored_size != (width, height), facts, kept, count)


def encode_image(
    rgb: Rgb, kind: str, like: StillImage | None = None, options: dict[str, Any] | None = None
) -> bytes:
    """Encode uint8[H, W, 3] RGB in sRGB as one of `WRITTEN`.

    Args:
        rgb: the pixels.
        kind: what is written.
        like: the image that these pixels are a translation of, whose EXIF and profile are kept.
        options: words of Pillow for this kind; None: the usual ones.

    Raises:
        SinkError: it is too large for the kind.
    """
    chosen = dict(_OPTIONS.get(kind, {}) if options is None else options)
    if like is not None and kind in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF"):
        chosen |= {"icc_profile": like.icc} if like.icc else {}
        if like.exif and kind != "TIFF":  # its own tags are of the same kind as those
            chosen["exif"] = like.exif
    image: Image.Image = Image.fromarray(rgb)
    if kind == "GIF":
        image = image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
    written = io.BytesIO()
    try:
        image.save(written, kind, **chosen)
    except (OSError, ValueError, struct.error) as error:
        size = f"{rgb.shape[1]}x{rgb.shape[0]}"
        raise SinkError(f"an image of {size} cannot be written as {kind} ({_reason(error)})") from None
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
        raise SinkError(f"cannot write {path}: {_reason(error)}") from None


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
        except _FAULTS as error:
            fault = _reason(error)
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
    except _FAULTS as error:
        raise SourceError(f"it is damaged ({_reason(error)})") from None
    return image


def _levels(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return the image in 8 bits as L, RGB or CMYK, and its alpha where some of it is transparent."""
    if image.mode.startswith(("I", "F")):
        return _from_deep(image)
    if image.mode in ("La", "LA"):
        both = image.convert("LA")
        return both.getchannel("L"), both.getchannel("A")
    if image.mode in ("RGBA", "RGBa", "PA") or image.has_transparency_data:
        both = image.convert("RGBA")
        return both.convert("RGB"), both.getchannel("A")
    if image.mode == "1":
        return image.convert("L"), None
    return (image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")), None


def _from_deep(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return an image of 16 bits, 32 bits or floats in 8 bits; the upper ones, as Pillow does with RGB."""
    levels = np.asarray(image)
    if image.mode == "F":
        levels = np.rint(np.nan_to_num(levels).clip(0, 1) * 255)
    else:
        levels = levels >> (8 if levels.max(initial=0) < 1 << 16 else 24)
    seen = image.info.get("transparency")
    alpha = None if not isinstance(seen, int) else Image.fromarray(_opaque(np.asarray(image) != seen))
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8)), alpha


def _opaque(where: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    levels: npt.NDArray[np.uint8] = where.astype(np.uint8) * np.uint8(255)
    return levels


def _in_srgb(base: Image.Image, icc: bytes) -> tuple[Image.Image, bytes]:
    """Return L, RGB or CMYK as RGB in sRGB, and the profile that these numbers have."""
    transform, is_srgb = _transform(icc, base.mode) if icc else (None, False)
    if transform is None and icc and base.mode == "L":  # gray pixels with the profile of the camera's colours
        base = base.convert("RGB")
        transform, is_srgb = _transform(icc, "RGB")
    if is_srgb:
        return _rgb(base), icc
    if transform is None:
        return _rgb(base), b""
    found = transform.apply(base)
    assert found.size == base.size, "a colour transform changed the size"
    return found, _srgb_profile()


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy it


@lru_cache(maxsize=16)
def _transform(icc: bytes, mode: str) -> tuple[ImageCms.ImageCmsTransform | None, bool]:
    """Return what turns colours of a profile into sRGB (None: it does not fit); and whether it is sRGB."""
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(icc)),
            ImageCms.createProfile("sRGB"),
            *(mode, "RGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE,  # threads share it
        )
    except (ImageCms.PyCMSError, *_FAULTS):
        return None, False
    if mode == "CMYK":
        return transform, False
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 15, dtype=np.uint8)] * 3), -1).reshape(1, -1, 3)
    sample = Image.fromarray(np.ascontiguousarray(colours)) if mode == "RGB" else _ramp()
    before, after = (np.asarray(each.convert("RGB"), int) for each in (sample, transform.apply(sample)))
    return transform, bool(np.abs(after - before).max() <= _SRGB_LEVELS)


def _ramp() -> Image.Image:
    return Image.fromarray(np.arange(256, dtype=np.uint8)[None])


@lru_cache(maxsize=1)
def _srgb_profile() -> bytes:
    """Return an sRGB profile; the same bytes every day."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    date = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)  # Source: ICC.1:2022, 7.2: bytes 24 to 35 are its date,
    return made[:24] + date + made[36:84] + bytes(16) + made[100:]  # 84 to 99 its checksum, none where zero


def _on_white(rgb: Rgb, alpha: npt.NDArray[np.uint8]) -> Rgb:
    share = alpha[..., None].astype(np.uint32)
    composed: Rgb = ((rgb * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
    return composed


def _stored(image: Image.Image, deep: bool) -> str:
    if deep or image.mode.startswith(("I", "F")):
        return "16-bit"
    if image.mode in ("1", "L", "LA", "La"):
        return "grey"
    return "alpha" if image.mode == "RGBa" or image.has_transparency_data else "rgb"


def _exif_of(image: Image.Image) -> Image.Exif:
    try:
        return image.getexif()
    except _FAULTS:
        return Image.Exif()


def _kept_exif(found: Image.Exif, height: int, width: int, recoloured: bool) -> bytes:
    """Return EXIF of an upright image of this size, with what is still true; empty where nothing is."""
    try:
        kept = Image.Exif()
        for tag in _KEPT_TAGS:
            if tag in found:
                kept[tag] = found[tag]
        details, place = dict(found.get_ifd(_EXIF_IFD)), dict(found.get_ifd(_GPS_IFD))
        if details:
            details |= {_WIDTH: width, _HEIGHT: height}
            if recoloured:
                details[_COLOUR_SPACE] = 1  # sRGB
            kept[_EXIF_IFD] = details
        if place:
            kept[_GPS_IFD] = place
        if not len(kept):
            return b""
        kept[_ORIENTATION] = 1
        return kept.tobytes()
    except _FAULTS:
        return b""


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
