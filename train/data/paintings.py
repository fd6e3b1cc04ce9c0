"""Paintings that a style is made of, and frames it is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from rt.frame import Rgb
from rt.sources import open_source
from train.data.images import SUFFIXES, image_paths, load_image, scale_short_side
from train.errors import DataError

LEAST_PX = 64
"""Shortest side of a painting that has any strokes to show."""
LARGEST_PX = 1600
"""Short side that larger paintings are shrunk to: finer strokes are not looked at."""
PAINTING_PX = 384
"""Short side of a painting at a scale of 1 where its textures are measured, in squares of 256 px."""
VIEW_PX = 256
FEW_PAINTINGS, MOST_VIEWS = 12, 96
"""Paintings of which every square is looked at, and the most squares of more than these."""
FRAMES = 32
"""Frames of a video that statistics are taken from."""
READ = 600
"""Frames of a video, from its beginning, that these are spread over."""


def read_paintings(path: Path) -> list[Rgb]:
    """Return a painting, or all of a folder.

    Raises:
        DataError: there is none, or one is damaged or too small.
    """
    if not path.exists():
        raise DataError(f"no painting {path}: give an image file, or a folder of them")
    return [_read(one) for one in ([path] if path.is_file() else image_paths(path))]


def _read(path: Path) -> Rgb:
    rgb = load_image(path)
    if rgb is None:
        raise DataError(
            f"painting {path} is no image, or a damaged one: needed is one of {' '.join(SUFFIXES)}"
        )
    height, width = rgb.shape[:2]
    if min(height, width) < LEAST_PX:
        raise DataError(
            f"painting {path} has {width}×{height} pixels: needed are {LEAST_PX} on its shorter side, "
            "better 500 and more"
        )
    return scale_short_side(rgb, LARGEST_PX) if min(height, width) > LARGEST_PX else rgb


def views(painting: Rgb, side: int, scale: float = 1.0) -> list[Rgb]:
    """Return squares uint8[side, side, 3] RGB that cover a painting, its strokes `scale` times as large.

    At a scale of 1 the short side of the painting is the square's; what is smaller than a square at its scale
    is mirrored.
    """
    short = max(8, round(side * scale))
    scaled = scale_short_side(painting, short)
    height, width = scaled.shape[:2]
    if min(height, width) < side:
        around = ((0, max(0, side - height)), (0, max(0, side - width)), (0, 0))
        scaled = np.pad(scaled, around, mode="symmetric")
        height, width = scaled.shape[:2]
    tops, lefts = (_places(length, side) for length in (height, width))
    return [np.ascontiguousarray(scaled[y : y + side, x : x + side]) for y in tops for x in lefts]


def painted_views(paintings: Sequence[Rgb], scale: float = 1.0) -> list[Rgb]:
    """Return the squares of paintings, 256 px each, that Gram matrices and distances are taken of.

    Of more than FEW_PAINTINGS it is one of each, of at most MOST_VIEWS spread over all.
    """
    scale *= PAINTING_PX / VIEW_PX
    if len(paintings) <= FEW_PAINTINGS:
        return [view for painting in paintings for view in views(painting, VIEW_PX, scale)]
    chosen = np.linspace(0, len(paintings) - 1, min(MOST_VIEWS, len(paintings))).round().astype(int)
    kept = []
    for number, which in enumerate(chosen):  # another place of every painting
        seen = views(paintings[which], VIEW_PX, scale)
        kept.append(seen[number % len(seen)])
    return kept


def squares(painting: Rgb, side: int, scale: float) -> list[Rgb]:
    """Return what the network that describes paintings looks at: at a scale of 1 the whole, as a square."""
    if scale == 1.0:
        shrunk = cv2.resize(painting, (side, side), interpolation=cv2.INTER_AREA)
        return [np.asarray(shrunk, np.uint8)]
    return views(painting, side, scale)


def _places(length: int, side: int) -> list[int]:
    """Return where squares begin that cover a length, each over half of the one before."""
    count = 1 + int(np.ceil((length - side) / (side / 2)))
    return sorted({int(place) for place in np.linspace(0, length - side, count)})


def read_frames(source: str, short_px: int) -> list[Rgb]:
    """Return frames of a video, spread over its first 600, or the images of a folder; short sides scaled.

    Raises:
        DataError: there is none.
        SourceError: the video cannot be opened or read.
    """
    if Path(source).is_dir():
        found = [rgb for path in image_paths(Path(source))[:FRAMES] if (rgb := load_image(path)) is not None]
    else:
        with closing(open_source(source)) as opened:
            shown = (frame.rgb for number, frame in enumerate(islice(opened, READ)) if number % 10 == 0)
            kept = [scale_short_side(rgb, short_px) for rgb in shown]
        chosen = np.linspace(0, len(kept) - 1, min(FRAMES, len(kept))).round().astype(int)
        found = [kept[number] for number in chosen]
    if not found:
        raise DataError(f"--frames {source}: it has no image that can be read")
    return [scale_short_side(rgb, short_px) for rgb in found]
