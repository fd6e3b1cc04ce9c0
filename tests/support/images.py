"""Still images of every kind, drawn with the pixels that are right."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from rt.frame import Rgb

HEIGHT, WIDTH = 36, 48


@dataclass(frozen=True)
class Kind:
    """An image file and what has to come of it."""

    suffix: str
    content: bytes
    right: Rgb
    within: float
    """Levels that the mean may be away: 0 for what is stored without loss."""


def scene() -> Rgb:
    """Return uint8[36, 48, 3] RGB: smooth, and different at each corner."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rgb = np.stack([x * 5, y * 7, 200 - x * 2 - y], -1)
    return rgb.astype(np.uint8)


def display_p3() -> bytes:
    """Return a colour profile with the primaries of Display P3, as phones write it."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {
        b"rXYZ": (0.51512, 0.24120, -0.00105),
        b"gXYZ": (0.29198, 0.69225, 0.04189),
        b"bXYZ": (0.15710, 0.06657, 0.78407),
    }
    for number in range(struct.unpack(">I", profile[128:132])[0]):
        tag, at, _ = struct.unpack(">4sII", profile[132 + 12 * number : 144 + 12 * number])
        if tag in primaries:
            profile[at + 8 : at + 20] = struct.pack(">3i", *(round(v * 65536) for v in primaries[tag]))
    return bytes(profile)


def from_display_p3(rgb: Rgb) -> Rgb:
    """Return colours of Display P3 in sRGB. Source: CSS Color 4, section 10.10 (matrices)."""
    coded = rgb / 255
    light = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    matrix = np.array(
        [[1.2249401, -0.2249404, 0], [-0.0420569, 1.0420571, 0], [-0.0196376, -0.0786361, 1.0982735]]
    )
    light = (light @ matrix.T).clip(0, 1)
    coded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    levels: Rgb = np.rint(coded * 255).astype(np.uint8)
    return levels


def on_white(rgb: Rgb, alpha: npt.NDArray[np.uint8]) -> Rgb:
    """Return what is seen of transparent pixels on white paper."""
    share = alpha[..., None] / 255
    composed: Rgb = np.rint(rgb * share + 255 * (1 - share)).astype(np.uint8)
    return composed


def png_of_16_bits(rgb: Rgb) -> bytes:
    """Return a PNG of 16 bits a channel, which Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.tobytes() for row in rgb.astype(">u2") * 257)
    head = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def written(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return an image as a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def all_kinds() -> dict[str, Kind]:
    """Return one image of each kind by its name."""
    rgb = scene()
    image = Image.fromarray(rgb)
    gray = np.asarray(image.convert("L"))
    gray_rgb = np.repeat(gray[..., None], 3, axis=2)
    alpha = np.zeros((HEIGHT, WIDTH), np.uint8)
    alpha[:, 12:] = np.linspace(0, 255, WIDTH - 12).astype(np.uint8)
    rgba = Image.fromarray(np.dstack([rgb, alpha]))
    palette = image.quantize(64)
    seen = np.asarray(palette.convert("RGB"))
    indices = np.asarray(palette)
    p3 = display_p3()
    kinds: dict[str, Kind] = {}

    def add(name: str, suffix: str, content: bytes, right: Rgb, within: float = 0) -> None:
        kinds[name] = Kind(suffix, content, right, within)

    for kind, suffix in (("PNG", ".png"), ("BMP", ".bmp"), ("TIFF", ".tif"), ("PPM", ".ppm")):
        add(f"rgb {kind}", suffix, written(image, kind), rgb)
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        add(f"rgb {compression}", ".tiff", written(image, "TIFF", compression=compression), rgb)
    add("rgb JPEG", ".jpg", written(image, "JPEG", quality=95), rgb, 2)
    add("rgb JPEG 4:2:0 progressive", ".jpeg", written(image, "JPEG", progressive=True), rgb, 5)
    add("rgb JFIF", ".jfif", written(image, "JPEG", quality=95), rgb, 2)
    add("rgb WebP", ".webp", written(image, "WEBP", quality=95), rgb, 4)
    add("rgb WebP lossless", ".webp", written(image, "WEBP", lossless=True), rgb)
    add("rgb AVIF", ".avif", written(image, "AVIF", quality=95), rgb, 4)
    add("gray PNG", ".png", written(image.convert("L"), "PNG"), gray_rgb)
    add("gray JPEG", ".jpg", written(image.convert("L"), "JPEG", quality=95), gray_rgb, 2)
    bilevel = image.convert("1")
    add("bilevel PNG", ".png", written(bilevel, "PNG"), np.asarray(bilevel.convert("RGB")))
    add("palette PNG", ".png", written(palette, "PNG"), seen)
    add("palette GIF", ".gif", written(palette, "GIF"), seen)
    hole = np.where(indices == 3, 0, 255).astype(np.uint8)
    add("palette PNG with a hole", ".png", written(palette, "PNG", transparency=3), on_white(seen, hole))
    add("palette GIF with a hole", ".gif", written(palette, "GIF", transparency=3), on_white(seen, hole))
    add("alpha PNG", ".png", written(rgba, "PNG"), on_white(rgb, alpha))
    add("alpha WebP", ".webp", written(rgba, "WEBP", lossless=True, exact=True), on_white(rgb, alpha))
    add("alpha TIFF", ".tif", written(rgba, "TIFF"), on_white(rgb, alpha))
    both = Image.fromarray(np.dstack([gray, alpha]))
    add("gray alpha PNG", ".png", written(both, "PNG"), on_white(gray_rgb, alpha))
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    add("16-bit gray PNG", ".png", written(deep, "PNG"), gray_rgb)
    add("16-bit gray TIFF", ".tif", written(deep, "TIFF"), gray_rgb)
    add("16-bit rgb PNG", ".png", png_of_16_bits(rgb), rgb)
    add("float TIFF", ".tif", written(Image.fromarray(gray.astype(np.float32) / 255), "TIFF"), gray_rgb)
    add("CMYK JPEG", ".jpg", written(image.convert("CMYK"), "JPEG", quality=95), rgb, 3)
    add("CMYK TIFF", ".tif", written(image.convert("CMYK"), "TIFF"), rgb)
    add("LAB TIFF", ".tif", written(image.convert("LAB"), "TIFF"), rgb, 3)
    add("Display P3 PNG", ".png", written(image, "PNG", icc_profile=p3), from_display_p3(rgb), 1)
    add(
        "Display P3 JPEG", ".jpg", written(image, "JPEG", quality=97, icc_profile=p3), from_display_p3(rgb), 3
    )
    alpha_p3 = written(rgba, "PNG", icc_profile=p3)
    add("Display P3 alpha PNG", ".png", alpha_p3, on_white(from_display_p3(rgb), alpha), 1)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    add("sRGB profile PNG", ".png", written(image, "PNG", icc_profile=srgb), rgb)
    add("profile that is none PNG", ".png", written(image, "PNG", icc_profile=b"no profile" * 20), rgb)
    add("rgb profile on gray PNG", ".png", written(image.convert("L"), "PNG", icc_profile=srgb), gray_rgb)
    tags = Image.Exif()
    tags[274] = 6
    for kind, suffix, within in (("JPEG", ".jpg", 3.0), ("PNG", ".png", 0.0), ("TIFF", ".tif", 0.0)):
        turned = written(image.transpose(Image.Transpose.ROTATE_90), kind, exif=tags)
        add(f"turned {kind}", suffix, turned, rgb, within)
    add("JPEG named HEIC", ".HEIC", written(image, "JPEG", quality=95), rgb, 2)
    add("PNG named JPG", ".jpg", written(image, "PNG"), rgb)
    phone = written(image, "JPEG", quality=95) + bytes(64) + b"ftypmp42" * 100
    add("JPEG with a video behind it", ".jpg", phone, rgb, 2)
    two = written(image, "MPO", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))], quality=95)
    add("two JPEGs in one file", ".jpg", two, rgb, 2)
    return kinds
