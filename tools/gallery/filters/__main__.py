"""Write photos before and after a filter, as pairs to train on.

    python -m tools.gallery.filters FILTER PHOTOS OUT [--size PX] [--view gray]

OUT gets trainA and trainB, and of every ninth photo testA and testB: short sides of --size px, equal names.
With --view gray the images before are gray, as a style exported with that option sees them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rt.card import View
from rt.view import look_at
from tools.gallery.filters import FILTERS
from train.data.images import image_paths, load_image, save_image, scale_short_side
from train.errors import DataError

HELD_EVERY = 9


def main() -> int:
    """Read the arguments, filter every photo, say how many there are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("filter", choices=FILTERS)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--view", choices=("image", "gray"), default="image")
    arguments = parser.parse_args()
    try:
        count = write_pairs(arguments.filter, arguments.photos, arguments.out, arguments.size, arguments.view)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{count} pairs in {arguments.out}")
    return 0


def write_pairs(name: str, photos: Path, out: Path, size: int, view: View = "image") -> int:
    """Write the pairs of a filter; return how many."""
    paths = image_paths(photos)
    for split in ("train", "test"):
        for domain in "AB":
            (out / f"{split}{domain}").mkdir(parents=True)
    count = 0
    for number, path in enumerate(paths):
        rgb = load_image(path)
        if rgb is None:
            continue
        small = scale_short_side(rgb, size)
        split = "test" if number % HELD_EVERY == 4 else "train"
        for domain, image in (("A", look_at(small, view)), ("B", FILTERS[name](small))):
            save_image(out / f"{split}{domain}" / f"{path.stem}.png", image)
        count += 1
    return count


if __name__ == "__main__":
    sys.exit(main())
