"""XMP and PNG's text chunks: what stays true of a translation."""

from __future__ import annotations

import re
from typing import Any

from PIL import Image, PngImagePlugin

XMP_KINDS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF")
"""Kinds in which XMP is written."""
Text = tuple[str, str, str, str]
"""Key, words, their language, and the key in that language."""

_XMP_KEY = "XML:com.adobe.xmp"
_XMP_TAG = 700
"""Of TIFF. Source: XMP specification, part 3."""
_MOST_IN_JPEG = 65_502
"""Bytes of XMP that one segment of a JPEG holds."""
_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>\s*))\d+")
_NOT_HELD = (
    b"http://ns.google.com/photos/1.0/",  # moving photos, depth: data behind the image
    b"http://ns.google.com/photos/dd/1.0/",
    b"http://ns.adobe.com/hdr-gain-map/1.0/",
    b"http://ns.apple.com/HDRGainMap/1.0/",
    b"http://ns.adobe.com/xmp/note/",  # the rest of it stands elsewhere
    b"xmp:Thumbnails",
    b"xapGImg:image",
)
"""XMP that speaks of these describes a file with more in it than the image."""
_OTHERS_KEYS = ("Raw profile type ", _XMP_KEY)
"""Keys of text that is EXIF, IPTC or XMP, kept as such or not at all."""


def kept_xmp(image: Image.Image) -> bytes:
    """Return the XMP of an image for a file of its upright pixels; empty where nothing of it is true."""
    found = image.info.get("xmp") or b""
    xmp = found.encode() if isinstance(found, str) else bytes(found).rstrip(b"\0")
    if any(name in xmp for name in _NOT_HELD):
        return b""
    return _ORIENTATION.sub(rb"\g<1>1", xmp)


def kept_texts(image: Image.Image) -> tuple[Text, ...]:
    """Return the text chunks of a PNG."""
    texts = getattr(image, "text", None)
    if not isinstance(image, PngImagePlugin.PngImageFile) or not isinstance(texts, dict):
        return ()
    return tuple(
        (key, str(words), str(getattr(words, "lang", "") or ""), str(getattr(words, "tkey", "") or ""))
        for key, words in texts.items()
        if not key.startswith(_OTHERS_KEYS)
    )


def word_options(kind: str, xmp: bytes, texts: tuple[Text, ...]) -> dict[str, Any]:
    """Return what Pillow must be told to write XMP and texts, as far as the kind holds them."""
    if kind == "PNG":
        return {"pnginfo": _chunks(xmp, texts)} if xmp or texts else {}
    if not xmp or kind not in XMP_KINDS or (kind == "JPEG" and len(xmp) > _MOST_IN_JPEG):
        return {}
    return {"tiffinfo": {_XMP_TAG: xmp}} if kind == "TIFF" else {"xmp": xmp}


def _chunks(xmp: bytes, texts: tuple[Text, ...]) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    if xmp:
        info.add_itxt(_XMP_KEY, xmp.decode(errors="replace"))
    for key, words, language, translated in texts:
        if language or translated:
            info.add_itxt(key, words, language, translated)
        else:
            info.add_text(key, words)  # as iTXt where it is not Latin-1
    return info
