"""Write out what has to be looked at before a style ships.

    python -m tools.gallery.look STYLE CLIP... [--out DIR]

Of every clip, in DIR: three frames over its length, at full size, before and at strength 1 and 0.5; and eight
consecutive frames, a part with much change and detail, enlarged: flicker shows as differences between them,
block patterns as grids within them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from rt.errors import VideobrushError
from rt.frame import Rgb
from rt.image import write_image
from rt.styles import Style, find_style
from tools.gallery.viewing import Viewer, count_frames, read_frames, resized, tile, viewing

SHARES = (0.1, 0.5, 0.9)
"""Where in a clip the frames are taken."""
STRENGTHS = (1.0, 0.5)
CONSECUTIVE = 8
PART_PX = 128
"""Side of the part that is enlarged."""
TIMES = 4
"""How many times it is enlarged."""


def main() -> int:
    """Write the images of every clip and say where they are."""
    given = parse()
    try:
        style = find_style(given.style)
        given.out.mkdir(parents=True, exist_ok=True)
        for clip in given.clips:
            for path in look(style, clip, given.out):
                print(path)
    except VideobrushError as error:
        print(f"look: {error}", file=sys.stderr)
        return 1
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("style", help="name or folder of the style")
    made.add_argument("clips", nargs="+", metavar="CLIP")
    made.add_argument("--out", type=Path, default=Path("looks"), metavar="DIR")
    return made.parse_args()


def look(style: Style, clip: str, out: Path) -> list[Path]:
    """Write the images of one clip and return their paths."""
    count = count_frames(clip)
    if count < CONSECUTIVE:
        raise VideobrushError(f"{clip} has {count} frames, {CONSECUTIVE} are needed")
    numbers = sorted({round(share * (count - 1)) for share in SHARES})
    spread = read_frames(clip, numbers)
    middle = (count - CONSECUTIVE) // 2
    stem = f"{style.name}-{Path(clip).stem}"
    written = []
    with viewing(style, spread[0]) as viewer:
        for number, rgb in zip(numbers, spread, strict=True):
            for name, image in versions(viewer, rgb).items():
                written.append(out / f"{stem}-{number:04}-{name}.png")
                write_image(image, written[-1])
        written.append(out / f"{stem}-consecutive.png")
        following = read_frames(clip, range(middle, middle + CONSECUTIVE))
        write_image(consecutive(viewer, following), written[-1])
    return written


def versions(viewer: Viewer, rgb: Rgb) -> dict[str, Rgb]:
    """Return a frame before and at each strength, by the name of its file."""
    return {"before": rgb} | {f"{strength:g}": viewer.translate(rgb, strength) for strength in STRENGTHS}


def consecutive(viewer: Viewer, frames: list[Rgb]) -> Rgb:
    """Return a part of each frame with much change and detail, enlarged, four in a row."""
    after = [viewer.translate(rgb) for rgb in frames]
    top, left = most_changed(frames[0], after[0])
    parts = [rgb[top : top + PART_PX, left : left + PART_PX] for rgb in after]
    height, width = parts[0].shape[:2]
    return tile([resized(part, (TIMES * height, TIMES * width), nearest=True) for part in parts], 4)


def most_changed(before: Rgb, after: Rgb) -> tuple[int, int]:
    """Return (top, left) of the square with most change and detail: in a plain sky nothing can be seen."""
    change = cv2.absdiff(before, after).mean(axis=2)
    detail = np.abs(cv2.Laplacian(cv2.cvtColor(before, cv2.COLOR_RGB2GRAY), cv2.CV_32F))
    height, width = (min(PART_PX, side) for side in change.shape)
    change, detail = (
        cv2.blur(values, (width, height), anchor=(0, 0), borderType=cv2.BORDER_REFLECT)
        for values in (change, detail)
    )
    inside = (change * detail)[: before.shape[0] - height + 1, : before.shape[1] - width + 1]
    top, left = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(top), int(left)


if __name__ == "__main__":
    sys.exit(main())
