"""Image folders drawn for tests: domain A is greenish, domain B bluish white."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rt.frame import Rgb
from train.data.images import save_image

COLOURS = {"A": (70, 120, 50), "B": (190, 200, 225)}


def draw_image(height: int, width: int, seed: int, colour: tuple[int, int, int]) -> Rgb:
    """Return uint8[height, width, 3] RGB: smooth waves and an edge around a mean colour."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    image = np.empty((height, width, 3), np.float32)
    for channel in range(3):
        a, b, c = rng.uniform(0.02, 0.2, 3)
        image[..., channel] = colour[channel] + 25 * np.sin(a * x + b * y + 6 * c)
    image[: int(rng.integers(height // 4, height // 2))] += 20
    levels: Rgb = image.clip(0, 255).round().astype(np.uint8)
    return levels


def make_domains(folder: Path, count: int = 6, size: tuple[int, int] = (72, 80)) -> Path:
    """Write trainA, trainB, testA and testB with `count` PNG images each and return the folder."""
    for split_number, split in enumerate(("train", "test")):
        for domain, colour in COLOURS.items():
            target = folder / f"{split}{domain}"
            target.mkdir(parents=True)
            for index in range(count):
                seed = 1000 * split_number + 100 * ord(domain) + index
                save_image(target / f"{index:03d}.png", draw_image(*size, seed, colour))
    return folder
