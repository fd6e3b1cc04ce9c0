"""Cut square images out of a few large photos: a data folder.

    python tools/gallery/cut_photos.py PHOTOS OUT --held-out NAME... [--leave-out NAME...] [--count 30]

OUT/trainA gets `count` squares of each photo, at random places and from 0.4 to 1 of its short side; OUT/testA
four of each photo that is held out (whole photos, so that nothing in testA was trained on).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from rt.frame import Rgb
from rt.image import write_image
from train.data.images import image_paths, load_image

SMALLEST = 0.4
"""Smallest square, as a share of the photo's short side."""


def cut(rgb: Rgb, count: int, side: int, rng: np.random.Generator) -> list[Rgb]:
    """Return squares uint8[side, side, 3] RGB from random places of a photo."""
    height, width = rgb.shape[:2]
    squares = []
    for _ in range(count):
        span = int(min(height, width) * rng.uniform(SMALLEST, 1.0))
        top, left = int(rng.integers(height - span + 1)), int(rng.integers(width - span + 1))
        square = rgb[top : top + span, left : left + span]
        small = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
        squares.append(np.asarray(small, np.uint8))
    return squares


def write(squares: list[Rgb], folder: Path, name: str) -> None:
    """Write squares as JPEG files name-000.jpg and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, square in enumerate(squares):
        write_image(square, folder / f"{name}-{number:03}.jpg")


def main() -> None:
    """Cut the squares of every photo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--held-out", nargs="+", required=True, help="names of photos for testA alone")
    parser.add_argument("--leave-out", nargs="*", default=[], help="names of photos not to use")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--side", type=int, default=288)
    args = parser.parse_args()
    paths = {path.stem: path for path in image_paths(args.photos)}
    if unknown := sorted({*args.held_out, *args.leave_out} - paths.keys()):
        raise SystemExit(f"no photo {unknown[0]} in {args.photos}: there are {' '.join(paths)}")
    rng = np.random.default_rng(0)
    for name, path in paths.items():
        rgb = load_image(path)
        if rgb is None or name in args.leave_out:
            continue
        held = name in args.held_out
        squares = cut(rgb, 4 if held else args.count, args.side, rng)
        write(squares, args.out / ("testA" if held else "trainA"), name)


if __name__ == "__main__":
    main()
