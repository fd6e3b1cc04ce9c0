"""Clips for the benches: the bundled one, enlarged."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from rt.demo import CLIP

FPS = 30


def make_clip(path: Path, height: int, width: int, frames: int) -> Path:
    """Write an H.264 clip of the bundled one's images, enlarged, there and back until there are enough."""
    images = []
    with av.open(str(CLIP)) as container:
        for image in container.decode(video=0):
            rgb = image.to_ndarray(format="rgb24")
            scale = max(height / rgb.shape[0], width / rgb.shape[1])
            large = np.asarray(
                cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8
            )
            images.append(av.VideoFrame.from_ndarray(large[:height, :width], format="rgb24"))
    there_and_back = [*images, *reversed(images)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "19"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for index in range(frames):
            image = there_and_back[index % len(there_and_back)]
            image.pts, image.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))
    return path
