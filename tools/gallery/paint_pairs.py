"""Make the data folders of the style `monet`: images, each beside its painting.

    python -m tools.gallery.paint_pairs paintings MONET2PHOTO OUT [--variants 4]
    python -m tools.gallery.paint_pairs photos DATA OUT --run RUN [--variants 4]

After Hertzmann 2001 (Image Analogies, 4.4): where no photo of a painted scene exists, the painting without
its brushwork stands for it. `paintings` flattens the paintings in trainA and testA with a Kuwahara filter,
grades them at random as cameras might, and puts the painting beside: a network (RUN) learns to give palette
and brushwork back. `photos` flattens photos (trainA, testA) too, gives them the lightness of the paintings
(trainB), veiled, and broken colour, and lets that network, as it was last, paint them: pairs of photo and
painting. Each is painted four times, a few pixels further on, and the mean taken: patterns that come from
where a pixel lies in the network's blocks of 4 are damped, rows and columns of that period go out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from rt.frame import Rgb
from train.checkpoint import CHECKPOINT
from train.data.images import load_images, save_image
from train.graph import crop_to_multiple, translate_images
from train.load import load_generator
from train.nets.layers import SoftKuwahara

SIDE = 256
"""Short side of the images: brushwork of the paintings is a few pixels wide at it."""
RADII = (3, 4, 5)
"""Of the filter, in pixels; photos are flattened with the largest: their dabs have to be seen."""
NOISE = 0.015
"""Deviation of the noise in what is painted: brushwork may grow from it."""
LIGHT_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
VEIL = 0.2
"""How far lightness, black and white too, is drawn to the paintings' median: Monet's contrasts are soft."""
BROKEN_COLOUR, BROKEN_LIGHT, AROUND_PX = 2.2, 1.25, 8.0
"""How much further each dab is from the mean around it: Monet set pure colours side by side."""

SHIFTS_RC = ((0, 0), (1, 2), (2, 1), (3, 3))
"""Pixels down and right by which a photo is moved before it is painted: each row and column of a block."""
MARGIN_PX = 8
"""Mirrored around what is painted, so that it can be moved; the network's sizes are multiples of it."""


def flattened(rgb: Rgb, radius: int) -> Rgb:
    """Return an image in dabs with crisp edges: the filter that the network `paint48` begins with."""
    seen = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        flat = SoftKuwahara(radius)(seen)[0].permute(1, 2, 0).numpy()
    return _levels((flat + 1) / 2)


def graded(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    """Return an image with another contrast, brightness, saturation and white balance."""
    out = rgb.astype(np.float32) / 255
    gray = out.mean(axis=2, keepdims=True)
    out = gray + (out - gray) * rng.uniform(0.5, 1.25)
    out = out * (1 + rng.normal(0, 0.08, 3)) + rng.normal(0, 0.02, 3)
    out = np.clip(out, 0, 1) ** np.exp(rng.uniform(-0.35, 0.5))
    curve = out * out * (3 - 2 * out)  # steeper in the middle: photos have deeper shadows than paintings
    return _levels(out + (curve - out) * rng.uniform(0.0, 1.0))


def _levels(image: np.ndarray) -> Rgb:
    return np.asarray(np.clip(image * 255 + 0.5, 0, 255), np.uint8)


def _noisy(rgb: Rgb, rng: np.random.Generator) -> Rgb:
    return _levels(rgb / 255 + rng.normal(0, NOISE, rgb.shape))


class Light:
    """Gives photos the lightness that paintings have, deep shadows are rare in Monet's, and broken colour."""

    def __init__(self, photos: list[Rgb], paintings: list[Rgb]) -> None:
        """Match the quantiles of all photos to those of all paintings, drawn together by `VEIL`."""
        self._from, self._to = (
            np.array([0.0, *np.quantile(_lightness(images), LIGHT_QUANTILES), 100.0])
            for images in (photos, paintings)
        )
        median = self._to[1 + LIGHT_QUANTILES.index(0.5)]
        self._to += VEIL * (median - self._to)

    def __call__(self, rgb: Rgb) -> Rgb:
        """Return the image in the paintings' lightness, its dabs further apart in colour."""
        lab = np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
        lab[..., 0] = np.interp(lab[..., 0], self._from, self._to)
        around = cv2.GaussianBlur(lab, (0, 0), AROUND_PX)
        lab = around + (lab - around) * np.array([BROKEN_LIGHT, BROKEN_COLOUR, BROKEN_COLOUR])
        return _levels(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB))


def _lightness(images: list[Rgb]) -> np.ndarray:
    small = [cv2.resize(rgb, (64, 64), interpolation=cv2.INTER_AREA) for rgb in images]
    pixels = np.vstack(small).astype(np.float32) / 255
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[..., 0]


def _from_paintings(
    paintings: list[Rgb], variants: int, rng: np.random.Generator
) -> Iterator[tuple[Rgb, Rgb]]:
    for painting in paintings:
        for _ in range(variants):
            flat = flattened(painting, int(rng.choice(RADII)))
            yield graded(_noisy(flat, rng), rng), painting


def _from_photos(
    photos: list[Rgb], variants: int, rng: np.random.Generator, run: Path, light: Light
) -> Iterator[tuple[Rgb, Rgb]]:
    net, _ = load_generator(run / CHECKPOINT, "AtoB")
    for photo in photos:
        for number in range(variants):
            seen = crop_to_multiple(graded(photo, rng) if number else photo, int(net.multiple))  # type: ignore[arg-type]
            yield seen, _painted(net, _noisy(light(flattened(seen, RADII[-1])), rng))


def _painted(net: nn.Module, flat: Rgb) -> Rgb:
    """Paint an image at each of `SHIFTS_RC` and return the mean, uint8[H, W, 3] like it."""
    height, width = flat.shape[:2]
    total = np.zeros(flat.shape, np.float32)
    for down, right in SHIFTS_RC:
        around = (down, MARGIN_PX - down, right, MARGIN_PX - right)
        moved = cv2.copyMakeBorder(flat, *around, cv2.BORDER_REFLECT_101)
        total += translate_images(net, [np.asarray(moved, np.uint8)])[0][
            down : down + height, right : right + width
        ]
    return np.asarray(total / len(SHIFTS_RC) + 0.5, np.uint8)


def _load(folder: Path) -> list[Rgb]:
    return list(load_images(folder, SIDE).images)


def main() -> None:
    """Write the pairs of both splits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=("paintings", "photos"))
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--run", type=Path, help="the network that paints photos")
    parser.add_argument("--variants", type=int, default=4, help="differently graded ones of each image")
    args = parser.parse_args()
    if (args.run is None) != (args.kind == "paintings"):
        parser.error("--run RUN is needed with photos, and with them alone")
    rng = np.random.default_rng(0)
    light = None if args.run is None else Light(_load(args.data / "trainA"), _load(args.data / "trainB"))
    for split, variants in (("train", args.variants), ("test", 1)):
        (args.out / split).mkdir(parents=True)
        images = _load(args.data / f"{split}A")
        pairs = (
            _from_paintings(images, variants, rng)
            if light is None
            else _from_photos(images, variants, rng, args.run, light)
        )
        for number, pair in enumerate(pairs):
            save_image(args.out / split / f"{number:05}.png", np.hstack(pair))


if __name__ == "__main__":
    main()
