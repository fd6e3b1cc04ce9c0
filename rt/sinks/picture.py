"""One picture into one file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.video.reformatter import VideoReformatter

from rt.errors import SinkError
from rt.frame import Rgb
from rt.media import ACCURATE_ROUNDING, BILINEAR, MATRIX_470BG, RANGE_FULL, reason

SUFFIXES = {".png": "png", ".jpg": "mjpeg", ".jpeg": "mjpeg"}
"""Suffix of a picture → FFmpeg's name of what codes it."""
JPEG_QUALITY = {"qmin": "2", "qmax": "2"}
"""FFmpeg's scale, from 1 to 31: 2 is about quality 95 of other programs."""


def write_picture(rgb: Rgb, path: Path) -> None:
    """Write uint8[H, W, 3] RGB as PNG or JPEG, as the suffix says: under a temporary name, then renamed.

    Raises:
        SinkError: the file cannot be written, or its suffix is not one of `SUFFIXES`.
    """
    codec = SUFFIXES.get(path.suffix.lower())
    if codec is None:
        raise SinkError(f"cannot write {path}: a picture's name ends in one of {', '.join(SUFFIXES)}")
    part = path.with_name(f"{path.name}.part")
    try:
        data = _encoded(rgb, codec)
        part.write_bytes(data)
        part.replace(path)
    except (OSError, av.error.FFmpegError, ValueError) as error:
        part.unlink(missing_ok=True)
        raise SinkError(f"cannot write {path}: {reason(error)}") from None
    except BaseException:  # an interrupt
        part.unlink(missing_ok=True)
        raise


def _encoded(rgb: Rgb, codec: str) -> bytes:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.height, encoder.width = rgb.shape[:2]
    encoder.time_base = Fraction(1, 1)
    picture = av.VideoFrame.from_numpy_buffer(rgb, "rgb24")
    if codec == "png":
        encoder.pix_fmt = "rgb24"
    else:
        encoder.pix_fmt, encoder.options = "yuvj444p", JPEG_QUALITY
        picture.colorspace = MATRIX_470BG  # what a JPEG file is read with
        picture = VideoReformatter().reformat(
            picture,
            format="yuvj444p",
            dst_color_range=RANGE_FULL,
            interpolation=BILINEAR | ACCURATE_ROUNDING,
        )
    picture.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(picture), *encoder.encode(None)])
