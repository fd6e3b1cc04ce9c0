"""Make the data folder of `winter`: winter images that show snow.

    python tools/gallery/select_snow.py DATA OUT

DATA has trainA, testA (summer) and trainB, testB (winter) as the CycleGAN paper's Yosemite set; many of its
winter images are nights, sunsets and autumn woods. OUT gets links to the images of DATA: winter images
with much snow and little warm colour, summer images without what looks like snow.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2

from rt.frame import Rgb
from train.data.images import image_paths, load_image
from train.errors import DataError

SNOW_SHARE = 0.14
"""Least share of snow in the lower part of a winter image, and the most of a summer image."""


def snow_share(rgb: Rgb) -> float:
    """Share of the lower 57 % that is bright and nearly colourless, less the share of warm colour."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    low = slice(int(0.43 * len(rgb)), None)
    snow = ((value[low] > 165) & (saturation[low] < 60)).mean()
    warm = ((hue > 8) & (hue < 45) & (saturation > 90)).mean()
    return float(snow - warm)


def select(folder: Path, out: Path, winter: bool) -> tuple[int, int]:
    """Link the images of one folder that fit; return how many of how many."""
    paths = image_paths(folder)
    out.mkdir(parents=True)
    taken = 0
    for path in paths:
        rgb = load_image(path)
        if rgb is not None and (snow_share(rgb) >= SNOW_SHARE) == winter:
            (out / path.name).symlink_to(path.resolve())
            taken += 1
    return taken, len(paths)


def main() -> int:
    """Read the arguments, select, say how much was taken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    if arguments.out.exists():
        print(f"error: {arguments.out} exists: remove it, or give another folder", file=sys.stderr)
        return 1
    try:
        for name in ("trainA", "trainB", "testA", "testB"):
            taken, count = select(arguments.data / name, arguments.out / name, winter=name.endswith("B"))
            print(f"{name}: {taken} of {count}")
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
