"""Picture folders to batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from rt.frame import Rgb
from train.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PictureSet:
    """Decoded pictures, uint8[H, W, 3] RGB, to take random crops from."""

    pictures: Sequence[Rgb]

    def __len__(self) -> int:
        return len(self.pictures)

    def crops(self, count: int, size: int, rng: torch.Generator) -> Tensor:
        """Return `count` random crops, each flipped half the time: float32[N, 3, size, size] in [-1, 1]."""
        chosen = torch.randint(len(self.pictures), (count,), generator=rng)
        return torch.stack([self._crop(int(number), size, rng) for number in chosen])

    def _crop(self, number: int, size: int, rng: torch.Generator) -> Tensor:
        picture = self.pictures[number]
        height, width = picture.shape[:2]
        top = int(torch.randint(height - size + 1, (), generator=rng))
        left = int(torch.randint(width - size + 1, (), generator=rng))
        crop = picture[top : top + size, left : left + size]
        if torch.rand((), generator=rng).item() < 0.5:
            crop = crop[:, ::-1]
        return to_tensor(crop)


def to_tensor(rgb: Rgb) -> Tensor:
    """Turn uint8[H, W, 3] RGB into float32[3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float().div(127.5).sub(1.0)


def to_rgb(picture: Tensor) -> Rgb:
    """Turn float[3, H, W] in [-1, 1] into uint8[H, W, 3] RGB, rounded to the nearest level."""
    levels = (picture.detach().float() * 127.5 + 127.5).round().clamp(0, 255)
    return levels.permute(1, 2, 0).to(torch.uint8).contiguous().numpy()


def picture_paths(folder: Path) -> list[Path]:
    """Return the pictures of a folder in name order.

    Raises:
        DataError: the folder is missing or has no picture.
    """
    if not folder.is_dir():
        raise DataError(
            f"no folder {folder}: unpaired training needs trainA and trainB (and testA, testB) in --data"
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"no picture in {folder}: needed is one of {' '.join(SUFFIXES)}")
    return paths


def read_picture(path: Path) -> Rgb | None:
    """Decode a picture to uint8[H, W, 3] RGB with its EXIF rotation applied; None where it is damaged."""
    content = np.frombuffer(path.read_bytes(), np.uint8)
    bgr = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    return None if bgr is None else cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def write_picture(path: Path, rgb: Rgb) -> None:
    """Write uint8[H, W, 3] RGB as PNG or JPEG (by suffix) under a temporary name, then rename it."""
    ok, content = cv2.imencode(path.suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    if not ok:
        raise DataError(f"picture {path} cannot be encoded: use .png or .jpg")
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content.tobytes())
    temporary.replace(path)


def scale_short_side(rgb: Rgb, short_px: int) -> Rgb:
    """Resize so that the shorter side is `short_px`, keeping the aspect."""
    height, width = rgb.shape[:2]
    scale = short_px / min(height, width)
    if scale == 1:
        return rgb
    size_wh = (max(short_px, round(width * scale)), max(short_px, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(rgb, size_wh, interpolation=method).astype(np.uint8, copy=False)


def load_pictures(folder: Path, load_size: int, limit: int | None = None) -> PictureSet:
    """Decode a folder once, short sides scaled to `load_size`; damaged files are named and left out.

    Raises:
        DataError: the folder is missing, or has no readable picture.
    """
    pictures, damaged = [], []
    for path in picture_paths(folder)[:limit]:
        rgb = read_picture(path)
        if rgb is None:
            damaged.append(path.name)
        else:
            pictures.append(scale_short_side(rgb, load_size))
    if damaged:
        names = ", ".join(damaged[:5]) + (", ..." if len(damaged) > 5 else "")
        log.warning("%d damaged pictures in %s left out: %s", len(damaged), folder, names)
    if not pictures:
        raise DataError(f"no readable picture in {folder}: all {len(damaged)} are damaged")
    return PictureSet(pictures)
