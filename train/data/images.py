"""Images: read, scaled, written; sets of them to cut crops from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from rt.backends.cpu import cpu_threads
from rt.errors import SinkError, SourceError
from rt.frame import Rgb
from rt.image import READ_SUFFIXES, is_litter, read_image, write_image
from rt.text import first_few
from train.data.cache import ImageCache
from train.errors import DataError

SUFFIXES = READ_SUFFIXES
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageSet:
    """Decoded images, uint8[H, W, 3] RGB, to take random crops from."""

    images: Sequence[Rgb]

    def __len__(self) -> int:
        return len(self.images)

    def crops(self, count: int, size: int, rng: torch.Generator) -> Tensor:
        """Return `count` random crops, each flipped half the time: float32[N, 3, size, size] in [-1, 1]."""
        chosen = torch.randint(len(self.images), (count,), generator=rng)
        return torch.stack([to_tensor(self.crop(int(number), size, rng)) for number in chosen])

    def crop(self, number: int, size: int, rng: torch.Generator, flip: bool = True) -> Rgb:
        """Return a random crop uint8[size, size, 3] RGB of one image, with `flip` mirrored half the time.

        It may be a view of the image: read it, never write to it.
        """
        image = self.images[number]
        height, width = image.shape[:2]
        top = int(torch.randint(height - size + 1, (), generator=rng))
        left = int(torch.randint(width - size + 1, (), generator=rng))
        mirrored = torch.rand((), generator=rng).item() < 0.5
        crop = image[top : top + size, left : left + size]
        return crop[:, ::-1] if flip and mirrored else crop


def to_tensor(rgb: Rgb) -> Tensor:
    """Turn uint8[H, W, 3] RGB into float32[3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1).float().div(127.5).sub(1.0)


def to_rgb(image: Tensor) -> Rgb:
    """Turn float[3, H, W] in [-1, 1] into uint8[H, W, 3] RGB, rounded to the nearest level."""
    levels = (image.detach().float() * 127.5 + 127.5).round().clamp(0, 255)
    return levels.permute(1, 2, 0).to(torch.uint8).cpu().contiguous().numpy()


def is_image(path: Path) -> bool:
    """Tell whether a file of a folder is an image by its name, and none that a system left there."""
    return path.suffix.lower() in SUFFIXES and not is_litter(path) and not path.is_dir()


def image_paths(folder: Path) -> list[Path]:
    """Return the images of a folder in name order.

    Raises:
        DataError: the folder is missing or has no image.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}: needed is a folder with images")
    paths = sorted(path for path in folder.iterdir() if is_image(path))
    if not paths:
        raise DataError(f"no image in {folder}: needed is one of {' '.join(SUFFIXES)}")
    return paths


def load_image(path: Path) -> Rgb | None:
    """Decode an image of any kind to uint8[H, W, 3] RGB; None where it is damaged or cannot be read.

    The pixels are those that every other reader of images gets; see `rt.image.decode_image`.
    """
    try:
        return read_image(path).rgb
    except SourceError:
        return None


def save_image(path: Path, rgb: Rgb) -> None:
    """Write uint8[H, W, 3] RGB as its suffix says, under a temporary name, then rename it."""
    try:
        write_image(rgb, path)
    except SinkError as error:
        raise DataError(str(error)) from None


def scale_short_side(rgb: Rgb, short_px: int) -> Rgb:
    """Resize so that the shorter side is `short_px`, keeping the aspect."""
    height, width = rgb.shape[:2]
    scale = short_px / min(height, width)
    if scale == 1:
        return rgb
    size_wh = (max(short_px, round(width * scale)), max(short_px, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(rgb, size_wh, interpolation=method).astype(np.uint8, copy=False)


def load_images(folder: Path, load_size: int, limit: int | None = None) -> ImageSet:
    """Decode a folder once, short sides scaled to `load_size`; damaged files are named and left out.

    Raises:
        DataError: the folder is missing, or has no readable image.
    """
    paths = image_paths(folder)[:limit]
    found = read_images(paths, load_size)
    name_damaged(folder, [path for path, rgb in zip(paths, found, strict=True) if rgb is None])
    images = [rgb for rgb in found if rgb is not None]
    if not images:
        raise DataError(f"no readable image in {folder}: all {len(paths)} are damaged")
    return ImageSet(images)


def read_images(paths: Iterable[Path], load_size: int) -> list[Rgb | None]:
    """Decode images on all cores, short sides scaled to `load_size`; None in the place of damaged ones.

    What memory has no room for is kept in a file; see `ImageCache`.

    Raises:
        DataError: the disk has no room either.
    """

    store = ImageCache()

    def read(path: Path) -> Rgb | None:
        rgb = load_image(path)
        return None if rgb is None else store.keep(scale_short_side(rgb, load_size))

    with ThreadPoolExecutor(cpu_threads()) as threads:
        return list(threads.map(read, paths))


def name_damaged(folder: Path, damaged: Sequence[Path]) -> None:
    """Warn of images that are left out: how many, and the first few by name."""
    if damaged:
        names = first_few([path.name for path in damaged], 5)
        log.warning("%d damaged images in %s left out: %s", len(damaged), folder, names)
