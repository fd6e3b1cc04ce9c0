"""The colours of images: 8 bits, sRGB, white where they are transparent."""

from __future__ import annotations

import io
import struct
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from rt.frame import Rgb
from rt.image.header import FAULTS

_SRGB_LEVELS = 2
"""A profile that moves no colour by more levels is sRGB under another name: the numbers stay."""


def levels_of(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
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


def in_srgb(base: Image.Image, icc: bytes) -> tuple[Image.Image, bytes]:
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
    except (ImageCms.PyCMSError, *FAULTS):
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


def on_white(rgb: Rgb, alpha: npt.NDArray[np.uint8]) -> Rgb:
    """Return the image over white; `alpha` is uint8[H, W], 255 where it is opaque."""
    share = alpha[..., None].astype(np.uint32)
    composed: Rgb = ((rgb * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
    return composed
