"""Make the previews of a style: images and a clip, before and after.

    python -m tools.gallery.previews STYLE --images PATH... --clip FILE [--start S]

STYLE is the style's folder; images (files or folders, eight are needed) and the clip must be ones that may
be passed on; the card's `data` says which of them the style was trained on, best none. Written to
STYLE/previews: grid.jpg, eight images before|after; pair.jpg, the first of them alone; clip.mp4, three
seconds before|after, small and silent.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from rt.errors import SinkError, VideobrushError
from rt.fit import shrink, side_by_side
from rt.frame import Rgb
from rt.image import encode_image
from rt.sources import SourceOptions
from rt.styles import Style, find_style
from tools.gallery.viewing import count_frames, read_frames, resized, tile, viewing
from train.data.images import image_paths, load_image

IMAGES = 8
GRID_BYTES = 90_000
PAIR_BYTES = 36_000
CLIP_BYTES = 100_000
"""Two networks of a style take 6.3 MB: with these and the card six styles fit into the gallery's 40 MB."""
SHOWN = (360, 480)
"""(height, width) at which images are translated."""
CELL = (144, 192)
"""(height, width) of an image in the grid."""
CLIP_HEIGHT = 192
CLIP_FPS = 15
CLIP_S = 3.0


def main() -> int:
    """Write all three."""
    given = parse()
    try:
        style = find_style(Path(given.style))
        folder = style.folder / "previews"
        folder.mkdir(exist_ok=True)
        pairs = list(translated_images(style, chosen(given.images)))
        cells = [side_by_side(*(resized(rgb, CELL) for rgb in pair)) for pair in pairs]
        write_jpeg(folder / "grid.jpg", tile(cells, 2), GRID_BYTES)
        write_jpeg(folder / "pair.jpg", side_by_side(*pairs[0]), PAIR_BYTES)
        write_clip(folder / "clip.mp4", translated_clip(style, given.clip, given.start))
    except VideobrushError as error:
        print(f"previews: {error}", file=sys.stderr)
        return 1
    for path in (folder / "grid.jpg", folder / "pair.jpg", folder / "clip.mp4"):
        print(f"{path}: {path.stat().st_size} bytes")
    return 0


def parse() -> argparse.Namespace:
    """Read the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("style", help="folder of the style")
    made.add_argument("--images", type=Path, nargs="+", required=True, metavar="PATH")
    made.add_argument("--clip", required=True, metavar="FILE")
    made.add_argument(
        "--start", type=float, default=0.0, metavar="S", help="seconds of the clip to leave out"
    )
    return made.parse_args()


def chosen(paths: list[Path]) -> list[Rgb]:
    """Return the first eight images of files and folders, in their order.

    Raises:
        VideobrushError: there are fewer, or one is damaged.
    """
    files = [found for path in paths for found in (image_paths(path) if path.is_dir() else [path])]
    if len(files) < IMAGES:
        raise VideobrushError(f"--images: {len(files)} found, {IMAGES} needed")
    images = []
    for path in files[:IMAGES]:
        if (rgb := load_image(path)) is None:
            raise VideobrushError(f"--images: {path} is no image that can be read")
        images.append(rgb)
    return images


def translated_images(style: Style, images: list[Rgb]) -> Iterator[tuple[Rgb, Rgb]]:
    """Yield each image before and after, cut to one shape."""
    with viewing(style, np.empty((*SHOWN, 3), np.uint8)) as viewer:
        for rgb in images:
            shown = resized(cut(rgb, SHOWN[1] / SHOWN[0]), SHOWN)
            yield viewer.before(shown), viewer.translate(shown)


def cut(rgb: Rgb, aspect: float) -> Rgb:
    """Return the middle of an image at a width over height of `aspect`."""
    height, width = rgb.shape[:2]
    wide, high = min(width, round(height * aspect)), min(height, round(width / aspect))
    top, left = (height - high) // 2, (width - wide) // 2
    return np.ascontiguousarray(rgb[top : top + high, left : left + wide])


def write_jpeg(path: Path, rgb: Rgb, most_bytes: int) -> None:
    """Write an image at the best quality that stays within `most_bytes`.

    Raises:
        SinkError: none does.
    """
    for quality in range(92, 40, -4):
        data = encode_image(rgb, "JPEG", options={"quality": quality})
        if len(data) <= most_bytes:
            path.write_bytes(data)
            return
    raise SinkError(f"{path} does not fit into {most_bytes} bytes")


def translated_clip(style: Style, clip: str, start_s: float) -> list[Rgb]:
    """Return the frames of three seconds, before|after, at their small size.

    Raises:
        VideobrushError: the clip cannot be read, or is shorter.
    """
    part = SourceOptions(start_s=start_s, duration_s=CLIP_S)
    count = count_frames(clip, part)
    wanted = round(CLIP_S * CLIP_FPS)
    if count < wanted:
        raise VideobrushError(
            f"{clip} has {count} frames in {CLIP_S:g} s from {start_s:g} s, {wanted} are needed"
        )
    picked = read_frames(clip, np.linspace(0, count - 1, wanted).round().astype(int).tolist(), part)
    height, width = picked[0].shape[:2]
    small = CLIP_HEIGHT, round(width * CLIP_HEIGHT / height / 2) * 2
    with viewing(style, picked[0]) as viewer:
        return [
            side_by_side(shrink(viewer.before(rgb), small), shrink(viewer.translate(rgb), small))
            for rgb in picked
        ]


def write_clip(path: Path, frames: list[Rgb]) -> None:
    """Write H.264 in MP4 at the best quality that stays within `CLIP_BYTES`.

    Raises:
        SinkError: none does.
    """
    for crf in range(24, 46, 3):
        encode(path, frames, crf)
        if path.stat().st_size <= CLIP_BYTES:
            return
    path.unlink()
    raise SinkError(f"{path} does not fit into {CLIP_BYTES} bytes")


def encode(path: Path, frames: list[Rgb], crf: int) -> None:
    """Write frames as H.264 in MP4, its index in front so that a page can play it at once."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=CLIP_FPS)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(crf), "preset": "slow"}
        for rgb in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    sys.exit(main())
