"""Cut the photos that training bundles out of free packages.

    apt-get download lomiri-wallpapers-16.04 && dpkg -x lomiri-wallpapers-16.04_*.deb PACKAGES
    pip download --no-deps scikit-image && python -m zipfile -e scikit_image-*.whl PACKAGES
    python -m tools.gallery.package_photos PACKAGES OUT [--count N]

Without --count OUT gets the bundled photos (train/data/photos); with it N views of every photo at random
places, sizes and sides, for a training that a few whole photos would be too little for. The terms of every
photo are in train/data/photos/NOTICE.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from rt.errors import VideobrushError
from rt.frame import Rgb
from train.data.images import load_image

Box = tuple[float, float, float]
"""Left, top and width of a view, as shares of the photo's width and height and width."""
SIZE = (288, 384)
"""(height, width) of a bundled photo."""
WALLPAPERS, SKIMAGE = "usr/share/backgrounds", "skimage/data"
PHOTOS: dict[str, tuple[str, dict[str, Box]]] = {
    "aitzgorri_by_Aitzol_Berasategi.jpg": (
        WALLPAPERS,
        {"autumn": (0.05, 0.0, 0.88), "autumn-slope": (0.0, 0.3, 0.45)},
    ),
    "friends_by_Aitzol_Berasategi.jpg": (WALLPAPERS, {"dogs": (0.0, 0.25, 1.0)}),
    "life_by_Aitzol_Berasategi.jpg": (
        WALLPAPERS,
        {"brook": (0.05, 0.0, 0.88), "brook-trees": (0.55, 0.0, 0.45)},
    ),
    "picosdeeuropa_by_Aitzol_Berasategi.jpg": (
        WALLPAPERS,
        {"mountains": (0.0, 0.0, 1.0), "mountains-snow": (0.45, 0.1, 0.5)},
    ),
    "seeding_by_Clements_Engelhardt.jpg": (WALLPAPERS, {"dandelions": (0.1, 0.0, 0.74)}),
    "sunset_by_Aitzol_Berasategi.jpg": (WALLPAPERS, {"sunset": (0.05, 0.0, 0.88)}),
    "Wine_by_Jakkub_Mede.jpg": (WALLPAPERS, {"room": (0.0, 0.2, 1.0)}),
    "Image_0B_by_freespace.jpg": (WALLPAPERS, {"fig": (0.0, 0.0, 0.9)}),
    "astronaut.png": (SKIMAGE, {"astronaut": (0.0, 0.0, 1.0), "face": (0.23, 0.0, 0.45)}),
    "chelsea.png": (SKIMAGE, {"cat": (0.05, 0.0, 0.88)}),
    "coffee.png": (SKIMAGE, {"coffee": (0.06, 0.0, 0.88)}),
    "rocket.jpg": (SKIMAGE, {"rocket": (0.1, 0.0, 0.88)}),
}
"""Photos by file: where in the packages, and the bundled views of it by name."""
VIEW = (384, 512)
"""(height, width) of a random view."""
SMALLEST = 0.4
"""Smallest random view, as a share of the photo's short side."""


def main() -> int:
    """Cut the views."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("packages", type=Path)
    made.add_argument("out", type=Path)
    made.add_argument("--count", type=int, default=0)
    given = made.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    try:
        for file, (folder, views) in PHOTOS.items():
            rgb = _read(given.packages / folder / file)
            if given.count:
                for number, view in enumerate(random_views(rgb, given.count, rng)):
                    _write(given.out / f"{Path(file).stem.split('_by_')[0].lower()}-{number:02}.jpg", view)
            else:
                for name, box in views.items():
                    _write(given.out / f"{name}.jpg", bundled_view(rgb, box))
    except VideobrushError as error:
        print(f"package_photos: {error}", file=sys.stderr)
        return 1
    return 0


def bundled_view(rgb: Rgb, box: Box) -> Rgb:
    """Return a view of a photo at the bundled size."""
    height, width = rgb.shape[:2]
    left, top, wide = round(box[0] * width), round(box[1] * height), round(box[2] * width)
    high = min(round(wide * SIZE[0] / SIZE[1]), height - top)
    wide = round(high * SIZE[1] / SIZE[0])
    return _shrunk(rgb[top : top + high, left : left + wide], SIZE)


def random_views(rgb: Rgb, count: int, rng: np.random.Generator) -> list[Rgb]:
    """Return views of 3:4 at random places, the smallest 0.4 of the photo's short side high."""
    height, width = rgb.shape[:2]
    views = []
    for _ in range(count):
        high = int(min(height, width * 3 / 4) * rng.uniform(SMALLEST, 1.0))
        wide = high * 4 // 3
        top, left = int(rng.integers(height - high + 1)), int(rng.integers(width - wide + 1))
        views.append(_shrunk(rgb[top : top + high, left : left + wide], VIEW))
    return views


def _shrunk(rgb: Rgb, size: tuple[int, int]) -> Rgb:
    enlarges = rgb.shape[0] < size[0]
    method = cv2.INTER_CUBIC if enlarges else cv2.INTER_AREA
    return cv2.resize(rgb, size[::-1], interpolation=method).astype(np.uint8, copy=False)


def _read(path: Path) -> Rgb:
    rgb = load_image(path)
    if rgb is None:
        raise VideobrushError(f"no image {path}: unpack both packages, as this module's text says")
    return rgb


def _write(path: Path, rgb: Rgb) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])


if __name__ == "__main__":
    sys.exit(main())
