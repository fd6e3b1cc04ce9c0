"""EXIF: how an image is held, and what stays true of it."""

from __future__ import annotations

from PIL import Image

from rt.image.header import FAULTS

ORIENTATION, MAKER, MODEL, _EXIF_IFD, _GPS_IFD = 274, 271, 272, 0x8769, 0x8825
_KEPT_TAGS = (270, 271, 272, 282, 283, 296, 305, 306, 315, 316, 18246, 33432, *range(40091, 40096))
"""EXIF tags of the first directory that are true of the translated image too: description, maker, model,
resolution, software, date, artist, host, rating, copyright, and what Windows writes."""
_COLOUR_SPACE, _WIDTH, _HEIGHT = 0xA001, 0xA002, 0xA003
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What an EXIF orientation asks for; 1 is upright. Source: CIPA DC-008, tag 274."""


def exif_of(image: Image.Image) -> Image.Exif:
    """Return what an image's file says beside its pixels; nothing where that is damaged."""
    try:
        return image.getexif()
    except FAULTS:
        return Image.Exif()


def kept_exif(found: Image.Exif, height: int, width: int, recoloured: bool) -> bytes:
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
        kept[ORIENTATION] = 1
        return kept.tobytes()
    except FAULTS:
        return b""
