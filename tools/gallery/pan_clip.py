"""Write a clip of a camera that moves over a photo.

    python -m tools.gallery.pan_clip PHOTO FOLDER

FOLDER/pan.mp4 is four seconds of 640x480 at 30 frames a second: nearer and sideways, as a hand does it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np

from rt.errors import VideobrushError
from rt.frame import Rgb
from train.data.images import load_image

SIZE = (480, 640)
"""(height, width) of the clip."""
FPS, SECONDS = 30, 4


def main() -> int:
    """Write the clip."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("photo", type=Path)
    made.add_argument("folder", type=Path)
    given = made.parse_args()
    try:
        rgb = load_image(given.photo)
        if rgb is None or min(rgb.shape[:2]) < SIZE[0]:
            raise VideobrushError(f"{given.photo} is no photo of {SIZE[0]} px and more on its shorter side")
        given.folder.mkdir(parents=True, exist_ok=True)
        write(given.folder / "pan.mp4", pan(rgb))
    except VideobrushError as error:
        print(f"pan_clip: {error}", file=sys.stderr)
        return 1
    return 0


def pan(rgb: Rgb) -> Iterator[Rgb]:
    """Yield the frames, uint8[480, 640, 3] RGB; the photo is shrunk to 1.6 times their height first."""
    scale = max(1.6 * SIZE[0] / rgb.shape[0], 1.6 * SIZE[1] / rgb.shape[1])
    whole = rgb if scale >= 1 else cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = whole.shape[:2]
    for time in np.linspace(0, 1, FPS * SECONDS, endpoint=False):
        share = 1 - 0.3 * (0.5 - 0.5 * np.cos(2 * np.pi * time))  # of the whole that is seen
        seen = share * min(height / SIZE[0], width / SIZE[1])
        x = width / 2 + (width - seen * SIZE[1]) / 2 * 0.9 * np.sin(2 * np.pi * time)
        y = height / 2 + (height - seen * SIZE[0]) / 2 * 0.9 * np.sin(4 * np.pi * time)
        corner = [x - seen * SIZE[1] / 2, y - seen * SIZE[0] / 2]
        looked_up = np.array([[seen, 0, corner[0]], [0, seen, corner[1]]])
        method = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        frame = cv2.warpAffine(whole, looked_up, SIZE[::-1], flags=method, borderMode=cv2.BORDER_REFLECT)
        yield np.asarray(frame, np.uint8)


def write(path: Path, frames: Iterator[Rgb]) -> None:
    """Write H.264 in MP4."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "16"}
        for rgb in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, "rgb24")))
        container.mux(stream.encode())


if __name__ == "__main__":
    sys.exit(main())
